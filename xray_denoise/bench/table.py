"""The base class of tables: rows, cases, metrics, and the layout of records in rows and columns.

A table is a subclass of `TableSpec` and an entry of `tables.TABLES`; most layouts are `Run.pivot` and `Run.gaps`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import QUICK_LEVELS, TABLE_2, Case, CleanImage, ImageSet, image_set
from xray_denoise.bench.metrics import METRICS, SECONDS, Values
from xray_denoise.bench.pivot import Results
from xray_denoise.bench.rows import Row
from xray_denoise.bench.timed_run import WARMUP_SIZE, median_time
from xray_denoise.denoisers import Runtime
from xray_denoise.reports import tables as layout
from xray_denoise.reports.page import Plot
from xray_denoise.reports.tables import Column, Table

if TYPE_CHECKING:
    from xray_denoise.bench.plan import Plan

Work = Callable[[Row, Case, NDArray[np.float32]], Values]
"""Gives the values of a record: of a row on a noisy image of a case."""
Printed = Mapping[str, layout.Row]
"""Rows of the paper by the name of the method."""

NOTE_INCOMPLETE = "The run is not complete: a mean covers the images measured so far, and not every mean the same ones."
NOTE_SPREADS = (
    "Numbers in parentheses are standard deviations, in Table II over the images; where there is no room for them "
    "they are in the files for tables."
)


@dataclass(frozen=True, slots=True)
class Run:
    """The content of a table: the records of its rows on so many `images`.

    `complete` says whether every row has every case; `absent` are the titles of rows that lack a package, and how to
    install it.
    """

    results: Results
    rows: Sequence[Row]
    images: int = 0
    quick: bool = False
    complete: bool = True
    absent: Mapping[str, str] = field(default_factory=dict)

    def pivot(
        self, metric: str, groups: Sequence[Sequence[str]], columns: Sequence[Column], printed: Printed | None = None
    ) -> Table:
        """One metric of every row: the mean over the noises of each group, and its standard deviation over images.

        There is a column for each of `groups`, labels of noises. `printed` are rows of the paper (see `beside`).
        """
        shown = METRICS[metric]
        found = self.beside([self.results.means(row.title, metric, groups) for row in self.rows], printed or {})
        return Table(shown.title, shown.definition, tuple(columns), found, shown.digits)

    def beside(self, ours: Iterable[layout.Row], printed: Printed) -> tuple[layout.Row, ...]:
        """Our rows, the paper's row below the first of ours of the same method, and the paper's other rows."""
        left, found = dict(printed), []
        for row, shown in zip(self.rows, ours, strict=True):
            found.append(shown)
            if row.name in left:
                found.append(left.pop(row.name))
        return (*found, *left.values())

    def gaps(
        self, title: str, cells: Sequence[tuple[str, Sequence[str] | None]], columns: Sequence[Column]
    ) -> list[Table]:
        """Differences of every row to the reference, a column for each metric and its noises; or no table."""
        reference = registry.title(registry.REFERENCE)
        rows = [gaps for row in self.rows if (gaps := self.results.gaps(row.title, reference, cells))]
        text = (
            f"The method's value minus that of X-BDCNN on the same noisy images: mean over n = {self.images} images ± "
            "half of its 95 % interval, t s / sqrt(n), which covers 0 where the two cannot be told apart. What belongs "
            "to one image is averaged first."
        )
        return [Table(title, text, tuple(columns), tuple(rows), 2)] if rows else []


class InThisProcess:
    """Runs a row and takes `metrics` of what it gives: the median of its times over `repeat` calls.

    The first call of a row is preceded by `warmup` calls on a small crop.
    """

    def __init__(self, metrics: Sequence[str], warmup: int = 1, repeat: int = 1) -> None:
        self._measures = list(filter(None, dict.fromkeys(METRICS[name].measure for name in metrics)))
        self._warmup, self._repeat = warmup, repeat
        self._warm: set[str] = set()

    def __call__(self, row: Row, case: Case, noisy: NDArray[np.float32]) -> Values:
        """The values of a record."""
        for _ in range(0 if row.title in self._warm else self._warmup):
            row(noisy[:WARMUP_SIZE, :WARMUP_SIZE], case.noise)
        self._warm.add(row.title)
        seconds, denoised = median_time(lambda: row(noisy, case.noise), self._repeat)
        values: Values = {SECONDS: seconds}
        for measured in self._measures:
            values |= measured(denoised, case, noisy)
        return values


@dataclass(frozen=True)
class TableSpec:
    """A table. The defaults are those of the tables of the paper."""

    title: str = ""
    metrics: ClassVar[tuple[str, ...]] = ()
    """Names in `METRICS`: what a record must have to count as measured."""
    notes: ClassVar[tuple[str, ...]] = ()
    plotted: ClassVar[str] = ""
    """Title of its plot, or nothing where it has none."""
    pictures: ClassVar[bool] = False
    """Whether its page shows each image, denoised by the best network."""
    in_processes: ClassVar[bool] = False
    """Whether each record is made in a process of its own, in rounds (`speed`)."""
    rounds: ClassVar[tuple[int, int]] = (1, 1)
    """The default number of repetitions, in a full and in a quick run."""
    row_set: ClassVar[str] = registry.PAPER
    """The set of its default rows."""

    def rows(self) -> list[str]:
        """Its default rows."""
        return registry.of_set(self.row_set)

    def images(self, folder: Path | None, quick: bool) -> ImageSet:
        """The clean images of a folder, or phantoms."""
        return image_set(folder, quick=quick)

    def cases(self, image: CleanImage, _seed: int, quick: bool) -> Iterable[Case]:
        """What is measured on an image, with the seed of the run, in a full or a quick run: every noise level."""
        return (Case(image, level) for level in (QUICK_LEVELS if quick else TABLE_2))

    def pixels(self, image: CleanImage) -> float:
        """Pixels that a method processes in a case of an image, to estimate the time."""
        return image.grey.size

    def work(self, plan: "Plan") -> Work:
        """What measures a row on a case."""
        return InThisProcess(self.metrics, plan.warmup, plan.repeat)

    def layout(self, run: Run) -> list[Table]:
        """Make tables of the records."""
        raise NotImplementedError

    def plot(self, run: Run) -> Plot:
        """The plot of a table that is `plotted`."""
        raise NotImplementedError

    def too_slow(self, row: str) -> bool:
        """Whether a quick run leaves out a row that was not named."""
        method, oracle = registry.split(row)
        return method.slow and oracle

    def ready(self, rows: Sequence[str], runtime: Runtime, _threads: int | None) -> tuple[list[Row], dict[str, str]]:
        """The rows ready to be measured, and those that lack a package; see `rows.make`."""
        return registry.make(rows, runtime)

    def unsuited(self, _row: Row) -> str:
        """Why a row does not fit the table; empty if it does."""
        return ""

    def facts(self, plan: "Plan", _run: Run) -> Sequence[tuple[str, str]]:
        """Facts about the run: pairs of a name and a value."""
        networks, models = [row.denoiser for row in plan.rows if row.is_network], []
        for one in networks:
            models.append(f"{one.name} {one.weights_sha256[:12]}" + (f" ({one.training})" if one.training else ""))
        devices = sorted({one.device for one in networks}) or ["cpu"]
        return (
            ("images", plan.images.words),
            ("seed", str(plan.seed)),
            ("device", ", ".join(devices)),
            ("models", ", ".join(dict.fromkeys(models))),
        )

    def remarks(self, _run: Run) -> Sequence[str]:
        """The notes that apply to a run."""
        return self.notes


def report(spec: TableSpec, run: Run, facts: Sequence[tuple[str, str]]) -> layout.Report:
    """The table of a run, with notes on what is missing."""
    title = f"Quick run on crops of few images, laid out as: {spec.title}" if run.quick else spec.title
    tables = spec.layout(run)
    notes = [] if run.complete or run.results.failures else [NOTE_INCOMPLETE]
    notes += spec.remarks(run)
    if spec.notes and any(row.spreads for table in tables for row in table.rows):
        notes.append(NOTE_SPREADS)
    for hint in dict.fromkeys(run.absent.values()):
        names = ", ".join(title for title, needed in run.absent.items() if needed == hint)
        notes.append(f"Not installed: {names}. To measure them: {hint}")
    notes += [f"{one.row} failed ({one.image}): {one.failure}." for one in run.results.failures]
    return layout.Report(title, tuple(facts), tuple(tables), tuple(notes))
