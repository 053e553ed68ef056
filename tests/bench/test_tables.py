"""Means, standard deviations and paired intervals are what their definitions say, and stand where they belong."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from xray_denoise.bench import cases, paper, table
from xray_denoise.bench.figure import FIGURES
from xray_denoise.bench.metrics import METRICS
from xray_denoise.bench.pivot import Results, margin, spread
from xray_denoise.bench.plan import versions
from xray_denoise.bench.records import Record
from xray_denoise.bench.rows import Row
from xray_denoise.bench.table import Run
from xray_denoise.bench.tables import TABLES
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports import tables as layout
from xray_denoise.reports.tables import Table, texts

CELLS = [(level.eta, level.sigma) for level in cases.TABLE_2]
Cell = tuple[float, float]


@dataclass
class Named(Denoiser):
    """A denoiser that is never called."""

    name: str = "named"

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        raise AssertionError(f"called with {noisy.shape}, {level}")


def row_of(title: str, name: str, *, oracle: bool = False) -> Row:
    return Row(title, name, lambda: Named(name), oracle)


NOISY, OURS, DNCNN = row_of("noisy", "noisy"), row_of("X-BDCNN", "x-bdcnn"), row_of("DnCNN", "dncnn")


def measured(row: str, cell: Cell, image: int, psnr: float, **values: float) -> Record:
    quality = {"psnr": psnr, "snr": psnr - 4, "ssim": psnr / 50, "ssim_paper": psnr / 49, "seconds": 0.5}
    return Record(row, f"image {image}", cases.label(NoiseLevel(*cell)), values=quality | values)


def made(name: str, done: Sequence[Record], rows: Sequence[Row], **more: object) -> layout.Report:
    run = Run(Results(done), rows, len({one.image for one in done}), **more)
    return table.report(TABLES[name], run, [("seed", "0")])


def table_2(done: Sequence[Record], rows: Sequence[Row]) -> dict[str, Table]:
    return {table.title: table for table in made("2", done, rows).tables}


def row(table: Table, title: str) -> layout.Row:
    return next(one for one in table.rows if one.title == title)


def test_means_are_over_images_and_then_over_levels() -> None:
    done = [measured("noisy", cell, image, 20 + i + image) for i, cell in enumerate(CELLS) for image in (0, 2)]
    found = made("2", done, [NOISY])
    psnr, snr, ssim, ssim_paper, seconds = (table.rows[0].values for table in found.tables)
    assert psnr == pytest.approx((21, 22, 23, 24, 25, 26, 27, 28, 29, 25))
    assert snr == pytest.approx([value - 4 for value in psnr if value])
    assert ssim == pytest.approx([value / 50 for value in psnr if value])
    assert ssim_paper == pytest.approx([value / 49 for value in psnr if value])
    assert seconds == (0.5,) * 10
    assert found.facts == (("seed", "0"),)
    assert not any("not complete" in note for note in found.notes)


def test_the_nine_columns_are_those_of_table_2() -> None:
    heads = [(column.eta, column.sigma) for column in table_2([], [NOISY])["PSNR, dB"].columns]
    assert heads == [*((e, s) for e in (0.4, 0.6, 0.8) for s in (5, 10, 15)), (None, None)]


def test_what_is_missing_has_no_mean() -> None:
    done = [measured("noisy", cell, 0, 20.0) for cell in CELLS[:5]]
    found = made("2", done, [NOISY], complete=False)
    assert found.tables[0].rows[0].values == (20.0,) * 5 + (None,) * 5
    assert any("not complete" in note for note in found.notes)


def test_the_papers_row_stands_below_the_first_of_ours() -> None:
    told = row_of("X-BDCNN (true level)", "x-bdcnn", oracle=True)
    rows = table_2([], [NOISY, OURS, told, row_of("TV", "tv")])["PSNR, dB"].rows
    assert [one.title for one in rows] == [
        "noisy",
        "paper: noisy",
        "X-BDCNN",
        "paper: X-BDCNN",
        "X-BDCNN (true level)",
        "TV",
        "paper: DnCNN",
        "paper: X-ReCNN",
    ]
    assert [one.quoted for one in rows] == [one.title.startswith("paper") for one in rows]


def test_some_levels_have_a_mean_of_their_own_and_other_metrics_no_numbers() -> None:
    assert paper.table_2("psnr", [(0.4, 5.0), (0.6, 10.0)])["noisy"] == pytest.approx((22.5162, 23.0213, 22.76875))
    assert paper.table_2("ssim", CELLS) == {}


def test_a_quick_run_is_headed_as_one() -> None:
    report = made("2", [], [NOISY], quick=True)
    assert report.title.startswith("Quick run")
    assert len(report.tables[0].columns) == 4
    assert made("2", [], [NOISY]).title == "Table II of the X-BDCNN paper"


def test_spreads_and_intervals_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    ours, other = rng.normal(40, 2, (6, 9)), rng.normal(39, 2, (6, 9))
    done = [measured("X-BDCNN", cell, image, ours[image, i]) for i, cell in enumerate(CELLS) for image in range(6)]
    done += [measured("DnCNN", cell, image, other[image, i]) for i, cell in enumerate(CELLS) for image in range(6)]
    found = table_2(done, [DNCNN, OURS])
    assert row(found["PSNR, dB"], "DnCNN").spreads == pytest.approx(
        [*other.std(axis=0, ddof=1), other.mean(axis=1).std(ddof=1)]
    )
    gaps = row(found["Difference to X-BDCNN, PSNR, dB"], "DnCNN")
    differences = np.column_stack([other - ours, (other - ours).mean(axis=1)])
    for column in range(10):
        interval = stats.ttest_rel(*(np.column_stack([x, x.mean(axis=1)])[:, column] for x in (other, ours)))
        low, high = interval.confidence_interval(0.95)
        assert gaps.values[column] == pytest.approx((low + high) / 2)
        assert gaps.values[column] == pytest.approx(differences[:, column].mean())
        assert gaps.margins[column] == pytest.approx((high - low) / 2)


def test_a_planted_difference_is_found_whatever_the_images() -> None:
    """Pairing takes out what the images have in common: the differences are 0.3 dB, give or take 0.01."""
    done = []
    for image, hardness in enumerate((30.0, 38.0, 46.0)):
        for cell in CELLS:
            done.append(measured("X-BDCNN", cell, image, hardness))
            done.append(measured("DnCNN", cell, image, hardness - 0.3 + 0.01 * (image - 1)))
    gaps = row(table_2(done, [DNCNN, OURS])["Difference to X-BDCNN, PSNR, dB"], "DnCNN")
    assert gaps.values == pytest.approx([-0.3] * 10)
    assert gaps.margins == pytest.approx([4.302652729911275 * 0.01 / 3**0.5] * 10), "t of two degrees of freedom"


@pytest.mark.parametrize("rows", [[DNCNN, OURS], [DNCNN]], ids=["one image", "no reference"])
def test_no_differences_without_a_second_image_or_a_reference(rows: list[Row]) -> None:
    images = range(1 if OURS in rows else 3)
    done = [measured(one.title, cell, image, 30.0) for one in rows for cell in CELLS for image in images]
    assert not any("Difference" in title for title in table_2(done, rows))


def test_only_images_that_both_have_are_compared() -> None:
    done = [measured("X-BDCNN", cell, image, 30.0 + image) for image in range(4) for cell in CELLS]
    done += [measured("DnCNN", cell, image, 29.0 + image) for image in range(3) for cell in CELLS]
    done = [one for one in done if (one.row, one.image, one.noise[:7]) != ("DnCNN", "image 0", "eta 0.8")]
    gaps = row(table_2(done, [DNCNN, OURS])["Difference to X-BDCNN, PSNR, dB"], "DnCNN")
    assert gaps.values == pytest.approx([-1.0] * 10)
    labels = [cases.label(level) for level in cases.TABLE_2]
    assert len(Results(done).differences("DnCNN", "X-BDCNN", "psnr", labels)) == 2


def test_infinite_values_have_no_spread() -> None:
    assert spread([1.0, float("inf")]) is None
    assert margin([float("inf"), 1.0]) is None
    assert spread([1.0]) is None


def patches(method: str, offsets: Sequence[float]) -> list[Record]:
    """Four patches of each image, the same for every method but for an offset that is the image's own."""
    return [
        measured(method, (0.5 + patch, 3.0 * patch), image, 30.0 + image + 5 * patch + offset)
        for image, offset in enumerate(offsets)
        for patch in range(4)
    ]


def test_table_1_takes_the_image_for_the_independent_unit() -> None:
    offsets = (-0.5, -0.4, -0.3)
    done = [*patches("X-BDCNN", (0, 0, 0)), *patches("DnCNN", offsets)]
    means, gaps = made("1", done, [NOISY, DNCNN, OURS]).tables
    assert [column.title for column in means.columns] == ["SNR, dB", "PSNR, dB", "SSIM", "SSIM (paper)", "seconds"]
    psnr = [one.values["psnr"] for one in done if one.row == "DnCNN"]
    assert row(means, "DnCNN").values[1] == pytest.approx(np.mean(psnr))
    assert row(means, "DnCNN").spreads[1] == pytest.approx(np.std(psnr, ddof=1)), "over patches"
    assert row(means, "paper: DnCNN").values == (None, 40.38, None, None, None)
    assert [one.title for one in means.rows][-1] == "paper: X-BDCNN without SSIM"
    gap = row(gaps, "DnCNN")
    low, high = stats.t.interval(0.95, 2, np.mean(offsets), stats.sem(offsets))
    assert gap.values[0] == pytest.approx(-0.4)
    assert gap.margins[0] == pytest.approx((high - low) / 2)
    assert gap.values[1] == pytest.approx(-0.4 / 50)
    assert "n = 3 images" in gaps.definition


def test_rows_that_lack_a_package_are_shown_with_how_to_install_it() -> None:
    absent = dict.fromkeys(["BM3D", "GAT + BM3D"], "pip install this")
    for name in ("1", "2"):
        found = made(name, [], [NOISY], absent=absent)
        notes = [note for note in found.notes if "pip install this" in note]
        assert notes == ["Not installed: BM3D, GAT + BM3D. To measure them: pip install this"]


def test_a_planted_bias_of_the_level_is_found() -> None:
    """A steady error, and one whose sign alternates between images."""
    found = []
    for image in range(4):
        sign = 1 if image % 2 else -1
        for cell in CELLS:
            steady = {"inverse_eta_error": 20.0, "sigma_error": -2.0, "total_error": 3.0}
            wavering = {"inverse_eta_error": 0.0, "sigma_error": 2.0 * sign, "total_error": 0.0}
            found += [measured("steady", cell, image, 30, **steady), measured("wavering", cell, image, 30, **wavering)]
    (table,) = made("noise-level", found, [row_of(name, name) for name in ("steady", "wavering")]).tables
    heads = [column.title for column in table.columns]
    assert heads == [
        "1/eta bias, %", "1/eta error, %", "sigma bias, grey", "sigma error, grey", "total bias, %", "total error, %",
    ]  # fmt: skip
    steady, wavering = (row(table, name) for name in ("steady", "wavering"))
    assert steady.values == pytest.approx([20, 20, -2, 2, 3, 3])
    assert wavering.values[:4] == pytest.approx([0, 0, 0, 2], abs=1e-9)
    assert steady.spreads == pytest.approx([0] * 6, abs=1e-9)
    assert wavering.spreads[2] == pytest.approx(np.std([-2, 2, -2, 2], ddof=1))
    assert texts(steady, table, spreads=True)[:2] == ["20.00 (0.00)", "20.00 (0.00)"]


def test_every_table_names_metrics_that_exist() -> None:
    for spec in TABLES.values():
        assert set(spec.metrics) <= METRICS.keys()
        for quick in (True, False):
            image = cases.CleanImage("image", np.full((150, 150), 99.0, np.float32))
            assert list(spec.cases(image, 0, quick))


def test_help_names_every_table_and_figure() -> None:
    command = importlib.import_module("xray_denoise.cli.bench")
    assert all(f"{name}:" in command.TABLE for name in TABLES)
    assert all(name in command.FIGURE for name in FIGURES)


def test_versions_are_named() -> None:
    for name in ("xray-denoise 0", "Python 3", "numpy ", "scikit-image "):
        assert name in versions()
