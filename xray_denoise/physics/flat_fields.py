"""Statistics of flat fields and dark frames of one exposure: total, temporal and fixed-pattern noise.

    r_i = f_i less a polynomial of second order            one frame
    total     = mean(r_i^2)
    temporal  = mean((r_i - r_(i-1))^2) / 2                a fixed pattern cancels in a difference
    fixed     = total - temporal

All are variances in stored values squared. Errors come from the spread over blocks of 32x32 pixels, so that they
include what correlation there is within a block. Defective pixels are left out.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics import pixel_defects
from xray_denoise.physics.noise_power import (
    Correlation,
    CorrelationSum,
    Measured,
    NoisePower,
    PowerSum,
    Window,
    block_means,
    block_medians,
    detrended,
)

Values = NDArray[np.float64]

BLOCK = 32
"""Side of a block, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class FieldStatistics:
    """What frames of one exposure tell."""

    frames: int
    mean: float
    """Of the pixels, stored values."""
    drift: float
    """Standard deviation of the means of the frames, stored values, no part of the variances; NaN for one frame."""
    total: Measured
    """Variance in one frame, stored values squared."""
    temporal: Measured | None
    """Variance from frame to frame; None for a single frame."""
    fixed: Measured | None
    """Variance of the fixed pattern; None for a single frame."""
    correlation: Correlation
    """Of the temporal noise, or of the total noise of a single frame."""
    power: NoisePower | None
    """NPS of single frames, as IEC 62220-1-1 takes it; None where the frames are too small."""
    temporal_power: NoisePower | None
    """NPS of the temporal noise; None for a single frame."""
    defects: pixel_defects.Defects


@dataclass(frozen=True, slots=True)
class Unevenness:
    """How far a frame is from a flat field: the deviation of the medians of blocks after detrending."""

    to_signal: float
    """Relative to the mean signal."""
    to_noise: float
    """Relative to the root mean square difference of neighbouring pixels over sqrt(2), in the median block."""


def unevenness(frame: NDArray[np.floating], offset: float = 0.0) -> Unevenness:
    """How uneven a frame is; white noise alone has a `to_noise` of 1.25/32.

    Args:
        frame: (H, W), stored values.
        offset: stored value without exposure.
    """
    residual = detrended(frame)
    steps = np.diff(residual, axis=1) if residual.shape[1] > 1 else residual
    noise = math.sqrt(max(float(np.median(block_means(steps**2, BLOCK))) / 2, 1e-12))
    signal = abs(float(np.mean(frame)) - offset)
    spread = float(np.std(block_medians(residual, BLOCK)))
    return Unevenness(spread / max(signal, 1e-12), spread / noise)


class FieldSeries:
    """Collects frames of one exposure; memory does not grow with their number.

    Args:
        pitch: distance of rows and of columns, mm, where it is known.
        offset: stored value without exposure, for telling dead pixels; None for dark frames.
        window: of the spectra, see `noise_power`.
    """

    def __init__(
        self, pitch: tuple[float, float] | None = None, offset: float | None = 0.0, window: Window = "sine"
    ) -> None:
        self.pitch = pitch
        self.offset = offset
        self.window: Window = window
        self.frames = 0
        self._before: Values = np.zeros((0, 0))
        self.mean = math.nan
        """Mean of the pixels of all frames so far, stored values."""

    def add(self, frame: NDArray[np.floating] | NDArray[np.integer]) -> None:
        """Add a frame, (H, W), stored values.

        Raises:
            ValueError: its shape differs from that of the first.
        """
        values: Values = np.asarray(frame, dtype=np.float64)
        if not self.frames:
            self._begin(values)
        if values.shape != self._first.shape:
            raise ValueError(f"frames of one series have one size, got {values.shape} after {self._first.shape}")
        filled = np.where(self._outliers, self._local, values)
        residual = detrended(filled)
        residual[self._outliers] = 0
        self._totals += block_means(residual**2, BLOCK)
        self._power.add(residual)
        if self.frames:
            difference = residual - self._before
            self._temporals += block_means(difference**2, BLOCK) / 2
            self._temporal_power.add(difference)
            self._temporal_correlation.add(difference)
            self._constant &= values == self._first
        else:
            self._correlation.add(residual)
        self._before = residual
        self._sum += values
        self._means.append(float(filled.mean()))
        self.frames += 1
        self.mean = float(np.mean(self._means))

    def _begin(self, first: Values) -> None:
        self._first = first
        self._outliers, self._local = pixel_defects.outliers(first)
        self._known = np.maximum(block_means((~self._outliers).astype(np.float64), BLOCK), 1e-12)
        self._sum = np.zeros_like(first)
        self._means: list[float] = []
        self._totals, self._temporals = (np.zeros_like(self._known) for _ in range(2))
        self._power, self._temporal_power = (PowerSum(first.shape, self.pitch, self.window) for _ in range(2))
        self._correlation, self._temporal_correlation = CorrelationSum(), CorrelationSum()
        self._constant = np.ones(first.shape, dtype=bool)

    def result(self) -> FieldStatistics:
        """What the frames tell.

        Raises:
            ValueError: there is none.
        """
        if not self.frames:
            raise ValueError("statistics need at least one frame")
        totals = self._totals / self._known / self.frames
        total = _over_blocks(totals)
        temporal = fixed = None
        independent = 1.0
        if self.frames > 1:
            temporals = self._temporals / self._known / (self.frames - 1)
            temporal, fixed = _over_blocks(temporals), _over_blocks(totals - temporals)
            share = min(temporal.value / max(total.value, 1e-300), 1.0)
            independent = 1 / (share**2 / self.frames + (1 - share) ** 2)
        noise = math.sqrt((temporal or total).value)
        by_chance = self._first.size * pixel_defects.chance_of_equal(self.frames, noise)
        meaningful = by_chance < pixel_defects.BY_CHANCE
        return FieldStatistics(
            frames=self.frames,
            mean=self.mean,
            drift=float(np.std(self._means, ddof=1)) if self.frames > 1 else math.nan,
            total=total,
            temporal=temporal,
            fixed=fixed,
            correlation=(self._temporal_correlation if temporal else self._correlation).result(),
            power=self._power.result(images=independent),
            temporal_power=self._temporal_power.result(scale=0.5, images=_pairs(self.frames - 1)),
            defects=pixel_defects.find(self._sum / self.frames, self.offset, self._constant if meaningful else None),
        )


def _pairs(count: int) -> float:
    """Independent images that consecutive differences are worth: powers of neighbours correlate by 1/4."""
    return count**2 / (count + (count - 1) / 2) if count > 0 else 0.0


def _over_blocks(values: Values) -> Measured:
    error = float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else math.nan
    return Measured(float(values.mean()), error)
