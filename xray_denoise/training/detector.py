"""The noise of real detectors on the device: weak or strong, correlated, following any curve of the grey level.

    f = g + d(g) * (colour * n1 + white share * n2)

g is the clean image; d a curve that is drawn for each patch; n1 noise of a spectrum that is drawn for each patch, n2
white. `physics.profile` describes the same noise in numpy; tests hold both to one distribution.
"""

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise.nets.level_encoding import noise_variance
from xray_denoise.nets.profile_unet import BANDS, at_grey, noise_maps
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics import profile
from xray_denoise.physics.profile import KNOTS
from xray_denoise.scale import GREY_MAX, MID_GREY
from xray_denoise.training.loss import STRONG
from xray_denoise.training.patches import NoiseRange, PatchSource, add_noise

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class DetectorRange:
    """Kinds of noise and of images that a network for real detectors is trained on. Shares are of the patches, 0..1."""

    deviation: Pair = (0.2, 30.0)
    """Standard deviation of the noise at mid-grey, grey levels, log-uniform."""
    clean: float = 0.05
    """Share without noise."""
    paper: float = 0.33
    """Share with the noise of the paper, clipped."""
    eta: Pair = (0.4, 1.9)
    """Photons per grey level of the paper's noise."""
    sigma: Pair = (0.0, 20.0)
    """Electronic noise of the paper's noise, grey levels."""
    details: float = 0.6
    """Share with inserted details, in the clean patch and in the noisy one; half of it at a deviation of `STRONG`, and
    next to none under the noise of the paper, where a network that expects details finds them in the noise."""
    phantoms: float = 0.2
    """Share of crops of phantoms."""
    halved: float = 0.5
    """Share of crops that are averaged 2x2: sharper, and with less noise of their own."""
    told: float = 0.08
    """Standard deviation of the relative error of the deviation that the network is told."""
    overtold: float = 0.1
    """Share that is told up to three times the noise there is."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of a batch, and what is known of it. Grey levels are in units of 255."""

    noise: Tensor
    """(B, 1, H, W)."""
    variance: Tensor
    """(B, KNOTS), of the noise at grey levels evenly from 0 to 1."""
    powers: Tensor
    """(B, BANDS), relative to white noise, at mid-grey."""


@dataclass(frozen=True, slots=True)
class ToldBatch:
    """Patches, and what a network is told of their noise. Grey levels are in units of 255."""

    noisy: Tensor
    """(B, 1, P, P)."""
    target: Tensor
    """(B, 1, P, P), what to make of `noisy`."""
    maps: Tensor
    """(B, 1 + BANDS, P, P), see `nets.profile_unet.noise_maps`."""
    deviation: Tensor
    """(B,), root mean square of the noise that there is."""
    details: Tensor
    """(B, 1, P, P), what was inserted; 0 elsewhere."""


class Draw:
    """Random numbers of a batch from one generator."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator

    def uniform(self, low: float, high: float) -> Tensor:
        """(B,)."""
        return low + (high - low) * torch.rand(self.count, generator=self.generator, device=self.generator.device)

    def log_uniform(self, low: float, high: float) -> Tensor:
        """(B,)."""
        return self.uniform(math.log(low), math.log(high)).exp()

    def normal(self, deviation: float, *shape: int) -> Tensor:
        """(B, *shape)."""
        return deviation * torch.randn(self.count, *shape, generator=self.generator, device=self.generator.device)

    def share(self, share: float) -> Tensor:
        """(B,), true with the probability `share`."""
        return self.uniform(0, 1) < share


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
    spread = torch.fft.rfft2(draw.normal(1.0, side, side)) * power.sqrt()
    coloured = torch.fft.irfft2(spread, s=(side, side))[:, None]
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


def misjudged(noise: Noise, kinds: DetectorRange, draw: Draw, *, faithful: Tensor) -> tuple[Tensor, Tensor]:
    """The variance and powers of `noise` as an estimate would tell them, with errors of its size.

    Args:
        noise: what is true.
        kinds: how large the errors are.
        draw: of as many patches.
        faithful: (B,), true where the truth is told.
    """
    grey = torch.linspace(-0.5, 0.5, KNOTS, device=noise.variance.device)[None]
    error = draw.normal(kinds.told)[:, None] + draw.normal(kinds.told)[:, None] * grey
    quiet = noise.variance.amax(dim=1) == 0  # texture is easily taken for noise where there is none
    over = (draw.share(kinds.overtold) | (quiet & draw.share(0.5)))[:, None]
    error = error + over * draw.uniform(0, math.log(3))[:, None]
    powers = draw.normal(0.12, BANDS) + over * draw.normal(0.4, 1) * torch.linspace(1, -1, BANDS, device=grey.device)
    floor = (draw.uniform(0.1, 1.2)[:, None] * over / GREY_MAX).square() + 1e-12
    true = faithful[:, None]
    variance = torch.where(true, noise.variance + 1e-12, noise.variance * (2 * error).exp() + floor)
    return variance, torch.where(true, noise.powers, noise.powers * powers.exp())


def details(side: int, draw: Draw) -> Tensor:
    """Small structures of peak about 1, either sign, (B, 1, side, side): dots, clusters, discs, lines, edges, textures.

    Args:
        side: of the patches, pixels.
        draw: of B patches.
    """
    device, generator = draw.generator.device, draw.generator
    ramp = torch.arange(side, device=device, dtype=torch.float32)
    rows, columns = ramp[:, None], ramp[None]
    drawn = []
    for _ in range(draw.count):
        canvas = torch.zeros(side, side, device=device)
        one = torch.rand(6, 12, generator=generator, device=device).tolist()
        for kind, y, x, size, angle, sign, soft, amount, *more in one[: 1 + int(one[0][11] * 5)]:
            peak = (1.0 if sign < 0.7 else -1.0) * (0.3 + 0.7 * amount)
            top, left = y * side, x * side
            distance = (rows - top).square() + (columns - left).square()
            edge = 0.4 + soft
            if kind < 0.2:  # a disc
                shape = torch.sigmoid((1 + 11 * size**2 - distance.sqrt()) / edge)
            elif kind < 0.65:  # a cluster of dots
                dots = 1 + int(20 * amount)
                places = torch.randn(2, dots, generator=generator, device=device) * (3 + 45 * size**2)
                sizes = 0.5 + 1.3 * torch.rand(dots, generator=generator, device=device)
                peaks = 0.4 + 0.6 * torch.rand(dots, generator=generator, device=device)
                across = (-(rows - top - places[0]).square() / (2 * sizes.square())).exp() * peaks  # (side, dots)
                along = (-(columns.T - left - places[1]).square() / (2 * sizes.square())).exp()
                shape = across @ along.T
            elif kind < 0.8:  # a line
                turn = math.pi * angle
                offset = (rows - top) * math.cos(turn) + (columns - left) * math.sin(turn)
                along = (columns - left) * math.cos(turn) - (rows - top) * math.sin(turn)
                width, length = 0.5 + 1.5 * size, 5 + 60 * more[0]
                shape = (-offset.square() / (2 * width**2)).exp() * torch.sigmoid((length - along.abs()) / 2)
            elif kind < 0.88:  # an edge
                turn = 2 * math.pi * angle
                offset = (rows - top) * math.cos(turn) + (columns - left) * math.sin(turn)
                shape = torch.sigmoid(offset / edge)
            else:  # a texture
                width = 0.6 + 2 * size
                grain = torch.randn(1, 1, side, side, generator=generator, device=device)
                grain = _smooth(grain, width) - _smooth(grain, 2 * width)
                grain = grain[0, 0] / grain.std()
                shape = 0.5 * grain * (-distance / (2 * (6 + 30 * soft) ** 2)).exp()
            canvas = canvas + peak * shape
        drawn.append(canvas)
    return torch.stack(drawn)[:, None]


def _smooth(image: Tensor, width: float) -> Tensor:
    """(1, 1, H, W) under a Gaussian of a standard deviation of `width` pixels."""
    half = math.ceil(3 * width)
    offsets = torch.arange(-half, half + 1, device=image.device, dtype=torch.float32)
    line = (-offsets.square() / (2 * width**2)).exp()
    line = (line / line.sum())[None, None]
    image = F.conv2d(F.pad(image, (0, 0, half, half), mode="reflect"), line[..., None])
    return F.conv2d(F.pad(image, (half, half, 0, 0), mode="reflect"), line[:, :, None])


PHANTOMS, PHANTOM_SIZE = 20, 1024
"""Phantoms that patches are cut from, and their sides in pixels."""
WEAK = 2.0 / GREY_MAX
"""Radiographs hold noise of half a grey level themselves: under weaker noise than this their crops are averaged."""
PLAIN = 0.75
"""Share of the patches with the noise of the paper that are crops of whole radiographs as they are."""


class DetectorSource:
    """Patches of radiographs and phantoms under the noise of many detectors.

    Args:
        images: radiographs, 8-bit grey, with sides of at least twice `patch`.
        patch: side of the patches, pixels.
        kinds: of noise and of images.
        device: where all is held and computed.
        phantoms: how many to draw, from fixed seeds.

    Raises:
        ValueError: no image, or an image smaller than twice the patch.
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        patch: int,
        kinds: DetectorRange,
        device: torch.device,
        phantoms: int = PHANTOMS,
    ) -> None:
        self.patch, self.kinds, self.device = patch, kinds, device
        if any(min(image.shape) < 2 * patch for image in images):
            raise ValueError(f"an image is smaller than {2 * patch}x{2 * patch} pixels, twice the patch")
        self._radiographs = PatchSource(images, 2 * patch, NoiseRange(), device)
        drawn = _phantoms(phantoms, max(PHANTOM_SIZE, 2 * patch))
        self._phantoms = PatchSource(drawn, 2 * patch, NoiseRange(), device)

    def draw(self, step: int, count: int, generator: torch.Generator) -> ToldBatch:  # noqa: ARG002
        """`count` patches, each with its own place, turn, details and noise; every step gets the like."""
        kinds, draw = self.kinds, Draw(count, generator)
        paper = draw.share(kinds.paper)
        quiet = draw.share(kinds.clean) & ~paper
        eta, sigma = draw.uniform(*kinds.eta), draw.uniform(*kinds.sigma)
        strength = draw.log_uniform(*kinds.deviation) / GREY_MAX
        strength = torch.where(
            paper, noise_variance(torch.tensor(MID_GREY), 1 / eta, sigma).sqrt() / GREY_MAX, strength
        )
        clean = self._images(draw, paper, strength)
        added = details(self.patch, draw)
        detailed = draw.share(kinds.details) & (draw.uniform(0, 1) < 1 / (1 + (strength / STRONG) ** 4))
        added = added * detailed[:, None, None, None]
        contrast = draw.log_uniform(0.5, 10) * strength.clamp_min(0.2 / GREY_MAX)
        contrast = contrast.clamp_max(80 / GREY_MAX)
        clean, plain = (clean + added * contrast[:, None, None, None]).clamp(0, 1), clean
        drawn = detector_noise(clean, strength * ~quiet, draw)

        exposed = add_noise(clean, eta, sigma, generator)
        grey = torch.linspace(0, 1, KNOTS, device=self.device)[None]
        line = noise_variance(grey * GREY_MAX, 1 / eta[:, None], sigma[:, None]) / GREY_MAX**2
        told = Noise(
            torch.where(paper[:, None, None, None], exposed - clean, drawn.noise),
            torch.where(paper[:, None], line, drawn.variance),
            torch.where(paper[:, None], 1.0, drawn.powers),
        )
        variance, powers = misjudged(told, kinds, draw, faithful=draw.share(0.2))
        noisy = clean + told.noise
        deviation = told.noise.square().mean(dim=(1, 2, 3)).sqrt()
        return ToldBatch(noisy, clean, noise_maps(noisy, variance, powers), deviation, clean - plain)

    def _images(self, draw: Draw, paper: Tensor, strength: Tensor) -> Tensor:
        """(B, 1, P, P), grey level / 255: crops, zoomed, bent and of both polarities."""
        count, generator = draw.count, draw.generator
        phantom = draw.share(self.kinds.phantoms)
        large = (
            torch.where(
                phantom[:, None, None],
                self._phantoms.crops(count, generator).float(),
                self._radiographs.crops(count, generator).float(),
            )[:, None]
            / GREY_MAX
        )
        plain = paper & draw.share(PLAIN)
        halved = ((draw.share(self.kinds.halved) | (strength < WEAK)) & ~paper) | (paper & ~plain)
        zoom = torch.where(plain, 1.0, draw.uniform(0.5, 1.5))
        zoom = torch.where(halved & ~(phantom & draw.share(0.5)), 0.5, zoom)
        crops = torch.cat(
            [_zoomed(large[index][None], factor, self.patch) for index, factor in enumerate(zoom.tolist())]
        )

        varied = draw.share(0.5) & ~plain
        low, high = draw.uniform(0, 0.25), draw.uniform(0.75, 1)
        gamma = draw.uniform(-1, 1).exp2()
        low, high, gamma = (values[:, None, None, None] for values in (low, high, gamma))
        bent = torch.where(varied[:, None, None, None], low + (high - low) * crops**gamma, crops)
        negative = draw.share(0.5) & ~paper
        return torch.where(negative[:, None, None, None], 1 - bent, bent)


def _phantoms(count: int, side: int) -> list[NDArray[np.float32]]:
    """Phantoms of fixed seeds, (side, side), grey levels; as many are drawn at a time as torch has threads."""

    def drawn(seed: int) -> NDArray[np.float32]:
        return chest_phantom(side, rng=np.random.default_rng((77, seed)), mottle=False)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(drawn, range(count)))


def _zoomed(large: Tensor, zoom: float, side: int) -> Tensor:
    """(1, 1, side, side) of (1, 1, 2 * side, 2 * side), `zoom` (0.5 to 1.5) times as large."""
    seen = min(round(side / zoom), large.shape[2])
    crop = large[:, :, :seen, :seen]
    if seen == side:
        return crop
    return F.interpolate(crop, size=(side, side), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
