"""Frames of a run belong to one scene as long as they show it with the same noise."""

import numpy as np
import pytest

from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.physics.scenes import Scene, leading, overview

NOISE = NoiseProfile.white(3.0)
ROWS, COLUMNS = np.mgrid[:128, :128]
CLEAN = 120 + 50 * np.sin(ROWS / 30) * np.cos(COLUMNS / 40)
OTHER = 120 + 50 * np.cos(ROWS / 9) * np.cos(COLUMNS / 50)
BAR, VESSEL = 40.0 * (abs(COLUMNS - 60) < 8), 60.0 * (abs(ROWS - COLUMNS) < 6)


def frames(*shown: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [clean + NOISE.draw(clean, rng) for clean in shown]


@pytest.fixture
def scene() -> Scene:
    return Scene(NOISE, [overview(frame) for frame in frames(*[CLEAN] * 4)])


def test_motion_contrast_agent_and_slow_changes_of_the_exposure_are_one_scene(scene: Scene) -> None:
    moving = [CLEAN - np.roll(BAR, 20 * step, axis=1) for step in range(4)]
    filling = [CLEAN - share * VESSEL for share in (0.0, 0.3, 0.7, 1.0)]
    dimming = [CLEAN * 0.96**step for step in range(25)]
    for run in (moving, filling, dimming):
        assert all(scene.shows(overview(frame)) for frame in frames(*run, seed=1))


def test_another_scene_is_told_apart_and_the_first_one_known_again(scene: Scene) -> None:
    other, again = frames(OTHER, CLEAN, seed=1)
    assert not scene.shows(overview(other))
    assert not scene.shows(overview(again[:96]))
    assert scene.shows(overview(again))


@pytest.mark.parametrize(("factor", "same"), [(0.3, False), (0.7, False), (0.95, True), (1.05, True), (1.4, False)])
def test_other_noise_is_told_apart(scene: Scene, factor: float, same: bool) -> None:
    changed = CLEAN + NOISE.scaled(factor).draw(CLEAN, np.random.default_rng(1))
    assert scene.shows(overview(changed)) is same


def test_the_noise_may_follow_the_grey_level() -> None:
    """With 0.7 times the exposure a level of photons predicts 0.7 times the variance: no other noise."""
    level, rng = NoiseLevel(2.0, 1.0), np.random.default_rng(0)
    exposed = [CLEAN * gain + rng.normal(size=CLEAN.shape) * np.sqrt(level.variance(CLEAN * gain)) for gain in (1, 0.7)]
    assert Scene(level, [overview(exposed[0])]).shows(overview(exposed[1]))


def test_a_blank_frame_belongs_to_the_scene_unless_it_is_noisier(scene: Scene) -> None:
    rng = np.random.default_rng(1)
    for value, deviation in ((0.0, 0.0), (2.0, 0.5), (200.0, 3.0)):
        assert scene.shows(overview(value + deviation * rng.normal(size=CLEAN.shape)))
    assert not scene.shows(overview(100 + 6 * rng.normal(size=CLEAN.shape)))


def test_a_scene_begins_with_the_frames_that_are_alike() -> None:
    first, second, other, third = frames(CLEAN, CLEAN, OTHER, CLEAN)
    clean, blank = CLEAN + 0.1, np.zeros(CLEAN.shape)
    for run, places in (
        ([first, second, third, third], [0, 1, 2, 3]),
        ([first, second, other, third], [0, 1]),
        ([other, first, second, third], [0]),
        ([first, second, clean, clean], [0, 1]),
        ([blank, first, blank, second], [0, 1, 2, 3]),
        ([first, first[:96], second, third[:96]], [0, 2]),
        ([first[:9, :9], other[:9, :9]], [0, 1]),
    ):
        assert leading([overview(frame) for frame in run]) == places


def test_frames_that_lead_a_scene_show_what_the_one_before_shows() -> None:
    """As the estimate from their differences needs it; both are like the first one, but on either side of it."""
    swing = 0.35 * (CLEAN.T - 120)
    shown = frames(CLEAN, CLEAN + swing, CLEAN - swing, CLEAN)
    assert leading([overview(frame) for frame in shown]) == [0, 1]
    assert leading([overview(shown[place]) for place in (0, 1, 3, 2)]) == [0, 1, 2, 3]
