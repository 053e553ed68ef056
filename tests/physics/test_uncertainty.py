"""Intervals hold what they promise, for each level, colour and class that they were calibrated on."""

import math
from itertools import product

import numpy as np
import pytest

from xray_denoise.physics.local_gain import LocalGain
from xray_denoise.physics.noise_estimate import ProfileEstimate
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.physics.uncertainty import (
    COLOURS,
    CONFIDENCES,
    COVERAGE,
    GRADIENTS,
    LEVELS,
    SHAPE,
    Scored,
    UncertaintyTable,
    classes_of,
    place_of,
    scored,
)

KINDS = len(GRADIENTS) + 1
NORMAL = 1.6449
"""Half width in deviations of an interval that holds 90 % of normal numbers."""
PIXELS = 20_000


def images(seed: int = 0) -> list[Scored]:
    """One at every node; their errors are normal, larger where the noise is correlated, the class higher, and the
    estimate less certain."""
    rng = np.random.default_rng(seed)
    found = []
    for level, colour, confidence in product(LEVELS, COLOURS, CONFIDENCES):
        kinds = rng.integers(KINDS, size=PIXELS)
        scores = np.abs(rng.standard_normal(PIXELS)) * size(colour, confidence, kinds)
        found.append(Scored(level, colour, confidence, kinds, scores))
    return found


def size(colour: float, confidence: float, kinds: np.ndarray) -> np.ndarray:
    return np.asarray((0.2 - 0.02 * colour + 0.1 * kinds) * (2 - confidence))


def certain(profile: NoiseProfile, gain: LocalGain | None = None) -> ProfileEstimate:
    return ProfileEstimate(profile, CONFIDENCES[-1], gain)


def test_a_table_is_the_quantile_of_every_class() -> None:
    """A quantile of n numbers errs by sqrt(0.9 0.1 / n) / density, which is 0.206 for normal numbers; five of those."""
    table = UncertaintyTable.calibrated(images(), "0" * 64)
    error = 5 * math.sqrt(0.09 / (PIXELS / KINDS)) / 0.206 / NORMAL
    assert table.factors.shape == SHAPE
    for (i, colour), (j, confidence) in product(enumerate(COLOURS), enumerate(CONFIDENCES)):
        expected = NORMAL * size(colour, confidence, np.arange(KINDS))
        np.testing.assert_allclose(table.factors[:, i, j], np.tile(expected, (len(LEVELS), 1)), rtol=error)


def test_intervals_hold_ninety_percent_of_new_pixels() -> None:
    table = UncertaintyTable.calibrated(images(), "0" * 64)
    for one in images(seed=1):
        node = LEVELS.index(one.level), COLOURS.index(one.colour), CONFIDENCES.index(one.confidence)
        inside = one.scores <= table.factors[node][one.classes]
        assert inside.mean() == pytest.approx(COVERAGE, abs=0.015), "two samples of 20000 pixels in six classes"


def test_images_between_the_nodes_are_held_as_often_as_any() -> None:
    """Scores that fall with the level, as those of networks do.

    The quantile of all that is near a node, mostly that of the weakest noise there, holds 95.3 % of these pixels.
    """
    rng = np.random.default_rng(0)
    between = [
        Scored(
            level,
            0.0,
            CONFIDENCES[-1],
            rng.integers(KINDS, size=PIXELS),
            4.0**-level * np.abs(rng.standard_normal(PIXELS)),
        )
        for level in np.linspace(-0.9, 3.9, 49)
    ]
    table = UncertaintyTable.calibrated(between, "0" * 64)
    shares = [(one.scores <= held_at(table, one)[one.classes]).mean() for one in between]
    assert np.mean(shares) == pytest.approx(COVERAGE, abs=0.003)


def held_at(table: UncertaintyTable, one: Scored) -> np.ndarray:
    """Half width over deviation of every class, by the public way: in a flat image, and one of a ramp each."""
    found = []
    for steep in (0, *(1.2 * np.array(GRADIENTS))):
        profile = NoiseProfile.white(2.0**one.level)
        ramp = np.arange(64.0)[None].repeat(64, axis=0) * steep * 2.0**one.level
        found.append(table.half_width(ramp, certain(profile))[32, 32] / 2.0**one.level)
    return np.array(found)


def test_a_node_without_images_is_like_its_neighbours() -> None:
    some = [one for one in images() if one.level < 3 and one.colour != COLOURS[1]]
    table = UncertaintyTable.calibrated(some, "0" * 64)
    for kind in range(KINDS):
        known = table.factors[:-2, ..., kind]
        assert ((table.factors[-2:, ..., kind] > known.min()) & (table.factors[-2:, ..., kind] < known.max())).all()
        around = table.factors[2, [0, 2], ..., kind]
        assert ((table.factors[2, 1, :, kind] > around.min()) & (table.factors[2, 1, :, kind] < around.max())).all()


def test_no_factor_is_far_below_those_of_images() -> None:
    """A node that only doubtful images are near: the quantile regression alone would send its neighbours to nothing."""
    table = UncertaintyTable.calibrated(images()[::7], "0" * 64)
    for kind in range(KINDS):
        least = NORMAL * size(max(COLOURS), max(CONFIDENCES), np.array(kind))
        assert table.factors[..., kind].min() > 0.65 * least


def test_too_few_scores_are_refused() -> None:
    few = [Scored(0.0, 0.0, 0.7, np.full(10, kind), np.arange(1.0, 11)) for kind in range(KINDS)]
    factors = UncertaintyTable.calibrated(few, "").factors
    assert ((factors > 8.99) & (factors < 10.01)).all(), "90 % of ten scores"
    with pytest.raises(ValueError, match="too few"):
        UncertaintyTable.calibrated(few[:-1], "")


def test_half_widths_follow_the_local_gain() -> None:
    """As they follow the deviation; the factor stays that of the profile."""
    table, profile = UncertaintyTable.calibrated(images(), "0" * 64), NoiseProfile.white(2.0)
    gain = LocalGain(np.log([[1.0, 4.0]]).repeat(2, axis=0))
    flat = np.full((80, 81), 100.0)
    np.testing.assert_allclose(
        table.half_width(flat, certain(profile, gain)),
        table.half_width(flat, certain(profile)) * gain.over((80, 81)),
        rtol=1e-5,
    )


def test_an_estimate_that_is_less_certain_has_wider_intervals() -> None:
    table, flat = UncertaintyTable.calibrated(images(), "0" * 64), np.full((80, 81), 100.0)
    sure, doubtful = (
        table.half_width(flat, ProfileEstimate(NoiseProfile.white(2.0), confidence)) for confidence in (1.0, 0.7)
    )
    np.testing.assert_allclose(doubtful, sure * (2 - 0.7) / (2 - CONFIDENCES[-1]), rtol=0.1)


def test_scores_are_in_deviations_of_the_noise_in_that_place() -> None:
    gain = LocalGain(np.log([[1.0, 4.0]]).repeat(2, axis=0))
    clean = np.full((80, 81), 100.0)
    noise = certain(NoiseProfile.white(2.0), gain)
    found = scored(clean, clean + 3 * gain.over((80, 81)), noise, np.random.default_rng(0), 500)
    np.testing.assert_allclose(found.scores, 1.5, rtol=1e-5)


def test_half_widths_follow_deviation_and_gradient() -> None:
    table = UncertaintyTable.calibrated(images(), "0" * 64)
    image = np.repeat(np.array([50.0, 200.0]), 40)[None].repeat(80, axis=0)
    profile = NoiseProfile(np.array([50.0, 200.0]), np.array([1.0, 2.0]), np.ones((1, 1)))
    width = table.half_width(image, certain(profile))
    assert width.shape == image.shape
    assert width[40, 60] / width[40, 10] == pytest.approx(2, rel=1e-6)
    assert width[40, 39] > 2 * width[40, 10]
    kinds = classes_of(image, profile.deviation_at(image))
    assert kinds[40, 10] == 0
    assert kinds[40, 39] == KINDS - 1


def test_a_place_is_that_of_the_profile() -> None:
    assert place_of(ProfileEstimate(NoiseProfile.white(4.0), 0.8)) == pytest.approx((2, 0, 0.8), abs=1e-6)
    blurred = NoiseProfile(np.array([0.0]), np.array([2.0]), np.full((3, 3), 1 / 3))
    level, colour, _ = place_of(ProfileEstimate(blurred, 0.8))
    assert level == pytest.approx(1)
    assert colour > 4


def test_scores_are_errors_over_deviation() -> None:
    rng = np.random.default_rng(0)
    clean = np.full((64, 64), 90.0)
    found = scored(clean, clean + 3, certain(NoiseProfile.white(2.0)), rng, 500)
    assert found.scores.shape == found.classes.shape == (500,)
    np.testing.assert_allclose(found.scores, 1.5)


def test_json_is_read_back_and_what_is_none_is_refused() -> None:
    table = UncertaintyTable.calibrated(images(), "ab" * 32, "white")
    again = UncertaintyTable.from_json(table.to_json())
    assert (again.weights_sha256, again.part) == ("ab" * 32, "white")
    np.testing.assert_allclose(again.factors, table.factors, rtol=1e-3)
    assert again.to_json() == table.to_json()
    for text in ("", "[]", "{}", table.to_json().replace("0.06,", "0.07,"), table.to_json().replace("[[[", "[[[-")):
        with pytest.raises(ValueError, match=r"."):
            UncertaintyTable.from_json(text)
