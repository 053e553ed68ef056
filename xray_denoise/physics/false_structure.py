"""Blobs and lines that a detector finds in an image that holds none.

An image of a flat field is compared with templates: blobs of several widths, and lines of several widths and
directions, each with mean 0. A template t gives

    a(x) = sum_y t(y - x) g(y) / sum t^2                    amplitude of the structure at x, grey levels
    z(x) = a(x) / (1.4826 median |a|)                       over what is usual in the image

and a structure is counted where |a| is largest within 8 pixels, |z| is above 5, and |a| above a least amplitude.
Gaussian noise, white or correlated, has a value beyond 5 deviations about once in 1.7 million independent ones: what
is counted above that are specks and streaks that stand out of their surroundings.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

STANDS_OUT = 5.0
"""Amplitude over the usual one."""
APART = 8
"""Two structures are at least so far apart, pixels."""
BLOB_WIDTHS, LINE_WIDTHS, LINE_LENGTH, DIRECTIONS = (1.0, 2.0, 4.0), (1.0, 2.0), 10.0, 8
"""Gaussian deviations of blobs, and of lines across and along, pixels; number of directions."""


def blobs(flat: NDArray[np.floating], least: float) -> int:
    """How many blobs stand out of an image of a flat field, (H, W), with an amplitude above `least`, grey levels."""
    return _found(flat, least, ((width, width, 0.0) for width in BLOB_WIDTHS))


def lines(flat: NDArray[np.floating], least: float) -> int:
    """The same for lines."""
    angles = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    return _found(flat, least, ((LINE_LENGTH, width, angle) for width in LINE_WIDTHS for angle in angles))


def _found(flat: NDArray[np.floating], least: float, shapes: Iterator[tuple[float, float, float]]) -> int:
    from scipy.ndimage import maximum_filter
    from scipy.signal import fftconvolve

    image = np.asarray(flat, dtype=np.float64) - float(np.mean(flat, dtype=np.float64))
    strongest = np.zeros(image.shape)
    for shape in shapes:
        template = _template(*shape)
        half = template.shape[0] // 2
        amplitude = np.abs(fftconvolve(image, template[::-1, ::-1] / (template**2).sum(), mode="same"))
        amplitude[:half] = amplitude[-half:] = amplitude[:, :half] = amplitude[:, -half:] = 0.0  # rims look like edges
        usual = 1.4826 * float(np.median(amplitude[half:-half, half:-half]))
        seen = (amplitude > STANDS_OUT * usual) & (amplitude > least)
        strongest = np.maximum(strongest, np.where(seen, amplitude, 0.0))
    peaks = (strongest > 0) & (strongest == maximum_filter(strongest, 2 * APART + 1))
    return int(peaks.sum())


def _template(along: float, across: float, angle: float) -> Values:
    """A Gaussian of peak 1 less the mean of its square."""
    half = int(np.ceil(3 * max(along, across)))
    grid = np.arange(-half, half + 1)
    u = grid[None] * np.cos(angle) + grid[:, None] * np.sin(angle)
    v = grid[:, None] * np.cos(angle) - grid[None] * np.sin(angle)
    shape = np.exp(-(u**2) / (2 * along**2) - v**2 / (2 * across**2))
    return np.asarray(shape - shape.mean())
