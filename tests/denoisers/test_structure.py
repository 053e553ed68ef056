"""Beside structure a part of what was removed comes back, in smooth places nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise import denoisers
from xray_denoise.denoisers import told
from xray_denoise.denoisers.deviation import prevailing_deviation
from xray_denoise.denoisers.structure import left_beside_structure, share_put_back
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.detectors import detector_profile
from xray_denoise.physics.local_gain import LocalGain
from xray_denoise.physics.noise_estimate import ProfileEstimate
from xray_denoise.physics.profile import NoiseProfile


def half_striped(contrast: float) -> NDArray[np.float32]:
    """(128, 256), 100 grey levels on the left, and on the right stripes with a period of 8 pixels."""
    stripes = contrast * np.sin(2 * np.pi * np.arange(256) / 8) * (np.arange(256) >= 128)
    return np.broadcast_to((100 + stripes).astype(np.float32), (128, 256)).copy()


def with_structure(
    noisy: NDArray[np.float32],
    restored: NDArray[np.float32],
    profile: NoiseProfile,
    gain: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    left = left_beside_structure(noisy, restored, profile, gain)
    return restored if left is None else restored + left * (noisy - restored)


def noise_put_back(truth: NDArray[np.float32], profile: NoiseProfile) -> tuple[NDArray[np.float32], ...]:
    """(H, W) each: white noise of one grey level, and what comes back of it to a truth that was restored exactly."""
    noise = np.random.default_rng(0).standard_normal(truth.shape).astype(np.float32)
    found = with_structure(truth + noise, truth, profile)
    assert found.dtype == np.float32
    return noise, found - truth


@pytest.mark.parametrize(("deviation", "share"), [(0.3, 0.3), (1.0, 0.3), (2.0, 0.2), (4.0, 0.1), (8.0, 0), (20.0, 0)])
def test_noise_comes_back_beside_structure_the_less_the_stronger_it_is(deviation: float, share: float) -> None:
    assert share_put_back(deviation) == pytest.approx(share)
    noise, back = noise_put_back(half_striped(10 * deviation), NoiseProfile.white(deviation))
    np.testing.assert_allclose(back[:, 136:248], share * noise[:, 136:248], atol=1e-4)
    np.testing.assert_array_equal(back[:, :120], 0)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("unevenness", "part"), [(0.3, 0), (0.4, 0), (0.4 * math.sqrt(2), 0.5), (0.85, 1), (2.0, 1)])
def test_structure_is_where_the_gradient_changes_by_more_than_the_noise(
    unevenness: float, part: float, axis: int
) -> None:
    """A parabola: its gradient grows by as much from pixel to pixel, which over 9 pixels has a deviation of 2.58."""
    place = np.arange(96, dtype=np.float32)
    bent = np.broadcast_to(unevenness / math.sqrt(80 / 12) * place**2 / 2, (96, 96))
    bent = np.ascontiguousarray(bent if axis else bent.T)
    noise, back = (one[20:-20, 20:-20] for one in noise_put_back(bent, NoiseProfile.white(1.0)))
    np.testing.assert_allclose(back, 0.3 * part * noise, atol=0.01)


def test_an_even_slope_is_no_structure_however_steep() -> None:
    slope = np.add.outer(3 * np.arange(96), np.arange(96)).astype(np.float32)
    _, back = noise_put_back(slope, NoiseProfile.white(1.0))
    np.testing.assert_allclose(back[20:-20, 20:-20], 0, atol=1e-4)


def test_a_local_gain_counts_as_noise() -> None:
    truth, noise = half_striped(10.0), np.random.default_rng(0).normal(0, 1, (128, 256)).astype(np.float32)
    found = with_structure(truth + noise, truth, NoiseProfile.white(1.0), np.full(truth.shape, 4.0, np.float32))
    np.testing.assert_array_equal(found, with_structure(truth + noise, truth, NoiseProfile.white(4.0)))
    np.testing.assert_allclose((found - truth)[:, 136:248], 0.1 * noise[:, 136:248], atol=1e-4)


def test_places_without_noise_do_not_count_as_noise() -> None:
    """Three quarters of the image are air with a tenth of the noise; the deviation stays that of the rest."""
    rows = np.repeat([10.0, 200.0], [192, 64])[:, None].repeat(64, axis=1).astype(np.float32)
    profile = replace(
        NoiseProfile.white(1.0), grey=np.array([0.0, 100.0, 110.0, 255.0]), deviation=np.array([0.2, 0.2, 2.0, 2.0])
    )
    assert prevailing_deviation(rows, profile) == pytest.approx(2.0, rel=0.03)
    gain = np.where(rows > 100, 0.5, 1.0).astype(np.float32)
    assert prevailing_deviation(rows, profile, gain) == pytest.approx(1.0, rel=0.06)
    assert prevailing_deviation(rows, NoiseProfile.white(0.0)) == 0
    assert not noise_put_back(half_striped(10.0), NoiseProfile.white(0.0))[1].any()


def test_an_estimate_that_counts_texture_as_noise_costs_less() -> None:
    """A phantom with noise of one grey level, given the estimate: nothing is put back, and the error is larger."""
    clean = chest_phantom(256, rng=np.random.default_rng(3), mottle=False)
    noisy = (clean + detector_profile("white", 1.0).draw(clean, np.random.default_rng(4))).astype(np.float32)
    network = denoisers.get("x-profile")
    blind = network(noisy)
    assert blind.profile is not None
    assert blind.gain is None
    given = network(noisy, blind.profile)
    wrong, more_wrong = (float(np.square(one.image - clean).mean()) for one in (blind, given))
    assert wrong < 0.92 * more_wrong
    np.testing.assert_allclose(blind.image, with_structure(noisy, given.image, blind.profile), atol=0.01)


def test_a_wedge_comes_out_as_clean_as_its_even_ground() -> None:
    """Half of it rises by one grey level a pixel under noise of one grey level; the noise that is left is alike."""
    clean = np.broadcast_to(np.maximum(np.arange(256) - 127, 0.0) + 60, (256, 256))
    noisy = (clean + np.random.default_rng(0).normal(0, 1, clean.shape)).astype(np.float32)
    left = denoisers.get("x-profile")(noisy).image - clean
    assert left[:, 148:236].std() < 1.25 * left[:, 20:108].std()


def test_it_gets_the_local_gain_and_the_mean_is_kept_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gain, seen = LocalGain(np.log([[0.8, 1.25]] * 2)), []

    def half(noisy: object, restored: NDArray[np.float32], profile: object, gain: object) -> NDArray[np.float32]:
        seen.append((noisy, profile, gain))
        restored += 5
        return np.full_like(restored, 0.5)

    monkeypatch.setattr(told, "left_beside_structure", half)
    monkeypatch.setattr(told, "estimate_profile", lambda _: ProfileEstimate(NoiseProfile.white(2.0), 1.0, gain))
    noisy = np.random.default_rng(0).normal(100, 2, (96, 128)).astype(np.float32)
    found = denoisers.get("x-profile")(noisy)
    np.testing.assert_array_equal(seen[0][0], noisy)
    np.testing.assert_array_equal(seen[0][2], gain.over(noisy.shape))
    np.testing.assert_array_equal(found.left, 0.5)
    assert found.image.mean(dtype=np.float64) == pytest.approx(noisy.mean(dtype=np.float64), abs=1e-3)
