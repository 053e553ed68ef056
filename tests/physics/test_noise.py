"""The noise follows Eq. (1) and (2) of the X-BDCNN paper, and the tests of that can fail."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise

LEVEL = NoiseLevel(eta=0.6, sigma=10.0)
GREYS = [0.0, 3.0, 40.0, 200.0]
PIXELS = 500_000

TABLE_2_NOISY_DB = {
    (0.4, 5): 22.5162,
    (0.4, 10): 21.7703,
    (0.4, 15): 20.7651,
    (0.6, 5): 24.0733,
    (0.6, 10): 23.0213,
    (0.6, 15): 21.7165,
    (0.8, 5): 25.1555,
    (0.8, 10): 23.8439,
    (0.8, 15): 22.2952,
}


def exposure(grey: float, level: NoiseLevel = LEVEL, *, clip: bool = False) -> NDArray[np.float64]:
    noisy = add_noise(np.full(PIXELS, grey), level, np.random.default_rng(0), clip=clip)
    return noisy.astype(np.float64)


def assert_follows(noisy: NDArray[np.float64], grey: float, level: NoiseLevel) -> None:
    """Mean and variance lie within five standard errors of the model's.

    The variance of a sample variance is (fourth central moment - variance^2) / n; the fourth central moment
    is 3 variance^2 plus the fourth cumulant, which is g / eta^3 for Poisson(eta g) / eta.
    """
    variance = grey / level.eta + level.sigma**2
    fourth_moment = 3 * variance**2 + grey / level.eta**3
    assert noisy.mean() == pytest.approx(grey, abs=5 * math.sqrt(variance / noisy.size))
    error = math.sqrt((fourth_moment - variance**2) / noisy.size)
    assert noisy.var() == pytest.approx(variance, abs=5 * error)


@pytest.mark.parametrize("grey", GREYS)
def test_mean_and_variance_follow_the_model(grey: float) -> None:
    assert_follows(exposure(grey), grey, LEVEL)


@pytest.mark.parametrize(
    "wrong", [NoiseLevel(0.57, 10.0), NoiseLevel(0.63, 10.0), NoiseLevel(0.6, 9.7), NoiseLevel(0.6, 10.3)]
)
def test_a_level_wrong_by_five_percent_is_caught(wrong: NoiseLevel) -> None:
    with pytest.raises(AssertionError):
        assert_follows(exposure(200.0, wrong), 200.0, LEVEL)


def test_no_noise_at_all_is_caught() -> None:
    with pytest.raises(AssertionError):
        assert_follows(np.full(PIXELS, 40.0), 40.0, LEVEL)


def test_every_pixel_has_noise_of_its_own() -> None:
    noisy = exposure(40.0) - 40.0
    correlation = np.mean(noisy[1:] * noisy[:-1]) / noisy.var()
    assert abs(correlation) < 5 / math.sqrt(PIXELS)


def test_photons_are_counted() -> None:
    """Without electronic noise a pixel holds a whole number of photons, 1 / eta grey levels each."""
    photons = exposure(40.0, NoiseLevel(0.6, 0.0)) * 0.6
    assert np.abs(photons - np.rint(photons)).max() < 200 * np.finfo(np.float32).eps
    assert len(np.unique(np.rint(photons))) > 10


def test_variance_is_predicted() -> None:
    clean = np.array([[0.0, 60.0], [120.0, 255.0]])
    np.testing.assert_allclose(LEVEL.variance(clean), [[100, 200], [300, 525]], rtol=1e-12)


def test_effective_sigma_is_the_root_of_the_mean_variance() -> None:
    clean = np.array([[0.0, 60.0], [120.0, 255.0]])
    assert LEVEL.effective_sigma(float(clean.mean())) ** 2 == pytest.approx(LEVEL.variance(clean).mean())
    assert LEVEL.effective_sigma(-1.0) == 10.0


def test_clipping_saturates() -> None:
    noisy = exposure(250.0, clip=True)
    assert noisy.max() == 255.0
    assert noisy.min() >= 0


def test_clipping_lifts_black_by_the_mean_of_half_a_bell() -> None:
    """E max(0, x) = sigma / sqrt(2 pi), with variance sigma^2 (1/2 - 1/(2 pi)), for x ~ N(0, sigma^2)."""
    noisy = exposure(0.0, clip=True)
    error = 10.0 * math.sqrt((0.5 - 0.5 / math.pi) / PIXELS)
    assert noisy.mean() == pytest.approx(10.0 / math.sqrt(2 * math.pi), abs=5 * error)


def test_noise_is_not_rounded() -> None:
    noisy = exposure(40.0, clip=True)
    assert len(np.unique(noisy)) > 1000


def test_infinite_eta_means_no_quantum_noise() -> None:
    assert_follows(exposure(200.0, NoiseLevel(math.inf, 3.0)), 200.0, NoiseLevel(math.inf, 3.0))
    clean = np.linspace(0, 255, 100, dtype=np.float32)
    np.testing.assert_array_equal(add_noise(clean, NoiseLevel(math.inf, 0), np.random.default_rng(0)), clean)


def test_a_seed_repeats_the_draw() -> None:
    clean = np.full((20, 30), 90.0)
    first, second, other = (add_noise(clean, LEVEL, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).mean() > 0.9


def test_shape_and_type() -> None:
    noisy = add_noise(np.full((5, 7), 90, dtype=np.uint8), LEVEL, np.random.default_rng(0))
    assert noisy.shape == (5, 7)
    assert noisy.dtype == np.float32


def test_the_clean_image_is_not_touched() -> None:
    clean = np.full((5, 7), 90.0)
    add_noise(clean, LEVEL, np.random.default_rng(0))
    assert (clean == 90.0).all()


@pytest.mark.parametrize("bad", [-1e-6, math.nan, math.inf])
def test_an_impossible_clean_pixel_is_refused(bad: float) -> None:
    clean = np.full((3, 3), 10.0)
    clean[1, 1] = bad
    with pytest.raises(ValueError, match="noise-free"):
        add_noise(clean, LEVEL, np.random.default_rng(0))


@pytest.mark.parametrize("eta", [0.0, -1.0, math.nan])
def test_an_impossible_eta_is_refused(eta: float) -> None:
    with pytest.raises(ValueError, match="eta"):
        NoiseLevel(eta, 5.0)


@pytest.mark.parametrize("sigma", [-0.1, math.inf, math.nan])
def test_an_impossible_sigma_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        NoiseLevel(0.6, sigma)


@pytest.mark.slow
def test_noisy_psnr_is_that_of_table_2(radiographs: Path) -> None:
    """A quarter of the pixels of ten radiographs tells the PSNR to 5 sqrt(2 / 2.6e6) of the MSE, 0.02 dB."""
    paths = sorted((radiographs / "test").glob("*.png"))
    assert len(paths) == 10
    rng = np.random.default_rng(0)
    scores: dict[tuple[float, float], list[float]] = {cell: [] for cell in TABLE_2_NOISY_DB}
    for path in paths:
        clean = np.asarray(Image.open(path).convert("L"), dtype=np.float32)[::2, ::2]
        for (eta, sigma), values in scores.items():
            values.append(psnr(add_noise(clean, NoiseLevel(eta, sigma), rng), clean))
    means = {cell: float(np.mean(values)) for cell, values in scores.items()}
    assert means == pytest.approx(TABLE_2_NOISY_DB, abs=0.03)
