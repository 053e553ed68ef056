"""One noise level for a whole image out of a map of the noise at each of its pixels.

Var(f | g) = g / eta + sigma^2 is a line over the grey level g: its slope is 1 / eta, its intercept sigma^2. Both are
read off the map at once, although hardly to be told apart at any single pixel.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.noise import GREY_MAX, NoiseLevel

MID_GREY = 127.5
"""Where the total standard deviation of the noise is compared, grey levels."""
FLAT = 1.0
"""Standard deviation of the grey levels of an image that is too flat to tell slope from intercept."""
MOST_PIXELS = 2**20
"""Larger images are looked at on a grid of about so many pixels."""
FEWEST_PIXELS = 256
"""Of what was removed: fewer say too little about how much it should be."""
SAFE = 3.0
"""Standard deviations between a grey level and black or white, beyond which saturation does not matter."""


class Sums(NamedTuple):
    """Sums over the pixels of an image and of the map of its noise: all that a level depends on.

    Sums of the parts of an image add up to those of the whole.
    """

    pixels: float
    grey: float
    """Grey level of the clean image, that below 0 taken for 0."""
    variance: float
    """Of the noise, grey levels squared."""
    grey_grey: float
    grey_variance: float
    """Product of grey level and variance."""
    unsaturated: float
    """Number of pixels that have noise and are too far from black and white to be saturated by it."""
    removed: float
    """Square of what was removed from those pixels."""
    removable: float
    """Variance of the noise at those pixels."""

    @property
    def line(self) -> NoiseLevel:
        """See `level_of`."""
        mean_grey, mean_variance = self.grey / self.pixels, self.variance / self.pixels
        spread = self.grey_grey / self.pixels - mean_grey**2
        covariance = self.grey_variance / self.pixels - mean_grey * mean_variance
        slope = covariance / spread if spread >= FLAT**2 else 0.0
        if slope <= 0:
            return NoiseLevel(math.inf, math.sqrt(mean_variance))
        offset = mean_variance - slope * mean_grey
        if offset < 0:  # then the closest line through the origin
            return NoiseLevel(self.grey_grey / self.grey_variance, 0.0)
        return NoiseLevel(1 / slope, math.sqrt(offset))

    @property
    def measured(self) -> NoiseLevel:
        """See `measured_level`."""
        if self.unsaturated < FEWEST_PIXELS:
            return self.line
        return scaled(self.line, math.sqrt(self.removed / self.removable))


def sums_of(noisy: Any, clean: Any, deviation: Any) -> list[Any]:
    """`Sums` without the number of pixels, of numpy arrays or torch tensors: pixels are summed up where they are.

    Args:
        noisy: the image, grey levels, any shape, in 64-bit floats as all three.
        clean: estimate of the noise-free image, the same pixels, grey levels.
        deviation: standard deviation of the noise at each of them, grey levels.
    """
    grey, variance, margin = clean.clip(0, None), deviation * deviation, SAFE * deviation
    counts = (clean > margin) & (clean < GREY_MAX - margin) & (deviation > 0)
    removed = (noisy - clean) * counts
    of_line = grey, variance, grey * grey, grey * variance
    return [term.sum() for term in (*of_line, counts, removed * removed, variance * counts)]


def measured_level(
    noisy: NDArray[np.floating], clean: NDArray[np.floating], deviation: NDArray[np.floating]
) -> NoiseLevel:
    """The level of a noise map, in total as strong as what was removed from the image.

    The map tells photons from electronics; how strong they are together is seen better in noisy - clean, where a
    network's own estimate leans towards the noise that it met most often in training.

    Args:
        noisy: the image, (H, W), grey levels, saturated at 0 and 255.
        clean: estimate of the noise-free image, (H, W), grey levels.
        deviation: map of the standard deviation of the noise, (H, W), grey levels.
    """
    return _sums(noisy, clean, deviation).measured


def level_of(clean: NDArray[np.floating], deviation: NDArray[np.floating]) -> NoiseLevel:
    """The level whose line lies closest to the variances of a noise map (least squares).

    Args:
        clean: estimate of the noise-free image, (H, W), grey levels.
        deviation: standard deviation of the noise at each pixel, (H, W), grey levels.

    Returns:
        Neither part is negative: eta is infinite where the variance does not rise with the grey level, or where
        the image is flat and all noise is taken for electronic.
    """
    return _sums(clean, clean, deviation).line


def _sums(*images: NDArray[np.floating]) -> Sums:
    step = grid_step(images[0].size)
    noisy, clean, deviation = (image[::step, ::step].astype(np.float64) for image in images)
    return Sums(clean.size, *map(float, sums_of(noisy, clean, deviation)))


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
