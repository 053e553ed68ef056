"""Patterns that repeat all over an image: grid lines, line pairs, the columns of a test object.

Noise has a smooth spectrum. A regular pattern has all its power at a few frequencies, the same in every block:

    e(f) = log P(f), less that of its ring of frequencies, mean over the blocks, less its median over frequencies around

A frequency with e above `PEAK` belongs to a pattern, and so do those with e above `FOOT` that are connected to it. They
do not count in the means over rings, so that the noise of the image is told by the frequencies between them.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.block_spectra import SIDE, BlockSpectra, Rings
from xray_denoise.physics.noise_mixture import with_power

Values = NDArray[np.float64]

LOWEST = 3.0
"""Periods in a block, below which no pattern is looked for: structure may have peaks there."""
PEAK, FOOT = 1.0, 0.4
"""Excess of the log power in blocks of `SIDE` pixels; in larger blocks a pattern has more by the logarithm of their
area. Radiographs and phantoms, with noise and without, have up to 0.8, a mosaic of small images with noise of a
measured kernel 0.94; in blocks of 64 pixels, where `PEAK` comes to 2.39, up to 2.1."""
AROUND = 7
"""Side of the square of frequencies that the median, or a lower quantile, is taken of."""
QUANTILES = (0.5, 0.15, 0.15)
"""Of this square, round by round, each without the frequencies that were found before. In dense patterns most of the
frequencies around belong to the pattern; but as the first one, the lower quantile would find patterns in structure."""
LEAST, FINE = 0.03, 0.1
"""Power that stands out, over the power from `FINE` cycles per pixel on, below which it makes no difference: enlarged
or strongly blurred noise has peaks where next to nothing is left of it."""
LEFT = 0.25
"""Of the weight of a ring at least so much is kept: that of the frequencies with the least excess."""


def without_patterns(spectra: BlockSpectra) -> BlockSpectra:
    """The same blocks, with weights of the rings that leave regular patterns out.

    The very same object where there are none, and where the blocks are too small to tell (less than `SIDE` pixels).
    """
    rings = spectra.rings
    if rings.side < SIDE or not len(spectra.mean):
        return spectra
    power = spectra.ring_power
    seen = with_power(power)
    if not seen.any():
        return spectra
    smallest = np.finfo(np.float32).tiny
    logs = np.log(np.maximum(spectra.power[seen], smallest)).mean(axis=0, dtype=np.float64)
    excess, found = _found(rings, logs, np.log(power[seen]).mean(axis=0))
    level = np.exp(logs)
    standing_out = (level * (1 - np.exp(-excess)))[found].sum()
    if standing_out <= LEAST * level[rings.radius >= FINE].sum():
        return spectra
    weight, kept = rings.weight.copy(), np.ones(len(rings.weight))
    for ring, share in enumerate(rings.weight):
        inside = np.flatnonzero(share)
        order = inside[np.argsort(excess[inside], kind="stable")]
        needed = order[: int(np.searchsorted(np.cumsum(share[order]), LEFT)) + 1]
        left = np.where(found, 0.0, share)
        left[needed] = share[needed]
        kept[ring] = left.sum()
        weight[ring] = left / kept[ring]
    return replace(spectra, rings=replace(rings, weight=weight, freedom=rings.freedom * kept))


def _found(rings: Rings, power: Values, ring_power: Values) -> tuple[Values, NDArray[np.bool_]]:
    """(Q,) each: the excess at every frequency of a quadrant, and whether it belongs to a pattern.

    Args:
        rings: of the blocks.
        power: (Q,), log power at each frequency, mean over the blocks.
        ring_power: (J,), the same in each ring.
    """
    from scipy.ndimage import label

    count = rings.side // 2 + 1
    radius = np.log(np.maximum(rings.radius, 1e-9))
    flat = (power - np.interp(radius, np.log(rings.centre), ring_power)).reshape(count, count)
    peak = PEAK + 2 * math.log(rings.side / SIDE)
    enough = np.where(rings.radius < LOWEST / rings.side, np.inf, peak).reshape(count, count)
    found = np.zeros((count, count), dtype=bool)
    for quantile in QUANTILES:
        excess = flat - _around(np.where(found, np.nan, flat), quantile)
        areas, number = label(excess > FOOT, structure=np.ones((3, 3)))
        peaks = np.zeros(number + 1, dtype=bool)
        peaks[areas[excess > enough]] = True
        before, found = found, found | peaks[areas]
        if np.array_equal(before, found):
            break
    return excess.ravel(), found.ravel()


def _around(values: Values, quantile: float) -> Values:
    """A quantile of the square of `AROUND` around each of (N, N), mirrored at the axes; NaN does not count."""
    far = AROUND // 2
    view = np.lib.stride_tricks.sliding_window_view(np.pad(values, far, mode="reflect"), (AROUND, AROUND))
    around = view.reshape(*values.shape, -1)
    known = np.asarray(np.isfinite(around).any(axis=2, keepdims=True))
    return np.asarray(np.nanquantile(np.where(known, around, np.nanmedian(values)), quantile, axis=2))
