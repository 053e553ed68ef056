"""Tables fit the terminal, say the same in every format, and quote the paper as it is."""

import csv
import io
import json
import math

from rich.console import Console

from xray_denoise.reports.tables import (
    Column,
    Report,
    Row,
    Table,
    csv_text,
    json_text,
    markdown,
    renderable,
    texts,
)

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
    """Titles as long as they come, with the longest numbers at nine levels and in their differences."""
    levels = (*(Column(eta, sigma) for eta in (0.4, 0.6, 0.8) for sigma in (5.0, 10.0, 15.0)), Column())
    found, gaps = [], []
    for title, worst in (("noisy", 22.5), ("X-ReCNN (reconstructed)", 0.1234), ("GAT + BM3D (true level)", 140.123)):
        found.append(Row(title, (worst,) * 10, spreads=(12.345,) * 10))
        gaps.append(Row(title, (-worst,) * 10, margins=(12.345,) * 10))
    tables = [Table("PSNR, dB", "", levels, tuple(found), 2), Table("Difference, dB", "", levels, tuple(gaps), 2)]
    tables += [Table("SNR, dB", "", levels, tuple(found), 2), Table("Seconds", "", levels, tuple(found), 3)]
    return Report("Table II", (("device", "some processor " * 12),), tuple(tables), ("A note.",))


def test_nine_levels_fit_a_hundred_columns() -> None:
    text = printed(long_report())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "…" not in text
    assert text.count(" ".join(["140.12"] * 10)) == 2
    assert text.count(" ".join(["-140.12"] * 10)) == 1
    assert text.count(" ".join([" ±12.35"] * 10)) == 3, "below the differences"
    assert "(12.35)" not in text, "no room"
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


WIDE = Table(
    "Means",
    "Several quantities.",
    (Column(title="PSNR, dB"), Column(title="SSIM", digits=4)),
    (Row("a", (40.125, 0.98765), spreads=(1.5, None), margins=(None, 0.00321)), Row("b", (None, 0.5))),
    digits=1,
)


def test_columns_of_several_quantities_have_their_own_digits() -> None:
    text = markdown(Report("T", (), (WIDE,)))
    assert [line for line in text.splitlines() if line.startswith("|")] == [
        "| method | PSNR / dB | SSIM |",
        "| --- | ---: | ---: |",
        "| a | 40.1 (1.5) | 0.9877 ±0.0032 |",
        "| b | - | 0.5000 |",
    ]
    lines = [line.split() for line in printed(Report("T", (), (WIDE,))).splitlines()]
    at = lines.index(["a", "40.1", "0.9877"])
    assert lines[at + 1] == ["(1.5)", "±0.0032"]
    assert ["method", "dB"] in lines


def test_records_name_the_quantity_and_keep_what_is_uncertain() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(Report("T", (), (WIDE,))))))
    assert [tuple(one.values()) for one in rows] == [
        ("Means: PSNR, dB", "a", "ours", "", "", "40.125", "1.5", ""),
        ("Means: SSIM", "a", "ours", "", "", "0.98765", "", "0.00321"),
        ("Means: SSIM", "b", "ours", "", "", "0.5", "", ""),
    ]


def test_json_says_what_csv_says() -> None:
    report = Report("T", (("seed", "0"),), (WIDE, TABLE), ("A note.",))
    content = json.loads(json_text(report))
    assert (content["title"], content["facts"], content["notes"]) == ("T", {"seed": "0"}, ["A note."])
    assert content["definitions"] == {"Means": "Several quantities.", "PSNR, dB": "How near."}
    lines = csv.DictReader(io.StringIO(csv_text(report)))
    assert [
        {name: "" if value is None else str(value) for name, value in record.items()} for record in content["values"]
    ] == list(lines)


def test_an_infinite_value_is_valid_json() -> None:
    table = Table("PSNR, dB", "", (Column(),), (Row("perfect", (math.inf,)),), 2)
    assert json.loads(json_text(Report("T", (), (table,))))["values"][0]["value"] == "inf"


def test_values_of_many_sizes_show_as_many_digits() -> None:
    values = (0.0001234, 0.05, 1.0, 23.456, 98765.4, -0.5, 0.0, math.inf)
    table = Table("T", "", tuple(Column(title="t, s", significant=3) for _ in values), (Row("a", values),), 1)
    assert texts(table.rows[0], table) == ["0.000123", "0.0500", "1.00", "23.5", "98765", "-0.500", "0.0", "inf"]
