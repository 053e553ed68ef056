"""The base class of tables: rows, cases, metrics, and the layout of records in rows and columns.

    clean image -> cases -> rows -> records -> `Run` -> `TableSpec.layout` -> tables, plots, pages

A table is a subclass of `TableSpec` and an entry of `tables.TABLES`; most layouts are `Run.pivot` and `Run.gaps`.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import Case, CleanImage, ImageSet, image_set
from xray_denoise.bench.metrics import METRICS, SECONDS
from xray_denoise.bench.pivot import Cells, Results
from xray_denoise.bench.rows import Absent, Row
from xray_denoise.denoisers import Runtime
from xray_denoise.errors import UsageError
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.reports import tables as layout
from xray_denoise.reports.page import Plot
from xray_denoise.reports.tables import Column, Table

if TYPE_CHECKING:
    from xray_denoise.bench.plan import Plan

Work = Callable[[Row, Case, NDArray[np.float32]], dict[str, float | None]]
"""Gives the values of a record: of a row on a noisy image of a case."""
WARMUP_SIZE = 64
"""Side of the crop that a method runs on before the clock starts, pixels."""
Groups = Sequence[Sequence[str]]
"""The labels of the noises behind each column."""

NOTE_INCOMPLETE = "The run is not complete: a mean covers the images measured so far, and not every mean the same ones."
NOTE_SPREADS = (
    "Numbers in parentheses are standard deviations, in Table II over the images; where there is no room for them "
    "they are in the files for tables."
)


@dataclass(frozen=True, slots=True)
class Run:
    """The content of a table: the records of its rows on so many `images`.

    `complete` says whether every row has every case; `absent` are rows that lack a package.
    """

    results: Results
    rows: Sequence[Row]
    images: int = 0
    quick: bool = False
    complete: bool = True
    absent: Sequence[Absent] = ()

    def pivot(
        self,
        metric: str,
        groups: Groups,
        columns: Sequence[Column],
        title: str = "",
        text: str = "",
        printed: Mapping[str, layout.Row] | None = None,
    ) -> Table:
        """One metric of every row: the mean over the noises of each group, and its standard deviation over images.

        There is a column for each of `groups`. `METRICS` has the title and the definition where none are given;
        `printed` are rows of the paper by the name of the method (see `beside`).
        """
        ours = {row: self.results.means(row.title, metric, groups) for row in self.rows}
        shown = METRICS[metric]
        found = beside(ours, printed or {})
        return Table(title or shown.title, text or shown.definition, tuple(columns), tuple(found), shown.digits)

    def gaps(
        self, title: str, metrics: Sequence[str], groups: Sequence[Sequence[str] | None], columns: Sequence[Column]
    ) -> list[Table]:
        """Differences of every row to the reference, the columns of each metric side by side; or no table."""
        reference, found = registry.title(registry.REFERENCE), []
        for row in self.rows:
            cells = [self.results.gaps(row.title, reference, metric, groups) for metric in metrics]
            known = [one for one in cells if one is not None]
            if len(known) == len(cells):
                values, margins = (
                    tuple(chain.from_iterable(part))
                    for part in zip(*((one.values, one.margins) for one in known), strict=True)
                )
                found.append(layout.Row(row.title, values, margins=margins))
        text = (
            f"The method's value minus that of X-BDCNN on the same noisy images: mean over n = {self.images} images ± "
            "half of its 95 % interval, t s / sqrt(n), which covers 0 where the two cannot be told apart. What belongs "
            "to one image is averaged first."
        )
        return [Table(title, text, tuple(columns), tuple(found), 2)] if found else []


def beside(ours: Mapping[Row, Cells], printed: Mapping[str, layout.Row]) -> list[layout.Row]:
    """Our rows, the paper's row below the first of ours of the same method, and the paper's other rows."""
    left, found = dict(printed), []
    for row, cells in ours.items():
        found.append(layout.Row(row.title, cells.values, spreads=cells.spreads))
        if row.name in left:
            found.append(left.pop(row.name))
    return [*found, *left.values()]


class InThisProcess:
    """Runs a row and takes `metrics` of what it gives: the median of its times over `repeat` calls.

    The first call of a row is preceded by `warmup` calls on a small crop.
    """

    def __init__(self, metrics: Sequence[str], warmup: int = 1, repeat: int = 1) -> None:
        self.warm: set[str] = set()
        self._measures = list(filter(None, dict.fromkeys(METRICS[name].measure for name in metrics)))
        self._warmup, self._repeat = warmup, repeat

    def __call__(self, row: Row, case: Case, noisy: NDArray[np.float32]) -> dict[str, float | None]:
        """The values of a record."""
        for _ in range(0 if row.title in self.warm else self._warmup):
            row(noisy[:WARMUP_SIZE, :WARMUP_SIZE], case.noise)
        self.warm.add(row.title)
        durations = []
        for _ in range(self._repeat):
            start = time.perf_counter()
            denoised = row(noisy, case.noise)
            durations.append(time.perf_counter() - start)
        values: dict[str, float | None] = {SECONDS: statistics.median(durations)}
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

    def rows(self) -> list[str]:
        """Its default rows."""
        return registry.of_set(registry.PAPER)

    def images(self, folder: Path | None, *, quick: bool) -> ImageSet:
        """The clean images of a folder, or phantoms."""
        return image_set(folder, quick=quick)

    def cases(self, image: CleanImage, seed: int, quick: bool) -> Iterable[Case]:
        """What is measured on an image, with the seed of the run, in a full or a quick run."""
        raise NotImplementedError

    def rounds(self, *, quick: bool) -> int:
        """The default number of repetitions."""
        del quick
        return 1

    def pixels(self, image: CleanImage) -> float:
        """Pixels that a method processes in a case of an image, to estimate the time."""
        return image.grey.size

    @contextmanager
    def work(self, warmup: int, repeat: int, *, quick: bool) -> Iterator[Work]:
        """What measures a row on a case."""
        del quick
        yield InThisProcess(self.metrics, warmup, repeat)

    def layout(self, run: Run) -> list[Table]:
        """Make tables of the records."""
        raise NotImplementedError

    def too_slow(self, row: str) -> bool:
        """Whether a quick run leaves out a row that was not named."""
        return registry.is_slow(row) and registry.split(row)[1]

    def ready(self, rows: Sequence[str], runtime: Runtime, threads: int | None) -> tuple[list[Row], list[Absent]]:  # noqa: ARG002 - for speed
        """The rows ready to be measured, and those that lack a package."""
        return registry.make(rows, runtime)

    def unsuited(self, row: Row) -> str:  # noqa: ARG002 - for subclasses
        """Why a row does not fit the table; empty if it does."""
        return ""

    def with_profile(self, name: str, profile: NoiseProfile) -> "TableSpec":
        """The table with one more spectrum of noise.

        Raises:
            UsageError: it has no spectra.
        """
        del name, profile
        raise UsageError(
            "profiles are for tables of detector noise",
            hint="ask for the table detectors, or leave them out",
            option="table",
        )

    def facts(self, plan: "Plan", run: Run) -> Sequence[tuple[str, str]]:
        """Facts about the run: pairs of a name and a value."""
        del run
        return (
            ("images", plan.images.words),
            ("seed", str(plan.seed)),
            ("device", registry.device(plan.rows)),
            ("models", registry.models(plan.rows)),
        )

    def remarks(self, run: Run) -> list[str]:
        """The notes that apply to a run."""
        del run
        return list(self.notes)

    def plot(self, run: Run) -> Plot | None:
        """The plot of a table that is `plotted`."""
        del run
        return None


def report(spec: TableSpec, run: Run, facts: Sequence[tuple[str, str]]) -> layout.Report:
    """The table of a run, with notes on what is missing."""
    title = f"Quick run on crops of few images, laid out as: {spec.title}" if run.quick else spec.title
    tables = spec.layout(run)
    notes = [] if run.complete or run.results.failures else [NOTE_INCOMPLETE]
    notes += spec.remarks(run)
    if spec.notes and any(row.spreads for table in tables for row in table.rows):
        notes.append(NOTE_SPREADS)
    for hint in dict.fromkeys(row.hint for row in run.absent):
        names = ", ".join(row.title for row in run.absent if row.hint == hint)
        notes.append(f"Not installed: {names}. To measure them: {hint}")
    notes += [f"{one.row} failed ({one.image}): {one.failure}." for one in run.results.failures]
    return layout.Report(title, tuple(facts), tuple(tables), tuple(notes))
