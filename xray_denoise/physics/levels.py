"""One noise level for a whole image out of a map of the noise at each of its pixels.

Var(f | g) = g / eta + sigma^2 is a line over the grey level g: its slope is 1 / eta, its intercept sigma^2. Both are
read off the map at once, although hardly to be told apart at any single pixel.
"""

import math
from dataclasses import dataclass
from typing import Self

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
    step = _step(clean.size)
    grey, spread = clean[::step, ::step].astype(np.float64), deviation[::step, ::step].astype(np.float64)
    level = level_of(grey, spread)
    unsaturated = (grey > SAFE * spread) & (grey < GREY_MAX - SAFE * spread) & (spread > 0)
    if int(unsaturated.sum()) < FEWEST_PIXELS:
        return level
    removed = noisy[::step, ::step][unsaturated] - grey[unsaturated]
    return scaled(level, math.sqrt(float(np.mean(removed**2) / np.mean(spread[unsaturated] ** 2))))


def level_of(clean: NDArray[np.floating], deviation: NDArray[np.floating]) -> NoiseLevel:
    """The level whose line lies closest to the variances of a noise map (least squares).

    Args:
        clean: estimate of the noise-free image, (H, W), grey levels.
        deviation: standard deviation of the noise at each pixel, (H, W), grey levels.

    Returns:
        Neither part is negative: eta is infinite where the variance does not rise with the grey level, or where
        the image is flat and all noise is taken for electronic.
    """
    step = _step(clean.size)
    grey = clean[::step, ::step].astype(np.float64).clip(0, None).ravel()
    variance = deviation[::step, ::step].astype(np.float64).ravel() ** 2
    mean_grey, mean_variance = float(grey.mean()), float(variance.mean())
    spread = float(grey.var())
    covariance = float(((grey - mean_grey) * (variance - mean_variance)).mean())
    slope = covariance / spread if spread >= FLAT**2 else 0.0
    if slope <= 0:
        return NoiseLevel(math.inf, math.sqrt(mean_variance))
    offset = mean_variance - slope * mean_grey
    if offset < 0:  # then the closest line through the origin
        return NoiseLevel(float(grey @ grey) / float(grey @ variance), 0.0)
    return NoiseLevel(1 / slope, math.sqrt(offset))


def _step(pixels: int) -> int:
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
