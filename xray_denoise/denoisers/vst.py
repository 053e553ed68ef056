"""Use a denoiser for white noise on an X-ray exposure: stabilise the variance, denoise, invert.

    f  --forward-->  D, noise of standard deviation 1  --inner-->  E[D]  --exact unbiased inverse-->  g

D is shown to the inner method on the grey scale, forward(0) at 0 and forward(255) at 255, because some methods have
thresholds of their own there; the noise has then one known standard deviation for all grey levels.

Without a noise level that of `physics.level_estimate` is taken.

The constants of TV and NLM in the domain of the transform have the highest mean PSNR, given the true level, over
three noise levels of Table II on the middle 512x512 of 24 chest radiographs that no result is reported on. Found with
xray_denoise/bench/tune.py of commit 04e6eef, `--methods gat-tv gat-nlm --side 512`:

    (eta, sigma)   (0.4, 15)   (0.6, 10)   (0.8, 5)      mean
    GAT + TV, dB      37.211      38.149     39.011    38.124
    GAT + NLM, dB     36.881      37.900     38.833    37.871

TV's optimum lies inside the grid, its neighbours 0.05 dB behind. NLM's lies at its edge: on four of the images the
settings beyond (factor 0.6, distance 7) are 0.04 to 0.06 dB behind.

References:
    Makitalo, Foi, Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise, IEEE
    Transactions on Image Processing 22, 2013.
    Azzari, Foi, Variance stabilization for noisy+estimate combination in iterative Poisson denoising, IEEE Signal
    Processing Letters 23, 2016.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers.base import Denoised, Denoiser
from xray_denoise.denoisers.classical import NonLocalMeans, TotalVariation
from xray_denoise.physics.anscombe import forward, inverse
from xray_denoise.physics.level_estimate import estimate_level
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import Noise, as_level
from xray_denoise.scale import GREY_MAX

GAT_TV = TotalVariation(factor=1.1)
GAT_NLM = NonLocalMeans(factor=0.7, patch_size=9, patch_distance=6)
SHARES = (1.0, 0.75, 0.5, 0.25)
"""How much of the exposure, and how little of the last result, each step of the iteration starts from."""


@dataclass(frozen=True, slots=True)
class Stabilised(Denoiser):
    """The generalised Anscombe transform around a denoiser for white Gaussian noise."""

    inner: Denoiser
    """Sees grey levels and a level without photon noise."""

    @property
    def name(self) -> str:
        """`gat-` and the name of the inner method."""
        return f"gat-{self.inner.name}"

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`."""
        level = as_level(level) or estimate_level(noisy)
        return _denoised(noisy, _through_transform(self.inner, np.asarray(noisy, np.float64), level), level)


@dataclass(frozen=True, slots=True)
class IterativeStabilised(Denoiser):
    """The transform around a denoiser, iterated on mixtures of the exposure with the last result y.

        z = lambda f + (1 - lambda) y       taken to be of level (eta / lambda, lambda sigma)
        y = inverse(inner(forward(z)))      lambda = 1, 3/4, 1/2, 1/4

    Were y free of noise, z would have lambda^2 of the variance of f. The photons are given lambda of it, to allow
    for what is left in y. On the middle 256x256 of two chest radiographs at (0.6, 10) this gains 0.40 and 0.19 dB
    on the first step, with BM3D inside; lambda^2 loses 0.55 and 0.50 dB. No binning: it pays at fewer photons.
    """

    inner: Denoiser
    """Sees grey levels and a level without photon noise."""
    shares: tuple[float, ...] = SHARES
    """lambda of each step, in (0, 1], the first one 1."""

    @property
    def name(self) -> str:
        """`ivst-` and the name of the inner method."""
        return f"ivst-{self.inner.name}"

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`."""
        level = as_level(level) or estimate_level(noisy)
        exposure = np.asarray(noisy, np.float64)
        image = exposure
        for share in self.shares:
            mixture = share * exposure + (1 - share) * image
            image = _through_transform(self.inner, mixture, NoiseLevel(level.eta / share, level.sigma * share))
        return _denoised(noisy, image, level)


def _through_transform(inner: Denoiser, image: NDArray[np.float64], level: NoiseLevel) -> NDArray[np.float64]:
    """Transform, denoise with one standard deviation, invert; grey levels."""
    if math.isinf(level.eta) and level.sigma == 0:
        return image
    black, white = (float(forward(np.array(grey), level)) for grey in (0.0, GREY_MAX))
    stretch = GREY_MAX / (white - black)
    shown = (forward(image, level) - black) * stretch
    smooth = inner(shown, NoiseLevel(math.inf, stretch)).image
    return inverse(smooth.astype(np.float64) / stretch + black, level)


def _denoised(noisy: NDArray[np.floating], image: NDArray[np.float64], level: NoiseLevel) -> Denoised:
    """The result, with the noise map of the level at the grey levels of the result."""
    grey = image.astype(np.float32)
    return Denoised.of(noisy, grey, level, np.sqrt(level.variance(grey.clip(0))).astype(np.float32))
