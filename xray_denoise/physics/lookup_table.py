"""From linear exposure to grey levels: the look-up tables of detectors."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.profile import Values
from xray_denoise.scale import GREY_MAX

Curve = Literal["raw", "square root", "logarithm"]


@dataclass(frozen=True, slots=True)
class LookUpTable:
    """How linear exposure becomes grey level: a compression, then a tone curve.

        raw            u = s / full
        square root    u = sqrt(s / full)
        logarithm      u = 1 + ln(s / full) / latitude
        negative       u becomes 1 - u: much exposure is dark, as radiographs are shown
        tone curve     g = 255 (L(c (u - 1/2)) - L(-c / 2)) / (L(c / 2) - L(-c / 2)),  L(x) = 1 / (1 + exp(-x))

    The table ends at grey levels 0 and 255; exposures outside saturate.

    Raises:
        ValueError: a number is out of range.
    """

    curve: Curve = "raw"
    negative: bool = False
    latitude: float = 3.0
    """Range of the logarithm: ln of the ratio of the largest to the smallest exposure, > 0, at most 12."""
    contrast: float = 0.0
    """Steepness c of the sigmoid tone curve, 0 (a straight line) to 12."""
    full: float = 16383.0
    """Largest linear exposure, DN, > 0."""

    def __post_init__(self) -> None:
        if self.curve not in ("raw", "square root", "logarithm"):
            raise ValueError(f"a look-up table is raw, square root or logarithm, not {self.curve!r}")
        if not (0 < self.latitude <= 12 and 0 <= self.contrast <= 12 and 0 < self.full < math.inf):
            raise ValueError("a look-up table needs a latitude in (0, 12], a contrast in [0, 12] and a positive range")

    def grey(self, exposure: NDArray[np.floating]) -> Values:
        """T(s): grey levels 0..255 of linear exposures, DN (any real number), same shape."""
        share = np.clip(np.asarray(exposure, dtype=np.float64) / self.full, 0.0, 1.0)
        if self.curve == "square root":
            share = np.sqrt(share)
        elif self.curve == "logarithm":
            share = 1 + np.log(np.maximum(share, math.exp(-self.latitude))) / self.latitude
        shown = 1 - share if self.negative else share
        if self.contrast:
            shown = 0.5 + (_logistic(self.contrast * (shown - 0.5)) - 0.5) / self._height
        return np.asarray(GREY_MAX * np.clip(shown, 0.0, 1.0))

    def exposure(self, grey: NDArray[np.floating]) -> Values:
        """T^-1(g): linear exposures, DN, of grey levels 0..255, same shape."""
        shown = np.clip(np.asarray(grey, dtype=np.float64) / GREY_MAX, 0.0, 1.0)
        if self.contrast:
            level = 0.5 + (shown - 0.5) * self._height
            shown = 0.5 + np.log(level / (1 - level)) / self.contrast
        share = 1 - shown if self.negative else shown
        if self.curve == "square root":
            share = share**2
        elif self.curve == "logarithm":
            share = np.exp((share - 1) * self.latitude)
        return np.asarray(self.full * share)

    def slope(self, exposure: NDArray[np.floating]) -> Values:
        """|T'(s)|, grey levels per DN, at exposures above 0, same shape; saturation is not counted."""
        share = np.asarray(exposure, dtype=np.float64) / self.full
        if self.curve == "raw":
            steepness = np.ones_like(share)
        elif self.curve == "square root":
            steepness, share = 0.5 / np.sqrt(share), np.sqrt(share)
        else:
            steepness, share = 1 / (self.latitude * share), 1 + np.log(share) / self.latitude
        if self.contrast:  # the sigmoid is symmetric, so the sign of a negative does not matter
            level = _logistic(self.contrast * (share - 0.5))
            steepness = steepness * self.contrast * level * (1 - level) / self._height
        return np.asarray(steepness * GREY_MAX / self.full)

    @property
    def _height(self) -> float:
        """What the sigmoid spans between both ends of the table."""
        return math.tanh(self.contrast / 4)


def _logistic(argument: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-argument)))
