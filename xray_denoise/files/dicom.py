"""Read radiographs from DICOM files, frame by frame, and refuse with a reason what is none.

In this order: is it a radiograph, are its pixels grey integers, can they be decoded.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from xray_denoise.errors import UnreadableFileError
from xray_denoise.files import codecs
from xray_denoise.files.bounds import (
    PIXELS,
    has_preamble,
    refuse_damaged_codestreams,
    refuse_too_many_elements,
    refuse_wrong_length,
)
from xray_denoise.files.damage import damage_named
from xray_denoise.files.layout import Layout, layout_of
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
COLOURS = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_RCT", "YBR_ICT", "ARGB", "CMYK")
PIXEL_GROUP = 0x7FE00000
FLOAT_PIXELS, DOUBLE_PIXELS = 0x7FE00008, 0x7FE00009
FUNCTIONAL_GROUPS = (0x52009229, 0x52009230)


def is_radiograph_class(path: Path) -> bool:
    """Whether the file's head names one of the classes that are read, or none that is known: that file is damaged.

    The private classes of manufacturers are other objects.
    """
    with damage_named(path):
        if has_preamble(path):
            uid = read_file_meta_info(path).get("MediaStorageSOPClassUID", "")
        else:
            refuse_too_many_elements(path)
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
        refuse_too_many_elements(path)
        header = _read_object(path)
        facts = header[:PIXEL_GROUP]  # a shallow copy: what is looked up in it stays undecoded in the header
        _refuse_other_objects(facts, path)
        _refuse_without_grey_pixels(header, facts, path)
        layout = layout_of(facts, path)
        syntax = UID(header.file_meta.TransferSyntaxUID)
        _refuse_without_decoder(syntax, path)
        if syntax.is_encapsulated:
            refuse_damaged_codestreams(header, layout, path)
        else:
            refuse_wrong_length(header, layout, path)
        header = with_overlays_moved(header, layout.frames, path) if embedded_overlays(facts) else header
        in_place = syntax != DeflatedExplicitVRLittleEndian and has_preamble(path)
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


def _read_object(path: Path, *, whole: bool = False) -> FileDataset:
    """The object in a file, its long elements left on the disk unless it is wanted `whole`.

    A file that begins with the data set itself has no transfer syntax: it is uncompressed, in the encoding that
    its first element shows.
    """
    if not has_preamble(path):
        found = dcmread(path, defer_size=None if whole else DEFERRED_BYTES, force=True)
        if "TransferSyntaxUID" not in found.file_meta:
            implicit, little = found.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            found.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        return found
    deflated = read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    return dcmread(path, defer_size=None if whole or deflated else DEFERRED_BYTES)


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
