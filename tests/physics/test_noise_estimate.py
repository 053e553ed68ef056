"""Planted noise is found again, and structure is not taken for noise."""

import numpy as np
import pytest

from xray_denoise.physics.noise_estimate import estimate_profile
from xray_denoise.physics.profile import NoiseProfile


def smooth_scene(shape: tuple[int, int]) -> np.ndarray:
    """Grey levels 60..190 without any structure of the size of a block."""
    rows, columns = (np.linspace(-1, 1, length) for length in shape)
    return 125 + 50 * np.sin(2 * rows)[:, None] * np.cos(columns)[None] + 15 * columns[None]


def test_white_noise_of_one_deviation() -> None:
    """About 2000 independent blocks, a fifth of them pooled: 100 000 squares, so 0.3 % of chance, and 3 % of method."""
    rng = np.random.default_rng(0)
    clean = smooth_scene((512, 512))
    found = estimate_profile(clean + 4 * rng.standard_normal(clean.shape)).profile
    assert found.deviation_at([80, 125, 170]) == pytest.approx(4, rel=0.03)
    assert found.band_powers() == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (16, 16), (17, 33), (64, 64)])
@pytest.mark.parametrize("value", [0.0, 40.0, 255.0])
def test_an_image_without_anything_has_no_noise(shape: tuple[int, int], value: float) -> None:
    found = estimate_profile(np.full(shape, value))
    assert found.confidence == 0
    assert isinstance(found.profile, NoiseProfile)
    assert not found.profile.deviation.any()
