"""Frames are averaged where nothing moves, and what moves stays."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from xray_denoise.physics.detectors import detector_profile
from xray_denoise.physics.frame_average import RADIUS, average_frames, variance_after_blur
from xray_denoise.physics.profile import NoiseProfile

Values = NDArray[np.float64]
SIDE = 192
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float64)


def noise(deviation: float, detector: str) -> NoiseProfile:
    kernel = detector_profile(detector, deviation).kernel  # type: ignore[arg-type]
    return NoiseProfile(np.array([0.0, 255.0]), np.array([deviation, deviation]), kernel)


def scene() -> Values:
    smooth = gaussian_filter(np.random.default_rng(5).normal(0, 1, (SIDE, SIDE)), 6)
    return np.asarray(120 + 0.3 * ROWS + 12 * smooth / smooth.std() + 30 * (COLUMNS > 100))


def wire(time: int) -> Values:
    """A bent wire two pixels wide that moves by two pixels from frame to frame."""
    return np.asarray(-np.exp(-((COLUMNS - 40 - 2 * time - 6 * np.sin(ROWS / 25)) ** 2) / 2))


def run(profile: NoiseProfile, clean: list[Values], seed: int = 0) -> list[Values]:
    rng = np.random.default_rng(seed)
    return [one + profile.draw(one, rng) for one in clean]


@pytest.mark.parametrize(("detector", "most"), [("white", 0.18), ("csi", 0.24)])
def test_noise_goes_where_nothing_moves_and_the_share_tells_how_much_is_left(detector: str, most: float) -> None:
    """Measured: 0.14 of the variance of white noise is left, and 0.18 of correlated noise."""
    clean, profile = scene(), noise(2.0, detector)
    frames = run(profile, [clean] * (2 * RADIUS + 1))
    average = average_frames(frames[RADIUS], frames[:RADIUS] + frames[RADIUS + 1 :], profile)
    left = ((average.image - clean) ** 2).mean() / 4
    assert left < most
    assert average.share.mean() == pytest.approx(left, rel=0.1)
    assert average.image.mean() == pytest.approx(frames[RADIUS].mean(), abs=0.02)


@pytest.mark.parametrize(("detector", "contrast", "kept"), [("white", 4, 0.97), ("white", 1, 0.65), ("csi", 4, 0.9)])
def test_what_moves_keeps_its_contrast(detector: str, contrast: float, kept: float) -> None:
    """The contrast is in deviations of the noise. Measured: 1.00, 0.70 and 0.95."""
    clean, profile = scene(), noise(2.0, detector)
    wires = [2 * contrast * wire(time) for time in range(2 * RADIUS + 1)]
    with_wire, without = (run(profile, [clean + one for one in some]) for some in (wires, [0 * wires[0]] * len(wires)))
    images = [
        average_frames(frames[RADIUS], frames[:RADIUS] + frames[RADIUS + 1 :], profile).image
        for frames in (with_wire, without)
    ]
    template = wires[RADIUS]
    assert ((images[0] - images[1]) * template).sum() / (template**2).sum() > kept


@pytest.mark.parametrize("detector", ["white", "csi"])
def test_what_appears_and_stays_is_kept_and_does_not_show_before(detector: str) -> None:
    """Dots and lines of 4 deviations that all later frames have too. Measured: 0.97 and more, 0.87; at most 0.11."""
    clean, profile = scene(), noise(2.0, detector)
    dots = np.exp(-(((ROWS % 24) - 12) ** 2 + ((COLUMNS % 24) - 12) ** 2) / 2 / 1.2**2)
    lines = (COLUMNS % 32 == 16).astype(np.float64)
    for shape, kept in ((dots, 0.93), (lines, 0.8)):
        images = []
        for first in (RADIUS, RADIUS + 1, 3 * RADIUS):  # in this frame, in the next, never
            shown = [clean + 8 * shape * (time >= first) for time in range(2 * RADIUS + 1)]
            frames = run(profile, shown)
            images.append(average_frames(frames[RADIUS], frames[:RADIUS] + frames[RADIUS + 1 :], profile).image)
        now, later = (((one - images[2]) * shape).sum() / (shape**2).sum() / 8 for one in images[:2])
        assert now > kept
        assert abs(later) < 0.15


def test_changes_of_the_exposure_do_not_count_as_motion() -> None:
    """The others are brighter by a fifth and by 10 grey levels: they help as much, and the brightness stays."""
    clean, profile = scene(), noise(2.0, "white")
    same, changed = (
        run(profile, [clean, *[factor * clean + offset] * 4]) for factor, offset in ((1.0, 0.0), (1.2, 10.0))
    )
    errors = []
    for frames in (same, changed):
        average = average_frames(frames[0], frames[1:], profile)
        errors.append(((average.image - clean) ** 2).mean())
        assert average.image.mean() == pytest.approx(frames[0].mean(), abs=0.02)
    assert errors[1] < 1.1 * errors[0] < 0.5 * 4


def test_a_flat_scene_is_averaged_too() -> None:
    """Nothing but noise is in it, which must not be taken for a change of the exposure."""
    profile = noise(2.0, "white")
    frames = run(profile, [np.full((SIDE, SIDE), 90.0)] * 7)
    average = average_frames(frames[0], frames[1:], profile)
    assert ((average.image - 90) ** 2).mean() < 0.3 * 4


def test_without_others_a_frame_stays_as_it_is() -> None:
    frame = scene().astype(np.float32)
    average = average_frames(frame, [], noise(2.0, "csi"))
    assert np.array_equal(average.image, frame)
    assert (average.share == 1).all()


def test_frames_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        average_frames(scene(), [scene()[:-1]], noise(2.0, "white"))


@pytest.mark.parametrize("detector", ["white", "csi"])
def test_the_variance_of_blurred_noise_follows_from_its_spectrum(detector: str) -> None:
    profile, rng = noise(1.0, detector), np.random.default_rng(0)
    field = profile.draw(np.full((512, 512), 90.0), rng)
    blurred = gaussian_filter(field - gaussian_filter(field, 8.0), 2.5)
    assert variance_after_blur(profile, 2.5) == pytest.approx(blurred.var(), rel=0.1)


@pytest.mark.parametrize("detector", ["white", "csi"])
@pytest.mark.parametrize("pattern", ["lines", "three", "four", "checks"])
def test_fine_patterns_that_one_frame_has_stay_and_leave_no_ghost(detector: str, pattern: str) -> None:
    """Periods of 2, 3 and 4 pixels, 4 deviations strong. Measured: at least 0.93 stays, at most 0.07 appears."""
    inside = (abs(ROWS - 90) < 40) & (abs(COLUMNS - 60) < 30)
    waves = {
        "lines": np.cos(np.pi * COLUMNS),
        "three": np.sin(2 * np.pi * COLUMNS / 3),
        "four": np.sin(2 * np.pi * COLUMNS / 4),
        "checks": np.cos(np.pi * (ROWS + COLUMNS)),
    }
    template, profile = 8 * waves[pattern] * inside, noise(2.0, detector)
    clean = [scene()] * (2 * RADIUS + 1)
    plain, only, missing = (
        run(profile, [one + template * (has if at == RADIUS else hasn) for at, one in enumerate(clean)])
        for has, hasn in ((0, 0), (1, 0), (0, 1))
    )
    images = [
        average_frames(frames[RADIUS], frames[:RADIUS] + frames[RADIUS + 1 :], profile).image
        for frames in (plain, only, missing)
    ]
    kept, ghost = (((image - images[0]) * template).sum() / (template**2).sum() for image in images[1:])
    assert kept > 0.9
    assert abs(ghost) < 0.1


def test_repetitions_of_a_frame_tell_nothing_new() -> None:
    """A run whose frames are stored twice or more: what is told to be left is left."""
    clean, profile = scene(), noise(2.0, "white")
    exposures = run(profile, [clean] * 9)
    for repeated in (2, 3):
        frames = [exposures[at // repeated] for at in range(9)]
        average = average_frames(frames[4], frames[:4] + frames[5:], profile)
        assert average.share.mean() == pytest.approx(((average.image - clean) ** 2).mean() / 4, rel=0.3)
    same = average_frames(exposures[0], [exposures[0]] * 8, profile)
    assert (same.share == 1).all()


@pytest.mark.parametrize("gain", [0.0, 0.3, 3.0])
def test_a_much_different_exposure_tells_nothing(gain: float) -> None:
    """Black frames at the start of a run, and frames that are far darker or brighter."""
    profile = noise(2.0, "white")
    frame, *others = run(profile, [scene(), *[gain * scene()] * 8])
    average = average_frames(frame, others if gain else [0 * scene()] * 8, profile)
    assert (average.share == 1).all()
    assert np.array_equal(average.image, np.asarray(frame, np.float32))


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (1, 40), (64, 64)])
def test_frames_without_structure_or_of_few_pixels_are_averaged(shape: tuple[int, int]) -> None:
    """Frames of one value, such as black ones, stay; a line in the grey level cannot be fitted there."""
    for values in ((0, 0, 0), (0, 1, 2), (5, 100, 5)):
        before, frame, after = (np.full(shape, value, np.float32) for value in values)
        average = average_frames(frame, [before, after], noise(2.0, "white"))
        assert average.image == pytest.approx(frame, abs=1e-3)
