"""A procedural chest radiograph: line integrals through drawn organs, Beer-Lambert's law, a display curve.

    A = sum of mu t over soft tissue, lung, bone, devices, lead     attenuation, dimensionless
    B = exp(-A) + S                                                 primary and scattered beam over I0
    I / I0 = B (1 + mottle n / sqrt(B))                             quantum mottle of the full-dose film
    grey = black + (white - black) display(-ln I / I0)              logistic characteristic curve

t is in cm, mu in 1/cm at the effective energy of a chest exposure, n a unit Gaussian texture; bright = dense.
A full-dose radiograph carries a faint mottle of its own, and so does the phantom unless told otherwise.
docs/phantom.md shows how near the result is to radiographs.
"""

import numpy as np
from numpy.typing import NDArray

from xray_denoise.phantom.devices import draw_marker, draw_nodules, draw_tubes_and_lines, shutter
from xray_denoise.phantom.film import Film, Image
from xray_denoise.phantom.patient import Patient, draw_patient
from xray_denoise.phantom.skeleton import draw_skeleton
from xray_denoise.phantom.texture import power_law, random_texture
from xray_denoise.phantom.torso import draw_torso
from xray_denoise.phantom.vessels import draw_vessels
from xray_denoise.scale import GREY_MAX

MU_SOFT, MU_LUNG, MU_BONE, MU_LEAD = 0.185, 0.048, 0.52, 30.0
"""Linear attenuation, 1/cm, near 65 keV: water, inflated lung (a quarter of water's density), compact bone in
excess of water, lead. After the tables of Hubbell and Seltzer, NISTIR 5632 (1995)."""
MU_DEVICE = 1.6
"""The same for plastic filled with barium, and for wire, averaged over their width."""
BLUR_CM = 0.030
"""Standard deviation of the unsharpness of focus and detector on the film, cm."""
STRAIGHT, DENSEST = 0.25, 4.5
"""Share of the display curve that is a straight line, and the attenuation where that line reaches white."""
SMALLEST = 16
"""Least height and width, pixels."""
DRAWN_AT_LEAST = 256
"""Smaller phantoms are drawn at this many pixels or more and averaged down."""


def chest_phantom(
    size: int | tuple[int, int] = 1024,
    *,
    rng: np.random.Generator,
    nodules: int = 0,
    tubes: bool = False,
    marker: bool = True,
    mottle: bool = True,
) -> NDArray[np.float32]:
    """Draw the posteroanterior chest radiograph of a random patient.

    Anatomy is in centimetres, so one seed at two sizes is one patient. An image that is not square shows the
    middle of the square field of view of its longer side. `nodules`, `tubes`, `marker` and `mottle` leave the
    patient unchanged.

    Args:
        size: height and width in pixels, or one number for both; at least 16.
        rng: the only source of randomness; seed it to repeat a phantom.
        nodules: round opacities of 6..26 mm in the lungs, >= 0.
        tubes: add a tracheal tube, a feeding tube, a venous line and leads with electrodes.
        marker: add a lead side marker.
        mottle: add the quantum noise of the full-dose film, 0.7 to 1.5 grey levels; without it nothing is noise.

    Returns:
        Grey levels in [0, 255], (height, width), not rounded, bright = dense.

    Raises:
        ValueError: `size` or `nodules` is out of range.
    """
    shape = (size, size) if isinstance(size, int) else size
    if min(shape) < SMALLEST:
        raise ValueError(f"a phantom is at least {SMALLEST} pixels high and wide, got {shape[0]}x{shape[1]}")
    if nodules < 0:
        raise ValueError(f"a phantom has 0 nodules or more, got {nodules}")
    seeds = rng.integers(2**63, size=8)
    streams = [np.random.default_rng(seed) for seed in seeds]
    patient = draw_patient(streams[0])
    finer = -(-DRAWN_AT_LEAST // max(shape))
    film = Film((shape[0] * finer, shape[1] * finer), patient.pose)
    attenuation = _attenuation(film, patient, streams, nodules=nodules, tubes=tubes)
    if marker:
        attenuation += np.float32(MU_LEAD) * draw_marker(film, streams[5])
    grey = _develop(film, attenuation, patient, streams[6] if mottle else None)
    if finer > 1:
        grey = grey.reshape(shape[0], finer, shape[1], finer).mean(axis=(1, 3))
    return grey


def to_bits(grey: NDArray[np.floating], bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Round grey levels to whole numbers of `bits` bits: 0..255 spans 0..2^bits - 1, values outside saturate.

    Args:
        grey: grey levels, any shape.
        bits: 8..16.

    Returns:
        uint8 for 8 bits, else uint16; same shape.

    Raises:
        ValueError: `bits` is not 8..16.
    """
    if not 8 <= bits <= 16:
        raise ValueError(f"a radiograph has 8 to 16 bits, got {bits}")
    white = 2**bits - 1
    stored = np.rint(np.asarray(grey, dtype=np.float64) * (white / GREY_MAX)).clip(0, white)
    return np.asarray(stored, dtype=np.uint8) if bits == 8 else np.asarray(stored, dtype=np.uint16)


def _attenuation(
    film: Film, patient: Patient, streams: list[np.random.Generator], *, nodules: int, tubes: bool
) -> Image:
    """The sum of mu times path length behind every pixel."""
    torso = draw_torso(film, patient)
    bone = draw_skeleton(film, patient, streams[1])
    vessels = draw_vessels(film, patient, streams[2])
    inflated = torso.lung / np.float32(10.0)  # 1 where the lung is of middling depth
    room = inflated.clip(0, 1)
    soft, interstitium, trabeculae = (_texture(film, streams[3], *law) for law in TEXTURES)
    solid = vessels * np.sqrt(room)
    if nodules:
        solid += draw_nodules(film, patient, nodules, streams[4]) * room
    inside = (torso.body / 6).clip(0, 1)
    bone *= np.float32(patient.bone) * (1 + np.float32(0.12) * trabeculae)
    tissue = torso.body - torso.lung - torso.air + solid + np.float32(0.40) * soft * inside
    haze = 1 + np.float32(0.07 * patient.haze) * interstitium
    total = np.float32(MU_SOFT) * tissue.clip(0) + np.float32(MU_LUNG) * torso.lung * haze
    total += np.float32(MU_BONE) * bone.clip(0) * (torso.body > 0)
    if tubes:
        total += np.float32(MU_DEVICE) * draw_tubes_and_lines(film, patient, streams[7])
    return np.asarray(total, dtype=np.float32)


TEXTURES = ((2.6, 6.0, 300.0), (2.4, 6.0, 280.0), (1.2, 60.0, 330.0))
"""Exponent, lowest and highest frequency (cycles per film) of the textures: soft parts, lung, bone."""


def _texture(film: Film, rng: np.random.Generator, exponent: float, lowest: float, highest: float) -> Image:
    """A random texture of the field of view, cut to the film."""
    square = random_texture(film.side, power_law(exponent, lowest, highest), rng)
    top, left = (film.side - film.shape[0]) // 2, (film.side - film.shape[1]) // 2
    return square[top : top + film.shape[0], left : left + film.shape[1]]


def _develop(film: Film, attenuation: Image, patient: Patient, rng: np.random.Generator | None) -> Image:
    """Expose the film and display it: attenuation to grey levels, with mottle drawn from `rng` where there is one."""
    from scipy.ndimage import gaussian_filter

    beam = np.exp(-attenuation)
    blur = BLUR_CM / film.pixel
    if blur > 0.25:
        beam = gaussian_filter(beam, blur, truncate=3)
    scatter = np.float32(patient.scatter) * _spread(film, beam * attenuation.clip(0, 8))  # of single scatter
    beam = beam + scatter
    beam = np.maximum(beam, np.float32(1e-4))
    if rng is not None:
        grain = _texture(film, rng, 0.0, 1.0, 390.0)
        beam = np.maximum(beam * (1 + np.float32(patient.mottle) * grain / np.sqrt(beam)), np.float32(1e-4))
    dense = -np.log(beam)
    if patient.sharpness > 0:
        dense += np.float32(patient.sharpness) * (dense - gaussian_filter(dense, 0.11 / film.pixel, truncate=3))
    shown = _display(dense, patient)
    grey = np.float32(patient.black) + np.float32(patient.white - patient.black) * shown
    grey *= shutter(film, patient.shutters, patient.shutter_turn)
    return np.asarray(grey.clip(0, GREY_MAX), dtype=np.float32)


def _display(dense: Image, patient: Patient) -> Image:
    """The characteristic curve: a logistic and a straight line for the densest parts; 0 for an open beam."""
    logistic = 1 / (1 + np.exp(np.float32(patient.contrast) * (np.float32(patient.exposure) - dense)))
    floor = 1 / (1 + np.exp(patient.contrast * patient.exposure))
    toe = (logistic - np.float32(floor)) / np.float32(1 - floor)
    return np.asarray((1 - STRAIGHT) * toe + STRAIGHT * (dense / DENSEST).clip(0, 1.3), dtype=np.float32)


def _spread(film: Film, beam: Image) -> Image:
    """The beam smoothed over 3 cm, as scatter is: it is computed on a coarse grid."""
    from scipy.ndimage import gaussian_filter, zoom

    coarse = max(1, film.side // 128)
    rows, cols = (-(-n // coarse) * coarse for n in film.shape)
    padded = np.pad(beam, ((0, rows - film.shape[0]), (0, cols - film.shape[1])), mode="edge")
    small = padded.reshape(rows // coarse, coarse, cols // coarse, coarse).mean(axis=(1, 3))
    smooth = gaussian_filter(small, 3.0 / (film.pixel * coarse))
    if coarse == 1:
        return np.asarray(smooth)
    return np.asarray(zoom(smooth, coarse, order=1, mode="nearest", grid_mode=True)[: film.shape[0], : film.shape[1]])
