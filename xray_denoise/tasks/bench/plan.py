"""What a run will measure, decided and checked before it starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xray_denoise.denoisers import Runtime
from xray_denoise.errors import UsageError
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports import methods
from xray_denoise.reports.paper import Run
from xray_denoise.reports.tables import Report
from xray_denoise.tasks.bench import levels, report, rows
from xray_denoise.tasks.bench.cases import (
    PATCHES,
    QUICK_LEVELS,
    QUICK_PATCHES,
    TABLE_2,
    CasesOf,
    ImageSet,
    at_levels,
    image_set,
    in_patches,
)
from xray_denoise.tasks.bench.log import Log, Measurement
from xray_denoise.tasks.bench.rows import Absent, Entry
from xray_denoise.tasks.bench.run import measurements
from xray_denoise.tasks.bench.summary import Results

Kind = Literal["1", "2", "noise-level"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A table to be: rows x images x cases."""

    table: Kind
    entries: Sequence[Entry]
    images: ImageSet
    seed: int = 0
    quick: bool = False
    absent: Sequence[Absent] = ()
    """Rows that lack a package."""
    left_out: Sequence[str] = ()
    """What a quick run, or this table, does without, for people."""

    @property
    def levels(self) -> tuple[NoiseLevel, ...]:
        """The noise levels of whole images."""
        return QUICK_LEVELS if self.quick else TABLE_2

    @property
    def cases(self) -> CasesOf:
        """What is made of each image."""
        return in_patches(self.seed, self._patches) if self.table == "1" else at_levels(self.levels)

    @property
    def cases_a_row(self) -> int:
        """Measurements of each row."""
        return self.images.count * (self._patches if self.table == "1" else len(self.levels))

    @property
    def total(self) -> int:
        """Measurements in all."""
        return self.cases_a_row * len(self.entries)

    @property
    def _patches(self) -> int:
        return QUICK_PATCHES if self.quick else PATCHES

    def open_log(self, path: Path | None, *, resume: bool) -> Log:
        """The file that keeps the results; see `Log`."""
        return Log(path, resume=resume, with_levels=self.table == "noise-level")

    def measure(self, log: Log, *, warmup: int = 1, repeat: int = 1) -> Iterator[Measurement]:
        """Measure; see `measurements`."""
        return measurements(
            self.entries,
            self.images.open(),
            log,
            cases=self.cases,
            seed=self.seed,
            warmup=warmup,
            repeat=repeat,
        )

    def report(self, done: Sequence[Measurement]) -> Report:
        """The table; an interrupted run gives fewer measurements."""
        results = Results(done)
        run = Run(
            self._facts(),
            images=len({one.image for one in done}),
            complete=len(done) == self.total,
            absent=tuple((row.title, row.hint) for row in self.absent),
        )
        if self.table == "1":
            return report.table_1(results, self.entries, run)
        if self.table == "2":
            return report.table_2(results, self.entries, run, levels=self.levels)
        return levels.noise_level(results, self.entries, run)

    def _facts(self) -> tuple[tuple[str, str], ...]:
        facts = [
            ("images", self.images.words),
            ("seed", str(self.seed)),
            ("device", rows.device(self.entries)),
            ("models", rows.models(self.entries)),
            ("versions", report.versions()),
            ("left out", "; ".join(self.left_out)),
        ]
        return tuple((name, value) for name, value in facts if value)


def plan(
    table: Kind,
    folder: Path | None,
    *,
    named: str | None = None,
    quick: bool = False,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> Plan:
    """Choose the rows and the images of a table.

    Args:
        table: which.
        folder: of the clean images; None takes the phantoms.
        named: `--methods`; None takes all that are known here.
        quick: crops of few images at few levels, and without the slowest methods unless they are named.
        seed: of the noise.
        runtime: how networks run.

    Raises:
        UsageError: a row or the folder is no good.
        CannotRunError: something that a row needs is missing.
    """
    images = image_set(folder, quick=quick)
    wanted = _wanted(table, named)
    slow = [row for row in wanted if row in methods.SLOW_ROWS] if quick and not named else []
    entries, absent = rows.make([row for row in wanted if row not in slow], runtime or Runtime())
    left_out = _cuts(table) if quick else []
    if slow:
        left_out.append(f"{', '.join(map(methods.title, slow))} (too slow for --quick; name them with --methods)")
    if table == "noise-level":
        entries, silent = _split_by_level(entries)
        if silent:
            left_out.append(f"{', '.join(silent)} (no estimate of the noise level)")
    return Plan(table, entries, images, seed, quick, absent, left_out)


def _wanted(table: Kind, named: str | None) -> list[str]:
    if table == "noise-level":
        return rows.named_rows(named, estimator=True) if named else [*rows.network_rows(), rows.ESTIMATOR]
    return rows.named_rows(named) if named else rows.default_rows()


def _cuts(table: Kind) -> list[str]:
    """What a quick run does without, whatever its rows."""
    if table == "1":
        return [f"{PATCHES - QUICK_PATCHES} of the {PATCHES} patches of each image"]
    return [f"{len(TABLE_2) - len(QUICK_LEVELS)} of the {len(TABLE_2)} noise levels"]


def _split_by_level(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The entries that estimate the noise level, and the titles of the others."""
    told = [entry.title for entry in entries if entry.oracle]
    if told:
        raise UsageError(f"'{told[0]}' has nothing to estimate", hint=f"leave out {methods.TOLD}")
    able = [entry for entry in entries if levels.has_level(entry)]
    if not able:
        raise UsageError(
            "none of these methods estimates the noise level", hint="leave out --methods to compare all that do"
        )
    return able, [entry.title for entry in entries if entry not in able]
