"""A table whose cases and metrics are given: what the benchmark does with them, without images of its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xray_denoise.bench.cases import Case, CleanImage, ImageSet
from xray_denoise.bench.plan import Plan
from xray_denoise.bench.records import Log, Record
from xray_denoise.bench.rows import Row
from xray_denoise.bench.table import TableSpec

NOTHING = CleanImage("", np.zeros((1, 1), dtype=np.float32))


@dataclass(frozen=True)
class Given(TableSpec):
    found: Iterable[Case] = ()
    metrics: Sequence[str] = ()

    def cases(self, _image: CleanImage, _seed: int, _quick: bool) -> Iterable[Case]:
        return self.found


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
    """Measure rows on cases, as a plan does."""
    table = Given(found=cases, metrics=metrics)
    one = ImageSet("", 1, lambda: iter([NOTHING]))
    return Plan(table, rows, one, seed, warmup=warmup, repeat=repeat).measure(log)
