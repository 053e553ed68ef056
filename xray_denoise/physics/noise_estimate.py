"""Estimate the noise profile of one exposure without a network: deviation against grey level, and spectrum.

The noise is the same all over an exposure and structure is not, so power is measured in many blocks and pooled:

    blocks of 16x16 pixels, DCT                    mean grey level m, mean power in four radial bands (`BANDS`)
    classes of equally many blocks by m            for each band the smoothest fifth, told by the *other* bands
    median over those / (1 - 2 / (9 n))^3          power of the noise in that band; n is the number of coefficients
    over the classes                               spectrum: median of the shares; deviation: a robust quadratic in
                                                   the logarithm

White or coloured Gaussian noise has independent bands, so that choosing blocks by the other bands chooses smooth
places and not weak noise. The median of means of n squares of normal numbers lies below the mean by the factor
that is divided out (Wilson and Hilferty).
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.estimate import estimate_level
from xray_denoise.physics.noise import GREY_MAX
from xray_denoise.physics.profile import BANDS, GRID, NoiseProfile, band_means, kernel_of

Values = NDArray[np.float64]

BLOCK, STEP = 16, 8
"""Side of a block and distance between blocks, pixels."""
MOST_BLOCKS = 16384
"""More blocks than this are thinned out evenly."""
CLASSES, SMALLEST_CLASS = 12, 40
"""Classes of grey level, at most, and blocks in a class, at least."""
SMOOTHEST = 0.2
"""Share of the blocks of a class that is kept for a band."""
LOWEST_BAND_AT_MOST = 1.5
"""Power of the lowest band relative to the next: more is structure."""
KERNEL_SIDE = 17
"""Side of the kernel, pixels."""
GREYS = np.linspace(0.0, GREY_MAX, 18)
"""Grey levels of the profile."""


@dataclass(frozen=True, slots=True)
class ProfileEstimate:
    """The noise that was found in one exposure."""

    profile: NoiseProfile
    confidence: float
    """0..1."""


def estimate_profile(image: NDArray[np.floating]) -> ProfileEstimate:
    """Estimate deviation against grey level, and spectrum, of the noise of one exposure.

    Args:
        image: (H, W), grey levels, any H and W of at least 1.
    """
    blocks = _blocks(np.asarray(image, dtype=np.float64))
    if len(blocks) < SMALLEST_CLASS:
        return ProfileEstimate(NoiseProfile.of_level(estimate_level(image)), 0.0)
    mean = blocks.mean(axis=(1, 2))
    power = _band_powers(blocks - mean[:, None, None])
    classes = np.array_split(np.argsort(mean, kind="stable"), min(CLASSES, len(mean) // SMALLEST_CLASS))
    grey = np.array([mean[members].mean() for members in classes])
    found = np.array([_pooled(power[members]) for members in classes])
    found[:, 0] = np.minimum(found[:, 0], LOWEST_BAND_AT_MOST * found[:, 1])
    shares = _shares()
    variance = found @ shares
    spectrum = np.median(found / variance[:, None], axis=0)
    spectrum /= spectrum @ shares
    deviation = np.exp(_robust_quadratic(grey, np.log(np.maximum(variance, 1e-12)) / 2, GREYS))
    return ProfileEstimate(NoiseProfile(GREYS, deviation, _kernel(spectrum)), 1.0)


def _blocks(image: Values) -> Values:
    """(N, 16, 16), blocks without saturated pixels or constant areas."""
    if min(image.shape) < BLOCK:
        return np.zeros((0, BLOCK, BLOCK))
    whole = np.prod([length // STEP - 1 for length in image.shape])
    thinning = max(np.sqrt(whole / MOST_BLOCKS), 1.0)
    rows, columns = (_starts(length, STEP * thinning) for length in image.shape)
    view = np.lib.stride_tricks.sliding_window_view(image, (BLOCK, BLOCK))
    blocks = view[np.ix_(rows, columns)].reshape(-1, BLOCK, BLOCK)
    low, high = blocks.min(axis=(1, 2)), blocks.max(axis=(1, 2))
    flat = (np.diff(blocks, axis=2) == 0).mean(axis=(1, 2)) > 0.9
    ends = (image.min(), image.max())
    return np.asarray(blocks[(low > max(ends[0], 0.0)) & (high < min(ends[1], GREY_MAX)) & ~flat])


def _starts(length: int, step: float) -> NDArray[np.intp]:
    """First pixels of blocks, the same seen from both ends of an axis."""
    last = length - BLOCK
    count = int(last / step) + 1
    if count % 2 and last % 2:
        count += 1
    starts = np.floor(np.arange(count) * (last / max(count - 1, 1))).astype(np.intp)
    half = count // 2
    starts[count - half :] = last - starts[:half][::-1]
    if count % 2:
        starts[half] = last // 2
    return np.asarray(starts)


def _radii() -> Values:
    """(16, 16), cycles per pixel of each coefficient of the DCT of a block."""
    frequency = np.arange(BLOCK) / (2 * BLOCK)
    return np.asarray(np.hypot(frequency[:, None], frequency[None]))


def _members() -> list[NDArray[np.bool_]]:
    """(16, 16) per band: the coefficients in it."""
    radii = _radii()
    return [(radii >= low) & (radii < high) for low, high in itertools.pairwise(BANDS)]


def _band_powers(blocks: Values) -> Values:
    """(N, 4), mean square of the DCT coefficients in each band."""
    from scipy.fft import dctn

    square = dctn(blocks, axes=(1, 2), norm="ortho") ** 2
    return np.stack([square[:, band].mean(axis=1) for band in _members()], axis=1)


def _shares() -> Values:
    """(4,), part of the variance of white noise in each band; what lies below all of them goes to the first."""
    radii = np.hypot(np.fft.fftfreq(GRID)[:, None], np.fft.fftfreq(GRID)[None])
    shares = np.array([((radii >= low) & (radii < high)).mean() for low, high in itertools.pairwise((0.0, *BANDS[1:]))])
    return np.asarray(shares)


def _pooled(power: Values) -> Values:
    """(4,), power of the noise in each band, from the blocks of one class."""
    relative = power / np.maximum(np.median(power, axis=0), 1e-12)
    kept = max(int(len(power) * SMOOTHEST), 8)
    counts = [int(band.sum()) for band in _members()]
    found = []
    for band, count in enumerate(counts):
        rough = np.delete(relative, band, axis=1).max(axis=1)
        chosen = np.argsort(rough, kind="stable")[:kept]
        found.append(np.median(power[chosen, band]) / (1 - 2 / (9 * count)) ** 3)
    return np.array(found)


def _robust_quadratic(grey: Values, values: Values, at: Values) -> Values:
    """Values of a robust quadratic through (grey, values), constant outside of the greys."""
    degree = min(2, len(grey) - 1)
    centre, width = grey.mean(), max(float(np.ptp(grey)) / 2, 1e-6)
    basis = np.vander((grey - centre) / width, degree + 1)
    weight: Values = np.ones(len(grey))
    coefficients = np.zeros(degree + 1)
    for _ in range(20):
        coefficients = np.linalg.lstsq(basis * weight[:, None], values * weight, rcond=None)[0]
        residual = values - basis @ coefficients
        scale = max(float(np.median(abs(residual))) / 0.6745, 0.01)
        weight = 1 / np.sqrt(1 + (residual / (2 * scale)) ** 2)
    inside = np.clip(at, grey.min(), grey.max())
    return np.asarray(np.vander((inside - centre) / width, degree + 1) @ coefficients)


def _kernel(bands: Values) -> Values:
    """The kernel of unit energy whose band powers are `bands`: log power linear between the bands."""
    radii = np.hypot(np.fft.fftfreq(GRID)[:, None], np.fft.fftfreq(GRID)[None])
    centres = np.array([radii[(radii >= low) & (radii < high)].mean() for low, high in itertools.pairwise(BANDS)])
    wanted, told = np.log(np.maximum(bands, 1e-6)), np.log(np.maximum(bands, 1e-6))
    for _ in range(8):
        power = np.exp(np.interp(radii, centres, told))
        told = told + wanted - np.log(band_means(power))
    return kernel_of(power, KERNEL_SIDE)
