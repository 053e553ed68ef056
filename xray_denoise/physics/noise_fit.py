"""The noise level of an image out of what was removed from it.

Var(f | g) = g / eta + sigma^2 is a line over the grey level g: its slope is 1 / eta, its intercept sigma^2. The squares
of noisy - clean scatter around it, a million of them, from dark to bright.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.scale import GREY_MAX, MID_GREY

FLAT = 1.0
"""Standard deviation of the grey levels of an image that is too flat to tell slope from intercept."""
MOST_PIXELS = 2**20
"""Larger images are looked at on a grid of about so many pixels."""
FEWEST_PIXELS = 256
"""Of what was removed: fewer say too little about how much it should be."""
SAFE = 3.0
"""Standard deviations between a grey level and black or white, beyond which saturation does not matter."""


class NoiseStatistics(NamedTuple):
    """Sums over the pixels of an image: all that a level depends on.

    Sums of the parts of an image add up to those of the whole.
    """

    pixels: float
    variance: float
    """Of the noise by its map, grey levels squared."""
    unsaturated: float
    """Number of pixels that have noise and are too far from black and white to be saturated by it."""
    removed: float
    """Square of what was removed from those pixels; they alone count in all that follows."""
    map_variance: float
    """Variance of the noise by its map."""
    grey: float
    """Grey level of the clean image."""
    grey_grey: float
    grey_removed: float
    """Product of grey level and square of what was removed."""

    @property
    def level(self) -> NoiseLevel:
        """The level whose line lies closest to the squares of what was removed (least squares).

        A network's own map leans towards the noise that it met most often in training, and at a single pixel photons
        and electronics look alike to it; so the map only tells which pixels are saturated. It must not weigh the others
        either: where the noise of a few pixels is weak by chance, the map is lower too.

        Neither part is negative: eta is infinite where the squares do not rise with the grey level, or where the image
        is flat and all noise is taken for electronic. Where nearly all is saturated, the map is believed.
        """
        if self.unsaturated < FEWEST_PIXELS:
            return NoiseLevel(math.inf, math.sqrt(self.variance / self.pixels))
        mean_grey, mean_square = self.grey / self.unsaturated, self.removed / self.unsaturated
        spread = self.grey_grey / self.unsaturated - mean_grey**2
        covariance = self.grey_removed / self.unsaturated - mean_grey * mean_square
        slope = covariance / spread if spread >= FLAT**2 else 0.0
        if slope <= 0:
            return NoiseLevel(math.inf, math.sqrt(mean_square))
        offset = mean_square - slope * mean_grey
        if offset < 0:  # then the closest line through the origin
            return NoiseLevel(self.grey_grey / self.grey_removed, 0.0)
        return NoiseLevel(1 / slope, math.sqrt(offset))

    @property
    def scale(self) -> float:
        """How many times as strong as the map says the noise was that was removed, as standard deviations."""
        return math.sqrt(self.removed / self.map_variance) if self.unsaturated >= FEWEST_PIXELS else 1.0


def sums_of(noisy: Any, clean: Any, deviation: Any) -> list[Any]:
    """`NoiseStatistics` but the number of pixels, of numpy arrays or torch tensors: summed up where they are.

    Args:
        noisy: the image, grey levels, any shape, in 64-bit floats as all three.
        clean: estimate of the noise-free image, the same pixels, grey levels.
        deviation: map of the standard deviation of the noise at each of them, grey levels.
    """
    variance, margin = deviation * deviation, SAFE * deviation
    counts = (clean > margin) & (clean < GREY_MAX - margin) & (deviation > 0)
    removed, grey = (noisy - clean) ** 2 * counts, clean * counts
    terms = variance, counts, removed, variance * counts, grey, grey * clean, removed * clean
    return [term.sum() for term in terms]


def grid_step(pixels: int) -> int:
    """Distance, in rows and in columns, of the pixels that stand for an image of `pixels`."""
    return max(1, math.isqrt(pixels // MOST_PIXELS))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is wrong on average with an estimator's total standard deviation at mid-grey, and how to put it right.

    What a denoiser removes is a little less than all of the noise, by a share that depends on the level; so it is
    measured once, on images whose noise is known.
    """

    estimated: tuple[float, ...]
    """Estimates, grey levels, rising."""
    factors: tuple[float, ...]
    """True over estimated, one each; linear between them, constant beyond them."""

    @classmethod
    def of(cls, estimated: NDArray[np.floating], true: NDArray[np.floating], *, knots: int = 4) -> Self:
        """Measure it on cases where the truth is known, `knots` groups of equally many.

        Args:
            estimated: total standard deviations at mid-grey, grey levels, > 0, at least `knots` of them.
            true: the same of the noise that was there.
            knots: how finely.
        """
        order = np.argsort(estimated)
        groups = np.array_split(order, knots)
        return cls(
            tuple(float(estimated[group].mean()) for group in groups),
            tuple(float((true[group] / estimated[group]).mean()) for group in groups),
        )

    def factor(self, level: NoiseLevel) -> float:
        """What to multiply the standard deviation of `level` by."""
        return float(np.interp(level.effective_sigma(MID_GREY), self.estimated, self.factors))


def scaled(level: NoiseLevel, factor: float) -> NoiseLevel:
    """`level` with `factor` times its standard deviation at every grey level; `factor` >= 0."""
    return NoiseLevel(level.eta / factor**2 if factor else math.inf, level.sigma * factor)
