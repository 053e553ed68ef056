"""Noise that was removed is told from structure that was removed, without the noise-free image."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.local_gain import LocalGain
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.physics.removed import FEWEST_BLOCKS, appraise

Image = NDArray[np.float64]

NOISE = NoiseProfile.white(4.0)


@pytest.fixture(scope="module", params=[0, 1])
def case(request: pytest.FixtureRequest) -> tuple[Image, Image]:
    """A phantom and its noise."""
    clean = chest_phantom(512, rng=np.random.default_rng(request.param)).astype(np.float64)
    return clean, NOISE.draw(clean, np.random.default_rng(request.param + 10)).astype(np.float64)


def test_the_noise_itself_looks_like_noise(case: tuple[Image, Image]) -> None:
    """Over K blocks of 1024 pixels a mean square of normal numbers errs by sqrt(2 / (1024 K)), and a correlation by
    1 / sqrt(1024 K); five of those, and a thousandth for the grey levels that blocks average over."""
    clean, noise = case
    found = appraise(clean + noise, noise, NOISE)
    assert found is not None
    assert found.share == pytest.approx(1, abs=5 * 0.5 * math.sqrt(2 / 1024 / 200) + 1e-3)
    assert found.edge_share == pytest.approx(1, abs=5 * 0.5 * math.sqrt(2 / 1024 / 20) + 1e-3)
    assert found.edge_ratio == pytest.approx(1, abs=5 * 0.5 * math.sqrt(2 / 1024 / 16) + 1e-3)
    assert abs(found.edge_correlation) < 5 / math.sqrt(1024 * 20)
    assert found.has_edges
    assert found.edge_contrast > 50


def test_noise_that_was_left_on_purpose_is_no_sign_of_lost_structure(case: tuple[Image, Image]) -> None:
    """Three tenths of the noise are left: they are like what was removed."""
    clean, noise = case
    found, untold = (
        appraise(clean + noise, 0.7 * noise, NOISE, left=left) for left in (np.full(clean.shape, 0.3), None)
    )
    assert found is not None
    assert untold is not None
    assert found.share == untold.share == pytest.approx(0.7, abs=0.01)
    assert abs(found.edge_correlation) < 5 / math.sqrt(1024 * 20)
    assert untold.edge_correlation > 0.05


def test_edges_that_were_blurred_show(case: tuple[Image, Image]) -> None:
    clean, noise = case
    lost = clean - gaussian_filter(clean, 1)
    found = appraise(clean + noise, noise + lost, NOISE)
    assert found is not None
    assert found.edge_correlation > 0.2
    assert found.edge_ratio > 1.2


def test_a_linear_filter_shows_by_its_correlation(case: tuple[Image, Image]) -> None:
    clean, noise = case
    noisy = clean + noise
    found = appraise(noisy, noisy - gaussian_filter(noisy, 1), NOISE)
    assert found is not None
    assert found.edge_correlation > 0.2


def test_numbers_are_in_deviations_of_the_noise_there() -> None:
    """Twice the noise where the image is bright: what is removed in proportion has a share of 1 everywhere."""
    rng = np.random.default_rng(0)
    clean = np.repeat(np.linspace(20.0, 230.0, 16), 32)[None].repeat(512, axis=0)
    profile = NoiseProfile(np.array([20.0, 230.0]), np.array([2.0, 4.0]), np.ones((1, 1)))
    noise = profile.draw(clean, rng).astype(np.float64)
    for factor in (1.0, 0.5, 2.0):
        found = appraise(clean + noise, factor * noise, profile)
        assert found is not None
        assert found.share == pytest.approx(factor, rel=0.02)
        assert found.edge_ratio == pytest.approx(1, abs=0.05)


def test_numbers_are_in_deviations_of_the_noise_in_that_place() -> None:
    """Noise that grows from left to right: what is removed in proportion has a share of 1, told of the gain."""
    clean = np.repeat(np.linspace(20.0, 230.0, 512)[:, None], 512, axis=1)
    gain = LocalGain(np.log([[0.5, 2.0], [0.5, 2.0]]))
    noise = NOISE.draw(clean, np.random.default_rng(0)).astype(np.float64) * gain.over((512, 512))
    found, untold = (appraise(clean + noise, noise, NOISE, None, one) for one in (gain, None))
    assert found is not None
    assert untold is not None
    assert found.share == pytest.approx(1, rel=0.02)
    assert untold.share == pytest.approx(np.sqrt((gain.over((1, 512)) ** 2).mean()), rel=0.02)


def test_saturated_and_invalid_blocks_do_not_count(case: tuple[Image, Image]) -> None:
    clean, noise = case
    noisy, removed = clean + noise, noise.copy()
    removed[:64] = 100.0
    noisy[:64] = noisy.max() + 1
    saturated = appraise(noisy, removed, NOISE)
    valid = np.ones(clean.shape, bool)
    valid[:64] = False
    left_out = appraise(clean + noise, removed, NOISE, valid)
    assert saturated is not None
    assert left_out is not None
    assert saturated.share == pytest.approx(1, abs=0.03)
    assert left_out.share == pytest.approx(1, abs=0.03)
    counted = appraise(clean + noise, removed, NOISE)
    assert counted is not None
    assert counted.share > 2


def test_nothing_is_said_where_there_is_too_little(case: tuple[Image, Image]) -> None:
    clean, noise = case
    assert appraise(clean + noise, np.zeros_like(clean), NOISE) is None
    side = 32 * int(math.sqrt(FEWEST_BLOCKS) - 1e-9)
    assert appraise((clean + noise)[:side, :side], noise[:side, :side], NOISE) is None
    assert appraise(np.full((512, 512), 90.0), np.ones((512, 512)), NOISE) is None
    assert appraise(clean[:9, :9], noise[:9, :9], NOISE) is None
