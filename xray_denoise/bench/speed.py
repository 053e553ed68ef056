"""`bench --speed` and `--growth`: time and memory of methods on one image, or on many sizes of it.

    image + noise -> temporary files -> rounds of fresh processes, one for each row -> records -> tables, plot

All rows take their turn in each round, so that a machine that slows down slows all of them; one process runs at a time.
Ratios of times are taken within each round and then their median; shares are of the highest rate of any round.
"""

import math
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xray_denoise import denoisers
from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import MIDDLE, Case, CleanImage, ImageSet, image_set
from xray_denoise.bench.fresh_process import in_fresh_process
from xray_denoise.bench.machine import device_name, precisions, processor
from xray_denoise.bench.metrics import SECONDS
from xray_denoise.bench.rows import Absent, Row
from xray_denoise.bench.table import Run, TableSpec, Work
from xray_denoise.bench.timed_run import (
    CLEAN,
    DEVICE_MEMORY,
    MEMORY,
    MULTIPLY_ADDS,
    NOISY,
    PEAK_RATE,
    PIXELS,
    TimedRun,
)
from xray_denoise.denoisers import Denoiser, Runtime
from xray_denoise.denoisers.devices import choose_device
from xray_denoise.reports import plots
from xray_denoise.reports import tables as layout
from xray_denoise.reports.page import Plot
from xray_denoise.reports.tables import Column, Table

if TYPE_CHECKING:
    from xray_denoise.bench.plan import Plan

SIDES = (512, 1024, 2048, 4096, 8192)
"""Sides of the images of `--growth`, pixels: 0.25 to 64 times 2^20 pixels."""
ROUNDS, FEW_ROUNDS = 5, 3
"""Of a table of speeds; and of a quick one, or of growth."""
REFERENCE = "lite"
"""The method whose fastest row the times of the others are compared with."""
COMPARED = ("lite", "x-bdcnn", "gat-bm3d")
"""Methods whose times a note compares, each by its fastest row."""
RESIDENT = "the most that the process had resident, all of it."
PEAK = "of peak: multiply-adds of the convolutions, as a share of the highest rate measured in this run."


@dataclass(frozen=True)
class SpeedTable(TableSpec):
    """Rows beside each other on one image or, with `sides`, on images of several sizes."""

    metrics = (SECONDS,)
    in_processes: ClassVar[bool] = True

    sides: tuple[int, ...] = ()
    """Of the images that growth is measured on, pixels; a quick run takes the first three."""

    @property
    def growth(self) -> bool:
        """Whether there are several sizes."""
        return bool(self.sides)

    @property
    def plotted(self) -> str:  # type: ignore[override]
        """See `TableSpec`."""
        return "Time by size" if self.growth else "PSNR by time"

    def rows(self) -> list[str]:
        """Those of docs/performance.md."""
        return registry.of_set(registry.GROWTH if self.growth else registry.SPEED)

    def images(self, folder: Path | None, *, quick: bool) -> ImageSet:
        """The first image; growth takes it whole."""
        found = image_set(folder, quick=quick and not self.growth)
        return ImageSet(f"the first of {found.words}", 1, lambda: islice(found.open(), 1))

    def cases(self, image: CleanImage, seed: int, quick: bool) -> Iterator[Case]:
        """The image as it is, or brought to each size."""
        del seed
        return (Case(image, MIDDLE, side=side) for side in self._sides(quick))

    def rounds(self, *, quick: bool) -> int:
        """Fewer where they take long, or little is asked for."""
        return FEW_ROUNDS if quick or self.growth else ROUNDS

    @contextmanager
    def work(self, warmup: int, repeat: int, *, quick: bool) -> Iterator[Work]:
        """Run each row in a process of its own, which finds the images in a temporary folder."""
        del repeat, quick
        with TemporaryDirectory(prefix="xray-denoise-") as name:

            def apart(row: Row, case: Case, noisy: NDArray[np.float32]) -> dict[str, float | None]:
                np.save(Path(name, NOISY), noisy)
                np.save(Path(name, CLEAN), case.image.grey)
                return in_fresh_process(TimedRun(row, Path(name), warmup, whole=not case.side))

            yield apart

    def too_slow(self, row: str) -> bool:
        """See `TableSpec`."""
        return registry.is_slow(row)

    def ready(self, rows: Sequence[str], runtime: Runtime, threads: int | None) -> tuple[list[Row], list[Absent]]:
        """A network has a row for each precision or, for growth, one; see `TableSpec`."""
        able = precisions(runtime, every=not self.growth)  # what was asked for must be possible, whatever the rows
        loaded, absent = registry.make(rows, Runtime("cpu"))  # to find out whether they can be
        return [row for one in loaded for row in _timed_rows(one, runtime, able, threads)], absent

    def facts(self, plan: "Plan", run: Run) -> Sequence[tuple[str, str]]:
        """See `TableSpec`."""
        peaks = {row.precision: most for row in run.rows if (most := _peak(run, row))}
        rates = ", ".join(f"{most / 1e9:.3g}e9 in {precision}" for precision, most in peaks.items())
        return (
            ("image", plan.images.words),
            ("noise", f"eta {MIDDLE.eta:g}, sigma {MIDDLE.sigma:g}, seed {plan.seed}"),
            ("machine", machine(plan)),
            ("runs", f"{plan.repeat} round{'s' * (plan.repeat > 1)}, a fresh process for each row"),
            ("peak", f"multiply-adds a second: {rates}" if rates else ""),
        )

    def remarks(self, run: Run) -> list[str]:
        """Notes on the measurement, and a comparison."""
        ratios = {
            name: [ratio for row in run.rows if row.name == name and (ratio := _ratio(run, row))] for name in COMPARED
        }
        known = {registry.title(name): f"{min(found):.3g}" for name, found in ratios.items() if found}
        notes = [f"{' : '.join(known)} = {' : '.join(known.values())} in time, each by its fastest row."]
        notes = notes if len(known) > 1 else []
        if any(_peak(run, row) for row in run.rows):
            notes.append("Classical methods compute on one core, networks on the threads that are named above.")
            notes.append("The peak is the highest rate of torch's product of matrices or 3x3 convolution in any round.")
        return notes

    def layout(self, run: Run) -> list[Table]:
        """Columns of one image, or tables of sizes."""
        return self._growth(run) if self.growth else [_speed(run)]

    def plot(self, run: Run) -> Plot:
        """PSNR over time, or time over pixels."""
        if self.growth:
            return Plot(self.plotted, plots.time_by_pixels(self._growths(run)))
        timings = [
            plots.Timing(row.title, row.precision, _seconds(run, row), _most(run, row, "psnr")) for row in run.rows
        ]
        return Plot(self.plotted, plots.psnr_by_time(timings))

    def _sides(self, quick: bool) -> tuple[int, ...]:
        return (self.sides[:3] if quick else self.sides) or (0,)

    def _growths(self, run: Run) -> list[plots.Growth]:
        """Each row on images of several sizes, and the law that its times follow."""
        pixels = tuple(side**2 for side in self._sides(run.quick))
        found = []
        for row in run.rows:
            seconds = tuple(_seconds(run, row, _size(side)) for side in self._sides(run.quick))
            points = [(size, took[0]) for size, took in zip(pixels, seconds, strict=True) if took]
            found.append(plots.Growth(row.title, pixels, seconds, *power_law(points)))
        return found

    def _growth(self, run: Run) -> list[Table]:
        sides = self._sides(run.quick)
        sizes = [f"{side}x{side}, {side**2 / 1e6:.3g} MP" for side in sides]
        exact = tuple(Column(title=size, significant=3) for size in sizes)
        seconds, rates, memory = [], [], []
        for row, one in zip(run.rows, self._growths(run), strict=True):
            times = [took[0] if took else None for took in one.seconds]
            speeds = (took and pixels / 1e6 / took for took, pixels in zip(times, one.pixels, strict=True))
            seconds.append(layout.Row(row.title, (*times, one.exponent)))
            rates.append(layout.Row(row.title, tuple(speeds)))
            memory.append(layout.Row(row.title, tuple(_most(run, row, MEMORY, _size(side)) for side in sides)))
        text = (
            "Median time of a call over the rounds. exponent: slope of the line of least squares through the "
            "logarithms of time and pixels; 1 is proportional."
        )
        whole = tuple(Column(title=size, digits=0) for size in sizes)
        return [
            Table("Seconds", text, (*exact, Column(title="exponent", digits=2)), tuple(seconds), 3),
            Table("Megapixels a second", "10^6 pixels a second.", exact, tuple(rates), 3),
            Table("Peak memory, MiB", RESIDENT.capitalize(), whole, tuple(memory), 0),
        ]


def _speed(run: Run) -> Table:
    """Rows beside each other on one image; a column that is empty is left out."""

    def part(number: int) -> Callable[[Row], float | None]:
        return lambda row: took[number] if (took := _seconds(run, row)) else None

    to, exact = f"to {registry.title(REFERENCE)}", partial(Column, significant=3)
    most = partial(partial, _most, run)
    columns: list[tuple[Column, str, Callable[[Row], float | None]]] = [
        (exact(title="median, s"), "Time of a call, model loaded: median, fastest and slowest round.", part(0)),
        (exact(title="fastest, s"), "", part(1)),
        (exact(title="slowest, s"), "", part(2)),
        (exact(title="speed, MP/s"), "speed: 10^6 pixels a second.", partial(_rate, run)),
        (Column(title="memory, MiB", digits=0), f"memory: {RESIDENT}", most(metric=MEMORY)),
        (
            Column(title="on GPU, MiB", digits=0),
            "on GPU: the most that torch had allocated there.",
            most(metric=DEVICE_MEMORY),
        ),
        (Column(title="PSNR, dB", digits=2), "PSNR: of the result.", most(metric="psnr")),
        (Column(title="of peak, %", digits=0), PEAK, partial(_share, run)),
        (exact(title=f"{to}, times"), f"{to}: time, the fastest {to[3:]} is 1.", partial(_ratio, run)),
    ]
    shown = [one for at, one in enumerate(columns) if at < 3 or any(one[2](row) is not None for row in run.rows)]
    rows = tuple(layout.Row(row.title, tuple(value(row) for _, _, value in shown)) for row in run.rows)
    text = " ".join(filter(None, (text for _, text, _ in shown)))
    return Table("Speed", text, tuple(column for column, _, _ in shown), rows, 3)


def _seconds(run: Run, row: Row, image: str | None = None) -> plots.Triple | None:
    """Median, smallest and largest time of a row."""
    times = run.results.rounds(row.title, SECONDS, image).values()
    return (statistics.median(times), min(times), max(times)) if times else None


def _most(run: Run, row: Row, metric: str, image: str | None = None) -> float | None:
    """The largest value over the rounds."""
    return max(run.results.rounds(row.title, metric, image).values(), default=None)


def _rate(run: Run, row: Row) -> float | None:
    """10^6 pixels per second."""
    took, pixels = _seconds(run, row), _most(run, row, PIXELS)
    return pixels / 1e6 / took[0] if took and pixels else None


def _peak(run: Run, row: Row) -> float | None:
    """Multiply-adds a second that the machine reached in the precision of a row, in any round of any row."""
    found = [_most(run, one, PEAK_RATE) for one in run.rows if one.precision == row.precision]
    return max(filter(None, found), default=None)


def _share(run: Run, row: Row) -> float | None:
    """Multiply-adds per second of a row as a share of the peak rate, per cent."""
    took, work, peak = _seconds(run, row), _most(run, row, MULTIPLY_ADDS), _peak(run, row)
    return 100 * work / took[0] / peak if took and work and peak else None


def _ratio(run: Run, row: Row) -> float | None:
    """Time as a multiple of that of the fastest row of the reference, the median over the rounds of both."""
    times = {one.title: took[0] for one in run.rows if one.name == REFERENCE and (took := _seconds(run, one))}
    fastest = min(times, key=lambda title: times[title], default="")
    own, other = (run.results.rounds(title, SECONDS) for title in (row.title, fastest))
    ratios = [value / other[number] for number, value in own.items() if number in other]
    return statistics.median(ratios) if ratios else None


def _size(side: int) -> str:
    return f"{side}x{side} pixels"


def machine(plan: "Plan") -> str:
    """Where the rows of a plan run."""
    import torch

    device = str(choose_device(plan.runtime.device))
    threads = f", {plan.threads or torch.get_num_threads()} threads" if device == "cpu" else ""
    return f"{processor()}, {os.cpu_count()} cores; networks on {device_name(device)}{threads}"


def _timed_rows(row: Row, runtime: Runtime, able: Sequence[str], threads: int | None) -> list[Row]:
    """One row for each precision that a network is timed in, without what was loaded."""
    if not row.is_network:
        return [replace(row)]
    sha256, found = row.denoiser.weights_sha256, []
    for precision in able:
        made = partial(_network, row.name, replace(runtime, precision=precision), threads)
        found.append(Row(f"{row.title}, {precision}", row.name, made, row.oracle, precision, sha256))
    return found


def _network(name: str, runtime: Runtime, threads: int | None) -> Denoiser:
    """In a process of its own: a network on so many threads."""
    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    return denoisers.get(name, runtime)


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
