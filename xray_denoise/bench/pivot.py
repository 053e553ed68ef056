"""Statistics of records over images: means, standard deviations, and paired differences with 95 % intervals.

The independent unit is the image: patches of one image, and noise levels of one image, are averaged first. With d_1,
..., d_n the differences of two rows on n images, s their standard deviation (divisor n - 1) and t the 97.5 %
quantile of Student's distribution with n - 1 degrees of freedom, the interval is mean(d) +- t s / sqrt(n).
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from xray_denoise.bench.records import Record
from xray_denoise.reports.tables import Row

Values = Mapping[tuple[str, str], float]
"""Values by image and label of the noise."""


class Results:
    """The records of a run by row, image, noise and round; those of rows that failed apart."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.failures: list[Record] = []
        self._found: dict[str, dict[tuple[str, str, int], Record]] = {}
        for one in records:
            if one.failure:
                self.failures.append(one)
            else:
                self._found.setdefault(one.row, {})[one.image, one.noise, one.repeat] = one

    def values(self, row: str, metric: str, noises: Sequence[str] | None = None) -> dict[tuple[str, str], float]:
        """A metric of a row in every case, or in those of `noises`; of several rounds the last."""
        return {
            (image, noise): value
            for (image, noise, _), one in self._found.get(row, {}).items()
            if (noises is None or noise in noises) and (value := one.values.get(metric)) is not None
        }

    def rounds(self, row: str, metric: str, image: str | None = None) -> dict[int, float]:
        """A metric of a row on an image, or on the only one, by the number of the round."""
        return {
            number: value
            for (name, _, number), one in self._found.get(row, {}).items()
            if image in (None, name) and (value := one.values.get(metric)) is not None
        }

    def differences(self, row: str, reference: str, metric: str, noises: Sequence[str] | None = None) -> list[float]:
        """How far a row lies above another, image by image, over the cases that both have.

        An image must have all of `noises`; None takes the cases that there are.
        """
        one, other = self.values(row, metric, noises), self.values(reference, metric, noises)
        both = {where: value - other[where] for where, value in one.items() if where in other}
        return image_means(both, len(noises) if noises else 0)

    def means(self, row: str, metric: str, columns: Sequence[Sequence[str]]) -> Row:
        """Mean and standard deviation over images, one column for each group of noises.

        The value of a column is the mean over its noises of the means over images; None while one of them is missing.
        """
        values, spreads = [], []
        for noises in columns:
            known = [mean(image_means(self.values(row, metric, [noise]), 1)) for noise in noises]
            complete = [value for value in known if value is not None]
            values.append(mean(complete) if len(complete) == len(noises) else None)
            spreads.append(spread(image_means(self.values(row, metric, noises), len(noises))))
        return Row(row, tuple(values), spreads=tuple(spreads))

    def gaps(self, row: str, reference: str, columns: Sequence[tuple[str, Sequence[str] | None]]) -> Row | None:
        """Paired differences to `reference` and their intervals, one column for each metric and its noises.

        None for the reference itself, without a reference, and where no column has the two images of an interval.
        """
        gaps = [self.differences(row, reference, metric, noises) for metric, noises in columns]
        if row == reference or max(map(len, gaps)) < 2:
            return None
        return Row(row, tuple(map(mean, gaps)), margins=tuple(map(margin, gaps)))


def image_means(values: Values, needed: int = 0) -> list[float]:
    """The mean over the cases of each image that has `needed` of them, or of each image that has any."""
    grouped: dict[str, list[float]] = {}
    for (image, _), value in values.items():
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

    return float(stdtrit(len(differences) - 1, 0.975)) * deviation / math.sqrt(len(differences))
