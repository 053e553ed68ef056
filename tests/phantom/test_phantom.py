from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from tests.phantom.figures import FIGURES, draw, figures, power_spectrum, table
from xray_denoise.bench.cases import image_set
from xray_denoise.phantom.chest import chest_phantom, to_bits

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(6)

# Least and most of the 24 validation images: `python -m tests.phantom.figures FOLDER`.
SPREAD = {
    "mean grey level": (82.3, 174.9),
    "10 log10(255^2 / mean g^2), dB": (2.83, 7.68),
    "slope of the power spectrum": (-3.32, -2.60),
}
NLM_GAIN_DB = 14.13
"""Mean PSNR gain of NLM on the 24 validation images, from the same command."""


def phantom(size: int | tuple[int, int], seed: int = 0, **options: int) -> np.ndarray:
    return chest_phantom(size, rng=np.random.default_rng(seed), **options)


@pytest.fixture(scope="module")
def measured() -> np.ndarray:
    """One row of `FIGURES` per phantom."""
    return np.array([figures(phantom(1024, seed)) for seed in SEEDS])


def test_a_seed_repeats_a_phantom_and_another_does_not() -> None:
    assert np.array_equal(phantom(256, 3), phantom(256, 3))
    # Two patients differ by far more than any texture does.
    assert np.abs(phantom(256, 3) - phantom(256, 4)).mean() > 8


def test_mottle_is_noise_of_about_one_grey_level_around_the_same_patient() -> None:
    grain = phantom(512, 3) - phantom(512, 3, mottle=False)
    assert 0.5 < grain[100:400, 100:400].std() < 1.5
    assert abs(grain.mean()) < 0.02


def test_global_random_state_is_neither_read_nor_changed() -> None:
    state = np.random.get_state()[1]  # noqa: NPY002
    phantom(64)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@settings(max_examples=8)
@given(st.integers(16, 300), st.integers(16, 300), st.integers(0, 2**32 - 1))
def test_any_size_is_finite_and_in_range(height: int, width: int, seed: int) -> None:
    grey = phantom((height, width), seed, nodules=1, tubes=True)
    assert grey.shape == (height, width)
    assert grey.dtype == np.float32
    assert np.isfinite(grey).all()
    assert grey.min() >= 0
    assert grey.max() <= 255
    assert grey.std() > 5


@pytest.mark.parametrize("size", [15, (16, 15), (0, 100)])
def test_sizes_that_show_nothing_are_refused(size: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 16 pixels"):
        phantom(size)


def test_fewer_than_no_nodules_are_refused() -> None:
    with pytest.raises(ValueError, match="0 nodules or more"):
        phantom(64, nodules=-1)


def halved(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    return grey.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


@pytest.mark.parametrize(("size", "most"), [(1024, 2.5), (512, 3.0), (256, 1e-4)])
def test_one_seed_at_two_sizes_is_one_patient(size: int, most: float) -> None:
    """Root mean square difference in grey levels; 1.25 to 2.03 were measured, nearly all of it at edges.

    Films below 256 pixels are averaged from a larger one, so they agree exactly. Two patients differ by 50.
    """
    for seed in (1, 4):
        difference = halved(phantom(size, seed)) - phantom(size // 2, seed)
        assert np.sqrt((difference**2).mean()) < most
        assert abs(difference.mean()) < 0.25


def test_a_film_that_is_not_square_shows_the_middle() -> None:
    square = phantom(256, 5, marker=False)
    # Scatter from outside the film is missing near its edges: 0.36 and 0.47 grey levels were measured.
    wide = np.abs(phantom((128, 256), 5, marker=False) - square[64:192])
    tall = np.abs(phantom((256, 128), 5, marker=False) - square[:, 64:192])
    assert max(wide.mean(), tall.mean()) < 0.7
    assert max(wide[60:68].mean(), tall[:, 60:68].mean()) < 0.02


def test_options_add_what_they_say_and_leave_the_patient_alone() -> None:
    plain = phantom(512, 6, marker=False)
    for option, brighter, touched in (({"nodules": 4}, 2.0, 0.08), ({"tubes": True}, 8.0, 0.12)):
        change = phantom(512, 6, marker=False, **option) - plain
        assert change.max() > brighter
        # What is dense only brightens; scatter and edge enhancement may darken what is beside it a little.
        assert change.min() > -0.4 * change.max()
        assert 0.0002 < (np.abs(change) > 1).mean() < touched
    change = phantom(512, 6, marker=True) - plain
    assert change.max() > 60
    assert (np.abs(change) > 1).mean() < 0.02
    rows, cols = np.nonzero(np.abs(change) > 20)
    assert rows.max() < 200
    assert (abs(cols - 256) > 128).all()


def test_more_nodules_are_more() -> None:
    plain = phantom(256, 6)
    few, many = (np.abs(phantom(256, 6, nodules=n) - plain).sum() for n in (1, 8))
    assert many > 2 * few > 0


def test_a_phantom_looks_like_a_chest() -> None:
    """Lungs are darker than the mediastinum and the abdomen, and the open beam is black."""
    for seed in SEEDS:
        grey = phantom(256, seed, marker=False)
        right, middle, left = grey[128, 60:95].mean(), grey[128, 122:134].mean(), grey[128, 168:196].mean()
        abdomen = grey[215:235, 70:190].mean()
        assert max(right, left) < 0.85 * middle
        assert max(right, left) < 0.85 * abdomen
        assert grey.min() < 30


def test_figures_lie_within_the_spread_of_radiographs(measured: np.ndarray) -> None:
    for index, name in enumerate(FIGURES[:3]):
        low, high = SPREAD[name]
        assert low <= measured[:, index].min(), name
        assert measured[:, index].max() <= high, name
    assert measured[:, 0].std() > 8  # patients differ in exposure and build (24 grey levels among radiographs)


def test_nlm_gains_as_much_as_on_radiographs(measured: np.ndarray) -> None:
    assert measured[:, 3].mean() == pytest.approx(NLM_GAIN_DB, abs=1.0)


def test_a_phantom_without_texture_is_caught() -> None:
    """The two tests above can fail: smoothing away the fine texture is seen in both figures."""
    smooth = figures(gaussian_filter(phantom(1024, 0), 3.0))
    assert not SPREAD["slope of the power spectrum"][0] <= smooth[2]
    assert smooth[3] > NLM_GAIN_DB + 1.0


def test_the_written_figures_are_those_of_the_validation_images(radiographs: Path) -> None:
    rows = np.array([figures(image.grey) for image in image_set(radiographs / "val").open()])
    for index, name in enumerate(FIGURES[:3]):
        assert SPREAD[name] == pytest.approx((rows[:, index].min(), rows[:, index].max()), abs=0.06)
    assert rows[:, 3].mean() == pytest.approx(NLM_GAIN_DB, abs=0.02)


@given(st.integers(8, 16))
def test_bits_span_black_to_white_and_lose_half_a_step_at_most(bits: int) -> None:
    white = 2**bits - 1
    grey = np.linspace(0, 255, 1001)
    stored = to_bits(grey, bits)
    assert stored.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert (stored[0], stored[-1]) == (0, white)
    assert np.abs(stored * (255 / white) - grey).max() <= 0.5 * 255 / white + 1e-9
    assert to_bits(np.array([-3.0, 300.0]), bits).tolist() == [0, white]


@pytest.mark.parametrize("bits", [7, 17])
def test_other_bit_depths_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="8 to 16 bits"):
        to_bits(np.zeros((2, 2)), bits)


def test_the_figures_of_phantoms_are_tabled_and_drawn() -> None:
    rng = np.random.default_rng(0)
    sets = {"a": [rng.uniform(0, 255, (64, 64)).astype(np.float32) for _ in range(2)]}
    text = table({"a": [(1.0, 2.0, -3.0, 4.0), (3.0, 2.0, -3.0, 4.0)]})
    assert "| mean grey level | 1.00 .. 2.00 .. 3.00 (sd 1.00) |" in text
    assert "\N{MINUS SIGN}3.00" in text
    assert draw(sets).startswith(b"\x89PNG")


def test_white_noise_has_a_flat_spectrum_of_its_variance() -> None:
    """Rings of 8 cycles and more hold at least 40 coefficients."""
    power = power_spectrum(np.random.default_rng(0).normal(0, 3.0, (256, 256)))[1]
    assert power[8:].mean() == pytest.approx(9.0, rel=0.03)
