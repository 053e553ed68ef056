"""Measure every row on every case, and say how long the rest will take."""

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.metrics import quality
from xray_denoise.tasks.bench.cases import TABLE_2, Case, CasesOf, CleanImage, at_levels
from xray_denoise.tasks.bench.log import Key, Log, Measurement
from xray_denoise.tasks.bench.rows import Entry

NINE_LEVELS = at_levels(TABLE_2)
"""The cases of Table II."""
WARMUP_SIZE = 64
"""Side of the crop that a denoiser runs on before the clock starts, pixels."""


def measurements(
    entries: Sequence[Entry],
    images: Iterable[CleanImage],
    log: Log,
    *,
    cases: CasesOf = NINE_LEVELS,
    seed: int = 0,
    warmup: int = 1,
    repeat: int = 1,
) -> Iterator[Measurement]:
    """Measure every entry on every case of every image, image by image, and log what is new.

    There is one measurement for each entry of each case, in this order; one that the log knows comes from there.

    Args:
        entries: the rows.
        images: may be a generator, only one image is held.
        log: keeps the results.
        cases: what is made of an image.
        seed: of the noise.
        warmup: calls of each denoiser on a small crop before its first call that is timed.
        repeat: calls per measurement; the median of their times counts.
    """
    if len({entry.title for entry in entries}) < len(entries):
        raise ValueError("two entries have one title")
    warm: set[str] = set()
    for case in (case for image in images for case in cases(image)):
        digest, level = case.image.sha256, case.level
        noisy = None
        for entry in entries:
            key = Key(entry.identity, digest, float(level.eta), float(level.sigma), seed)
            measurement = log.get(key)
            if measurement is None:
                noisy = case.noisy(seed) if noisy is None else noisy
                for _ in range(0 if entry.title in warm else warmup):
                    entry.denoiser(noisy[:WARMUP_SIZE, :WARMUP_SIZE], level if entry.oracle else None)
                warm.add(entry.title)
                measurement = _measured(entry, case, noisy, repeat)
                log.add(key, measurement)
            yield replace(measurement, method=entry.title, image=case.image.name)


def _measured(entry: Entry, case: Case, noisy: NDArray[np.float32], repeat: int) -> Measurement:
    durations = []
    for _ in range(repeat):
        start = time.perf_counter()
        denoised = entry.denoiser(noisy, case.level if entry.oracle else None)
        durations.append(time.perf_counter() - start)
    scores = asdict(quality(denoised.image, case.image.grey))
    where = (entry.title, float(case.level.eta), float(case.level.sigma), case.image.name)
    return Measurement(*where, **scores, seconds=statistics.median(durations), level=denoised.level)


class Pace:
    """How long a run will take, judged row by row: one row may take a hundred times as long as another.

    A row's cost is the mean wall time of its measurements so far, or, where all of them came from the log, the mean
    of the times in it.

    Args:
        titles: of the rows.
        cases: measurements that each row will have.
    """

    def __init__(self, titles: Sequence[str], cases: int) -> None:
        self._cases = cases
        self._done = dict.fromkeys(titles, 0)
        self._walls: dict[str, list[float]] = {title: [] for title in titles}
        self._logged: dict[str, list[float]] = {title: [] for title in titles}

    def add(self, title: str, seconds: float, wall: float) -> None:
        """Count a measurement of `seconds` that arrived `wall` seconds after the one before it."""
        self._done[title] += 1
        fresh = wall >= seconds
        (self._walls if fresh else self._logged)[title].append(wall if fresh else seconds)

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take; None while a row has no measurement yet."""
        costs = {title: self._walls[title] or self._logged[title] for title in self._done}
        if not all(costs.values()):
            return None
        return sum(
            (self._cases - done) * statistics.fmean(cost)
            for done, cost in zip(self._done.values(), costs.values(), strict=True)
        )

    def share(self, elapsed: float) -> float:
        """What part of the run's time is over after `elapsed` seconds, 0..1; 0 while nobody can tell."""
        left = self.left
        return 0.0 if left is None else elapsed / max(elapsed + left, 1e-9)
