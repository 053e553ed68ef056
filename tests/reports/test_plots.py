"""Plots say what the numbers say, and the same numbers give the same bytes."""

import math
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from xray_denoise.reports import plots
from xray_denoise.reports.speed import Growth, Speed
from xray_denoise.reports.tables import Column, Row, Table

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
    Speed("noisy", (0.0001, 0.0001, 0.0002), psnr=22.4),
    Speed("TV", (0.2, 0.1, 0.3), psnr=38.0),
    Speed("$lite$, torch fp32", (0.3, 0.2, 0.4), psnr=40.0, way="torch fp32"),
    Speed("$lite$, openvino fp32", (0.1, 0.1, 0.1), psnr=40.0, way="openvino fp32"),
    Speed("not measured", None),
)
GROWN = (
    Growth("lite", (2**18, 2**20), ((0.1, 0.1, 0.2), (0.4, 0.3, 0.5)), (1.0, 2.0), 1.0, 4e-7),
    Growth("$x$", (2**18, 2**20), ((0.1, 0.1, 0.2), None), (1.0, None), None, 4e-7),
)


def test_every_row_with_a_time_and_a_psnr_is_shown_or_named() -> None:
    shown = texts(plots.psnr_by_time(TIMED))
    assert {"TV", "$lite$, torch fp32", "$lite$, openvino fp32", "not shown: noisy (22.4 dB)"} <= set(shown)
    assert not {"noisy", "not measured"} & set(shown)


def test_every_growth_has_its_exponent() -> None:
    assert {"lite, exponent 1.00", "$x$"} <= set(texts(plots.time_by_pixels(GROWN)))


def test_a_run_without_a_result_can_be_drawn_too() -> None:
    assert plots.psnr_by_time(TIMED[-1:]).startswith(b"<?xml")
    nothing = Growth("lite", (2**18,), (None,), (None,), None, None)
    assert plots.time_by_pixels([nothing]).startswith(b"<?xml")


def test_titles_are_no_formulas() -> None:
    assert "$x^$" in texts(plots.psnr_by_level(table(Row("$x^$", (40.0, 39.0, 41.0, 40.0)))))


def test_a_quoted_row_looks_like_ours_and_no_two_of_ours_alike() -> None:
    ours = [Row(f"m{number}", ()) for number in range(20)]
    rows = [Row("paper: X", (), quoted=True), Row("paper: M3", (), quoted=True), Row("X (rebuilt)", ()), *ours]
    looks = plots._looks(rows)
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
        lambda: plots.spectrum(white()),
        lambda: plots.psnr_by_level(table(Row("a", (1.0, 2.0, None, 4.0)))),
        lambda: plots.psnr_by_level(table()),
        lambda: plots.psnr_by_time(TIMED),
        lambda: plots.time_by_pixels(GROWN),
    ],
)
def test_the_same_numbers_give_the_same_bytes_and_no_setting_stays(draw: object) -> None:
    before = dict(mpl.rcParams)
    assert callable(draw)
    assert draw() == draw()
    assert dict(mpl.rcParams) == before


def test_white_noise_is_flat_at_its_variance() -> None:
    """A ring of n coefficients has a mean power of v with a standard deviation of v sqrt(2 / n) at most, as a real
    image's are pairs of equals and neighbours are bound by the window, which widens that by sqrt(1.5) in each
    direction; rings beyond the 8th hold 40 coefficients and more."""
    sigma = 12.0
    frequency, power = plots.radial_power(white((256, 256), sigma))
    assert power[8:] == pytest.approx(sigma**2, rel=5 * 1.5 * math.sqrt(2 / 40))
    assert power.mean() == pytest.approx(sigma**2, rel=0.1)
    assert (frequency > 0).all()
    assert (frequency < 0.5).all()


def test_structure_rises_at_its_own_frequency() -> None:
    wave = 20 * np.sin(2 * np.pi * 0.1 * np.arange(256))
    frequency, power = plots.radial_power(white() + np.tile(wave, (256, 1)).astype(np.float32))
    assert frequency[np.argmax(power)] == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5)])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_nothing_removed_can_be_drawn_too(shape: tuple[int, int], value: float) -> None:
    assert plots.spectrum(np.full(shape, value, np.float32)).startswith(b"<?xml")
