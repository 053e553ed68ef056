"""`bench --speed` and `--growth`: time and memory of methods on one image, or on many sizes of it.

    image + noise -> rounds of fresh processes, one for each row -> records -> tables, plot

All rows take their turn in each round, so that a machine that slows down slows all of them; one process runs at a time.
Ratios of times are taken within each round and then their median; shares are of the highest rate of any round.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xray_denoise import denoisers
from xray_denoise.bench import rows as registry
from xray_denoise.bench import timed_run
from xray_denoise.bench.cases import MIDDLE, Case, CleanImage, ImageSet, image_set
from xray_denoise.bench.machine import machine, precisions
from xray_denoise.bench.metrics import SECONDS
from xray_denoise.bench.rows import Row
from xray_denoise.bench.table import Run, TableSpec, Work
from xray_denoise.denoisers import Denoiser, Runtime
from xray_denoise.reports import plots
from xray_denoise.reports import tables as layout
from xray_denoise.reports.page import Plot
from xray_denoise.reports.tables import Column, Table

if TYPE_CHECKING:
    from xray_denoise.bench.plan import Plan

REFERENCE = "lite"
"""The method whose fastest row the times of the others are compared with."""
COMPARED = (REFERENCE, "x-bdcnn", "gat-bm3d")
"""Methods whose times a note compares, each by its fastest row."""
RESIDENT = "the most that the process had resident, all of it."
COLUMNS = (
    (Column(title="median, s", significant=3), "Time of a call, model loaded: median, fastest and slowest round."),
    (Column(title="fastest, s", significant=3), ""),
    (Column(title="slowest, s", significant=3), ""),
    (Column(title="speed, MP/s", significant=3), "speed: 10^6 pixels a second."),
    (Column(title="memory, MiB", digits=0), f"memory: {RESIDENT}"),
    (Column(title="on GPU, MiB", digits=0), "on GPU: the most that torch had allocated there."),
    (Column(title="PSNR, dB", digits=2), "PSNR: of the result."),
    (
        Column(title="of peak, %", digits=0),
        "of peak: multiply-adds of the convolutions, as a share of the highest rate measured in this run.",
    ),
    (Column(title="to lite, times", significant=3), "to lite: time, the fastest lite is 1."),
)
"""Of a table of speeds, and what they mean; one that is empty is left out, but for the first three."""


@dataclass(frozen=True)
class SpeedTable(TableSpec):
    """Rows beside each other on one image."""

    metrics = (SECONDS,)
    in_processes = True
    plotted = "PSNR by time"
    row_set = registry.SPEED
    rounds = (5, 3)
    every_precision: ClassVar[bool] = True
    """Whether a network has a row for each native precision, if none is named."""

    def images(self, folder: Path | None, quick: bool) -> ImageSet:
        """The first image."""
        found = image_set(folder, quick=quick)
        return ImageSet(f"the first of {found.words}", 1, lambda: islice(found.open(), 1))

    def cases(self, image: CleanImage, _seed: int, _quick: bool) -> Iterator[Case]:
        """The image as it is."""
        yield Case(image, MIDDLE)

    def work(self, plan: "Plan") -> Work:
        """Run each row in a process of its own."""
        return partial(timed_run.apart, plan.warmup)

    def too_slow(self, row: str) -> bool:
        """See `TableSpec`."""
        return registry.split(row)[0].slow

    def ready(self, rows: Sequence[str], runtime: Runtime, threads: int | None) -> tuple[list[Row], dict[str, str]]:
        """See `TableSpec`; the rows do not hold what was loaded to find out whether they can run."""
        able = precisions(runtime, every=self.every_precision)  # what was asked for must be possible, whatever the rows
        loaded, absent = registry.make(rows, Runtime("cpu"))
        found = []
        for row in loaded:
            if not row.is_network:
                found.append(replace(row))
                continue
            for precision in able:
                made = partial(_network, row.name, replace(runtime, precision=precision), threads)
                title, sha256 = f"{row.title}, {precision}", row.denoiser.weights_sha256
                found.append(Row(title, row.name, made, row.oracle, precision, sha256))
        return found, absent

    def facts(self, plan: "Plan", run: Run) -> Sequence[tuple[str, str]]:
        """See `TableSpec`."""
        peaks = {row.precision: most for row in run.rows if (most := _peak(run, row))}
        rates = ", ".join(f"{most / 1e9:.3g}e9 in {precision}" for precision, most in peaks.items())
        return (
            ("image", plan.images.words),
            ("noise", f"eta {MIDDLE.eta:g}, sigma {MIDDLE.sigma:g}, seed {plan.seed}"),
            ("machine", machine(plan.runtime.device, plan.threads)),
            ("runs", f"{plan.repeat} round{'s' * (plan.repeat > 1)}, a fresh process for each row"),
            ("peak", f"multiply-adds a second: {rates}" if rates else ""),
        )

    def remarks(self, run: Run) -> list[str]:
        """Notes on the measurement, and a comparison."""
        known = {}
        for name in COMPARED:
            if found := [ratio for row in run.rows if row.name == name and (ratio := _ratio(run, row))]:
                known[registry.title(name)] = f"{min(found):.3g}"
        words = f"{' : '.join(known)} = {' : '.join(known.values())}"
        notes = [f"{words} in time, each by its fastest row."] if len(known) > 1 else []
        if any(_peak(run, row) for row in run.rows):
            notes.append("Classical methods compute on one core, networks on the threads that are named above.")
            notes.append("The peak is the highest rate of torch's product of matrices or 3x3 convolution in any round.")
        return notes

    def layout(self, run: Run) -> list[Table]:
        """The columns that some row has a value for."""
        found = {row.title: _values(run, row) for row in run.rows}
        shown = [at for at in range(len(COLUMNS)) if at < 3 or any(values[at] is not None for values in found.values())]
        rows = [layout.Row(title, tuple(values[at] for at in shown)) for title, values in found.items()]
        text = " ".join(COLUMNS[at][1] for at in shown if COLUMNS[at][1])
        return [Table("Speed", text, tuple(COLUMNS[at][0] for at in shown), tuple(rows), 3)]

    def plot(self, run: Run) -> Plot:
        """PSNR over time."""
        timings = [
            plots.Timing(row.title, row.precision, _seconds(run, row), _most(run, row, "psnr")) for row in run.rows
        ]
        return Plot(self.plotted, plots.psnr_by_time(timings))


@dataclass(frozen=True)
class GrowthTable(SpeedTable):
    """Rows beside each other on an image brought to several sizes."""

    plotted = "Time by size"
    row_set = registry.GROWTH
    rounds = (3, 3)
    every_precision = False
    sides: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)
    """Of the images, pixels: 0.25 to 64 times 2^20 pixels; a quick run takes the first three."""

    def images(self, folder: Path | None, _quick: bool) -> ImageSet:
        """The first image, whole."""
        return super().images(folder, quick=False)

    def cases(self, image: CleanImage, _seed: int, quick: bool) -> Iterator[Case]:
        """The image brought to each size."""
        return (Case(image, MIDDLE, side=side) for side in self._sides(quick))

    def layout(self, run: Run) -> list[Table]:
        """Time, speed and memory, a column for each size."""
        sides = self._sides(run.quick)
        seconds, rates, memory = [], [], []
        for row, one in zip(run.rows, self._growths(run), strict=True):
            times = [took and took[0] for took in one.seconds]
            speeds = (took and pixels / 1e6 / took for took, pixels in zip(times, one.pixels, strict=True))
            seconds.append(layout.Row(row.title, (*times, one.exponent)))
            rates.append(layout.Row(row.title, tuple(speeds)))
            held = (_most(run, row, timed_run.MEMORY, _size(side)) for side in sides)
            memory.append(layout.Row(row.title, tuple(held)))
        text = (
            "Median time of a call over the rounds. exponent: slope of the line of least squares through the "
            "logarithms of time and pixels; 1 is proportional."
        )
        sizes = [f"{side}x{side}, {side**2 / 1e6:.3g} MP" for side in sides]
        exact = tuple(Column(title=size, significant=3) for size in sizes)
        whole = tuple(Column(title=size, digits=0) for size in sizes)
        return [
            Table("Seconds", text, (*exact, Column(title="exponent", digits=2)), tuple(seconds), 3),
            Table("Megapixels a second", "10^6 pixels a second.", exact, tuple(rates), 3),
            Table("Peak memory, MiB", RESIDENT.capitalize(), whole, tuple(memory), 0),
        ]

    def plot(self, run: Run) -> Plot:
        """Time over pixels."""
        return Plot(self.plotted, plots.time_by_pixels(self._growths(run)))

    def _sides(self, quick: bool) -> tuple[int, ...]:
        return self.sides[:3] if quick else self.sides

    def _growths(self, run: Run) -> list[plots.Growth]:
        """The times of each row, and the law that they follow."""
        sides, found = self._sides(run.quick), []
        for row in run.rows:
            seconds = tuple(_seconds(run, row, _size(side)) for side in sides)
            points = [(side**2, took[0]) for side, took in zip(sides, seconds, strict=True) if took]
            found.append(plots.Growth(row.title, tuple(side**2 for side in sides), seconds, *power_law(points)))
        return found


def _values(run: Run, row: Row) -> tuple[float | None, ...]:
    """The values of `COLUMNS`."""
    took, most = _seconds(run, row), partial(_most, run, row)
    if took is None:
        return (None,) * len(COLUMNS)
    pixels, work, peak = most(timed_run.PIXELS), most(timed_run.MULTIPLY_ADDS), _peak(run, row)
    return (
        *took,
        pixels and pixels / 1e6 / took[0],
        most(timed_run.MEMORY),
        most(timed_run.DEVICE_MEMORY),
        most("psnr"),
        100 * work / took[0] / peak if work and peak else None,
        _ratio(run, row),
    )


def _seconds(run: Run, row: Row, image: str | None = None) -> plots.Triple | None:
    """Median, smallest and largest time of a row."""
    times = run.results.rounds(row.title, SECONDS, image).values()
    return (statistics.median(times), min(times), max(times)) if times else None


def _most(run: Run, row: Row, metric: str, image: str | None = None) -> float | None:
    """The largest value over the rounds."""
    return max(run.results.rounds(row.title, metric, image).values(), default=None)


def _peak(run: Run, row: Row) -> float | None:
    """Multiply-adds a second that the machine reached in the precision of a row, in any round of any row."""
    found = [_most(run, one, timed_run.PEAK_RATE) for one in run.rows if one.precision == row.precision]
    return max(filter(None, found), default=None)


def _ratio(run: Run, row: Row) -> float | None:
    """Time as a multiple of that of the fastest row of the reference, the median over the rounds of both."""
    times = {one.title: took[0] for one in run.rows if one.name == REFERENCE and (took := _seconds(run, one))}
    fastest = min(times, key=lambda title: times[title], default="")
    own, other = (run.results.rounds(title, SECONDS) for title in (row.title, fastest))
    ratios = [value / other[number] for number, value in own.items() if number in other]
    return statistics.median(ratios) if ratios else None


def _size(side: int) -> str:
    return f"{side}x{side} pixels"


def _network(name: str, runtime: Runtime, threads: int | None) -> Denoiser:
    """In a process of its own: a network on so many threads."""
    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    return denoisers.get(name, runtime)


def power_law(points: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """The exponent of y ~ x^exponent by least squares in the logarithms, and the geometric mean of y / x.

    `points` are (x, y), both above 0; one point has no exponent, and none has no mean.
    """
    if not points:
        return None, None
    x, y = np.log(points).T
    return float(np.polyfit(x, y, 1)[0]) if len(points) > 1 else None, float(np.exp((y - x).mean()))
