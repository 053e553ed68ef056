"""Total variation and non-local means do what their docstrings say, at any scale and size."""

import math
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise.denoisers.classical import (
    Noisy,
    NonLocalMeans,
    TotalVariation,
)
from xray_denoise.physics.level_estimate import estimate_level
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise

LEVEL = NoiseLevel(0.6, 10.0)
SMOOTHING = [TotalVariation(), NonLocalMeans()]
EVERY = [Noisy(), *SMOOTHING]
Method = Noisy | TotalVariation | NonLocalMeans


def scene(size: int = 128) -> NDArray[np.float32]:
    """Draw a bright disc with soft shading on a dark ramp: edges and smooth parts, far from 0 and 255."""
    y, x = np.mgrid[:size, :size] / size
    disc = (x - 0.5) ** 2 + (y - 0.45) ** 2 < 0.09
    return np.asarray(60 + 50 * x + disc * (60 + 30 * y), dtype=np.float32)


def noisy_scene(seed: int = 0) -> NDArray[np.float32]:
    return add_noise(scene(), LEVEL, np.random.default_rng(seed))


@pytest.mark.parametrize("method", SMOOTHING, ids=lambda method: method.name)
@pytest.mark.parametrize("level", [LEVEL, None], ids=["told", "blind"])
def test_noise_is_removed(method: Method, level: NoiseLevel | None) -> None:
    """Gains are 14.1 dB (NLM) and 15.7 dB (TV) here, told or blind."""
    noisy = noisy_scene()
    gain = psnr(method(noisy, level).image, scene()) - psnr(noisy, scene())
    assert gain > 13


@pytest.mark.parametrize("method", SMOOTHING, ids=lambda method: method.name)
def test_brightness_is_kept(method: Method) -> None:
    """TV keeps the mean exactly; NLM averages pixels that look alike, so it moves it little."""
    noisy = noisy_scene()
    assert method(noisy, LEVEL).image.mean() == pytest.approx(noisy.mean(), abs=0.2)


@pytest.mark.parametrize("method", EVERY, ids=lambda method: method.name)
def test_a_scaled_image_gives_the_scaled_result(method: Method) -> None:
    """Noise of level (eta, sigma) in an image times a is noise of level (eta / a, a sigma); told, not estimated,
    because an estimate looks for saturation at 255.

    Floats scale by a power of two without round-off, so the results are equal to the last bits.
    """
    noisy, a = noisy_scene(), 1 / 256
    whole, scaled = method(noisy, LEVEL).image, method(a * noisy, NoiseLevel(LEVEL.eta / a, LEVEL.sigma * a)).image
    np.testing.assert_allclose(scaled / a, whole, rtol=1e-5)


@pytest.mark.parametrize("method", EVERY, ids=lambda method: method.name)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (3, 2), (40, 17)])
def test_any_size(method: Method, shape: tuple[int, int]) -> None:
    noisy = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    for level in (LEVEL, None):
        image = method(noisy, level).image
        assert image.shape == shape
        assert image.dtype == np.float32
        assert np.isfinite(image).all()


@pytest.mark.parametrize("method", EVERY, ids=lambda method: method.name)
@pytest.mark.parametrize("level", [NoiseLevel(math.inf, 0.0), None], ids=["told", "blind"])
def test_an_image_without_noise_comes_back(method: Method, level: NoiseLevel | None) -> None:
    flat = np.full((32, 32), 70.0, dtype=np.float32)
    np.testing.assert_array_equal(method(flat, level).image, flat)


@pytest.mark.parametrize("method", EVERY, ids=lambda method: method.name)
def test_the_input_is_not_touched(method: Method) -> None:
    noisy = noisy_scene()
    before = noisy.copy()
    method(noisy, LEVEL)
    np.testing.assert_array_equal(noisy, before)


@pytest.mark.parametrize("method", SMOOTHING, ids=lambda method: method.name)
def test_the_level_given_or_found_is_the_level_reported(method: Method) -> None:
    assert method(noisy_scene(), LEVEL).level == LEVEL
    assert method(noisy_scene()).level == estimate_level(noisy_scene())


@pytest.mark.parametrize("method", SMOOTHING, ids=lambda method: method.name)
def test_a_larger_level_smooths_more(method: Method) -> None:
    noisy = noisy_scene()
    little, much = (np.diff(method(noisy, NoiseLevel(0.6, s)).image).var() for s in (2.0, 20.0))
    assert much < little


def test_doing_nothing_changes_nothing() -> None:
    noisy = noisy_scene()
    denoised = Noisy()(noisy, LEVEL)
    np.testing.assert_array_equal(denoised.image, noisy)
    assert denoised.level is None


def energy(image: NDArray[np.float32], noisy: NDArray[np.float32], weight: float) -> float:
    """||g - f||^2 / 2 + w TV(g), forward differences."""
    g = image.astype(np.float64)
    down = np.diff(g, axis=0, append=g[-1:])
    right = np.diff(g, axis=1, append=g[:, -1:])
    return float(((g - noisy) ** 2).sum() / 2 + weight * np.hypot(down, right).sum())


def test_total_variation_minimises_its_energy() -> None:
    """In the limit no weight 10 % off gets lower; the steps taken come within a hundredth of the limit."""
    noisy = noisy_scene()
    method = TotalVariation()
    weight = method.factor * LEVEL.effective_sigma(float(noisy.mean()))

    def reached(factor: float, iterations: int = 2000) -> float:
        return energy(TotalVariation(factor, iterations)(noisy, LEVEL).image, noisy, weight)

    limit = reached(method.factor)
    assert limit < min(reached(0.9 * method.factor), reached(1.1 * method.factor))
    assert limit < reached(method.factor, method.iterations) < 1.01 * limit


def averaged(noisy: NDArray[np.float32], y: int, x: int, sigma: float, side: int) -> float:
    """One pixel of non-local means after its formula, patches of `side` x `side` pixels."""
    method = NonLocalMeans()
    reach, before = method.patch_distance, (side - 1) // 2
    patches = np.lib.stride_tricks.sliding_window_view(noisy.astype(np.float64), (side, side))
    near = patches[y - before - reach :, x - before - reach :][: 2 * reach + 1, : 2 * reach + 1]
    distance = ((near - patches[y - before, x - before]) ** 2).mean(axis=(2, 3)) - 2 * sigma**2
    h = method.factor * sigma * method.patch_size / (method.patch_size - 1)
    weights = np.exp(-distance.clip(0) / h**2) * (distance < 5 * h**2)
    return float((weights * near[:, :, before, before]).sum() / weights.sum())


def test_non_local_means_follows_its_formula() -> None:
    """The approximate exponential costs 0.2 grey levels; a patch larger by one pixel would cost 0.57."""
    noisy, method = noisy_scene(), NonLocalMeans()
    sigma = LEVEL.effective_sigma(float(noisy.mean()))
    image = method(noisy, LEVEL).image
    places = [(y, x) for y in (30, 50, 64, 90) for x in (20, 33, 64, 80)]

    def difference(side: int) -> float:
        return max(abs(averaged(noisy, *at, sigma, side) - float(image[at])) for at in places)

    assert difference(method.patch_size - 1) < 0.25
    assert difference(method.patch_size) > 0.5


def test_importing_loads_neither_torch_nor_scikit_image() -> None:
    code = "import sys, xray_denoise.denoisers.classical; print({'torch', 'skimage'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
