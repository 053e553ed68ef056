"""Patterns that repeat all over an image are not taken for noise, and what has none is left as it is."""

import numpy as np
import pytest

from xray_denoise import denoisers
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.block_spectra import block_spectra
from xray_denoise.physics.noise_estimate import estimate_profile
from xray_denoise.physics.regular_patterns import without_patterns

SIDE, DEVIATION = 512, 2.0
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def sine(period: float, degrees: float, amplitude: float) -> np.ndarray:
    turn = np.deg2rad(degrees)
    return amplitude * np.sin(2 * np.pi * (COLUMNS * np.cos(turn) + ROWS * np.sin(turn)) / period)


def checks(size: int, height: float) -> np.ndarray:
    return np.where((ROWS // size + COLUMNS // size) % 2, height / 2, -height / 2)


def bars(period: int, amplitude: float) -> np.ndarray:
    """In three quarters of the image."""
    lines = np.where(COLUMNS % period < period / 2, amplitude, -amplitude)
    return np.where((ROWS < SIDE // 2) & (COLUMNS < SIDE // 2), 0, lines)


PATTERNS = {
    "lines": sine(6, 0, 6),
    "oblique": sine(6, 30, 12),
    "fine": sine(3, 20, 4),
    "coarse": sine(14, 20, 6),
    "checks": checks(4, 30),
    "bars": bars(6, 10),
    "mesh": 20.0 * ((COLUMNS % 7 < 2) | (ROWS % 7 < 2)),
    "holes": 20.0 * (((COLUMNS + 8) % 16 - 8) ** 2 + ((ROWS + 8) % 16 - 8) ** 2 < 16),
}


def scene(kind: str) -> np.ndarray:
    ground = chest_phantom(SIDE, rng=np.random.default_rng(4), mottle=False) if kind == "phantom" else 128.0
    return ground + np.random.default_rng(5).normal(0, DEVIATION, (SIDE, SIDE))


@pytest.mark.parametrize("ground", ["even", "phantom"])
@pytest.mark.parametrize("name", PATTERNS)
def test_the_noise_between_the_frequencies_of_a_pattern_is_found(name: str, ground: str) -> None:
    found = float(estimate_profile(scene(ground) + PATTERNS[name]).profile.deviation_at(128.0))
    assert 0.9 * DEVIATION < found < 1.25 * DEVIATION


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_stronger_than_the_noise_is_kept(name: str) -> None:
    denoise, noisy = denoisers.get(denoisers.DEFAULT), scene("phantom").astype(np.float32)
    pattern = PATTERNS[name] - PATTERNS[name].mean()
    change = denoise((noisy + pattern).astype(np.float32)).image - denoise(noisy).image
    assert float((change * pattern).sum() / (pattern**2).sum()) > 0.9


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("deviation", [0.0, 1.0, 4.0])
def test_nothing_changes_where_nothing_repeats(deviation: float, side: int) -> None:
    noise = np.random.default_rng(6).normal(0, 1, (SIDE, SIDE))
    for ground in (chest_phantom(SIDE, rng=np.random.default_rng(7), mottle=False), np.linspace(60, 190, SIDE)):
        spectra = block_spectra(ground + deviation * noise, side=side)
        assert without_patterns(spectra) is spectra


def test_rings_keep_a_quarter_of_their_weight() -> None:
    spectra = block_spectra(np.round(scene("even")) + checks(8, 60))
    before, after = spectra.rings, without_patterns(spectra).rings
    np.testing.assert_allclose(after.weight.sum(axis=1), 1)
    kept = np.where(after.weight > 0, before.weight, 0).sum(axis=1)
    assert kept.min() >= 0.25
    assert kept.min() < 1
    np.testing.assert_allclose(after.freedom, before.freedom * kept)
