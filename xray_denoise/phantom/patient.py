"""Who lies before the film: the random but plausible numbers that make one phantom patient."""

from dataclasses import dataclass

import numpy as np

from xray_denoise.phantom.film import Pose


@dataclass(frozen=True, slots=True)
class Patient:
    """Anatomy and exposure of one patient; lengths in cm, factors relative to a middling adult."""

    pose: Pose
    width: float
    """Factor on the width of the chest."""
    girth: float
    """Soft tissue that covers the chest at each side, cm, added to the half-width of the outline."""
    depth: float
    """Factor on the front-to-back thickness of the trunk."""
    heart: float
    """Factor on the width of the heart."""
    breath: float
    """How far the diaphragm is lowered by inspiration, cm; negative for a shallow breath."""
    rib_drop: float
    """Factor on how far ribs descend on their way to the front: small for horizontal ribs."""
    breasts: float
    """Thickness of each breast, cm; 0 for none."""
    arm_spread: float
    """How far the elbow lies outside the shoulder, cm."""
    shoulder: float
    """How far the shoulder girdle is raised, cm."""
    lean: float
    """How much more the patient's left shoulder is raised than the middle of both, cm."""
    scapula: float
    """How far the shoulder blades are turned out of the lungs, cm."""
    gas: float
    """Thickness of the gas in the stomach, cm."""
    vessels: float
    """Factor on the calibre of the lung vessels."""
    haze: float
    """Factor on the density of the lung's interstitium."""
    bone: float
    """Factor on the mineral content of bone."""
    exposure: float
    """Attenuation (line integral) that is shown mid-grey."""
    contrast: float
    """Slope of the display curve at mid-grey, per unit of attenuation."""
    white: float
    """Grey level of the densest parts, 0..255."""
    black: float
    """Grey level of the unattenuated beam, 0..255."""
    scatter: float
    """Scattered over primary radiation behind the grid, per unit of attenuation."""
    mottle: float
    """Relative standard deviation of the open beam: the quantum noise of the full-dose film."""
    sharpness: float
    """Gain of the edge enhancement of the display."""
    shutters: tuple[float, float, float, float]
    """Margins hidden by the collimator at the left, right, top and bottom, cm; 0 for none."""
    shutter_turn: float
    """Slant of the collimator, radians."""


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient; the distributions are chosen so that ten differ about as ten adults in hospital do."""

    def around(middle: float, spread: float, low: float, high: float) -> float:
        return float(np.clip(rng.normal(middle, spread), low, high))

    turn, right, down = around(0, 0.016, -0.05, 0.05), around(0, 0.7, -1.6, 1.6), around(-0.6, 1.5, -4.0, 2.6)
    scale = around(1.06, 0.07, 0.88, 1.22)
    heavy = around(0, 1, -1.6, 2.2)
    female = rng.random() < 0.45
    shutters = [float(rng.uniform(0.3, 3.0)) if rng.random() < 0.28 else 0.0 for _ in range(4)]
    hard = float(rng.random() < 0.4)  # a laboratory with contrasty, crisp processing, or one with soft, bright films
    return Patient(
        pose=Pose(turn, (right, down), scale),
        width=around(0.97, 0.055, 0.85, 1.09),
        girth=2.5 + 0.9 * heavy + around(0.3, 0.3, -0.4, 1.2),
        depth=around(1.0, 0.04, 0.9, 1.1) + 0.05 * heavy,
        heart=around(1.02, 0.14, 0.76, 1.36),
        breath=around(0.0, 1.5, -3.4, 2.4),
        rib_drop=around(1.0, 0.09, 0.8, 1.22),
        breasts=max(0.0, 3.4 + 1.3 * heavy) * female,
        arm_spread=around(4.5, 2.0, 1.0, 9.0),
        shoulder=around(0.0, 0.8, -1.6, 1.6),
        lean=around(0.0, 0.3, -0.7, 0.7),
        scapula=around(1.5, 1.2, -1.0, 3.5),
        gas=float(rng.uniform(0.5, 6.0)),
        vessels=around(1.0, 0.1, 0.8, 1.3),
        haze=around(1.05, 0.22, 0.75, 1.7),
        bone=around(1.0, 0.14, 0.7, 1.35),
        exposure=around(1.22, 0.2, 0.85, 1.65) + 0.3 * hard,
        contrast=around(1.38, 0.1, 1.1, 1.7) + 0.2 * hard,
        white=around(226, 13, 195, 247) + 8 * hard,
        black=around(6, 5, 0, 20) * (1 - hard),
        scatter=around(0.22, 0.05, 0.1, 0.35),
        mottle=(0.0053 + 0.0013 * hard) * around(1, 0.15, 0.7, 1.4),
        sharpness=around(0.26, 0.1, 0.1, 0.5) + 0.3 * hard,
        shutters=(shutters[0], shutters[1], shutters[2], shutters[3] * 0.5),
        shutter_turn=around(0, 0.02, -0.05, 0.05),
    )
