"""Estimate the noise profile of one exposure without a network: deviation against grey level, and spectrum.

Noise is the same all over an exposure and structure is not. Power is therefore measured in many small blocks
(`block_spectra`); what the blocks have in common is told from the texture that each has of its own (`noise_mixture`),
and of what they have in common the part that may be texture is taken off (`noise_separation`). Patterns that repeat all
over the image are left out first (`regular_patterns`). Where processing made the noise stronger in one place than in
another of the same grey level, that gain is estimated too (`local_gain`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.block_spectra import (
    LARGE_SIDE,
    MOST_BLOCKS,
    SIDE,
    BlockSpectra,
    block_spectra,
    count_blocks,
    joined,
)
from xray_denoise.physics.level_estimate import Saturation, estimate_level
from xray_denoise.physics.local_gain import LocalGain, find_local_gain
from xray_denoise.physics.noise_mixture import FEWEST_BLOCKS, fit
from xray_denoise.physics.noise_power import block_means
from xray_denoise.physics.noise_separation import levels, plane, separate
from xray_denoise.physics.profile import LARGEST_LEVEL, NoiseProfile, kernel_of
from xray_denoise.physics.regular_patterns import without_patterns
from xray_denoise.physics.scenes import COARSE, is_one_scene
from xray_denoise.scale import GREY_MAX

Values = NDArray[np.float64]

BLANK = 0.05
"""A frame is blank if its block means vary by less than this fraction of those of the most varied frame."""
GAIN_SHARE = 0.5
"""With a local gain at least this share of what the blocks have in common must be noise, else there is none."""
ENDS, REACH = 4, 0.25
"""The curve goes on as at so many grey levels of each end, for this part of its range; beyond it is constant."""
FEWEST_LARGE = 150
"""Images that hold fewer large blocks, those below about 450x450 pixels, are searched for patterns in the others."""
KERNEL_SIDE, KERNEL_ENERGY = 31, 0.9998
"""Side of the kernel at most, pixels, and the energy that a smaller kernel must hold."""


@dataclass(frozen=True, slots=True)
class ProfileEstimate:
    """The noise that was found in one exposure."""

    profile: NoiseProfile
    confidence: float
    """0..1: the share of noise in what all blocks have in common; the rest was taken for texture. 0 also where the
    image is too small or too flat for a spectrum."""
    gain: LocalGain | None = None
    """How many times as strong the noise is in a place as the profile says; None where the profile says it all."""


def estimate_profile(image: NDArray[np.floating], most_blocks: int = MOST_BLOCKS) -> ProfileEstimate:
    """Estimate deviation against grey level, and spectrum, of the noise of one exposure.

    Structure is kept out of the estimate; in doubt it is the smaller one. Padding, shutters and saturated areas do not
    count. In an image of less than about 48x48 pixels the noise is taken for white and the confidence is 0.

    Args:
        image: (H, W), finite grey levels, any H and W of at least 1.
        most_blocks: of the image that are looked at; fewer take less time and tell less.

    Returns:
        The profile, with a kernel of at most 31x31 pixels and never larger than the image, the confidence, and the
        local gain where there is one.
    """
    grey = np.asarray(image, dtype=np.float64)
    return _estimate(_spectra(grey, most_blocks), (grey.shape[0], grey.shape[1])) or _too_little(grey)


def estimate_scene_profile(
    frames: Sequence[NDArray[np.floating]], most_blocks: int = MOST_BLOCKS
) -> ProfileEstimate | None:
    """Estimate the noise of the frames of one scene from what changes between them.

    Structure that stays where it is cancels in the difference of two frames, so that it cannot be taken for noise. What
    moves is kept out of the estimate as structure is by `estimate_profile`. A fixed pattern of the detector cancels
    too. Blank frames, as runs have before the exposure, are left out.

    Args:
        frames: at least two, (H, W) each and alike, finite grey levels, in the order in which they were taken.
        most_blocks: of all frames together that are looked at.

    Returns:
        The profile as `estimate_profile` gives it; None where the frames that are not blank show different things,
        differ in size, or are too small.
    """
    greys = _exposed([np.asarray(frame, dtype=np.float64) for frame in frames])
    pairs = [(one, two) for one, two in pairwise(greys) if _shows_the_same(one, two)]
    if len(pairs) < len(greys) - 1 or not pairs:
        return None
    spectra = [block_spectra(one, most_blocks // len(pairs), two) for one, two in pairs]
    return _estimate(joined(spectra), (greys[0].shape[0], greys[0].shape[1]), alike=True)


def _exposed(frames: Sequence[Values]) -> list[Values]:
    """The frames but the blank ones."""
    varied = [float(block_means(frame, COARSE).std()) for frame in frames]
    return [frame for frame, one in zip(frames, varied, strict=True) if one >= BLANK * max(varied)]


def _shows_the_same(one: Values, two: Values) -> bool:
    """Whether two frames are of one scene; False for those that are too small to tell."""
    if one.shape != two.shape or min(one.shape) < COARSE:
        return False
    return is_one_scene(block_means(one, COARSE), block_means(two, COARSE))


def _spectra(grey: Values, most_blocks: int) -> BlockSpectra:
    """Spectra of the blocks of one exposure without regular patterns.

    Large blocks tell the frequencies of dense patterns apart; only where they find one they are used.
    """
    most_large = most_blocks * SIDE**2 // LARGE_SIDE**2  # as many pixels
    if min(most_large, count_blocks((grey.shape[0], grey.shape[1]), LARGE_SIDE)) >= FEWEST_LARGE:
        large = block_spectra(grey, most_large, side=LARGE_SIDE)
        between = without_patterns(large)
        if between is not large:
            return between
    return without_patterns(block_spectra(grey, most_blocks))


def _estimate(spectra: BlockSpectra, shape: tuple[int, int], *, alike: bool = False) -> ProfileEstimate | None:
    """The profile that blocks of images of a shape tell of; None where they are too few or have no power.

    With `alike` all that the blocks have in common is noise.
    """
    if len(spectra.mean) < FEWEST_BLOCKS:
        return None
    common = fit(spectra)
    if common is None:
        return None
    spectrum, share = (common.spectrum, 1.0) if alike else separate(common, spectra.rings)
    gain = None
    if not alike and (found := find_local_gain(spectra, common, shape)):
        with_gain, share_with_gain = separate(found[1], spectra.rings)
        if share_with_gain >= GAIN_SHARE:
            (gain, common), spectrum, share = found, with_gain, share_with_gain
    power_at = np.exp(common.level if alike else levels(common))
    power = plane(spectrum, common.angular * share, spectra.rings)
    level = power.mean()
    greys, deviation = _unsaturated(common.grey, np.sqrt(power_at * level), spectra)
    side = min(KERNEL_SIDE, *(length - 1 + length % 2 for length in shape))
    profile = NoiseProfile(greys, deviation, _trimmed(kernel_of(power / level, side)))
    return ProfileEstimate(profile, share, gain)


def _too_little(image: Values) -> ProfileEstimate:
    """White noise as `estimate_level` finds it, not stronger than the image allows."""
    ends = np.array([0.0, GREY_MAX])
    most = min(float(image.std()), LARGEST_LEVEL)
    deviation = np.minimum(np.sqrt(estimate_level(image).variance(ends)), most)
    return ProfileEstimate(NoiseProfile(ends, deviation, np.ones((1, 1))), 0.0)


def _unsaturated(grey: Values, deviation: Values, spectra: BlockSpectra) -> tuple[Values, Values]:
    """Grey levels that ascend and deviations of the noise before saturation, from those after it."""
    far = 1e3 * (float(deviation.max()) + float(abs(grey).max()) + 1)
    saturation = Saturation(max(spectra.low, -far), min(spectra.high, far))
    before, level = grey, np.maximum(deviation, 1e-9)
    for _ in range(30):
        mean, seen = saturation.moments(before, level)
        before, level = before + grey - mean, level * np.clip(deviation / np.maximum(seen, 1e-12), 0.5, 1.5)
        before = before.clip(saturation.low, saturation.high)
    ascending = np.concatenate([[True], np.diff(before) > 1e-9 * far])
    return _extended(before[ascending], level[ascending])


def _extended(grey: Values, deviation: Values) -> tuple[Values, Values]:
    """One more grey level at both ends, where the logarithm of the deviation goes on as it does near that end."""
    if grey.size < ENDS:
        return grey, deviation
    reach = REACH * float(np.ptp(grey))
    ends = []
    for some, outwards in ((slice(None, ENDS), -reach), (slice(-ENDS, None), reach)):
        rise = float(np.polyfit(grey[some], np.log(deviation[some]), 1)[0]) * outwards
        ends.append(math.exp(np.clip(rise, -0.5, 0.5)))
    greys = np.concatenate([[grey[0] - reach], grey, [grey[-1] + reach]])
    return greys, np.concatenate([[deviation[0] * ends[0]], deviation, [deviation[-1] * ends[1]]])


def _trimmed(kernel: Values) -> Values:
    """The middle of a kernel that holds nearly all of its energy, of unit energy."""
    middle = kernel.shape[0] // 2
    for half in range(middle + 1):
        inner = kernel[middle - half : middle + half + 1, middle - half : middle + half + 1]
        energy = float((inner**2).sum())
        if energy >= KERNEL_ENERGY:
            break
    return np.asarray(inner / math.sqrt(energy))
