"""Poisson NL-PCA fits its model, covers the image, and removes noise where photons are few."""

import numpy as np
import pytest

from xray_denoise.denoisers.nlpca import SIDE, NonLocalPca, Patches, fit_factors, fit_scores
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise


@pytest.mark.parametrize(
    ("level", "least"), [(NoiseLevel(0.02, 0.0), 13), (NoiseLevel(0.02, 10.0), 13), (NoiseLevel(0.6, 10.0), 6)], ids=str
)
def test_noise_is_removed(level: NoiseLevel, least: float) -> None:
    """At eta 0.02 white is five photons; the method was made for this. Gains are 14.5, 14.2 and 6.7 dB."""
    clean = chest_phantom(96, rng=np.random.default_rng(0))
    noisy = add_noise(clean, level, np.random.default_rng(1), clip=False)
    gain = psnr(NonLocalPca()(noisy, level).image, clean) - psnr(noisy, clean)
    assert gain > least


def test_brightness_is_kept() -> None:
    """Read noise comes in by a shift of the counts, and goes out again."""
    for level in (NoiseLevel(0.1, 0.0), NoiseLevel(0.1, 20.0)):
        noisy = add_noise(np.full((64, 64), 90.0), level, np.random.default_rng(0), clip=False)
        assert NonLocalPca()(noisy, level).image.mean() == pytest.approx(noisy.mean(), abs=0.5)


def likelihood(Y: np.ndarray, log_intensity: np.ndarray) -> float:
    return float((np.exp(log_intensity) - Y * log_intensity).sum())


def test_planted_factors_are_found() -> None:
    """Counts of about 4 from two factors: the fit explains them better than the factors they were drawn from, and
    its intensities are nearer to the true ones than the counts are, by more than ten times."""
    rng = np.random.default_rng(0)
    V = np.stack([np.ones(100), np.sin(np.arange(100) / 8)])
    U = np.column_stack([rng.normal(1.4, 0.2, 800), rng.normal(0, 0.5, 800)])
    true = np.exp(U @ V)
    Y = rng.poisson(true).astype(np.float32)
    factors = fit_factors(Y, 2, 20)
    found = fit_scores(Y, factors, 20) @ factors
    assert likelihood(Y, found) < likelihood(Y, U @ V)
    assert ((np.exp(found) - true) ** 2).mean() < ((Y - true) ** 2).mean() / 10


def test_newton_steps_reach_the_optimum() -> None:
    """The problem in U is convex: at the optimum the gradient is 0, to the precision of 32-bit sums."""
    rng = np.random.default_rng(0)
    Y = rng.poisson(3.0, (50, 400)).astype(np.float32)
    V = fit_factors(Y, 4, 5)
    U = fit_scores(Y, V, 20)
    assert abs((np.exp(U @ V) - Y) @ V.T).max() < 0.01
    assert abs((np.exp(fit_scores(Y, V, 1) @ V) - Y) @ V.T).max() > 0.05


@pytest.mark.parametrize("shape", [(20, 20), (20, 57), (41, 22), (63, 64)])
def test_patches_cover_every_pixel(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    patches, total, weight = Patches.of(image), np.zeros(shape), np.zeros(shape)
    every = np.arange(len(patches))
    patches.add(every, patches.take(every), total, weight)
    assert weight.min() >= 1
    assert weight.sum() == len(patches) * SIDE**2
    np.testing.assert_allclose(total / weight, image, rtol=1e-6)
