"""Average a frame of a run with its neighbours in time, where nothing moves.

    d_s = f_s - f_t less its Gaussian of 8 pixels      f_t: the frame, f_s: another one, brought to its exposure
    z_s = max over b of e_b^2 / var(e_b)               e_b: Gaussian of b pixels of d_s over the deviation of the noise
    y_s = Gaussian of 1 pixel of e_0^2 / var(e_0)      var: what noise alone gives, which follows from its spectrum
    u_s = max(z_s - 1, 2 (y_s - 2), 0)
    w_s = exp(-max(u_s - 6 c l_s, 0))                  c, l_s: 0..1
    average = f_t + sum w_s d_s / (1 + sum w_s)

It is the temporal filter of fluoroscopy with detection of motion (Aufrichtig and Wilson, IEEE Trans. Med. Imaging
14(4), 1995), without recursion. The narrow Gaussian finds motion of what is small, the wide one of what is faint, and
y_s that of fine patterns, which both Gaussians wipe out. By chance u_s is large where nothing moves, too. So up to 6 of
it are pardoned. l_s says how alike the surroundings are: it is 1 where the local mean of u_s is at most twice what
noise alone gives, and falls to 0 at four times. c says that the frame has nothing that all other frames lack, or all
before it, or all after it: it is 1 where the mean of their d_s, through the same Gaussians, has a square of at most 3.5
times its variance, and falls to 0 at 7 times. The coarse part stays that of the frame: it changes with the exposure,
and where contrast medium spreads. But at the ends of a run the neighbours lie symmetrically around the frame, so that
what changes steadily does not lag behind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.noise_power import block_means
from xray_denoise.physics.profile import NoiseProfile, band_means
from xray_denoise.physics.repeated_frames import BLOCK, common_change

RADIUS = 4
"""Frames before and after a frame that it is averaged with."""
COARSE = 8.0
"""Deviation of the Gaussian that is the coarse part of a difference, pixels."""
BLURS = (1.0, 2.5)
"""Deviations of the Gaussians that differences are looked at through, pixels."""
USUAL = 1.0
"""Squared difference over its variance, up to which a neighbour counts fully."""
USUAL_ENERGY, STEEPNESS = 2.0, 2.0
"""Local mean of the squared differences over their variance, up to which it counts fully, and how steeply beyond."""
PARDONED, AROUND = 6.0, 4.0
"""How much of u_s is pardoned at most; u_s counts as no more than this in its local mean, which is taken by a Gaussian
of so many pixels."""
STILL = 2.0
"""Local mean of u_s over that of noise alone, up to which the surroundings are still; from twice this they move."""
SEEN_ALONE = 3.5
"""Squared mean of differences over its variance, up to which the frame has nothing that the others lack; from twice
this it has."""
LOCAL = 3.0
"""Deviation of the Gaussian after which the grey level of a pixel tells how strong its noise is, pixels."""
MOST_GAIN = 2.0
"""A neighbour counts if its contrasts are at most so many times as large or as small as those of the frame."""
LEAST_DEVIATION = 0.05
"""Weaker noise counts as this strong, grey levels."""
DRAWN = 256
"""Side of the drawn noise, pixels."""
GRID = 128
"""Side of the grid of frequencies, at least, that the variance of blurred noise is computed on."""

Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FrameAverage:
    """A frame after averaging."""

    image: Grey
    """(H, W), grey levels."""
    share: Grey
    """(H, W), share of the variance of the noise that is left, 0..1; 1 where nothing was averaged."""
    least: float
    """The share where nothing moves."""
    powers: NDArray[np.float64]
    """(4,), mean power of the noise that is left there in each of `profile.BANDS`, relative to white noise."""


def average_frames(
    frame: NDArray[np.floating], others: Sequence[NDArray[np.floating]], noise: NoiseProfile
) -> FrameAverage:
    """Average a frame with others of its scene.

    Of the others, exact repetitions and those of a much different exposure are left out.

    Args:
        frame: (H, W), grey levels.
        others: likewise, taken before and after it; at the ends of a run there are fewer on one side.
        noise: of each of them.

    Raises:
        ValueError: the shapes differ.
    """
    from scipy.ndimage import gaussian_filter

    image = np.asarray(frame, dtype=np.float32)
    deviation = noise.deviation_at(gaussian_filter(image, LOCAL)).astype(np.float32).clip(LEAST_DEVIATION)
    relative = [difference / deviation for difference in _differences(image, others)]
    weights, change = _weighted(relative, image.shape, _usual(noise.kernel.tobytes(), noise.kernel.shape))
    weighted, least, powers = _of_drawn_noise(noise.kernel.tobytes(), noise.kernel.shape, len(relative))
    share = np.minimum(weights * np.float32(least / weighted), 1.0)
    change *= deviation
    return FrameAverage(image + change, share, least, powers)


def _differences(image: Grey, others: Sequence[NDArray[np.floating]]) -> Iterator[Grey]:
    """(H, W) each, how others differ from the image, less the change of the exposure and the coarse part."""
    seen = [image]
    for other in (np.asarray(one, dtype=np.float32) for one in others):
        if other.shape != image.shape:
            raise ValueError(f"frames of one scene have one shape, got {other.shape} beside {image.shape}")
        if any(np.array_equal(other, one) for one in seen):
            continue
        seen.append(other)
        difference = np.subtract(other, image, dtype=np.float32)
        middle = image + difference / 2
        offset, slope = common_change(block_means(middle, BLOCK), block_means(difference, BLOCK))
        ours, theirs = 1 - slope / 2, 1 + slope / 2  # contrasts, over those of the mean of both
        if max(ours, theirs) > MOST_GAIN * min(ours, theirs):
            continue
        difference -= np.float32(offset) + np.float32(slope) * middle
        difference /= np.float32(theirs)
        yield _fine(difference)


def _fine(difference: Grey) -> Grey:
    """A difference less its coarse part."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(difference - gaussian_filter(difference, COARSE, truncate=3.0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Usual:
    """What noise alone gives in the differences of frames of a still scene, in units of its deviation."""

    variances: tuple[float, ...]
    """Of the differences as they are, and blurred by each of `BLURS`."""
    unlike: float
    """Mean of `_unlike`, each at most `PARDONED`."""


def _weighted(relative: Sequence[Grey], shape: tuple[int, ...], usual: _Usual) -> tuple[Grey, Grey]:
    """Weigh differences over the deviation of the noise, (H, W) each, and add them up.

    Returns:
        (H, W), the sum of the squares of all weights over the square of their sum; (H, W), what averaging adds to the
        frame, over the deviation.
    """
    from scipy.ndimage import gaussian_filter

    total, squares, common = (np.ones(shape, np.float32) for _ in range(3))
    change = np.zeros(shape, np.float32)
    half = len(relative) // 2  # but at the ends of a run, as many frames lie before the frame as after it
    for some in (relative, relative[:half], relative[half:]):
        if some:
            np.minimum(common, _common(some, usual), out=common)
    for difference in relative:
        unlike = _unlike(difference, usual.variances)
        around = gaussian_filter(np.minimum(unlike, PARDONED), AROUND, truncate=3.0)
        still = common * np.clip(2 - around / np.float32(STILL * usual.unlike), 0, 1)
        weight = np.exp(-np.maximum(unlike - PARDONED * still, 0))
        change += weight * difference
        total += weight
        squares += weight**2
    return squares / total**2, change / total


def _unlike(relative: Grey, variances: Sequence[float]) -> Grey:
    """(H, W), how unlike noise a difference over the deviation of the noise is: u_s of the module."""
    from scipy.ndimage import gaussian_filter

    energy = gaussian_filter(relative**2, BLURS[0], truncate=3.0) / np.float32(variances[0])
    unlike = np.maximum(STEEPNESS * (energy - USUAL_ENERGY), 0)
    for blur, variance in zip(BLURS, variances[1:], strict=True):
        square = gaussian_filter(relative, blur, truncate=3.0) ** 2
        np.maximum(unlike, square / np.float32(variance) - USUAL, out=unlike)
    return np.asarray(unlike, dtype=np.float32)


def _common(relative: Sequence[Grey], usual: _Usual) -> Grey:
    """(H, W), 1 where the frame shows nothing that the mean of the others lacks, down to 0 where it does."""
    from scipy.ndimage import gaussian_filter

    mean = relative[0].copy()
    for difference in relative[1:]:
        mean += difference
    mean /= len(relative)
    part = (1 + 1 / len(relative)) / 2  # variance of the mean over that of one difference
    shown = np.zeros_like(mean)
    for blur, variance in zip(BLURS, usual.variances[1:], strict=True):
        square = gaussian_filter(mean, blur, truncate=3.0) ** 2
        np.maximum(shown, square / np.float32(part * variance), out=shown)
    return np.asarray(np.clip(2 - shown / np.float32(SEEN_ALONE), 0, 1), dtype=np.float32)


@lru_cache(maxsize=16)
def _usual(kernel: bytes, shape: tuple[int, int]) -> _Usual:
    """Of noise with a kernel of this shape."""
    noise, (frame, other) = _drawn(kernel, shape, 2)
    variances = [2 * variance_after_blur(noise, blur) for blur in (0.0, *BLURS)]
    difference = _fine(other - frame)
    return _Usual(tuple(variances), float(np.minimum(_unlike(difference, variances), PARDONED).mean()))


@lru_cache(maxsize=16)
def _of_drawn_noise(kernel: bytes, shape: tuple[int, int], count: int) -> tuple[float, float, NDArray[np.float64]]:
    """Averaging a frame of nothing but noise of a spectrum with `count` others.

    Returns:
        The mean of the first result of `_weighted`, the share of the variance that is left, and the powers that this
        has in `profile.BANDS`.
    """
    _, (frame, *others) = _drawn(kernel, shape, count + 1)
    weights, change = _weighted([_fine(other - frame) for other in others], frame.shape, _usual(kernel, shape))
    left = frame + change
    power = np.abs(np.fft.fft2(left)) ** 2
    return float(weights.mean()), float(left.var() / frame.var()), band_means(power / power.mean())


def _drawn(kernel: bytes, shape: tuple[int, int], count: int) -> tuple[NoiseProfile, list[Grey]]:
    """A profile of deviation 1 with this kernel, and frames that hold nothing but its noise."""
    noise = NoiseProfile(np.zeros(1), np.ones(1), np.frombuffer(kernel).reshape(shape))
    rng, flat = np.random.default_rng(0), np.zeros((DRAWN, DRAWN))
    return noise, [noise.draw(flat, rng) for _ in range(count)]


def variance_after_blur(noise: NoiseProfile, blur: float) -> float:
    """Variance of noise less its coarse part, after a Gaussian of `blur` pixels, over its variance before."""
    rows, columns = (max(GRID, side + 1) for side in noise.kernel.shape)
    squared = np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.fftfreq(columns) ** 2
    fine, coarse = (np.exp(-2 * (np.pi * size) ** 2 * squared) for size in (blur, COARSE))
    return float((noise.spectrum((rows, columns)) * (fine * (1 - coarse)) ** 2).mean())
