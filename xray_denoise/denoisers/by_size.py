"""One model for small images and, on a CPU, a light one for those that would keep people waiting."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import AUTO, Denoised, Denoiser
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile

LARGE = 2**18
"""Pixels above which the light model is taken: the other takes 1.7 s for so many on two cores (docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class BySize:
    """`full` for images of up to `large` pixels, `light` above."""

    full: Denoiser
    light: Denoiser
    large: int = LARGE

    @property
    def name(self) -> str:
        """`auto`; results name the model that made them."""
        return AUTO

    @property
    def title(self) -> str:
        """What is taken when, for people."""
        return f"{self.full.name} (above {self.large / 2**20:g} megapixels {self.light.name})"

    @property
    def version(self) -> str:
        """One hash of both hashes of weights."""
        return hashlib.sha256((version_of(self.full) + version_of(self.light)).encode()).hexdigest()

    @property
    def device(self) -> str:
        """Where both run."""
        return str(getattr(self.full, "device", ""))

    @property
    def settings(self) -> str:
        """What decides the results and their time besides the weights."""
        return "; ".join(f"{one.name}: {getattr(one, 'settings', '')}" for one in (self.full, self.light))

    @property
    def arithmetic(self) -> str:
        """The precision that each computes in, and by what."""
        full, light = (str(getattr(one, "arithmetic", "fp32")) for one in (self.full, self.light))
        return full if full == light else f"{full} ({self.full.name}), {light} ({self.light.name})"

    def choose(self, shape: tuple[int, ...]) -> Denoiser:
        """The model for an image of height and width `shape`, pixels."""
        return self.light if shape[0] * shape[1] > self.large else self.full

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | NoiseProfile | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`."""
        return self.choose(noisy.shape)(noisy, level)


def version_of(denoiser: Denoiser) -> str:
    """Hash of the weights; empty for a method that has none."""
    return str(getattr(denoiser, "version", ""))
