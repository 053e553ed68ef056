"""Bones of the phantom: ribs as curves in space, spine, clavicles, shoulder blades and upper arms.

All functions give the path length in cm of compact-bone equivalent behind every pixel. Tubular bones have a
marrow that is left out, so their margins are bright as cortical bone is.
"""

import numpy as np

from xray_denoise.phantom.film import Film, Floats, Image, Tubes, draw_tubes, smooth_curve
from xray_denoise.phantom.patient import Patient
from xray_denoise.phantom.torso import lateral_border

RIB_FIRST_CM, RIB_PITCH_CM = 6.3, 2.32
"""Level of the neck of the first rib and the distance from rib to rib."""
RIB_DROPS = (3.4, 6.0, 8.0, 9.6, 10.6, 11.2, 11.6, 11.8, 11.8, 11.5, 10.5)
"""How far each rib descends from its neck to its front end."""
RIB_ENDS = (0.80, 0.80, 0.81, 0.82, 0.82, 0.80, 0.76, 0.70, 0.64, 0.58, 0.45)
"""Where the bony rib ends, as a part of the half-turn from spine to breastbone; cartilage is not seen."""
RIB_REACH = (1.0,) * 8 + (0.98, 0.93, 0.84)
"""How far out each rib reaches, relative to the rib cage."""


def draw_skeleton(film: Film, patient: Patient, rng: np.random.Generator) -> Image:
    """Draw all bones of `patient`; `rng` makes the small irregularities."""
    bone = _ribs(film, patient, rng)
    bone += _spine(film, rng)
    bone += _clavicles(film, patient)
    bone += _shoulder_blades(film, patient)
    bone += _upper_arms(film, patient)
    return bone


def _rib(number: int, side: int, patient: Patient, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Points (n, 3) of a rib's axis from the spine to its front end, and its half-height there."""
    end = np.pi * (RIB_ENDS[number] + rng.normal(0, 0.012))
    phi = np.linspace(0.10, end, 72)
    drop = RIB_DROPS[number] * patient.rib_drop * rng.normal(1, 0.02)
    neck = RIB_FIRST_CM + RIB_PITCH_CM * number + rng.normal(0, 0.06)
    half_width = (lateral_border(neck + 0.42 * drop, patient) + 0.15) * RIB_REACH[number]
    half_depth = 0.62 * half_width
    round_off = np.sin(phi) ** (0.86 if number else 1.1)
    x = side * (half_width * round_off + 0.9 * np.cos(phi / 2) ** 4)
    y = neck + drop * (1 - np.cos(phi)) / 2 - 0.8 * np.exp(-(((phi - 0.55) / 0.4) ** 2))
    z = -half_depth * np.cos(phi)
    height = np.interp(phi, (0, 0.5, 1.6, end - 0.15, end), (0.45, 0.70, 0.52, 0.74, 0.55)) * (
        0.85 if number == 0 else 1
    )
    return np.stack([x, y, z], axis=1), height


def _ribs(film: Film, patient: Patient, rng: np.random.Generator) -> Image:
    """Eleven pairs; the back and the front halves are separate layers, which add where they cross."""
    back, front = [], []
    for number in range(len(RIB_ENDS)):
        for side in (-1, 1):
            points, height = _rib(number, side, patient, rng)
            step = np.gradient(points, axis=0)
            across = np.linalg.norm(step[:, :2], axis=1)
            slant = np.linalg.norm(step, axis=1) / np.maximum(across, 0.6 * np.abs(step[:, 2]) + 1e-6)
            turn = int(np.searchsorted(points[:, 2], 0.0))
            depth = 0.62 * slant * np.interp(points[:, 2], (-4, 4), (1.0, 0.62))
            back.append(Tubes.curve(points[: turn + 1, :2], height[: turn + 1], depth[: turn + 1]))
            front.append(Tubes.curve(points[turn:, :2], height[turn:], depth[turn:]))
    total = draw_tubes(film, Tubes.join(back), 0.80)
    total += draw_tubes(film, Tubes.join(front), 0.82)
    return total


def _spine(film: Film, rng: np.random.Generator) -> Image:
    """Vertebrae from the neck to the loin: bodies with bright end plates, pedicles, arches and processes."""
    pitch = np.concatenate([np.full(6, 1.72), np.linspace(1.95, 2.5, 12), np.full(5, 3.1)])
    levels = 6.4 + np.cumsum(pitch) - pitch[:6].sum()
    sway = rng.normal(0, 0.22, 2)
    bodies = np.zeros(film.shape, dtype=np.float32)
    plates, rings, spikes, wings = [], [], [], []
    half = np.concatenate([np.full(6, 1.3), np.linspace(1.35, 1.75, 12), np.full(5, 2.1)])
    for level, w, h in zip(levels, half, pitch / 2, strict=True):
        x = sway[0] * np.sin(level / 6) + sway[1] * (level - 16) / 12
        waist = np.float32(w) * (1 - 0.10 * np.cos((film.y - np.float32(level)) * np.float32(np.pi / (2 * h))).clip(0))
        u = np.abs(film.x - np.float32(x)) / waist
        v = np.abs(film.y - np.float32(level)) / np.float32(0.98 * h)
        near = (u < 1) & (v < 1)
        bodies[near] += 0.5 * np.sqrt((1 - u[near] ** 4).clip(0)) * (1 - v[near] ** 6).clip(0)
        for edge in (-0.88 * h, 0.88 * h):
            bow = np.array([0.0, 0.06, 0.06, 0.0]) * np.sign(-edge)
            across = np.linspace(-0.95 * w, 0.95 * w, 4)
            plates.append(Tubes.curve(np.stack([x + across, level + edge + bow], axis=1), 0.07, 0.25))
        for side in (-1, 1):
            oval = np.linspace(0, 2 * np.pi, 13)
            centre = (x + side * 0.72 * w, level - 0.28 * h)
            ring = np.stack([centre[0] + 0.24 * np.cos(oval), centre[1] + 0.40 * np.sin(oval)], axis=1)
            rings.append(Tubes.curve(ring, 0.08, 0.35))
            length = 1.3 if level < 25 else 2.0
            tip = (x + side * (w + length), level - 0.30 * h - (0.25 if level < 25 else 0))
            wings.append(
                Tubes.curve(smooth_curve([(x + side * 0.8 * w, level), tip], 4), (0.42, 0.36, 0.34, 0.4), 0.55)
            )
        tail = smooth_curve([(x, level - 0.1), (x + rng.normal(0, 0.06), level + 1.1 * h), (x, level + 1.75 * h)], 6)
        spikes.append(Tubes.curve(tail, (0.36, 0.30, 0.26, 0.26, 0.3, 0.34), 0.5))
    total = bodies
    total += draw_tubes(film, Tubes.join(plates))
    total += draw_tubes(film, Tubes.join(rings))
    total += draw_tubes(film, Tubes.join(spikes), 0.55)
    total += draw_tubes(film, Tubes.join(wings), 0.75)
    return total


def _clavicles(film: Film, patient: Patient) -> Image:
    parts = []
    for side in (-1, 1):
        up = patient.shoulder + side * patient.lean
        knots = [(1.7, 9.7), (3.6, 9.2), (7.0, 7.9 - 0.4 * up), (10.5, 6.9 - 0.8 * up), (15.3, 7.0 - up)]
        axis = smooth_curve([(side * x, y) for x, y in knots], 40)
        along = np.linspace(0, 1, 40)
        radius = np.interp(along, (0, 0.1, 0.4, 0.8, 1), (0.95, 0.9, 0.58, 0.6, 0.85))
        parts.append(Tubes.curve(axis, radius, np.interp(along, (0, 0.8, 1), (1.3, 1.2, 0.6))))
    return draw_tubes(film, Tubes.join(parts), 0.78)


def _shoulder_blades(film: Film, patient: Patient) -> Image:
    """A thin plate with a thick lateral border, the spine that ends in the acromion, the coracoid process."""
    out = patient.scapula
    total = np.zeros(film.shape, dtype=np.float32)
    borders, spines, coracoids = [], [], []
    for side in (-1, 1):
        up = patient.shoulder + side * patient.lean
        socket = (side * 15.6, 11.0 - up)
        lower = (side * (10.8 + out), 21.2 - up)
        upper = (side * (9.3 + 0.6 * out), 8.4 - up)
        corner = (side * (8.7 + 0.9 * out), 12.5 - up)
        outer = (upper, (side * 13.2, 9.6 - up), socket, (side * (13.7 + 0.5 * out), 16.0 - up), lower)
        within = side * film.x - film.along(film.y, [(y, side * x) for x, y in (upper, corner, lower)])
        within = np.minimum(within, film.along(film.y, [(y, side * x) for x, y in outer]) - side * film.x)
        within = np.minimum(within, np.minimum(film.y - np.float32(upper[1]), np.float32(lower[1]) - film.y))
        total += np.float32(0.17) * (within / np.float32(0.2)).clip(0, 1)
        lateral = smooth_curve([socket, (side * (13.7 + 0.5 * out), 16.0 - up), lower], 24)
        borders.append(Tubes.curve(lateral, np.linspace(0.62, 0.34, 24), np.linspace(0.9, 0.45, 24)))
        borders.append(Tubes.curve(smooth_curve([lower, corner, upper], 24), 0.14, 0.22))
        spine = smooth_curve([corner, (side * 13.6, 8.6 - up), (side * 17.2, 7.2 - up), (side * 18.3, 8.2 - up)], 30)
        along = np.linspace(0, 1, 30)
        wide = np.interp(along, (0, 0.6, 0.85, 1), (0.25, 0.55, 0.9, 0.6))
        spines.append(Tubes.curve(spine, wide, np.interp(along, (0, 0.8, 1), (0.25, 0.8, 0.3))))
        coracoid = smooth_curve([(side * 13.2, 10.6 - up), (side * 13.9, 9.2 - up), (side * 15.0, 9.5 - up)], 10)
        coracoids.append(Tubes.curve(coracoid, np.linspace(0.4, 0.75, 10), np.linspace(0.3, 0.6, 10)))
    total += draw_tubes(film, Tubes.join(borders), 0.7)
    total += draw_tubes(film, Tubes.join(spines), 0.78) + draw_tubes(film, Tubes.join(coracoids))
    return total


def _upper_arms(film: Film, patient: Patient) -> Image:
    parts, girth = [], patient.girth
    for side in (-1, 1):
        up = patient.shoulder + side * patient.lean
        head = (side * (17.6 + 0.1 * girth), 10.9 - up)
        elbow = (side * (18.5 + 0.8 * girth + patient.arm_spread), 37.0)
        axis = smooth_curve([head, (side * (18.4 + 0.2 * girth), 14.0 - up), elbow], 40)
        along = np.linspace(0, 1, 40)
        radius = np.interp(along, (0, 0.05, 0.14, 0.3, 1), (2.1, 2.15, 1.5, 1.15, 1.1))
        parts.append(Tubes.curve(axis, radius, np.interp(along, (0, 0.15, 0.3, 1), (1.7, 1.9, 2.2, 2.2))))
    return draw_tubes(film, Tubes.join(parts), 0.78)
