"""From samples to the tables of `bench --speed` and `--growth`.

Ratios of times are taken within each round and then their median, so that a machine that slows down for a while
changes them little. Shares are of the highest rate that the machine showed in any round.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from xray_denoise.reports import methods, page, plots, speed
from xray_denoise.reports.speed import Growth, Speed
from xray_denoise.reports.tables import Report
from xray_denoise.tasks.bench.trial import Trial
from xray_denoise.tasks.bench.visit import PEAK, Sample, Subject

REFERENCE = "lite"
"""The method whose fastest row the times of the others are compared with."""
COMPARED = ("lite", "x-bdcnn", "gat-bm3d")
"""Methods whose times a note compares, each by its fastest row."""


class Samples:
    """The samples of a run that did not fail, by row, size and round."""

    def __init__(self, done: Iterable[Sample]) -> None:
        self._found: dict[tuple[str, int], dict[int, Sample]] = {}
        self.failures: list[Sample] = []
        for one in done:
            if one.failure:
                self.failures.append(one)
            else:
                self._found.setdefault((one.title, one.pixels), {})[one.round] = one

    def of(self, title: str, pixels: int) -> Mapping[int, Sample]:
        """The samples of a row by their round; none where there is none."""
        return self._found.get((title, pixels), {})

    def seconds(self, title: str, pixels: int) -> tuple[float, float, float] | None:
        """Median, smallest and largest time of a row."""
        times = [one.seconds for one in self.of(title, pixels).values()]
        return (statistics.median(times), min(times), max(times)) if times else None

    def most(self, title: str, pixels: int, quantity: str) -> float | None:
        """The largest value of a field over the rounds."""
        return max(_known(self.of(title, pixels).values(), quantity), default=None)


def speed_report(trial: Trial, done: Sequence[Sample]) -> Report:
    """The table of speeds; an interrupted run has fewer samples."""
    samples, pixels = Samples(done), trial.image.grey.size
    fastest = _fastest(samples, trial.subjects, REFERENCE, pixels)
    rows = []
    for subject in trial.subjects:
        seconds = samples.seconds(subject.title, pixels)
        own = samples.of(subject.title, pixels)
        rows.append(
            Speed(
                subject.title,
                seconds,
                pixels / 1e6 / seconds[0] if seconds else None,
                samples.most(subject.title, pixels, "peak_memory"),
                samples.most(subject.title, pixels, "device_memory"),
                samples.most(subject.title, pixels, "psnr"),
                _share(samples, subject, own, seconds),
                _ratio(_times(own), _times(samples.of(fastest, pixels))) if fastest else None,
            )
        )
    peaks = _machine_facts(samples, trial.subjects)
    facts = (*trial.facts, *peaks)
    of_networks = [speed.NOTE_ONE_CORE, speed.NOTE_PEAK] if peaks else []
    notes = [*_comparison(rows, trial.subjects), *of_networks, *_notes(trial, samples, done)]
    return speed.speeds(rows, methods.title(REFERENCE), facts, notes)


def growths(trial: Trial, done: Iterable[Sample]) -> list[Growth]:
    """Time and memory of each row on each size, and the law that they follow."""
    samples = Samples(done)
    pixels = tuple(side**2 for side in trial.sides)
    found = []
    for subject in trial.subjects:
        seconds = tuple(samples.seconds(subject.title, size) for size in pixels)
        memory = tuple(samples.most(subject.title, size, "peak_memory") for size in pixels)
        points = [(size, one[0]) for size, one in zip(pixels, seconds, strict=True) if one]
        found.append(Growth(subject.title, pixels, seconds, memory, *power_law(points)))
    return found


def growth_report(trial: Trial, done: Sequence[Sample]) -> Report:
    """The tables of growth; an interrupted run has fewer samples."""
    found = growths(trial, done)
    return speed.growths(found, trial.sides, trial.facts, _notes(trial, Samples(done), done))


def report(trial: Trial, done: Sequence[Sample]) -> Report:
    """The tables that a trial is for."""
    return growth_report(trial, done) if trial.sides else speed_report(trial, done)


def plot(trial: Trial, done: Sequence[Sample]) -> bytes:
    """The plot that a trial is for, as SVG: PSNR over time, or time over pixels."""
    if trial.sides:
        return plots.time_by_pixels(growths(trial, done))
    samples, pixels = Samples(done), trial.image.grey.size
    found = [
        Speed(
            one.title,
            samples.seconds(one.title, pixels),
            psnr=samples.most(one.title, pixels, "psnr"),
            way=f"{one.engine} {one.precision}".strip(),
        )
        for one in trial.subjects
    ]
    return plots.psnr_by_time(found)


def html(trial: Trial, done: Sequence[Sample]) -> bytes:
    """One page with the tables and the plot."""
    made = report(trial, done)
    drawn = page.Plot("Time by size" if trial.sides else "PSNR by time", plot(trial, done))
    return page.html(made.title, facts=(), reports=[made], plots=[drawn])


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


def _fastest(samples: Samples, subjects: Sequence[Subject], name: str, pixels: int) -> str | None:
    """Title of the row of a method that has the smallest median."""
    titles = [subject.title for subject in subjects if subject.name == name]
    known = [(found[0], title) for title in titles if (found := samples.seconds(title, pixels))]
    return min(known)[1] if known else None


def _times(found: Mapping[int, Sample]) -> dict[int, float]:
    return {at: one.seconds for at, one in found.items()}


def _share(
    samples: Samples, subject: Subject, own: Mapping[int, Sample], seconds: tuple[float, float, float] | None
) -> float | None:
    """Multiply-adds of a row as a share of what the machine does in its median time, per cent."""
    peak = samples.most(f"{PEAK}, {subject.precision}", 0, "multiply_adds")
    work = max(_known(own.values(), "multiply_adds"), default=None)
    return 100 * work / seconds[0] / peak if seconds and work and peak else None


def _ratio(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """The median over the rounds that both have."""
    ratios = [value / other[at] for at, value in one.items() if at in other]
    return statistics.median(ratios) if ratios else None


def _known(found: Iterable[Sample], quantity: str) -> list[float]:
    return [value for one in found if (value := getattr(one, quantity)) is not None]


def _machine_facts(samples: Samples, subjects: Sequence[Subject]) -> list[tuple[str, str]]:
    rates = {}
    for precision in (subject.precision for subject in subjects if subject.precision):
        most = samples.most(f"{PEAK}, {precision}", 0, "multiply_adds")
        if most:
            rates[precision] = f"{most / 1e9:.3g}e9 in {precision}"
    return [("peak", f"multiply-adds a second: {', '.join(rates.values())}")] if rates else []


def _comparison(rows: Sequence[Speed], subjects: Sequence[Subject]) -> list[str]:
    """One sentence that compares the fastest rows of some methods, where there are two at least."""
    found: dict[str, float] = {}
    for name in COMPARED:
        ratios = [row.ratio for row, one in zip(rows, subjects, strict=True) if one.name == name and row.ratio]
        if ratios:
            found[methods.title(name)] = min(ratios)
    if len(found) < 2:
        return []
    times = " : ".join(f"{ratio:.3g}" for ratio in found.values())
    return [f"{' : '.join(found)} = {times} in time, each by its fastest row."]


def _notes(trial: Trial, samples: Samples, done: Sequence[Sample]) -> list[str]:
    notes = [f"Not installed: {row.title} ({row.hint})." for row in trial.absent]
    for one in samples.failures:
        notes.append(f"{one.row} failed: {one.failure}.")
    if len(done) < trial.total and not samples.failures:
        notes.append("The run is not complete: the numbers come from the rounds so far, and not all from the same.")
    return notes
