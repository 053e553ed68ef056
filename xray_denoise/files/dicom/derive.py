"""The header of a derived DICOM image: a new object of the same study that says where it comes from.

docs/dicom.md lists every attribute that changes; all others are copied undecoded from the source.
"""

import copy
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from xray_denoise import __version__
from xray_denoise.files import Private
from xray_denoise.files.derivation import Provenance
from xray_denoise.files.dicom.guard import as_sequence, is_sequence, is_unknown
from xray_denoise.files.dicom.layout import fact
from xray_denoise.files.dicom.write import (
    AFTER_PIXEL_GROUP,
    EXPLICIT_LITTLE_ENDIAN,
    PIXEL_GROUP,
    TOOL,
    file_meta,
    make_explicit,
    new_uid,
)

SEPARATOR = " | "
LONG_STRING, SHORT_TEXT = 64, 1024
"""Characters that DICOM allows in the value representations LO and ST."""
NEW_SERIES_OFFSET = 1000
LAST_SERIES_NUMBER = 2**31 - 1
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


def derived_header(
    header: FileDataset,
    derivation: Provenance,
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
        make_explicit(derived, swapped=not header.file_meta.TransferSyntaxUID.is_little_endian)
    sop_class, instance = str(facts.SOPClassUID), str(facts.SOPInstanceUID)
    series = str(fact(facts, "SeriesInstanceUID") or fact(facts, "StudyInstanceUID") or instance)

    _put(derived, "SOPInstanceUID", new_uid("instance", instance, *derivation.identity))
    _put(derived, "SeriesInstanceUID", new_uid("series", series, *derivation.identity))
    _put(derived, "SeriesNumber", min(_series_number(facts) + NEW_SERIES_OFFSET, LAST_SERIES_NUMBER))
    _put(derived, "SamplesPerPixel", 1)
    _put(derived, "SeriesDescription", _extended(header, "SeriesDescription", f" [{derivation.marker}]", LONG_STRING))
    _put(derived, "ImageType", _image_type(fact(facts, "ImageType"), sop_class))
    sentence = SEPARATOR + derivation.sentence[: SHORT_TEXT - len(SEPARATOR)]
    _put(derived, "DerivationDescription", _extended(header, "DerivationDescription", sentence, SHORT_TEXT))
    if derivation.code:
        codes = [*_items(facts, "DerivationCodeSequence"), _code(*derivation.code)]
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


def contributions(facts: Dataset) -> list[str]:
    """What of this package made an image, or one that it is derived from: names of models, first to last.

    Args:
        facts: a header without pixels, whose (0018,A001) *Contributing Equipment Sequence* tells.
    """
    return [
        str(fact(item, "ManufacturerModelName") or "")
        for item in _items(facts, "ContributingEquipmentSequence")
        if fact(item, "Manufacturer") == TOOL
    ]


def _put(dataset: Dataset, keyword: str, value: object) -> None:
    """Replace the element: assignment would change the one that the source still holds."""
    dataset.add_new(keyword, dictionary_VR(keyword), value)


def _drop_private(dataset: Dataset) -> None:
    """Remove private elements at every depth; no other is decoded.

    Items in an element of unknown representation (UN) become a sequence, since they may hold private elements too.
    """
    for tag in list(dataset.keys()):
        element: Any = dataset.get_item(tag)
        if tag.is_private:
            del dataset[tag]
        elif is_sequence(element):
            unknown = is_unknown(element)
            if unknown:
                element = dataset[tag] = as_sequence(element)
            for item in dataset[tag].value:
                if unknown:
                    make_explicit(item, swapped=not element.is_little_endian)
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


def _equipment(derivation: Provenance, now: datetime) -> Dataset:
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
