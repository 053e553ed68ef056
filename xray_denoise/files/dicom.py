"""Read radiographs from DICOM files, frame by frame, and refuse with a reason what is none.

In this order: is it a radiograph, are its pixels grey integers, can they be decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from xray_denoise.errors import UnreadableFileError
from xray_denoise.files import codecs
from xray_denoise.files.damage import damage_named
from xray_denoise.files.overlays import embedded_overlays, with_overlays_moved
from xray_denoise.radiograph import Radiograph, robust_span

_STORAGE = "1.2.840.10008.5.1.4.1.1."
RADIOGRAPHS = {
    _STORAGE + "1": "CR",
    _STORAGE + "1.1": "DX for presentation",
    _STORAGE + "1.1.1": "DX for processing",
    _STORAGE + "1.2": "MG for presentation",
    _STORAGE + "1.2.1": "MG for processing",
    _STORAGE + "1.3": "intra-oral for presentation",
    _STORAGE + "1.3.1": "intra-oral for processing",
    _STORAGE + "12.1": "XA",
    _STORAGE + "12.2": "RF",
    _STORAGE + "7": "secondary capture",
    _STORAGE + "7.2": "secondary capture, multi-frame byte",
    _STORAGE + "7.3": "secondary capture, multi-frame word",
}
"""SOP classes that are read: projection radiographs and secondary captures."""

DEFERRED_BYTES = 1 << 20
"""Elements longer than this stay on the disk until they are needed."""
PIXEL_GROUP = 0x7FE00000
FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)


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


def is_radiograph_class(path: Path) -> bool:
    """Whether the file's head names one of the classes that are read, or none that is known: that file is damaged."""
    with damage_named(path):
        uid = UID(str(read_file_meta_info(path).get("MediaStorageSOPClassUID", "")))
    return uid in RADIOGRAPHS or uid.name == uid


def read_frames(path: Path, span: tuple[float, float] | None) -> Iterator[Radiograph]:
    """Yield the frames of a grey DICOM image; one decoded frame is in memory at a time.

    Args:
        path: the file.
        span: stored values that map to grey levels 0 and 255; by default each frame's robust range.

    Raises:
        UnreadableFileError: the file is damaged, is no grey radiograph, or has no decoder here.
    """
    with damage_named(path):
        header = dcmread(path, defer_size=None if _is_deflated(path) else DEFERRED_BYTES)
        facts = header[:PIXEL_GROUP]  # a shallow copy: what is looked up in it stays undecoded in the header
        _refuse_other_objects(facts, path)
        _refuse_without_grey_pixels(header, facts, path)
        layout = _layout(facts, path)
        syntax = UID(header.file_meta.TransferSyntaxUID)
        _refuse_without_decoder(syntax, path)
        if not syntax.is_encapsulated:
            _refuse_truncated(header, layout, path)
        header = with_overlays_moved(header, layout.frames, path) if embedded_overlays(facts) else header
        pixels = dcmread(path) if syntax == DeflatedExplicitVRLittleEndian else path
        del header[PIXELS]
        found = 0
        for stored in _decoded(pixels, syntax, layout, path):
            radiograph = Radiograph(
                stored,
                span or (0.0, 1.0),
                inverted=layout.inverted,
                padding_range=layout.padding_range,
                bits=layout.bits,
                signed=layout.signed,
                header=header,
                source=path,
            )
            yield radiograph if span else radiograph.with_span(*robust_span(stored, radiograph.padding))
            found += 1
        if found != layout.frames:
            raise UnreadableFileError(
                f"{path} holds {found} frames where its head says {layout.frames}",
                hint="fetch the file again from its source",
            )


def _is_deflated(path: Path) -> bool:
    return bool(read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian)


def _refuse_other_objects(facts: Dataset, path: Path) -> None:
    sop_class = UID(str(facts.get("SOPClassUID") or ""))
    name = sop_class.name if sop_class and not sop_class.is_private else "of no known class"
    functional = sop_class in RADIOGRAPHS and any(tag in facts for tag in FUNCTIONAL_GROUPS)
    if functional or "Enhanced" in name:
        raise UnreadableFileError(
            f"{path} is an enhanced multi-frame object ({name})",
            hint="export it as classic CR, DX, MG, XA or RF images",
        )
    if sop_class not in RADIOGRAPHS:
        raise UnreadableFileError(
            f"{path} is not a radiograph ({name})",
            hint="only CR, DX, MG, intra-oral, XA, RF and secondary capture images are denoised",
        )
    if not facts.get("SOPInstanceUID"):
        raise UnreadableFileError(f"{path} has no SOP Instance UID", hint="fetch the file again from its source")


def _refuse_without_grey_pixels(header: FileDataset, facts: Dataset, path: Path) -> None:
    if FLOAT_PIXELS in header or DOUBLE_PIXELS in header:
        raise UnreadableFileError(f"{path} has floating-point pixels", hint="export it with integer pixels")
    if PIXELS not in header:
        raise UnreadableFileError(f"{path} has no pixels", hint="the file may be incomplete, or no image")
    photometric = str(facts.get("PhotometricInterpretation", "not given"))
    if photometric == "PALETTE COLOR" or facts.get("SamplesPerPixel", 1) != 1:
        raise UnreadableFileError(
            f"{path} is a colour image ({photometric})",
            hint="only grey images (MONOCHROME1 or 2) are denoised",
        )
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableFileError(
            f"{path} has the photometric interpretation {photometric}", hint="only MONOCHROME1 and 2 are grey"
        )


def _layout(facts: Dataset, path: Path) -> Layout:
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


def _refuse_without_decoder(syntax: UID, path: Path) -> None:
    try:
        available = codecs.is_readable(syntax)
    except NotImplementedError:
        available = False
        hint = "no decoder exists for it; export the file in Explicit VR Little Endian"
    else:
        hint = codecs.PIP_LINE
    if not available:
        raise UnreadableFileError(
            f"{path} is compressed as {syntax.name} ({syntax}), and no decoder for that is installed",
            hint=hint,
        )


def _refuse_truncated(header: FileDataset, layout: Layout, path: Path) -> None:
    expected = layout.rows * layout.columns * layout.frames * layout.allocated // 8
    element: Any = header.get_item(PIXELS, keep_deferred=True)
    found = element.length if element.value is None else len(element.value)
    on_disk = path.stat().st_size
    if found < expected or (element.value is None and element.value_tell + expected > on_disk):
        raise UnreadableFileError(
            f"{path} is truncated: {min(found, on_disk)} of {expected} bytes of pixels",
            hint="fetch the file again from its source",
        )


def _decoded(pixels: Path | Dataset, syntax: UID, layout: Layout, path: Path) -> Iterator[NDArray[Any]]:
    """Stored values frame by frame, in the byte order of this machine."""
    allocated, bits, signed = layout.allocated, layout.bits, layout.signed
    try:
        for words in codecs.decoded(pixels, syntax):
            native = words.astype(words.dtype.newbyteorder("="), copy=False)
            yield codecs.stored_values(native, allocated=allocated, bits=bits, signed=signed)
    except RuntimeError as error:
        if not syntax.is_encapsulated:
            raise
        raise UnreadableFileError(
            f"{path} is compressed as {syntax.name} ({syntax}), and no installed decoder can read it",
            hint=f"{codecs.PIP_LINE} adds decoders; where they fail too, decompress it with DCMTK's dcmdjpeg",
        ) from error


def frame_count(header: Dataset) -> int:
    """(0028,0008) *Number of Frames*, 1 where it is absent."""
    return int(header[:PIXEL_GROUP].get("NumberOfFrames") or 1)


def caveats(header: Dataset) -> tuple[str, ...]:
    """What a user should know about this image before trusting its result."""
    facts = header[:PIXEL_GROUP]
    found = []
    if facts.get("BurnedInAnnotation") == "YES":
        found.append("text is burned into its pixels and may identify the patient")
    if facts.get("LossyImageCompression") == "01":
        found.append("it was compressed with loss, so its noise is not that of the detector")
    return tuple(found)
