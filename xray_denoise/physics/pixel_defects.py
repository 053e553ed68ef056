"""Pixels that differ from their neighbours by more than the noise.

    |f - m| > 6 d

f is the mean of the flat or dark frames, m its median over 5x5 pixels, and d the deviation of f - m, taken from the
median of its absolute values so that defects do not enlarge it. Gaussian noise exceeds 6 d in two of 10^9 pixels.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Places = NDArray[np.intp]

THRESHOLD = 6.0
"""Deviations from the median of the neighbourhood."""
NEIGHBOURHOOD = 5
"""Side of the neighbourhood, pixels."""
DEAD, BRIGHT = 0.5, 1.5
"""Signal relative to the neighbourhood below which a pixel is dead and above which it is bright."""
BY_CHANCE = 0.01
"""Pixels that have the same value in all frames by chance, above which none is called stuck."""
LEAST_DEVIATION = 0.29
"""Stored values: what rounding alone gives."""


@dataclass(frozen=True, slots=True, eq=False)
class Defects:
    """Places of defects, (N, 2) each: row and column."""

    dead: Places
    """Less than half of the signal of the neighbourhood; in dark frames, below it."""
    bright: Places
    """More than one and a half of it; in dark frames, above it (hot pixels)."""
    deviating: Places
    """Other pixels that differ from the neighbourhood by more than 6 deviations."""
    stuck: Places
    """The same value in all frames, where chance would make less than a hundredth of a pixel so."""

    @property
    def count(self) -> int:
        """Defective pixels, those of two kinds counted once."""
        places = np.concatenate([self.dead, self.bright, self.deviating, self.stuck])
        return len(np.unique(places, axis=0))


def contrast(frame: NDArray[np.floating]) -> tuple[Values, Values, float]:
    """Difference from the local median and that median, (H, W), and d, the deviation of the first; stored values."""
    from scipy.ndimage import median_filter

    values = np.asarray(frame, dtype=np.float64)
    local = median_filter(values, NEIGHBOURHOOD, mode="reflect")
    difference = values - local
    deviation = 1.4826 * float(np.median(np.abs(difference)))
    return difference, local, max(deviation, LEAST_DEVIATION)


def outliers(frame: NDArray[np.floating]) -> tuple[NDArray[np.bool_], Values]:
    """Pixels of one frame that differ from their neighbourhood by more than 6 deviations, and its median; (H, W)."""
    difference, local, deviation = contrast(frame)
    return np.abs(difference) > THRESHOLD * deviation, local


def chance_of_equal(frames: int, deviation: float) -> float:
    """Chance that rounded Gaussian noise has one value in all N frames: (sqrt(2 pi) d)^(1 - N) / sqrt(N)."""
    if frames < 2 or deviation < 1:
        return 1.0
    return float((math.sqrt(2 * math.pi) * deviation) ** (1 - frames) / math.sqrt(frames))


def find(mean: NDArray[np.floating], offset: float | None, constant: NDArray[np.bool_] | None = None) -> Defects:
    """The defects of a detector.

    Args:
        mean: (H, W), mean of frames of one flat field, or of dark frames; stored values.
        offset: stored value without exposure; None for dark frames, where there is no signal to compare with.
        constant: (H, W), pixels that are the same in all frames, where that means something.
    """
    difference, local, deviation = contrast(mean)
    outlying = np.abs(difference) > THRESHOLD * deviation
    if offset is None:
        dead, bright = outlying & (difference < 0), outlying & (difference > 0)
    else:
        signal = np.maximum(local - offset, 0.0)
        dead = outlying & (difference < (DEAD - 1) * signal)
        bright = outlying & (difference > (BRIGHT - 1) * signal)
    stuck = np.zeros_like(outlying) if constant is None else constant
    return Defects(*(np.argwhere(one) for one in (dead, bright, outlying & ~dead & ~bright, stuck)))
