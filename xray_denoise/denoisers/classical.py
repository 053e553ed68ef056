"""Classical denoisers: total variation and non-local means, the baselines that a network has to beat.

Both believe in white Gaussian noise of one standard deviation. They are told the effective sigma of the
exposure, sqrt(mean(f) / eta + sigma^2) grey levels, the standard deviation of white noise that has the same
mean variance; without a level they take that of `physics.level_estimate`. `vst.py` makes them fit for noise that
grows with the signal.

Their constants have the highest mean PSNR, given the true level, over three noise levels of Table II on 24
chest radiographs that no result is reported on. Found with xray_denoise/bench/tune.py of commit 04e6eef:

    (eta, sigma)   (0.4, 15)   (0.6, 10)   (0.8, 5)      mean
    TV, dB            36.079      37.603     38.903    37.528
    NLM, dB           35.790      37.524     38.873    37.396

Both optima lie inside the grid and are broad: the neighbours on it are at most 0.21 dB behind.

References:
    Rudin, Osher, Fatemi, Nonlinear total variation based noise removal algorithms, Physica D 60, 1992.
    Chambolle, An algorithm for total variation minimization and applications, JMIV 20, 2004.
    Buades, Coll, Morel, A non-local algorithm for image denoising, CVPR 2005.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers.base import Denoised, Denoiser
from xray_denoise.physics.level_estimate import estimate_level
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import Noise, as_level

TV_FACTOR = 1.1
TV_ITERATIONS = 200  # not tuned: 100 gain and 400 lose 0.05 dB on four of the images
NLM_FACTOR = 0.8
NLM_PATCH_SIZE = 9
NLM_PATCH_DISTANCE = 5


@dataclass(frozen=True, slots=True)
class Noisy(Denoiser):
    """Change nothing; the baseline of tables."""

    name: str = field(default="noisy", init=False)

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:  # noqa: ARG002
        """Remove nothing; the level is not used."""
        grey = np.asarray(noisy, dtype=np.float32)
        return Denoised(grey, np.zeros_like(grey))


@dataclass(frozen=True, slots=True)
class TotalVariation(Denoiser):
    """The image g that minimises ||g - f||^2 / 2 + w * TV(g), with w = factor * effective sigma.

    Chambolle's projection in a fixed number of steps. The stopping rule of scikit-image is switched off: it
    compares two consecutive values of an energy that is not monotonic, and stops by chance.
    """

    factor: float = TV_FACTOR
    """Weight of the total variation per grey level of effective sigma; large means smooth."""
    iterations: int = TV_ITERATIONS
    name: str = field(default="tv", init=False)

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`."""
        from skimage.restoration import denoise_tv_chambolle

        image = np.asarray(noisy, dtype=np.float32)
        level = as_level(level) or estimate_level(image)
        sigma = effective_sigma(image, level)
        if sigma > 0:
            weight = self.factor * sigma
            image = denoise_tv_chambolle(image, weight=weight, eps=0.0, max_num_iter=self.iterations)
        return Denoised.of(noisy, image, level)


@dataclass(frozen=True, slots=True)
class NonLocalMeans(Denoiser):
    """Average pixels whose surroundings look alike, weighted by exp(-max(0, d^2 - 2 s^2) / h^2).

    d^2 is the mean squared difference of two patches and s the effective sigma. As the fast mode of
    scikit-image has it, a patch of nominal side p covers (p - 1) x (p - 1) pixels, h is
    factor * s * p / (p - 1), weights below exp(-5) are zero, and the exponential is approximate.
    """

    factor: float = NLM_FACTOR
    """scikit-image's h per grey level of effective sigma; large means smooth."""
    patch_size: int = NLM_PATCH_SIZE
    """Nominal side of the square patches that are compared, pixels, odd."""
    patch_distance: int = NLM_PATCH_DISTANCE
    """Farthest patch that is looked at, pixels along each axis."""
    name: str = field(default="nlm", init=False)

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`."""
        from skimage.restoration import denoise_nl_means

        image = np.asarray(noisy, dtype=np.float32)
        level = as_level(level) or estimate_level(image)
        sigma = effective_sigma(image, level)
        if sigma > 0:
            image = denoise_nl_means(
                image,
                patch_size=self.patch_size,
                patch_distance=self.patch_distance,
                h=self.factor * sigma,
                sigma=sigma,
                fast_mode=True,
                preserve_range=True,
            ).reshape(image.shape)
        return Denoised.of(noisy, image, level)


def effective_sigma(image: NDArray[np.floating], level: NoiseLevel) -> float:
    """Standard deviation, grey levels, of the white noise that has the mean variance of `level` in `image`."""
    return level.effective_sigma(float(image.mean(dtype=np.float64)))
