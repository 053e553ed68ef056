"""Methods for tests of speed: other processes import this module, so it is a light one."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import CannotRunError
from xray_denoise.physics.noise import NoiseLevel


@dataclass(frozen=True)
class Sleeper(Denoiser):
    """Returns its input after a time that is the same, or proportional to the pixels."""

    seconds: float = 0.0
    per_pixel: float = 0.0
    name: str = "sleeper"

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        time.sleep(self.seconds + self.per_pixel * noisy.size)
        return Denoised.of(noisy, noisy, level)


@dataclass(frozen=True)
class Knowing(Denoiser):
    """Adds 1 where it is told a level."""

    name: str = "knowing"

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        return Denoised.of(noisy, noisy + (level is not None))


def fail() -> Sleeper:
    raise CannotRunError("nothing works", hint="try tomorrow")
