"""Even removal is told from uneven removal without knowing the noise-free image."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from xray_denoise.physics.evenness import BLUR, blocks, shares_removed, still_scene
from xray_denoise.physics.profile import NoiseProfile

Image = NDArray[np.float64]


def noisy(seed: int = 0, side: int = 512) -> Image:
    """Slow waves over the left half and structure over the right, with white noise of deviation 2."""
    rows, columns = np.mgrid[:side, :side]
    waves = 100 + 40 * np.sin(rows / 60) + np.where(columns > side // 2, 30 * np.sin(columns * 0.7), 0)
    return np.asarray(waves + NoiseProfile.white(2.0).draw(waves, np.random.default_rng(seed)), dtype=np.float64)


def test_the_high_pass_itself_is_removed_everywhere() -> None:
    image = noisy()
    shares = shares_removed(image, gaussian_filter(image, BLUR))
    assert len(shares) == 85, "a third of 256 blocks, less those with the darkest and the brightest pixel"
    np.testing.assert_allclose(shares, 1.0, atol=1e-9)


def test_places_without_structure_are_looked_at() -> None:
    image = noisy()
    after = image.copy()
    after[:, 256:] = 0
    assert shares_removed(image, after).max() == 0


def test_uneven_removal_shows() -> None:
    """Where nothing is removed the share is 0; elsewhere, half of the noise and with it half of the high-pass."""
    image = noisy()
    after = 0.5 * image + 0.5 * gaussian_filter(image, BLUR)
    after[:256] = image[:256]
    low, high = np.percentile(shares_removed(image, after), [10, 90])
    assert low == 0
    assert high == pytest.approx(0.5, abs=1e-6)


def test_padding_and_saturation_are_left_out() -> None:
    """Zero is the lowest grey level: the collimated rim does not count, nor does what is said to be padding."""
    image = noisy().clip(0, 255)
    image[:64] = 0
    image[-64:, :256] = 77 + 1e-3 * np.random.default_rng(1).standard_normal((64, 256))
    valid = np.ones(image.shape, dtype=bool)
    valid[-64:, :256] = False
    shares = shares_removed(image, gaussian_filter(image, BLUR), valid)
    assert len(shares) == 69, "a third of 256 blocks less 32 above, 16 of padding and the one with the brightest pixel"
    assert shares_removed(np.zeros((64, 64)), np.zeros((64, 64))).size == 0
    assert shares_removed(np.ones((20, 100)), np.ones((20, 100))).size == 0


def test_blocks_are_square() -> None:
    image = np.arange(64.0 * 96).reshape(64, 96)
    np.testing.assert_array_equal(blocks(image)[4].reshape(32, 32), image[32:64, 32:64])


def test_noise_goes_and_the_mean_stays() -> None:
    """A bar moves over the right; still blocks tell the noise within 5 standard errors (20 frames, 42 blocks)."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :512]
    scene = 100 + 40 * np.sin(rows / 9) + 0.0 * columns
    clean = np.stack([scene + 60 * (abs(columns - 260 - 12 * t) < 6) for t in range(20)])
    frames = clean + 1.5 * rng.standard_normal(clean.shape)
    frames[:, :32] = 0
    result = still_scene(frames, 0.5 * frames + 0.5 * clean)
    error = 5 * 1.5 / (2 * 20 * 37 * 1024) ** 0.5
    assert result.noise_before == pytest.approx(1.5, abs=error)
    assert result.noise_after == pytest.approx(0.75, abs=error / 2)
    blurred = still_scene(frames, gaussian_filter(frames, (0, 2, 2)))
    assert blurred.gradient_kept < 0.97
    assert still_scene(frames, frames).gradient_kept == 1
