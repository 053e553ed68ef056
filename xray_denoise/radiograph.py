"""The image type of the package: a radiograph, from the file to the network and back.

    grey   = (stored - lo) * 255 / (hi - lo)                             value_range (lo, hi); bright = dense
    stored = stored - removed * (hi - lo) / 255                          rounded, clipped, padding untouched

An inverted radiograph (MONOCHROME1) has grey = (hi - stored) * 255 / (hi - lo), and the change is added.
Only the change returns to the file, so an unchanged image comes back bit-identical.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.scale import GREY_MAX

ROBUST_QUANTILES = (0.0001, 0.9999)
"""Share of the pixels below and above which a stored value is taken for a defect, text or a marker."""


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """One grey image with all that is needed to write it back.

    Raises:
        ValueError: `stored` is not a 2-D integer array with pixels in it.
        UsageError: the value range is empty, reversed or not finite.
    """

    stored: NDArray[Any]
    """Stored values, (rows, columns), integers in the file's own dtype; kept as a read-only view."""
    value_range: tuple[float, float]
    """Stored values (lo, hi) that map linearly to grey levels 0 and 255; pixels may lie outside."""
    inverted: bool = False
    """True where a high stored value is shown dark: DICOM's MONOCHROME1."""
    padding_range: tuple[int, int] | None = None
    """Lowest and highest stored value that mark a pixel as padding, both included."""
    bits: int = 8
    """Bits that a stored value may use: DICOM's Bits Stored, or the depth of a raster file."""
    signed: bool = False
    """True where stored values are two's complement."""
    header: object | None = None
    """What the file said besides the pixels, untouched; None for an image that was not read from a file."""
    source: Path = Path()
    """The file it came from."""

    def __post_init__(self) -> None:
        if self.stored.ndim != 2 or not self.stored.size or self.stored.dtype.kind not in "iu":
            raise ValueError(f"stored must be a 2-D integer array, got {self.stored.dtype} {self.stored.shape}")
        checked_range(self.value_range)
        view = self.stored.view()
        view.flags.writeable = False
        object.__setattr__(self, "stored", view)

    @classmethod
    def from_grey(cls, grey: NDArray[np.floating], *, bits: int, inverted: bool = False) -> Self:
        """Quantise an image that was never in a file, such as a phantom.

        Args:
            grey: grey levels 0..255 (clipped), (rows, columns).
            bits: bits a stored value may use, 8..16; 0..255 is spread over all of them.
            inverted: store it as MONOCHROME1.
        """
        top = 2**bits - 1
        shown = np.rint(np.clip(np.asarray(grey, dtype=np.float64) / GREY_MAX, 0.0, 1.0) * top)
        stored = (top - shown if inverted else shown).astype(np.uint8 if bits <= 8 else np.uint16)
        return cls(stored, (0.0, float(top)), inverted=inverted, bits=bits)

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest stored value that `bits` can hold."""
        if self.signed:
            return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        return 0, 2**self.bits - 1

    @property
    def black_white(self) -> tuple[float, float]:
        """Stored values at grey levels 0 and 255; the first is the higher one where the image is inverted."""
        lo, hi = self.value_range
        return (hi, lo) if self.inverted else (lo, hi)

    @property
    def is_blank(self) -> bool:
        """Whether all pixels have one stored value, as in frames of a run that were read before the exposure."""
        return bool(self.stored.min() == self.stored.max())

    @property
    def padding(self) -> NDArray[np.bool_] | None:
        """Mask of the pixels that hold no image, (rows, columns); None where no value marks any."""
        if self.padding_range is None:
            return None
        first, last = self.padding_range
        return np.asarray((self.stored >= first) & (self.stored <= last))

    @property
    def grey(self) -> NDArray[np.float32]:
        """Grey levels, bright = dense, (rows, columns), not clipped: 0..255 is the value range.

        Padding is clipped to the value range. Far values would swamp a network that sees them beside the image;
        at the end of the value range they look like the edge of a collimator, which it knows.
        """
        lo, hi = self.value_range
        scale = np.float32(GREY_MAX / (hi - lo))
        grey = self.stored.astype(np.float32)
        grey = np.float32(hi) - grey if self.inverted else grey - np.float32(lo)
        grey *= scale
        padding = self.padding
        if padding is not None:
            np.clip(grey, 0.0, GREY_MAX, out=grey, where=padding)
        return grey

    def with_grey(self, denoised: NDArray[np.floating]) -> Self:
        """The same radiograph with the change from `grey` to `denoised` made to its stored values.

        Args:
            denoised: grey levels, same shape.

        Raises:
            ValueError: the shape differs.
            XrayDenoiseError: a grey level is not finite.
        """
        if denoised.shape != self.stored.shape:
            raise ValueError(f"denoised must have the shape {self.stored.shape}, got {denoised.shape}")
        return self.with_removed(np.subtract(self.grey, denoised, dtype=np.float64))

    def with_removed(self, removed: NDArray[np.floating]) -> Self:
        """Subtract grey levels from the stored values; a pixel from which nothing is removed keeps its stored value.

        Args:
            removed: grey levels, same shape.

        Raises:
            ValueError: the shape differs.
            XrayDenoiseError: a grey level is not finite.
        """
        if removed.shape != self.stored.shape:
            raise ValueError(f"what is removed must have the shape {self.stored.shape}, got {removed.shape}")
        change = removed.astype(np.float64)
        if not np.isfinite(change).all():
            raise XrayDenoiseError(
                "the denoised image of {path} contains NaN or infinity",
                path=self.source,
                hint="try 32-bit arithmetic; if that does not help, please report it",
                option="precision",
            )
        untouched = change == 0
        lo, hi = self.value_range
        change *= (hi - lo if self.inverted else lo - hi) / GREY_MAX
        change += self.stored
        np.rint(change, out=change)
        np.clip(change, *self.limits, out=change)
        if self.padding_range is not None:
            first, last = self.padding_range
            became_padding = (change >= first) & (change <= last)
            change[became_padding & (self.stored < first)] = first - 1
            change[became_padding & (self.stored > last)] = last + 1
            untouched |= (self.stored >= first) & (self.stored <= last)
        stored = change.astype(self.stored.dtype)
        np.copyto(stored, self.stored, where=untouched)
        return replace(self, stored=stored)

    def with_value_range(self, lo: float, hi: float) -> Self:
        """The same radiograph with stored values `lo`..`hi` as grey levels 0..255.

        Raises:
            UsageError: `lo` is not below `hi`, or one is not finite.
        """
        return replace(self, value_range=(lo, hi))


def checked_range(given: tuple[float, float]) -> tuple[float, float]:
    """The values that are shown black and white.

    Raises:
        UsageError: they are not two, the first is not below the second, or one is not finite.
    """
    ends = tuple(float(end) for end in given)
    if len(ends) != 2 or not all(map(math.isfinite, ends)) or ends[0] >= ends[1]:
        raise UsageError(
            f"a value range must go from a lower to a higher value, got {', '.join(f'{end:g}' for end in ends)}",
            hint="for example 0,4095",
            option="value_range",
        )
    return ends[0], ends[1]


def robust_range(values: NDArray[Any], padding: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """The range without outliers: the 0.01 and 99.99 percentile (nearest rank), padding left out.

    Where the percentiles fall together it is the whole range, and (v, v + 1) for an image of one value v.
    """
    pixels = values.ravel() if padding is None else values[~padding]
    if not pixels.size:
        pixels = values.ravel()
    ranked = np.sort(pixels)  # a radix sort for 16-bit integers: ten times faster than np.percentile
    low, high = (round(quantile * (ranked.size - 1)) for quantile in ROBUST_QUANTILES)
    for first, last in ((low, high), (0, -1)):
        if ranked[first] < ranked[last]:
            return float(ranked[first]), float(ranked[last])
    return float(ranked[0]), float(ranked[0]) + 1.0
