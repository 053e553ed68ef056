"""A result as tables: for the terminal, as Markdown, CSV and JSON; nothing is computed here."""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

MISSING = "-"
"""Shown where there is no value."""
RECORD = ("quantity", "method", "source", "eta", "sigma", "value", "std", "half_width_95")
"""What `records` says of every value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method in one table: a value for each column, None where there is nothing to show.

    `spreads` are the standard deviations behind the values and `margins` half of their 95 % intervals, or nothing.
    A `quoted` row has another work's own numbers, printed beside ours.
    """

    title: str
    values: tuple[float | None, ...]
    quoted: bool = False
    spreads: tuple[float | None, ...] = ()
    margins: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of numbers: a noise level, a quantity of its own, or, with neither, the mean over those before it.

    The `title` is the quantity and, after a comma, its unit. `digits` behind the decimal point count before those of
    the table, and `significant` digits, for values of many sizes, before both; they cut none before the point.
    """

    eta: float | None = None
    sigma: float | None = None
    title: str = ""
    digits: int | None = None
    significant: int | None = None

    @property
    def lines(self) -> tuple[str, str]:
        """The two lines of its header."""
        if self.title:
            first, _, second = self.title.partition(", ")
            return first, second
        if self.eta is None or self.sigma is None:
            return "mean", ""
        return f"{self.eta:g}", f"{self.sigma:g}"


@dataclass(frozen=True, slots=True)
class Table:
    """One quantity of every method at every noise level, or several quantities of every method.

    The `title` is the quantity and its unit, the `definition` says what the numbers are, and `digits` is how many are
    shown behind the decimal point; CSV has all of them.
    """

    title: str
    definition: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    digits: int


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one run; `facts` are pairs of a name and a value: what was run on what."""

    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


def renderable(report: Report) -> RenderableType:
    """`report` for a terminal of at least 100 columns."""
    parts: list[RenderableType] = [Text(report.title, style="bold")]
    parts += [Text(f"{name}: {value}") for name, value in report.facts]
    for table in report.tables:
        parts += [Text(), _rich_table(table), Text(f"  {table.definition}", style="dim")]
    parts += [Text(), *(Text(f"* {note}") for note in report.notes)]
    return Group(*parts)


def markdown(report: Report) -> str:
    """`report` as a Markdown document of sections of the second level; standard deviations in parentheses."""
    lines = [f"# {report.title}", ""]
    lines += [f"- {name}: {value}" for name, value in report.facts]
    for table in report.tables:
        head = [corner(table), *(" / ".join(filter(None, column.lines)) for column in table.columns)]
        lines += ["", f"## {table.title}", "", table.definition, ""]
        lines += [_markdown_row(head), _markdown_row(["---", *["---:"] * len(table.columns)])]
        for row in table.rows:
            title = f"*{row.title}*" if row.quoted else row.title
            lines.append(_markdown_row([title, *texts(row, table, spreads=True)]))
    if report.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def csv_text(report: Report) -> str:
    """The numbers of `report` as CSV, one on each line, with the keys of `records`; missing values are left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, RECORD, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records(report))
    return text.getvalue()


def json_text(report: Report) -> str:
    """`report` as one JSON object: title, facts, values (the list `records`), definitions, notes."""
    content = {
        "title": report.title,
        "facts": dict(report.facts),
        "values": [{name: _finite(value) for name, value in record.items()} for record in records(report)],
        "definitions": {table.title: table.definition for table in report.tables},
        "notes": report.notes,
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def records(report: Report) -> Iterator[dict[str, str | float | None]]:
    """One record for each value: quantity, method, source (ours, quoted), eta, sigma, value, std, half_width_95."""
    for table in report.tables:
        for row in table.rows:
            source = "quoted" if row.quoted else "ours"
            for column, value, spread, margin in _cells(row, table):
                if value is not None:
                    quantity = f"{table.title}: {column.title}" if column.title else table.title
                    cell = (quantity, row.title, source, column.eta, column.sigma, value, spread, margin)
                    yield dict(zip(RECORD, cell, strict=True))


def corner(table: Table) -> str:
    """The header of the column with the titles of the rows."""
    return "eta / sigma" if any(column.eta is not None for column in table.columns) else "method"


def texts(row: Row, table: Table, *, spreads: bool = False) -> list[str]:
    """The cells of a row as they are shown: the value, ± half of its interval, and its spread in parentheses.

    Args:
        row: one of the rows of `table`.
        table: says how many digits are shown.
        spreads: whether to show the standard deviations.
    """
    shown = []
    for column, value, spread, margin in _cells(row, table):
        digits = _digits(value, column, table)
        text = MISSING if value is None else f"{value:.{digits}f}"
        text += "" if margin is None else f" ±{margin:.{digits}f}"
        text += "" if spread is None or not spreads else f" ({spread:.{digits}f})"
        shown.append(text)
    return shown


def _digits(value: float | None, column: Column, table: Table) -> int:
    """How many digits of a value are shown behind the decimal point."""
    if column.significant and value and math.isfinite(value):
        return max(0, column.significant - 1 - math.floor(math.log10(abs(value))))
    return table.digits if column.digits is None else column.digits


def _cells(row: Row, table: Table) -> Iterator[tuple[Column, float | None, float | None, float | None]]:
    none = (None,) * len(row.values)
    return zip(table.columns, row.values, row.spreads or none, row.margins or none, strict=True)


def _finite(value: str | float | None) -> str | float | None:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _rich_table(table: Table) -> RichTable:
    heading = Text(table.title, style="bold")
    shown = RichTable(title=heading, title_justify="left", title_style="", box=None, padding=(0, 1, 0, 0))
    roomy = not any(column.eta is not None for column in table.columns)
    shown.add_column(corner(table).replace(" / ", "\n"), overflow="fold", max_width=26)
    for column in table.columns:
        shown.add_column("\n".join(column.lines), justify="right", no_wrap=True)
    for row in table.rows:
        cells = [text.replace(" ", "\n", 1) for text in texts(row, table, spreads=roomy)]
        shown.add_row(Text(row.title), *map(Text, cells), style="dim" if row.quoted else "")
    return shown


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
