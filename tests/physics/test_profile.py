"""A noise profile keeps what it is given, says what is wrong with it, and draws the noise that it describes."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.spectra import band_errors, expected_periodogram, periodogram, variance_error
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import (
    BANDS,
    MOST_LEVELS,
    WIDEST_KERNEL,
    NoiseProfile,
    Values,
    band_means,
    kernel_of,
)
from xray_denoise.physics.profile_json import LONGEST_JSON

GREYS = np.array([0.0, 100.0, 255.0])
DEVIATIONS = np.array([1.0, 2.0, 4.0])
LAGGED = np.array([[0.48, 0.6, 0.64]])
"""Correlation along a row: 0.48 * 0.6 + 0.6 * 0.64 = 0.672 at lag 1, 0.48 * 0.64 = 0.3072 at lag 2."""


def profile(kernel: Values = LAGGED) -> NoiseProfile:
    return NoiseProfile(GREYS, DEVIATIONS, kernel)


def gaussian(width: float, half: int = 9) -> Values:
    line = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * width**2))
    kernel = np.outer(line, line)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()))


# -- what it keeps ------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    st.integers(1, 6).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(-1e3, 1e3), unique=True)),
    st.tuples(*[st.sampled_from([1, 3, 5])] * 2).flatmap(lambda s: arrays(np.float64, s, elements=st.floats(0.1, 1))),
    st.floats(0, 1e6),
)
def test_json_round_trip_is_exact(grey: Values, kernel: Values, deviation: float) -> None:
    kernel = kernel / np.sqrt((kernel**2).sum())
    kept = NoiseProfile(np.sort(grey), np.full(grey.size, deviation), kernel)
    again = NoiseProfile.from_json(kept.to_json())
    for name in ("grey", "deviation", "kernel"):
        np.testing.assert_array_equal(getattr(again, name), getattr(kept, name))
    assert again.to_json() == kept.to_json()
    assert NoiseProfile.from_json(kept.to_json().encode()).to_json() == kept.to_json()


def test_the_file_keeps_the_stored_values_at_black_and_white() -> None:
    for black_white in (None, (0.0, 4095.0), (16383.0, -12.5)):
        kept = NoiseProfile(GREYS, DEVIATIONS, LAGGED, black_white)
        for same in (kept, NoiseProfile.from_json(kept.to_json()), kept.scaled(2), kept.rounded(12)):
            assert same.black_white == black_white


@pytest.mark.parametrize("given", [[0, math.inf], [math.nan, 1], [5, 5], [-1e308, 1.7e308], [0, 5e-324]])
def test_black_and_white_must_be_finite_and_differ(given: list[float]) -> None:
    with pytest.raises(ValueError, match="black and white"):
        NoiseProfile(GREYS, DEVIATIONS, LAGGED, (given[0], given[1]))
    content = json.loads(profile().to_json()) | {"black_white": {"values": given}}
    with pytest.raises(ValueError, match="black and white"):
        NoiseProfile.from_json(json.dumps(content))


@pytest.mark.parametrize("given", [[0], [0, 1, 2], [[0, 1]], "01", None])
def test_black_and_white_in_a_file_are_two_numbers(given: Any) -> None:
    content = json.loads(profile().to_json()) | {"black_white": {"values": given}}
    with pytest.raises(ValueError, match="'values' of 'black_white'"):
        NoiseProfile.from_json(json.dumps(content))


def test_json_names_units_and_is_short() -> None:
    text = profile(gaussian(1.0)).to_json()
    content = json.loads(text)
    assert {name: "unit" in content[name] for name in content if name != "format"} == {
        "grey": True,
        "deviation": True,
        "kernel": True,
    }
    assert len(text.splitlines()) < 30, "a line for each row of the kernel, not for each number"


def test_the_largest_profile_is_not_too_long_to_read() -> None:
    kernel = np.random.default_rng(0).standard_normal((WIDEST_KERNEL, WIDEST_KERNEL)) * 1e-300
    kernel[0, 0] = 1.0
    largest = NoiseProfile(np.arange(MOST_LEVELS) / 7, np.arange(MOST_LEVELS) / 7, kernel)
    text = largest.to_json()
    assert len(text) < LONGEST_JSON / 2
    np.testing.assert_array_equal(NoiseProfile.from_json(text).kernel, kernel)


def test_it_cannot_be_changed_from_outside() -> None:
    grey = GREYS.copy()
    kept = NoiseProfile(grey, DEVIATIONS, LAGGED)
    grey[0] = -7
    assert kept.grey[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        kept.kernel[0, 0] = 2


# -- what it refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("grey", [0.0, 1.0], "one deviation for each"),
        ("grey", [], "one deviation for each"),
        ("grey", [0.0, 0.0, 1.0], "ascend"),
        ("grey", [0.0, math.nan, 1.0], "ascend"),
        ("grey", [0.0, 1.0, math.inf], "ascend"),
        ("grey", [0.0, 1.0, 2e6], "within"),
        ("deviation", [1.0, -1e-9, 1.0], "deviations"),
        ("deviation", [1.0, math.nan, 1.0], "deviations"),
        ("deviation", [1.0, math.inf, 1.0], "deviations"),
        ("deviation", [1.0, 2e6, 1.0], "deviations"),
        ("kernel", [[0.6, 0.8]], "odd sides"),
        ("kernel", [[]], "odd sides"),
        ("kernel", [[0.0] * 128 + [1.0] + [0.0] * 128], "at most 255"),
        ("kernel", [[0.5]], "sum to 1"),
        ("kernel", [[math.nan]], "sum to 1"),
        ("kernel", [[math.inf]], "sum to 1"),
    ],
)
def test_what_is_no_profile_is_refused_in_memory_and_in_a_file(part: str, value: Any, message: str) -> None:
    parts = {"grey": GREYS.tolist(), "deviation": DEVIATIONS.tolist(), "kernel": LAGGED.tolist()} | {part: value}
    with pytest.raises(ValueError, match=message):
        NoiseProfile(*(np.array(numbers, dtype=np.float64) for numbers in parts.values()))
    content = json.loads(profile().to_json())
    content[part]["values"] = value
    with pytest.raises(ValueError, match=message):
        NoiseProfile.from_json(json.dumps(content))


def test_a_kernel_of_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="2-D"):
        NoiseProfile(GREYS, DEVIATIONS, LAGGED[0])


def test_too_many_grey_levels_are_refused() -> None:
    many = np.arange(MOST_LEVELS + 1.0)
    with pytest.raises(ValueError, match="at most 4096"):
        NoiseProfile(many, many, np.ones((1, 1)))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("grey", None),
        ("grey", "12"),
        ("grey", {"0": 1}),
        ("grey", 7),
        ("grey", ["0", "1", "2"]),
        ("grey", [True, 2, 3]),
        ("grey", [[0.0], [1.0], [2.0]]),
        ("deviation", [None, 1, 1]),
        ("deviation", [10**400, 1, 1]),
        ("kernel", [[1.0], [0.0, 0.0], [1.0]]),
        ("kernel", [["1"]]),
        ("kernel", ["1"]),
        ("kernel", 1.0),
    ],
)
def test_json_values_of_another_type_are_refused(part: str, value: Any) -> None:
    content = json.loads(profile().to_json())
    content[part]["values"] = value
    with pytest.raises(ValueError, match=f"'values' of '{part}'"):
        NoiseProfile.from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "'format' must be"),
        ("null", "'format' must be"),
        ('{"format": "another"}', "'format' must be"),
        ('{"format": "xray-denoise noise profile, version 1"}', "'values' of 'grey'"),
        ('{"format": "xray-denoise noise profile, version 1", "grey": [1]}', "'values' of 'grey'"),
        (" " * (LONGEST_JSON + 1), "longer than"),
    ],
)
def test_text_that_is_no_profile_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoiseProfile.from_json(text)


# -- other value ranges -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [(0.0, 4095.0), (4095.0, 0.0)])
@pytest.mark.parametrize(
    "wanted", [(1000.0, 3000.0), (3000.0, 1000.0), (-2000.0, 9000.0), (0.0, 4095.0), (100.0, 200.0)]
)
def test_a_profile_means_the_same_stored_noise_in_every_value_range(
    given: tuple[float, float], wanted: tuple[float, float]
) -> None:
    measured = NoiseProfile(GREYS, DEVIATIONS, LAGGED, given)
    image = measured.between(wanted)
    for stored in np.linspace(max(min(wanted), 0), min(max(wanted), 4095), 9):
        in_profile = (stored - given[0]) * 255 / (given[1] - given[0])
        in_image = (stored - wanted[0]) * 255 / (wanted[1] - wanted[0])
        expected = measured.deviation_at(in_profile) * 4095 / 255
        assert image.deviation_at(in_image) * abs(wanted[1] - wanted[0]) / 255 == pytest.approx(expected, rel=1e-9)
    np.testing.assert_array_equal(image.kernel, LAGGED)
    assert (image is measured) == (given == wanted)


def test_a_profile_without_stored_values_is_the_same_in_every_value_range() -> None:
    assert (kept := profile()).between((7, 9)) is kept
    assert kept.stored_range == (-math.inf, math.inf)


def test_a_narrow_value_range_and_a_far_one_have_a_profile() -> None:
    """A flat field fills few of the stored values; what is far away is extrapolated, within what a profile may hold."""
    wide = NoiseProfile(GREYS, DEVIATIONS, LAGGED, (0, 1e9))
    image = wide.between((5e8, 5.1e8), (0, 1e9))
    assert float(image.deviation_at(0)) == pytest.approx(float(wide.deviation_at(127.5)) * 100, rel=1e-9)
    assert np.abs(image.grey).max() <= 510
    blank = wide.between((5e8, 5e8 + 1), (0, 1e9))
    assert blank.deviation.max() <= 1e6
    for far in (1e12, -1e12):
        expected = DEVIATIONS[-1] if far > 0 else DEVIATIONS[0]
        np.testing.assert_allclose(wide.between((far, far + 1e9)).deviation_at([0, 255]), expected)


def test_a_profile_of_many_grey_levels_fits_in_another_value_range() -> None:
    many = np.linspace(0, 255, MOST_LEVELS)
    measured = NoiseProfile(many, 1 + many / 255, LAGGED, (0, 4095))
    for black_white in ((0, 4000), (4000, 0), (-1e4, 1e4), (100, 200)):
        assert measured.between(black_white).grey.size <= MOST_LEVELS


def test_a_profile_for_other_stored_values_is_refused() -> None:
    twelve = NoiseProfile(GREYS, DEVIATIONS, LAGGED, (0, 4095))
    for bits in (8, 9, 10, 11):
        with pytest.raises(ValueError, match="it is for stored values from 0 to 4095"):
            twelve.between((0, 255), (0, 2**bits - 1))
    for bits in (12, 16):
        assert twelve.between((0, 255), (0, 2**bits - 1)).black_white == (0, 255)
    signed = NoiseProfile(GREYS, DEVIATIONS, LAGGED, (-2048, 2047))
    with pytest.raises(ValueError, match="it is for stored values from -2048 to 2047"):
        signed.between((0, 255), (0, 4094))
    with pytest.raises(ValueError, match="it is for stored values from 0 to 4095"):
        twelve.between((0.0, 1.0))
    one = NoiseProfile(np.array([200.0]), np.ones(1), LAGGED, (0, 65535))  # of one dose: 51400
    with pytest.raises(ValueError, match="it is for stored values from 51400 to 51400"):
        one.between((0, 255), (0, 4095))


def test_the_stored_values_that_a_profile_knows() -> None:
    assert NoiseProfile(np.array([0.0, 127.5]), np.ones(2), LAGGED, (1000, 0)).stored_range == (500, 1000)
    assert NoiseProfile(np.array([51.0]), np.ones(1), LAGGED, (1000, 0)).stored_range == (800, 800)
    assert profile().stored_range == (-math.inf, math.inf)


# -- what it says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [NoiseLevel(0.6, 10.0), NoiseLevel(math.inf, 3.0), NoiseLevel(0.4, 0.0)])
def test_a_noise_level_is_its_white_special_case(level: NoiseLevel) -> None:
    grey = np.linspace(0, 255, 1001)
    white = NoiseProfile.of_level(level)
    np.testing.assert_allclose(white.deviation_at(grey) ** 2, level.variance(grey), rtol=4 * np.finfo(float).eps)
    np.testing.assert_array_equal(white.band_powers(), np.ones(4))
    assert white.correlation(0, 1) == white.correlation(1, 0) == 0


@pytest.mark.parametrize("deviation", [0.05, 1.0, 2.0, 3.3, 8.0, 30.0])
def test_noise_that_is_the_same_everywhere_has_no_photons(deviation: float) -> None:
    for grey in ([127.5], [0.0, 255.0], [0.0, 33.0, 190.0]):
        level = NoiseProfile(np.array(grey), np.full(len(grey), deviation), np.ones((1, 1))).nearest_level()
        assert math.isinf(level.eta)
        assert level.sigma == pytest.approx(deviation)


def test_the_deviation_is_linear_in_the_variance_and_constant_outside() -> None:
    grey = np.array([[-50.0, 0.0, 50.0], [100.0, 255.0, 300.0]])
    expected = [[1.0, 1.0, math.sqrt(2.5)], [2.0, 4.0, 4.0]]
    np.testing.assert_allclose(profile().deviation_at(grey), expected)
    np.testing.assert_array_equal(NoiseProfile.white(3.0).deviation_at(grey), np.full((2, 3), 3.0))


def test_correlation_of_a_known_kernel() -> None:
    known = [profile().correlation(0, lag) for lag in range(5)]
    assert known == pytest.approx([1.0, 0.672, 0.3072, 0.0, 0.0])
    assert profile().correlation(0, -1) == pytest.approx(0.672)
    assert profile().correlation(1, 0) == 0
    assert profile(LAGGED.T).correlation(1, 0) == pytest.approx(0.672)
    skew = np.array([[0.6, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.8]])
    assert profile(skew).correlation(2, 2) == profile(skew).correlation(-2, -2) == pytest.approx(0.48)
    assert profile(skew).correlation(2, -2) == 0
    assert profile().correlation(10**9, 10**9) == 0


def test_band_powers_of_known_kernels() -> None:
    """A kernel with correlations r has the spectrum 1 + 2 sum_l r(l) cos(2 pi l u); a wide Gaussian its own."""
    u = np.fft.fftfreq(64)[None] + np.zeros((64, 1))
    expected = 1 + 2 * (0.672 * np.cos(2 * np.pi * u) + 0.3072 * np.cos(4 * np.pi * u))
    np.testing.assert_allclose(profile().band_powers(), band_means(expected))
    np.testing.assert_allclose(profile().spectrum((64, 64)), expected, atol=1e-12)
    radius = np.hypot(u, u.T)
    blurred = np.exp(-((2 * np.pi * 1.2 * radius) ** 2))
    powers = profile(gaussian(1.2)).band_powers()
    np.testing.assert_allclose(powers, band_means(blurred / blurred.mean()), rtol=1e-3, atol=1e-5)  # sampled: aliases
    assert len(powers) == len(BANDS)


def test_a_spectrum_has_mean_one_and_needs_room() -> None:
    assert profile(gaussian(0.8)).spectrum((40, 30)).mean() == pytest.approx(1)
    with pytest.raises(ValueError, match="no spectrum"):
        profile(gaussian(0.8)).spectrum((18, 30))


def test_scaling_scales_the_deviation_only() -> None:
    np.testing.assert_array_equal(profile().scaled(0.5).deviation, DEVIATIONS / 2)
    np.testing.assert_array_equal(profile().scaled(0.5).kernel, LAGGED)
    with pytest.raises(ValueError, match="deviations"):
        profile().scaled(-1)


# -- a kernel from a spectrum -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64), (64, 96), (63, 65)])
def test_a_kernel_has_the_spectrum_that_it_is_made_from(shape: tuple[int, int]) -> None:
    """Cutting off a millionth of the energy changes the spectrum by at most 2 sqrt(power * lost) at each frequency."""
    wanted = 0.2 + 0.8 * profile(gaussian(1.0)).spectrum(shape)
    kernel = kernel_of(wanted)
    assert kernel.shape[0] == kernel.shape[1] < 30
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
    got = NoiseProfile.white(1.0).spectrum(shape) * np.abs(np.fft.fft2(kernel, shape)) ** 2
    bound = 2 * np.sqrt(wanted * wanted.size * 1e-6) + 1e-5
    assert (np.abs(got - wanted) < bound).all()
    assert abs(band_means(got) / band_means(wanted) - 1).max() < 2e-3
    assert kernel_of(wanted, 5).shape == (5, 5)


def test_a_white_spectrum_needs_one_pixel() -> None:
    np.testing.assert_allclose(kernel_of(np.full((64, 64), 7.0)), [[1.0]])


def test_rounding_adds_white_noise() -> None:
    """Deviation and correlation of quantised draws: sampling errors of 5 standard errors."""
    told = NoiseProfile.white(1.5)
    told = NoiseProfile(told.grey, told.deviation, gaussian(0.8))
    rounded = told.rounded(8)
    assert rounded.deviation_at(127.5) == pytest.approx(math.sqrt(1.5**2 + 1 / 12))
    expected = 1.5**2 * told.correlation(0, 1) / (1.5**2 + 1 / 12)
    assert rounded.correlation(0, 1) == pytest.approx(expected, abs=1e-4)
    rng = np.random.default_rng(0)
    clean = rng.uniform(100, 150, (1024, 1024))
    noise = np.rint(clean + told.draw(clean, rng)) - clean
    neighbours = float((noise[:, 1:] * noise[:, :-1]).mean())
    error = 5 * noise.var() * variance_error(rounded.spectrum((64, 64)), noise.size)
    assert noise.var() == pytest.approx(1.5**2 + 1 / 12, abs=error)
    assert neighbours == pytest.approx(expected * (1.5**2 + 1 / 12), abs=error)
    assert NoiseProfile.white(1.0).rounded(16).kernel.shape == (1, 1)
    with pytest.raises(ValueError, match="8 to 16 bits"):
        told.rounded(7)


def test_rounding_a_kernel_that_is_one_row() -> None:
    assert profile().rounded(8).correlation(0, 1) == pytest.approx(0.672 * 2.0 / (2.0 + 1 / 12), rel=0.2)


# -- what it draws ------------------------------------------------------------------------------------------------

DRAWS = 40


SHAPE = (192, 160)


@pytest.mark.parametrize("kernel", [np.ones((1, 1)), LAGGED, gaussian(0.6), gaussian(1.0)])
def test_unit_noise_has_unit_variance_and_the_spectrum_of_its_kernel(kernel: Values) -> None:
    """Within five standard errors; what the rims of an image do to its spectrum is expected exactly."""
    rng = np.random.default_rng(1)
    noise = np.stack([profile(kernel).unit_noise(SHAPE, rng) for _ in range(DRAWS)])
    power = expected_periodogram(kernel, SHAPE)
    assert power.mean() == pytest.approx(1.0)
    assert noise.var() == pytest.approx(1.0, rel=5 * variance_error(power, noise.size))
    assert noise.mean() == pytest.approx(0.0, abs=5 * math.sqrt(power[0, 0] / noise.size))
    difference = np.abs(band_means(periodogram(noise)) - band_means(power))
    assert (difference < 5 * band_errors(power, DRAWS)).all()


def test_another_kernel_would_be_caught() -> None:
    """A Gaussian two percent wider lies beyond the tolerance of the test above."""
    power, other = (expected_periodogram(gaussian(width), SHAPE) for width in (1.0, 1.02))
    assert (np.abs(band_means(power) - band_means(other)) > 10 * band_errors(power, DRAWS)).any()


def test_no_pixel_knows_of_the_opposite_rim() -> None:
    rng = np.random.default_rng(2)
    noise = np.stack([profile(gaussian(2.0)).unit_noise((24, 24), rng) for _ in range(3000)])
    across = (noise[:, :, 0] * noise[:, :, -1]).mean()
    assert across == pytest.approx(0.0, abs=5 / math.sqrt(3000 * 24 / 8)), "8 rows are about one independent one"


def test_noise_follows_the_grey_level() -> None:
    clean = np.repeat([0.0, 50.0, 255.0], 200)[None] + np.zeros((500, 1))
    noise = profile().draw(clean, np.random.default_rng(3))
    assert noise.dtype == np.float32
    assert noise.shape == clean.shape
    error = 5 * variance_error(profile().spectrum((64, 64)), 100_000) / 2
    for place, expected in ((0, 1.0), (1, math.sqrt(2.5)), (2, 4.0)):
        assert noise[:, 200 * place : 200 * place + 200].std() == pytest.approx(expected, rel=error)


def test_white_noise_equals_that_of_the_noise_level() -> None:
    """Means and variances of a draw, from which only the Poisson distribution's skewness is missing."""
    level = NoiseLevel(2.0, 4.0)
    clean = np.full((600, 600), 120.0)
    one = NoiseProfile.of_level(level).draw(clean, np.random.default_rng(4))
    other = add_noise(clean, level, np.random.default_rng(5), clip=False) - 120
    assert one.var() == pytest.approx(other.var(), rel=5 * math.sqrt(4 / clean.size))


def test_a_seed_repeats_a_draw() -> None:
    clean = np.full((20, 20), 100.0)
    one, same, other = (profile().draw(clean, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
