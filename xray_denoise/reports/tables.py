"""A result as tables: for the terminal, as Markdown and as CSV; nothing is computed here."""

import csv
import io
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

MISSING = "-"
"""Stands where there is no value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method in one table."""

    title: str
    values: tuple[float | None, ...]
    """One per column; None where there is nothing to show."""
    quoted: bool = False
    """Whether the numbers are another work's own, printed beside ours."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of numbers: a noise level, or, without one, the mean over those before it."""

    eta: float | None = None
    """Photons per grey level."""
    sigma: float | None = None
    """Grey levels."""

    @property
    def lines(self) -> tuple[str, str]:
        """The two lines of its head."""
        if self.eta is None or self.sigma is None:
            return "mean", ""
        return f"{self.eta:g}", f"{self.sigma:g}"


@dataclass(frozen=True, slots=True)
class Table:
    """One quantity of every method at every noise level."""

    title: str
    """The quantity and its unit."""
    definition: str
    """What the quantity is, in one sentence."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    digits: int
    """Digits shown behind the decimal point; CSV has all of them."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run has to say."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """What was run on what: pairs of a name and a value."""
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
    """`report` as a Markdown document of sections of the second level."""
    lines = [f"# {report.title}", ""]
    lines += [f"- {name}: {value}" for name, value in report.facts]
    for table in report.tables:
        head = ["eta / sigma", *(" / ".join(filter(None, column.lines)) for column in table.columns)]
        lines += ["", f"## {table.title}", "", table.definition, ""]
        lines += [_markdown_row(head), _markdown_row(["---", *["---:"] * len(table.columns)])]
        for row in table.rows:
            title = f"*{row.title}*" if row.quoted else row.title
            lines.append(_markdown_row([title, *_texts(row, table)]))
    if report.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def csv_text(report: Report) -> str:
    """The numbers of `report`, one a line: quantity, method, source (ours, quoted), eta, sigma, value.

    eta and sigma are empty where the value is the mean over the noise levels. Missing values have no line.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["quantity", "method", "source", "eta", "sigma", "value"])
    for table in report.tables:
        for row in table.rows:
            source = "quoted" if row.quoted else "ours"
            for column, value in zip(table.columns, row.values, strict=True):
                if value is not None:
                    writer.writerow([table.title, row.title, source, column.eta, column.sigma, repr(value)])
    return text.getvalue()


def _rich_table(table: Table) -> RichTable:
    shown = RichTable(
        title=Text(table.title, style="bold"),
        title_justify="left",
        title_style="",
        box=None,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("eta\nsigma", overflow="fold", max_width=26)
    for column in table.columns:
        shown.add_column("\n".join(column.lines), justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(Text(row.title), *_texts(row, table), style="dim" if row.quoted else "")
    return shown


def _texts(row: Row, table: Table) -> list[str]:
    return [MISSING if value is None else f"{value:.{table.digits}f}" for value in row.values]


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
