"""One level out of what was removed: planted lines come back, and a planted bias is taken out."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.noise_fit import Calibration, NoiseStatistics, scaled, sums_of
from xray_denoise.scale import MID_GREY


def measured_level(noisy: NDArray[Any], clean: NDArray[Any], deviation: NDArray[Any]) -> NoiseLevel:
    """The level of an image whose noise-free version is known; all (H, W), grey levels."""
    images = [image.astype(np.float64) for image in (noisy, clean, deviation)]
    return NoiseStatistics(noisy.size, *map(float, sums_of(*images))).level


def ramp(height: int = 64, width: int = 48) -> NDArray[np.float64]:
    return np.linspace(10.0, 240.0, height * width).reshape(height, width)


def removed(clean: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """An image from which at every pixel a standard deviation is removed, up or down in turn."""
    signs = np.where(np.arange(clean.size).reshape(clean.shape) % 2, 1.0, -1.0)
    return clean + signs * np.sqrt(variance)


@given(st.floats(0.4, 10.0), st.floats(0.0, 20.0), st.floats(0.7, 1.1))
def test_planted_level_comes_back_whatever_the_map_says_of_its_strength(eta: float, sigma: float, wrong: float) -> None:
    planted = NoiseLevel(eta, sigma)
    variance = planted.variance(ramp())
    found = measured_level(removed(ramp(), variance), ramp(), wrong * np.sqrt(variance))
    assert found.eta == pytest.approx(eta, rel=1e-6)
    assert found.sigma**2 == pytest.approx(sigma**2, rel=1e-6, abs=1e-6 * 240 / eta)


def test_a_large_image_is_looked_at_on_a_grid() -> None:
    grey = np.linspace(10.0, 240.0, 2100 * 2000).reshape(2100, 2000)
    variance = NoiseLevel(0.6, 10).variance(grey)
    found = measured_level(removed(grey, variance), grey, np.sqrt(variance))
    assert (found.eta, found.sigma) == (pytest.approx(0.6, rel=1e-4), pytest.approx(10, rel=1e-3))


def test_flat_image_has_electronic_noise_only() -> None:
    flat = np.full((32, 32), 100.0)
    found = measured_level(removed(flat, np.full_like(flat, 49.0)), flat, np.full_like(flat, 7.0))
    assert (found.eta, found.sigma) == (math.inf, pytest.approx(7.0))


def test_noise_that_falls_with_the_grey_level_is_no_photon_noise() -> None:
    variance = (20 - ramp() / 20) ** 2
    found = measured_level(removed(ramp(), variance), ramp(), np.full_like(ramp(), 1.0))
    assert found.eta == math.inf
    assert found.sigma**2 == pytest.approx(variance[(ramp() > 3) & (ramp() < 252)].mean())


def test_intercept_below_zero_becomes_a_line_through_the_origin() -> None:
    variance = np.maximum(2 * ramp() - 100, 0)
    found = measured_level(removed(ramp(), variance), ramp(), np.full_like(ramp(), 1.0))
    assert found.sigma == 0
    assert 1 / found.eta == pytest.approx(np.sum(ramp() * variance) / np.sum(ramp() ** 2), rel=1e-2)


def test_noise_is_measured_to_what_its_squares_scatter() -> None:
    """Of 60 000 removed values: in total within 1.5 %, five times what chance leaves, and each part by itself."""
    planted, clean = NoiseLevel(0.6, 10), ramp(250, 250)
    noisy = add_noise(clean, planted, np.random.default_rng(0))
    found = measured_level(noisy, clean, np.sqrt(planted.variance(clean)))
    assert found.effective_sigma(MID_GREY) == pytest.approx(planted.effective_sigma(MID_GREY), rel=0.015)
    assert found.eta == pytest.approx(0.6, rel=0.1)
    assert found.sigma == pytest.approx(10, rel=0.1)


def test_saturated_pixels_do_not_count() -> None:
    """Half of the image is so dark that its noise is cut off: counted in, it would halve the variance there."""
    planted = NoiseLevel(math.inf, 20.0)
    clean = np.where(np.arange(200)[:, None] < 100, 0.0, 128.0) * np.ones((200, 200))
    noisy = add_noise(clean, planted, np.random.default_rng(0))
    found = measured_level(noisy, clean, np.full_like(clean, 20.0))
    assert found.effective_sigma(MID_GREY) == pytest.approx(20, rel=5 / 40_000**0.5)
    dark = measured_level(noisy[:100], clean[:100], np.full((100, 200), 17.0))
    assert dark.sigma == 17, "with nothing to go by the map is believed"


def test_nothing_removed_is_no_noise() -> None:
    assert measured_level(ramp(), ramp(), np.full_like(ramp(), 2.0)) == NoiseLevel(math.inf, 0.0)


def test_calibration_takes_out_a_planted_bias() -> None:
    """A bias that changes linearly from 1.2 to 0.9: straight lines between eight means follow it within 0.5 %."""
    true = np.random.default_rng(0).uniform(8, 25, 400)
    biased = true * np.interp(true, [8, 25], [1.2, 0.9])
    calibration = Calibration.of(biased, true, knots=8)
    for sigma in (9.0, 14.0, 20.0, 24.0):
        level = NoiseLevel(math.inf, sigma * np.interp(sigma, [8, 25], [1.2, 0.9]))
        assert level.sigma * calibration.factor(level) == pytest.approx(sigma, rel=0.005)


def test_calibration_is_constant_beyond_what_was_measured() -> None:
    calibration = Calibration((10.0, 20.0), (0.9, 1.1))
    assert calibration.factor(NoiseLevel(math.inf, 1.0)) == 0.9
    assert calibration.factor(NoiseLevel(math.inf, 90.0)) == 1.1
    assert calibration.factor(NoiseLevel(math.inf, 15.0)) == pytest.approx(1.0)


def test_scaled_level_has_the_scaled_deviation_everywhere() -> None:
    level = scaled(NoiseLevel(0.6, 10), 1.1)
    for grey in (0.0, MID_GREY, 255.0):
        assert level.effective_sigma(grey) == pytest.approx(1.1 * NoiseLevel(0.6, 10).effective_sigma(grey))
