"""Soft parts of the phantom: outline of the body, lungs, heart and mediastinum, diaphragm, airway, breasts.

Every organ is a path length in cm of the ray behind each pixel. Organs are stacks of ellipse-like sections:
their edges fall off as a tangential ray's path does, which gives radiographs their soft silhouettes.
Contours are after a normal adult posteroanterior film.
"""

from dataclasses import dataclass

import numpy as np

from xray_denoise.phantom.film import Film, Image, Tubes, draw_tubes, smooth_curve
from xray_denoise.phantom.patient import Patient

LUNG_TOP_CM = 5.6
"""Level of the apices."""
LATERAL = (
    (5.6, 5.3),
    (6.1, 7.0),
    (7.0, 8.4),
    (9, 10.2),
    (13, 11.9),
    (18, 12.9),
    (24, 13.5),
    (30, 13.8),
    (37, 13.7),
)
"""Lateral border of a lung: (level, distance from the midline), cm."""
MEDIAL = ((5.6, 5.0), (6.2, 3.6), (7.0, 2.7), (9, 2.0), (13, 1.4), (18, 0.8), (24, 0.5), (37, 0.5))
"""Medial border of a lung, hidden by the mediastinum."""


@dataclass(frozen=True, slots=True)
class Torso:
    """Path lengths through the soft parts, cm, all of the film's shape."""

    body: Image
    """Everything inside the skin, air included."""
    air: Image
    """Gas in the airway and the stomach."""
    lung: Image
    """Aerated lung."""


def draw_torso(film: Film, patient: Patient) -> Torso:
    """Draw the soft parts of `patient`."""
    body = _body(film, patient)
    heart, depth_left = _heart(film, patient), np.maximum(body - np.float32(3.2), 0)
    lung = np.minimum(_lungs(film, patient), depth_left)
    lung = np.maximum(lung - heart, np.float32(0.04) * lung)
    air = _airway(film)
    stomach = _stomach(film, patient)
    return Torso(body, np.minimum(air + stomach, 0.8 * body), lung)


def lateral_border(level: float, patient: Patient) -> float:
    """Distance from the midline to the inner side of the rib cage at `level`, cm."""
    where, value = np.array(LATERAL).T
    return float(np.interp(level, where, value)) * patient.width


def _ellipse(u: Image, power: float = 2.0) -> Image:
    """Chord of a superellipse at `u` in [-1, 1] as a fraction of the middle one; 0 outside."""
    inside = (1 - np.abs(u) ** power).clip(0)
    return np.asarray(np.sqrt(inside), dtype=np.float32)


def _body(film: Film, patient: Patient) -> Image:
    """Trunk, neck and arms."""
    girth, up = patient.girth, patient.shoulder
    neck = 6.6 + 0.4 * girth
    knots = (
        (-6, neck),
        (0.0 - up, neck + 0.3),
        (2.5 - up, neck + 2.1),
        (4.3 - up, neck + 5.2),
        (6.2 - up, 16.0 + 0.6 * girth),
        (9.0, 18.4 + girth),
        (13.0, 17.8 + girth),
        (18.0, 15.2 * patient.width + girth),
        (25.0, 14.5 * patient.width + girth),
        (33.0, 13.8 * patient.width + 1.0 * girth),
        (48.0, 13.8 * patient.width + 1.4 * girth),
    )
    thickness = ((-6, 10.5), (2, 11), (6, 13), (12, 17), (20, 21.5), (30, 22.5), (38, 23), (48, 22))
    trunk = film.along(film.y, thickness) * np.float32(patient.depth)
    trunk *= _ellipse(film.x / film.along(film.y, knots), 3.0)
    arms = []
    for side in (-1, 1):
        up = patient.shoulder + side * patient.lean
        shoulder = (side * (15.6 + 0.5 * girth), 12.6 - up)
        elbow = (side * (18.5 + 0.8 * girth + patient.arm_spread), 36.0)
        points = smooth_curve([shoulder, elbow], 12)
        width = np.interp(np.linspace(0, 1, 12), (0, 0.2, 1), (5.0, 5.4, 4.6)) + 0.4 * girth
        arms.append(Tubes.curve(points, width, 2 * width))
    limbs = draw_tubes(film, Tubes.join(arms))
    return np.asarray(np.sqrt(np.sqrt(trunk**4 + limbs**4)) + _breasts(film, patient), dtype=np.float32)


def _breasts(film: Film, patient: Patient) -> Image:
    total = np.zeros(film.shape, dtype=np.float32)
    if patient.breasts <= 0:
        return total
    for side in (-1, 1):
        u = (film.x * side - 9.2 * patient.width - 0.4 * patient.girth) / np.float32(6.2 + 0.5 * patient.girth)
        v = film.y - np.float32(26.5)
        v = np.where(v > 0, v / np.float32(5.4), v / np.float32(10.0))
        power = np.float32(0.55) + np.float32(1.2) * (-v).clip(0, 1)  # hangs: a crisp fold below, no edge above
        total += np.float32(patient.breasts) * (1 - u * u - v * v).clip(0) ** power
    return total


def _lungs(film: Film, patient: Patient) -> Image:
    """Both lungs down to the bottom of their recesses behind the domes of the diaphragm."""
    side = np.abs(film.x) / np.float32(patient.width)
    lateral, medial = film.along(film.y, LATERAL), film.along(film.y, MEDIAL)
    depths = ((5.6, 5.5), (7, 9.5), (10, 13), (16, 16.5), (24, 18), (30, 18), (37, 15))
    u = (2 * side - lateral - medial) / (lateral - medial)
    lung = film.along(film.y, depths) * np.float32(patient.depth) * _ellipse(u, 3.0)
    lung *= (1 - ((np.float32(LUNG_TOP_CM + 1.6) - film.y) / 1.6).clip(0, 1) ** 2) ** np.float32(0.5)
    below = film.y - dome_level(film.x, patient)
    buried = _ellipse(((np.float32(4.6) - below) / 4.6).clip(0, 1))
    gone = (1 - below / np.float32(5.2)).clip(0, 1) ** np.float32(1.5)
    return np.asarray(np.where(below > 0, lung * (1 - 0.96 * buried) * gone, lung), dtype=np.float32)


def dome_level(x: Image, patient: Patient) -> Image:
    """Level of the diaphragm over `x`, cm: the right dome higher, both falling to the costophrenic angles."""
    right = x < 0
    side = np.abs(x) / np.float32(patient.width)
    top = np.where(right, np.float32(28.6), np.float32(29.8)) + np.float32(patient.breath)
    crest = np.where(right, np.float32(6.0), np.float32(6.6))
    away = side - crest
    fall = np.where(away > 0, 4.3 * (away / 7.2).clip(0) ** 2.6, 1.3 * (away / 6.5) ** 2)
    return np.asarray(top + fall, dtype=np.float32)


def _heart(film: Film, patient: Patient) -> Image:
    """Heart, great vessels and mediastinum: depth of soft tissue between the lungs."""
    f, low = patient.heart, 0.8 * patient.breath
    right_border = (
        (-6, 1.9),
        (6, 2.1),
        (9, 2.4),
        (13, 2.5),
        (17 + 0.5 * low, 2.6),
        (19.5 + low, 2.8 * f),
        (23.5 + low, 3.5 * f),
        (27.0 + low, 3.6 * f),
        (30.5 + low, 3.3 * f),
        (36.0 + low, 3.2),
    )
    left_border = (
        (-6, 1.9),
        (6, 2.2),
        (9, 2.5),
        (11.4, 2.8),
        (12.9, 3.7),
        (14.1, 3.75),
        (15.3 + 0.3 * low, 3.0),
        (17.0 + 0.6 * low, 3.6),
        (18.6 + low, 4.4 * f),
        (21.0 + low, 5.9 * f),
        (24.0 + low, 7.6 * f),
        (27.0 + low, 8.7 * f),
        (29.0 + low, 8.8 * f),
        (31.0 + low, 8.6 * f),
        (34.0 + low, 8.4 * f),
    )
    depths = ((-6, 6), (6, 8), (13, 9), (17, 9.5), (21 + low, 11.5), (27 + low, 12), (34 + low, 10))
    left, right = film.along(film.y, left_border), -film.along(film.y, right_border)
    u = (2 * film.x - left - right) / (left - right)
    return film.along(film.y, depths) * np.float32(0.6 + 0.4 * f) * _ellipse(u, 2.6)


def _airway(film: Film) -> Image:
    """Air in the trachea and the main bronchi."""
    trachea = Tubes.curve(smooth_curve([(0, -8), (0, 3), (0.1, 9), (0.35, 13), (0.3, 16.2)], 16), 1.0, 2.6)
    right = Tubes.curve(smooth_curve([(0.2, 15.9), (-1.4, 17.6), (-2.9, 19.6)], 6), np.linspace(0.7, 0.5, 6), 1.1)
    left = Tubes.curve(smooth_curve([(0.3, 15.9), (2.1, 17.4), (4.3, 18.9)], 6), np.linspace(0.65, 0.45, 6), 1.0)
    return draw_tubes(film, Tubes.join([trachea, right, left]))


def _stomach(film: Film, patient: Patient) -> Image:
    """Gas under the left dome, and a little further down in the colon."""
    below = film.y - dome_level(film.x, patient)
    u = (film.x - np.float32(6.6)) / np.float32(4.2)
    v = (below - np.float32(2.6)) / np.float32(2.0)
    gas = np.float32(patient.gas) * (1 - u * u - v * v).clip(0)
    u = (film.x - np.float32(9.6)) / np.float32(2.4)
    v = (below - np.float32(6.0)) / np.float32(1.5)
    return np.asarray(gas + np.float32(0.5 * patient.gas) * (1 - u * u - v * v).clip(0), dtype=np.float32)
