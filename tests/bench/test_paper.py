"""The paper is quoted as it is, its swapped columns put right."""

import pytest

from xray_denoise.bench import paper, rows, table
from xray_denoise.bench.pivot import Results
from xray_denoise.bench.table import Run
from xray_denoise.bench.tables import TABLES
from xray_denoise.reports.tables import Report


def made(name: str) -> Report:
    return table.report(TABLES[name], Run(Results([]), []), [])


@pytest.mark.parametrize("name", ["dncnn", "x-recnn", "x-bdcnn"])
def test_the_papers_rows_are_plausible_once_unswapped(name: str) -> None:
    """Every PSNR falls with sigma, rises with eta, and lies far above the noisy one."""
    values = dict(zip(paper.CELLS, paper.TABLE_2_PSNR[name], strict=True))
    noisy = dict(zip(paper.CELLS, paper.TABLE_2_PSNR["noisy"], strict=True))
    for eta in (0.4, 0.6, 0.8):
        assert values[eta, 5.0] > values[eta, 10.0] > values[eta, 15.0]
    for sigma in (5.0, 10.0, 15.0):
        assert values[0.4, sigma] < values[0.6, sigma] < values[0.8, sigma]
    assert all(values[cell] > noisy[cell] + 10 for cell in paper.CELLS)


def test_cells_stand_where_the_paper_has_them() -> None:
    assert dict(zip(paper.CELLS, paper.TABLE_2_PSNR["x-bdcnn"], strict=True))[0.8, 5.0] == 41.2326
    assert dict(zip(paper.CELLS, paper.TABLE_2_PSNR["x-bdcnn"], strict=True))[0.4, 15.0] == 39.3198
    assert dict(zip(paper.CELLS, paper.TABLE_2_PSNR["noisy"], strict=True))[0.6, 10.0] == 23.0213


def test_the_papers_snr_is_its_psnr_less_a_constant() -> None:
    psnr, snr, *others = made("2").tables
    assert [row.title for row in psnr.rows] == [
        "paper: noisy",
        "paper: DnCNN",
        "paper: X-ReCNN",
        "paper: X-BDCNN",
    ]
    for left, right in zip(psnr.rows, snr.rows, strict=True):
        differences = [b - a for a, b in zip(left.values, right.values, strict=True) if a and b]
        assert differences == pytest.approx([-4.2829] * 10)
    assert all(not table.rows for table in others)


def test_the_notes_tell_of_the_swapped_columns() -> None:
    for found in (made("2"), made("1")):
        assert any("swapped" in note for note in found.notes)


def test_table_1_shows_every_row_of_the_paper() -> None:
    table = made("1").tables[0]
    values = {row.title: row.values[1] for row in table.rows}
    assert values == {
        "paper: noisy": 24.19,
        "paper: BM3D": 34.59,
        "paper: X-ReCNN": 38.49,
        "paper: DnCNN": 40.38,
        "paper: X-BDCNN without NLE": 40.96,
        "paper: X-BDCNN without SSIM": 41.00,
        "paper: X-BDCNN": 41.11,
    }
    assert all(row.quoted for row in table.rows)


def test_every_row_has_a_title() -> None:
    assert rows.title("gat-bm3d+level") == "GAT + BM3D (true level)"
    assert rows.title("ivst-bm3d+level") == "Iterative VST (true level)"
    assert rows.title("x-recnn") == "X-ReCNN (reconstructed)"
    assert rows.title("mine") == "mine"
    assert len({known.title for known in rows.KNOWN}) == len(rows.KNOWN)
