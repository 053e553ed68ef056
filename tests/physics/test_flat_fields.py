"""Total, temporal and fixed-pattern noise, defects, and the fit of variance against signal."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise.physics.chain import Chain, light_spread
from xray_denoise.physics.flat_fields import FieldSeries, FieldStatistics, unevenness
from xray_denoise.physics.lookup_table import LookUpTable
from xray_denoise.physics.photon_transfer import PhotonTransfer, fit

Values = NDArray[np.float64]

FRAMES = Path(__file__).resolve().parents[3] / "shared" / "real" / "repeated_frames.npz"
FULL = 16383.0
CHAIN = Chain(
    LookUpTable(full=FULL),
    gain=2.0,
    spread=light_spread(0.6),
    electronics=6.0,
    structure=0.008,
    grain=light_spread(0.7),
)
DOSES = (30, 100, 300, 1000, 3000, 8000, 14000)


def frame(dose: float, seed: int, side: int = 256) -> Values:
    """A flat field of `CHAIN`, DN."""
    return CHAIN.expose(np.full((side, side), dose * 255 / FULL), np.random.default_rng((int(dose), seed))) * (
        FULL / 255
    )


def measured(frames: list[Values], offset: float | None = 0.0) -> FieldStatistics:
    series = FieldSeries(offset=offset)
    for one in frames:
        series.add(one)
    return series.result()


@pytest.fixture(scope="module")
def doses() -> list[FieldStatistics]:
    return [measured([frame(dose, seed) for seed in range(2)]) for dose in DOSES]


def assert_parts(found: PhotonTransfer, structure: float, pattern_error: float) -> None:
    quantum = CHAIN.gain * float((CHAIN.spread**2).sum())
    for part, truth, more in (
        (found.electronic, 36.0, 0.0),
        (found.quantum, quantum, 0.0),
        (found.structural, structure**2, pattern_error * structure**2),
    ):
        assert part.value == pytest.approx(truth, abs=4 * math.hypot(part.error, more))


def test_a_chain_gives_back_its_three_parts(doses: list[FieldStatistics]) -> None:
    """Total variance; all doses share one pattern, whose variance is that of so many independent pixels."""
    signal = [one.mean for one in doses]
    found = fit(signal, [one.total.value for one in doses], [one.total.error for one in doses])
    grain = np.abs(np.fft.fft2(CHAIN.grain, (256, 256))) ** 2
    pattern_error = math.sqrt(2 * (grain**2).mean() / grain.mean() ** 2 / 256**2)
    assert_parts(found, CHAIN.structure, pattern_error)
    assert found.electronic_deviation.value == pytest.approx(6, abs=0.15)
    assert found.quantum.value == pytest.approx(0.491, rel=0.03)
    assert found.structural_amplitude.value == pytest.approx(0.008, rel=0.03)
    assert found.chi_square / found.degrees < 5
    np.testing.assert_allclose(found.variance(signal), CHAIN.variances(np.array(signal)).sum(axis=0), rtol=0.04)
    low, high = found.quantum_limited()
    assert low == pytest.approx(36 / 0.491, rel=0.05)
    assert high == pytest.approx(0.491 / 0.008**2, rel=0.08)


def test_temporal_noise_has_no_structural_part(doses: list[FieldStatistics]) -> None:
    temporal = [one.temporal for one in doses if one.temporal]
    found = fit([one.mean for one in doses], [one.value for one in temporal], [one.error for one in temporal])
    assert_parts(found, 0.0, 0.0)
    for one in doses[4:]:
        assert one.fixed is not None
        assert math.sqrt(one.fixed.value) / one.mean == pytest.approx(0.008, rel=0.05)


def test_one_frame_has_no_temporal_noise() -> None:
    found = measured([frame(1000, 0)])
    assert found.temporal is None
    assert found.fixed is None
    assert found.temporal_power is None
    assert math.isnan(found.drift)
    assert found.total.value == pytest.approx(CHAIN.variances(np.array(1000.0)).sum(), rel=0.05)


def test_drift_is_no_part_of_the_variances() -> None:
    rng = np.random.default_rng(0)
    found = measured([rng.normal(1000 + 20 * number, 5, (128, 128)) for number in range(4)])
    assert found.drift == pytest.approx(20 * math.sqrt(5 / 3), rel=0.02)
    assert found.temporal is not None
    assert found.temporal.value == pytest.approx(25, abs=4 * found.temporal.error)


def test_errors_are_the_spread_of_repetitions() -> None:
    """Of 24 series with correlated noise; the deviation of 24 values is known to 15 %."""
    rng = np.random.default_rng(1)
    chain = Chain(LookUpTable(full=FULL), gain=2.0, spread=light_spread(0.8))
    clean = np.full((128, 128), 5000 * 255 / FULL)
    found = [measured([chain.expose(clean, rng) * (FULL / 255) for _ in range(2)]) for _ in range(24)]
    totals = [one.total for one in found]
    error = np.mean([one.error for one in totals])
    assert np.std([one.value for one in totals], ddof=1) == pytest.approx(error, rel=4 * 0.15)


def test_defects_are_found_and_do_not_count_as_noise() -> None:
    rng = np.random.default_rng(2)
    frames = [np.rint(rng.normal(1000, 10, (200, 220))) for _ in range(7)]
    for one in frames:
        one[10, 20] = 0
        one[30, 40:42] = 5000
        one[50, 60] += 150
        one[70, 80] = 1010
    found = measured(frames)
    assert found.defects.dead.tolist() == [[10, 20]]
    assert found.defects.bright.tolist() == [[30, 40], [30, 41]]
    assert found.defects.deviating.tolist() == [[50, 60]]
    assert {tuple(place) for place in found.defects.stuck.tolist()} == {(10, 20), (30, 40), (30, 41), (70, 80)}
    assert found.defects.count == 5
    assert found.total.value == pytest.approx(100 + 1 / 12, abs=4 * found.total.error)
    assert found.mean == pytest.approx(1000, abs=0.1)


def test_no_defect_is_found_where_there_is_none() -> None:
    rng = np.random.default_rng(3)
    found = measured([np.rint(rng.normal(1000, 6, (300, 300))) for _ in range(3)])
    assert found.defects.count == 0, "three rounded values are equal by chance in one pixel of four hundred"


def test_a_radiograph_is_uneven_and_a_flat_field_with_a_heel_is_not() -> None:
    line = np.linspace(-1, 1, 256)
    heel = frame(3000, 0) * (1 + 0.2 * line[None] + 0.1 * line[:, None] ** 2)
    assert unevenness(heel).to_noise < 0.5
    steps = frame(3000, 0) + 500 * (np.arange(256) % 64 > 32)
    assert unevenness(steps).to_noise > 2
    assert unevenness(steps).to_signal > 0.05


def test_what_is_refused() -> None:
    series = FieldSeries()
    with pytest.raises(ValueError, match="at least one frame"):
        series.result()
    series.add(np.ones((64, 64)))
    with pytest.raises(ValueError, match="one size"):
        series.add(np.ones((64, 65)))


@pytest.mark.parametrize(
    ("signal", "variance", "error", "message"),
    [
        ([1, 2], [1, 2], [1, 1], "three different"),
        ([1, 1.01, 2], [1, 1, 2], [1, 1, 1], "three different"),
        ([1, 2, 3], [1, 0, 2], [1, 1, 1], "above 0"),
        ([1, 2, 3], [1, 1, 2], [1, 1, 0], "above 0"),
        ([-1, 2, 3], [1, 1, 2], [1, 1, 1], "at least 0"),
        ([1, 2, 3], [1, 1], [1, 1], "for each"),
    ],
)
def test_impossible_fits_are_refused(
    signal: list[float], variance: list[float], error: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(signal, variance, error)


def test_the_fit_is_exact_without_noise_and_its_errors_are_the_spread_of_repetitions() -> None:
    signal = np.array([0, 50, 200, 1000, 5000, 20000.0])
    truth = 25 + 0.5 * signal + (0.01 * signal) ** 2
    exact = fit(signal, truth, 0.01 * truth)
    np.testing.assert_allclose([exact.electronic.value, exact.quantum.value, exact.structural.value], [25, 0.5, 1e-4])
    assert exact.chi_square == pytest.approx(0, abs=1e-9)
    rng = np.random.default_rng(4)
    draws = [fit(signal, truth * (1 + 0.02 * rng.standard_normal(6)), 0.02 * truth) for _ in range(300)]
    for name in ("electronic", "quantum", "structural"):
        values = np.array([getattr(one, name).value for one in draws])
        error = np.mean([getattr(one, name).error for one in draws])
        assert values.std() == pytest.approx(error, rel=4 / math.sqrt(600) + 0.02)
    assert np.mean([one.chi_square for one in draws]) == pytest.approx(3, abs=4 * math.sqrt(6 / 300))


def test_no_part_is_negative() -> None:
    signal = np.array([10, 100, 1000.0])
    found = fit(signal, 0.5 * signal - 1, 0.01 * signal)
    assert found.electronic.value == 0
    assert math.isnan(found.electronic_deviation.error)
    assert found.quantum_limited()[0] == 0


@pytest.mark.skipif(not FRAMES.exists(), reason="shared/real/repeated_frames.npz is not here")
def test_a_real_detector() -> None:
    """Flat and dark frames of a synchrotron camera, 2x640; its own figures are of differences of frames."""
    frames = np.load(FRAMES)
    dark = measured(list(frames["dark"]), None)
    assert dark.temporal is not None
    assert math.hypot(math.sqrt(dark.temporal.value), dark.drift) == pytest.approx(3.1, abs=0.1)
    flat = measured(list(frames["flat"]), dark.mean)
    assert flat.temporal is not None
    assert 0.58 < flat.temporal.value / (flat.mean - dark.mean) < 0.70
    assert flat.correlation.horizontal[1] == pytest.approx(0.11, abs=0.02)
    assert flat.fixed is not None
    assert flat.fixed.value > 10 * flat.temporal.value, "its fixed pattern is far stronger than the noise"
