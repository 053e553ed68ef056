"""How a noise level enters a network: two numbers per pixel, in one of two encodings."""

from enum import Enum

import torch
from torch import Tensor

from xray_denoise.scale import GREY_MAX


def noise_variance(grey: Tensor, inverse_eta: Tensor, sigma: Tensor) -> Tensor:
    """Variance of the noise at grey levels, g / eta + sigma^2 as `physics.noise.NoiseLevel` has it; at 0 below that.

    All in grey levels, of shapes that fit together.
    """
    return grey.clamp_min(0) * inverse_eta + sigma.square()


class LevelEncoding(Enum):
    """What the two channels of a noise level map mean (stored with the weights)."""

    PAPER = "paper"
    """(eta, sigma / 255): photons per grey level, and electronic noise (Yin et al.)."""
    STD = "std"
    """(1 / sqrt(255 eta), sigma / 255): standard deviations of both parts at white; both grow with the noise."""

    def encode(self, eta: Tensor, sigma: Tensor) -> Tensor:
        """Levels of shape (B,), photons per grey level and grey levels -> (B, 2, 1, 1)."""
        poisson = eta if self is LevelEncoding.PAPER else (GREY_MAX * eta).rsqrt()
        return torch.stack([poisson, sigma / GREY_MAX], dim=1)[..., None, None]

    def decode(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Level maps (B, 2, H, W) -> (1 / eta, sigma), each (B, H, W); 1 / eta is 0 where no photon noise is seen."""
        poisson, gaussian = levels.unbind(dim=1)
        if self is LevelEncoding.PAPER:
            return poisson.clamp_min(1e-6).reciprocal(), gaussian * GREY_MAX
        return GREY_MAX * poisson.square(), gaussian * GREY_MAX
