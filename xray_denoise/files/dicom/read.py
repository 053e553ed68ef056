"""Read radiographs from DICOM files, frame by frame; other objects are refused with a reason.

In this order: is it a radiograph, are its pixels grey integers, can they be decoded.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from xray_denoise.errors import AGAIN, UnreadableFileError
from xray_denoise.files.damage import as_unreadable
from xray_denoise.files.derivation import SimulatedNoise
from xray_denoise.files.dicom import codecs, codestream, render
from xray_denoise.files.dicom.codestream import BadCodestreamError
from xray_denoise.files.dicom.derive import contributions
from xray_denoise.files.dicom.fragments import by_frame
from xray_denoise.files.dicom.layout import Layout, fact, layout_of, number
from xray_denoise.files.dicom.opening import OpenedFile, PixelElement, opened, refuse_wrong_length, sop_class
from xray_denoise.files.dicom.overlays import embedded_overlays, with_overlays_moved
from xray_denoise.files.dicom.write import TOOL
from xray_denoise.radiograph import Radiograph, robust_range

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
ENHANCED = {
    _STORAGE + "12.1.1": "enhanced XA",
    _STORAGE + "12.2.1": "enhanced XRF",
    _STORAGE + "13.1.4": "breast projection for presentation",
    _STORAGE + "13.1.5": "breast projection for processing",
}
"""SOP classes of projection radiographs that have functional groups, so they are not read."""

COLOURS = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_RCT", "YBR_ICT", "ARGB", "CMYK")
FRAME_TIMES = {0x00181063, 0x00181065}
"""(0018,1063) *Frame Time* and (0018,1065) *Frame Time Vector*."""
PIXEL_GROUP, EXTENDED_OFFSETS = 0x7FE00000, 0x7FE00001
FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)


def is_radiograph_class(path: Path) -> bool:
    """Whether a file is of a class of radiographs, read or not, or of none that is known: that file is damaged.

    The private classes of manufacturers are other objects.
    """
    with as_unreadable(path):
        uid = UID(sop_class(path))
    return uid in RADIOGRAPHS or uid in ENHANCED or (uid.name == uid and not (uid.is_valid and uid.is_private))


def read_frames(path: Path, value_range: tuple[float, float] | None) -> Iterator[Radiograph]:
    """Yield the frames of a grey DICOM image; one decoded frame is in memory at a time.

    Args:
        path: the file.
        value_range: stored values that map to grey levels 0 and 255; by default each frame's robust range.

    Raises:
        UnreadableFileError: the file is damaged, is no grey radiograph, or has no decoder here.
    """
    with as_unreadable(path), opened(path) as file:
        header, facts = file.header, _facts(file)
        pixels, layout = _readable_pixels(file, facts)
        frames = _encoded_frames(file, pixels, layout)
        if embedded_overlays(facts):
            words = b"" if file.syntax.is_encapsulated else next(frames)
            order = "<u2" if file.little_endian else ">u2"
            header = with_overlays_moved(header, np.frombuffer(words, order), layout, path)
            frames = _encoded_frames(file, pixels, layout)
        for data in frames:
            stored = _decoded(data, file, layout)
            radiograph = Radiograph(
                stored,
                value_range or (0.0, 1.0),
                inverted=layout.inverted,
                padding_range=layout.padding_range,
                bits=layout.bits,
                signed=layout.signed,
                header=header,
                source=path,
            )
            yield radiograph if value_range else radiograph.with_value_range(*robust_range(stored, radiograph.padding))


def count_frames(path: Path) -> int:
    """How many frames `read_frames` yields, by the head of the file.

    Raises:
        UnreadableFileError: as `read_frames`, but for damage to the pixels.
    """
    with as_unreadable(path), opened(path) as file:
        return _readable_pixels(file, _facts(file))[1].frames


def _facts(file: OpenedFile) -> Dataset:
    """The elements before the pixels; a shallow copy, so the header stays undecoded."""
    return file.header[:PIXEL_GROUP]


def _readable_pixels(file: OpenedFile, facts: Dataset) -> tuple[PixelElement, Layout]:
    """Where the pixels of a grey radiograph are, and how they are laid out; everything else is refused."""
    _refuse_other_objects(facts, file.path)
    pixels = _refuse_without_grey_pixels(file, facts)
    layout = layout_of(facts, file.path)
    _refuse_without_decoder(file.syntax, file.path)
    return pixels, layout


def _refuse_other_objects(facts: Dataset, path: Path) -> None:
    sop_class = UID(str(fact(facts, "SOPClassUID") or ""))
    name = sop_class.name if sop_class.name != sop_class else "of no known class"
    functional = sop_class in RADIOGRAPHS and any(tag in facts for tag in FUNCTIONAL_GROUPS)
    if functional or sop_class in ENHANCED or "Enhanced" in name:
        raise UnreadableFileError(
            f"{{path}} is an enhanced multi-frame object ({name})",
            path=path,
            hint="export it as classic CR, DX, MG, XA or RF images",
        )
    if sop_class not in RADIOGRAPHS:
        raise UnreadableFileError(
            f"{{path}} is not a radiograph ({name})",
            path=path,
            hint="only CR, DX, MG, intra-oral, XA, RF and secondary capture images are denoised",
        )
    if not fact(facts, "SOPInstanceUID"):
        raise UnreadableFileError("{path} has no SOP Instance UID", path=path, hint=AGAIN)


def _refuse_without_grey_pixels(file: OpenedFile, facts: Dataset) -> PixelElement:
    path = file.path
    if file.has_float_pixels:
        raise UnreadableFileError("{path} has floating-point pixels", path=path, hint="export it with integer pixels")
    if file.pixels is None:
        raise UnreadableFileError("{path} has no pixels", path=path, hint="the file may be incomplete, or no image")
    photometric = str(fact(facts, "PhotometricInterpretation") or "")
    if photometric in COLOURS or number(facts, "SamplesPerPixel", path, 1) != 1:
        raise UnreadableFileError(
            f"{{path}} is a colour image ({photometric if photometric in COLOURS else 'several samples a pixel'})",
            path=path,
            hint="only grey images (MONOCHROME1 or 2) are denoised",
        )
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableFileError(
            "{path} has no known photometric interpretation", path=path, hint="only MONOCHROME1 and 2 are grey"
        )
    return file.pixels


def _refuse_without_decoder(syntax: UID, path: Path) -> None:
    if syntax not in codecs.NATIVE and not codecs.library(syntax):
        raise UnreadableFileError(
            f"{{path}} is compressed as {_named(syntax)}, which is not read",
            path=path,
            hint="export it in Explicit VR Little Endian, or decompress it with DCMTK's dcmdjpeg",
        )


def _named(syntax: UID) -> str:
    """The name of a transfer syntax and its UID; of a damaged one only that it is none, for it may hold anything."""
    if not re.fullmatch(r"[0-9.]{1,64}", syntax):
        return "no valid transfer syntax"
    return f"{syntax.name} ({syntax})" if syntax.name != syntax else f"an unknown transfer syntax ({syntax})"


def _encoded_frames(file: OpenedFile, pixels: PixelElement, layout: Layout) -> Iterator[bytes]:
    """The bytes of each frame, words or a codestream, read when their turn comes."""
    if file.syntax in codecs.NATIVE:
        refuse_wrong_length(pixels, layout, file.path)
        return _native_frames(file, pixels, layout)
    if pixels.encapsulated is None:
        raise UnreadableFileError(
            f"{{path}} has uncompressed pixels, but its transfer syntax is {_named(file.syntax)}",
            path=file.path,
            hint=AGAIN,
        )
    return _codestreams(file, pixels, layout)


def _native_frames(file: OpenedFile, pixels: PixelElement, layout: Layout) -> Iterator[bytes]:
    def value(start: int, length: int) -> bytes:
        file.stream.seek(pixels.at + start)
        return file.stream.read(length)

    size = layout.frame_bytes
    for start in range(0, layout.frames * size, size):
        if layout.allocated == 8 and pixels.in_swapped_words:
            before, behind = start % 2, (start + size) % 2  # frames of odd size begin or end within a word
            words = np.frombuffer(value(start - before, before + size + behind), ">u2")
            yield words.astype("<u2").tobytes()[before : before + size]
        else:
            yield value(start, size)


def _codestreams(file: OpenedFile, pixels: PixelElement, layout: Layout) -> Iterator[bytes]:
    def value(at: int, length: int) -> bytes:
        file.stream.seek(at)
        return file.stream.read(length)

    table = file.header.get_item(EXTENDED_OFFSETS) if EXTENDED_OFFSETS in file.header else None
    assert pixels.encapsulated is not None  # noqa: S101 - for the type checker
    for fragments in by_frame(
        pixels.encapsulated,
        layout.frames,
        extended=bytes(table.value) if table is not None and isinstance(table.value, bytes) else b"",
        begins=(lambda one: value(one.at, 8).startswith(codestream.STARTS)) if codecs.has_marks(file.syntax) else None,
        path=file.path,
    ):
        yield b"".join(value(*one) for one in fragments)


def _decoded(data: bytes, file: OpenedFile, layout: Layout) -> NDArray[Any]:
    """The stored values of one frame, in the byte order of this machine."""
    if file.syntax in codecs.NATIVE:
        order = "<" if file.little_endian else ">"
        words = np.frombuffer(data, f"{order}u{layout.allocated // 8}").reshape(layout.rows, layout.columns)
        return codecs.stored_values(words.astype(words.dtype.newbyteorder("=")), layout)
    try:
        return codecs.decoded(data, file.syntax, layout)
    except BadCodestreamError as error:
        raise UnreadableFileError(f"{{path}} {error}", path=file.path, hint=AGAIN) from error
    except RuntimeError as error:  # what imagecodecs raises
        raise UnreadableFileError(
            f"{{path}} is compressed as {_named(file.syntax)}, and {codecs.library(file.syntax)} cannot read it",
            path=file.path,
            hint=AGAIN,
        ) from error


def number_of_frames(header: Dataset) -> int:
    """(0028,0008) *Number of Frames*, 1 where it is absent."""
    return int(fact(header[:PIXEL_GROUP], "NumberOfFrames") or 1)


def is_timed(header: Dataset) -> bool:
    """Whether the frames are of one view, one after the other.

    Then (0028,0009) *Frame Increment Pointer* names the time between frames (PS3.3 C.7.6.6 and C.7.6.5), and neither
    (0018,1500) *Positioner Motion* (PS3.3 C.8.7.5) nor (0018,1134) *Table Motion* (PS3.3 C.8.7.4) is DYNAMIC.
    """
    facts = header[:PIXEL_GROUP]
    try:
        pointers = fact(facts, "FrameIncrementPointer")
        tags = set(pointers) if isinstance(pointers, Iterable) else {pointers}
        moving = "DYNAMIC" in (fact(facts, "PositionerMotion"), fact(facts, "TableMotion"))
        return bool(tags & FRAME_TIMES) and not moving
    except Exception:  # whatever pydicom raises for the values of a damaged file
        return False


def caveats(header: Dataset) -> tuple[str, ...]:
    """Warnings about this image for the user; never an error, whatever the header contains."""
    facts = header[:PIXEL_GROUP]
    found = []
    try:
        if fact(facts, "SamplesPerPixel") is None:
            found.append("Samples per Pixel (0028,0002) is missing and taken for 1")
        if fact(facts, "BurnedInAnnotation") == "YES":
            found.append("text is burned into its pixels and may identify the patient")
        if fact(facts, "LossyImageCompression") == "01":
            found.append("it was compressed with loss, so its noise is not that of the detector")
        denoised = [model for model in contributions(facts) if model != SimulatedNoise.model]
        if denoised:
            found.append(f"it was denoised by {TOOL} already, with {denoised[-1]}")
        found += render.caveats(header)
    except Exception:  # whatever pydicom raises for the values of a damaged file
        found.append("some of its attributes are damaged, so pictures of it may fail and notes may be missing")
    return tuple(found)
