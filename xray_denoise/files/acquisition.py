"""Pixel pitch and linearity in the exposure, from the header of a DICOM file."""

import math
from dataclasses import dataclass
from typing import Any

from xray_denoise.files.damage import as_unreadable
from xray_denoise.radiograph import Radiograph

PITCHES = (
    ("ImagerPixelSpacing", "Imager Pixel Spacing (0018,1164)"),
    ("DetectorElementSpacing", "Detector Element Spacing (0018,7022)"),
    ("PixelSpacing", "Pixel Spacing (0028,0030)"),
)
"""Attributes in the order in which they are asked. The first is at the front of the detector and counts binned pixels;
the last may be calibrated to the patient (PS3.3, 10.7.1.3)."""
PRESENTATION_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.1.3",
)
"""DX, MG and intra-oral images for presentation: processed for display."""
LARGEST_PITCH = 100.0
"""mm; what claims more is damaged."""


@dataclass(frozen=True, slots=True)
class PixelPitch:
    """Distance of pixels."""

    rows: float
    """Between the centres of neighbouring rows, mm."""
    columns: float
    """Between the centres of neighbouring columns, mm."""
    source: str
    """Where it is from, such as "Imager Pixel Spacing (0018,1164)"."""


def pixel_pitch(radiograph: Radiograph) -> PixelPitch | None:
    """The pitch of the pixels of a DICOM image; None where it is not known, or the image is no DICOM image."""
    header = radiograph.header
    if not hasattr(header, "PixelRepresentation"):
        return None
    with as_unreadable(radiograph.source):
        for keyword, source in PITCHES:
            pitch = _two_numbers(getattr(header, keyword, None))
            if pitch:
                return PixelPitch(*pitch, source)
    return None


def _two_numbers(value: Any) -> tuple[float, float] | None:
    """Row and column spacing, if they are two plausible lengths."""
    try:
        rows, columns = (float(number) for number in value)
    except (TypeError, ValueError):
        return None
    plausible = all(math.isfinite(number) and 0 < number <= LARGEST_PITCH for number in (rows, columns))
    return (rows, columns) if plausible else None


def linearity_doubts(radiograph: Radiograph) -> tuple[str, ...]:
    """Sentences without a subject on why stored values may not be linear in the exposure; usually none."""
    header: Any = radiograph.header
    if not hasattr(header, "PixelRepresentation"):
        return ()
    found = []
    with as_unreadable(radiograph.source):
        if str(header.get("SOPClassUID", "")) in PRESENTATION_CLASSES:
            found.append("is an image for presentation, which was processed: use images for processing")
        relationship = str(header.get("PixelIntensityRelationship") or "")
        if relationship and relationship != "LIN":
            known = "logarithmic" if relationship == "LOG" else "not linear"
            found.append(f"has stored values that are {known} in the exposure (0028,1040)")
    return tuple(found)
