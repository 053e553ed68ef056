"""Plots say what the numbers say, and the same numbers give the same bytes."""

import math
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from xray_denoise.reports import plots, training_plots
from xray_denoise.reports.plots import Growth, Timing
from xray_denoise.reports.spectrum import radial_power, spectrum
from xray_denoise.reports.tables import Column, Row, Table
from xray_denoise.reports.training_plots import History

SVG = "{http://www.w3.org/2000/svg}"
LEVELS = (Column(0.4, 5), Column(0.4, 10), Column(0.8, 5), Column())


def table(*rows: Row) -> Table:
    return Table("PSNR, dB", "How near.", LEVELS, rows, 2)


def texts(svg: bytes) -> list[str]:
    return ["".join(found.itertext()) for found in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314


def white(shape: tuple[int, int] = (256, 256), sigma: float = 12.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, sigma, shape).astype(np.float32)


def test_every_method_and_level_is_named() -> None:
    rows = (
        Row("X-BDCNN", (40.0, 39.0, 41.0, 40.0)),
        Row("paper: X-BDCNN", (40.2, 39.8, None, None), quoted=True),
        Row("BM3D: not installed", (None,) * 4),
    )
    shown = texts(plots.psnr_by_level(table(*rows)))
    assert {"X-BDCNN", "paper: X-BDCNN", "PSNR, dB"} <= set(shown)
    assert "BM3D: not installed" not in shown
    assert sum("0.4" in text for text in shown) == 2
    assert "mean" not in shown


TIMED = (
    Timing("noisy", "", (0.0001, 0.0001, 0.0002), 22.4),
    Timing("TV", "", (0.2, 0.1, 0.3), 38.0),
    Timing("$lite$, fp32", "fp32", (0.3, 0.2, 0.4), 40.0),
    Timing("$lite$, bf16", "bf16", (0.1, 0.1, 0.1), 40.0),
    Timing("not measured", "", None),
)
GROWN = (
    Growth("lite", (2**18, 2**20), ((0.1, 0.1, 0.2), (0.4, 0.3, 0.5)), 1.0, 4e-7),
    Growth("$x$", (2**18, 2**20), ((0.1, 0.1, 0.2), None), None, 4e-7),
)
PATCHES = np.geomspace(100, 70_000, 30)


def history(floor: float = 0.009, scale: float = 0.2, exponent: float = 0.4) -> History:
    """A root mean squared error that falls to a floor as a power of the patches."""
    return History("net", PATCHES, -20 * np.log10(floor + scale * PATCHES**-exponent))


def test_every_row_with_a_time_and_a_psnr_is_shown_or_named() -> None:
    shown = texts(plots.psnr_by_time(TIMED))
    assert {"TV", "$lite$, fp32", "$lite$, bf16", "not shown: noisy (22.4 dB)"} <= set(shown)
    assert not {"noisy", "not measured"} & set(shown)


def test_every_growth_has_its_exponent() -> None:
    assert {"lite, exponent 1.00", "$x$"} <= set(texts(plots.time_by_pixels(GROWN)))


def test_a_run_without_a_result_can_be_drawn_too() -> None:
    assert plots.psnr_by_time(TIMED[-1:]).startswith(b"<?xml")
    nothing = Growth("lite", (2**18,), (None,), None, None)
    assert plots.time_by_pixels([nothing]).startswith(b"<?xml")


def test_titles_are_no_formulas() -> None:
    assert "$x^$" in texts(plots.psnr_by_level(table(Row("$x^$", (40.0, 39.0, 41.0, 40.0)))))


def test_a_quoted_row_looks_like_ours_and_no_two_of_ours_alike() -> None:
    ours = [Row(f"m{number}", ()) for number in range(20)]
    rows = [Row("paper: X", (), quoted=True), Row("paper: M3", (), quoted=True), Row("X (rebuilt)", ()), *ours]
    looks = plots.looks_of(rows)
    assert looks["paper: X"] == looks["X (rebuilt)"]
    assert looks["paper: M3"] == looks["m3"]
    assert len({looks[row.title] for row in rows if not row.quoted}) == 21


def test_what_lies_far_below_has_a_panel_of_its_own() -> None:
    noisy, better, best = Row("noisy", (22.0, 21.0)), Row("TV", (37.0, 36.0)), Row("X", (40.0, None))
    assert plots._parts([noisy, better, best]) == [[better, best], [noisy]]
    assert plots._parts([best, better]) == [[best, better]]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: spectrum(white()),
        lambda: plots.psnr_by_level(table(Row("a", (1.0, 2.0, None, 4.0)))),
        lambda: plots.psnr_by_level(table()),
        lambda: plots.psnr_by_time(TIMED),
        lambda: plots.time_by_pixels(GROWN),
        lambda: training_plots.learning_curves([history()], 9e6),
        lambda: training_plots.training_history(
            [{"step": 1, "loss": 0.5, "lr": 1e-3}, {"step": 2, "loss": 0.4, "lr": 1e-3, "val_psnr": 30}]
        ),
    ],
)
def test_the_same_numbers_give_the_same_bytes_and_no_setting_stays(draw: object) -> None:
    before = dict(mpl.rcParams)
    assert callable(draw)
    assert draw() == draw()
    assert dict(mpl.rcParams) == before


def test_a_power_law_with_a_floor_is_the_lower_end() -> None:
    ahead = np.array([1e6, 9e6])
    found = training_plots.extrapolated(history(), ahead)
    assert found is not None
    low, high = found
    assert low == pytest.approx(-20 * np.log10(0.009 + 0.2 * ahead**-0.4), abs=0.01)
    assert (high > low).all()


def test_a_power_law_without_a_floor_is_continued_by_both() -> None:
    found = training_plots.extrapolated(history(floor=0.0), np.array([9e6]))
    assert found is not None
    for end in found:
        assert end[0] == pytest.approx(-20 * math.log10(0.2 * 9e6**-0.4), abs=0.05)


def test_noise_on_the_curve_moves_its_end_little() -> None:
    """0.01 dB of noise on each of 30 values; five seeds."""
    true = -20 * math.log10(0.009 + 0.2 * 9e6**-0.4)
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(0, 0.01, PATCHES.size)
        found = training_plots.extrapolated(History("net", PATCHES, history().psnr + noise), np.array([9e6]))
        assert found is not None
        assert found[0][0] == pytest.approx(true, abs=0.3)


def test_too_few_values_are_not_extrapolated() -> None:
    assert training_plots.extrapolated(History("net", [10, 100, 1000], [30, 31, 32]), np.array([1e4])) is None
    assert training_plots.extrapolated(History("net", [], []), np.array([1e4])) is None


def test_learning_curves_name_every_network_and_label_what_was_not_measured() -> None:
    short = History("$few$", [10, 100], [30.0, 31.0])
    shown = texts(training_plots.learning_curves([history(), short], 9e6))
    ends = training_plots.extrapolated(history(), np.array([9e6]))
    assert ends is not None
    assert {"net", "$few$", f"net, extrapolated: {ends[0][0]:.1f} to {ends[1][0]:.1f} dB"} <= set(shown)
    assert "dashed: extrapolation by power laws of the error, not measured" in shown
    assert not any(text.startswith("$few$, extrapolated") for text in shown)
    assert not any("extrapolated:" in text for text in texts(training_plots.learning_curves([history()], 70_000)))


def test_white_noise_is_flat_at_its_variance() -> None:
    """A ring of n coefficients has a mean power of v with a standard deviation of v sqrt(2 / n) at most, as a real
    image's are pairs of equals and neighbours are bound by the window, which widens that by sqrt(1.5) in each
    direction; rings beyond the 8th hold 40 coefficients and more."""
    sigma = 12.0
    frequency, power = radial_power(white((256, 256), sigma))
    assert power[8:] == pytest.approx(sigma**2, rel=5 * 1.5 * math.sqrt(2 / 40))
    assert power.mean() == pytest.approx(sigma**2, rel=0.1)
    assert (frequency > 0).all()
    assert (frequency < 0.5).all()


def test_structure_rises_at_its_own_frequency() -> None:
    wave = 20 * np.sin(2 * np.pi * 0.1 * np.arange(256))
    frequency, power = radial_power(white() + np.tile(wave, (256, 1)).astype(np.float32))
    assert frequency[np.argmax(power)] == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5)])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_nothing_removed_can_be_drawn_too(shape: tuple[int, int], value: float) -> None:
    assert spectrum(np.full(shape, value, np.float32)).startswith(b"<?xml")
