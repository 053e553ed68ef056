"""A contrast-detail phantom in the manner of CDRAD, and a model observer that reads it.

Each square cell has four quadrants, and a disc in the middle of one of them, drawn by lot. Discs have many diameters
and contrasts. The observer knows the disc but not the quadrant, and takes the one with the highest

    response = mean inside the disc - mean over a ring around it                     (non-prewhitening)

For each diameter, the probability of a right choice against the contrast c is that of a response whose signal-to-noise
ratio d' is proportional to c, fitted by the greatest likelihood:

    p(d') = integral of phi(x - d') Phi(x)^3 dx,    d' = 1.24 c / c0

and the threshold is c0, where p = 5/8, half way between guessing and certainty. In white noise of deviation s the
response of a disc of n pixels has d' = c sqrt(n) / s, or a little less for the noise of the ring. Contrasts are given
as that ratio, the strength, so that all diameters are tried around their thresholds.

This observer makes full use of the pixels and does not tire, so that noise costs it less than it costs a reader: a
method that removes noise need not lower its threshold, but raises it where it takes discs away.

References:
    M. A. O. Thijssen, K. R. Bijkerk, R. J. M. van der Burght, Manual contrast-detail phantom CDRAD type 2.0,
    University Hospital Nijmegen, 1998 (the phantom).
    R. Aufrichtig, P. Xue, Dose efficiency and low-contrast detectability of an amorphous silicon x-ray detector for
    digital radiography, Phys. Med. Biol. 45, 2000 (four-alternative choice and its threshold).
    A. E. Burgess, Statistically defined backgrounds: performance of a modified nonprewhitening observer model, JOSA A
    11, 1994 (the observer).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.lesions import disc

Values = NDArray[np.float64]

CELL = 64
"""Side of a cell, pixels; a quadrant has half."""
GAP, RING = 1.5, 6.0
"""Between a disc and the ring around it, and width of that ring, pixels."""
AT_THRESHOLD = 1.24
"""The d' at which a choice among four is right with a probability of 5/8."""
THRESHOLDS = 200
"""How many are tried."""


@dataclass(frozen=True, slots=True, eq=False)
class ContrastDetail:
    """A phantom; arrays (N,), one value a cell, in rows of `columns` cells."""

    diameter: Values
    """Pixels."""
    strength: Values
    """Contrast times the root of the pixels of the disc, over the deviation of the noise."""
    quadrant: NDArray[np.int64]
    """0..3, the one with the disc: upper left, upper right, lower left, lower right."""
    columns: int

    @classmethod
    def random(
        cls, diameters: Sequence[float], strengths: Sequence[float], repeats: int, rng: np.random.Generator
    ) -> "ContrastDetail":
        """Every disc of `diameters` and `strengths` in `repeats` cells, in a random order."""
        grid = np.meshgrid(diameters, strengths, np.arange(repeats), indexing="ij")
        diameter, strength = (axis.ravel().astype(np.float64) for axis in grid[:2])
        order = rng.permutation(diameter.size)
        quadrant = rng.integers(4, size=diameter.size)
        return cls(diameter[order], strength[order], quadrant, int(np.ceil(np.sqrt(diameter.size))))

    @property
    def contrast(self) -> Values:
        """(N,), of each disc over the deviation of the noise."""
        return np.asarray(self.strength / np.sqrt(np.pi * self.diameter**2 / 4))

    def draw(self) -> Values:
        """The discs on a background of 0, for noise of deviation 1: (H, W)."""
        rows = -(-self.diameter.size // self.columns)
        image = np.zeros((rows * CELL, self.columns * CELL))
        shapes = {diameter: disc(diameter, CELL // 2) for diameter in np.unique(self.diameter)}
        for number, quadrant in enumerate(self.quadrant):
            image[self._place(number, quadrant)] += self.contrast[number] * shapes[self.diameter[number]]
        return image

    def right(self, image: NDArray[np.floating]) -> Values:
        """(N,), the probability that the observer chooses the quadrant with the disc, in an image of the phantom.

        It is that of three empty quadrants having lower responses. All empty quadrants of cells with discs of this
        diameter stand for them, not just those of the cell, which is the same on average and surer.
        """
        result = np.zeros(self.diameter.size)
        for diameter in np.unique(self.diameter):
            template = _template(diameter)
            cells = np.flatnonzero(self.diameter == diameter)
            responses = np.array(
                [[float((image[self._place(int(cell), one)] * template).sum()) for one in range(4)] for cell in cells]
            )
            filled = np.arange(4)[None] == self.quadrant[cells, None]
            empty = np.sort(responses[~filled])
            below = (
                np.searchsorted(empty, responses[filled], "left") + np.searchsorted(empty, responses[filled], "right")
            ) / 2
            result[cells] = (below / empty.size) ** 3
        return result

    def thresholds(self, image: NDArray[np.floating]) -> dict[float, float]:
        """Contrast over the deviation of the noise at which the observer finds discs, by their diameter."""
        right = self.right(image)
        result = {}
        for diameter in np.unique(self.diameter):
            those = self.diameter == diameter
            strength = threshold(self.strength[those], right[those])
            result[float(diameter)] = strength / np.sqrt(np.pi * diameter**2 / 4)
        return result

    def _place(self, number: int, quadrant: int) -> tuple[slice, slice]:
        half = CELL // 2
        top = number // self.columns * CELL + quadrant // 2 * half
        left = number % self.columns * CELL + quadrant % 2 * half
        return slice(top, top + half), slice(left, left + half)


def threshold(strength: Values, right: Values) -> float:
    """The strength c0 at which a choice among four is right with a probability of 5/8, by the greatest likelihood.

    Args:
        strength: of each trial, (N,), above 0.
        right: (N,), the probability that its choice was right; 0 or 1 where that was seen.

    Returns:
        A strength between half of the least and twice the largest one.
    """
    tried = np.geomspace(strength.min() / 2, strength.max() * 2, THRESHOLDS)
    model = right_choice(AT_THRESHOLD * strength[None] / tried[:, None]).clip(0.25, 1 - 1e-3)  # a lapse in a thousand
    likelihood = (right * np.log(model) + (1 - right) * np.log(1 - model)).sum(axis=1)
    return float(tried[likelihood.argmax()])


def right_choice(detectability: Values) -> Values:
    """The probability that the response with the signal is the highest of four, same shape as the d' of the signal."""
    from scipy.special import ndtr

    known, x = np.linspace(0, 12, 121), np.linspace(-8, 20, 561)
    density = np.exp(-((x - known[:, None]) ** 2) / 2) / np.sqrt(2 * np.pi)
    right = (density * ndtr(x) ** 3).sum(axis=1) * (x[1] - x[0])
    return np.asarray(np.interp(detectability, known, right))


def _template(diameter: float) -> Values:
    """Weights of a response in a quadrant."""
    half = CELL // 2
    inner = disc(diameter, half)
    outer = disc(min(diameter + 2 * (GAP + RING), half), half) - disc(diameter + 2 * GAP, half)
    return np.asarray(inner / inner.sum() - outer / outer.sum())
