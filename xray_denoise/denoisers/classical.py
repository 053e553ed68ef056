"""Classical denoisers: total variation and non-local means, the baselines that a network has to beat.

Both believe in white Gaussian noise of one standard deviation. They are told the effective sigma of the
exposure, sqrt(mean(f) / eta + sigma^2) grey levels, the standard deviation of white noise that has the same
mean variance; without a noise level they estimate it from the image.

Their constants have the highest mean PSNR, given the true level, over three noise levels of Table II on 24
chest radiographs that no result is reported on. Found with

    python docs/tune_classical.py FOLDER

    (eta, sigma)   (0.4, 15)   (0.6, 10)   (0.8, 5)      mean
    TV, dB            36.079      37.603     38.903    37.528
    NLM, dB           35.790      37.524     38.873    37.396

The optima are broad: every neighbour of the settings on the grid is less than 0.1 dB behind but for NLM with
factor 0.7, which is 0.11 dB behind.

References:
    Rudin, Osher, Fatemi, Nonlinear total variation based noise removal algorithms, Physica D 60, 1992.
    Chambolle, An algorithm for total variation minimization and applications, JMIV 20, 2004.
    Buades, Coll, Morel, A non-local algorithm for image denoising, CVPR 2005.
    Donoho, Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81, 1994.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoised
from xray_denoise.physics.noise import NoiseLevel

TV_FACTOR = 1.1
TV_ITERATIONS = 200  # not tuned: 100 gain and 400 lose 0.05 dB on four of the images
NLM_FACTOR = 0.8
NLM_PATCH_SIZE = 9
NLM_PATCH_DISTANCE = 5

MEDIAN_OF_ABSOLUTE_NORMAL = 0.6744897501960817
"""Median of |x| for a standard normal x."""

ROUND_OFF = 1e-12
"""Relative to the largest pixel: more than the round-off of 32 additions in double precision."""

_ROOT_3 = 3**0.5
DAUBECHIES_2 = np.array([1 - _ROOT_3, _ROOT_3 - 3, 3 + _ROOT_3, -1 - _ROOT_3]) / (4 * 2**0.5)
"""High-pass filter of the Daubechies wavelet with two vanishing moments; its energy is 1."""


@dataclass(frozen=True, slots=True)
class Noisy:
    """Do nothing: the row that every method has to beat."""

    name: str = field(default="noisy", init=False)

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:  # noqa: ARG002
        """Return the image as it came; the level is not used, and nothing is claimed to be removed."""
        return Denoised(np.asarray(noisy, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class TotalVariation:
    """The image g that minimises ||g - f||^2 / 2 + w * TV(g), with w = factor * effective sigma.

    Chambolle's projection in a fixed number of steps. The stopping rule of scikit-image is switched off: it
    compares two consecutive values of an energy that is not monotonic, and stops by chance.
    """

    factor: float = TV_FACTOR
    """Weight of the total variation per grey level of effective sigma; large means smooth."""
    iterations: int = TV_ITERATIONS
    name: str = field(default="tv", init=False)

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`."""
        from skimage.restoration import denoise_tv_chambolle

        image = np.asarray(noisy, dtype=np.float32)
        sigma = _effective_sigma(image, level)
        if sigma > 0:
            weight = self.factor * sigma
            image = denoise_tv_chambolle(image, weight=weight, eps=0.0, max_num_iter=self.iterations)
        return Denoised(image, level)


@dataclass(frozen=True, slots=True)
class NonLocalMeans:
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

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`."""
        from skimage.restoration import denoise_nl_means

        image = np.asarray(noisy, dtype=np.float32)
        sigma = _effective_sigma(image, level)
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
        return Denoised(image, level)


def estimate_sigma(image: NDArray[np.floating]) -> float:
    """Standard deviation of the white noise in `image`, in its own unit: median |D| / 0.6745.

    D are the diagonal wavelet details at the finest scale, those that are zero but for round-off left out,
    for they come from saturated areas. It is `skimage.restoration.estimate_sigma` without its need for
    PyWavelets, except that no details are made up beyond the borders. Without details sigma is 0.
    """
    details = np.asarray(image, dtype=np.float64)
    taps = len(DAUBECHIES_2)
    for _ in range(2):
        if len(details) < taps:
            return 0.0
        count = (len(details) - taps) // 2 + 1
        details = sum(tap * details[i : i + 2 * count : 2] for i, tap in enumerate(DAUBECHIES_2)).T
    magnitudes = np.abs(details)
    magnitudes = magnitudes[magnitudes > ROUND_OFF * np.abs(image).max()]
    return float(np.median(magnitudes)) / MEDIAN_OF_ABSOLUTE_NORMAL if magnitudes.size else 0.0


def _effective_sigma(image: NDArray[np.float32], level: NoiseLevel | None) -> float:
    if level is None:
        return estimate_sigma(image)
    return level.effective_sigma(float(image.mean(dtype=np.float64)))
