"""Temporal noise of repeated frames of a scene, with and without motion."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.repeated_frames import SceneSeries, SceneStatistics

SCENE = 20 * chest_phantom(384, rng=np.random.default_rng(0)).astype(np.float64) + 100
GAIN, ELECTRONICS = 0.8, 9.0


def exposure(seed: int, scene: NDArray[np.float64] = SCENE) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return GAIN * rng.poisson(scene / GAIN) + ELECTRONICS * rng.standard_normal(scene.shape)


def measured(frames: list[NDArray[np.float64]], limits: tuple[float, float] | None = None) -> SceneStatistics:
    series = SceneSeries(limits=limits)
    for one in frames:
        series.add(one)
    return series.result()


def assert_right(found: SceneStatistics) -> None:
    truth = GAIN * found.signal + ELECTRONICS**2
    squares = ((found.variance - truth) / found.error) ** 2
    assert squares.mean() == pytest.approx(1, abs=4 * math.sqrt(2 / len(squares)))
    np.testing.assert_allclose(found.variance, truth, rtol=0.03)


def test_anatomy_cancels() -> None:
    found = measured([exposure(seed) for seed in range(4)])
    assert_right(found)
    assert len(found.signal) == 24
    assert np.ptp(found.signal) > 2000
    assert found.moving < 0.02
    assert abs(found.correlation.horizontal[1]) < 0.02
    assert found.power is not None
    power = found.power.radial().power[1:]
    np.testing.assert_allclose(power, power.mean(), rtol=0.05, err_msg="white")


def test_what_moves_is_left_out() -> None:
    frames = [exposure(seed) for seed in range(4)]
    frames[2][100:160, 100:160] += 400
    found = measured(frames)
    assert_right(found)
    assert found.moving > 0.015


def test_a_change_of_the_exposure_is_no_noise() -> None:
    assert_right(measured([exposure(seed) * (1 + 0.002 * seed) for seed in range(4)]))


def test_saturated_blocks_are_left_out() -> None:
    found = measured([np.minimum(exposure(seed), 2500) for seed in range(3)], (0, 2500))
    assert found.signal.max() < 2500
    np.testing.assert_allclose(found.variance, GAIN * found.signal + ELECTRONICS**2, rtol=0.05)


def test_different_scenes_are_told() -> None:
    series = SceneSeries()
    for scene in (SCENE, SCENE[::-1], SCENE[:, ::-1]):
        series.add(exposure(0, scene))
    assert series.different == 2


def test_what_is_refused() -> None:
    series = SceneSeries(limits=(0, 10))
    series.add(np.full((64, 64), 10.0))
    with pytest.raises(ValueError, match="two frames"):
        series.result()
    with pytest.raises(ValueError, match="one size"):
        series.add(np.ones((64, 65)))
    series.add(np.full((64, 64), 10.0))
    with pytest.raises(ValueError, match="still"):
        series.result()
