"""One number for the strength of the noise of an image, whose deviation changes with the grey level and the place."""

import math

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.profile import NoiseProfile

EVERY = 4
"""Of the rows and columns that tell how strong the noise of the whole image is."""


def typical_deviation(
    noisy: NDArray[np.float32], profile: NoiseProfile, relative: NDArray[np.float32] | None = None
) -> float:
    """Root mean square of the standard deviation of the noise over an image, grey levels.

    `relative`, (H, W), is the deviation over that of the profile; None is 1.
    """
    return float(np.sqrt(_variance(noisy, profile, relative).mean()))


def prevailing_deviation(
    noisy: NDArray[np.float32], profile: NoiseProfile, relative: NDArray[np.float32] | None = None
) -> float:
    """Standard deviation of the noise where most of it is, grey levels: `sqrt(mean(s^4) / mean(s^2))` of the pixels.

    Air, shutters and letters hardly count, in which there is little noise. `relative` as above.
    """
    variance = _variance(noisy, profile, relative)
    mean = float(variance.mean())
    return math.sqrt(float((variance**2).mean()) / mean) if mean else 0.0


def _variance(
    noisy: NDArray[np.float32], profile: NoiseProfile, relative: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    """Variance of the noise at every fourth pixel of every fourth row."""
    deviation = profile.deviation_at(noisy[::EVERY, ::EVERY])
    return np.asarray((deviation if relative is None else deviation * relative[::EVERY, ::EVERY]) ** 2)
