"""Show a DICOM image as a viewer would: modality, then window or VOI LUT, then polarity (PS3.4 N.2)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from xray_denoise.files.damage import damage_named
from xray_denoise.radiograph import Radiograph, robust_span

PIXEL_GROUP = 0x7FE00000


def displayed_pixels(radiograph: Radiograph, header: Dataset, bits: int) -> NDArray[Any]:
    """The picture on a viewer's screen, bright = bright, uint8 or uint16 over all of `bits`.

    Padding is black. Without a window or VOI LUT the robust range of the image is spread over the screen.
    """
    facts = header[:PIXEL_GROUP]
    with damage_named(radiograph.source):
        values = apply_modality_lut(radiograph.stored, facts)
        shown = _voi(values, facts)
        inverted = radiograph.inverted or facts.get("PresentationLUTShape") == "INVERSE"
    padding = radiograph.padding
    if shown is None:
        lo, hi = robust_span(values, padding)
        shown = (values - lo) / (hi - lo)
    if inverted:
        shown = 1.0 - shown
    if padding is not None:
        shown[padding] = 0.0
    top = 2**bits - 1
    return np.asarray(np.rint(shown.clip(0.0, 1.0) * top), dtype=np.uint8 if bits == 8 else np.uint16)


def _voi(values: NDArray[Any], facts: Dataset) -> NDArray[np.float64] | None:
    """0 is black and 1 is white; None where the image has neither VOI LUT nor window."""
    if facts.get("VOILUTSequence"):
        descriptor = facts.VOILUTSequence[0].LUTDescriptor
        shown = np.asarray(apply_voi(values.astype(np.int64), facts), dtype=np.float64)
        return np.asarray(shown / (2 ** int(descriptor[2]) - 1))
    center, width = _first(facts.get("WindowCenter")), _first(facts.get("WindowWidth"))
    if center is None or width is None or width <= 0:
        return None
    return window(values, center, width, str(facts.get("VOILUTFunction") or "LINEAR"))


def window(values: NDArray[Any], center: float, width: float, function: str) -> NDArray[np.float64]:
    """(0028,1056) *VOI LUT Function* of PS3.3 C.11.2.1.2 and C.11.2.1.3, with 0 for black and 1 for white.

    LINEAR        clip((x - (c - 0.5)) / (w - 1) + 0.5)
    LINEAR_EXACT  clip((x - c) / w + 0.5)
    SIGMOID       1 / (1 + exp(-4 (x - c) / w))
    """
    x = np.asarray(values, dtype=np.float64)
    if function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp((-4.0 * (x - center) / width).clip(-700, 700))))
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, width - 1.0
    if width <= 0:
        return np.asarray(x > center, dtype=np.float64)
    return np.asarray(((x - center) / width + 0.5).clip(0.0, 1.0))


def _first(value: Any) -> float | None:
    """The first of several windows; None for none."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except TypeError:
        return float(value[0]) if len(value) else None
