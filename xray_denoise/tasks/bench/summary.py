"""Statistics over images: means, standard deviations, and paired differences with their 95 % intervals.

The independent unit is the image: patches of one image, and noise levels of one image, are averaged first. With d_1,
..., d_n the differences of two methods on n images, s their standard deviation (divisor n - 1) and t the 97.5 %
quantile of Student's distribution with n - 1 degrees of freedom, the interval is mean(d) +- t s / sqrt(n).
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from xray_denoise.tasks.bench.log import Measurement

Where = tuple[str, float, float]
"""Image, eta and sigma of a case."""
Cells = Sequence[tuple[float, float]]
"""Noise levels: eta and sigma of each."""


class Results:
    """The measurements of a run, by method and case."""

    def __init__(self, done: Iterable[Measurement]) -> None:
        self._found: dict[str, dict[Where, Measurement]] = {}
        for one in done:
            self._found.setdefault(one.method, {})[one.image, one.eta, one.sigma] = one

    def of(self, title: str) -> Mapping[Where, Measurement]:
        """The measurements of one method."""
        return self._found.get(title, {})

    def values(self, title: str, quantity: str, cells: Cells) -> list[float]:
        """A quantity of each image that has all of `cells`, its mean over them."""
        return image_means(self._at(title, quantity, cells), len(cells))

    def differences(self, title: str, reference: str, quantity: str, cells: Cells | None = None) -> list[float]:
        """How far a method lies above another, image by image, over the cases that both have.

        Args:
            title: the method.
            reference: the other one.
            quantity: a field of `Measurement`.
            cells: noise levels, all of which an image must have; None takes the cases that there are.
        """
        one, other = self._at(title, quantity, cells), self._at(reference, quantity, cells)
        both = {where: value - other[where] for where, value in one.items() if where in other}
        return image_means(both, len(cells) if cells else 0)

    def _at(self, title: str, quantity: str, cells: Cells | None) -> dict[Where, float]:
        return {
            where: float(getattr(one, quantity))
            for where, one in self.of(title).items()
            if cells is None or where[1:] in cells
        }


def image_means(values: Mapping[Where, float], needed: int = 0) -> list[float]:
    """The mean over the cases of each image that has `needed` of them, or of each image that has any."""
    grouped: dict[str, list[float]] = {}
    for (image, _, _), value in values.items():
        grouped.setdefault(image, []).append(value)
    return [statistics.fmean(group) for group in grouped.values() if not needed or len(group) == needed]


def mean(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return statistics.fmean(values) if values else None


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation with divisor n - 1; None of fewer than two values, or where one is infinite."""
    return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def margin(differences: Sequence[float]) -> float | None:
    """Half of the 95 % interval of the mean, t s / sqrt(n); None where `spread` is."""
    deviation = spread(differences)
    if deviation is None:
        return None
    from scipy.special import stdtrit

    count = len(differences)
    return float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)
