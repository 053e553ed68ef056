"""What a chain draws is what its profile says, stage by stage and for each named detector."""

import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.spectra import band_errors, expected_periodogram, periodogram, variance_error
from xray_denoise.physics.chain import Chain, light_spread
from xray_denoise.physics.detectors import DETECTORS, detector, detector_profile
from xray_denoise.physics.lookup_table import LookUpTable
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import NoiseProfile, band_means
from xray_denoise.scale import MID_GREY

TABLES = [
    LookUpTable(curve, negative, latitude=3.0, contrast=contrast)
    for curve, negative, contrast in itertools.product(("raw", "square root", "logarithm"), (False, True), (0.0, 4.0))
]
GREY = np.linspace(0, 255, 511)
SHAPE = (192, 160)
DRAWS = 30


def flat_fields(chain: Chain, grey: float, draws: int = DRAWS) -> NDArray[np.float64]:
    """(N, H, W), noise of exposures of a flat field; each with the pattern of another detector."""
    clean = np.full(SHAPE, grey)
    chains = [replace(chain, pattern_seed=seed) for seed in range(draws)]
    return np.stack([one.expose(clean, np.random.default_rng(seed)) - clean for seed, one in enumerate(chains)])


# -- look-up tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_table_is_the_inverse_of_its_inverse(table: LookUpTable) -> None:
    exposure = table.exposure(GREY)
    np.testing.assert_allclose(table.grey(exposure), GREY, atol=1e-9)
    assert exposure.min() >= 0
    assert exposure.max() == pytest.approx(table.full)
    assert (np.diff(exposure) < 0).all() if table.negative else (np.diff(exposure) > 0).all()


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_the_slope_of_a_table_is_its_derivative(table: LookUpTable) -> None:
    """A central difference over a step h is wrong by h^2 T''' / 6, here less than a hundred-thousandth."""
    exposure = table.exposure(GREY[10:-10])
    step = exposure * 1e-4
    numeric = (table.grey(exposure + step) - table.grey(exposure - step)) / (2 * step)
    np.testing.assert_allclose(table.slope(exposure), np.abs(numeric), rtol=1e-5)


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_table_saturates(table: LookUpTable) -> None:
    ends = table.grey(np.array([-1e9, 0.0, table.full, 1e9]))
    np.testing.assert_allclose(ends, [255, 255, 0, 0] if table.negative else [0, 0, 255, 255], atol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [{"curve": "cubic"}, {"latitude": 0}, {"latitude": math.nan}, {"contrast": -1}, {"full": 0}, {"full": math.inf}],
)
def test_an_impossible_table_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="look-up table"):
        LookUpTable(**wrong)  # type: ignore[arg-type]


# -- drawing ------------------------------------------------------------------------------------------------------


def test_the_model_of_the_paper_is_a_chain() -> None:
    """Draw for draw the same, few photons and saturation included."""
    clean = np.random.default_rng(0).uniform(0, 255, (200, 200))
    paper = Chain(LookUpTable(full=255.0), gain=1 / 0.5, electronics=9.0)
    ours = paper.expose(clean, np.random.default_rng(1))
    theirs = add_noise(clean, NoiseLevel(0.5, 9.0), np.random.default_rng(1))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    deviation = np.sqrt(NoiseLevel(0.5, 9.0).variance(GREY))
    np.testing.assert_allclose(paper.profile().deviation_at(GREY), deviation, rtol=1e-12)


def test_a_few_photons_are_counted_one_by_one() -> None:
    """Three photons a pixel: the counts follow Poisson's distribution; five standard errors for each count."""
    chain = Chain(LookUpTable(full=255.0), gain=10.0)
    noisy = chain.expose(np.full((400, 400), 30.0), np.random.default_rng(0))
    counts = np.rint(noisy / 10).astype(int)
    np.testing.assert_allclose(noisy, counts * 10, atol=1e-4)
    for count in range(8):
        share = math.exp(-3) * 3**count / math.factorial(count)
        assert (counts == count).mean() == pytest.approx(share, abs=5 * math.sqrt(share / counts.size))


def test_spread_light_of_few_photons_is_never_negative_and_has_the_variance_of_its_gain() -> None:
    """K sum(h^2) s, exactly, at two photons a pixel; the excess kurtosis of Poisson noise is at most 1 / 2."""
    spread = light_spread(0.7)
    chain = Chain(LookUpTable(full=255.0), gain=10.0, spread=spread)
    noise = flat_fields(chain, 20.0)
    assert noise.min() >= -20 - 1e-4
    power = expected_periodogram(spread, SHAPE)
    error = 5 * (variance_error(power, noise.size) + math.sqrt(0.5 / noise.size))
    assert (noise**2).mean() == pytest.approx(10 * (spread**2).sum() * 20, rel=error)
    assert noise.mean() == pytest.approx(0, abs=5 * math.sqrt(10 * 20 / noise.size))


def test_dark_and_bright_sides_of_an_edge_keep_their_means_and_deviations() -> None:
    chain = Chain(LookUpTable(full=255.0), gain=0.5, spread=light_spread(0.6), electronics=0.5)
    clean = np.where(np.arange(SHAPE[1]) < 80, 60.0, 180.0) + np.zeros((SHAPE[0], 1))
    noise = np.stack([chain.expose(clean, np.random.default_rng(seed)) - clean for seed in range(DRAWS)])
    power = expected_periodogram(chain.profile().kernel, SHAPE)
    for columns, grey in ((slice(0, 77), 60.0), (slice(83, None), 180.0)):
        side = noise[:, :, columns]
        variance = chain.variances(np.array(grey)).sum()
        assert side.var() == pytest.approx(variance, rel=5 * variance_error(power, side.size))
        assert side.mean() == pytest.approx(0, abs=5 * math.sqrt(variance * power.max() / side.size))


def test_the_pattern_is_the_same_in_each_exposure_of_one_detector() -> None:
    """With p s = 2 and e = 2 the correlation of two exposures is a half, of two detectors 0."""
    chain = Chain(LookUpTable(full=255.0), gain=0, electronics=2.0, structure=0.02, grain=light_spread(0.5))
    clean = np.full((300, 300), 100.0)
    other = replace(chain, pattern_seed=1)
    first, second, third = (
        (one.expose(clean, np.random.default_rng(seed)) - clean).ravel()
        for seed, one in enumerate((chain, chain, other))
    )
    power = expected_periodogram(chain.profile().kernel, SHAPE)
    error = 5 * variance_error(power, first.size)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.5, abs=error)
    assert np.corrcoef(first, third)[0, 1] == pytest.approx(0.0, abs=error)
    many = np.mean([chain.expose(clean, np.random.default_rng(seed)) for seed in range(100)], axis=0)
    assert many.std() == pytest.approx(math.sqrt(2**2 + 2**2 / 100), rel=error), "averaging leaves the pattern"


def test_the_pattern_is_proportional_to_the_exposure_of_each_pixel() -> None:
    chain = Chain(LookUpTable(full=255.0), gain=0, structure=0.02)
    clean = np.where(np.arange(200) < 100, 50.0, 200.0) + np.zeros((300, 1))
    relative = (chain.expose(clean, np.random.default_rng(0)) - clean) / clean
    for half in (relative[:, :100], relative[:, 100:]):
        assert half.std() == pytest.approx(0.02, rel=5 / math.sqrt(2 * half.size))


def test_a_chain_without_noise_changes_nothing() -> None:
    clean = np.random.default_rng(0).uniform(0, 255, (40, 50))
    chain = replace(detector("processed", 0.0), resampling=0.7)
    np.testing.assert_allclose(chain.expose(clean, np.random.default_rng(0)), clean, atol=1e-4)
    assert chain.profile().deviation_at(GREY).max() == 0
    assert chain.profile().kernel.shape == (1, 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5)])
@pytest.mark.parametrize("factor", [0.25, 1.0, 1.7])
def test_any_size_comes_back_as_it_went_in(shape: tuple[int, int], factor: float) -> None:
    chain = replace(detector("processed", 5.0, bits=8), resampling=factor)
    noisy = chain.expose(np.full(shape, 100.0), np.random.default_rng(0))
    assert noisy.shape == shape
    assert noisy.dtype == np.float32
    np.testing.assert_array_equal(noisy, np.rint(noisy))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_results_are_whole_numbers_of_their_bits_within_the_range(bits: int) -> None:
    noisy = detector("white", 20.0, bits=bits).expose(np.full((50, 50), 250.0), np.random.default_rng(0))
    stored = noisy.astype(np.float64) * (2**bits - 1) / 255
    np.testing.assert_allclose(stored, np.rint(stored), atol=2**bits * 2**-24)
    assert noisy.max() == 255


@pytest.mark.parametrize("clean", [np.full((2, 2), math.nan), [[-0.1]], [[255.1]], [1.0, 2.0], np.empty((0, 3))])
def test_an_impossible_clean_image_is_refused(clean: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="noise-free"):
        Chain().expose(clean, np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"gain": -1},
        {"gain": math.nan},
        {"gain": 1e-20},
        {"electronics": math.inf},
        {"structure": 1.5},
        {"spread": np.ones((2, 3))},
        {"spread": np.ones(3)},
        {"spread": np.ones((65, 65))},
        {"spread": -np.ones((3, 3))},
        {"grain": np.zeros((3, 3))},
        {"grain": np.full((1, 1), math.nan)},
        {"sharpening": 11},
        {"sharpening_width": 0},
        {"resampling": 0.1},
        {"resampling": math.nan},
        {"bits": 7},
    ],
)
def test_an_impossible_chain_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"chain|enhancement|bits"):
        Chain(**wrong)  # type: ignore[arg-type]


# -- profiles -----------------------------------------------------------------------------------------------------

SPREAD = light_spread(0.7)
LOGARITHM = LookUpTable("logarithm", negative=True)
STAGES = {
    "quanta": Chain(LookUpTable(), gain=2.0),
    "quanta, spread": Chain(LookUpTable(), gain=4.0, spread=SPREAD),
    "electronics": Chain(LookUpTable(), gain=0.0, electronics=60.0),
    "structure": Chain(LookUpTable(), gain=0.0, structure=0.01, grain=SPREAD),
    "square root": Chain(LookUpTable("square root"), gain=0.2, spread=SPREAD, electronics=8.0),
    "logarithm": Chain(LOGARITHM, gain=1.0, spread=SPREAD, electronics=20.0),
    "tone curve": Chain(LookUpTable("logarithm", contrast=4.0), gain=1.0, electronics=20.0),
    "sharpened": Chain(LOGARITHM, gain=1.0, spread=SPREAD, electronics=10.0, sharpening=2.0, sharpening_width=1.5),
    "shrunk": Chain(LOGARITHM, gain=1.0, spread=SPREAD, electronics=10.0, resampling=0.4),
    "shrunk a little": Chain(LOGARITHM, gain=1.0, electronics=10.0, resampling=0.77),
    "enlarged": Chain(LOGARITHM, gain=1.0, spread=SPREAD, electronics=10.0, resampling=1.5),
    "all": Chain(LOGARITHM, 1.0, SPREAD, 10.0, 0.005, SPREAD, 0, 1.5, 2.0, 1.3, 8),
} | {name: detector(name, 1.0) for name in DETECTORS}


@pytest.mark.parametrize("grey", [45.0, MID_GREY, 210.0])
@pytest.mark.parametrize("stage", STAGES)
def test_draws_have_the_deviation_and_the_spectrum_of_the_profile(stage: str, grey: float) -> None:
    """Within five standard errors, and what the first order leaves out.

    The variance of T(s + n) differs from T'^2 var(n) by terms in (T'' / T')^2 var(n) and T''' / T' var(n): at most
    ten times var(n) / s^2 for these tables. The kernel of a profile lacks a millionth of its energy, which changes
    a band by up to 0.3 %.
    """
    chain = STAGES[stage]
    told = chain.profile(spectrum_at=grey)
    noise = flat_fields(chain, grey) / told.deviation_at(grey)
    power = expected_periodogram(told.kernel, SHAPE)
    signal = chain.table.exposure(np.array(grey))
    curvature = 10 * float(chain.variances(signal).sum() / signal**2)
    assert curvature < 0.01
    assert noise.var() == pytest.approx(1.0, rel=5 * variance_error(power, noise.size) + curvature)
    got, wanted = band_means(periodogram(noise)), band_means(power)
    assert (np.abs(got - wanted) < 5 * band_errors(power, DRAWS) + (curvature + 0.003) * wanted).all()


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("quanta, spread", {"gain": 4.2}),
        ("quanta, spread", {"spread": light_spread(0.72)}),
        ("logarithm", {"electronics": 26.0}),
        ("sharpened", {"sharpening": 2.1}),
        ("sharpened", {"sharpening_width": 1.7}),
        ("enlarged", {"resampling": 1.45}),
    ],
)
def test_a_chain_slightly_different_would_be_caught(stage: str, change: dict[str, object]) -> None:
    """The tolerances of the test above are less than what such changes make, at one grey level at least."""
    caught = []
    for grey in (45.0, MID_GREY, 210.0):
        told = STAGES[stage].profile(grey)
        other = replace(STAGES[stage], **change).profile(grey)  # type: ignore[arg-type]
        ratio = float((other.deviation_at(grey) / told.deviation_at(grey)) ** 2)
        power, changed = (expected_periodogram(one.kernel, SHAPE) for one in (told, other))
        variance = 10 * variance_error(power, DRAWS * power.size) + 0.01
        bands = 10 * band_errors(power, DRAWS) + 0.013 * band_means(power)
        caught += [abs(ratio - 1) > variance, (np.abs(band_means(changed) * ratio - band_means(power)) > bands).any()]
    assert any(caught)


@pytest.mark.parametrize(("gain", "width"), [(0.7, 1.5), (3.0, 2.5)])
def test_an_edge_enhancement_multiplies_the_spectrum_by_its_transfer_function(gain: float, width: float) -> None:
    """(1 + a (1 - exp(-2 pi^2 w^2 u^2)))^2 for a Gaussian of w pixels; a sampled one, cut off at 4 w, is 0.1 % away."""
    chain = Chain(LookUpTable(full=255.0), gain=0, electronics=1.0, sharpening=gain, sharpening_width=width)
    told = chain.profile()
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    transfer = 1 + gain * (1 - np.exp(-2 * (math.pi * width * radius) ** 2))
    spectrum = told.spectrum((64, 64)) * float(told.deviation_at(MID_GREY)) ** 2
    np.testing.assert_allclose(np.sqrt(spectrum), transfer, atol=0.02)
    assert told.deviation_at(MID_GREY) ** 2 == pytest.approx((transfer**2).mean(), rel=2e-3)


def test_between_its_knots_a_profile_is_as_exact_as_at_them() -> None:
    """The deviation of a detector is smooth: linear interpolation of the variance is wrong by less than 0.5 %."""
    grey = np.linspace(10, 245, 1000)
    for name in DETECTORS:
        chain = detector(name, 2.0)
        signal = chain.table.exposure(grey)
        variance = chain.table.slope(signal) ** 2 * np.tensordot(chain.energies(), chain.variances(signal), axes=1)
        np.testing.assert_allclose(chain.profile().deviation_at(grey), np.sqrt(variance), rtol=5e-3)


def test_a_profile_stays_finite_where_no_photon_arrives() -> None:
    for table in TABLES:
        told = Chain(table, gain=50.0, electronics=100.0).profile()
        assert np.isfinite(told.deviation).all()
        assert told.deviation.max() < 255


# -- named detectors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("deviation", [0.2, 1.0, 4.0, 50.0])
def test_a_detector_has_the_deviation_that_is_asked_for(name: str, deviation: float) -> None:
    told = detector_profile(name, deviation)
    assert told.deviation_at(MID_GREY) == pytest.approx(deviation, rel=1e-9)
    assert detector(name, deviation).structure <= 0.015
    assert detector(name, deviation, bits=8).bits == 8


def lags(told: NoiseProfile) -> tuple[float, float]:
    return told.correlation(1, 0), told.correlation(0, 1)


def test_detectors_lie_in_the_ranges_that_are_known_of_real_ones() -> None:
    """Correlations of neighbours and tails as docs/noise.md states them."""
    told = {name: detector_profile(name, 2.0) for name in DETECTORS}
    assert lags(told["white"]) == (0, 0)
    assert 0.1 < min(lags(told["selenium"])) <= max(lags(told["selenium"])) < 0.2
    assert 0.3 < min(lags(told["csi"])) <= max(lags(told["csi"])) < 0.5
    assert 0.7 < lags(told["csi"])[0] / lags(told["csi"])[1] < 1
    assert 0.05 < told["csi"].correlation(0, 5) < told["csi"].correlation(0, 3) < 0.1
    assert told["csi"].correlation(0, 10) > 0.02
    assert 0.4 < min(lags(told["cr"])) <= max(lags(told["cr"])) < 0.7
    assert told["processed"].correlation(0, 3) < -0.02, "an edge enhancement undershoots"
    for name in ("csi", "cr", "processed"):
        chain = detector(name, 2.0)
        dense = chain.variances(chain.table.exposure(np.array(255.0)))
        assert dense[1] / dense.sum() < 0.5, "electronics where the fewest photons arrive"


def test_more_dose_makes_structure_the_larger_share() -> None:
    """p of 1.5 % is 0.015 * 255 / 3.5 = 1.09 grey levels of a plate with a latitude of 3.5: no dose goes below it."""
    weak, strong = detector("cr", 1.0), detector("cr", 16.0)
    share = [chain.variances(chain.table.exposure(np.array(MID_GREY))) for chain in (weak, strong)]
    assert share[0][2] / share[0].sum() == pytest.approx(0.25)
    assert share[1][2] / share[1].sum() < 0.01
    assert strong.structure == 0.015


@pytest.mark.parametrize("deviation", [-1.0, 51.0, math.nan, math.inf])
def test_an_impossible_deviation_is_refused(deviation: float) -> None:
    with pytest.raises(ValueError, match="0 to 50"):
        detector("csi", deviation)


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="white, selenium, csi, cr, processed"):
        detector_profile("film", 1.0)


@pytest.mark.parametrize(("core", "tail"), [(0.5, 0.0), (0.8, 0.5)])
def test_a_light_spread_sums_to_one(core: float, tail: float) -> None:
    spread = light_spread(core, tail, ratio=1.2)
    assert spread.sum() == pytest.approx(1)
    assert (
        spread[spread.shape[0] // 2 + 1, spread.shape[1] // 2] < spread[spread.shape[0] // 2, spread.shape[1] // 2 + 1]
    )


# -- docs/noise.md ------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "noise.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DETECTORS)
def test_the_table_of_named_detectors_says_what_they_are(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \| (\d\.\d\d, .*) \|$", PAGE, flags=re.MULTILINE)
    stated = [float(number) for number in re.split(r", | \| ", row)]
    told = detector_profile(name, 2.0)
    correlations = [told.correlation(*lag) for lag in ((0, 1), (1, 0), (0, 2), (0, 5), (0, 10))]
    assert stated == pytest.approx([*told.deviation_at([30, 225]), *correlations, *told.band_powers()], abs=0.0051)


def test_the_example_of_a_file_is_a_profile() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)
    told = NoiseProfile.from_json(example)
    assert told.deviation_at(MID_GREY) == 2
    assert json.loads(told.to_json()) == json.loads(example)


def test_the_spectrum_changes_with_the_grey_level_as_much_as_is_said() -> None:
    """Up to 60 % in the highest band, up to 28 % in the others, at grey levels 40 and 215."""
    changes = np.array(
        [
            detector(name, 2.0).profile(grey).band_powers() / detector_profile(name, 2.0).band_powers() - 1
            for name in DETECTORS
            for grey in (40.0, 215.0)
        ]
    )
    assert np.abs(changes[:, 3]).max() == pytest.approx(0.60, abs=0.01)
    assert np.abs(changes[:, :3]).max() == pytest.approx(0.28, abs=0.01)


def test_strong_noise_before_a_logarithm_shifts_the_mean_as_much_as_is_said() -> None:
    """30 draws of a deviation of 14 with a power of 8 at zero frequency know the mean to 0.04."""
    assert flat_fields(detector("cr", 8.0), 215.0).mean() == pytest.approx(1.5, abs=0.2)
