"""Tell whether frames of a run show one scene with the same noise.

    coarse structure    means of blocks of 32x32 pixels
    fine power          lower quartile, over blocks, of the power from 0.42 cycles per pixel on, over the variance that
                        the noise has at the grey level of the block

Two frames show one scene if their coarse structure differs less than it varies within them. Their noise is the same if
their fine power is: what structure adds to it is about the same in all frames of a scene.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.block_spectra import block_spectra
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.noise_mixture import FEWEST_BLOCKS, HIGHEST
from xray_denoise.physics.noise_power import block_means
from xray_denoise.physics.profile import Noise

Values = NDArray[np.float64]

COARSE, CHANGED = 32, 0.5
"""Side of the blocks whose means tell whether two frames show the same, pixels, and how much these means may differ:
standard deviation of their differences relative to that of themselves."""
FEWEST = 4
"""Such blocks, with which a frame is large enough to tell."""
BLOCKS = 150
"""Of a frame, whose fine power is measured."""
SMOOTH = 25
"""Percent of the blocks that are taken for smooth."""
SAME_NOISE = 1.5
"""Fine power of two frames with the same noise differs by less than this factor."""
LEAST_DEVIATION = 0.05
"""Weaker noise counts as this strong, grey levels."""
MIDDLE = 8
"""Side of the blocks whose means tell whether a frame shows anything, pixels."""
NO_COARSE, NO_MIDDLE = 0.1, 0.5
"""A frame shows nothing if the means of these blocks, and of the smaller ones, vary by less than these fractions of the
deviation within blocks: those of noise do, correlated or not."""


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """What tells frames of different scenes apart."""

    shape: tuple[int, ...]
    coarse: Values
    """(B,), means of blocks, grey levels; empty where there are fewer than `FEWEST`."""
    is_blank: bool
    """Whether it shows nothing, as before the exposure; one that is too small to tell does not."""
    grey: Values
    """(K,), means of the blocks whose fine power is known, grey levels."""
    power: Values
    """(K,), their fine power, grey levels squared."""

    def is_like(self, other: "Overview") -> bool:
        """Whether two frames of one size show the same, as far as one can tell."""
        return not self.coarse.size or is_one_scene(self.coarse, other.coarse)

    def fine_power(self, noise: Noise | None = None) -> float:
        """Fine power of smooth blocks, over the variance of `noise` or in grey levels squared; NaN if unknown."""
        if self.power.size < FEWEST_BLOCKS:
            return np.nan
        known = (
            np.ones_like(self.grey) if noise is None else np.maximum(_variance(noise, self.grey), LEAST_DEVIATION**2)
        )
        return float(np.percentile(self.power / known, SMOOTH))


def overview(frame: NDArray[np.floating]) -> Overview:
    """Look at a frame, (H, W), finite grey levels."""
    grey = np.asarray(frame, dtype=np.float64)
    coarse = block_means(grey, COARSE)
    if min(grey.shape) < COARSE or coarse.size < FEWEST:
        coarse = coarse[:0]
    spectra = block_spectra(grey, BLOCKS)
    power = (spectra.power @ spectra.rings.weight[-HIGHEST:].mean(axis=0)).astype(np.float64)
    return Overview(grey.shape, coarse, _is_blank(grey, coarse), spectra.mean, np.maximum(power, LEAST_DEVIATION**2))


def _is_blank(grey: Values, coarse: Values) -> bool:
    """Whether a frame, (H, W), with this coarse structure shows nothing."""
    if not coarse.size:
        return False
    within = np.sqrt(max(float((block_means(grey**2, COARSE) - coarse**2).mean()), 0.0))
    return bool(coarse.std() <= NO_COARSE * within and block_means(grey, MIDDLE).std() <= NO_MIDDLE * within)


def is_one_scene(one: Values, other: Values) -> bool:
    """Whether frames with these coarse structures, (B,) each, show the same: they differ less than they vary."""
    return bool((one - other).std() <= CHANGED * min(one.std(), other.std()))


def leading(frames: Sequence[Overview]) -> list[int]:
    """Places of the frames that show the scene of the first one with the same noise, up to one that does not.

    Each also shows what the one before it does, as an estimate from their differences needs it. Blank frames are among
    them. Frames of another size are passed over.
    """
    places, known, last = [], None, None
    for place, frame in enumerate(frames):
        if frame.shape != frames[0].shape:
            continue
        if not frame.is_blank:
            known = known or Scene(None, [frame])
            if not known.shows(frame) or not (last is None or last.is_like(frame)):
                break
            last = frame
        places.append(place)
    return places


@dataclass(slots=True, eq=False)
class Scene:
    """A scene with one noise, while its frames pass by."""

    noise: Noise | None
    """Of each of its frames; None where only their power is compared."""
    frames: Sequence[Overview]
    """Those that the noise is known from."""
    _shown: list[Overview] = field(init=False)
    """The first frame and the last one that were not blank."""
    _usual: float = field(init=False)

    def __post_init__(self) -> None:
        shown = [frame for frame in self.frames if not frame.is_blank] or list(self.frames)
        self._shown = [shown[0], shown[-1]]
        self._usual = float(np.median([frame.fine_power(self.noise) for frame in shown]))

    def shows(self, frame: Overview) -> bool:
        """Whether a frame belongs to the scene, as far as one can tell; the next one is compared with it if it does.

        A blank frame belongs to any scene whose noise is not weaker than its own.
        """
        if frame.shape != self._shown[0].shape:
            return False
        relative = frame.fine_power(self.noise) / self._usual
        if relative > SAME_NOISE:
            return False
        if frame.is_blank:
            return True
        alike = any(frame.is_like(one) for one in self._shown)
        if alike and not relative < 1 / SAME_NOISE:
            self._shown[1] = frame
            return True
        return False


def _variance(noise: Noise, grey: Values) -> Values:
    """Of noise at grey levels, same shape, grey levels squared."""
    if isinstance(noise, NoiseLevel):
        return np.asarray(noise.variance(grey), dtype=np.float64)
    return noise.deviation_at(grey) ** 2
