"""Measure every row of a table on every case, whatever the table, and say how long that takes."""

import platform
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import xray_denoise
from xray_denoise.bench import rows as registry
from xray_denoise.bench import speed, table
from xray_denoise.bench.cases import MIDDLE, Case, CleanImage, ImageSet
from xray_denoise.bench.pivot import Results
from xray_denoise.bench.records import Log, Record, key
from xray_denoise.bench.rows import Absent, Row
from xray_denoise.bench.table import WARMUP_SIZE, InThisProcess, Run, TableSpec, Work
from xray_denoise.bench.tables import TABLES
from xray_denoise.denoisers import Runtime
from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.files.profiles import read_profile
from xray_denoise.reports import page
from xray_denoise.reports.page import Comparison
from xray_denoise.reports.tables import Report
from xray_denoise.scale import MID_GREY

TRIAL_SIZE, SLOW_TRIAL_SIZE = 528, 128
"""Side of the crop that a method, or a slow one, is timed on to estimate how long a run takes."""
PROBE = CleanImage("", np.full((160, 160), 127, dtype=np.float32))
"""Has as many cases as any image."""


@dataclass(frozen=True)
class Plan:
    """A table to be made: rows x images x cases.

    `absent` rows lack a package, and `left_out` says what is not measured. There are `warmup` calls before the clock
    starts, and `repeat` calls for a record or, where a record is made in a process of its own, so many rounds. Networks
    run as `runtime` says, with so many `threads` or, for None, on all cores.
    """

    table: TableSpec
    rows: Sequence[Row]
    images: ImageSet
    seed: int = 0
    quick: bool = False
    absent: Sequence[Absent] = ()
    left_out: Sequence[str] = ()
    warmup: int = 1
    repeat: int = 1
    runtime: Runtime = field(default_factory=Runtime)
    threads: int | None = None

    @property
    def cases_per_row(self) -> int:
        """How many records each row will have."""
        rounds = self.repeat if self.table.in_processes else 1
        return self.images.count * rounds * sum(1 for _ in self.table.cases(PROBE, self.seed, self.quick))

    @property
    def counts(self) -> dict[str, int]:
        """The same by the title of the row."""
        return dict.fromkeys((row.title for row in self.rows), self.cases_per_row)

    def cases(self) -> Iterator[Case]:
        """All cases, image by image."""
        return (case for image in self.images.open() for case in self.table.cases(image, self.seed, self.quick))

    def measure(self, log: Log) -> Iterator[Record]:
        """Measure; a row that fails in a process of its own is recorded once and not tried again."""
        rows, spec = list(self.rows), self.table
        with spec.work(self.warmup, self.repeat, quick=self.quick) as work:
            for number in range(self.repeat if spec.in_processes else 1):
                apart = f"{speed.machine(self)}, warmup {self.warmup}, round {number}" if spec.in_processes else ""
                for one in measure(rows, self.cases(), spec.metrics, log, seed=self.seed, work=work, what=apart):
                    if one.failure:
                        rows = [row for row in rows if row.title != one.row]
                    yield replace(one, repeat=number)

    def estimate(self, log: Log) -> dict[str, float]:
        """About how many seconds a case of each row takes here, by its title; 0 where the log has all of them.

        Each row is timed on a crop of the first image, and its time taken as proportional to the pixels.
        """
        costs = dict.fromkeys(self.counts, 0.0)
        first = next(self.cases()).image
        for row in self.rows:
            if log.count(row.identity) < self.cases_per_row:
                crop = first.centre(SLOW_TRIAL_SIZE if registry.is_slow(row.name) else TRIAL_SIZE)
                case = Case(crop, MIDDLE)
                noisy, work = case.noisy(self.seed), InThisProcess(self.table.metrics)
                row(noisy[:WARMUP_SIZE, :WARMUP_SIZE], MIDDLE)
                work.warm.add(row.title)
                start = time.perf_counter()
                work(row, case, noisy)
                costs[row.title] = (time.perf_counter() - start) * self.table.pixels(first) / crop.grey.size
        return costs

    def run(self, done: Sequence[Record]) -> Run:
        """The records as tables need them; an interrupted run gives fewer."""
        images = len({one.image for one in done})
        complete = len(done) == self.cases_per_row * len(self.rows)
        return Run(Results.of(done), self.rows, images, self.quick, complete, self.absent)

    def report(self, done: Sequence[Record]) -> Report:
        """The tables."""
        run = self.run(done)
        facts = [
            *self.table.facts(self, run),
            ("versions", versions(self.rows)),
            ("left out", "; ".join(self.left_out)),
        ]
        return table.report(self.table, run, [(name, value) for name, value in facts if value])

    def html(self, done: Sequence[Record]) -> bytes:
        """One page: the tables and, where the table has them, a plot and each image denoised by the best network.

        Raises:
            CannotRunError: a package is missing.
        """
        report, plot = self.report(done), self.table.plot(self.run(done))
        shown = self._comparisons(best_network(self.rows, report)) if self.table.pictures else ()
        return page.html(report.title, facts=(), reports=[report], plots=[plot] if plot else [], comparisons=shown)

    def _comparisons(self, row: Row) -> Iterator[Comparison]:
        """Each image, noisy and denoised, one at a time."""
        facts = (("method", row.title), ("noise", f"eta {MIDDLE.eta:g}, sigma {MIDDLE.sigma:g}"))
        for number, image in enumerate(self.images.open(), start=1):
            noisy = Case(image, MIDDLE).noisy(self.seed)
            yield Comparison(f"Image {number}", noisy, row(noisy, MIDDLE).image, facts, clean=image.grey)


def plan(
    name: str,
    folder: Path | None,
    *,
    methods: str | None = None,
    quick: bool = False,
    seed: int = 0,
    runtime: Runtime | None = None,
    profile: Path | None = None,
    warmup: int = 1,
    repeat: int | None = None,
    threads: int | None = None,
) -> Plan:
    """Choose the rows and the images of a table, one of `TABLES`; see `Plan`.

    `folder` holds clean images, None takes the phantoms. `methods` are rows, separated by commas, or `all`; None takes
    those of the table. A `quick` plan has crops of few images with few cases, and no slow methods unless they are
    named. `profile` is the file of a noise profile, one more spectrum in a table of detector noise.

    Raises:
        UsageError: no such table; a row, the folder or the profile is no good.
        UnreadableFileError: the file holds no noise profile.
        CannotRunError: something that a row needs is missing.
    """
    spec = TABLES.get(name)
    if spec is None:
        raise UsageError(f"no table is called '{name}'", hint=f"choose one of {', '.join(TABLES)}")
    if profile is not None:
        known = read_profile(profile)
        if not float(known.deviation_at(MID_GREY)) > 0:
            hint = "choose another profile"
            raise UsageError("{path} has no noise at mid-grey to be scaled", path=profile, hint=hint)
        spec = spec.with_profile(profile.stem, known)
    images = spec.images(folder, quick=quick)
    by_name = methods is not None and methods.strip() != registry.ALL
    wanted = registry.named(methods, estimator=registry.ESTIMATOR in spec.rows()) if methods else spec.rows()
    slow = [row for row in wanted if quick and not by_name and spec.too_slow(row)]
    runtime = runtime or Runtime()
    rows, absent = spec.ready([row for row in wanted if row not in slow], runtime, threads)
    reasons = {row: spec.unsuited(row) for row in rows}
    able = [row for row in rows if not reasons[row]]
    if not able:
        raise UsageError("none of these methods fits this table", hint="leave them out", option="methods")
    few, every = (sum(1 for _ in spec.cases(PROBE, seed, short)) for short in (quick, False))
    left_out = [f"{every - few} of the {every} cases of each image"] if few < every else []
    if slow:
        titles = ", ".join(map(registry.title, slow))
        left_out.append(f"{titles} (too slow for a quick run unless they are named)")
    left_out += [
        f"{', '.join(row.title for row in rows if reasons[row] == why)} ({why})"
        for why in dict.fromkeys(filter(None, reasons.values()))
    ]
    others = [row for row in registry.of_set(registry.ALL) if row not in wanted]
    if methods is None and others:
        left_out.append(f"{len(others)} other methods (all of them: --methods all)")
    rounds = repeat or spec.rounds(quick=quick)
    return Plan(spec, able, images, seed, quick, absent, left_out, warmup, rounds, runtime, threads)


def measure(
    rows: Sequence[Row],
    cases: Iterable[Case],
    metrics: Sequence[str],
    log: Log,
    *,
    seed: int = 0,
    work: Work | None = None,
    what: str = "",
) -> Iterator[Record]:
    """Measure `metrics` of every row on every case, case by case: one record each, from the log where it has one.

    `work` runs a row on a case; None does so in this process. `what` decides the values besides row, case and seed;
    where it is given, a row that fails is recorded once and not tried again, otherwise its error ends the run.
    """
    if len({row.title for row in rows}) < len(rows):
        raise ValueError("two rows have one title")
    work = work or InThisProcess(metrics)
    failed: set[str] = set()
    for case in cases:
        noisy, case_key = None, case.key(seed)
        for row in (row for row in rows if row.title not in failed):
            wanted = key(row.identity, case_key, *filter(None, [what]))
            record = log.get(wanted, metrics)
            if record is None:
                noisy = case.noisy(seed) if noisy is None else noisy
                record = Record(row.title, case.image_name, case.label, {}, key=wanted)
                try:
                    record = replace(record, values=work(row, case, noisy))
                except XrayDenoiseError as error:
                    if not what:
                        raise
                    failed.add(row.title)
                    record = replace(record, failure=str(error))
                log.add(record)
            yield replace(record, row=row.title, image=case.image_name, noise=case.label)


def best_network(rows: Sequence[Row], report: Report) -> Row:
    """The blind network with the highest mean in the first table of a report; any row where there is no network."""
    means = {row.title: row.values[-1] for row in report.tables[0].rows}
    able = [row for row in rows if row.is_network and not row.oracle]
    return max(able or rows, key=lambda row: means[row.title] or 0.0)


def versions(rows: Iterable[Row] = ()) -> str:
    """Name the versions that results depend on: of what is loaded, and of what `rows` in other processes load."""
    loaded: list[str] = [name for name in ("torch", "bm3d") if name in sys.modules]
    loaded += [("torch" if row.precision else "") or ("bm3d" if row.name.endswith("bm3d") else "numpy") for row in rows]
    found = [f"xray-denoise {xray_denoise.__version__}", f"Python {platform.python_version()}"]
    for name in dict.fromkeys(["numpy", "scikit-image", *loaded]):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
