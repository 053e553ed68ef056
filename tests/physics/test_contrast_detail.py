"""The contrast-detail phantom is read as signal detection says, and lost discs raise its thresholds."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from xray_denoise.bench.harm_scenes import REPEATS
from xray_denoise.physics.contrast_detail import AT_THRESHOLD, CELL, ContrastDetail, right_choice, threshold
from xray_denoise.physics.lesions import LESIONS, SIDE, disc

STRENGTHS = tuple(np.geomspace(0.4, 6, 8))
PHANTOM = ContrastDetail.random((3.0, 8.0), STRENGTHS, 12, np.random.default_rng(0))
NOISE = np.random.default_rng(1).standard_normal(PHANTOM.draw().shape)


def test_every_disc_has_its_contrast_in_one_quadrant() -> None:
    image, half = PHANTOM.draw(), CELL // 2
    assert PHANTOM.diameter.size == 2 * 8 * 12
    for number in (0, 7, 100):
        top, left = number // PHANTOM.columns * CELL, number % PHANTOM.columns * CELL
        cell = (
            image[top : top + CELL, left : left + CELL].reshape(2, half, 2, half).swapaxes(1, 2).reshape(4, half, half)
        )
        assert np.flatnonzero(cell.any(axis=(1, 2))).tolist() == [PHANTOM.quadrant[number]]
        assert cell.max() == pytest.approx(PHANTOM.contrast[number])


def test_without_noise_every_disc_is_found() -> None:
    np.testing.assert_array_equal(PHANTOM.right(PHANTOM.draw()), 1.0)


def test_without_discs_a_quarter_is_guessed() -> None:
    """The cube of a uniform share has the mean 1/4 and the variance 1/7 - 1/16; 192 trials, five standard errors."""
    assert PHANTOM.right(NOISE).mean() == pytest.approx(0.25, abs=5 * ((1 / 7 - 1 / 16) / 192) ** 0.5)


def test_the_choice_among_four_is_that_of_signal_detection() -> None:
    """One of four without a signal; 5/8 at the threshold; and in trials."""
    assert right_choice(np.array([0.0, AT_THRESHOLD, 9.0])) == pytest.approx([0.25, 0.625, 1.0], abs=2e-3)
    responses = np.random.default_rng(0).standard_normal((20_000, 4)) + np.array([2.0, 0, 0, 0])
    seen = (responses.argmax(axis=1) == 0).mean()
    assert seen == pytest.approx(right_choice(np.array([2.0]))[0], abs=5 * (0.25 / 20_000) ** 0.5)


def test_thresholds_in_white_noise_are_those_of_signal_detection() -> None:
    """The ring makes the response noisier by the root of 1 + disc / ring; 96 trials are sure to a tenth or so."""
    for diameter, contrast in PHANTOM.thresholds(PHANTOM.draw() + NOISE).items():
        inner = np.pi * diameter**2 / 4
        ring = np.pi / 4 * ((diameter + 15) ** 2 - (diameter + 3) ** 2)
        assert contrast == pytest.approx(AT_THRESHOLD * np.sqrt(1 / inner + 1 / ring), rel=0.25)


def test_a_filter_that_takes_small_discs_away_raises_their_threshold() -> None:
    """The noise that lies over a disc is kept: only the disc is blurred."""
    before = PHANTOM.thresholds(PHANTOM.draw() + NOISE)
    after = PHANTOM.thresholds(gaussian_filter(PHANTOM.draw(), 2.0) + NOISE)
    assert after[3.0] > 1.7 * before[3.0]
    assert after[8.0] < 1.6 * before[8.0]


@pytest.mark.parametrize("true", [1.0, 3.0])
def test_a_planted_threshold_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    strength = np.repeat(np.geomspace(0.3, 10, 12), 100)
    right = rng.random(strength.size) < right_choice(AT_THRESHOLD * strength / true)
    assert threshold(strength, right.astype(np.float64)) == pytest.approx(true, rel=0.1)


def test_a_disc_covers_its_area() -> None:
    """To the accuracy of eight points a pixel."""
    for diameter in (2.0, 5.0, 16.0):
        assert disc(diameter, 32).sum() == pytest.approx(np.pi * diameter**2 / 4, rel=0.04)


@pytest.mark.parametrize("name", LESIONS)
def test_lesions_lie_inside_their_square(name: str) -> None:
    lesion = LESIONS[name]()
    assert lesion.shape == (SIDE, SIDE)
    rim = np.concatenate([lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]])
    assert np.abs(rim).max() < 0.01
    middle = lesion[SIDE // 2 - 12 : SIDE // 2 + 12, SIDE // 2 - 12 : SIDE // 2 + 12]
    size = middle.std() if name == "texture" else lesion.max()
    assert size == pytest.approx(1, abs=0.15)


def test_thresholds_repeat() -> None:
    """They vary by less than a fifth with the repeats of the table of harm."""
    phantom = ContrastDetail.random((3.0, 8.0), STRENGTHS, REPEATS, np.random.default_rng(0))
    clean, rng = phantom.draw(), np.random.default_rng(2)
    found = [list(phantom.thresholds(clean + rng.standard_normal(clean.shape)).values()) for _ in range(8)]
    assert np.std(np.log(found), axis=0).max() < 0.2
