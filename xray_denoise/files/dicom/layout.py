"""How the pixels of a DICOM file are laid out, by the Image Pixel module (PS3.3 C.7.6.3) of its head."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_description, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from xray_denoise.errors import AGAIN, UnreadableFileError

MOST_PIXELS = 178_956_970
"""Largest frame; Pillow's limit for other image files."""
LONGEST_FACT, LONGEST_TEXT = 1024, 0xFFFE
"""Bytes of a value that is looked up, and of those of `TEXTS`, which are cheaper: pydicom makes an object of each part
of a value, and a warning of each that is no valid identifier or code."""
TEXTS = ("DS", "LO", "LT", "ST")


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

    @property
    def frame_bytes(self) -> int:
        """Bytes of an uncompressed frame."""
        return self.rows * self.columns * self.allocated // 8

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest stored value."""
        top = 2**self.bits
        return (-top // 2, top // 2 - 1) if self.signed else (0, top - 1)


def fact(facts: Dataset, keyword: str) -> Any:
    """The value of an attribute, None where it is missing or empty.

    Raises:
        ValueError: it is far longer than any such value.
    """
    tag = tag_for_keyword(keyword) or 0
    element: Any = facts.get_item(tag) if tag in facts else None
    if isinstance(element, RawDataElement) and element.value and not keyword.endswith("Sequence"):
        vr = element.VR or dictionary_VR(tag)
        if len(element.value) > (LONGEST_TEXT if vr in TEXTS else LONGEST_FACT):
            raise ValueError(f"{keyword} is too long")
    value = facts.get(keyword)
    return None if value is None or value == "" else value


def number(facts: Dataset, keyword: str, path: Path, default: int | None = None) -> int:
    """The value of an attribute that must be one whole number.

    Args:
        facts: the data set.
        keyword: the attribute.
        path: for messages.
        default: what it is where the attribute is missing or empty; None where it must be there.

    Raises:
        UnreadableFileError: it is missing, or no whole number; the message names the attribute.
    """
    try:
        value = fact(facts, keyword)
        if value is None and default is not None:
            return default
        if value is not None:
            return int(value)
        what = "has no"
    except (TypeError, ValueError, OverflowError):
        what = "has no valid"
    tag = Tag(tag_for_keyword(keyword) or 0)
    raise UnreadableFileError(
        f"{{path}} {what} {dictionary_description(tag)} ({tag.group:04X},{tag.element:04X})",
        path=path,
        hint=f"{AGAIN}, or set the attribute right",
    )


def layout_of(facts: Dataset, path: Path) -> Layout:
    """The layout that the head of `path` describes.

    Raises:
        UnreadableFileError: it is one that is not read.
    """
    allocated, bits = number(facts, "BitsAllocated", path), number(facts, "BitsStored", path)
    high_bit, signed = number(facts, "HighBit", path, bits - 1), number(facts, "PixelRepresentation", path)
    if allocated not in (8, 16) or not 8 <= bits <= allocated or high_bit != bits - 1 or signed not in (0, 1):
        raise UnreadableFileError(
            f"{{path}} stores {bits} bits in words of {allocated}, highest bit {high_bit}",
            path=path,
            hint="only 8 to 16 bits at the low end of words of 8 or 16 are read",
        )
    rows, columns = number(facts, "Rows", path), number(facts, "Columns", path)
    frames = number(facts, "NumberOfFrames", path, 1) or 1
    if min(rows, columns, frames) < 1:
        raise UnreadableFileError(
            f"{{path}} has {rows}x{columns} pixels in {frames} frames", path=path, hint="it holds no image"
        )
    if rows * columns > MOST_PIXELS:
        raise UnreadableFileError(
            f"{{path}} has {rows}x{columns} pixels, more than {MOST_PIXELS}",
            path=path,
            hint="no radiograph is that large; cut it into parts if it is genuine",
        )
    return Layout(
        rows=rows,
        columns=columns,
        frames=frames,
        allocated=allocated,
        bits=bits,
        signed=bool(signed),
        inverted=fact(facts, "PhotometricInterpretation") == "MONOCHROME1",
        padding_range=_padding_range(facts, signed=bool(signed)),
    )


def _padding_range(facts: Dataset, *, signed: bool) -> tuple[int, int] | None:
    """(0028,0120) *Pixel Padding Value* .. (0028,0121) *Pixel Padding Range Limit*, in either order."""
    value = fact(facts, "PixelPaddingValue")
    if value is None:
        return None
    limit = fact(facts, "PixelPaddingRangeLimit")
    ends = [int(end) for end in (value, value if limit is None else limit)]
    # Writers confuse US and SS: the same 16 bits, read the other way.
    wrapped = [(end + 0x8000) % 0x10000 - 0x8000 if signed else end % 0x10000 for end in ends]
    return min(wrapped), max(wrapped)
