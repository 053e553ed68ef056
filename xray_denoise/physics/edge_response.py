"""Presampled modulation transfer function (MTF) of a slanted edge, after IEC 62220-1-1.

    edge             x(y) = a + b y, through the centroids of the gradient of each line across the edge
    edge spread      ESF(d) = mean of the pixels at a distance d from the edge, in steps of 1/8 pixel
                     smoothed far from the edge, over a quarter of the distance
    line spread      LSF = dESF / dd, with tapered ends
    MTF(f)           |F(LSF)(f)| / |F(LSF)(0)| / (sinc(f / 8))^2

d is perpendicular to the edge, in pixels; the slant spreads the pixels of many lines over all fractions of a pixel, so
that the MTF includes the aperture of the pixels but no aliasing. Averaging over steps of 1/8 pixel and the difference
of neighbouring steps each multiply the MTF by sinc(f / 8) = sin(pi f / 8) / (pi f / 8), which is divided out.

References:
    IEC 62220-1-1:2015: modulation transfer function.
    E. Buhr, S. Gunther-Kohfahl, U. Neitzel, "Accuracy of a simple method for deriving the presampled modulation
        transfer function of a digital radiographic system from an edge image", Med. Phys. 30 (2003) 2323.
    E. Samei, M. J. Flynn, D. A. Reimann, "A method for measuring the presampled MTF of digital radiographic systems
        using an edge test device", Med. Phys. 25 (1998) 102.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

OVERSAMPLING = 8
"""Steps of the edge spread function per pixel."""
WIDEST = 128
"""Pixels on each side of the edge that are used, at most."""
NARROWEST = 8
"""Pixels on each side of the edge, at least."""
TAPER = 0.25
"""Share of each half of the line spread function, from its end, that a cosine takes down to 0."""
SEARCH = 2.0
"""Deviation of the Gaussian that the gradient is searched with, pixels."""
CENTROID = 6
"""Pixels on each side of the edge over which a line's centroid is taken."""
STRAIGHT = 2.0
"""Distance from the fitted edge, pixels, within which a line's steepest place must lie..."""
STRAIGHT_SHARE = 0.7
"""...in this share of the lines."""
LEAST_CORE, SMOOTHING = 4.0, 0.25
"""Pixels on each side of the edge that are not smoothed, at least; and width of the mean by distance from there."""
STEEPEST_SLANT = 15.0
"""Largest angle between the edge and the axis, degrees."""
LEAST_CONTRAST = 10.0
"""Contrast of the edge in deviations of the pixels, at least."""
PARTS = 8
"""Parts along the edge whose MTFs tell the standard error."""
FREQUENCY_STEP = 0.01
"""Cycles per pixel."""


class NoEdgeError(ValueError):
    """The image does not show one straight, slanted edge."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgeResponse:
    """What an edge tells."""

    direction: Literal["horizontal", "vertical"]
    """Axis across the edge, along which the MTF is measured: horizontal for an upright edge."""
    angle: float
    """Between the edge and the other axis, degrees, -15..15."""
    contrast: float
    """Difference between both sides, stored values."""
    noise: float
    """Deviation of the pixels from the edge spread function, stored values."""
    lines: int
    """Lines across the edge that were used."""
    distance: Values
    """(K,), from the edge, pixels."""
    edge_spread: Values
    """(K,), from 0 on one side to 1 on the other."""
    frequency: Values
    """(F,), cycles per pixel, 0..0.5."""
    mtf: Values
    """(F,), 1 at frequency 0."""
    error: Values
    """(F,), standard error of the MTF, from parts of the edge; NaN where the edge is too short for parts."""

    def frequency_at(self, level: float) -> float:
        """The lowest frequency at which the MTF falls to `level`, cycles per pixel; NaN where it does not."""
        below = np.flatnonzero(self.mtf <= level)
        if not below.size or not below[0]:
            return math.nan
        place = below[0]
        high, low = self.mtf[place - 1], self.mtf[place]
        share = (high - level) / (high - low)
        return float(self.frequency[place - 1] + share * (self.frequency[place] - self.frequency[place - 1]))


def edge_response(image: NDArray[np.floating] | NDArray[np.integer]) -> EdgeResponse:
    """Measure the MTF of the edge in an image of linear values.

    Args:
        image: (H, W), stored values, with one straight edge from rim to rim, slanted by 1 to 15 degrees (IEC 62220-1-1:
            1.5 to 3 degrees), and even on both sides.

    Raises:
        NoEdgeError: there is no such edge; says what is wrong.
    """
    values: Values = np.asarray(image, dtype=np.float64)
    if min(values.shape) < 2 * NARROWEST:
        raise NoEdgeError(f"an edge needs at least {2 * NARROWEST} pixels a side, got {values.shape}")
    upright = _is_upright(values)
    lines = values if upright else values.T
    offset, slope, used = _edge_line(lines)
    _refuse_slant(slope, int(used.sum()))
    lines, rows = lines[used], np.flatnonzero(used)
    places = offset + slope * rows
    reach = int(min(WIDEST, places.min(), lines.shape[1] - 1 - places.max()))
    if reach < NARROWEST:
        raise NoEdgeError(f"the edge is {max(reach, 0)} pixels from the rim; at least {NARROWEST} are needed")
    cosine = 1 / math.hypot(1, slope)
    distances = (np.arange(lines.shape[1])[None] - places[:, None]) * cosine
    reach = int(reach * cosine)
    distance, spread, noise = _edge_spread(lines, distances, reach)
    ends = max(OVERSAMPLING, len(spread) // 8)
    low, high = float(spread[:ends].mean()), float(spread[-ends:].mean())
    contrast = abs(high - low)
    if not contrast > LEAST_CONTRAST * noise:
        raise NoEdgeError(f"the contrast of the edge is {contrast:.3g}, less than {LEAST_CONTRAST:g} times the noise")
    frequency = np.arange(0, 0.5 + FREQUENCY_STEP / 2, FREQUENCY_STEP)
    return EdgeResponse(
        direction="horizontal" if upright else "vertical",
        angle=math.degrees(math.atan(slope)),
        contrast=contrast,
        noise=noise,
        lines=len(rows),
        distance=distance,
        edge_spread=(spread - low) / (high - low),
        frequency=frequency,
        mtf=transfer(spread, frequency),
        error=_error(lines, distances, reach, slope, frequency),
    )


def transfer(edge_spread: Values, frequency: Values) -> Values:
    """MTF of an edge spread function.

    Args:
        edge_spread: (K,), in steps of 1/8 pixel, the edge in the middle.
        frequency: (F,), cycles per pixel.
    """
    line = np.diff(edge_spread) * _taper(len(edge_spread) - 1)
    place = np.arange(len(line)) / OVERSAMPLING
    amplitude = np.abs(np.exp(-2j * math.pi * np.outer(frequency, place)) @ line)
    return np.asarray(amplitude / max(abs(float(line.sum())), 1e-300) / np.sinc(frequency / OVERSAMPLING) ** 2)


def _taper(length: int) -> Values:
    """1 in the middle, a cosine down to 0 over a quarter of each half."""
    from_end = (np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5) / (TAPER * length / 2)
    return np.asarray(0.5 - 0.5 * np.cos(math.pi * np.minimum(from_end, 1.0)))


def _is_upright(values: Values) -> bool:
    """Whether the strongest gradients, after smoothing, run along the rows."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(values, SEARCH)
    across, down = np.abs(np.diff(smooth, axis=1)), np.abs(np.diff(smooth, axis=0))
    return bool(across.max(axis=1).mean() > down.max(axis=0).mean())


def _edge_line(lines: Values) -> tuple[float, float, NDArray[np.bool_]]:
    """Place of the edge in line 0, its change from line to line, and the lines where it is far enough from the rim."""
    from scipy.ndimage import gaussian_filter

    gradient = gaussian_filter(lines, SEARCH, order=(0, 1))
    total = float(gradient.sum())
    steepest = np.argmax(gradient * math.copysign(1, total), axis=1).astype(np.float64)
    rows = np.arange(len(lines), dtype=np.float64)
    slope, offset = _robust_line(rows, steepest)
    near = np.abs(steepest - offset - slope * rows) < STRAIGHT + 3 * SEARCH * abs(slope)
    if near.mean() < STRAIGHT_SHARE:
        raise NoEdgeError(f"only {near.mean():.0%} of the lines across it have their steepest place on a straight edge")
    used: NDArray[np.bool_] = np.ones(len(lines), dtype=bool)
    for _ in range(3):
        places = offset + slope * rows
        used = (places > NARROWEST) & (places < lines.shape[1] - 1 - NARROWEST)
        if used.sum() < 2:
            raise NoEdgeError("the edge leaves the image")
        centroids = _centroids(lines[used], places[used])
        kept = np.abs(centroids - places[used]) < CENTROID / 2
        if kept.sum() < 2:
            raise NoEdgeError("the edge is lost in noise")
        slope, offset = np.polyfit(rows[used][kept], centroids[kept], 1)
    return float(offset), float(slope), used


def _robust_line(x: Values, y: Values) -> tuple[float, float]:
    """Slope and offset: the median of the slopes between points half of the length apart, then of the offsets."""
    half = len(x) // 2
    slope = float(np.median((y[half : 2 * half] - y[:half]) / half))
    return slope, float(np.median(y - slope * x))


def _centroids(lines: Values, places: Values) -> Values:
    """Centroid of the gradient of each line around its place, pixels."""
    centre = np.rint(places).astype(int)
    near = np.arange(-CENTROID, CENTROID + 1)
    columns = np.clip(centre[:, None] + near, 0, lines.shape[1] - 2)
    gradient = np.take_along_axis(np.diff(lines, axis=1), columns, axis=1)
    weight = gradient.sum(axis=1)
    weight = np.where(np.abs(weight) > 1e-12, weight, 1e-12)
    return np.asarray(centre + 0.5 + (gradient * near).sum(axis=1) / weight)


def _refuse_slant(slope: float, lines: int) -> None:
    angle = abs(math.degrees(math.atan(slope)))
    if angle > STEEPEST_SLANT:
        raise NoEdgeError(f"the edge is slanted by {angle:.1f} degrees, more than {STEEPEST_SLANT:g}")
    if abs(slope) * lines < 1:
        raise NoEdgeError(
            f"the edge moves by {abs(slope) * lines:.2f} pixels over its length, less than one: it is not slanted"
        )


def _edge_spread(lines: Values, distances: Values, reach: int) -> tuple[Values, Values, float]:
    """Distances, means in steps of 1/8 pixel, and the deviation of the pixels from them."""
    steps = 2 * reach * OVERSAMPLING
    step = np.floor((distances + reach) * OVERSAMPLING).astype(int)
    inside = (step >= 0) & (step < steps)
    count = np.bincount(step[inside], minlength=steps)
    filled = count > 0
    place, height = (
        np.bincount(step[inside], weights=values[inside], minlength=steps)[filled] / count[filled]
        for values in (distances, lines)
    )
    distance = (np.arange(steps) + 0.5) / OVERSAMPLING - reach
    spread = np.interp(distance, place, height)
    far = inside & (np.abs(distances) > 0.75 * reach)
    residual = lines[far] - spread[step[far]]
    return distance, _smoothed(distance, spread), float(residual.std())


def _smoothed(distance: Values, spread: Values) -> Values:
    """The edge spread with its tails smoothed, the more the farther from the edge: they hold no fine detail.

    Each value becomes the mean over a quarter of its distance from the core on both sides; the core is twice the width
    between 10 % and 90 % on each side, at least 4 pixels.
    """
    ends = max(OVERSAMPLING, len(spread) // 8)
    low, high = spread[:ends].mean(), spread[-ends:].mean()
    height = (spread - low) / ((high - low) or 1.0)
    core = max(LEAST_CORE, 2 * float(((height > 0.1) & (height < 0.9)).sum()) / OVERSAMPLING)
    half = np.maximum(np.abs(distance) - core, 0) * (SMOOTHING * OVERSAMPLING)
    place = np.arange(len(spread))
    half = np.minimum(half.astype(int), np.minimum(place, place[::-1]))
    sums = np.concatenate([[0.0], np.cumsum(spread)])
    return np.asarray((sums[place + half + 1] - sums[place - half]) / (2 * half + 1))


def _error(lines: Values, distances: Values, reach: int, slope: float, frequency: Values) -> Values:
    """Standard error of the MTF from parts of the edge, in each of which it moves by at least a pixel."""
    parts = min(PARTS, int(abs(slope) * len(lines)))
    if parts < 3:
        return np.full(frequency.shape, math.nan)
    pieces = zip(np.array_split(lines, parts), np.array_split(distances, parts), strict=True)
    found = np.array([transfer(_edge_spread(line, distance, reach)[1], frequency) for line, distance in pieces])
    return np.asarray(found.std(axis=0, ddof=1) / math.sqrt(parts))
