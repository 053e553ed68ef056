"""Show a DICOM image as a viewer would: modality, then window or VOI LUT, then polarity (PS3.4 N.2)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xray_denoise.files.damage import damage_named
from xray_denoise.radiograph import Radiograph, robust_span

PIXEL_GROUP = 0x7FE00000
MOST_LUT_INDEX = 2**31
"""Beyond all tables: their first value and their length take 16 bits each."""


def displayed_pixels(radiograph: Radiograph, header: Dataset, bits: int) -> NDArray[Any]:
    """The picture on a viewer's screen, bright = bright, uint8 or uint16 over all of `bits`.

    Padding is black. Without a window or VOI LUT the robust range of the image is spread over the screen.
    """
    facts = header[:PIXEL_GROUP]
    little_endian = bool(header.file_meta.TransferSyntaxUID.is_little_endian)
    with damage_named(radiograph.source):
        values, negative = _modality(radiograph, facts, little_endian=little_endian)
        shown = _voi(values, facts, negative=negative, little_endian=little_endian)
        shape = facts.get("PresentationLUTShape")
        inverted = shape == "INVERSE" if shape in ("IDENTITY", "INVERSE") else radiograph.inverted
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


def _modality(radiograph: Radiograph, facts: Dataset, *, little_endian: bool) -> tuple[NDArray[Any], bool]:
    """Stored values through (0028,3000) *Modality LUT Sequence*, or by rescale slope and intercept.

    Returns:
        The values, and whether any stored value of this depth would become a negative one.
    """
    if facts.get("ModalityLUTSequence"):
        item = facts.ModalityLUTSequence[0]
        return through_lut(radiograph.stored, item, signed=radiograph.signed, little_endian=little_endian)[0], False
    slope, intercept = facts.get("RescaleSlope"), facts.get("RescaleIntercept")
    if slope is None or intercept is None:
        return radiograph.stored, radiograph.signed
    slope, intercept = _number(slope), _number(intercept)
    ends = np.array(radiograph.limits) * slope + intercept
    if not np.isfinite(ends).all():
        raise ValueError("the rescaled values are no numbers")
    return np.asarray(radiograph.stored * slope + intercept), bool(ends.min() < 0)


def _voi(values: NDArray[Any], facts: Dataset, *, negative: bool, little_endian: bool) -> NDArray[np.float64] | None:
    """0 is black and 1 is white; None where the image has neither VOI LUT nor window."""
    if facts.get("VOILUTSequence"):
        whole = np.rint(np.clip(values, -MOST_LUT_INDEX, MOST_LUT_INDEX)).astype(np.int64)
        shown, top = through_lut(whole, facts.VOILUTSequence[0], signed=negative, little_endian=little_endian)
        return np.asarray(shown / top, dtype=np.float64)
    center, width = _first(facts.get("WindowCenter")), _first(facts.get("WindowWidth"))
    if center is None or width is None or width <= 0:
        return None
    return window(values, center, width, str(facts.get("VOILUTFunction") or "LINEAR"))


def through_lut(
    values: NDArray[Any], item: Dataset, *, signed: bool, little_endian: bool
) -> tuple[NDArray[np.int64], int]:
    """Look values up in (0028,3002) *LUT Descriptor* and (0028,3006) *LUT Data* (PS3.3 C.11.1, C.11.2).

    Args:
        values: integers; below and above the table its first and last entry hold.
        item: of a Modality or VOI LUT Sequence.
        signed: whether the first value mapped is signed.
        little_endian: the byte order of the file, which LUT Data keeps where it is OW.

    Returns:
        The entries, and the largest that its number of bits can hold.
    """
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    entries, first = entries or 0x10000, first % 0x10000
    if signed and first >= 0x8000:
        first -= 0x10000
    data = item.LUTData
    if isinstance(data, bytes):
        narrow = bits <= 8 and len(data) < 2 * entries
        table = np.frombuffer(data, "u1" if narrow else "<u2" if little_endian else ">u2")
    else:
        table = np.atleast_1d(np.asarray(data, dtype=np.int64)) % 0x10000
    if table.size < entries or not 0 < bits <= 16:
        raise ValueError("the LUT is shorter than it says")
    top = 2**bits - 1
    return table[:entries].astype(np.int64)[np.clip(values.astype(np.int64) - first, 0, entries - 1)] & top, top


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
        return _number(value)
    except TypeError:
        return _number(value[0]) if len(value) else None


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a decimal string is no number")
    return number
