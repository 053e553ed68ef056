"""The noise of real detectors on the device: weak or strong, correlated, following any curve of the grey level.

    f = g + d(g) * (colour * n1 + white share * n2)

g is the clean image; d a curve that is drawn for each patch; n1 noise of a spectrum that is drawn for each patch, n2
white. `physics.profile` describes the same noise in numpy; tests hold both to one distribution.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise.nets.profile_unet import at_grey
from xray_denoise.physics import profile
from xray_denoise.physics.profile import KNOTS, NoiseProfile
from xray_denoise.scale import GREY_MAX, MID_GREY
from xray_denoise.training.draw import Draw


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of a batch, and what is known of it. Grey levels are in units of 255."""

    noise: Tensor
    """(B, 1, H, W)."""
    variance: Tensor
    """(B, KNOTS), of the noise at grey levels evenly from 0 to 1."""
    powers: Tensor
    """(B, BANDS), relative to white noise, at mid-grey."""


def curves(draw: Draw) -> tuple[Tensor, Tensor]:
    """Standard deviation against grey level, and the part of the variance that is white.

    Returns:
        (B, KNOTS) each: the deviation is 1 at mid-grey, and between a seventh and six.
    """
    grey = torch.linspace(0, 1, KNOTS, device=draw.generator.device)[None]
    part = draw.uniform(0, 1)[:, None]
    rising = (part + (1 - part) * 2 * grey).clamp_min(0.02).sqrt()
    falling = (part + (1 - part) * 2 * (1 - grey)).clamp_min(0.02).sqrt()
    density = draw.uniform(1, 5)[:, None]
    low, high = draw.uniform(0.02, 0.3)[:, None], draw.uniform(0.7, 0.98)[:, None]
    slope = low + (high - low) * grey
    signal = (-density * grey).exp()  # exposure, 1 in the lightest part
    toned = signal.rsqrt() * (slope * (1 - slope)).sqrt().where(draw.share(0.5)[:, None], torch.ones_like(grey))
    structure = draw.uniform(0, 0.015)[:, None] * draw.log_uniform(5, 100)[:, None]
    quadratic = (1 / signal + structure.square()).sqrt()
    kind = draw.uniform(0, 5)[:, None]
    found = torch.where(kind < 1, rising, torch.where(kind < 2, falling, torch.ones_like(rising)))
    logarithmic = kind >= 3
    found = torch.where(logarithmic, torch.where(kind < 4.2, toned, quadratic), found)
    found = (found / found[:, KNOTS // 2 :][:, :1]).clamp(0.15, 6)
    electronic = draw.uniform(0, 0.5)[:, None] * draw.share(0.7)[:, None]
    constant = electronic / (1 - electronic) * signal[:, -1:]  # of the variance of the quanta in the lightest part
    white = torch.where(logarithmic, constant / (constant + signal), electronic.expand_as(found))
    return found, white


WHITE, SELENIUM, SCINTILLATOR = 0.15, 0.25, 0.65
"""Shares of the patches with these spectra, each with those before it; the others are processed. Correlated noise is
the more common in radiographs, and the harder to learn."""


def spectra(draw: Draw, side: int) -> Tensor:
    """Power of the correlated part at each frequency, relative to white: (B, side, side // 2 + 1), layout of rfft2."""
    device = draw.generator.device
    stretch = draw.log_uniform(0.84, 1.19)[:, None, None]  # one axis against the other: 0.7 to 1.4
    rows = torch.fft.fftfreq(side, device=device)[None, :, None] * stretch
    columns = torch.fft.rfftfreq(side, device=device)[None, None] / stretch
    frequency = (rows.square() + columns.square()).sqrt()
    kind = draw.uniform(0, 1)[:, None, None]

    def column(values: Tensor) -> Tensor:
        return values[:, None, None]

    weak = column(draw.uniform(0.1, 0.45))
    width = torch.where(kind < SELENIUM, weak, column(draw.uniform(0.4, 1.3)))
    core = (-2 * (math.pi * width * frequency).square()).exp()
    tail = torch.where(kind < SELENIUM, 0.0, column(draw.uniform(0, 0.5)) * column(draw.share(0.7)))
    length = column(draw.uniform(1, 5))
    transfer = (1 - tail) * core + tail * (-2 * math.pi * length * frequency).exp()
    processed = kind >= SCINTILLATOR
    gain = column(draw.uniform(0.7, 3)) * column(draw.share(0.8))
    edge = column(draw.uniform(0.6, 3))
    sharpened = transfer * (1 + gain * (1 - (-2 * (math.pi * edge * frequency).square()).exp()))
    scale = column(draw.uniform(0.4, 1.5))
    resampled = torch.where(scale > 1, sharpened * torch.sinc(frequency * scale).square(), sharpened)
    transfer = torch.where(processed, resampled, transfer)
    power = torch.where(kind < WHITE, torch.ones_like(transfer), transfer.square())
    return power / _mean_power(power, side)


def _mean_power(power: Tensor, side: int) -> Tensor:
    """Mean over all frequencies of fft2 of what rfft2 holds, (B, 1, 1)."""
    weights = torch.full((power.shape[2],), 2.0, device=power.device)
    weights[0] = 1
    if side % 2 == 0:
        weights[-1] = 1
    return (power * weights).sum(dim=(1, 2), keepdim=True) / side**2


def band_means(power: Tensor, side: int) -> Tensor:
    """(B, BANDS), mean in each of `physics.profile.BANDS` of (B, side, side // 2 + 1)."""
    inside = torch.from_numpy(_in_bands(side)).to(power.device)
    return (power[:, None] * inside).sum(dim=(2, 3)) / inside.sum(dim=(1, 2))


@functools.cache
def _in_bands(side: int) -> NDArray[np.bool_]:
    """(BANDS, side, side // 2 + 1), layout of rfft2: which frequencies lie in each band."""
    return profile.in_bands(np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]))


def detector_noise(clean: Tensor, deviation: Tensor, draw: Draw) -> Noise:
    """Draw noise of random curves and spectra for square patches.

    Args:
        clean: (B, 1, P, P), grey level / 255.
        deviation: (B,), of the noise at mid-grey, in units of 255.
        draw: of B patches.
    """
    side = clean.shape[-1]
    curve, white = curves(draw)
    power = spectra(draw, side)
    coloured = _coloured(power, draw, side)
    at, part = (at_grey(values, clean) for values in (curve, white))
    noise = (1 - part).sqrt() * coloured + part.sqrt() * draw.normal(1.0, 1, side, side)
    lines = draw.uniform(0, 0.3)[:, None, None, None] * draw.share(0.1)[:, None, None, None]
    along_rows = draw.share(0.5)[:, None, None, None]
    line = torch.where(along_rows, draw.normal(1.0, 1, side, 1), draw.normal(1.0, 1, 1, side))
    noise = (noise + lines * line) / (1 + lines.square()).sqrt()
    middle = white[:, KNOTS // 2, None]
    powers = (1 - middle) * band_means(power, side) + middle
    scale = deviation[:, None]
    return Noise(noise * at * scale[..., None, None], (curve * scale).square(), powers)


def measured_noise(clean: Tensor, deviation: Tensor, draw: Draw, measured: NoiseProfile) -> Noise:
    """Draw noise of the curve and the spectrum of a profile for square patches.

    Args:
        clean: (B, 1, P, P), grey level / 255.
        deviation: (B,), of the noise at mid-grey, in units of 255, in place of that of the profile.
        draw: of B patches.
        measured: with noise at mid-grey, and a kernel of at most PxP pixels.
    """
    side, device = clean.shape[-1], clean.device
    known = measured.deviation_at(np.linspace(0, GREY_MAX, KNOTS)) / measured.deviation_at(MID_GREY)
    curve = torch.from_numpy(known).float().to(device).expand(draw.count, -1)
    power = torch.from_numpy(measured.spectrum((side, side))[:, : side // 2 + 1]).float().to(device)
    scale = deviation[:, None]
    noise = _coloured(power, draw, side) * at_grey(curve, clean) * scale[..., None, None]
    powers = torch.from_numpy(measured.band_powers()).float().to(device).expand(draw.count, -1)
    return Noise(noise, (curve * scale).square(), powers)


def _coloured(power: Tensor, draw: Draw, side: int) -> Tensor:
    """(B, 1, side, side), noise of the spectra (..., side, side // 2 + 1) with a deviation of 1."""
    spread = torch.fft.rfft2(draw.normal(1.0, side, side)) * power.sqrt()
    noise: Tensor = torch.fft.irfft2(spread, s=(side, side))
    return noise[:, None]
