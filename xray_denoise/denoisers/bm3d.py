"""BM3D: transform-domain filtering of stacks of similar blocks, by its authors' package `bm3d`.

The package's licence allows non-commercial use only. It is an optional extra, imported when the method runs.

References:
    Dabov, Foi, Katkovnik, Egiazarian, Image denoising by sparse 3-D transform-domain collaborative filtering,
    IEEE Transactions on Image Processing 16, 2007.
    Makinen, Azzari, Foi, Collaborative filtering of correlated noise: exact transform-domain variance for improved
    shrinkage and patch matching, IEEE Transactions on Image Processing 29, 2020 (the package).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import BM3D_INSTALL, Denoised
from xray_denoise.denoisers.classical import effective_sigma
from xray_denoise.errors import CannotRunError
from xray_denoise.physics.estimate import estimate_level
from xray_denoise.physics.noise import GREY_MAX, NoiseLevel

SMALLEST = 16
"""Narrower images are mirrored up to this many pixels: the package crashes at 8x8 and refuses less."""


@dataclass(frozen=True, slots=True)
class Bm3d:
    """Both stages at the package's own settings, for white noise of the effective sigma of the exposure.

    sigma_eff = sqrt(mean(f) / eta + sigma^2) grey levels. Block matching has thresholds that are made for an image
    in [0, 1], so the package is given grey level / 255.
    """

    threads: int = 1
    """One thread repeats a result to the last bit; with more, or 0 for all cores, sums are taken in any order, and what
    lies on a threshold may fall to either side."""
    name: str = field(default="bm3d", init=False)

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`.

        Raises:
            CannotRunError: the package is not installed.
        """
        bm3d, profile = _package()
        image = np.asarray(noisy, dtype=np.float32)
        level = level or estimate_level(image)
        sigma = effective_sigma(image, level)
        if sigma > 0:
            more = [(0, max(SMALLEST - length, 0)) for length in image.shape]
            padded = np.pad(image.astype(np.float64) / GREY_MAX, more, mode="symmetric")
            profile.num_threads = self.threads
            filtered = bm3d(padded, sigma / GREY_MAX, profile) * GREY_MAX
            image = np.asarray(filtered[: image.shape[0], : image.shape[1]], dtype=np.float32)
        return Denoised(image, level)


def _package() -> tuple[Callable[..., NDArray[np.float64]], Any]:
    """The function of the package (image, standard deviation of its noise, profile), and a fresh profile."""
    try:
        from bm3d import BM3DProfile, bm3d
    except ModuleNotFoundError as error:
        raise CannotRunError("the package bm3d is not installed", hint=BM3D_INSTALL) from error
    return bm3d, BM3DProfile()
