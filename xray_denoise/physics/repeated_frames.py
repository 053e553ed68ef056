"""Temporal noise of repeated frames of one still scene, whatever it shows: variance against signal.

    d = f_i - f_(i-1), less a line in the mean of both       the scene cancels; so does a change of the exposure
    variance = mean(d^2) / 2, signal = mean of both          in blocks of 16x16 pixels

Blocks in which something moved are left out: the mean of their difference is more than 3.5 robust deviations of all
such means, or its variance lies farther above the median of blocks of like signal than three times the distance from
there to the 16th percentile. The blocks are then sorted by signal into classes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.noise_power import (
    Correlation,
    CorrelationSum,
    Measured,
    NoisePower,
    PowerSum,
    Window,
    block_means,
)

Values = NDArray[np.float64]

BLOCK = 16
"""Side of a block, pixels."""
CLASSES, SMALLEST_CLASS = 24, 30
"""Classes of signal, at most, and blocks in each, at least."""
MOVED, MOVED_VARIANCE = 3.5, 3.0
"""Robust deviations beyond which the mean of a difference is motion, and beyond which its variance is."""
PASSES = 5
"""Fits of the change that the whole frame has, each without the blocks that the one before shows to move."""
LIKE = 64
"""Blocks of like signal whose variances are compared."""
STILL = 0.5
"""Deviation of the means of blocks, relative to that of the pixels, above which the scene is not the same."""
PAIR_FACTOR = 1.5
"""Consecutive differences share a frame, so that the variance of their mean is this much larger."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneStatistics:
    """The temporal noise of a still scene."""

    frames: int
    signal: Values
    """(K,), ascending, stored values."""
    variance: Values
    """(K,), temporal variance there, stored values squared."""
    error: Values
    """(K,), standard error of the variance."""
    temporal: Measured
    """Variance over all blocks, stored values squared."""
    moving: float
    """Share of the blocks that were left out since something moved."""
    correlation: Correlation
    power: NoisePower | None
    """NPS of the temporal noise, from regions of which three quarters are still; None where there is none."""


class SceneSeries:
    """Collects frames of one scene.

    Args:
        pitch: distance of rows and of columns, mm, where it is known.
        limits: lowest and highest stored value; blocks that reach either are left out as saturated.
        window: of the spectrum, see `noise_power`.
    """

    def __init__(
        self,
        pitch: tuple[float, float] | None = None,
        limits: tuple[float, float] | None = None,
        window: Window = "sine",
    ) -> None:
        self.pitch = pitch
        self.window: Window = window
        self.limits = limits or (-math.inf, math.inf)
        self.frames = 0
        self.different = 0
        """Pairs of neighbouring frames that do not show the same scene."""
        self._before: Values = np.zeros((0, 0))
        self._signals: list[Values] = []
        self._variances: list[Values] = []
        self._left_out = self._blocks = 0

    def add(self, frame: NDArray[np.floating] | NDArray[np.integer]) -> None:
        """Add a frame, (H, W), stored values.

        Raises:
            ValueError: its shape differs from that of the first.
        """
        values: Values = np.asarray(frame, dtype=np.float64)
        if not self.frames:
            self._power, self._correlation = PowerSum(values.shape, self.pitch, self.window), CorrelationSum()
        elif values.shape != self._before.shape:
            raise ValueError(f"frames of one series have one size, got {values.shape} after {self._before.shape}")
        else:
            self._add_pair(self._before, values)
        self._before = values
        self.frames += 1

    def _add_pair(self, first: Values, second: Values) -> None:
        middle, difference = (first + second) / 2, second - first
        signals = block_means(middle, BLOCK)
        offset, slope = common_change(signals, block_means(difference, BLOCK))
        difference = difference - offset - slope * middle
        means, squares = block_means(difference, BLOCK), block_means(difference**2, BLOCK)
        spread = 1.4826 * float(np.median(np.abs(means - np.median(means))))
        self.different += spread > STILL * math.sqrt(max(float(np.median(squares)), 1e-300))
        moving = np.abs(means - np.median(means)) > MOVED * max(spread, 1e-12)
        moving |= _stirred(signals, squares)
        low, high = self.limits
        saturated = block_means(((middle <= low) | (middle >= high)).astype(np.float64), BLOCK) > 0
        self._left_out += int((moving & ~saturated).sum())
        self._blocks += int((~saturated).sum())
        left_out = _spread_over(moving | saturated, difference.shape)
        difference = np.where(left_out, 0.0, difference)
        self._power.add(difference, left_out)
        self._correlation.add(difference)
        kept = ~(moving | saturated)
        self._signals.append(signals[kept])
        self._variances.append(squares[kept] / 2)

    def result(self) -> SceneStatistics:
        """What the frames tell.

        Raises:
            ValueError: fewer than two frames, or no block in which nothing moved and nothing is saturated.
        """
        if self.frames < 2:
            raise ValueError("temporal noise needs at least two frames")
        signal, variance = np.concatenate(self._signals), np.concatenate(self._variances)
        if not signal.size:
            raise ValueError("no part of the frames is still and within the range of values")
        order = np.argsort(signal, kind="stable")
        classes = np.array_split(order, max(1, min(CLASSES, signal.size // SMALLEST_CLASS)))
        rows = [_mean(variance[members]) for members in classes]
        return SceneStatistics(
            frames=self.frames,
            signal=np.array([signal[members].mean() for members in classes]),
            variance=np.array([row.value for row in rows]),
            error=np.array([row.error for row in rows]),
            temporal=_mean(variance),
            moving=self._left_out / max(self._blocks, 1),
            correlation=self._correlation.result(),
            power=self._power.result(scale=0.5, images=self._independent()),
        )

    def _independent(self) -> float:
        pairs = self.frames - 1
        return pairs**2 / (pairs + (pairs - 1) / 2)


def common_change(signals: Values, changes: Values) -> tuple[float, float]:
    """The line in the signal that the changes of most blocks follow; those that move are left out."""
    kept = np.ones(len(signals), dtype=bool)
    offset = slope = 0.0
    for _ in range(PASSES):
        centred = signals - signals[kept].mean()
        middle = float(changes[kept].mean())
        slope = float((centred * changes)[kept].sum() / max(float((centred[kept] ** 2).sum()), 1e-300))
        offset = middle - slope * float(signals[kept].mean())
        residual = np.abs(changes - offset - slope * signals)
        kept = residual <= MOVED * 1.4826 * float(np.median(residual))
    return offset, slope


def _stirred(signals: Values, squares: Values) -> NDArray[np.bool_]:
    """(B,), blocks with far more variance than others of like signal."""
    stirred = np.zeros(len(squares), dtype=bool)
    for members in np.array_split(np.argsort(signals, kind="stable"), max(1, len(signals) // LIKE)):
        low, middle = np.percentile(squares[members], (15.87, 50))
        stirred[members] = squares[members] > middle + MOVED_VARIANCE * (middle - low)
    return stirred


def _mean(values: Values) -> Measured:
    error = math.sqrt(PAIR_FACTOR * float(values.var(ddof=1)) / values.size) if values.size > 1 else math.nan
    return Measured(float(values.mean()), error)


def _spread_over(blocks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W), the pixels of blocks; what is beyond the last whole block belongs to none and is marked."""
    rows, columns = (min(BLOCK, length) for length in shape)
    grid = blocks.reshape(shape[0] // rows, shape[1] // columns)
    marked = np.ones(shape, dtype=bool)
    spread = np.repeat(np.repeat(grid, rows, axis=0), columns, axis=1)
    marked[: spread.shape[0], : spread.shape[1]] = spread
    return marked
