"""Read radiographs from DICOM files, frame by frame, and refuse with a reason what is none.

In this order: is it a radiograph, are its pixels grey integers, can they be decoded.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from xray_denoise.errors import UnreadableFileError
from xray_denoise.files import codecs, survey
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
META_START = 144
"""Bytes before the first element that (0002,0000) *File Meta Information Group Length* counts."""
MOST_INFLATED_BYTES = 256 << 20
"""Largest data set in the deflated syntax, which has to be held in memory."""
MOST_ELEMENTS = 100_000
"""Most elements and items before the pixels; radiographs have some hundreds."""
MOST_PIXELS = 178_956_970
"""Largest frame; Pillow's limit for other image files."""
COLOURS = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_RCT", "YBR_ICT", "ARGB", "CMYK")
PIXEL_GROUP = 0x7FE00000
FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF
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
    """Whether the file's head names one of the classes that are read, or none that is known: that file is damaged.

    The private classes of manufacturers are other objects.
    """
    with damage_named(path):
        if _has_preamble(path):
            uid = read_file_meta_info(path).get("MediaStorageSOPClassUID", "")
        else:
            _refuse_too_many_elements(path)
            uid = dcmread(path, force=True, stop_before_pixels=True, specific_tags=["SOPClassUID"]).get("SOPClassUID")
    uid = UID(str(uid or ""))
    return uid in RADIOGRAPHS or (uid.name == uid and not (uid.is_valid and uid.is_private))


def read_frames(path: Path, span: tuple[float, float] | None) -> Iterator[Radiograph]:
    """Yield the frames of a grey DICOM image; one decoded frame is in memory at a time.

    Args:
        path: the file.
        span: stored values that map to grey levels 0 and 255; by default each frame's robust range.

    Raises:
        UnreadableFileError: the file is damaged, is no grey radiograph, or has no decoder here.
    """
    with damage_named(path):
        _refuse_too_many_elements(path)
        header = _read_object(path)
        facts = header[:PIXEL_GROUP]  # a shallow copy: what is looked up in it stays undecoded in the header
        _refuse_other_objects(facts, path)
        _refuse_without_grey_pixels(header, facts, path)
        layout = _layout(facts, path)
        syntax = UID(header.file_meta.TransferSyntaxUID)
        _refuse_without_decoder(syntax, path)
        if syntax.is_encapsulated:
            _refuse_damaged_codestreams(header, layout, path)
        else:
            _refuse_wrong_length(header, layout, path)
        header = with_overlays_moved(header, layout.frames, path) if embedded_overlays(facts) else header
        in_place = syntax != DeflatedExplicitVRLittleEndian and _has_preamble(path)
        pixels = path if in_place else _read_object(path, whole=True)
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


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _read_object(path: Path, *, whole: bool = False) -> FileDataset:
    """The object in a file, its long elements left on the disk unless it is wanted `whole`.

    A file that begins with the data set itself has no transfer syntax: it is uncompressed, in the encoding that
    its first element shows.
    """
    if not _has_preamble(path):
        found = dcmread(path, defer_size=None if whole else DEFERRED_BYTES, force=True)
        if "TransferSyntaxUID" not in found.file_meta:
            implicit, little = found.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            found.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        return found
    deflated = read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    return dcmread(path, defer_size=None if whole or deflated else DEFERRED_BYTES)


def _refuse_too_many_elements(path: Path) -> None:
    """Elements and items cost a thousand times their bytes: they are counted before they are read."""
    with path.open("rb") as stream:
        syntax, little = "", True
        if stream.read(132)[128:] == b"DICM":
            meta = read_file_meta_info(path)
            syntax = meta.get("TransferSyntaxUID", "")
            little = syntax != ExplicitVRBigEndian
            if syntax == DeflatedExplicitVRLittleEndian:
                stream.seek(META_START + int(meta.FileMetaInformationGroupLength))
                _refuse_if_exceeding(_inflated(stream, path), path)
                return
        else:
            stream.seek(0)
            little = stream.read(2) != b"\0\x08"
            stream.seek(0)
        _refuse_if_exceeding(stream, path, implicit=syntax == ImplicitVRLittleEndian, little_endian=little)


def _refuse_if_exceeding(stream: BinaryIO, path: Path, *, implicit: bool = False, little_endian: bool = True) -> None:
    if survey.exceeds(stream, MOST_ELEMENTS, implicit=implicit, little_endian=little_endian):
        raise UnreadableFileError(
            f"{path} has more than {MOST_ELEMENTS} elements and items",
            hint="no radiograph needs that many; export it without private groups if it is genuine",
        )


def _inflated(stream: BinaryIO, path: Path) -> BytesIO:
    """The data set of a deflated file from where `stream` is, found out a piece at a time not to be too large."""
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), BytesIO()
    for piece in iter(lambda: stream.read(1 << 16), b""):
        waiting = piece
        while waiting and not inflater.eof:
            inflated.write(inflater.decompress(waiting, 1 << 20))
            waiting = inflater.unconsumed_tail
            if inflated.tell() > MOST_INFLATED_BYTES:
                raise UnreadableFileError(
                    f"{path} inflates to more than {MOST_INFLATED_BYTES >> 20} MiB",
                    hint="if it is genuine, export it uncompressed",
                )
    inflated.seek(0)
    return inflated


def _refuse_other_objects(facts: Dataset, path: Path) -> None:
    sop_class = UID(str(facts.get("SOPClassUID") or ""))
    name = sop_class.name if sop_class.name != sop_class else "of no known class"
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
    photometric = str(facts.get("PhotometricInterpretation", ""))
    if photometric in COLOURS or facts.get("SamplesPerPixel", 1) != 1:
        raise UnreadableFileError(
            f"{path} is a colour image ({photometric if photometric in COLOURS else 'several samples a pixel'})",
            hint="only grey images (MONOCHROME1 or 2) are denoised",
        )
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableFileError(
            f"{path} has no known photometric interpretation", hint="only MONOCHROME1 and 2 are grey"
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
            f"{path} is compressed as {_named(syntax)}, and no decoder for that is installed",
            hint=hint,
        )


def _named(syntax: UID) -> str:
    """The name of a transfer syntax and its UID; of a damaged one only that it is none, for it may hold anything."""
    if not re.fullmatch(r"[0-9.]{1,64}", syntax):
        return "no valid transfer syntax"
    return f"{syntax.name} ({syntax})" if syntax.name != syntax else f"an unknown transfer syntax ({syntax})"


def _refuse_wrong_length(header: FileDataset, layout: Layout, path: Path) -> None:
    expected = layout.rows * layout.columns * layout.frames * layout.allocated // 8
    element: Any = header.get_item(PIXELS, keep_deferred=True)
    if element.length == UNDEFINED_LENGTH:
        raise UnreadableFileError(
            f"{path} has compressed pixels, but its transfer syntax is an uncompressed one",
            hint="fetch the file again from its source",
        )
    found = element.length if element.value is None else len(element.value)
    if found >= expected + expected // layout.frames:
        raise UnreadableFileError(
            f"{path} holds {found * layout.frames // expected} frames where its head says {layout.frames}",
            hint="fetch the file again from its source",
        )
    on_disk = path.stat().st_size
    if found < expected or (element.value is None and element.value_tell + expected > on_disk):
        raise UnreadableFileError(
            f"{path} is truncated: {min(found, on_disk)} of {expected} bytes of pixels",
            hint="fetch the file again from its source",
        )


def _refuse_damaged_codestreams(header: FileDataset, layout: Layout, path: Path) -> None:
    """Decoders make room for the size that a codestream claims: it must be that of the image, and all of it there."""
    element: Any = header.get_item(PIXELS, keep_deferred=True)
    with path.open("rb") as stream:
        stream.seek(element.value_tell)
        source = stream if element.value is None else element.value
        for codestream in generate_frames(source, number_of_frames=layout.frames):
            if codecs.is_cut_short(codestream):
                raise UnreadableFileError(
                    f"{path} is truncated: a compressed frame lacks its end",
                    hint="fetch the file again from its source",
                )
            size = codecs.claimed_size(codestream)
            if size is not None and size != (layout.rows, layout.columns):
                raise UnreadableFileError(
                    f"{path} is {layout.rows}x{layout.columns} pixels, but compressed are {size[0]}x{size[1]}",
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
            f"{path} is compressed as {_named(syntax)}, and no installed decoder can read it",
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
