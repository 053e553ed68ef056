"""Hybrid Poisson-Gaussian noise of X-ray imaging: draw it and predict it.

    p = Poisson(eta * g) / eta          photons that reach the detector
    f = p + Normal(0, sigma**2)         plus the electronics that read it

g, p and f are in grey levels (0..255 spans the image); eta is detected photons per grey level.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xray_denoise.scale import GREY_MAX


@dataclass(frozen=True, slots=True)
class NoiseLevel:
    """How noisy an exposure is.

    Raises:
        ValueError: eta is not above zero, or sigma is negative or not finite.
    """

    eta: float
    """Detected photons per grey level, > 0; small means noisy, `math.inf` means no quantum noise."""
    sigma: float
    """Standard deviation of the electronic noise, grey levels, >= 0."""

    def __post_init__(self) -> None:
        if not self.eta > 0:
            raise ValueError(f"eta must be above 0 photons per grey level, got {self.eta}")
        if not (0 <= self.sigma < math.inf):
            raise ValueError(f"sigma must be finite and at least 0 grey levels, got {self.sigma}")

    def variance(self, clean: NDArray[np.floating]) -> NDArray[np.floating]:
        """Var(f | g) in grey levels squared, same shape as `clean`; clipping is not counted."""
        return np.asarray(clean / self.eta + self.sigma**2)

    def deviation_at(self, grey: ArrayLike) -> NDArray[np.float64]:
        """Standard deviation of the noise at grey levels, same shape; below 0 it is that at 0."""
        return np.asarray(np.sqrt(self.variance(np.maximum(np.asarray(grey, dtype=np.float64), 0.0))))

    def effective_sigma(self, mean_grey: float) -> float:
        """Standard deviation of white noise with the same mean variance in an image of mean `mean_grey`."""
        return float(self.deviation_at(mean_grey))


def add_noise(
    clean: NDArray[np.floating] | NDArray[np.integer],
    level: NoiseLevel,
    rng: np.random.Generator,
    *,
    clip: bool = True,
) -> NDArray[np.float32]:
    """Draw one noisy exposure of `clean`.

    Args:
        clean: noise-free image, grey levels >= 0, any shape.
        level: the noise.
        rng: the only source of randomness; seed it to repeat a draw.
        clip: saturate at [0, 255] as a detector does.

    Returns:
        Noisy image, grey levels, same shape.

    Raises:
        ValueError: `clean` has a negative or non-finite pixel.

    Reference:
        Yin et al., X-BDCNN, Eq. (1) and (2).
    """
    clean = np.asarray(clean, dtype=np.float64)
    if not (np.isfinite(clean).all() and (clean >= 0).all()):
        raise ValueError("a noise-free image must be finite and have no negative grey level")
    photons = clean if math.isinf(level.eta) else rng.poisson(level.eta * clean) / level.eta
    noisy = photons + level.sigma * rng.standard_normal(clean.shape)
    return np.asarray(noisy.clip(0.0, GREY_MAX) if clip else noisy, dtype=np.float32)
