"""Make DICOM radiographs that no patient ever had, as varied as the devices that write them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

CLASSES = {
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
    "XA": XRayAngiographicImageStorage,
    "RF": XRayRadiofluoroscopicImageStorage,
    "OT": SecondaryCaptureImageStorage,
}
PATIENT = "DOE^JANE"
"""The patient's name: it must not turn up in any message."""


@dataclass(frozen=True)
class Sample:
    """What one synthetic file is like."""

    modality: str = "DX"
    bits: int = 12
    allocated: int = 16
    signed: bool = False
    inverted: bool = False
    padding: int | None = None
    padding_limit: int | None = None
    frames: int = 1
    shape: tuple[int, int] = (24, 21)
    syntax: str = ExplicitVRLittleEndian

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    @property
    def limits(self) -> tuple[int, int]:
        top = 2**self.bits
        return (-(top // 2), top // 2 - 1) if self.signed else (0, top - 1)


SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
]


@st.composite
def samples(draw: st.DrawFn, frames: int = 3) -> Sample:
    """Any modality, depth, sign, polarity, padding, size and lossless syntax, and up to `frames` frames."""
    bits = draw(st.sampled_from([8, 10, 12, 14, 16]))
    sample = Sample(
        modality=draw(st.sampled_from(sorted(CLASSES))),
        bits=bits,
        allocated=8 if bits == 8 and draw(st.booleans()) else 16,
        signed=draw(st.booleans()),
        inverted=draw(st.booleans()),
        frames=draw(st.integers(1, frames)),
        shape=draw(st.tuples(st.integers(10, 14), st.integers(5, 9))),
        syntax=draw(st.sampled_from(SYNTAXES)),
    )
    if bits == 8 and sample.syntax == RLELossless:
        sample = replace(sample, allocated=8)  # pydicom's encoder makes nothing else of 8 bits
    low, high = sample.limits
    padding = draw(st.sampled_from([None, low, high, low + 3]))
    limit = draw(st.sampled_from([None, low, low + 5])) if padding is not None else None
    return replace(sample, padding=padding, padding_limit=limit)


def pixels(sample: Sample, seed: int = 0) -> NDArray[Any]:
    """Random stored values over the whole depth, (frames, rows, columns); a corner is padding if any is."""
    rng = np.random.default_rng(seed)
    low, high = sample.limits
    stored = rng.integers(low, high, (sample.frames, *sample.shape), endpoint=True)
    if sample.padding is not None:
        stored[:, :5, :4] = sample.padding
    if sample.padding_limit is not None:
        stored[:, 5:9, :4] = sample.padding_limit
    return stored.astype(sample.dtype)


def dataset(sample: Sample, stored: NDArray[Any] | None = None) -> Dataset:
    """A complete object around `stored`, by default `pixels(sample)`."""
    stored = pixels(sample) if stored is None else stored
    ds = Dataset()
    _patient_and_study(ds, sample)
    {"CR": _cr, "DX": _dx, "MG": _mg, "XA": _xa, "RF": _xa, "OT": _sc}[sample.modality](ds, sample)
    _pixel_module(ds, sample, stored)
    _private(ds)
    return ds


def write(path: Path, sample: Sample, stored: NDArray[Any] | None = None, **changes: object) -> Path:
    """Write `dataset(sample)` with `changes`: keyword = value; None removes the attribute."""
    ds = dataset(sample, stored)
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return save(path, ds, sample.syntax)


def save(path: Path, ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write `ds`, which holds little-endian pixels, in any uncompressed syntax or RLE."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == RLELossless:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(RLELossless, generate_instance_uid=False, encoding_plugin="pydicom")
    elif syntax == ExplicitVRBigEndian:
        ds.walk(_to_big_endian)
    dcmwrite(path, ds, enforce_file_format=True)
    return path


def element_bytes(ds: Dataset) -> dict[str, bytes]:
    """Every element as Explicit VR Little Endian would write it, by tag."""
    found = {}
    for tag in ds:
        stream = DicomBytesIO()
        stream.is_little_endian, stream.is_implicit_VR = True, False
        one = Dataset()
        one[tag.tag] = tag
        write_dataset(stream, one, ds.get("SpecificCharacterSet", "iso8859"))
        found[str(tag.tag)] = stream.getvalue()
    return found


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def add_overlay(ds: Dataset, mask: NDArray[np.bool_]) -> None:
    """A separate overlay in group 6000."""
    _overlay_head(ds, mask.shape)
    ds.add_new(0x60000100, "US", 1)
    ds.add_new(0x60000102, "US", 0)
    packed = np.packbits(mask, bitorder="little").tobytes()
    ds.add_new(0x60003000, "OW", packed + b"\0" * (len(packed) % 2))


def embed_overlay(ds: Dataset, mask: NDArray[np.bool_], bit: int) -> None:
    """An overlay in a high bit of the pixel words, as before 2004."""
    _overlay_head(ds, mask.shape)
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", bit)
    words = np.frombuffer(ds.PixelData, "<u2") & (2**ds.BitsStored - 1)
    ds.PixelData = (words | (mask.ravel().astype("<u2") << bit)).astype("<u2").tobytes()


def _overlay_head(ds: Dataset, shape: tuple[int, ...]) -> None:
    ds.add_new(0x60000010, "US", shape[0])
    ds.add_new(0x60000011, "US", shape[1])
    ds.add_new(0x60000040, "CS", "G")
    ds.add_new(0x60000050, "SS", [1, 1])


def _to_big_endian(_: Dataset, element: Any) -> None:
    if element.VR == "OW":
        element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()


def _patient_and_study(ds: Dataset, sample: Sample) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = CLASSES[sample.modality]
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4.1", "1.2.3.4.2", "1.2.3.4.3"
    ds.PatientName, ds.PatientID = PATIENT, "PID-4711"
    ds.PatientBirthDate, ds.PatientSex = "19500101", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20200102", "101112", "7", "ACC7"
    ds.AcquisitionDate, ds.AcquisitionTime = "20200102", "101113"
    ds.ContentDate, ds.ContentTime = "20200102", "101114"
    ds.ReferringPhysicianName = "HOUSE^GREGORY"
    ds.Modality = sample.modality
    ds.SeriesNumber, ds.InstanceNumber = "3", "4"
    ds.SeriesDescription = "Chest p.a."
    ds.Manufacturer, ds.ManufacturerModelName = "ACME", "Röntgen 1"
    ds.InstanceCreationDate, ds.InstanceCreationTime = "20200102", "101115"
    ds.PatientOrientation = ["L", "F"]
    ds.BodyPartExamined = "CHEST"
    ds.KVP = "120"
    ds.ExposureInuAs = "2500"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.WindowCenter, ds.WindowWidth = str(sum(sample.limits) // 2), str(2 ** (sample.bits - 1))


def _cr(ds: Dataset, sample: Sample) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.ViewPosition = "PA"
    ds.ImagerPixelSpacing = ["0.2", "0.2"]


def _dx(ds: Dataset, sample: Sample) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageLaterality = "U"
    ds.AnatomicRegionSequence = [code("43799004", "SCT", "Thoracic cavity")]
    ds.AcquisitionContextSequence = []
    ds.DetectorType = "DIRECT"
    ds.ImagerPixelSpacing = ["0.2", "0.2"]
    ds.PositionerType = "NONE"
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if sample.inverted else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "INVERSE" if sample.inverted else "IDENTITY"


def _mg(ds: Dataset, sample: Sample) -> None:
    _dx(ds, sample)
    ds.ImageLaterality = "L"
    ds.BodyPartExamined = "BREAST"
    ds.AnatomicRegionSequence = [code("76752008", "SCT", "Breast")]
    ds.PatientOrientation = ["P", "F"]
    ds.PositionerType = "MAMMOGRAPHIC"
    ds.OrganExposed = "BREAST"
    ds.BreastImplantPresent = "NO"
    ds.PartialView = "NO"
    view = code("399162004", "SCT", "cranio-caudal")
    view.ViewModifierCodeSequence = []
    ds.ViewCodeSequence = [view]


def _xa(ds: Dataset, sample: Sample) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    ds.PixelIntensityRelationship = "LIN"
    ds.RadiationSetting = "GR"
    ds.XRayTubeCurrent, ds.ExposureTime = "10", "5"
    if sample.frames > 1:
        ds.FrameTime = "33"
        ds.FrameIncrementPointer = 0x00181063
        ds.CineRate = "30"
    if sample.modality == "XA":
        ds.PositionerPrimaryAngle = ds.PositionerSecondaryAngle = "0"
        ds.PositionerMotion = "STATIC"


def _sc(ds: Dataset, sample: Sample) -> None:
    ds.ImageType = ["ORIGINAL", "SECONDARY"]
    ds.ConversionType = "DF"


def _pixel_module(ds: Dataset, sample: Sample, stored: NDArray[Any]) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if sample.inverted else "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[-2:]
    if sample.frames > 1:
        ds.NumberOfFrames = str(sample.frames)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = sample.allocated, sample.bits, sample.bits - 1
    ds.PixelRepresentation = int(sample.signed)
    vr = "SS" if sample.signed else "US"
    ds.add_new(0x00280106, vr, int(stored.min()))
    ds.add_new(0x00280107, vr, int(stored.max()))
    if sample.padding is not None:
        ds.add_new(0x00280120, vr, sample.padding)
    if sample.padding_limit is not None:
        ds.add_new(0x00280121, vr, sample.padding_limit)
    words = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    ds.add_new(0x7FE00010, "OW" if sample.allocated > 8 else "OB", words + b"\0" * (len(words) % 2))


def _private(ds: Dataset) -> None:
    block = ds.private_block(0x0009, "ACME DEVICE", create=True)
    block.add_new(0x01, "LO", "detector 5")
    block.add_new(0x02, "OB", bytes(range(16)))
    late = ds.private_block(0x7FE1, "ACME DEVICE", create=True)
    late.add_new(0x01, "OB", bytes(range(32)))
