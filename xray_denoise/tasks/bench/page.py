"""The benchmark as one HTML page: tables, and for whole images a plot and the images themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports import page, plots
from xray_denoise.reports.page import Comparison, Plot
from xray_denoise.reports.tables import Report, Table
from xray_denoise.tasks.bench.cases import Case
from xray_denoise.tasks.bench.plan import Plan
from xray_denoise.tasks.bench.rows import Entry

LEVEL = NoiseLevel(0.6, 10.0)
"""The noise level of the images on the page: the middle of the nine."""
PLOTTED = 6
"""Methods in the plot; more lines could not be told apart."""


def require() -> None:
    """Find out whether a page can be made, before anything is measured.

    Raises:
        CannotRunError: a package is missing.
    """
    page.require()


def html(plan: Plan, report: Report) -> bytes:
    """Make the page.

    Args:
        plan: what was measured; its best network denoises each image once more, to show it.
        report: the tables.

    Raises:
        CannotRunError: a package is missing.
    """
    drawn: list[Plot] = []
    shown: Iterator[Comparison] = iter(())
    if plan.table == "2":
        caption = f"The {PLOTTED} methods with the highest mean. Solid: measured; dashed: printed in the paper."
        drawn.append(Plot("PSNR by noise level", plots.psnr_by_level(_best(report.tables[0])), caption))
        shown = _comparisons(plan, best_network(plan.entries, report))
    return page.html(
        "Benchmark of denoisers",
        facts=(),
        reports=[report],
        plots=drawn,
        comparisons=shown,
    )


def best_network(entries: Sequence[Entry], report: Report) -> Entry:
    """The blind network with the highest mean PSNR in a report of Table II; any row where there is no network."""
    means = {row.title: row.values[-1] for row in report.tables[0].rows}
    able = [entry for entry in entries if entry.is_network and not entry.oracle]
    return max(able or entries, key=lambda entry: means[entry.title] or 0.0)


def _best(table: Table) -> Table:
    """The rows of the highest means, and the paper's rows of the same methods."""
    ours = sorted((row for row in table.rows if not row.quoted), key=lambda row: -(row.values[-1] or 0.0))
    titles = {row.title for row in ours[:PLOTTED]}
    return replace(table, rows=tuple(row for row in table.rows if row.title.removeprefix(plots.PAPER) in titles))


def _comparisons(plan: Plan, entry: Entry) -> Iterator[Comparison]:
    """Each image, noisy and denoised, one at a time."""
    for number, image in enumerate(plan.images.open(), start=1):
        noisy = Case(image, LEVEL).noisy(plan.seed)
        denoised = entry.denoiser(noisy, LEVEL if entry.oracle else None)
        facts = (("method", entry.title), ("noise", f"eta {LEVEL.eta:g}, sigma {LEVEL.sigma:g}"))
        yield Comparison(f"Image {number}", noisy, denoised.image, facts, clean=image.grey)
