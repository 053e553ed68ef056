"""How the pixels of a DICOM file are laid out, by the Image Pixel module (PS3.3 C.7.6.3) of its head."""

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from xray_denoise.errors import UnreadableFileError

MOST_PIXELS = 178_956_970
"""Largest frame; Pillow's limit for other image files."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of a file are laid out."""

    rows: int
    columns: int
    frames: int
    allocated: int
    """Bits of a pixel's word, 8 or 16."""
    bits: int
    """Bits of it that hold the stored value, the low ones."""
    signed: bool
    inverted: bool
    padding_range: tuple[int, int] | None


def layout_of(facts: Dataset, path: Path) -> Layout:
    """The layout that the head of `path` describes.

    Raises:
        UnreadableFileError: it is one that is not read.
    """
    allocated, bits = int(facts.BitsAllocated), int(facts.BitsStored)
    high_bit, signed = int(facts.get("HighBit", bits - 1)), int(facts.PixelRepresentation)
    if allocated not in (8, 16) or not 8 <= bits <= allocated or high_bit != bits - 1 or signed not in (0, 1):
        raise UnreadableFileError(
            f"{path} stores {bits} bits in words of {allocated}, highest bit {high_bit}",
            hint="only 8 to 16 bits at the low end of words of 8 or 16 are read",
        )
    rows, columns, frames = int(facts.Rows), int(facts.Columns), int(facts.get("NumberOfFrames") or 1)
    if min(rows, columns, frames) < 1:
        raise UnreadableFileError(f"{path} has {rows}x{columns} pixels in {frames} frames", hint="it holds no image")
    if rows * columns > MOST_PIXELS:
        raise UnreadableFileError(
            f"{path} has {rows}x{columns} pixels, more than {MOST_PIXELS}",
            hint="no radiograph is that large; cut it into parts if it is genuine",
        )
    return Layout(
        rows=rows,
        columns=columns,
        frames=frames,
        allocated=allocated,
        bits=bits,
        signed=bool(signed),
        inverted=facts.PhotometricInterpretation == "MONOCHROME1",
        padding_range=_padding_range(facts, signed=bool(signed)),
    )


def _padding_range(facts: Dataset, *, signed: bool) -> tuple[int, int] | None:
    """(0028,0120) *Pixel Padding Value* .. (0028,0121) *Pixel Padding Range Limit*, in either order."""
    value = facts.get("PixelPaddingValue")
    if value is None:
        return None
    limit = facts.get("PixelPaddingRangeLimit")
    ends = [int(end) for end in (value, value if limit is None else limit)]
    # Writers confuse US and SS: the same 16 bits, read the other way.
    wrapped = [(end + 0x8000) % 0x10000 - 0x8000 if signed else end % 0x10000 for end in ends]
    return min(wrapped), max(wrapped)
