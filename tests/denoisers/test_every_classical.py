"""What every classical method keeps to, whatever it does; those with BM3D inside are in test_bm3d.py."""

import math

import numpy as np
import pytest

from xray_denoise import denoisers
from xray_denoise.denoisers import Denoiser
from xray_denoise.denoisers.vst import GAT_TV, IterativeStabilised
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import NoiseProfile

LEVEL = NoiseLevel(0.6, 10.0)


METHODS = [denoisers.get(name) for name in denoisers.classical_names() if not name.endswith("bm3d")]


@pytest.fixture(params=[*METHODS, IterativeStabilised(GAT_TV)], ids=lambda method: method.name)
def method(request: pytest.FixtureRequest) -> Denoiser:
    found: Denoiser = request.param
    return found


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (3, 2), (8, 8), (41, 17)])
def test_any_size(method: Denoiser, shape: tuple[int, int]) -> None:
    noisy = np.random.default_rng(0).uniform(-20, 300, shape).astype(np.float32)
    before = noisy.copy()
    for level in (LEVEL, NoiseLevel(math.inf, 10.0), NoiseLevel(0.6, 0.0), None):
        denoised = method(noisy, level)
        assert denoised.image.shape == shape
        assert denoised.image.dtype == np.float32
        assert np.isfinite(denoised.image).all()
    np.testing.assert_array_equal(noisy, before)


@pytest.mark.parametrize("grey", [0.0, 70.0, 255.0])
def test_a_constant_image_stays(method: Denoiser, grey: float) -> None:
    """Told a level, the transform takes the constant for a mean of roots and gives back what has that mean: a
    quarter of a photon more, 0.42 grey level."""
    flat = np.full((48, 40), grey, dtype=np.float32)
    np.testing.assert_array_equal(method(flat).image, flat)
    np.testing.assert_array_equal(method(flat, NoiseLevel(math.inf, 0.0)).image, flat)
    np.testing.assert_allclose(method(flat, LEVEL).image, flat, atol=0.6)


def test_one_image_always_gets_one_result(method: Denoiser) -> None:
    noisy = add_noise(np.full((40, 50), 90.0), LEVEL, np.random.default_rng(0))
    np.testing.assert_array_equal(method(noisy).image, method(noisy).image)


def test_a_level_that_is_given_is_told_and_counts(method: Denoiser) -> None:
    noisy = add_noise(np.add.outer(np.arange(40.0), 3 * np.arange(50.0)), LEVEL, np.random.default_rng(0))
    told, other, blind = method(noisy, LEVEL), method(noisy, NoiseLevel(0.1, 30.0)), method(noisy)
    if method.name == "noisy":
        assert told.level is blind.level is None, "nothing is claimed to be removed"
    else:
        assert told.level == LEVEL
        assert blind.level is not None
        assert abs(told.image - other.image).max() > 1


@pytest.mark.parametrize("eta", [1e9, 1e17])
def test_photons_that_are_next_to_no_noise_change_nothing(method: Denoiser, eta: float) -> None:
    """As of a profile whose deviation is the same everywhere, of which a line may have a slope of 1e-18."""
    clean = np.add.outer(np.arange(40.0), 3 * np.arange(50.0))
    noisy = np.asarray(clean + np.random.default_rng(0).normal(0, 5, clean.shape), dtype=np.float32)
    expected = method(noisy, NoiseLevel(math.inf, 5.0)).image
    np.testing.assert_allclose(method(noisy, NoiseLevel(eta, 5.0)).image, expected, atol=0.01)
    np.testing.assert_allclose(method(noisy, NoiseProfile.white(5.0)).image, expected, atol=0.01)
