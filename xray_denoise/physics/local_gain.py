"""Noise that is stronger in one place than in another of the same grey level.

Processing for presentation brings the thin rim of a breast to the grey levels of its thick middle, and details of dark
areas to those of bright ones. It multiplies the noise by a gain that changes slowly from place to place and that the
grey level does not tell. A curve of the grey level then fits neither place: the weakest noise of a grey level counts as
noise, and all that is stronger elsewhere as texture.

    v(m, p) = v(m) exp(2 g(p))      m: mean grey level of a block, p: its place
                                    g: logarithm of the gain, bilinear between nodes

g maximises the likelihood of `noise_mixture` with a prior that keeps neighbouring nodes alike. Two signs tell it from
texture that is stronger in one place than in another. It explains most of what looked like texture at the highest
frequencies (`EXPLAINED`). And the power of noise follows it alike at all high frequencies, whereas most texture is lost
in even noise at the very highest (`FOLLOWED`).
"""

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.block_spectra import BlockSpectra
from xray_denoise.physics.noise_mixture import Fit, fit

Values = NDArray[np.float64]

NODE_GAP, MOST_GAPS = 96, 12
"""Distance of neighbouring nodes at least, pixels, but along a shorter side, and most such distances along a side."""
FEWEST_BLOCKS, BLOCKS = 300, 500
"""With fewer blocks the noise of an image counts as even; of more, about so many are looked at in the search."""
TEXTURED = 0.02
"""Texture over noise (`Fit.texture`) below which the curve of the grey level explains the blocks well enough."""
EXPLAINED, PROMISING = 0.35, 0.62
"""Share of this texture that may be left with a gain: in all blocks in the end, and in the search, which gives up where
more is left after `TRIED` rounds or after all."""
FOLLOWED = 0.95
"""How the power in the ring of the highest frequencies follows the gain, at least, over that of the ring that follows
it most."""
TRIED, ROUNDS, FIT_ROUNDS = 3, 8, 8
"""Rounds after which the search ends unless it is `PROMISING`, rounds at most, and those of each fit in the search."""
ALL_ROUNDS = 4
"""Rounds with all blocks after it."""
NEIGHBOURS, SPREAD = 0.7, 4.5
"""Standard deviations of the prior: of the difference of the log variance at two neighbouring nodes, and of itself."""
BLOCK_ERROR = 0.3
"""Standard deviation of the log variance that a block tells at best; blocks are not exactly what the model says."""
LEAST_SPREAD = 0.25
"""Standard deviation of the log variance over the blocks, below which the noise counts as even."""
MOVED = 0.05
"""Largest change of the log variance at a node that ends the search."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalGain:
    """How many times as strong the noise is in a place as its grey level tells."""

    logarithm: Values
    """(R, C), natural logarithm of the gain at nodes that lie evenly from border to border, at least 2 each way."""
    spread: tuple[float, float] = (1.0, 1.0)
    """The gain that a twentieth of the blocks is below, and above."""

    def over(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W), gain at every pixel of an image of this shape: factors of the standard deviation."""
        rows, columns = (
            _hats(np.linspace(0, 1, length), nodes) for length, nodes in zip(shape, self.logarithm.shape, strict=True)
        )
        found = (rows @ self.logarithm).astype(np.float32) @ columns.T.astype(np.float32)
        return np.exp(found, out=found)


def find_local_gain(spectra: BlockSpectra, common: Fit, shape: tuple[int, int]) -> tuple[LocalGain, Fit] | None:
    """Find a gain that explains the differences between blocks of the same grey level.

    Args:
        spectra: of the blocks of one image.
        common: what they have in common as they are.
        shape: of the image.

    Returns:
        The gain, and what the blocks have in common after division by it; None where the grey level explains as much.
    """
    if len(spectra.mean) < FEWEST_BLOCKS or common.texture < TEXTURED:
        return None
    gap = max(NODE_GAP, max(shape) / MOST_GAPS)
    nodes = [max(int(length / gap), 1) + 1 for length in shape]
    some = _thinned(spectra)
    start, power = fit(some, FIT_ROUNDS), np.zeros(math.prod(nodes))
    for rounds in (TRIED, ROUNDS - TRIED):
        found, power = _searched(some, nodes, power, rounds)
        if found is None or start is None or found.texture > PROMISING * start.texture:
            return None
    _, power = _searched(spectra, nodes, power, ALL_ROUNDS)
    seen = _basis(spectra.place, nodes) @ power
    power, seen = power - seen.mean(), seen - seen.mean()  # the profile is that of a typical place
    explained = fit(_divided(spectra, seen))
    if explained is None or explained.texture > EXPLAINED * common.texture or seen.std() < LEAST_SPREAD:
        return None
    followed = _followed(spectra, explained, seen)
    if followed[-1] < FOLLOWED * followed.max():
        return None
    low, high = np.exp(np.percentile(seen, (5, 95)) / 2)
    return LocalGain(power.reshape(nodes) / 2, (float(low), float(high))), explained


def _thinned(spectra: BlockSpectra) -> BlockSpectra:
    """`BLOCKS` of the blocks, drawn from a fixed seed: a fixed step would miss whole columns."""
    if len(spectra.mean) <= BLOCKS:
        return spectra
    some = np.sort(np.random.default_rng(0).permutation(len(spectra.mean))[:BLOCKS])
    return replace(spectra, mean=spectra.mean[some], place=spectra.place[some], power=spectra.power[some])


def _searched(spectra: BlockSpectra, nodes: list[int], power: Values, rounds: int) -> tuple[Fit | None, Values]:
    """The log variance at the nodes after more rounds of the search, and the fit of the blocks without it."""
    basis, prior = _basis(spectra.place, nodes), _smooth(nodes)
    found = fit(_divided(spectra, basis @ power), FIT_ROUNDS)
    for _ in range(rounds):
        if found is None:
            break
        step = _step(found, basis[found.blocks], prior, power)
        power = power + step
        found = fit(_divided(spectra, basis @ power), FIT_ROUNDS)
        if abs(step).max() < MOVED:
            break
    return found, power


def _followed(spectra: BlockSpectra, explained: Fit, seen: Values) -> Values:
    """(J,), how the power of the blocks follows a gain in each ring: 1 where there is nothing but noise.

    It is the slope of their log power, less that of their grey level, against the log variance of the gain.
    """
    power = spectra.ring_power
    rest = np.log(np.maximum(power, 1e-12 * power.max()))
    rest -= np.interp(spectra.mean, explained.grey, explained.level)[:, None]
    return np.asarray(seen @ (rest - rest.mean(axis=0)) / (seen @ seen))


def _divided(spectra: BlockSpectra, logarithm: Values) -> BlockSpectra:
    """The blocks with their power over exp(logarithm), (B,)."""
    return replace(spectra, power=(spectra.power / np.exp(logarithm)[:, None]).astype(np.float32))


def _step(found: Fit, basis: Values, prior: Values, power: Values) -> Values:
    """A step of Fisher's scoring for the log variance at the nodes, at most 1."""
    trusted = 1 / (1 + BLOCK_ERROR**2 * found.certainty)
    information = basis.T @ (basis * (found.certainty * trusted)[:, None]) + prior
    step = np.linalg.solve(information, basis.T @ (found.gradient * trusted) - prior @ power)
    return np.asarray(step / max(abs(step).max(), 1.0))


def _smooth(nodes: list[int]) -> Values:
    """Precision of the log variance at the nodes, row by row: neighbours are alike."""
    number = np.arange(math.prod(nodes)).reshape(nodes)
    precision = np.eye(number.size) / SPREAD**2
    for axis in (0, 1):
        first, second = (np.delete(number, end, axis).ravel() for end in (-1, 0))
        for one, other in product((first, second), repeat=2):
            np.add.at(precision, (one, other), (1 if one is other else -1) / NEIGHBOURS**2)
    return precision


def _basis(place: Values, nodes: list[int]) -> Values:
    """(B, R x C), share of every node in the value at a place, row by row."""
    down, across = (_hats(place[:, axis], number) for axis, number in enumerate(nodes))
    return np.asarray((down[:, :, None] * across[:, None]).reshape(len(place), -1))


def _hats(place: Values, nodes: int) -> Values:
    """(N, nodes), share of every node in the value at a place 0..1 of a line: linear in between."""
    return np.maximum(1 - abs(place[:, None] * (nodes - 1) - np.arange(nodes)), 0)
