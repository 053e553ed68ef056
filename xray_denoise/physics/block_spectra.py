"""Power spectra of many small blocks of an image, and their means over bands of frequency.

    block of 32x32 (or 16x16) pixels, less its plane    mean grey level m
    Hann window of unit energy, FFT, |.|^2              power P(row, column), folded to one quadrant
    mean over rings of frequency                        P_j of `RINGS`; for white noise of variance v it is v

Of two frames of one scene the blocks of their difference over sqrt(2) are taken, so that what does not move cancels.

A stationary normal noise gives P_j = v S_j chi^2(n) / n, S_j being its spectrum and n the degrees of freedom of the
ring, which the overlap of neighbouring frequencies under the window lowers (`Rings.freedom`).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SIDE, SMALL_SIDE, LARGE_SIDE = 32, 16, 64
"""Sides of a block, pixels; `SMALL_SIDE` in images that hold fewer than `FEW` of the larger ones."""
FEW = 60
MOST_BLOCKS = 2500
"""More blocks than these are thinned out evenly."""
CELL = 8
"""A block with a constant square of this side, in a grid of such squares, is padding, shutter or text."""
MOST_SATURATED = 0.1
"""Largest share of saturated pixels in a block."""
SPIKE, SPIKE_PIXELS = 2.0, 16
"""An end of the values is saturation where so many times the pixels of the next value have it, and at least these."""
RINGS = (0.053, 0.078, 0.11, 0.14, 0.178, 0.225, 0.28, 0.345, 0.42, 0.5, 0.595, 0.7072)
"""Edges of the rings, cycles per pixel. Below the first, 1.7 / 32, a block of 32 pixels tells of its plane only."""


@dataclass(frozen=True, slots=True)
class Rings:
    """The rings of frequency that blocks of one side can tell apart."""

    side: int
    centre: Values
    """(J,), geometric mean frequency of each, cycles per pixel."""
    freedom: Values
    """(J,), degrees of freedom of the mean power of white noise in each."""
    weight: Values
    """(J, Q), share of each of the Q = (side / 2 + 1)^2 frequencies of a quadrant in the mean of a ring."""
    radius: Values
    """(Q,), cycles per pixel."""
    angle: Values
    """(Q,), from the axis of columns, 0..pi / 2."""


@dataclass(frozen=True, slots=True)
class BlockSpectra:
    """What is seen in the blocks of an image."""

    rings: Rings
    mean: Values
    """(B,), grey levels."""
    place: Values
    """(B, 2), of the middles of the blocks, down and across: 0 at one border of the image, 1 at the other."""
    power: NDArray[np.float32]
    """(B, Q), power at each frequency of a quadrant, grey levels squared."""
    low: float
    """The grey level at which the image saturates at the dark end, -inf if it does not."""
    high: float
    """The same at the bright end, inf if it does not."""

    @property
    def ring_power(self) -> Values:
        """(B, J), mean power in each ring, grey levels squared."""
        return np.asarray(self.power @ self.rings.weight.T.astype(np.float32), dtype=np.float64)


def block_spectra(
    image: Values, most_blocks: int = MOST_BLOCKS, other: Values | None = None, side: int = SIDE
) -> BlockSpectra:
    """Spectra of the blocks of an image that are neither padding nor saturated.

    Args:
        image: (H, W), finite grey levels.
        most_blocks: more are thinned out evenly.
        other: (H, W), another frame of the same scene, where there is one.
        side: of a block, pixels, even; `SMALL_SIDE` in images that hold fewer than `FEW` of these.

    Returns:
        Their spectra; there are none (B = 0) in an image smaller than a block.
    """
    low, high = _saturation(image)
    side = side if count_blocks((image.shape[0], image.shape[1]), side) >= FEW else SMALL_SIDE
    rings = rings_of(side)
    frames = [image] if other is None else [image, other]
    blocks, place = _blocks(frames, side, low, high, most_blocks)
    mean = np.mean(blocks, axis=(0, 2, 3))
    noise = blocks[0] if other is None else (blocks[0] - blocks[1]) / np.sqrt(2)
    return BlockSpectra(rings, mean, place, _power(noise - noise.mean(axis=(1, 2))[:, None, None]), low, high)


def count_blocks(shape: tuple[int, int], side: int) -> int:
    """How many half overlapping blocks of `side` pixels an image of this shape holds."""
    rows, columns = (max(length // (side // 2) - 1, 0) for length in shape)
    return rows * columns


def joined(spectra: Sequence[BlockSpectra]) -> BlockSpectra:
    """The blocks of several images of one size as if they were of one image."""
    lows, highs = ([getattr(one, end) for one in spectra] for end in ("low", "high"))
    return BlockSpectra(
        spectra[0].rings,
        np.concatenate([one.mean for one in spectra]),
        np.concatenate([one.place for one in spectra]),
        np.concatenate([one.power for one in spectra]),
        max(lows),
        min(highs),
    )


@cache
def rings_of(side: int) -> Rings:
    """The rings of blocks of `side` pixels."""
    window = _window(side)
    plane = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    half = np.arange(side // 2 + 1) / side
    radius, angle = np.hypot(half[:, None], half[None]), np.arctan2(half[:, None], half[None])
    twice = np.where(
        (half == 0) | (half == half[-1]), 1.0, 2.0
    )  # how often a frequency of the quadrant is in the plane
    covariance = abs(np.fft.fft2(window**2)) ** 2  # of the powers of two frequencies, by their distance
    covariance /= covariance[0, 0]
    freedom, weight = [], []
    for low, high in itertools.pairwise(edge for edge in RINGS if edge >= 1.65 / side):
        inside = ((plane >= low) & (plane < high)).astype(float)
        pairs = np.fft.ifft2(abs(np.fft.fft2(inside)) ** 2).real  # of members of the ring, by their distance
        freedom.append(inside.sum() ** 2 / (pairs * covariance).sum())  # a frequency and its opposite are one
        share = np.where((radius >= low) & (radius < high), np.outer(twice, twice), 0.0).ravel()
        weight.append(share / share.sum())
    shares = np.array(weight)
    centre = np.exp(shares @ np.log(np.maximum(radius.ravel(), 1e-9)))
    return Rings(side, centre, np.array(freedom), shares, radius.ravel(), angle.ravel())


def _window(side: int) -> Values:
    """(side, side), Hann window whose squares sum to 1."""
    line = np.hanning(side + 2)[1:-1]
    window = np.outer(line, line)
    return np.asarray(window / np.sqrt((window**2).sum()))


def _saturation(image: Values) -> tuple[float, float]:
    """The lowest and the highest grey level where a spike of pixels lies there, else infinite."""
    lowest, highest = float(image.min()), float(image.max())
    second = float(image.min(where=image > lowest, initial=np.inf))
    last_but_one = float(image.max(where=image < highest, initial=-np.inf))
    low = lowest if _is_spike(image, lowest, second) else -np.inf
    high = highest if _is_spike(image, highest, last_but_one) else np.inf
    return low, high


def _is_spike(image: Values, end: float, following: float) -> bool:
    """Whether so many more pixels have the value `end` than the one that follows that it must be saturation."""
    at_end, at_following = (int(np.count_nonzero(image == value)) for value in (end, following))
    return at_end >= max(SPIKE_PIXELS, SPIKE * at_following)


def _blocks(frames: Sequence[Values], side: int, low: float, high: float, most: int) -> tuple[Values, Values]:
    """(F, B, side, side), the blocks of frames that hold what can be measured, half overlapping or thinned out.

    The second result is their `BlockSpectra.place`.
    """
    shape = frames[0].shape
    if min(shape) < side:
        return np.zeros((len(frames), 0, side, side)), np.zeros((0, 2))
    step = side / 2
    whole = np.prod([(length - side) // step + 1 for length in shape])
    step *= max(np.sqrt(whole / most), 1.0)
    rows, columns = (_starts(length, side, step) for length in shape)
    found, kept = [], np.True_
    for image in frames:
        view = np.lib.stride_tricks.sliding_window_view(image, (side, side))
        blocks = view[np.ix_(rows, columns)].reshape(-1, side, side)
        cells = blocks.reshape(-1, side // CELL, CELL, side // CELL, CELL)
        constant = (cells.max(axis=(2, 4)) == cells.min(axis=(2, 4))).any(axis=(1, 2))
        saturated = ((blocks <= low) | (blocks >= high)).mean(axis=(1, 2))
        kept = kept & ~constant & (saturated <= MOST_SATURATED)
        found.append(blocks)
    middles = [(starts + side / 2) / length for starts, length in zip((rows, columns), shape, strict=True)]
    place = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.array([blocks[kept] for blocks in found]), place[kept]


def _starts(length: int, side: int, step: float) -> NDArray[np.intp]:
    """First pixels of blocks along an axis, the same seen from both ends."""
    last = length - side
    count = int(last / step) + 1
    if count % 2 and last % 2 and count > 1:  # else the middle block would lie between pixels
        count -= 1
    starts = np.floor(np.arange(count) * (last / max(count - 1, 1))).astype(np.intp)
    half = count // 2
    if half:
        starts[count - half :] = last - starts[:half][::-1]
    if count % 2:
        starts[half] = last // 2
    return np.asarray(starts)


def _power(blocks: Values) -> NDArray[np.float32]:
    """(B, Q), power of blocks of mean 0, less their planes, folded to a quadrant."""
    from scipy.fft import rfft2

    side = blocks.shape[1]
    ramp = np.arange(side) - (side - 1) / 2
    norm = side * (ramp**2).sum()
    along, down = blocks.sum(axis=1) @ ramp / norm, blocks.sum(axis=2) @ ramp / norm
    level = blocks - along[:, None, None] * ramp - down[:, None, None] * ramp[:, None]
    spectrum = rfft2((level * _window(side)).astype(np.float32))
    power = spectrum.real**2 + spectrum.imag**2
    half = np.arange(side // 2 + 1)
    return np.asarray((power[:, half] + power[:, -half]).reshape(len(blocks), half.size**2) / 2)
