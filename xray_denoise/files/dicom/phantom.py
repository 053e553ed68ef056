"""A new DICOM object for a phantom: an image of a DX detector without a patient."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation

from xray_denoise import __version__
from xray_denoise.files.dicom.write import TOOL, file_meta, new_uid


def new_dx(
    pixels: NDArray[Any],
    *,
    bits: int,
    spacing_mm: float = 0.4,
    inverted: bool = False,
    patient_id: str = "PHANTOM",
    entropy: str = "",
) -> Dataset:
    """A Digital X-Ray Image for presentation, equal arguments give an equal object.

    Save it with `save_as(path, enforce_file_format=True)`. Its dates are empty: it was never exposed.

    Args:
        pixels: stored values, unsigned integers of at most `bits` bits, (rows, columns).
        bits: bits a stored value may use, 8..16.
        spacing_mm: distance between the centres of neighbouring detector elements, millimetres.
        inverted: the pixels are MONOCHROME1, high values dark.
        patient_id: identifier and name of the phantom.
        entropy: distinguishes objects with equal pixels.

    Raises:
        ValueError: the pixels are signed, do not fit into `bits`, or are not two-dimensional.
    """
    if pixels.ndim != 2 or pixels.dtype.kind != "u" or not 8 <= bits <= 16 or int(pixels.max()) >= 2**bits:
        raise ValueError(f"pixels must be 2-D, unsigned and of {bits} bits (8..16), got {pixels.dtype} {pixels.shape}")
    words = np.ascontiguousarray(pixels, dtype="u1" if bits == 8 else "<u2").tobytes()
    name = (hashlib.sha256(words).hexdigest(), str(bits), str(pixels.shape), patient_id, entropy)
    dataset = Dataset()
    _patient_and_study(dataset, patient_id, name)
    _acquisition(dataset, spacing_mm)
    _image(dataset, pixels, bits, inverted=inverted)
    dataset.add_new(0x7FE00010, "OB" if bits == 8 else "OW", words + b"\0" * (len(words) % 2))
    dataset.file_meta = file_meta(dataset)
    return dataset


def _patient_and_study(dataset: Dataset, patient_id: str, name: tuple[str, ...]) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = new_uid("phantom instance", *name)
    dataset.StudyInstanceUID = new_uid("phantom study", *name)
    dataset.SeriesInstanceUID = new_uid("phantom series", *name)
    dataset.PatientName, dataset.PatientID = f"{patient_id}^SIMULATED", patient_id
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = ""
    dataset.StudyID = "1"
    dataset.ReferringPhysicianName = ""
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.SeriesDescription = "Simulated exposure of a phantom"
    dataset.ContentDate = dataset.ContentTime = ""
    dataset.AcquisitionDate = dataset.AcquisitionTime = ""
    dataset.Manufacturer = TOOL
    dataset.ManufacturerModelName = TOOL
    dataset.SoftwareVersions = __version__


def _acquisition(dataset: Dataset, spacing_mm: float) -> None:
    chest = Dataset()
    chest.CodeValue, chest.CodingSchemeDesignator, chest.CodeMeaning = "43799004", "SCT", "Thoracic cavity"
    dataset.AnatomicRegionSequence = [chest]
    dataset.BodyPartExamined = "CHEST"
    dataset.ImageLaterality = "U"
    dataset.PatientOrientation = ["L", "F"]
    dataset.AcquisitionContextSequence = []
    dataset.DetectorType = ""
    dataset.ImagerPixelSpacing = [spacing_mm, spacing_mm]
    dataset.PositionerType = "NONE"


def _image(dataset: Dataset, pixels: NDArray[Any], bits: int, *, inverted: bool) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.DerivationDescription = "Computed, not acquired: a simulated exposure of a phantom"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = 8 if bits == 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if inverted else -1  # bright = dense = less intensity
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits - 1), 2**bits
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
