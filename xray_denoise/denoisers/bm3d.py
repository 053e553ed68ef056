"""BM3D: transform-domain filtering of stacks of similar blocks, by its authors' package `bm3d`.

The package's licence allows non-commercial use only. It is an optional extra, imported when the method runs.

References:
    Dabov, Foi, Katkovnik, Egiazarian, Image denoising by sparse 3-D transform-domain collaborative filtering,
    IEEE Transactions on Image Processing 16, 2007.
    Makinen, Azzari, Foi, Collaborative filtering of correlated noise: exact transform-domain variance for improved
    shrinkage and patch matching, IEEE Transactions on Image Processing 29, 2020 (the package).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import BM3D
from xray_denoise.denoisers.base import Denoised, Denoiser
from xray_denoise.denoisers.classical import effective_sigma
from xray_denoise.extras import require
from xray_denoise.physics.framing import mirrored
from xray_denoise.physics.level_estimate import estimate_level
from xray_denoise.physics.profile import Noise, NoiseProfile
from xray_denoise.physics.stabilisation import Stabiliser
from xray_denoise.scale import GREY_MAX

SMALLEST = 16
"""Narrower images are mirrored up to this many pixels: the package crashes at 8x8 and refuses less."""
_LENDING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Bm3d(Denoiser):
    """Both stages at the package's own settings.

    Told a `NoiseLevel`, or blind, it takes the noise for white, with the effective sigma of the exposure,
    sigma_eff = sqrt(mean(f) / eta + sigma^2) grey levels. Told a `NoiseProfile`, it filters the image stabilised by
    the profile's deviation curve, and gives the package the power spectrum of the noise. Block matching has thresholds
    that are made for an image in [0, 1], so the package is given grey level / 255.
    """

    threads: int = 1
    """One thread repeats a result to the last bit; with more, or 0 for all cores, sums are taken in any order, and what
    lies on a threshold may fall to either side."""
    name: str = field(default="bm3d", init=False)

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`.

        Args:
            noisy: (H, W), grey levels.
            level: the noise, as a level or as a profile; None estimates the level.

        Returns:
            The image; with a profile `level` is None, and `noise_map` the deviation of the profile at each pixel.

        Raises:
            CannotRunError: the package is not installed.
        """
        _package()
        image = np.asarray(noisy, dtype=np.float32)
        if isinstance(level, NoiseProfile):
            return self._told(image, level)
        level = level or estimate_level(image)
        sigma = effective_sigma(image, level)
        if sigma > 0:
            image = self._filtered(image.astype(np.float64), sigma, None).astype(np.float32)
        return Denoised.of(noisy, image, level)

    def _told(self, image: NDArray[np.float32], profile: NoiseProfile) -> Denoised:
        noisy, stabiliser = image, Stabiliser.of(profile, float(image.min()), float(image.max()))
        if stabiliser.deviation > 0:
            shown = stabiliser.forward(image)
            image = stabiliser.back(self._filtered(shown, stabiliser.deviation, profile)).astype(np.float32)
        return Denoised.of(noisy, image, noise_map=profile.deviation_at(image).astype(np.float32), profile=profile)

    def _filtered(self, image: NDArray[np.float64], sigma: float, profile: NoiseProfile | None) -> NDArray[np.float64]:
        """Filter noise of standard deviation `sigma`, grey levels; of the spectrum of `profile`, or white."""
        bm3d, settings = _package()
        settings.num_threads = self.threads
        kernel = (1, 1) if profile is None else profile.kernel.shape
        padded = mirrored(image / GREY_MAX, (max(SMALLEST, kernel[0]), max(SMALLEST, kernel[1])))
        if profile is None or profile.kernel.size == 1:
            filtered = bm3d(padded, sigma / GREY_MAX, settings)
        else:  # the package wants the power of the unnormalised transform: size times variance, for white noise
            shape = (padded.shape[0], padded.shape[1])
            with _trapz_lent():
                filtered = bm3d(padded, profile.spectrum(shape) * padded.size * (sigma / GREY_MAX) ** 2, settings)
        return np.asarray(filtered[: image.shape[0], : image.shape[1]] * GREY_MAX)


@contextmanager
def _trapz_lent() -> Iterator[None]:
    """Let `numpy.trapz` exist: the package chooses its thresholds for a spectrum with it, and numpy 2.4 has it no more.

    One thread at a time, so that no other takes it away.
    """
    with _LENDING:
        if hasattr(np, "trapz"):
            yield
            return
        vars(np)["trapz"] = np.trapezoid
        try:
            yield
        finally:
            del vars(np)["trapz"]


def _package() -> tuple[Callable[..., NDArray[np.float64]], Any]:
    """The function of the package (image, standard deviation of its noise, profile), and a fresh profile."""
    require(BM3D, BM3D, "this method")
    from bm3d import BM3DProfile, bm3d

    return bm3d, BM3DProfile()
