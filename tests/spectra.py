"""What the power spectrum of drawn noise should be, and how closely draws tell it."""

import math

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.profile import BANDS, band_means

Values = NDArray[np.float64]


def periodogram(noise: NDArray[np.floating]) -> Values:
    """Mean power spectrum of images (N, H, W) of zero mean; white noise of variance 1 has the power 1."""
    return np.asarray((np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0) / noise[0].size)


def expected_periodogram(kernel: Values, shape: tuple[int, int]) -> Values:
    """Expectation of the periodogram of noise with this kernel in an image whose rims are not joined.

    It is the spectrum of the covariance at each lag times the share of pixel pairs that an image has at that lag.
    """
    doubled = (2 * shape[0], 2 * shape[1])
    covariance = np.fft.ifft2(np.abs(np.fft.fft2(kernel, doubled)) ** 2).real
    for axis, side in enumerate(shape):
        lag = np.abs(np.fft.fftfreq(2 * side, 1 / (2 * side)))
        covariance *= np.expand_dims(1 - lag / side, 1 - axis)
    return np.asarray(np.fft.fft2(covariance).real[::2, ::2])


def band_errors(power: Values, images: int) -> Values:
    """(4,), standard errors of the mean power in each band; half of the frequencies mirror the other half."""
    radius = np.hypot(np.fft.fftfreq(power.shape[0])[:, None], np.fft.fftfreq(power.shape[1])[None])
    counts = [((radius >= low) & (radius < high)).sum() for low, high in BANDS]
    return np.asarray(np.sqrt(2 * band_means(power**2) / (np.array(counts) * images)))


def variance_error(power: Values, pixels: int) -> float:
    """Relative standard error of the variance of so many pixels of Gaussian noise of this spectrum (any scale)."""
    return math.sqrt(2 * (power**2).mean() / power.mean() ** 2 / pixels)
