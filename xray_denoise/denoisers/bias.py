"""Keep the brightness: what a network that is told the noise may not remove, and what cutting off did to the mean."""

import math

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.level_estimate import Saturation
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.scale import GREY_MAX

NEIGHBOURHOOD = 65
"""Side of the square over which what was removed must have the mean 0, pixels."""
WIDE_NEIGHBOURHOOD = 129
"""The same where noise is cut off: there fewer pixels tell less of their mean."""
CUT_OFF = (2.0, 4.0)
"""Distances from black and white, in standard deviations: nearer noise is cut off there, farther away it is not."""
STRONG = (4.0, 8.0)
"""Deviation of the noise over the image, grey levels: up to the first nothing is done about the cutting off."""
NEWTON_STEPS = 3
MIDDLE = GREY_MAX / 2
MOST_SCALED = 2.0
"""By how much one step may scale the variance of the noise at black or at white."""
STEPS_PER_GREY_LEVEL = 16
GAIN_CLASSES = 9
"""Local gains that are told apart."""
UNSHIFTED = 0.02
"""Share of the square that counts as in need of no shift, so that a few pixels in it do not shift themselves."""
LEAST_DEVIATION = 1e-6
"""Grey levels; what has no noise at all is divided by it."""
LEAST_SHARE = 1e-3
"""Of a square that must count, so that its mean does."""


def without_bias(
    noisy: NDArray[np.float32],
    restored: NDArray[np.float32],
    profile: NoiseProfile,
    gain: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The restored image with the local mean that the noisy one would have if no noise were cut off.

    Away from black and white noise has the mean 0, so that none may be removed: what a network removed is averaged over
    squares of `NEIGHBOURHOOD` pixels, mirrored at the rim so that the mean of the whole image is kept too, and that
    mean is added back. Near black and white strong noise is cut off, which brightens the one and darkens the other, by
    how much follows from its deviation (`Saturation.moments`): there the restored image is shifted until it explains
    the mean of the noisy one, by Newton's method on squares of `WIDE_NEIGHBOURHOOD` pixels. Weak noise (`STRONG`)
    shifts little, and there the mean is kept too: of what lies near black and white apart from the rest, so that fine
    structure that stands out from black or white gets back what it lost itself.

    Args:
        noisy: (H, W), grey levels.
        restored: likewise.
        profile: the noise that was removed.
        gain: (H, W), its deviation over that of the profile; None is 1.
    """
    saturation = Saturation.of(noisy)
    deviation = np.maximum(profile.deviation_at(restored), LEAST_DEVIATION).astype(np.float32)
    if gain is not None:
        deviation *= gain
    typical = math.sqrt(np.square(deviation).mean(dtype=np.float64))
    strong = min(max((typical - STRONG[0]) / (STRONG[1] - STRONG[0]), 0.0), 1.0)
    far = _far_from_ends(restored, deviation, saturation)
    del deviation
    unbiased, shown = restored, ~_without_noise(noisy, saturation)
    for weight in (far * shown, (1 - strong) * (1 - far) * shown):
        if weight.any():
            unbiased = unbiased + weight * _local_mean(weight, noisy - restored, weight, NEIGHBOURHOOD)
    if strong and (cut := strong * (1 - far) * shown).any():
        unbiased = unbiased + cut * (_before_saturation(noisy, restored, cut, profile, saturation, gain) - restored)
    return np.asarray(unbiased, dtype=np.float32)


def _far_from_ends(
    restored: NDArray[np.float32], deviation: NDArray[np.float32], saturation: Saturation
) -> NDArray[np.float32]:
    """(H, W), 1 where no noise is cut off, down to 0 where much is."""
    distance = np.minimum(restored - saturation.low, saturation.high - restored) / deviation
    return np.asarray(np.clip((distance - CUT_OFF[0]) / (CUT_OFF[1] - CUT_OFF[0]), 0.0, 1.0), dtype=np.float32)


def _before_saturation(
    noisy: NDArray[np.float32],
    restored: NDArray[np.float32],
    weight: NDArray[np.float32],
    profile: NoiseProfile,
    saturation: Saturation,
    gain: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """`restored`, shifted until the noise around it, cut off, has the mean of the noisy image.

    Few images show how strong the noise is at black and at white. So the deviations of the profile are scaled, for the
    darker and for the brighter half of the grey levels, until the noise has the variance of what was removed as well.
    """
    grey = np.arange(-GREY_MAX, 2 * GREY_MAX, 1 / STEPS_PER_GREY_LEVEL)
    factors, kind = _classes_of_gain(gain)
    deviation = np.maximum(profile.deviation_at(grey) * factors[:, None], LEAST_DEVIATION)
    shifted = restored
    for _ in range(NEWTON_STEPS):
        place = ((shifted + GREY_MAX) * STEPS_PER_GREY_LEVEL).astype(np.int32).clip(0, len(grey) - 1)
        mean, seen = (one.astype(np.float32) for one in saturation.moments(grey, deviation))
        removed = noisy - mean[kind, place]
        slope = (seen / deviation).astype(np.float32)[kind, place]  # about that of the mean
        shifted = shifted + _local_mean(weight * slope, removed, weight * slope**2 + UNSHIFTED, WIDE_NEIGHBOURHOOD)
        found, expected = weight * removed**2, weight * seen[kind, place] ** 2
        for half, here in ((grey < MIDDLE, restored < MIDDLE), (grey >= MIDDLE, restored >= MIDDLE)):
            ratio = (found[here].sum() + LEAST_DEVIATION) / (expected[here].sum() + LEAST_DEVIATION)
            deviation[:, half] *= math.sqrt(min(max(ratio, 1 / MOST_SCALED), MOST_SCALED))
    return shifted.clip(saturation.low, saturation.high)


def _classes_of_gain(gain: NDArray[np.float32] | None) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Gains that stand for those of the pixels, (K,), and which of them each pixel has, (H, W); () without a gain."""
    if gain is None:
        return np.ones(1), np.zeros((), dtype=np.uint8)
    low, high = (math.log(float(end)) for end in (gain.min(), gain.max()))
    step = max(high - low, 1e-6) / (GAIN_CLASSES - 1)
    kind = np.rint((np.log(gain) - low) / step).clip(0, GAIN_CLASSES - 1).astype(np.uint8)
    return np.exp(low + step * np.arange(GAIN_CLASSES)), kind


def _local_mean(
    weight: NDArray[np.float32], values: NDArray[np.float32], total: NDArray[np.float32], side: int
) -> NDArray[np.float32]:
    """Mean of weight x values over that of `total`, each over the square around a pixel; 0 where there is nothing."""
    from scipy.ndimage import uniform_filter

    above, below = (uniform_filter(one, side, mode="reflect") for one in (weight * values, total))
    return np.asarray(above / np.maximum(below, LEAST_SHARE))


def _without_noise(noisy: NDArray[np.float32], saturation: Saturation) -> NDArray[np.bool_]:
    """(H, W), where it is black or white all around: shutters, letters and burnt-out areas, which tell nothing."""
    from scipy.ndimage import minimum_filter

    ends = (noisy <= saturation.low) | (noisy >= saturation.high)
    return np.asarray(minimum_filter(ends, 5)) if ends.any() else ends
