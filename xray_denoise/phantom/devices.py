"""What does not belong to the body: nodules, lines and tubes, and the side marker of lead."""

from collections.abc import Sequence

import numpy as np

from xray_denoise.phantom.film import (
    FILM_CM,
    PIVOT,
    Film,
    Floats,
    Image,
    Tubes,
    draw_tubes,
    smooth_curve,
)
from xray_denoise.phantom.patient import Patient

STROKES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "L": (((0.0, 0.0), (0.0, 1.0), (0.62, 1.0)),),
    "R": (
        ((0.0, 1.0), (0.0, 0.0), (0.42, 0.0), (0.6, 0.12), (0.6, 0.38), (0.42, 0.5), (0.0, 0.5)),
        ((0.3, 0.5), (0.64, 1.0)),
    ),
}
"""Letters as polylines in a box of height 1."""


def draw_nodules(film: Film, patient: Patient, count: int, rng: np.random.Generator) -> Image:
    """Path length in cm of soft tissue in `count` round nodules of 0.6..2.6 cm within the lungs."""
    total = np.zeros(film.shape, dtype=np.float32)
    for _ in range(count):
        side = rng.choice((-1.0, 1.0))
        x, y = side * rng.uniform(5.0, 11.0) * patient.width, rng.uniform(10.0, 26.0 + min(patient.breath, 0))
        radius, aspect, phase = rng.uniform(0.3, 1.3), rng.uniform(0.8, 1.2), rng.uniform(0, 2 * np.pi, 2)
        dx, dy = film.x - np.float32(x), (film.y - np.float32(y)) * np.float32(aspect)
        angle = np.arctan2(dy, dx)
        lobed = 1 + 0.08 * np.cos(2 * angle + np.float32(phase[0])) + 0.06 * np.cos(5 * angle + np.float32(phase[1]))
        q2 = (dx**2 + dy**2) / (np.float32(radius) * lobed) ** 2
        total += np.float32(2 * radius) * (1 - q2).clip(0) ** np.float32(0.75)
    return total


def draw_tubes_and_lines(film: Film, patient: Patient, rng: np.random.Generator) -> Image:
    """Path length in cm of plastic and wire, of what is opaque in them: an intensive-care patient's.

    A tracheal tube, a feeding tube, a central venous line, and leads with electrodes.
    """
    wobble = rng.normal(0, 0.25, 16)
    low = patient.breath
    tracheal = smooth_curve([(0.5, -6), (0.1, 4), (0.2 + wobble[0], 10), (0.3, 13.2)], 40)
    feeding = smooth_curve(
        [
            (-0.4, -6),
            (-0.2, 6),
            (0.5 + wobble[1], 16),
            (0.6, 26),
            (3.0, 30.5 + low),
            (6.0 + wobble[2], 34 + low),
        ],
        80,
    )
    venous = smooth_curve([(-13, 5.5 + wobble[3]), (-8, 7.6), (-4.4, 9.2), (-2.5, 12), (-2.3 + wobble[4], 17.5)], 60)
    parts = [
        _shell(tracheal, 0.48, 0.06),
        Tubes.curve(tracheal + np.array([0.34, 0.0]), 0.05, 0.15),  # the radiopaque stripe
        Tubes.curve(feeding, 0.16, 0.20),
        Tubes.curve(venous, 0.10, 0.22),
    ]
    for index, place in enumerate([(-9.5, 8.5), (9.8, 9.0), (10.5, 27.5)]):
        x, y = np.array(place) + wobble[5 + 2 * index : 7 + 2 * index]
        spot = np.array([x, y])
        ring = np.linspace(0, 2 * np.pi, 25)
        parts.append(Tubes.curve(spot + 0.55 * np.stack([np.cos(ring), np.sin(ring)], axis=1), 0.10, 0.4))
        parts.append(Tubes.curve(np.array([spot, spot]), 0.28, 0.8))
        away = float(np.sign(x))
        lead = smooth_curve([(x, y), (x + 3 * away, y + 2.5 + wobble[12]), (away * 16, y + 9), (away * 19, y + 22)], 90)
        parts.append(Tubes.curve(lead, 0.07, 0.16))
    total = np.zeros(film.shape, dtype=np.float32)
    for part in parts:
        total += draw_tubes(film, part)
    return total


def draw_marker(film: Film, rng: np.random.Generator) -> Image:
    """Path length in cm of lead in the side marker: a letter at the side it names, free or in a ring."""
    left = rng.random() < 0.6
    letter, side = ("L", 1.0) if left else ("R", -1.0)
    height, turn = rng.uniform(1.1, 1.9), rng.normal(0, 0.15)
    corner = np.array([side * rng.uniform(15.8, 18.2), rng.uniform(1.6, 4.6)])
    ringed = rng.random() < 0.4
    cos, sin = np.cos(turn), np.sin(turn)

    def place(points: Sequence[Sequence[float]] | Floats) -> Floats:
        local = (np.array(points, dtype=np.float64) - (0.31, 0.5)) * height
        rotated = np.stack([local[:, 0] * cos - local[:, 1] * sin, local[:, 0] * sin + local[:, 1] * cos], axis=1)
        return np.asarray(rotated + corner)

    lead = [Tubes.curve(place(stroke), 0.10 * height, 0.2) for stroke in STROKES[letter]]
    if ringed:
        ring = np.linspace(0, 2 * np.pi, 49)
        oval = np.stack([0.31 + 0.72 * np.cos(ring), 0.5 + 0.88 * np.sin(ring)], axis=1)
        lead.append(Tubes.curve(place(oval), 0.07 * height, 0.2))
    return draw_tubes(film, _on_film(film, Tubes.join(lead)))


def _on_film(film: Film, tubes: Tubes) -> Tubes:
    """The same tubes with ends in film coordinates (x from the middle) turned into patient coordinates."""
    cos, sin = np.cos(film.pose.turn), np.sin(film.pose.turn)

    def back(points: Floats) -> Floats:
        d = (points - PIVOT - film.pose.shift) / film.pose.scale
        return np.asarray(np.stack([d[:, 0] * cos + d[:, 1] * sin, d[:, 1] * cos - d[:, 0] * sin], axis=1) + PIVOT)

    scale = film.pose.scale
    return Tubes(back(tubes.start), back(tubes.end), tubes.radius / scale, tubes.depth)


def _shell(axis: Floats, radius: float, wall: float) -> Tubes:
    """The two walls of a wide plastic tube, as thin tubes at both sides of its axis."""
    step = np.gradient(axis, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / np.linalg.norm(step, axis=1, keepdims=True)
    return Tubes.join([Tubes.curve(axis + sign * radius * normal, wall / 2, 2 * wall) for sign in (-1, 1)])


def shutter(film: Film, margins: tuple[float, float, float, float], turn: float) -> Image:
    """Part of the image that the display shutter shows, 0..1; margins (left, right, top, bottom) in cm."""
    slanted_x = film.film_x + np.float32(turn) * film.film_y
    slanted_y = film.film_y - np.float32(turn) * film.film_x
    half = FILM_CM / 2
    left, right, top, bottom = margins
    distance = np.full(film.shape, np.float32(FILM_CM))
    for margin, inside in (
        (left, slanted_x + np.float32(half - left)),
        (right, np.float32(half - right) - slanted_x),
        (top, slanted_y - np.float32(top)),
        (bottom, np.float32(FILM_CM - bottom) - slanted_y),
    ):
        if margin > 0:
            distance = np.minimum(distance, inside)
    return np.asarray((distance / np.float32(0.12) + 0.5).clip(0, 1), dtype=np.float32)
