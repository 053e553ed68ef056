"""`bench --speed` and `--growth`: time and memory of methods on one image, or on many sizes of it.

    image + noise -> temporary files -> rounds of fresh processes, one for each row -> records -> tables, plot

All rows take their turn in each round, so that a machine that slows down slows all of them; one process runs at a time.
Ratios of times are taken within each round and then their median; shares are of the highest rate of any round.
"""

import math
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from xray_denoise import denoisers, weights
from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import MIDDLE, Case, CleanImage, image_set
from xray_denoise.bench.fresh_process import in_fresh_process
from xray_denoise.bench.metrics import SECONDS
from xray_denoise.bench.pivot import Results
from xray_denoise.bench.quality import versions
from xray_denoise.bench.records import Log, Record, key
from xray_denoise.bench.rows import Absent, Row
from xray_denoise.bench.runtimes import device_name, processor, runtimes
from xray_denoise.bench.timed_run import (
    CLEAN,
    DEVICE_MEMORY,
    MEMORY,
    MULTIPLY_ADDS,
    NOISY,
    PeakRate,
    TimedRun,
    image_name,
    peak_title,
)
from xray_denoise.denoisers import Denoiser, Runtime
from xray_denoise.denoisers.devices import choose_device
from xray_denoise.errors import XrayDenoiseError
from xray_denoise.nets import NETS
from xray_denoise.reports import page, plots
from xray_denoise.reports import tables as layout
from xray_denoise.reports.tables import Column, Report, Table

SIDES = (512, 1024, 2048, 4096, 8192)
"""Sides of the images that growth is measured on, pixels: 0.25 to 64 times 2^20 pixels; a quick run takes three."""
ROUNDS, FEW_ROUNDS = 5, 3
"""Of a table of speeds; and of a quick one, or of growth."""
REFERENCE = "lite"
"""The method whose fastest row the times of the others are compared with."""
COMPARED = ("lite", "x-bdcnn", "gat-bm3d")
"""Methods whose times a note compares, each by its fastest row."""
ON_THE_CPU = Runtime("cpu", engine="torch")
"""How networks are loaded in this process, to find out whether they can be: nothing is run."""
RESIDENT = "the most that the process had resident, all of it."
ALLOCATED = "the most that torch had allocated there."
NOTES = (
    "Classical methods compute on one core, networks on the threads that are named above.",
    "The peak is the highest rate over the rounds of torch's product of matrices or 3x3 convolution.",
)


@dataclass(frozen=True, slots=True)
class SpeedPlan:
    """Rows to be timed on an image, described by `words`, as it is or, with `sides`, brought to so many pixels a side.

    Networks run on `device`, on a CPU with so many `threads` or, for None, on all cores. `seed` is that of the noise,
    `absent` are rows that lack a package, and `left_out` says what a `quick` run does not measure.
    """

    rows: Sequence[Row]
    image: CleanImage
    words: str
    device: str = "cpu"
    threads: int | None = None
    seed: int = 0
    rounds: int = ROUNDS
    warmup: int = 1
    sides: tuple[int, ...] = ()
    absent: Sequence[Absent] = ()
    left_out: str = ""
    quick: bool = False

    @property
    def images(self) -> list[str]:
        """The image in records, or its sizes."""
        return [image_name(side) for side in self.sides or (None,)]

    @property
    def counts(self) -> dict[str, int]:
        """Records of each row, the rows of `PeakRate` included, where nothing fails."""
        titles = [run.title for run in self.runs(Path())]
        return {title: self.rounds * titles.count(title) for title in titles}

    def runs(self, folder: Path) -> list[TimedRun | PeakRate]:
        """What one round does, with the images in `folder`; the machine's own rates come first."""
        precisions = dict.fromkeys(row.precision for row in self.rows if row.precision and not self.sides)
        rates = [PeakRate(self.device, precision, self.threads) for precision in precisions]
        sides = self.sides or (None,)
        return [*rates, *(TimedRun(row, folder, self.warmup, side) for side in sides for row in self.rows)]

    def measure(self, log: Log | None = None) -> Iterator[Record]:
        """Measure in rounds; a row that fails is recorded once and not tried again."""
        log, case = log or Log(), Case(self.image, MIDDLE)
        machine = f"{processor()}, {self.device}, {self.threads or torch.get_num_threads()} threads"
        with TemporaryDirectory(prefix="xray-denoise-") as name:
            np.save(Path(name, NOISY), case.noisy(self.seed))
            np.save(Path(name, CLEAN), self.image.grey)
            runs = self.runs(Path(name))
            for number in range(self.rounds):
                for run in list(runs):
                    what = f"{run.title} {_weights(run)}, {run.side}, warmup {self.warmup}, round {number}"
                    wanted = key("speed", machine, what, case.key(self.seed))
                    record = log.get(wanted)
                    if record is None:
                        record = Record(run.title, image_name(run.side), case.label, {}, number, key=wanted)
                        try:
                            record = replace(record, values=in_fresh_process(run))
                        except XrayDenoiseError as error:
                            runs.remove(run)
                            record = replace(record, failure=str(error))
                        log.add(record)
                    yield record

    def report(self, done: Sequence[Record]) -> Report:
        """The tables; an interrupted run has fewer records."""
        found = _Times(self, Results.of(done))
        tables, notes = found.growth() if self.sides else found.speed()
        notes += [f"Not installed: {row.title} ({row.hint})." for row in self.absent]
        notes += [f"{one.row} failed ({one.image}): {one.failure}." for one in found.results.failures]
        if len(done) < sum(self.counts.values()) and not found.results.failures:
            notes.append("The run is not complete: the numbers come from the rounds so far, and not all from the same.")
        title = "time and memory over the size of the image" if self.sides else "speed of denoisers on one image"
        title = f"Quick run: {title}" if self.quick else title.capitalize()
        return Report(title, self._facts(found), tuple(tables), tuple(notes))

    def plot(self, done: Sequence[Record]) -> bytes:
        """PSNR over time, or time over pixels, as SVG."""
        found = _Times(self, Results.of(done))
        return plots.time_by_pixels(found.growths()) if self.sides else plots.psnr_by_time(found.timings())

    def html(self, done: Sequence[Record]) -> bytes:
        """One page with the tables and the plot."""
        made = self.report(done)
        drawn = page.Plot("Time by size" if self.sides else "PSNR by time", self.plot(done))
        return page.html(made.title, facts=(), reports=[made], plots=[drawn])

    def _facts(self, found: "_Times") -> tuple[tuple[str, str], ...]:
        packages = [row.engine for row in self.rows if row.engine]
        packages += ["bm3d"] * any(row.name.endswith("bm3d") for row in self.rows)
        threads = f", {self.threads or torch.get_num_threads()} threads" if self.device == "cpu" else ""
        rates = {row.precision: most for row in self.rows if (most := found.peak(row))}
        peak = ", ".join(f"{most / 1e9:.3g}e9 in {precision}" for precision, most in rates.items())
        facts = (
            ("image", self.words),
            ("noise", f"eta {MIDDLE.eta:g}, sigma {MIDDLE.sigma:g}, seed {self.seed}"),
            ("processor", f"{processor()}, {os.cpu_count()} cores"),
            ("networks", f"on {device_name(self.device)}{threads}" if any(row.engine for row in self.rows) else ""),
            ("runs", f"{self.rounds} round{'s' * (self.rounds > 1)}, a fresh process for each row"),
            ("versions", versions(packages)),
            ("left out", self.left_out),
            ("peak", f"multiply-adds a second: {peak}" if peak else ""),
        )
        return tuple((name, value) for name, value in facts if value)


def plan(
    folder: Path | None,
    *,
    methods: str | None = None,
    quick: bool = False,
    growth: bool = False,
    seed: int = 0,
    runtime: Runtime | None = None,
    threads: int | None = None,
    rounds: int | None = None,
    warmup: int = 1,
) -> SpeedPlan:
    """Choose the rows and the image.

    Args:
        folder: of clean images, the first is taken; None takes a phantom.
        methods: rows, separated by commas, or `all`; None takes those of docs/performance.md.
        quick: the middle of the image, without the slowest methods unless they are named; growth up to 4 megapixels.
        growth: time images of many sizes; a network by one engine and in one precision.
        seed: of the noise.
        runtime: how networks run; `auto` stands for every engine and precision that makes sense, one after the other.
        threads: of networks on the CPU; None takes all cores.
        rounds: records of each row; None chooses.
        warmup: calls before the clock starts.

    Raises:
        UsageError: a row or the folder is no good.
        CannotRunError: something that a row needs is missing.
    """
    runtime = runtime or Runtime()
    wanted = registry.named(methods) if methods else registry.of_set(registry.GROWTH if growth else registry.SPEED)
    slow = [row for row in wanted if quick and not methods and registry.is_slow(row)]
    images = image_set(folder, quick=quick and not growth)
    _, lacking = runtimes(runtime, every=not growth)  # what was asked for must be possible, whatever the rows
    loaded, absent = registry.make([row for row in wanted if row not in slow], ON_THE_CPU)
    rows = [row for one in loaded for row in _by_runtime(one, runtime, threads, every=not growth)]
    return SpeedPlan(
        rows,
        next(images.open()),
        f"the first of {images.words}",
        str(choose_device(runtime.device)),
        threads,
        seed,
        rounds or (FEW_ROUNDS if quick or growth else ROUNDS),
        warmup,
        (SIDES[:3] if quick else SIDES) if growth else (),
        [*absent, *(lacking if any(row.engine for row in rows) else [])],
        f"{', '.join(map(registry.title, slow))} (too slow for --quick; name them with --methods)" if slow else "",
        quick,
    )


def _by_runtime(row: Row, runtime: Runtime, threads: int | None, *, every: bool) -> list[Row]:
    """One row for each engine and precision that a network is timed with, without what was loaded."""
    if not row.is_network:
        return [replace(row)]
    card = weights.find(row.name) if row.name.endswith(".safetensors") or row.name in weights.names() else None
    able, _ = runtimes(runtime, every=every, shrink=getattr(NETS[card.net], "shrink", 1) if card else 1)
    found = []
    for one in able:
        title, made = f"{row.title}, {one.engine} {one.precision}", partial(_network, row.name, one, threads)
        found.append(Row(title, row.name, made, row.oracle, one.engine, one.precision))
    return found


def _network(name: str, runtime: Runtime, threads: int | None) -> Denoiser:
    """In a process of its own: a network on so many threads."""
    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    return denoisers.get(name, runtime)


def _weights(run: TimedRun | PeakRate) -> str:
    """The hash of a network's weights, by its card: nothing is loaded."""
    name = run.row.name if isinstance(run, TimedRun) and run.row.engine else ""
    return weights.find(name).sha256 if name in weights.names() else ""


@dataclass(frozen=True, slots=True)
class _Times:
    """The records of a plan, as its tables and plots need them."""

    plan: SpeedPlan
    results: Results

    def seconds(self, row: Row, image: str = "image") -> plots.Triple | None:
        """Median, smallest and largest time of a row."""
        times = self.results.rounds(row.title, SECONDS, image).values()
        return (statistics.median(times), min(times), max(times)) if times else None

    def most(self, metric: str, row: Row, image: str = "image") -> float | None:
        """The largest value over the rounds."""
        return max(self.results.rounds(row.title, metric, image).values(), default=None)

    def peak(self, row: Row) -> float | None:
        """Multiply-adds a second that the machine reached in the precision of a row."""
        return max(self.results.rounds(peak_title(row.precision), MULTIPLY_ADDS, "image").values(), default=None)

    def share(self, row: Row) -> float | None:
        """Multiply-adds of a row as a share of what the machine does in its median time, per cent."""
        took, work, peak = self.seconds(row), self.most(MULTIPLY_ADDS, row), self.peak(row)
        return 100 * work / took[0] / peak if took and work and peak else None

    def ratio(self, row: Row) -> float | None:
        """Time as a multiple of that of the fastest row of the reference, the median over the rounds of both."""
        times = {one.title: took[0] for one in self._rows(REFERENCE) if (took := self.seconds(one))}
        fastest = min(times, key=lambda title: times[title], default="")
        own, other = (self.results.rounds(title, SECONDS, "image") for title in (row.title, fastest))
        ratios = [value / other[number] for number, value in own.items() if number in other]
        return statistics.median(ratios) if ratios else None

    def _rows(self, name: str) -> list[Row]:
        return [row for row in self.plan.rows if row.name == name]

    def speed(self) -> tuple[list[Table], list[str]]:
        """Rows beside each other on one image; a column that is empty is left out."""

        def part(number: int) -> Callable[[Row], float | None]:
            return lambda row: took[number] if (took := self.seconds(row)) else None

        def megapixels(row: Row) -> float | None:
            return self.plan.image.grey.size / 1e6 / took[0] if (took := self.seconds(row)) else None

        to, exact = f"to {registry.title(REFERENCE)}", partial(Column, significant=3)
        peak = "of peak: multiply-adds of the convolutions, as a share of the highest rate measured in this run."
        columns: list[tuple[Column, str, Callable[[Row], float | None]]] = [
            (exact(title="median, s"), "Time of a call, model loaded: median, fastest and slowest round.", part(0)),
            (exact(title="fastest, s"), "", part(1)),
            (exact(title="slowest, s"), "", part(2)),
            (exact(title="speed, MP/s"), "speed: 10^6 pixels a second.", megapixels),
            (Column(title="memory, MiB", digits=0), f"memory: {RESIDENT}", partial(self.most, MEMORY)),
            (Column(title="on GPU, MiB", digits=0), f"on GPU: {ALLOCATED}", partial(self.most, DEVICE_MEMORY)),
            (Column(title="PSNR, dB", digits=2), "PSNR: of the result.", partial(self.most, "psnr")),
            (Column(title="of peak, %", digits=0), peak, self.share),
            (exact(title=f"{to}, times"), f"{to}: time, the fastest {to[3:]} is 1.", self.ratio),
        ]
        shown = [
            one for at, one in enumerate(columns) if at < 3 or any(one[2](row) is not None for row in self.plan.rows)
        ]
        rows = tuple(layout.Row(row.title, tuple(value(row) for _, _, value in shown)) for row in self.plan.rows)
        text = " ".join(filter(None, (text for _, text, _ in shown)))
        ratios = {name: [ratio for row in self._rows(name) if (ratio := self.ratio(row))] for name in COMPARED}
        known = {registry.title(name): f"{min(found):.3g}" for name, found in ratios.items() if found}
        notes = [f"{' : '.join(known)} = {' : '.join(known.values())} in time, each by its fastest row."]
        notes = (notes if len(known) > 1 else []) + [note for note in NOTES if any(map(self.share, self.plan.rows))]
        return [Table("Speed", text, tuple(column for column, _, _ in shown), rows, 3)], notes

    def growth(self) -> tuple[list[Table], list[str]]:
        """Rows on images of several sizes."""
        sizes = [f"{side}x{side}, {side**2 / 1e6:.3g} MP" for side in self.plan.sides]
        exact = tuple(Column(title=size, significant=3) for size in sizes)
        seconds, rates, memory = [], [], []
        for row, one in zip(self.plan.rows, self.growths(), strict=True):
            times = [took[0] if took else None for took in one.seconds]
            speeds = (took and pixels / 1e6 / took for took, pixels in zip(times, one.pixels, strict=True))
            seconds.append(layout.Row(row.title, (*times, one.exponent)))
            rates.append(layout.Row(row.title, tuple(speeds)))
            memory.append(layout.Row(row.title, tuple(self.most(MEMORY, row, image) for image in self.plan.images)))
        text = (
            "Median time of a call over the rounds. exponent: slope of the line of least squares through the "
            "logarithms of time and pixels; 1 is proportional."
        )
        whole = tuple(Column(title=size, digits=0) for size in sizes)
        return [
            Table("Seconds", text, (*exact, Column(title="exponent", digits=2)), tuple(seconds), 3),
            Table("Megapixels a second", "10^6 pixels a second.", exact, tuple(rates), 3),
            Table("Peak memory, MiB", RESIDENT.capitalize(), whole, tuple(memory), 0),
        ], []

    def growths(self) -> list[plots.Growth]:
        """Each row on images of several sizes, and the law that its times follow."""
        pixels = tuple(side**2 for side in self.plan.sides)
        found = []
        for row in self.plan.rows:
            seconds = tuple(self.seconds(row, image) for image in self.plan.images)
            points = [(size, took[0]) for size, took in zip(pixels, seconds, strict=True) if took]
            found.append(plots.Growth(row.title, pixels, seconds, *power_law(points)))
        return found

    def timings(self) -> list[plots.Timing]:
        """Each row on one image."""
        return [
            plots.Timing(row.title, f"{row.engine} {row.precision}".strip(), self.seconds(row), self.most("psnr", row))
            for row in self.plan.rows
        ]


def power_law(points: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """The exponent of y ~ x^exponent by least squares in the logarithms, and the geometric mean of y / x.

    Args:
        points: (x, y), both above 0; one point has no exponent, and none has no mean.
    """
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean = math.exp(statistics.fmean(y - x for x, y in logs)) if logs else None
    if len(logs) < 2:
        return None, mean
    return statistics.linear_regression([x for x, _ in logs], [y for _, y in logs]).slope, mean
