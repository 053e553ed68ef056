"""Average a frame of a run with its neighbours in time, where nothing moves.

    d_s = f_s - f_t less its Gaussian of 8 pixels      f_t: the frame, f_s: another one of its scene
    z_s = max over b of e_b^2 / var(e_b)               e_b: Gaussian of b pixels of d_s over the deviation of the noise
    w_s = exp(-max(z_s - 1, 0))                        var: what noise alone gives, which follows from its spectrum
    average = f_t + sum w_s d_s / (1 + sum w_s)

It is the temporal filter of fluoroscopy with detection of motion (Aufrichtig and Wilson, IEEE Trans. Med. Imaging
14(4), 1995), without recursion. The narrow Gaussian finds motion of what is small, the wide one of what is faint. The
coarse part stays that of the frame: it changes with the exposure, and where contrast medium spreads. The neighbours lie
symmetrically around the frame, so that what changes steadily does not lag behind.
"""

from collections.abc import Sequence
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
LOCAL = 3.0
"""Deviation of the Gaussian after which the grey level of a pixel tells how strong its noise is, pixels."""
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

    Args:
        frame: (H, W), grey levels.
        others: likewise, taken before and after it, as many on one side as on the other.
        noise: of each of them.

    Raises:
        ValueError: the shapes differ.
    """
    from scipy.ndimage import gaussian_filter

    image = np.asarray(frame, dtype=np.float32)
    deviation = noise.deviation_at(gaussian_filter(image, LOCAL)).astype(np.float32).clip(LEAST_DEVIATION)
    weights, change = _weighted(image, others, deviation, _usual_variances(noise))
    weighted, least, powers = _of_drawn_noise(noise.kernel.tobytes(), noise.kernel.shape, len(others))
    share = np.minimum(weights * np.float32(least / weighted), 1.0)
    return FrameAverage(image + change, share, least, powers)


def _weighted(
    image: Grey, others: Sequence[NDArray[np.floating]], deviation: Grey, usual: Sequence[float]
) -> tuple[Grey, Grey]:
    """(H, W) each: sum of the squares of all weights over the square of their sum, and what averaging adds."""
    from scipy.ndimage import gaussian_filter

    total, squares, change = np.ones_like(image), np.ones_like(image), np.zeros_like(image)
    for other in others:
        if other.shape != image.shape:
            raise ValueError(f"frames of one scene have one shape, got {other.shape} beside {image.shape}")
        difference = np.subtract(other, image, dtype=np.float32)
        middle = image + difference / 2
        offset, slope = common_change(block_means(middle, BLOCK), block_means(difference, BLOCK))
        difference -= np.float32(offset) + np.float32(slope) * middle
        difference -= gaussian_filter(difference, COARSE, truncate=3.0)
        relative = difference / deviation
        unlike = np.full_like(image, USUAL)
        for blur, variance in zip(BLURS, usual, strict=True):
            np.maximum(unlike, gaussian_filter(relative, blur, truncate=3.0) ** 2 / np.float32(variance), out=unlike)
        weight = np.exp(USUAL - unlike)
        change += weight * difference
        total += weight
        squares += weight**2
    return squares / total**2, change / total


@lru_cache(maxsize=16)
def _of_drawn_noise(kernel: bytes, shape: tuple[int, int], count: int) -> tuple[float, float, NDArray[np.float64]]:
    """Averaging a frame of nothing but noise of a spectrum with `count` others.

    Returns:
        The mean of the first result of `_weighted`, the share of the variance that is left, and the powers that this
        has in `profile.BANDS`.
    """
    noise = NoiseProfile(np.zeros(1), np.ones(1), np.frombuffer(kernel).reshape(shape))
    rng, flat, ones = np.random.default_rng(0), np.zeros((DRAWN, DRAWN)), np.ones((DRAWN, DRAWN), np.float32)
    frame, *others = [noise.draw(flat, rng).astype(np.float32) for _ in range(count + 1)]
    weights, change = _weighted(frame, others, ones, _usual_variances(noise))
    left = frame + change
    power = np.abs(np.fft.fft2(left)) ** 2
    return float(weights.mean()), float(left.var() / frame.var()), band_means(power / power.mean())


def _usual_variances(noise: NoiseProfile) -> list[float]:
    """Variance of the blurred differences of frames of still scenes, for each of `BLURS`."""
    return [2 * variance_after_blur(noise, blur) for blur in BLURS]


def variance_after_blur(noise: NoiseProfile, blur: float) -> float:
    """Variance of noise less its coarse part, after a Gaussian of `blur` pixels, over its variance before."""
    rows, columns = (max(GRID, side + 1) for side in noise.kernel.shape)
    squared = np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.fftfreq(columns) ** 2
    fine, coarse = (np.exp(-2 * (np.pi * size) ** 2 * squared) for size in (blur, COARSE))
    return float((noise.spectrum((rows, columns)) * (fine * (1 - coarse)) ** 2).mean())
