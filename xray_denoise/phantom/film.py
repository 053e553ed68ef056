"""The film a phantom is drawn on: pixel coordinates in centimetres of the patient, and how to draw tubes.

Patient coordinates are centimetres: x to the right of the image (the patient's left) from the midline, y down
from the top of the film, z forward. They do not depend on the number of pixels: a patient can be drawn at any
size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.float32]
Floats = NDArray[np.float64]

FILM_CM = 43.0
"""Side of the square field of view, cm: the long side of a 35 cm x 43 cm chest film."""
PIVOT = np.array([0.0, 20.0])
"""The point about which a patient is turned and scaled, cm: about the carina."""
BATCH_PIXELS = 1_000_000
"""Pixels that one batch of tube segments may touch; it bounds memory, not the result."""
TABLE_STEP_CM = 0.005
"""Step of the look-up tables for contours, cm: an eighth of a pixel of a 1024 film."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a patient stands before the film."""

    turn: float
    """Rotation in the plane of the film, radians, clockwise."""
    shift: tuple[float, float]
    """Displacement to the right and down, cm."""
    scale: float
    """Size on the film over size in the atlas."""


class Film:
    """A grid of pixels and the patient coordinates of each.

    The field of view is a square of `FILM_CM`; a film that is not square shows the middle of it.
    """

    def __init__(self, shape: tuple[int, int], pose: Pose) -> None:
        self.shape = shape
        self.side = max(shape)
        self.pose = pose
        self.pixel = FILM_CM / self.side
        """Pixel pitch on the film, cm."""
        self._corner = np.array([(self.side - n) / 2 for n in (shape[1], shape[0])])
        film_x = (np.arange(shape[1]) + 0.5 + self._corner[0]) * self.pixel - FILM_CM / 2
        film_y = (np.arange(shape[0]) + 0.5 + self._corner[1]) * self.pixel
        dx = (film_x - PIVOT[0] - pose.shift[0]) / pose.scale
        dy = (film_y - PIVOT[1] - pose.shift[1]) / pose.scale
        cos, sin = math.cos(pose.turn), math.sin(pose.turn)
        self.film_x: Image = film_x.astype(np.float32)[None, :]
        """Film coordinate of the columns, cm from the middle: for what does not turn with the patient."""
        self.film_y: Image = film_y.astype(np.float32)[:, None]
        """Film coordinate of the rows, cm from the top."""
        self.x: Image = (dx[None, :] * cos + dy[:, None] * sin + PIVOT[0]).astype(np.float32)
        """Patient x of every pixel, cm."""
        self.y: Image = (dy[:, None] * cos - dx[None, :] * sin + PIVOT[1]).astype(np.float32)
        """Patient y of every pixel, cm."""

    def to_pixels(self, points: Floats) -> Floats:
        """Columns and rows (fractional) of patient points (n, 2)."""
        cos, sin = math.cos(self.pose.turn), math.sin(self.pose.turn)
        d = (np.asarray(points, dtype=np.float64) - PIVOT) * self.pose.scale
        turned = np.stack([d[:, 0] * cos - d[:, 1] * sin, d[:, 0] * sin + d[:, 1] * cos], axis=1)
        on_film = turned + PIVOT + self.pose.shift + (FILM_CM / 2, 0.0)
        return np.asarray(on_film / self.pixel - 0.5 - self._corner)

    def along(self, coordinate: Image, knots: Sequence[tuple[float, float]]) -> Image:
        """The smooth curve through `knots` (where, value) at every pixel's `coordinate`, held at its ends."""
        from scipy.interpolate import PchipInterpolator

        where, value = np.array(knots, dtype=np.float64).T
        count = round((where[-1] - where[0]) / TABLE_STEP_CM) + 1
        table = PchipInterpolator(where, value)(np.linspace(where[0], where[-1], count)).astype(np.float32)
        index = ((coordinate - np.float32(where[0])) * np.float32(1 / TABLE_STEP_CM)).astype(np.int32)
        return np.asarray(table[np.clip(index, 0, count - 1)])


@dataclass(frozen=True, slots=True)
class Tubes:
    """Segments of tubes seen from the front: everything (n, ...) with one row per segment, in patient cm."""

    start: Floats
    """(n, 2) one end of the axis."""
    end: Floats
    """(n, 2) the other end."""
    radius: Floats
    """(n, 2) half-width at both ends, > 0."""
    depth: Floats
    """(n, 2) path length of a ray through the axis at both ends, cm."""

    @staticmethod
    def curve(points: Floats, radius: ArrayLike, depth: ArrayLike) -> "Tubes":
        """The segments between successive `points` (n, 2)."""
        points = np.asarray(points, dtype=np.float64)
        r = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(points))
        d = np.broadcast_to(np.asarray(depth, dtype=np.float64), len(points))
        pairs = (np.stack([r[:-1], r[1:]], axis=1), np.stack([d[:-1], d[1:]], axis=1))
        return Tubes(points[:-1], points[1:], *pairs)

    @staticmethod
    def join(parts: Sequence["Tubes"]) -> "Tubes":
        """All segments of `parts` (at least one) in one value."""
        return Tubes(
            np.concatenate([part.start for part in parts]),
            np.concatenate([part.end for part in parts]),
            np.concatenate([part.radius for part in parts]),
            np.concatenate([part.depth for part in parts]),
        )


def smooth_curve(knots: Sequence[Sequence[float]], count: int) -> Floats:
    """`count` points on the smooth curve through `knots` (m, any dimension), even in chord length."""
    from scipy.interpolate import PchipInterpolator

    points = np.array(knots, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1))])
    return np.asarray(PchipInterpolator(chord, points, axis=0)(np.linspace(0.0, chord[-1], count)))


MARROW = 0.70
"""Part of the bone that is missing within a tubular bone's shell; the rest is spongy bone."""


def draw_tubes(film: Film, tubes: Tubes, hollow: float = 0.0) -> Image:
    """Path length in cm of the ray of every pixel through `tubes`; where segments overlap the longest counts.

    A full tube has the chord profile depth * sqrt(1 - q^2), q = distance from the axis / radius. `hollow` in
    [0, 1) is the marrow's radius over that of the tube: `MARROW` of its chord is taken away; this leaves
    the bright margins of compact bone. A tube thinner than a pixel is drawn one pixel wide and keeps its
    cross-section.
    """
    if hollow > 0:
        marrow = Tubes(tubes.start, tubes.end, tubes.radius * hollow, tubes.depth * hollow)
        return draw_tubes(film, tubes) - np.float32(MARROW) * draw_tubes(film, marrow)
    image = np.zeros(film.shape, dtype=np.float32)
    start, end = film.to_pixels(tubes.start), film.to_pixels(tubes.end)
    true_radius = tubes.radius * (film.pose.scale / film.pixel)
    radius = np.hypot(true_radius, 0.6)
    depth = tubes.depth * (true_radius / radius)
    reach = np.ceil(radius.max(axis=1)) + 1
    low = np.floor(np.minimum(start, end) - reach[:, None]).astype(np.int64)
    high = np.ceil(np.maximum(start, end) + reach[:, None]).astype(np.int64)
    visible = ((high >= 0) & (low < np.array([film.shape[1], film.shape[0]]))).all(axis=1)
    extent = (high - low).max(axis=1) + 1
    steps = np.ceil(2 * np.log2(np.maximum(extent, 4))).astype(int)  # boxes of like size go together
    for step in np.unique(steps[visible]):
        members = np.flatnonzero(visible & (steps == step))
        box = int(extent[members].max())
        for group in np.array_split(members, max(1, math.ceil(len(members) * box * box / BATCH_PIXELS))):
            _draw_group(image, (start[group], end[group], radius[group], depth[group]), low[group], box)
    return image


def _draw_group(
    image: Image,
    segments: tuple[Floats, Floats, Floats, Floats],
    low: NDArray[np.int64],
    box: int,
) -> None:
    """Draw segments, given in pixels, that each fit into a square of `box` pixels with the corner `low`."""
    start, end, radius, depth = (part.astype(np.float32) for part in segments)
    span = np.arange(box)
    cols, rows = low[:, 0, None] + span, low[:, 1, None] + span
    px = (cols - start[:, 0, None]).astype(np.float32)[:, None, :]
    py = (rows - start[:, 1, None]).astype(np.float32)[:, :, None]
    axis = end - start
    length2 = np.maximum((axis**2).sum(axis=1), np.float32(1e-6))[:, None, None]
    ax, ay = axis[:, 0, None, None], axis[:, 1, None, None]
    t = ((px * ax + py * ay) / length2).clip(0, 1)
    r = radius[:, 0, None, None] * (1 - t) + radius[:, 1, None, None] * t
    q2 = ((px - t * ax) ** 2 + (py - t * ay) ** 2) / r**2
    chord = np.sqrt((1 - q2).clip(0))
    chord *= depth[:, 0, None, None] * (1 - t) + depth[:, 1, None, None] * t
    cols3, rows3 = np.broadcast_arrays(cols[:, None, :], rows[:, :, None])
    seen = (chord > 0) & (cols3 >= 0) & (cols3 < image.shape[1]) & (rows3 >= 0) & (rows3 < image.shape[0])
    np.maximum.at(image.reshape(-1), (rows3 * image.shape[1] + cols3)[seen], chord[seen])
