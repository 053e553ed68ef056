"""How close an estimate is to the truth: PSNR, SNR and SSIM in grey levels.

Estimates are clipped to [0, 255] first. An average over images is the mean of the per-image values.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.scale import GREY_MAX

Image = NDArray[np.floating] | NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Quality:
    """How close one estimate is to its noise-free image."""

    psnr: float
    """Peak signal-to-noise ratio, dB: 10 log10(255^2 / MSE)."""
    snr: float
    """Signal-to-noise ratio, dB: 10 log10(mean(g^2) / MSE); PSNR minus a constant of the image."""
    ssim: float
    """Structural similarity, at most 1 (Wang et al. 2004: Gaussian window of sigma 1.5, data range 255)."""
    ssim_paper: float
    """SSIM as the X-BDCNN paper computes it: 7x7 uniform window, sample covariance, a data range of twice white."""


def mean_squared_error(estimate: Image, clean: Image) -> float:
    """Mean squared difference of two images of one shape, grey levels squared; `estimate` is clipped first."""
    difference = np.clip(estimate, 0, GREY_MAX).astype(np.float64) - clean
    return float(np.mean(difference**2))


def psnr(estimate: Image, clean: Image) -> float:
    """10 log10(255^2 / MSE) in dB; infinite where the images are equal."""
    return _decibel(GREY_MAX**2, mean_squared_error(estimate, clean))


def snr(estimate: Image, clean: Image) -> float:
    """10 log10(mean(g^2) / MSE) in dB; infinite where the images are equal, minus infinite for a black `clean`."""
    power = float(np.mean(np.square(clean, dtype=np.float64)))
    return _decibel(power, mean_squared_error(estimate, clean))


def quality(estimate: Image, clean: Image) -> Quality:
    """Every measure of `estimate` against the noise-free `clean`: 2-D images of one shape, grey levels."""
    from skimage.metrics import structural_similarity

    clipped = np.clip(estimate, 0, GREY_MAX).astype(np.float64)
    truth = np.asarray(clean, dtype=np.float64)
    standard = structural_similarity(
        truth, clipped, data_range=GREY_MAX, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    as_in_paper = structural_similarity(truth, clipped, data_range=2 * GREY_MAX, win_size=7)
    return Quality(psnr(clipped, truth), snr(clipped, truth), float(standard), float(as_in_paper))


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return -math.inf if signal == 0 else 10 * math.log10(signal / noise)
