"""The branching vessels of the lungs: trees that obey Murray's law and fill the space between the ribs."""

import numpy as np

from xray_denoise.phantom.film import Film, Floats, Image, Tubes, draw_tubes, smooth_curve
from xray_denoise.phantom.patient import Patient

HILUM_CM = (4.4, 18.8)
"""Where the vessels enter a lung: distance from the midline and level."""
TRUNKS_DEG = (-82, -60, -38, -12, 12, 34, 52, 68, 82)
"""Directions of the trunks, degrees below the horizontal, outwards."""
THINNEST_CM = 0.032
"""Radius at which a branch is no longer followed."""
LENGTH_OVER_RADIUS = 5.0
"""Length of a stretch without branches over its radius, on top of the shortest."""
SHORTEST_CM = 0.30
"""Least length of such a stretch."""
SHEATH = 1.6
"""Path length through a vessel with its sheath and bronchus, over that through the vessel alone."""


def draw_vessels(film: Film, patient: Patient, rng: np.random.Generator) -> Image:
    """Path length in cm of blood in the lung vessels of `patient` behind every pixel."""
    total = np.zeros(film.shape, dtype=np.float32)
    for _ in range(2):  # arteries and veins are layers of their own, which add where they cross
        total += draw_tubes(film, Tubes.join([_tree(side, patient, rng) for side in (-1, 1)]))
    return total + _pulmonary_arteries(film, patient, rng)


def _pulmonary_arteries(film: Film, patient: Patient, rng: np.random.Generator) -> Image:
    """The comma of the right lower artery, the arch of the left one, the upper veins: what makes a hilum."""
    x, y = HILUM_CM[0] * (0.85 + 0.15 * patient.width), HILUM_CM[1] + 0.4 * patient.breath
    right = [(-x + 2.4, y - 0.6), (-x + 0.2, y + 0.2), (-x - 0.5, y + 2.0), (-x - 0.9, y + 4.2)]
    left = [
        (x - 2.0, y - 1.2),
        (x - 0.2, y - 1.9),
        (x + 0.8, y - 0.9),
        (x + 1.1, y + 1.0),
        (x + 1.2, y + 2.6),
    ]
    veins = [[(side * (x - 1.0), y + 1), (side * x, y - 1.5), (side * (x + 0.7), y - 4.2)] for side in (-1, 1)]
    parts = []
    for knots, widest in ((right, 0.78), (left, 0.85), (veins[0], 0.5), (veins[1], 0.45)):
        wide = widest * patient.vessels * rng.uniform(0.85, 1.15) * np.linspace(1, 0.5, 24)
        parts.append(Tubes.curve(smooth_curve(knots, 24), wide, 1.9 * wide))
    return draw_tubes(film, Tubes.join(parts))


def _tree(side: int, patient: Patient, rng: np.random.Generator) -> Tubes:
    """All branches of one tree; a generation is grown at once."""
    angle = np.deg2rad(np.array(TRUNKS_DEG, dtype=np.float64)) + rng.normal(0, 0.13, len(TRUNKS_DEG))
    radius = rng.uniform(0.20, 0.44, len(angle)) * patient.vessels * np.where(angle > 0.3, 1.12, 0.92)
    start = np.array([side * HILUM_CM[0] * (0.85 + 0.15 * patient.width), HILUM_CM[1] + 0.4 * patient.breath])
    start = start + rng.normal(0, (0.4, 1.2), (len(angle), 2))
    tilt = rng.uniform(-0.9, 0.9, len(angle))  # out of the plane of the film, radians
    parts = []
    while len(radius):
        length = LENGTH_OVER_RADIUS * radius * rng.uniform(0.6, 1.5, len(radius)) + SHORTEST_CM
        bend = rng.normal(0, 0.12, len(radius))
        middle = start + _step(side, angle - bend, tilt, length / 2)
        end = middle + _step(side, angle + bend, tilt, length / 2)
        deep = 2 / np.sqrt(1 - 0.9 * np.sin(tilt) ** 2)
        wide, thick = (np.repeat(value[:, None], 2, axis=1) for value in (radius, SHEATH * radius * deep))
        parts += [Tubes(start, middle, wide, thick), Tubes(middle, end, wide, thick)]
        share = rng.uniform(0.12, 0.5, len(radius))
        share = np.concatenate([share, 1 - share])  # Murray: r^3 = r1^3 + r2^3
        away = rng.choice([-1.0, 1.0], len(radius))
        swing = np.concatenate([away, -away]) * (1 - share) * rng.uniform(0.5, 1.25, len(share))
        roll = (1 - share) * rng.normal(0, 0.6, len(share))
        radius = np.tile(radius, 2) * np.cbrt(share)
        angle = np.tile(angle, 2) + swing
        tilt = np.clip(0.9 * np.tile(tilt, 2) + roll, -1.3, 1.3)
        start = np.concatenate([end, end])
        alive = (radius > THINNEST_CM) & (np.abs(start[:, 0]) < 14.5 * patient.width) & (start[:, 1] > 6)
        alive &= (start[:, 1] < 35) & (start[:, 0] * side > 0.5)
        radius, angle, tilt, start = radius[alive], angle[alive], tilt[alive], start[alive]
    return Tubes.join(parts)


def _step(side: int, angle: Floats, tilt: Floats, length: Floats) -> Floats:
    """Displacement (n, 2) on the film of a branch of `length`."""
    flat = length * np.cos(tilt)
    return np.stack([side * flat * np.cos(angle), flat * np.sin(angle)], axis=1)
