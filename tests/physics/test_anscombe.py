"""The transform makes the variance 1 and its inverse gives the mean back, by sums over the exact distribution."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import poisson

from xray_denoise.physics.anscombe import LOWEST, forward, inverse
from xray_denoise.physics.noise import NoiseLevel, add_noise

ETAS, SIGMAS = (0.4, 0.6, 1.0, 1.9), (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
GREYS = np.concatenate([np.arange(0.0, 10.0, 0.5), np.linspace(10, 255, 12)])
Values = NDArray[np.float64]


def moments(grey: float, level: NoiseLevel) -> tuple[float, float]:
    """Mean and variance of D(f) before clipping: a sum over photons and over 401 steps of the normal density."""
    photons = np.arange(int(poisson.isf(1e-12, level.eta * grey)) + 2)
    steps = np.linspace(-8, 8, 401) if level.sigma else np.zeros(1)
    density = np.exp(-(steps**2) / 2)
    weight = poisson.pmf(photons, level.eta * grey)[:, None] * density / density.sum()
    d = forward(photons[:, None] / level.eta + level.sigma * steps, level)
    mean = float((weight * d).sum())
    return mean, float((weight * d**2).sum()) - mean**2


@pytest.fixture(scope="module")
def exact() -> tuple[Values, Values]:
    """Bias of the inverse and variance of D over (eta, sigma, grey)."""
    table = np.array([[[moments(g, NoiseLevel(e, s)) for g in GREYS] for s in SIGMAS] for e in ETAS])
    bias = np.array(
        [
            [inverse(table[i, j, :, 0], NoiseLevel(e, s)) - GREYS for j, s in enumerate(SIGMAS)]
            for i, e in enumerate(ETAS)
        ]
    )
    return bias, table[..., 1]


def test_the_inverse_of_the_mean_is_unbiased(exact: tuple[Values, Values]) -> None:
    """The bounds of the docstring; they are reached, so that a better formula would be noticed too."""
    bias, _ = exact
    assert 0.10 < abs(bias).max() < 0.12
    assert 0.04 < abs(bias[..., GREYS >= 10]).max() < 0.046
    assert abs(bias).max() == abs(bias[0]).max(), "at the least eta"


def test_the_variance_is_one(exact: tuple[Values, Values]) -> None:
    _, variance = exact
    bright = variance[..., GREYS >= 10]
    assert bright.min() > 0.99
    assert 1.05 < bright.max() < 1.06
    assert variance.max() < 1.21
    assert variance.min() == pytest.approx(0, abs=1e-9), "no photon and no electronics: nothing varies"


def test_the_algebraic_inverse_would_be_biased() -> None:
    """E[D] is below D(E[f]) by the curvature of the root: about a quarter of a photon."""
    level, grey = NoiseLevel(0.4, 5.0), 100.0
    mean, _ = moments(grey, level)
    algebraic = (mean**2 / 4 - 3 / 8) / level.eta - level.sigma**2 * level.eta
    assert algebraic - grey == pytest.approx(-0.25 / level.eta, abs=0.1)


@pytest.mark.parametrize("level", [NoiseLevel(0.4, 5.0), NoiseLevel(1.9, 0.0), NoiseLevel(math.inf, 12.0)])
def test_drawn_noise_has_variance_one(level: NoiseLevel) -> None:
    """A flat field far from 0; the variance may err by 5 standard errors and by the 1 % of the transform."""
    n = 200_000
    d = forward(add_noise(np.full(n, 120.0), level, np.random.default_rng(0), clip=False), level)
    assert d.var() == pytest.approx(1, abs=0.01 + 5 * (2 / n) ** 0.5)


def test_gaussian_noise_is_only_scaled() -> None:
    grey = np.array([-3.0, 0.0, 200.0])
    level = NoiseLevel(math.inf, 4.0)
    np.testing.assert_allclose(forward(grey, level), grey / 4)
    np.testing.assert_allclose(inverse(forward(grey, level), level), grey)


@pytest.mark.parametrize("eta", [1e7, 1e8, 1e12, 1e17, 1e300])
def test_no_eta_is_too_large(eta: float) -> None:
    level = NoiseLevel(eta, 3.0)
    grey = np.linspace(0, 255, 50)
    transformed = forward(grey, level)
    np.testing.assert_allclose(transformed - transformed[0], grey / 3, atol=1e-3)
    np.testing.assert_allclose(inverse(transformed, level), grey, atol=1e-3)


def test_little_photon_noise_nears_gaussian_noise() -> None:
    """Apart from an offset; the photons add 255 / (eta sigma^2) = 6e-8 to the variance."""
    grey = np.linspace(0, 255, 50)
    level = NoiseLevel(1e8, 6.0)
    d = forward(grey, level)
    np.testing.assert_allclose(d - d[0], grey / 6, atol=1e-4)
    np.testing.assert_allclose(inverse(d, level), grey, atol=1e-4)


@pytest.mark.parametrize("level", [NoiseLevel(e, s) for e in ETAS for s in SIGMAS])
def test_the_inverse_rises_from_zero(level: NoiseLevel) -> None:
    grey = inverse(np.concatenate([[-5.0, 0.0, 1e-9], np.linspace(LOWEST, 80, 2000)]), level)
    assert (np.diff(grey) >= 0).all()
    assert (grey[:4] == 0).all(), "also where the closed form would go to infinity"
    assert np.isfinite(grey).all()


def test_values_below_the_root_are_zero() -> None:
    assert (forward(np.array([-1e3, -50.0]), NoiseLevel(0.4, 2.0)) == 0).all()


def test_without_noise_there_is_nothing_to_stabilise() -> None:
    for function in (forward, inverse):
        with pytest.raises(ValueError, match="without noise"):
            function(np.zeros(3), NoiseLevel(math.inf, 0.0))
