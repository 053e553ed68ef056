"""From measurements to the tables of the paper."""

import platform
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import xray_denoise
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports import methods, paper
from xray_denoise.reports.paper import Figures, Method, Run
from xray_denoise.reports.tables import Report
from xray_denoise.tasks.bench import cases
from xray_denoise.tasks.bench.rows import Entry
from xray_denoise.tasks.bench.summary import Cells, Results, margin, mean, spread

PATCHES_TEXT = (
    f"Patches of {cases.PATCH_SIZE}x{cases.PATCH_SIZE} pixels at random places of the images, each with a random noise "
    f"level: eta from {cases.PATCH_ETA[0]:g} to {cases.PATCH_ETA[1]:g}, sigma from {cases.PATCH_SIGMA[0]:g} to "
    f"{cases.PATCH_SIGMA[1]:g}. Patches darker than {cases.DARKEST_PATCH:g} grey levels in the mean are left out."
)

FEWEST_IMAGES = 2
"""A difference has an interval from so many images on."""


def table_2(
    results: Results,
    entries: Sequence[Entry],
    run: Run,
    *,
    levels: Sequence[NoiseLevel] = cases.TABLE_2,
) -> Report:
    """Average over the images, and lay the means out beside the paper's numbers.

    Args:
        results: what was measured; an interrupted run has fewer.
        entries: the rows, in this order.
        run: what the head and the notes of the report say.
        levels: the columns.
    """
    cells = [(float(level.eta), float(level.sigma)) for level in levels]
    found = []
    for entry in entries:
        figures = {quantity: _at_levels(results, entry.title, quantity, cells) for quantity in paper.QUANTITIES}
        columns = [*([cell] for cell in cells), cells]
        found.append(
            Method(entry.title, entry.denoiser.name, figures, _gaps(results, entry, entries, ["psnr"], columns))
        )
    return paper.table_2(found, cells, run)


def table_1(results: Results, entries: Sequence[Entry], run: Run) -> Report:
    """Average over patches of random noise level, and lay the means out beside the paper's; arguments as above."""
    found = []
    for entry in entries:
        figures = {}
        for quantity in paper.QUANTITIES:
            values = [float(getattr(one, quantity)) for one in results.of(entry.title).values()]
            figures[quantity] = Figures((mean(values),), (spread(values),))
        gaps = _gaps(results, entry, entries, list(paper.QUANTITIES), [None])
        found.append(Method(entry.title, entry.denoiser.name, figures, gaps))
    return paper.table_1(found, PATCHES_TEXT, run)


def _gaps(
    results: Results,
    entry: Entry,
    entries: Sequence[Entry],
    quantities: Sequence[str],
    columns: Sequence[Cells | None],
) -> dict[str, Figures]:
    """How far `entry` lies above the reference, by quantity; nothing without a reference or a second image."""
    reference = methods.title(methods.REFERENCE)
    if entry.title == reference or reference not in {other.title for other in entries}:
        return {}
    found = {}
    for quantity in quantities:
        gaps = [results.differences(entry.title, reference, quantity, cells) for cells in columns]
        if max(map(len, gaps)) < FEWEST_IMAGES:
            return {}
        found[quantity] = Figures(tuple(map(mean, gaps)), (), tuple(map(margin, gaps)))
    return found


def _at_levels(results: Results, title: str, quantity: str, cells: Sequence[tuple[float, float]]) -> Figures:
    """Means over images at each level and their mean, and the standard deviations over images of both."""
    columns = [results.values(title, quantity, [cell]) for cell in cells]
    known = [value for value in map(mean, columns) if value is not None]
    over_all = mean(known) if len(known) == len(cells) else None
    spreads = [*map(spread, columns), spread(results.values(title, quantity, cells))]
    return Figures((*map(mean, columns), over_all), tuple(spreads))


def versions(used: Iterable[str] = ()) -> str:
    """Name the versions that results depend on.

    Args:
        used: packages that something needs, left out where they are not installed; torch and bm3d are named where
            something has loaded them, too.
    """
    loaded = (name for name in ("torch", "bm3d") if name in sys.modules)
    packages = list(dict.fromkeys(["numpy", "scikit-image", *loaded, *used]))
    found = [f"xray-denoise {xray_denoise.__version__}", f"Python {platform.python_version()}"]
    for name in packages:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
