"""PSNR, SNR and SSIM against values worked out by hand and against independent implementations."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from xray_denoise.physics.metrics import mean_squared_error, psnr, quality, snr

Image = NDArray[np.float64]


def pair() -> tuple[Image, Image]:
    """Draw a smooth clean image and an estimate of it that leaves [0, 255] in places."""
    rng = np.random.default_rng(3)
    clean = gaussian_filter(rng.uniform(0, 255, (48, 61)), 3)
    clean = 255 * (clean - clean.min()) / (clean.max() - clean.min())
    return clean + rng.normal(0, 15, clean.shape), clean


def ssim_map(x: Image, y: Image, data_range: float, *, window: str) -> Image:
    """Wang et al. 2004, Eq. (13), with K1 = 0.01 and K2 = 0.03, without the border."""

    def smooth(image: Image) -> Image:
        if window == "gaussian":  # sigma 1.5 cut off at 5 pixels: 11x11
            return np.asarray(gaussian_filter(image, 1.5, radius=5))
        return np.asarray(uniform_filter(image, 7))

    border, unbiased = (5, 1.0) if window == "gaussian" else (3, 49 / 48)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = smooth(x), smooth(y)
    vx, vy, vxy = (unbiased * (smooth(a * b) - smooth(a) * smooth(b)) for a, b in ((x, x), (y, y), (x, y)))
    whole = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return np.asarray(whole[border:-border, border:-border])


def test_values_worked_out_by_hand() -> None:
    clean = np.array([[100.0, 100.0], [200.0, 200.0]])
    estimate = clean + np.array([[25.5, -25.5], [25.5, -25.5]])
    assert mean_squared_error(estimate, clean) == pytest.approx(25.5**2)
    assert psnr(estimate, clean) == pytest.approx(20.0)
    assert snr(estimate, clean) == pytest.approx(10 * math.log10(25_000 / 650.25))


def test_one_wrong_pixel_of_four() -> None:
    clean = np.zeros((2, 2))
    assert mean_squared_error(np.array([[0.0, 0.0], [0.0, 4.0]]), clean) == 4.0


def test_estimates_are_clipped_first() -> None:
    clean = np.array([[0.0, 255.0], [0.0, 250.0]])
    assert mean_squared_error(np.array([[-30.0, 300.0], [0.0, 300.0]]), clean) == pytest.approx(25 / 4)


def test_an_equal_image_is_infinitely_good() -> None:
    _, clean = pair()
    assert psnr(clean, clean) == math.inf
    assert snr(clean, clean) == math.inf
    found = quality(clean, clean)
    assert found.ssim == pytest.approx(1)
    assert found.ssim_paper == pytest.approx(1)


def test_snr_is_psnr_minus_a_constant_of_the_image() -> None:
    estimate, clean = pair()
    constant = 10 * math.log10(np.mean(clean**2) / 255**2)
    assert constant < 0
    for other in (estimate, clean + 1, clean * 0.9, np.zeros_like(clean)):
        assert snr(other, clean) - psnr(other, clean) == pytest.approx(constant)


def test_quality_holds_the_same_psnr_and_snr() -> None:
    estimate, clean = pair()
    found = quality(estimate, clean)
    assert found.psnr == pytest.approx(psnr(estimate, clean))
    assert found.snr == pytest.approx(snr(estimate, clean))


def test_ssim_is_that_of_wang() -> None:
    estimate, clean = pair()
    expected = ssim_map(clean, estimate.clip(0, 255), 255, window="gaussian").mean()
    assert quality(estimate, clean).ssim == pytest.approx(expected, rel=1e-9)


def test_ssim_of_the_paper() -> None:
    """7x7 uniform window, sample covariance, data range 2 on images in [0, 1]."""
    estimate, clean = pair()
    expected = ssim_map(clean / 255, estimate.clip(0, 255) / 255, 2, window="uniform").mean()
    assert quality(estimate, clean).ssim_paper == pytest.approx(expected, rel=1e-9)


def test_another_ssim_is_caught() -> None:
    estimate, clean = pair()
    clipped = estimate.clip(0, 255)
    found = quality(estimate, clean)
    for wrong in (
        ssim_map(clean, clipped, 255, window="uniform").mean(),
        ssim_map(clean, clipped, 510, window="gaussian").mean(),
        ssim_map(clean, estimate, 255, window="gaussian").mean(),
    ):
        assert found.ssim != pytest.approx(wrong, rel=1e-4)
    assert found.ssim_paper > found.ssim


def test_integers_are_measured_like_floats() -> None:
    clean = np.arange(0, 240, dtype=np.uint8).reshape(15, 16)
    estimate = clean[::-1]
    floats = quality(estimate.astype(np.float64), clean.astype(np.float64))
    assert quality(estimate, clean) == floats
