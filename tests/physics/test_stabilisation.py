"""The transform gives any profile one standard deviation, and its inverse brings means back."""

import numpy as np
import pytest

from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.physics.stabilisation import Stabiliser

RISING = NoiseProfile(np.array([0.0, 128.0, 255.0]), np.array([1.0, 3.0, 8.0]), np.ones((1, 1)))
FALLING = NoiseProfile(np.array([0.0, 255.0]), np.array([6.0, 0.5]), np.ones((1, 1)))
PHOTONS = NoiseProfile.of_level(NoiseLevel(0.6, 10.0))
PROFILES = pytest.mark.parametrize("profile", [RISING, FALLING, PHOTONS], ids=["rising", "falling", "photons"])


@PROFILES
@pytest.mark.parametrize("grey", [20.0, 120.0, 230.0])
def test_noise_gets_one_deviation_and_its_mean_comes_back(profile: NoiseProfile, grey: float) -> None:
    """Deviation: to first order, so within 5 % where it doubles over some ten deviations; mean: within 5 standard
    errors, beyond which the algebraic inverse is off (see the next test)."""
    n = 400_000
    flat = np.full((1, n), grey)
    noisy = flat + profile.draw(flat, np.random.default_rng(0))
    stabiliser = Stabiliser.of(profile)
    shown = stabiliser.forward(noisy)
    assert shown.std() == pytest.approx(stabiliser.deviation, rel=0.05)
    error = 5 * float(profile.deviation_at(grey)) / n**0.5
    assert float(stabiliser.back(np.array(shown.mean()))) == pytest.approx(grey, abs=error + 0.002)


def test_the_algebraic_inverse_would_not_do() -> None:
    """By a quarter of the slope of the variance, 1 / eta: 0.42 grey levels."""
    flat = np.full((1, 400_000), 120.0)
    stabiliser = Stabiliser.of(PHOTONS)
    mean = stabiliser.forward(flat + PHOTONS.draw(flat, np.random.default_rng(0))).mean()
    algebraic = np.interp(mean, stabiliser.transformed, stabiliser.grey)
    assert algebraic == pytest.approx(120 - 0.25 / 0.6, abs=0.13)


@PROFILES
def test_black_and_white_keep_their_places(profile: NoiseProfile) -> None:
    stabiliser = Stabiliser.of(profile, -20.0, 300.0)
    np.testing.assert_allclose(stabiliser.forward(np.array([0.0, 255.0])), [0, 255], atol=1e-6)


def test_one_deviation_changes_nothing() -> None:
    grey = np.linspace(-60, 320, 77)
    stabiliser = Stabiliser.of(NoiseProfile.white(3.0))
    assert stabiliser.deviation == pytest.approx(3.0)
    np.testing.assert_allclose(stabiliser.forward(grey), grey, atol=1e-9)
    np.testing.assert_allclose(stabiliser.back(grey), grey, atol=1e-9)


def test_grey_levels_without_noise_are_allowed() -> None:
    profile = NoiseProfile(np.array([0.0, 100.0, 255.0]), np.array([0.0, 0.0, 4.0]), np.ones((1, 1)))
    grey = np.linspace(0, 255, 52)
    stabiliser = Stabiliser.of(profile)
    shown = stabiliser.forward(grey)
    assert np.isfinite(shown).all()
    assert (np.diff(shown) > 0).all()
    assert np.isfinite(stabiliser.back(shown)).all()
    assert Stabiliser.of(profile.scaled(0.0)).deviation == 0
