"""Write a denoised DICOM image: a new object of the same study that says where it comes from.

docs/dicom.md lists every attribute that changes; all others are copied undecoded from the source.
"""

import copy
import re
import struct
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from pydicom import dcmwrite
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from xray_denoise import __version__
from xray_denoise.errors import UnwritableFileError
from xray_denoise.files import Private
from xray_denoise.files.derivation import Derivation
from xray_denoise.files.dicom.guard import is_sequence
from xray_denoise.files.dicom.layout import fact

Frames = Iterable[np.ndarray[Any, Any]]

TOOL = "xray-denoise"
UID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, TOOL)
"""Names every identifier that this package makes."""
IMPLEMENTATION_UID = f"2.25.{uuid.uuid5(UID_NAMESPACE, 'implementation').int}"
MARKER, SEPARATOR = " [denoised]", " | "
LONG_STRING, SHORT_TEXT = 64, 1024
"""Characters that DICOM allows in the value representations LO and ST."""
NEW_SERIES_OFFSET = 1000
LAST_SERIES_NUMBER = 2**31 - 1
MOST_PIXEL_BYTES = 2**32 - 2
UNDEFINED_LENGTH = 2**32 - 1
ITEM, SEQUENCE_DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)

PIXEL_GROUP, AFTER_PIXEL_GROUP = 0x7FE00000, 0x7FE10000
STALE = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "HistogramSequence",
    "IconImageSequence",
    "MACParametersSequence",
    "DigitalSignaturesSequence",
)
"""Attributes that were true of the source's pixels only."""
DX_FAMILY = "1.2.840.10008.5.1.4.1.1.1."
LOSSY_SYNTAXES = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")
"""JPEG baseline, JPEG extended and JPEG-LS near-lossless: never without loss."""
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


def derived_header(
    header: FileDataset,
    derivation: Derivation,
    now: datetime,
    *,
    syntax: UID = ExplicitVRLittleEndian,
    private: Private = "keep",
) -> Dataset:
    """A copy of `header` without pixels, changed to describe the derived image; `header` stays as it is.

    Args:
        header: the source, as `files.read` gives it.
        derivation: what was done.
        now: the time of writing, with its time zone.
        syntax: the transfer syntax that the derived image is written in.
        private: whether private groups stay, at any depth.
    """
    facts = header[:PIXEL_GROUP]
    derived = header[:PIXEL_GROUP]
    for tag, element in header[AFTER_PIXEL_GROUP:].items():
        derived[tag] = element
    if header.original_encoding != EXPLICIT_LITTLE_ENDIAN:
        derived = copy.deepcopy(derived)
        _make_explicit(derived, swapped=not header.file_meta.TransferSyntaxUID.is_little_endian)
    sop_class, instance = str(facts.SOPClassUID), str(facts.SOPInstanceUID)
    series = str(fact(facts, "SeriesInstanceUID") or fact(facts, "StudyInstanceUID") or instance)

    _put(derived, "SOPInstanceUID", new_uid("instance", instance, *derivation.identity))
    _put(derived, "SeriesInstanceUID", new_uid("series", series, *derivation.identity))
    _put(derived, "SeriesNumber", min(_series_number(facts) + NEW_SERIES_OFFSET, LAST_SERIES_NUMBER))
    _put(derived, "SamplesPerPixel", 1)
    _put(derived, "SeriesDescription", _extended(header, "SeriesDescription", MARKER, LONG_STRING))
    _put(derived, "ImageType", _image_type(fact(facts, "ImageType"), sop_class))
    sentence = SEPARATOR + derivation.sentence[: SHORT_TEXT - len(SEPARATOR)]
    _put(derived, "DerivationDescription", _extended(header, "DerivationDescription", sentence, SHORT_TEXT))
    codes = [*_items(facts, "DerivationCodeSequence"), _code("113087", "Smoothing")]
    _put(derived, "DerivationCodeSequence", Sequence(codes))
    _put(derived, "SourceImageSequence", Sequence([_source_image(sop_class, instance)]))
    now = now.astimezone(_time_zone(facts) or now.tzinfo)
    equipment = [*_items(facts, "ContributingEquipmentSequence"), _equipment(derivation, now)]
    _put(derived, "ContributingEquipmentSequence", Sequence(equipment))
    for event in ("InstanceCreation", "Content"):
        _put(derived, f"{event}Date", now.strftime("%Y%m%d"))
        _put(derived, f"{event}Time", now.strftime("%H%M%S.%f"))
    if header.file_meta.TransferSyntaxUID in LOSSY_SYNTAXES:
        _put(derived, "LossyImageCompression", "01")
    for keyword in STALE:
        derived.pop(keyword, None)
    if private == "drop":
        derived = copy.deepcopy(derived)
        _drop_private(derived)
    derived.file_meta = file_meta(derived, syntax)
    return derived


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


def _put(dataset: Dataset, keyword: str, value: object) -> None:
    """Replace the element: assignment would change the one that the source still holds."""
    dataset.add_new(keyword, dictionary_VR(keyword), value)


def _drop_private(dataset: Dataset) -> None:
    """Remove private elements at every depth; no other is decoded."""
    for tag in list(dataset.keys()):
        element: Any = dataset.get_item(tag)
        if tag.is_private:
            del dataset[tag]
        elif is_sequence(element) if isinstance(element, RawDataElement) else element.VR == "SQ":
            for item in dataset[tag].value:
                _drop_private(item)


def _series_number(facts: Dataset) -> int:
    """(0020,0011) *Series Number*; 0 where it is missing or none."""
    element: Any = facts.get_item("SeriesNumber") if "SeriesNumber" in facts else None
    value = getattr(element, "value", None)
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return int(text) if re.fullmatch(r"[+-]?\d{1,12}", text := text.strip(" \0")) else 0


def _items(facts: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, none where the element is missing or something else."""
    value = fact(facts, keyword)
    return list(value) if isinstance(value, Sequence) else []


def _extended(header: Dataset, keyword: str, addition: str, most: int) -> str | bytes:
    """A text of the source and `addition`, in ASCII, behind it; `most` characters, of which the first give way.

    Where both fit, the bytes of the source stay: not every character set that it may be in can be written again.
    """
    element = header.get_item(tag_for_keyword(keyword) or 0) if keyword in header else None
    earlier = _text(fact(header[:PIXEL_GROUP], keyword))
    if isinstance(element, RawDataElement) and element.value and len(earlier) + len(addition) <= most:
        return element.value.rstrip(b" \0") + addition.encode("ascii")
    return earlier[: most - len(addition)] + addition if earlier else addition.removeprefix(SEPARATOR).strip()


def _text(value: Any) -> str:
    """The text of an element; a backslash in it has made a list of it."""
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else "/".join(str(part) for part in value)


def _image_type(value: Any, sop_class: str) -> list[str]:
    parts = [value] if isinstance(value, str) else list(value or [])
    parts = ["DERIVED", *(str(part) for part in parts[1:] or ["SECONDARY"])]
    if sop_class.startswith(DX_FAMILY) and len(parts) == 2:
        parts.append("")  # DX wants a third value, and wants it empty
    return parts


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _source_image(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = [_code("121322", "Source image for image processing operation")]
    return item


def _equipment(derivation: Derivation, now: datetime) -> Dataset:
    item = Dataset()
    item.Manufacturer = TOOL
    item.ManufacturerModelName = derivation.model[:LONG_STRING]
    item.SoftwareVersions = __version__
    item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S.%f%z")
    item.ContributionDescription = derivation.sentence[:SHORT_TEXT]
    item.PurposeOfReferenceCodeSequence = [_code("109102", "Processing Equipment")]
    return item


def _time_zone(facts: Dataset) -> timezone | None:
    """(0008,0201) *Timezone Offset From UTC*, in which all times of the object are given."""
    match = re.fullmatch(r"([+-])(\d\d)(\d\d)", str(fact(facts, "TimezoneOffsetFromUTC") or "").strip())
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if offset >= timedelta(days=1):
        return None
    return timezone(-offset if match[1] == "-" else offset)


def _make_explicit(dataset: Dataset, *, swapped: bool) -> None:
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
        element: Any = dataset[tag]
        if element.VR == "SQ":
            for item in element.value:
                _make_explicit(item, swapped=swapped)
        elif swapped and isinstance(element.value, bytes):
            element.value = _swapped(element.value, WORDS.get(element.VR, 1))
    dataset.set_original_encoding(*EXPLICIT_LITTLE_ENDIAN)


def _swapped(value: bytes, width: int) -> bytes:
    """The bytes of each word in the other order; what is left over at the end stays."""
    whole = len(value) - len(value) % width
    return np.frombuffer(value[:whole], f">u{width}").astype(f"<u{width}").tobytes() + value[whole:]
