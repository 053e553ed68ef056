"""Measure every row of a table on every case, and say how long that takes."""

import platform
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import xray_denoise
from xray_denoise.bench import rows as registry
from xray_denoise.bench import tables
from xray_denoise.bench.cases import MIDDLE, Case, CleanImage, ImageSet, image_set
from xray_denoise.bench.metrics import METRICS, SECONDS
from xray_denoise.bench.pivot import Results
from xray_denoise.bench.records import Log, Record, key
from xray_denoise.bench.rows import Absent, Row
from xray_denoise.bench.tables import TABLES, Run, TableSpec
from xray_denoise.denoisers import Runtime
from xray_denoise.errors import UsageError
from xray_denoise.reports.tables import Report

WARMUP_SIZE = 64
"""Side of the crop that a method runs on before the clock starts, pixels."""
TRIAL_SIZE, SLOW_TRIAL_SIZE = 528, 128
"""Side of the crop that a method, or a slow one, is timed on to estimate how long a run takes: as `--model auto` takes
another network above 512x512 pixels, the first lies above that."""


@dataclass(frozen=True, slots=True)
class QualityPlan:
    """A table to be made: rows x images x cases. `absent` rows lack a package; `left_out` says what is not measured."""

    table: TableSpec
    rows: Sequence[Row]
    images: ImageSet
    seed: int = 0
    quick: bool = False
    absent: Sequence[Absent] = ()
    left_out: Sequence[str] = ()

    @property
    def cases_per_row(self) -> int:
        """How many records each row will have."""
        return self.images.count * self.table.per_image(self.quick)

    @property
    def counts(self) -> dict[str, int]:
        """The same by the title of the row."""
        return {row.title: self.cases_per_row for row in self.rows}

    def cases(self, images: Iterable[CleanImage]) -> Iterator[Case]:
        """All cases of some images, image by image."""
        return (case for image in images for case in self.table.cases(image, self.seed, self.quick))

    def measure(self, log: Log, *, warmup: int = 1, repeat: int = 1) -> Iterator[Record]:
        """Measure; see `measure`."""
        cases = self.cases(self.images.open())
        return measure(self.rows, cases, self.table.metrics, log, seed=self.seed, warmup=warmup, repeat=repeat)

    def estimate(self, log: Log) -> dict[str, float]:
        """About how many seconds a case of each row takes here, by its title; 0 where the log has all of them.

        Each row is timed on a crop of the first image, and its time taken as proportional to the pixels.
        """
        first = next(self.cases(self.images.open())).image
        costs = dict.fromkeys(self.counts, 0.0)
        for row in self.rows:
            if log.count(row.identity) < self.cases_per_row:
                crop = first.centre(SLOW_TRIAL_SIZE if registry.is_slow(row.name) else TRIAL_SIZE)
                case = Case(crop, MIDDLE)
                noisy = case.noisy(self.seed)
                row(noisy[:WARMUP_SIZE, :WARMUP_SIZE], MIDDLE)
                start = time.perf_counter()
                _measured(row, case, noisy, self.table.metrics, 1)
                costs[row.title] = (time.perf_counter() - start) * first.grey.size / crop.grey.size
        return costs

    def report(self, done: Sequence[Record]) -> Report:
        """The table; an interrupted run gives fewer records."""
        run = Run(
            Results.of(done),
            self.rows,
            images=len({one.image for one in done}),
            quick=self.quick,
            complete=len(done) == self.cases_per_row * len(self.rows),
            absent=self.absent,
        )
        facts = (
            ("images", self.images.words),
            ("seed", str(self.seed)),
            ("device", registry.device(self.rows)),
            ("models", registry.models(self.rows)),
            ("versions", versions()),
            ("left out", "; ".join(self.left_out)),
        )
        return tables.report(self.table, run, [(name, value) for name, value in facts if value])


def plan(
    table: str,
    folder: Path | None,
    *,
    methods: str | None = None,
    quick: bool = False,
    seed: int = 0,
    runtime: Runtime | None = None,
    profile: Path | None = None,
) -> QualityPlan:
    """Choose the rows and the images of a table.

    Args:
        table: one of `TABLES`.
        folder: of the clean images; None takes the phantoms.
        methods: rows, separated by commas, or `all`; None takes those that the table has by default.
        quick: crops of few images at few levels; without the slowest methods unless they are named one by one.
        seed: of the noise.
        runtime: how networks run.
        profile: file of a noise profile, one more spectrum of a table of detector noise.

    Raises:
        UsageError: no such table; a row, the folder or the profile is no good.
        CannotRunError: something that a row needs is missing.
    """
    spec = TABLES.get(table)
    if spec is None:
        raise UsageError(f"no table is called '{table}'", hint=f"choose one of {', '.join(TABLES)}")
    if profile is not None:
        spec = tables.with_profile(spec, profile)
    images = image_set(folder, quick=quick)
    by_name = methods is not None and methods.strip() != registry.ALL
    wanted = registry.named(methods, estimator=table == "noise-level") if methods else spec.rows()
    slow = [row for row in wanted if quick and not by_name and registry.is_slow(row) and registry.split(row)[1]]
    rows, absent = registry.make([row for row in wanted if row not in slow], runtime or Runtime())
    able = [row for row in rows if spec.suits(row)]
    if not able:
        raise UsageError("none of these methods fits this table", hint="leave out --methods")
    left_out = [spec.cuts] if quick and spec.cuts else []
    if slow:
        titles = ", ".join(map(registry.title, slow))
        left_out.append(f"{titles} (too slow for a quick run unless they are named)")
    if len(able) < len(rows):
        left_out.append(f"{', '.join(row.title for row in rows if row not in able)} ({spec.unsuited})")
    others = [row for row in registry.of_set(registry.ALL) if row not in wanted]
    if methods is None and others and not spec.unsuited:
        left_out.append(f"{len(others)} other methods (all of them: --methods all)")
    return QualityPlan(spec, able, images, seed, quick, absent, left_out)


def measure(
    rows: Sequence[Row],
    cases: Iterable[Case],
    metrics: Sequence[str],
    log: Log,
    *,
    seed: int = 0,
    warmup: int = 1,
    repeat: int = 1,
) -> Iterator[Record]:
    """Measure every row on every case, case by case: one record each, from the log where it has one.

    Args:
        rows: what is measured.
        cases: may be a generator, only one is held.
        metrics: names in `METRICS`.
        log: keeps the records.
        seed: of the noise.
        warmup: calls of each row on a small crop before its first call that is timed.
        repeat: calls per record; the median of their times counts.
    """
    if len({row.title for row in rows}) < len(rows):
        raise ValueError("two rows have one title")
    warm: set[str] = set()
    for case in cases:
        noisy, case_key = None, case.key(seed)
        for row in rows:
            wanted = key(row.identity, case_key)
            record = log.get(wanted, metrics)
            if record is None:
                noisy = case.noisy(seed) if noisy is None else noisy
                for _ in range(0 if row.title in warm else warmup):
                    row(noisy[:WARMUP_SIZE, :WARMUP_SIZE], case.noise)
                warm.add(row.title)
                record = replace(_measured(row, case, noisy, metrics, repeat), key=wanted)
                log.add(record)
            yield replace(record, row=row.title, image=case.image.name, noise=case.label)


def _measured(row: Row, case: Case, noisy: NDArray[np.float32], metrics: Sequence[str], repeat: int) -> Record:
    durations = []
    for _ in range(repeat):
        start = time.perf_counter()
        denoised = row(noisy, case.noise)
        durations.append(time.perf_counter() - start)
    values: dict[str, float | None] = {SECONDS: statistics.median(durations)}
    for measured in filter(None, dict.fromkeys(METRICS[name].measure for name in metrics)):
        values |= measured(denoised, case, noisy)
    return Record(row.title, case.image.name, case.label, values)


class Pace:
    """How long a run will take, judged row by row, as rows differ a hundredfold; both maps go by the title of a row.

    A case costs what the cases of its row took so far in the mean or, before the first, its estimate or logged time.
    """

    def __init__(self, counts: Mapping[str, int], estimates: Mapping[str, float] | None = None) -> None:
        self._left = dict(counts)
        self._estimates = dict(estimates or {})
        self._walls: dict[str, list[float]] = {title: [] for title in counts}

    def add(self, title: str, seconds: float, wall: float) -> None:
        """Count a record of `seconds` that arrived `wall` seconds after the one before it."""
        self._left[title] -= 1
        if wall >= seconds:
            self._walls[title].append(wall)
        else:  # it comes from the log
            self._estimates.setdefault(title, seconds)

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take; None while nothing is known of a row."""
        costs = {title: statistics.fmean(walls) for title, walls in self._walls.items() if walls}
        costs = self._estimates | costs
        if costs.keys() < self._left.keys():
            return None
        return sum(count * costs[title] for title, count in self._left.items())

    def share(self, elapsed: float) -> float:
        """What part of the run's time is over after `elapsed` seconds, 0..1; 0 while nobody can tell."""
        left = self.left
        return 0.0 if left is None else elapsed / max(elapsed + left, 1e-9)


def versions(used: Iterable[str] = ()) -> str:
    """Name the versions that results depend on: of what is loaded, and of the packages in `used` that are installed."""
    loaded = (name for name in ("torch", "bm3d") if name in sys.modules)
    found = [f"xray-denoise {xray_denoise.__version__}", f"Python {platform.python_version()}"]
    for name in dict.fromkeys(["numpy", "scikit-image", *loaded, *used]):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
