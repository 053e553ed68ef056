"""Show a DICOM image as a viewer would: modality, then window or VOI LUT, then polarity (PS3.4 N.2)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage

from xray_denoise.files.damage import as_unreadable
from xray_denoise.files.dicom.layout import fact
from xray_denoise.radiograph import Radiograph, robust_range

PIXEL_GROUP = 0x7FE00000
MOST_LUT_INDEX = 2**31
"""Beyond all tables: their first value and their length take 16 bits each."""
MOST_LUT_BYTES = 2 * 0x10000
WITHOUT_MODALITY = (XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage)
"""Classes whose Modality LUT and rescale are not for display (PS3.4 N.2.1.2)."""
DARK = 4
"""A table whose largest entry is this many times below what its bits can hold shows the image dark."""


@dataclass(frozen=True, slots=True)
class Lut:
    """A table of PS3.3 C.11.1 or C.11.2, as long as its data are."""

    first: int
    """(0028,3002) *LUT Descriptor*: the first value mapped, unsigned."""
    bits: int
    """Of an entry, 8 to 16."""
    entries: NDArray[np.int64]
    claimed: int
    """Entries that the descriptor speaks of."""

    @property
    def top(self) -> int:
        """The largest entry that `bits` can hold."""
        return int(2**self.bits - 1)

    def look_up(self, values: NDArray[Any], *, signed: bool) -> NDArray[np.int64]:
        """The entries of integers; below and above the table its first and last entry hold.

        Args:
            values: what is looked up.
            signed: whether the first value mapped is signed.
        """
        first = self.first - 0x10000 if signed and self.first >= 0x8000 else self.first
        return self.entries[np.clip(values.astype(np.int64) - first, 0, self.entries.size - 1)] & self.top


def displayed_pixels(
    radiograph: Radiograph, header: Dataset, bits: int, shown_range: tuple[float, float] | None = None
) -> NDArray[Any]:
    """The picture on a viewer's screen, bright = bright, uint8 or uint16 over all of `bits`; padding is black.

    Args:
        radiograph: the image, or a frame.
        header: of its file.
        bits: 8 or 16.
        shown_range: what is spread over the screen where the file has neither window nor VOI LUT, see
            `range_of_frames`; by default the robust range of this image.
    """
    facts = header[:PIXEL_GROUP]
    little_endian = bool(header.file_meta.TransferSyntaxUID.is_little_endian)
    with as_unreadable(radiograph.source):
        values, negative = _modality(radiograph, facts, little_endian=little_endian)
        shown = _voi(values, facts, negative=negative, little_endian=little_endian)
        shape = fact(facts, "PresentationLUTShape")
        inverted = shape == "INVERSE" if shape in ("IDENTITY", "INVERSE") else radiograph.inverted
    padding = radiograph.padding
    if shown is None:
        lo, hi = shown_range or robust_range(values, padding)
        shown = (values - lo) / (hi - lo)
    if inverted:
        shown = 1.0 - shown
    if padding is not None:
        shown[padding] = 0.0
    top = 2**bits - 1
    return np.asarray(np.rint(shown.clip(0.0, 1.0) * top), dtype=np.uint8 if bits == 8 else np.uint16)


def range_of_frames(frames: Iterable[Radiograph], header: Dataset) -> tuple[float, float]:
    """The values, after the modality transformation, that pictures of all frames of a run show black and white.

    From the lowest to the highest end of the frames' robust ranges, so that a change of brightness between frames is
    seen. Blank frames, of one value, do not count unless all are blank.
    """
    facts = header[:PIXEL_GROUP]
    little_endian = bool(header.file_meta.TransferSyntaxUID.is_little_endian)
    exposed: list[tuple[float, float]] = []
    blank: list[tuple[float, float]] = []
    for frame in frames:
        with as_unreadable(frame.source):
            values, _ = _modality(frame, facts, little_endian=little_endian)
        (blank if frame.is_blank else exposed).append(robust_range(values, frame.padding))
    lows, highs = zip(*(exposed or blank), strict=True)
    return min(lows), max(highs)


def has_window(header: Dataset) -> bool:
    """Whether the file has a window or a VOI LUT that pictures of it use."""
    facts = header[:PIXEL_GROUP]
    little_endian = bool(header.file_meta.TransferSyntaxUID.is_little_endian)
    return _voi_lut(facts, little_endian=little_endian) is not None or _window(facts) is not None


def caveats(header: Dataset) -> tuple[str, ...]:
    """Contradictions in the header that affect how the image is displayed; sentences without a subject."""
    facts = header[:PIXEL_GROUP]
    little_endian = bool(header.file_meta.TransferSyntaxUID.is_little_endian)
    found = []
    if has_modality(facts) and _rescale(facts) == (0.0, None):
        found.append("its Rescale Slope is 0, so pictures of it do without rescaling")
    for kind, keyword in (("Modality", "ModalityLUTSequence"), ("VOI", "VOILUTSequence")):
        if fact(facts, keyword) is None or (kind == "Modality" and not has_modality(facts)):
            continue
        lut = lut_of(facts, keyword, little_endian=little_endian)
        if lut is None:
            found.append(f"its {kind} LUT is empty or damaged, so pictures of it do without")
        elif lut.entries.size != lut.claimed:
            instead = "the window" if kind == "VOI" and _voi_lut(facts, little_endian=little_endian) is None else "them"
            size = lut.entries.size
            found.append(f"its {kind} LUT has {size} entries where it says {lut.claimed}; pictures of it use {instead}")
        if kind == "VOI" and lut is not None and int(lut.entries.max()) < lut.top // DARK:
            found.append(f"its VOI LUT uses few of the {lut.bits} bits that it says, so pictures of it are dark")
    return tuple(found)


def has_modality(facts: Dataset) -> bool:
    """Whether (0028,3000) *Modality LUT Sequence* or rescale slope and intercept are for display."""
    return fact(facts, "SOPClassUID") not in WITHOUT_MODALITY


def _modality(radiograph: Radiograph, facts: Dataset, *, little_endian: bool) -> tuple[NDArray[Any], bool]:
    """Stored values through (0028,3000) *Modality LUT Sequence*, or by rescale slope and intercept.

    Returns:
        The values, and whether any stored value of this depth would become a negative one.
    """
    if not has_modality(facts):
        return radiograph.stored, radiograph.signed
    lut = lut_of(facts, "ModalityLUTSequence", little_endian=little_endian)
    if lut is not None:
        return lut.look_up(radiograph.stored, signed=radiograph.signed), False
    slope, intercept = _rescale(facts)
    if intercept is None:
        return radiograph.stored, radiograph.signed
    ends = np.array(radiograph.limits) * slope + intercept
    if not np.isfinite(ends).all():
        raise ValueError("the rescaled values are no numbers")
    return np.asarray(radiograph.stored * slope + intercept), bool(ends.min() < 0)


def _rescale(facts: Dataset) -> tuple[float, float | None]:
    """(0028,1053) *Rescale Slope* and (0028,1052) *Rescale Intercept*.

    (1, None) without one of them, (0, None) for a slope of 0.
    """
    slope, intercept = _first(fact(facts, "RescaleSlope")), _first(fact(facts, "RescaleIntercept"))
    if slope is None or intercept is None:
        return 1.0, None
    return slope, intercept if slope else None


def _voi(values: NDArray[Any], facts: Dataset, *, negative: bool, little_endian: bool) -> NDArray[np.float64] | None:
    """0 is black and 1 is white; None where the image has neither VOI LUT nor window."""
    lut = _voi_lut(facts, little_endian=little_endian)
    if lut is not None:
        whole = np.rint(np.clip(values, -MOST_LUT_INDEX, MOST_LUT_INDEX)).astype(np.int64)
        return np.asarray(lut.look_up(whole, signed=negative) / lut.top, dtype=np.float64)
    limits = _window(facts)
    return None if limits is None else window(values, *limits, str(fact(facts, "VOILUTFunction") or "LINEAR"))


def _voi_lut(facts: Dataset, *, little_endian: bool) -> Lut | None:
    """The first VOI LUT, unless it lacks entries where a window could do its work."""
    lut = lut_of(facts, "VOILUTSequence", little_endian=little_endian)
    return None if lut is not None and lut.entries.size < lut.claimed and _window(facts) is not None else lut


def _window(facts: Dataset) -> tuple[float, float] | None:
    """Center and width of the first window."""
    center, width = _first(fact(facts, "WindowCenter")), _first(fact(facts, "WindowWidth"))
    return None if center is None or width is None or width <= 0 else (center, width)


def lut_of(facts: Dataset, keyword: str, *, little_endian: bool) -> Lut | None:
    """The table in the first item of a sequence; None where there is none that could be used.

    It is as long as (0028,3006) *LUT Data* is: where the descriptor says another length, DCMTK shows the same.

    Args:
        facts: the data set.
        keyword: Modality or VOI LUT Sequence.
        little_endian: the byte order of the file, which LUT Data keeps where it is OW.
    """
    items = fact(facts, keyword)
    try:
        claimed, first, bits = (int(number) for number in fact(items[0], "LUTDescriptor"))
        data = _cut(items[0], "LUTData", MOST_LUT_BYTES).LUTData
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    claimed = claimed or 0x10000
    if isinstance(data, bytes):
        narrow = bits <= 8 and len(data) < 2 * claimed
        form = "u1" if narrow else "<u2" if little_endian else ">u2"
        data = data[: len(data) - len(data) % np.dtype(form).itemsize][:MOST_LUT_BYTES]
        table = np.frombuffer(data, form)
        table = table[:claimed] if table.size == claimed + narrow else table  # a byte of padding
    else:
        table = np.atleast_1d(np.asarray([] if data is None else data, dtype=np.int64)) % 0x10000
    if not table.size:
        return None
    if not 8 <= bits <= 16:
        bits = min(max(int(table.max()).bit_length(), 8), 16)
    return Lut(first % 0x10000, bits, table.astype(np.int64), claimed)


def _cut(item: Dataset, keyword: str, most: int) -> Dataset:
    """The item with no more than `most` bytes of an element: pydicom makes a number of each word."""
    item = item[:PIXEL_GROUP]
    raw: Any = item.get_item(keyword)
    if isinstance(raw, RawDataElement) and raw.value and len(raw.value) > most:
        item[raw.tag] = raw._replace(value=raw.value[:most])
    return item


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
        return _number(value[0]) if len(value) and value[0] not in (None, "") else None


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a decimal string is no number")
    return number
