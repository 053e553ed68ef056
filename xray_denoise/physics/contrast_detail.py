"""A contrast-detail phantom in the manner of CDRAD, and a model observer that reads it.

Each square cell has four quadrants, and a disc in the middle of one of them, drawn by lot. Discs have many diameters
and contrasts. The observer knows the disc but not the quadrant, and takes the one with the highest

    response = mean inside the disc - mean over a ring around it                     (non-prewhitening)

Of each diameter, the probability of a right choice is fitted against contrast by the greatest likelihood:

    p(c) = 1/4 + 3/4 (1 - 2^-((c / c0)^b))                                           (Weibull)

and the threshold is c0, where p = 5/8, half way between guessing and certainty. In white noise of deviation s
the response of a disc of n pixels has a signal-to-noise ratio of about c sqrt(n) / s. Contrasts are given as that
ratio, the strength, so that all diameters are tried around their thresholds.

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
SLOPES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Exponents b that are tried."""
THRESHOLDS = 200
"""Thresholds that are tried."""


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

    def found(self, image: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(N,), whether the observer chooses the right quadrant of each cell of an image of the phantom."""
        weights = {diameter: _template(diameter) for diameter in np.unique(self.diameter)}
        responses = np.array(
            [
                [float((image[self._place(number, one)] * weights[diameter]).sum()) for one in range(4)]
                for number, diameter in enumerate(self.diameter)
            ]
        )
        return np.asarray(responses.argmax(axis=1) == self.quadrant)

    def thresholds(self, image: NDArray[np.floating]) -> dict[float, float]:
        """Contrast over the deviation of the noise at which the observer finds discs, by their diameter."""
        found = self.found(image)
        result = {}
        for diameter in np.unique(self.diameter):
            those = self.diameter == diameter
            strength = threshold(self.strength[those], found[those])
            result[float(diameter)] = strength / np.sqrt(np.pi * diameter**2 / 4)
        return result

    def _place(self, number: int, quadrant: int) -> tuple[slice, slice]:
        half = CELL // 2
        top = number // self.columns * CELL + quadrant // 2 * half
        left = number % self.columns * CELL + quadrant % 2 * half
        return slice(top, top + half), slice(left, left + half)


def threshold(strength: Values, found: NDArray[np.bool_]) -> float:
    """The strength c0 at which a choice among four is right in 5/8 of the trials, by the greatest likelihood.

    Args:
        strength: of each trial, (N,), above 0.
        found: (N,), whether the choice was right.

    Returns:
        A strength between half of the least and twice the largest one.
    """
    tried = np.geomspace(strength.min() / 2, strength.max() * 2, THRESHOLDS)
    ratio = strength[None, None] / tried[:, None, None]
    right = 0.25 + 0.75 * (1 - 2.0 ** -(ratio ** np.array(SLOPES)[None, :, None]))
    chance = np.where(found, right, 1 - right).clip(1e-12)
    likelihood = np.log(chance).sum(axis=2).max(axis=1)
    return float(tried[likelihood.argmax()])


def _template(diameter: float) -> Values:
    """Weights of a response in a quadrant."""
    half = CELL // 2
    inner = disc(diameter, half)
    outer = disc(min(diameter + 2 * (GAP + RING), half), half) - disc(diameter + 2 * GAP, half)
    return np.asarray(inner / inner.sum() - outer / outer.sum())
