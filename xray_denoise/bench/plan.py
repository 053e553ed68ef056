"""Measure every row of a table on every case, whatever the table, and say how long that takes."""

import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import xray_denoise
from xray_denoise.bench import rows as registry
from xray_denoise.bench import table
from xray_denoise.bench.cases import MIDDLE, PROBE, Case, ImageSet
from xray_denoise.bench.detectors import with_profile
from xray_denoise.bench.machine import machine
from xray_denoise.bench.pivot import Results
from xray_denoise.bench.records import Log, Record
from xray_denoise.bench.rows import Row
from xray_denoise.bench.table import InThisProcess, Run, TableSpec
from xray_denoise.bench.tables import TABLES
from xray_denoise.bench.timed_run import WARMUP_SIZE
from xray_denoise.denoisers import Runtime
from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.reports import page
from xray_denoise.reports.tables import Report

TRIAL_SIZE, SLOW_TRIAL_SIZE = 528, 128
"""Side of the crop that a method, or a slow one, is timed on to estimate how long a run takes."""


@dataclass(frozen=True)
class Plan:
    """A table to be made: rows x images x cases.

    `absent` rows lack a package (see `rows.make`); `left_out` says what is not measured. There are `warmup` calls
    before the clock starts, and `repeat` calls for a record or, where a record is made in a process of its own, so many
    rounds. Networks run as `runtime` says, with so many `threads` or, for None, on all cores.
    """

    table: TableSpec
    rows: Sequence[Row]
    images: ImageSet
    seed: int = 0
    quick: bool = False
    absent: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    warmup: int = 1
    repeat: int = 1
    runtime: Runtime = field(default_factory=Runtime)
    threads: int | None = None

    @property
    def rounds(self) -> int:
        """How many records a row has of a case."""
        return self.repeat if self.table.in_processes else 1

    @property
    def cases_per_row(self) -> int:
        """How many records each row will have."""
        return self.images.count * self.rounds * cases_of(self.table, self.quick)

    def cases(self) -> Iterator[Case]:
        """All cases, image by image."""
        return (case for image in self.images.open() for case in self.table.cases(image, self.seed, self.quick))

    def measure(self, log: Log) -> Iterator[Record]:
        """Measure round by round and case by case: one record for each row, from the log where it has one.

        In a process of its own, a row that fails is recorded once and not tried again; else its error ends the run.
        """
        spec, rows, work = self.table, list(self.rows), self.table.work(self)
        if len({row.title for row in rows}) < len(rows):
            raise ValueError("two rows have one title")
        setting = f"; {machine(self.runtime.device, self.threads)}, warmup {self.warmup}" if spec.in_processes else ""
        for number in range(self.rounds):
            apart = f"{setting}, round {number}" if setting else ""
            for case in self.cases():
                noisy, case_key = None, f"{case.key(self.seed)}{apart}; xray-denoise {xray_denoise.__version__}"
                for row in tuple(rows):
                    wanted = f"{row.identity}; {case_key}"
                    record = log.get(wanted, spec.metrics)
                    if record is None:
                        noisy = case.noisy(self.seed) if noisy is None else noisy
                        record = Record(row.title, case.image_name, case.label, key=wanted)
                        try:
                            record = replace(record, values=work(row, case, noisy))
                        except XrayDenoiseError as error:
                            if not spec.in_processes:
                                raise
                            rows.remove(row)
                            record = replace(record, failure=str(error))
                        log.add(record)
                    yield replace(record, row=row.title, image=case.image_name, noise=case.label, repeat=number)

    def estimate(self, log: Log) -> dict[str, float]:
        """About how many seconds a case of each row takes here, by its title; 0 where the log has all of them.

        Each row is timed on a crop of the first image, and its time taken as proportional to the pixels.
        """
        costs = {row.title: 0.0 for row in self.rows}
        first = next(self.cases()).image
        for row in self.rows:
            if log.count(row.identity) < self.cases_per_row:
                crop = first.centre(SLOW_TRIAL_SIZE if registry.split(row.name)[0].slow else TRIAL_SIZE)
                work = InThisProcess(self.table.metrics)
                for case in (Case(first.centre(WARMUP_SIZE), MIDDLE), Case(crop, MIDDLE)):  # the latter counts
                    noisy, start = case.noisy(self.seed), time.perf_counter()
                    work(row, case, noisy)
                costs[row.title] = (time.perf_counter() - start) * self.table.pixels(first) / crop.grey.size
        return costs

    def run(self, done: Sequence[Record]) -> Run:
        """The records as tables need them; an interrupted run gives fewer."""
        images = len({one.image for one in done})
        complete = len(done) == self.cases_per_row * len(self.rows)
        return Run(Results(done), self.rows, images, self.quick, complete, self.absent)

    def report(self, done: Sequence[Record]) -> Report:
        """The tables."""
        run, left_out = self.run(done), "; ".join(self.left_out)
        facts = (*self.table.facts(self, run), ("versions", versions(self.rows)), ("left out", left_out))
        return table.report(self.table, run, [(name, value) for name, value in facts if value])

    def html(self, done: Sequence[Record]) -> bytes:
        """One page: the tables and, where the table has them, a plot and each image denoised by the best network.

        Raises:
            CannotRunError: a package is missing.
        """
        report = self.report(done)
        plots = [self.table.plot(self.run(done))] if self.table.plotted else []
        shown = self._comparisons(report) if self.table.pictures else ()
        return page.html(report.title, facts=(), reports=[report], plots=plots, comparisons=shown)

    def _comparisons(self, report: Report) -> Iterator[page.Comparison]:
        """Each image, noisy and denoised by the blind network with the highest mean in the first table."""
        means = {row.title: row.values[-1] or 0.0 for row in report.tables[0].rows}
        networks = [row for row in self.rows if row.is_network and not row.oracle]
        row = max(networks or self.rows, key=lambda row: means[row.title])
        facts = (("method", row.title), ("noise", f"eta {MIDDLE.eta:g}, sigma {MIDDLE.sigma:g}"))
        for number, image in enumerate(self.images.open(), start=1):
            noisy = Case(image, MIDDLE).noisy(self.seed)
            yield page.Comparison(f"Image {number}", noisy, row(noisy, MIDDLE).image, facts, clean=image.grey)


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
        spec = with_profile(spec, profile)
    images, runtime = spec.images(folder, quick), runtime or Runtime()
    by_name = methods is not None and methods.strip() != registry.ALL
    wanted = registry.named(methods, estimator=registry.ESTIMATOR in spec.rows()) if methods else spec.rows()
    slow = [row for row in wanted if quick and not by_name and spec.too_slow(row)]
    rows, absent = spec.ready([row for row in wanted if row not in slow], runtime, threads)
    reasons = dict.fromkeys(map(registry.title, slow), "too slow for a quick run unless they are named")
    reasons |= {row.title: why for row in rows if (why := spec.unsuited(row))}
    able = [row for row in rows if row.title not in reasons]
    if not able:
        raise UsageError("none of these methods fits this table", hint="leave them out", option="methods")
    few, every = cases_of(spec, quick), cases_of(spec, quick=False)
    left_out = [f"{every - few} of the {every} cases of each image"] if few < every else []
    for why in dict.fromkeys(reasons.values()):
        left_out.append(f"{', '.join(title for title, given in reasons.items() if given == why)} ({why})")
    others = [row for row in registry.of_set(registry.ALL) if row not in wanted]
    if methods is None and others:
        left_out.append(f"{len(others)} other methods (all of them: --methods all)")
    rounds = repeat or spec.rounds[quick]
    return Plan(spec, able, images, seed, quick, absent, left_out, warmup, rounds, runtime, threads)


def cases_of(spec: TableSpec, quick: bool) -> int:
    """How many cases a table has of each image."""
    return sum(1 for _ in spec.cases(PROBE, 0, quick))


def versions(rows: Iterable[Row] = ()) -> str:
    """Name the versions that results depend on; BM3D's where it is loaded here, or by `rows` in other processes."""
    packages = ["numpy", "scikit-image", "torch"]
    if "bm3d" in sys.modules or any(row.name.endswith("bm3d") for row in rows):
        packages.append("bm3d")
    ours = [f"xray-denoise {xray_denoise.__version__}", f"Python {platform.python_version()}"]
    return ", ".join([*ours, *(f"{name} {version(name)}" for name in packages)])
