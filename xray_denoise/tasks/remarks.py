"""Check whether what was removed looks like noise, and choose the strength by that.

    noisy image, what a denoiser removed, its noise -> numbers (`physics.removed`), notes for people, strength

docs/notes.md says where the thresholds come from, and how often a note is false.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoised
from xray_denoise.errors import UsageError
from xray_denoise.physics.noise_estimate import estimate_profile
from xray_denoise.physics.profile import BANDS, Noise, NoiseProfile
from xray_denoise.physics.removed import LEAST_DEVIATION, Removed, appraise
from xray_denoise.scale import MID_GREY

Strength = float | Literal["auto"]
"""Share of the predicted change that is made, 0..1, or "auto"."""

NUMBERS = ("strength", "removed_share", "edge_ratio", "edge_correlation")
"""What programs are told, by name."""

BLOCKS = 600
"""Blocks of an image that its noise is estimated from where the method does not: within 2 % of all of them in a quarter
of the time."""
STRUCTURE_CORRELATION, STRUCTURE_RATIO = 0.2, 1.2
"""Correlation at the edges above which structure was removed there; or ratio, where also the share is that high."""
NOTABLE = 0.5
"""Share of the noise that is removed along edges, below which nothing is said of structure."""
MOST_SHARE = 1.25
"""Change over noise above which more was removed than was found."""
COLOURED, SURE = 2.0, 0.5
"""Decibels that the power of a band may differ from what the model was told, and the confidence that it takes."""
NEXT_TO_NOTHING = 0.05
"""A change of fewer grey levels (root mean square) is noted: nobody sees it, and 8 bits may not hold it."""
LITTLE = 0.25
"""Predicted change over noise below which most of the noise stays."""
UNTOLD = "its noise could not be told from structure, so what was removed may be structure"
"""Where the estimate of the noise has no confidence: in tiny images, and in those of two values."""
SILENT = -9.0
"""Power of the highest band, dB relative to white noise, below which no detector of `physics.detectors` comes."""


@dataclass(frozen=True, slots=True)
class Remarks:
    """Numbers and notes on one image."""

    strength: float
    """Share of the predicted change that is made, 0..1: what was asked for, or what "auto" chose."""
    removed: Removed | None = None
    """The predicted change against the noise; None where nothing was removed, or the image has too few blocks."""
    notes: tuple[str, ...] = ()
    """What the user should know, one short line each."""

    @property
    def numbers(self) -> dict[str, float | None]:
        """Values for JSON, by name."""
        removed = self.removed
        edges = removed if removed and removed.has_edges else None
        ratio = None if edges is None or math.isinf(edges.edge_ratio) else edges.edge_ratio
        correlation = None if edges is None else edges.edge_correlation
        return dict(zip(NUMBERS, (self.strength, self.share, ratio, correlation), strict=True))

    @property
    def share(self) -> float | None:
        """Root mean square of the change that is made, over the deviation of the noise."""
        return None if self.removed is None else self.strength * self.removed.share

    def with_change(self, grey: float) -> "Remarks":
        """The same with a note if the change that is made, root mean square in grey levels, is small."""
        if self.strength == 0:
            return self
        if grey < NEXT_TO_NOTHING:
            note = f"next to nothing was removed: {grey:.2g} grey levels (root mean square)"
        elif self.removed and self.removed.share < LITTLE:
            note = f"little of the noise was removed: {self.removed.share:.2g} times its deviation"
        else:
            return self
        return replace(self, notes=(*self.notes, note))


def check_strength(strength: Strength) -> None:
    """Refuse an invalid strength.

    Raises:
        UsageError: it is neither "auto" nor a number from 0 to 1.
    """
    if isinstance(strength, str):
        if strength != "auto":
            raise UsageError(
                f"the strength is a number from 0 to 1 or auto, not '{strength}'", hint="for example 0.8",
                option="strength",
            )  # fmt: skip
    elif not 0 <= strength <= 1:
        raise UsageError(
            f"the strength must lie in 0..1, got {strength:g}",
            hint="from 0 (no change) to 1 (all of it), or auto",
            option="strength",
        )


def remarks_on(
    found: Denoised, strength: Strength, *, given: Noise | None = None, valid: NDArray[np.bool_] | None = None
) -> Remarks:
    """Judge what was removed from an image.

    The noise is the one that the method has estimated with its spectrum, or else an estimate of its own.

    Args:
        found: what the denoiser found, at full strength.
        strength: what was asked for. "auto" is 1, or 1 over the share removed along edges where structure was removed.
        given: the noise that the user told the denoiser.
        valid: (H, W), False for padding.
    """
    if strength == 0 or not found.removed.any():
        return Remarks(1.0 if isinstance(strength, str) else strength)
    told = found.estimate if given is None else None
    estimate = told or estimate_profile(found.noisy, BLOCKS)
    removed = appraise(found.noisy, found.removed, estimate.profile, valid, estimate.gain, found.left)
    notes, made = [UNTOLD] if told and told.confidence == 0 else [], 1.0
    if removed is None:
        return Remarks(1.0 if isinstance(strength, str) else strength, notes=tuple(notes))
    if _is_structure(removed):
        note = f"removed structure along edges: correlation {removed.edge_correlation:.2f}"
        if strength == "auto":
            made = math.floor(100 * min(1.0, 1 / removed.edge_share)) / 100
            note += f", strength lowered to {made:g}" if made < 1 else ""
        notes.append(note)
    if not isinstance(strength, str):
        made = strength
    if made * removed.share > MOST_SHARE:
        notes.append(f"removed more than the noise found: {made * removed.share:.2g} times its deviation")
    bands = _decibels(estimate.profile)
    apart = float(np.abs(bands - _decibels(found.profile)).max())
    if apart > COLOURED and estimate.confidence >= SURE:
        notes.append(f"the spectrum of the noise differs by {apart:.1f} dB from what the model assumes")
    if bands[-1] < SILENT and estimate.profile.deviation_at(MID_GREY) > LEAST_DEVIATION:
        notes.append("the image seems to be denoised or enlarged already: it has no fine noise")
    return Remarks(made, removed, tuple(notes))


def _is_structure(removed: Removed) -> bool:
    """Whether what was removed along edges is structure, and enough to matter."""
    if not removed.has_edges:
        return False
    stronger = min(removed.edge_ratio, removed.edge_share) > STRUCTURE_RATIO
    return removed.edge_share > NOTABLE and (removed.edge_correlation > STRUCTURE_CORRELATION or stronger)


def _decibels(profile: NoiseProfile | None) -> NDArray[np.float64]:
    """(3,), power in the upper three bands, dB relative to white noise, which None stands for.

    The lowest band is not looked at: texture makes it uncertain by 3 dB.
    """
    powers = np.ones(len(BANDS)) if profile is None else profile.band_powers()
    return np.asarray(10 * np.log10(np.maximum(powers[1:], 1e-4)))
