"""A table of quality as one HTML page: the numbers and, for Table II, a plot and the images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from xray_denoise.bench.cases import MIDDLE, Case
from xray_denoise.bench.quality import QualityPlan
from xray_denoise.bench.rows import Row
from xray_denoise.bench.tables import TABLES
from xray_denoise.reports import page, plots
from xray_denoise.reports.page import Comparison, Plot
from xray_denoise.reports.tables import Report, Table

PLOTTED = 6
"""Methods in the plot; more lines could not be told apart."""


def html(plan: QualityPlan, report: Report) -> bytes:
    """Make the page.

    Args:
        plan: what was measured; its best network denoises each image once more, to show it.
        report: the tables.

    Raises:
        CannotRunError: a package is missing.
    """
    drawn: list[Plot] = []
    shown: Iterator[Comparison] = iter(())
    if plan.table is TABLES["2"]:
        caption = f"The {PLOTTED} methods with the highest mean. Solid: measured; dashed: printed in the paper."
        drawn.append(Plot("PSNR by noise level", plots.psnr_by_level(_best(report.tables[0])), caption))
        shown = _comparisons(plan, best_network(plan.rows, report))
    return page.html("Benchmark of denoisers", facts=(), reports=[report], plots=drawn, comparisons=shown)


def best_network(rows: Sequence[Row], report: Report) -> Row:
    """The blind network with the highest mean PSNR in a report of Table II; any row where there is no network."""
    means = {row.title: row.values[-1] for row in report.tables[0].rows}
    able = [row for row in rows if row.is_network and not row.oracle]
    return max(able or rows, key=lambda row: means[row.title] or 0.0)


def _best(table: Table) -> Table:
    """The rows of the highest means, and the paper's rows of the same methods."""
    ours = sorted((row for row in table.rows if not row.quoted), key=lambda row: -(row.values[-1] or 0.0))
    titles = {row.title for row in ours[:PLOTTED]}
    return replace(table, rows=tuple(row for row in table.rows if row.title.removeprefix(plots.PAPER) in titles))


def _comparisons(plan: QualityPlan, row: Row) -> Iterator[Comparison]:
    """Each image, noisy and denoised, one at a time."""
    facts = (("method", row.title), ("noise", f"eta {MIDDLE.eta:g}, sigma {MIDDLE.sigma:g}"))
    for number, image in enumerate(plan.images.open(), start=1):
        noisy = Case(image, MIDDLE).noisy(plan.seed)
        yield Comparison(f"Image {number}", noisy, row(noisy, MIDDLE).image, facts, clean=image.grey)
