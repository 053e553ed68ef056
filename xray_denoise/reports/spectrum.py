"""A radial power spectrum as a plot of the HTML page."""

import math

import numpy as np
from numpy.typing import NDArray

from xray_denoise.reports.plots import COLOURS, as_svg, new_figure, style

BINS = 128
"""Rings of the radial spectrum between 0 and 0.5 cycles per pixel."""


def spectrum(residual: NDArray[np.float32]) -> bytes:
    """The radial power spectrum of an image as SVG, beside that of white noise of the same variance.

    Args:
        residual: (H, W), grey levels.
    """
    frequency, power = radial_power(residual)
    with style():
        figure = new_figure(4.8, 3.2)
        axes = figure.add_subplot()
        seen = power > 0
        axes.plot(frequency[seen], power[seen], color=COLOURS[0], label="residual")
        variance = float(np.var(residual, dtype=np.float64))
        if variance > 0:
            axes.axhline(variance, color=COLOURS[1], linestyle="--", linewidth=1.2, label="white, same variance")
            axes.set_yscale("log")
            middle = math.log10(variance)
            lowest, highest = (math.log10(float(bound(power[seen]))) for bound in (np.min, np.max))
            axes.set_ylim(10 ** min(lowest - 0.2, middle - 1), 10 ** max(highest + 0.2, middle + 1))
            axes.legend(frameon=False)
        axes.set(xlabel="frequency / cycles per pixel", ylabel="power / grey levels²", xlim=(0, 0.5))
        return as_svg(figure)


def radial_power(image: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power of an image on rings of equal frequency, its mean taken out, under a Hann window.

    Power is |F|^2 / sum(window^2): white noise of variance v has power v at every frequency.

    Args:
        image: (H, W), grey levels.

    Returns:
        Frequencies in cycles per pixel and power in grey levels squared, each of at most `BINS` rings; rings
        without a sample are left out.
    """
    height, width = image.shape
    window = np.outer(_hann(height), _hann(width))
    centred = image - np.mean(image, dtype=np.float64)
    power = np.abs(np.fft.rfft2(centred * window)) ** 2 / np.sum(window**2)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    ring = np.minimum((radius * 2 * BINS).astype(int), BINS)  # beyond 0.5, in the corners: the last one, dropped
    ring[0, 0] = BINS  # the mean
    counts = np.bincount(ring.ravel(), minlength=BINS + 1)[:BINS]
    sums = np.bincount(ring.ravel(), power.ravel(), minlength=BINS + 1)[:BINS]
    filled = counts > 0
    return (np.arange(BINS)[filled] + 0.5) / (2 * BINS), sums[filled] / counts[filled]


def _hann(length: int) -> NDArray[np.float64]:
    """A Hann window whose first and last value are above 0, so that a single pixel has weight too."""
    return np.asarray(np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2, dtype=np.float64)
