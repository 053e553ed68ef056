"""Tables fit the terminal, say the same in every format, and quote the paper as it is."""

import csv
import io

import pytest
from rich.console import Console

from xray_denoise.reports import paper
from xray_denoise.reports.tables import Column, Report, Row, Table, csv_text, markdown, renderable

COLUMNS = (Column(0.4, 5.0), Column(0.8, 15.0), Column())
TABLE = Table(
    "PSNR, dB",
    "How near.",
    COLUMNS,
    (Row("ours | mine", (40.125, None, None)), Row("paper: X", (1.5, 2.0, 1.75), quoted=True)),
    digits=2,
)
REPORT = Report("A title", (("images", "ten"),), (TABLE,), ("A note.",))


def printed(report: Report, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=False)
    console.print(renderable(report))
    return console.export_text()


def long_report() -> Report:
    """Make every method as long as they come, with the longest numbers."""
    methods = [
        paper.Method(title, name, dict.fromkeys(paper.QUANTITIES, (worst,) * 9))
        for title, name, worst in (
            ("noisy", "noisy", 22.5),
            ("X-ReCNN (reconstructed)", "x-recnn", 0.1234),
            ("GAT + BM3D (estimated level)", "gat-bm3d", 140.123),
        )
    ]
    return paper.table_2(methods, paper.CELLS, [("device", "some processor " * 12)])


def test_nine_levels_fit_a_hundred_columns() -> None:
    text = printed(long_report())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "…" not in text
    assert text.count("140.12 140.12 140.12 140.12 140.12 140.12 140.12 140.12 140.12 140.12") == 2
    assert text.count("140.123 140.123 140.123 140.123 140.123 140.123 140.123 140.123 140.123") == 1


def test_the_terminal_shows_everything() -> None:
    text = printed(REPORT)
    for part in ("A title", "images: ten", "PSNR, dB", "How near.", "A note.", "ours | mine", "mean"):
        assert part in text
    row = next(line for line in text.splitlines() if line.startswith("ours"))
    assert row.split()[-3:] == ["40.12", "-", "-"]


def test_square_brackets_are_no_markup() -> None:
    report = Report("[b]T[/b]", (("d", "[red]x"),), (Table("[i]", "[u]", (), (Row("[x]", ()),), 1),), ("[n]",))
    text = printed(report)
    for part in ("[b]T[/b]", "[red]x", "[i]", "[u]", "[x]", "[n]"):
        assert part in text


def test_markdown_has_a_cell_for_every_value() -> None:
    text = markdown(REPORT)
    rows = [line.replace(r"\|", "!") for line in text.splitlines() if line.startswith("|")]
    assert rows == [
        "| eta / sigma | 0.4 / 5 | 0.8 / 15 | mean |",
        "| --- | ---: | ---: | ---: |",
        "| ours ! mine | 40.12 | - | - |",
        "| *paper: X* | 1.50 | 2.00 | 1.75 |",
    ]
    assert text.startswith("# A title\n\n- images: ten\n\n## PSNR, dB\n\nHow near.\n\n|")
    assert text.endswith("## Notes\n\n- A note.\n")


def test_csv_has_every_digit_and_no_missing_value() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(REPORT))))
    assert [(row["method"], row["source"], row["eta"], row["sigma"], float(row["value"])) for row in rows] == [
        ("ours | mine", "ours", "0.4", "5.0", 40.125),
        ("paper: X", "quoted", "0.4", "5.0", 1.5),
        ("paper: X", "quoted", "0.8", "15.0", 2.0),
        ("paper: X", "quoted", "", "", 1.75),
    ]
    assert {row["quantity"] for row in rows} == {"PSNR, dB"}


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
    psnr, snr, *others = paper.table_2([], paper.CELLS, []).tables
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
    assert "swapped" in printed(long_report())
    assert "swapped" in markdown(long_report())
