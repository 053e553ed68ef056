"""Write a DICOM object to a stream: Explicit VR Little Endian, with its pixels frame by frame."""

import struct
import uuid
from collections.abc import Iterable
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from pydicom import dcmwrite
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from xray_denoise import __version__
from xray_denoise.errors import UnwritableFileError
from xray_denoise.files.dicom.guard import as_sequence, is_known_sequence, is_sequence

Frames = Iterable[np.ndarray[Any, Any]]

TOOL = "xray-denoise"
UID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, TOOL)
"""Names every identifier that this package makes."""
IMPLEMENTATION_UID = f"2.25.{uuid.uuid5(UID_NAMESPACE, 'implementation').int}"
MOST_PIXEL_BYTES = 2**32 - 2
UNDEFINED_LENGTH = 2**32 - 1
ITEM, SEQUENCE_DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)

PIXEL_GROUP, AFTER_PIXEL_GROUP = 0x7FE00000, 0x7FE10000
EXPLICIT_LITTLE_ENDIAN = False, True
"""Whether in Implicit VR, and whether in Little Endian, as pydicom tells them."""
WORDS = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""Bytes of a word in the value representations that have a byte order."""


def new_uid(*names: str) -> UID:
    """The same identifier for the same names, everywhere and always (a name-based UUID, PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid5(UID_NAMESPACE, chr(31).join(names)).int}")


def file_meta(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> FileMetaDataset:
    """The head of a file that holds `dataset`."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = f"XRDENOISE {__version__}"[:16]
    return meta


def encoded(dataset: Dataset) -> tuple[bytes, bytes]:
    """All of a DICOM file that comes before its Pixel Data, and all that comes after."""
    before, after = BytesIO(), DicomBytesIO()
    head = dataset[:PIXEL_GROUP]
    head.file_meta = dataset.file_meta
    dcmwrite(before, head, implicit_vr=False, little_endian=True, enforce_file_format=True)
    after.is_little_endian, after.is_implicit_VR = True, False
    write_dataset(after, dataset[AFTER_PIXEL_GROUP:], dataset.get("SpecificCharacterSet", "iso8859"))
    return before.getvalue(), after.getvalue()


def write_object(stream: BinaryIO, head_and_tail: tuple[bytes, bytes], frames: Frames, *, length: int) -> None:
    """Write native Pixel Data of `length` bytes, taken frame by frame, between what `encoded` gave.

    Raises:
        UnwritableFileError: the pixels exceed what an uncompressed DICOM file can hold.
        ValueError: the frames do not add up to `length`.
    """
    if length > MOST_PIXEL_BYTES:
        raise UnwritableFileError(
            f"{length} bytes of pixels do not fit into an uncompressed DICOM file",
            hint="compress them, or split the file into fewer frames",
            option="compression",
        )
    head, tail = head_and_tail
    stream.write(head)
    stream.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, length + length % 2))
    written = 0
    for pixels in frames:
        written += stream.write(np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).data)
    if written != length:
        raise ValueError(f"expected {length} bytes of pixels, got {written}")
    stream.write(b"\0" * (length % 2))
    stream.write(tail)


def write_compressed_object(
    stream: BinaryIO, head_and_tail: tuple[bytes, bytes], codestreams: Iterable[bytes], *, count: int
) -> None:
    """Write encapsulated Pixel Data (PS3.5 A.4), one fragment a frame, with an empty offset table.

    Raises:
        UnwritableFileError: a frame exceeds what a fragment can hold.
        ValueError: there are not `count` frames.
    """
    head, tail = head_and_tail
    stream.write(head)
    stream.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, UNDEFINED_LENGTH))
    stream.write(struct.pack("<HHL", *ITEM, 0))
    written = 0
    for codestream in codestreams:
        if len(codestream) > MOST_PIXEL_BYTES:
            raise UnwritableFileError("a compressed frame exceeds 4 GiB", hint="do not compress", option="compression")
        stream.write(struct.pack("<HHL", *ITEM, len(codestream) + len(codestream) % 2))
        stream.write(codestream + b"\0" * (len(codestream) % 2))
        written += 1
    if written != count:
        raise ValueError(f"expected {count} frames, got {written}")
    stream.write(struct.pack("<HHL", *SEQUENCE_DELIMITER, 0))
    stream.write(tail)


def make_explicit(dataset: Dataset, *, swapped: bool) -> None:
    """Turn what was read in another encoding into Explicit VR Little Endian, at every depth.

    Values stay the bytes that they are, in the other order where they are words: pydicom would decode and encode them,
    which not every character set and not every number survives.
    """
    for tag in list(dataset.keys()):
        raw: Any = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and not is_sequence(raw):
            vr = raw.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
            if " or " not in vr and raw.value is not None:
                value = _swapped(raw.value, WORDS.get(vr, 1)) if swapped else raw.value
                dataset[tag] = raw._replace(VR=vr, value=value, is_implicit_VR=False, is_little_endian=True)
                continue
        items_swapped = swapped
        if raw.VR == "UN" and raw.value and is_known_sequence(tag):
            raw = dataset[tag] = as_sequence(raw)
            items_swapped = not raw.is_little_endian
        element: Any = dataset[tag]
        if element.VR == "SQ":
            for item in element.value:
                make_explicit(item, swapped=items_swapped)
        elif swapped and isinstance(element.value, bytes):
            element.value = _swapped(element.value, WORDS.get(element.VR, 1))
    dataset.set_original_encoding(*EXPLICIT_LITTLE_ENDIAN)


def _swapped(value: bytes, width: int) -> bytes:
    """The bytes of each word in the other order; what is left over at the end stays."""
    whole = len(value) - len(value) % width
    return np.frombuffer(value[:whole], f">u{width}").astype(f"<u{width}").tobytes() + value[whole:]
