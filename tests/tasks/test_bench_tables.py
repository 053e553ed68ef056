"""Means, standard deviations and paired intervals are what their definitions say, and stand where they belong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from xray_denoise.denoisers import Denoised
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports.paper import Run
from xray_denoise.reports.tables import Row, Table, texts
from xray_denoise.tasks.bench import cases, levels, report
from xray_denoise.tasks.bench.log import Measurement
from xray_denoise.tasks.bench.rows import Entry
from xray_denoise.tasks.bench.summary import Results, margin, spread

CELLS = [(level.eta, level.sigma) for level in cases.TABLE_2]
RUN = Run((("images", "2"),), images=2)


@dataclass
class Named:
    """A denoiser that is never called."""

    name: str

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        raise AssertionError(f"called with {noisy.shape}, {level}")


NOISY, OURS = Entry("noisy", Named("noisy")), Entry("X-BDCNN", Named("x-bdcnn"))
DNCNN = Entry("DnCNN", Named("dncnn"))


def measured(
    method: str, cell: tuple[float, float], image: int, psnr: float, level: NoiseLevel | None = None
) -> Measurement:
    return Measurement(method, *cell, f"image {image}", psnr, psnr - 4, psnr / 50, psnr / 49, 0.5, level)


def table_2(done: Sequence[Measurement], entries: Sequence[Entry], run: Run = RUN) -> dict[str, Table]:
    return {table.title: table for table in report.table_2(Results(done), entries, run).tables}


def row(table: Table, title: str) -> Row:
    return next(one for one in table.rows if one.title == title)


def test_means_are_over_images_and_then_over_levels() -> None:
    done = [measured("noisy", cell, image, 20 + i + image) for i, cell in enumerate(CELLS) for image in (0, 2)]
    found = report.table_2(Results(done), [NOISY], RUN)
    psnr, snr, ssim, ssim_paper, seconds = (table.rows[0].values for table in found.tables)
    assert psnr == pytest.approx((21, 22, 23, 24, 25, 26, 27, 28, 29, 25))
    assert snr == pytest.approx([value - 4 for value in psnr if value])
    assert ssim == pytest.approx([value / 50 for value in psnr if value])
    assert ssim_paper == pytest.approx([value / 49 for value in psnr if value])
    assert seconds == (0.5,) * 10
    assert found.facts == RUN.facts
    assert not any("not complete" in note for note in found.notes)


def test_the_nine_columns_are_those_of_table_2() -> None:
    heads = [(column.eta, column.sigma) for column in table_2([], [NOISY])["PSNR, dB"].columns]
    assert heads == [*((e, s) for e in (0.4, 0.6, 0.8) for s in (5, 10, 15)), (None, None)]


def test_what_is_missing_has_no_mean() -> None:
    done = [measured("noisy", cell, 0, 20.0) for cell in CELLS[:5]]
    found = report.table_2(Results(done), [NOISY], Run((), complete=False))
    assert found.tables[0].rows[0].values == (20.0,) * 5 + (None,) * 5
    assert any("not complete" in note for note in found.notes)


def test_the_papers_row_stands_below_the_first_of_ours() -> None:
    told = Entry("X-BDCNN (true level)", Named("x-bdcnn"), oracle=True)
    rows = table_2([], [NOISY, OURS, told, Entry("TV", Named("tv"))])["PSNR, dB"].rows
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


def test_other_levels_have_no_numbers_of_the_paper() -> None:
    some = [NoiseLevel(0.4, 5.0), NoiseLevel(2.0, 1.0)]
    assert report.table_2(Results([]), [NOISY], RUN, levels=some).tables[0].rows[1].values == (22.5162, None, None)


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


@pytest.mark.parametrize("entries", [[DNCNN, OURS], [DNCNN]], ids=["one image", "no reference"])
def test_no_differences_without_a_second_image_or_a_reference(entries: list[Entry]) -> None:
    images = range(1 if OURS in entries else 3)
    done = [measured(entry.title, cell, image, 30.0) for entry in entries for cell in CELLS for image in images]
    assert not any("Difference" in title for title in table_2(done, entries))


def test_only_images_that_both_have_are_compared() -> None:
    done = [measured("X-BDCNN", cell, image, 30.0 + image) for image in range(4) for cell in CELLS]
    done += [measured("DnCNN", cell, image, 29.0 + image) for image in range(3) for cell in CELLS]
    done = [one for one in done if (one.method, one.image, one.eta) != ("DnCNN", "image 0", 0.8)]
    gaps = row(table_2(done, [DNCNN, OURS])["Difference to X-BDCNN, PSNR, dB"], "DnCNN")
    assert gaps.values == pytest.approx([-1.0] * 10)
    assert len(Results(done).differences("DnCNN", "X-BDCNN", "psnr", CELLS)) == 2


def test_infinite_values_have_no_spread() -> None:
    assert spread([1.0, float("inf")]) is None
    assert margin([float("inf"), 1.0]) is None
    assert spread([1.0]) is None


def patches(method: str, offsets: Sequence[float]) -> list[Measurement]:
    """Four patches of each image, the same for every method but for an offset that is the image's own."""
    return [
        measured(method, (0.5 + patch, 3.0 * patch), image, 30.0 + image + 5 * patch + offset)
        for image, offset in enumerate(offsets)
        for patch in range(4)
    ]


def test_table_1_takes_the_image_for_the_independent_unit() -> None:
    offsets = (-0.5, -0.4, -0.3)
    done = [*patches("X-BDCNN", (0, 0, 0)), *patches("DnCNN", offsets)]
    means, gaps = report.table_1(Results(done), [NOISY, DNCNN, OURS], Run((), images=3)).tables
    assert [column.title for column in means.columns] == ["SNR, dB", "PSNR, dB", "SSIM", "SSIM (paper)", "seconds"]
    psnr = [one.psnr for one in done if one.method == "DnCNN"]
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
    run = Run((), absent=(("BM3D", "pip install this"), ("GAT + BM3D", "pip install this")))
    for found in (report.table_2(Results([]), [NOISY], run), report.table_1(Results([]), [NOISY], run)):
        assert "BM3D: not installed" in [one.title for one in found.tables[0].rows]
        notes = [note for note in found.notes if "pip install this" in note]
        assert notes == ["Not installed: BM3D, GAT + BM3D. To measure them: pip install this"]


def test_a_planted_bias_of_the_level_is_found() -> None:
    """1/eta 20 % too large and sigma 2 too small, but where the sign alternates between images."""
    found = []
    for image in range(4):
        sign = 1 if image % 2 else -1
        for eta, sigma in CELLS:
            found.append(measured("steady", (eta, sigma), image, 30, NoiseLevel(eta / 1.2, sigma - 2)))
            found.append(measured("wavering", (eta, sigma), image, 30, NoiseLevel(eta, sigma + 2 * sign)))
    table = levels.noise_level(
        Results(found), [Entry(name, Named(name)) for name in ("steady", "wavering")], RUN
    ).tables[0]
    heads = [column.title for column in table.columns]
    assert heads == [
        "1/eta bias, %", "1/eta error, %", "sigma bias, grey", "sigma error, grey", "total bias, %", "total error, %",
    ]  # fmt: skip
    steady, wavering = (row(table, name) for name in ("steady", "wavering"))
    assert steady.values[:4] == pytest.approx([20, 20, -2, 2])
    assert wavering.values[:4] == pytest.approx([0, 0, 0, 2], abs=1e-9)
    ratios = [((127.5 * 1.2 / e + (s - 2) ** 2) / (127.5 / e + s**2)) ** 0.5 for e, s in CELLS]
    assert steady.values[4] == pytest.approx(100 * (np.mean(ratios) - 1))
    assert steady.spreads == pytest.approx([0] * 6, abs=1e-9)
    assert wavering.spreads[2] == pytest.approx(np.std([-2, 2, -2, 2], ddof=1))
    assert texts(steady, table, spreads=True)[:2] == ["20.00 (0.00)", "20.00 (0.00)"]


def test_versions_are_named() -> None:
    for name in ("xray-denoise 0", "Python 3", "numpy ", "scikit-image "):
        assert name in report.versions()
