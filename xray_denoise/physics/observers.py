"""Would a reader still find the lesion? A channelised Hotelling observer, and how much contrast is kept.

    v = U^T g                               what the channels U see of an image g
    w = K^-1 (m1 - m0)                      m1, m0 means of v present and absent, K the mean of their covariances
    t = w^T (v - (m0 + m1) / 2) / w^T (m1 - m0)      the score of an image, on average 1/2 with the lesion, else -1/2
    d' = (mean t1 - mean t0) / sqrt((var t1 + var t0) / 2)

w and the means that judge a case come from the cases of the other folds, so that no case judges itself; scores are
normalised, so that those of all folds can be taken together. Intervals are
percentiles of a bootstrap over the cases' scores; templates are not made anew, because a case that is drawn twice
would make them worse than they are. Methods that saw the same cases are compared draw by draw, which takes the choice
of cases out.

Laguerre-Gauss channels are made for a round lesion in the middle. For lesions of any shape, here clusters of dots,
each is convolved with the lesion, and once more with itself (convolution channels), so that a channel is the lesion
filtered by the power of the Laguerre-Gauss function. Published for clusters of microcalcifications: five channels of
width 2.5 pixels (`COUNT`, `WIDTH`; LAVI-USP, IWBI 2026; pixels of 0.1 mm).

Where the lesion is not told (`Scores.of_images`), it is the mean difference of the cases that make the template, and
the noise of their images is in the channels: what is published. An observer that knows the lesion beforehand makes
better use of noisy images, and gains less, or nothing, from a method that removes their noise.

References:
    Barrett, Yao, Rolland, Myers, Model observers for assessment of image quality, PNAS 90, 1993 (the observer).
    Gallas, Barrett, Validating the use of channels to estimate the ideal linear observer, JOSA A 20, 2003
    (Laguerre-Gauss channels).
    Diaz, Abbey, Timberg, Eckstein, Verdun, Castella, Bochud, Derivation of an observer model adapted to irregular
    signals based on convolution channels, IEEE Transactions on Medical Imaging 34, 2015.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

COUNT, WIDTH = 5, 2.5
"""Channels, and their width h in pixels."""
FOLDS = 10
DRAWS = 1000
"""Of a bootstrap."""
TINY = 1e-18
"""What is divided by is at least this: where no lesion is left, d' = 0."""


def laguerre_gauss(shape: tuple[int, int], count: int = COUNT, width: float = WIDTH) -> Values:
    """Channels around the middle of an image.

        u_j(r) = sqrt(2) / h exp(-pi r^2 / h^2) L_j(2 pi r^2 / h^2)          L_j the Laguerre polynomial of degree j

    Args:
        shape: rows and columns.
        count: number of channels, j = 0 .. count - 1.
        width: h, pixels.

    Returns:
        (count, H, W), orthonormal where h is wide enough for the grid of pixels.
    """
    from scipy.special import eval_laguerre

    rows, columns = (np.arange(side) - (side - 1) / 2 for side in shape)
    square = (rows[:, None] ** 2 + columns[None] ** 2) / width**2
    degrees = np.arange(count)[:, None, None]
    return np.asarray(np.sqrt(2) / width * np.exp(-np.pi * square) * eval_laguerre(degrees, 2 * np.pi * square))


def for_lesion(lesion: Values, count: int = COUNT, width: float = WIDTH) -> Values:
    """Convolution channels: a lesion filtered by the power of each Laguerre-Gauss function.

    Args:
        lesion: (H, W), mean image of the lesion without background.
        count: number of channels.
        width: of the Laguerre-Gauss functions, pixels.

    Returns:
        (count, H, W), each with squares that sum to 1, or all 0 without a lesion.
    """
    from scipy.signal import fftconvolve

    side = 2 * int(np.ceil(1.5 * width * np.sqrt(count))) + 1
    functions = laguerre_gauss((side, side), count, width)
    channels = np.array([fftconvolve(lesion, fftconvolve(u, u), mode="same") for u in functions])
    return np.asarray(channels / np.sqrt(np.maximum((channels**2).sum(axis=(1, 2), keepdims=True), TINY)))


def seen(images: NDArray[np.number], channels: Values) -> Values:
    """What channels see of images: (N, H, W) and (C, H, W) give (N, C)."""
    return np.asarray(images.reshape(len(images), -1).astype(np.float64) @ channels.reshape(len(channels), -1).T)


def bootstrap(cases: int, rng: np.random.Generator, draws: int = DRAWS) -> Values:
    """How often each case is drawn, (draws + 1, cases): with replacement; the first row is each case once."""
    drawn = rng.multinomial(cases, np.full(cases, 1 / cases), size=draws)
    return np.concatenate([np.ones((1, cases)), drawn])


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Values) -> Self:
        """Of a number in every draw of `bootstrap`; the first is the value."""
        low, high = np.percentile(draws[1:], [2.5, 97.5])
        return cls(float(draws[0]), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Scores:
    """What the observer says of every case."""

    absent: Values
    """(N,), without the lesion."""
    present: Values
    """(N,), with it; the same cases."""

    @classmethod
    def of(cls, absent: Values, present: Values, folds: int = FOLDS) -> Self:
        """Judge each case by what the cases of other folds look like.

        Args:
            absent: what the channels see of each case without the lesion, (N, C).
            present: with it, (N, C); row i is the same case, so that both fall into one fold.
            folds: number of parts that the cases are split into, case i to part i modulo `folds`.
        """
        parts = np.arange(len(absent)) % folds
        scores = np.sum([_judged(absent, present, parts == part) for part in range(folds)], axis=0)
        return cls(scores[0], scores[1])

    @classmethod
    def of_images(
        cls, absent: NDArray[np.number], present: NDArray[np.number], folds: int = FOLDS, lesion: Values | None = None
    ) -> Self:
        """Judge each image by what those of other folds look like through `for_lesion` of their mean difference.

        Args:
            absent: cases without the lesion, (N, H, W).
            present: with it; the same cases.
            folds: as for `of`.
            lesion: (H, W), where the observer knows it; None has it measured, in each fold anew.
        """
        if lesion is not None:
            channels = for_lesion(lesion)
            return cls.of(seen(absent, channels), seen(present, channels), folds)
        parts = np.arange(len(absent)) % folds
        difference = np.asarray(present, dtype=np.float64) - absent
        scores = np.zeros((2, len(absent)))
        for part in range(folds):
            channels = for_lesion(difference[parts != part].mean(axis=0))
            scores += _judged(seen(absent, channels), seen(present, channels), parts == part)
        return cls(scores[0], scores[1])

    def detectability(self, counts: Values) -> Values:
        """The detectability d' in every draw of a bootstrap: `counts`, (B, N), gives (B,), without a unit.

        `Figure.of` makes a number with an interval of it, and of the difference of two methods.
        """
        means = [mean_in(scores, counts) for scores in (self.absent, self.present)]
        total = counts.sum(axis=1)
        variances = [
            (mean_in(scores**2, counts) - mean**2) * total / (total - 1)
            for scores, mean in zip((self.absent, self.present), means, strict=True)
        ]
        spread = np.sqrt(np.maximum(sum(variances) / 2, TINY))
        return np.asarray((means[1] - means[0]) / spread)


def _judged(absent: Values, present: Values, judged: NDArray[np.bool_]) -> Values:
    """(2, N), scores of the cases that are judged, by a template of the others; 0 for these."""
    known = ~judged
    means = [features[known].mean(axis=0) for features in (absent, present)]
    spread = (np.cov(absent[known].T) + np.cov(present[known].T)) / 2
    template = np.linalg.pinv(np.atleast_2d(spread), hermitian=True) @ (means[1] - means[0])
    between = max(float(template @ (means[1] - means[0])), TINY)
    middle = (means[0] + means[1]) / 2
    return np.array([(features - middle) @ template / between * judged for features in (absent, present)])


def contrast_kept(
    absent: NDArray[np.number],
    present: NDArray[np.number],
    clean_absent: NDArray[np.number],
    clean_present: NDArray[np.number],
) -> Values:
    """Share of the lesion's contrast that is left in each case, (N,): 1 where nothing is lost.

    Slope of the regression of present - absent on the same difference without noise, over the pixels of a case. Noise
    that is the same in both cancels, other noise does so on the mean.

    Args:
        absent: images without the lesion, (N, H, W).
        present: the same cases with it.
        clean_absent: the first without noise.
        clean_present: the second without noise.
    """
    left, true = (
        (np.asarray(more, dtype=np.float64) - less).reshape(len(more), -1)
        for more, less in ((present, absent), (clean_present, clean_absent))
    )
    return np.asarray((left * true).sum(axis=1) / (true**2).sum(axis=1))


def mean_in(values: Values, counts: Values) -> Values:
    """Mean over cases in every draw of a bootstrap: (N,) and (B, N) give (B,)."""
    return np.asarray(counts @ values / counts.sum(axis=1))
