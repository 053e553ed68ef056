"""The arithmetic between stored values and grey levels, against exact fractions, for every kind of file."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.radiograph import Radiograph, robust_range

SHAPE = (5, 7)


@st.composite
def radiographs(draw: st.DrawFn) -> Radiograph:
    """Any bit depth, sign, polarity, value range and padding; pixels at their ends are common."""
    bits, signed, inverted = draw(st.tuples(st.integers(8, 16), st.booleans(), st.booleans()))
    words = 1 if bits == 8 and draw(st.booleans()) else 2
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    lo, hi = sorted(draw(st.tuples(st.integers(low, high - 1), st.integers(low, high - 1))))
    padding = None
    corners = [low, high, lo, hi]
    if draw(st.booleans()):
        first = draw(st.integers(low, high))
        padding = first, min(first + draw(st.integers(0, 40)), high)
        corners += [max(first - 1, low), first, padding[1], min(padding[1] + 1, high)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    anywhere = rng.integers(low, high, SHAPE, endpoint=True)
    stored = np.where(rng.random(SHAPE) < 0.5, anywhere, rng.choice(corners, SHAPE))
    return Radiograph(
        stored.astype(f"{'i' if signed else 'u'}{words}"),
        (float(lo), float(hi + 1)),
        inverted=inverted,
        padding_range=padding,
        bits=bits,
        signed=signed,
    )


@st.composite
def changes(draw: st.DrawFn) -> np.ndarray:
    """Changes of grey levels, many of them 0, some beyond all that the file can hold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([0.1, 3.0, 100.0, 1e6]))
    return (rng.normal(0, scale, SHAPE) * (rng.random(SHAPE) < 0.8)).astype(np.float32)


@given(radiographs())
def test_an_unchanged_image_comes_back_bit_identical(radiograph: Radiograph) -> None:
    again = radiograph.with_grey(radiograph.grey)
    assert again.stored.dtype == radiograph.stored.dtype
    assert np.array_equal(again.stored, radiograph.stored)


@given(radiographs(), changes())
def test_only_changed_pixels_change(radiograph: Radiograph, change: np.ndarray) -> None:
    denoised = radiograph.grey + change
    stored = radiograph.with_grey(denoised).stored
    same = denoised == radiograph.grey
    assert np.array_equal(stored[same], radiograph.stored[same])


@given(radiographs(), changes())
def test_the_change_is_added_in_stored_units(radiograph: Radiograph, change: np.ndarray) -> None:
    grey = radiograph.grey
    denoised = grey + change
    stored = radiograph.with_grey(denoised).stored
    sign = -1 if radiograph.inverted else 1
    low, high = radiograph.limits
    first, last = radiograph.padding_range or (10**6, 10**6)
    width = Fraction(radiograph.value_range[1]) - Fraction(radiograph.value_range[0])
    for index in np.ndindex(SHAPE):
        old, new = int(radiograph.stored[index]), int(stored[index])
        if first <= old <= last:
            assert new == old
            continue
        exact = old + sign * (Fraction(float(denoised[index])) - Fraction(float(grey[index]))) * width / 255
        exact = min(max(exact, Fraction(low)), Fraction(high))
        rounding = Fraction(1, 2) + abs(exact - old) / 10**12  # the second part is that of float64
        if first - rounding <= exact <= last + rounding and new == (first - 1 if old < first else last + 1):
            continue  # pushed out of the padding, to its own side
        assert abs(new - exact) <= rounding


@given(radiographs(), changes())
def test_padding_stays_and_nothing_else_becomes_padding(radiograph: Radiograph, change: np.ndarray) -> None:
    changed = radiograph.with_grey(radiograph.grey + change)
    if radiograph.padding is None:
        assert changed.padding is None
        return
    assert np.array_equal(changed.padding, radiograph.padding)
    assert np.array_equal(changed.stored[radiograph.padding], radiograph.stored[radiograph.padding])


@given(radiographs(), st.floats(0, 400))
def test_brighter_is_brighter_in_both_polarities(radiograph: Radiograph, step: float) -> None:
    changed = radiograph.with_grey(radiograph.grey + np.float32(step))
    free = ~radiograph.padding if radiograph.padding is not None else np.ones(SHAPE, bool)
    assert (changed.grey[free] >= radiograph.grey[free]).all()


@given(radiographs(), changes())
def test_values_stay_within_the_bit_depth(radiograph: Radiograph, change: np.ndarray) -> None:
    stored = radiograph.with_grey(radiograph.grey + change).stored
    assert stored.min() >= radiograph.limits[0]
    assert stored.max() <= radiograph.limits[1]


def test_the_value_range_maps_to_0_and_255_and_values_outside_survive() -> None:
    radiograph = Radiograph(np.array([[100, 200, 50, 300]], np.uint16), (100, 200), bits=12)
    assert radiograph.grey.dtype == np.float32
    assert radiograph.grey == pytest.approx(np.array([[0, 255, -127.5, 510]]))
    inverted = replace(radiograph, inverted=True)
    assert inverted.grey == pytest.approx(np.array([[255, 0, 382.5, -255]]))


def test_a_hundredth_of_a_grey_level_reaches_a_16_bit_file() -> None:
    radiograph = Radiograph(np.array([[30000]], np.uint16), (0, 65535), bits=16)
    assert radiograph.with_grey(radiograph.grey + np.float32(0.01)).stored[0, 0] == 30003  # 0.01 * 257 = 2.57


def test_padding_lies_inside_the_value_range_for_the_network_only() -> None:
    radiograph = Radiograph(
        np.array([[-2000, 10, 500]], np.int16), (0, 100), padding_range=(-2000, -2000), bits=16, signed=True
    )
    assert radiograph.grey == pytest.approx(np.array([[0, 25.5, 1275]]))
    assert radiograph.with_grey(np.full((1, 3), 77.0)).stored[0, 0] == -2000


def test_a_pixel_beside_the_padding_keeps_its_side() -> None:
    radiograph = Radiograph(np.array([[9, 20, 10]], np.uint16), (0, 255), padding_range=(10, 12), bits=12)
    assert radiograph.with_grey(np.array([[11.0, 11.0, 99.0]])).stored.tolist() == [[9, 13, 10]]


def test_a_value_that_should_not_be_there_survives_when_unchanged() -> None:
    radiograph = Radiograph(np.array([[5000, 1]], np.uint16), (0, 4095), bits=12)
    assert radiograph.with_grey(radiograph.grey).stored[0, 0] == 5000


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    radiograph = Radiograph(np.zeros((2, 2), np.uint8), (0, 255), source=Path("a.png"))
    with pytest.raises(XrayDenoiseError, match=r"a\.png contains NaN or infinity"):
        radiograph.with_grey(np.array([[0, 0], [0, value]]))


def test_an_image_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        Radiograph(np.zeros((2, 2), np.uint8), (0, 255)).with_grey(np.zeros((2, 3)))


@pytest.mark.parametrize("stored", [np.zeros((2, 2)), np.zeros(3, np.uint8), np.zeros((0, 2), np.uint8)])
def test_only_two_dimensional_integers_are_stored_values(stored: np.ndarray) -> None:
    with pytest.raises(ValueError, match="2-D integer array"):
        Radiograph(stored, (0, 255))


@pytest.mark.parametrize("value_range", [(5, 5), (6, 5), (0, np.inf), (np.nan, 5)])
def test_a_value_range_goes_upwards(value_range: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="from a lower to a higher"):
        Radiograph(np.zeros((2, 2), np.uint8), (0, 255)).with_value_range(*value_range)


def test_stored_values_cannot_be_changed_in_place_but_the_array_of_the_caller_can() -> None:
    mine = np.zeros((2, 2), np.uint8)
    radiograph = Radiograph(mine, (0, 255))
    with pytest.raises(ValueError, match="read-only"):
        radiograph.stored[0, 0] = 1
    mine[0, 0] = 1


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("inverted", [False, True])
def test_grey_levels_of_a_phantom_survive_quantisation(bits: int, inverted: bool) -> None:
    grey = np.random.default_rng(0).uniform(-10, 265, (30, 20))
    radiograph = Radiograph.from_grey(grey, bits=bits, inverted=inverted)
    assert radiograph.limits == (0, 2**bits - 1)
    half_step = 0.5 * 255 / (2**bits - 1)
    assert radiograph.grey == pytest.approx(grey.clip(0, 255), abs=half_step + 1e-4)  # 1e-4: float32 at 255


def test_the_robust_range_leaves_out_outliers_and_padding() -> None:
    values = np.arange(100, 10_101).reshape(73, 137)
    assert robust_range(values) == (101, 10_099)
    values = np.append(values.ravel(), [60_000] * 500)
    assert robust_range(values, values == 60_000) == (101, 10_099)


def test_the_robust_range_of_an_almost_constant_image_is_its_whole_range() -> None:
    values = np.full(1_000_000, 7)
    assert robust_range(values) == (7, 8)
    values[0] = 9
    assert robust_range(values) == (7, 9)
    assert robust_range(values, np.ones(values.shape, bool)) == (7, 9)


def test_an_image_of_one_value_is_blank() -> None:
    stored = np.full((3, 4), 7, np.uint16)
    assert Radiograph(stored, (0.0, 255.0)).is_blank
    stored[1, 2] = 8
    assert not Radiograph(stored, (0.0, 255.0)).is_blank


def test_an_image_without_contents_does_not_change() -> None:
    stored = np.full((4, 4), 7, np.uint16)
    radiograph = Radiograph(stored, robust_range(stored), bits=12)
    assert np.array_equal(radiograph.with_grey(radiograph.grey + 100).stored, stored)


@pytest.mark.parametrize("inverted", [False, True])
def test_what_is_removed_is_taken_off_in_stored_units(inverted: bool) -> None:
    """Half a grey level is one of 510 stored values of a value range; what is dark in MONOCHROME1 is stored high."""
    radiograph = Radiograph(np.full((2, 3), 300, np.uint16), (0.0, 510.0), inverted=inverted, bits=12)
    removed = np.array([[0.0, 0.5, -0.5], [5.0, 0.24, 0.26]], np.float32)
    change = radiograph.with_removed(removed).stored.astype(int) - 300
    assert (change == (1 if inverted else -1) * np.array([[0, 1, -1], [10, 0, 1]])).all()
    same = radiograph.with_grey(radiograph.grey - removed)
    assert (same.stored == radiograph.with_removed(removed).stored).all()
    with pytest.raises(ValueError, match="shape"):
        radiograph.with_removed(removed[:1])
