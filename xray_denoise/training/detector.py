"""Patches of radiographs and phantoms under the noise of many detectors, and what a network is told of it."""

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
from xray_denoise.nets.profile_unet import BANDS, noise_maps
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.profile import KNOTS, NoiseProfile, band_areas
from xray_denoise.scale import GREY_MAX, MID_GREY
from xray_denoise.training.details import details
from xray_denoise.training.detector_noise import Noise, detector_noise, measured_noise
from xray_denoise.training.draw import Draw
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
    told: float = 0.03
    """Standard deviation of the relative error of the deviation that the network is told, at every strength. Slope and
    bend of the curve err besides."""
    taken: float = 0.4
    """Share of whose noise a part is not told, as if it were texture."""
    overtold: float = 0.1
    """Share, at a deviation of one grey level, that is told too much: up to three times the noise, and white noise of
    0.1 to 1.2 grey levels on top. Without noise six times as many are, under strong noise next to none."""
    profile: str | None = None
    """Noise profile, as JSON text, whose curve and spectrum the noise has; None draws them for each patch."""

    @property
    def measured(self) -> NoiseProfile | None:
        """The profile."""
        return None if self.profile is None else NoiseProfile.from_json(self.profile)


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


TAKEN = (1.0, 0.4, 0.15, 0.0)
"""Logarithm of the power that each band loses to texture, relative to that of the lowest band."""


def misjudged(noise: Noise, kinds: DetectorRange, draw: Draw, *, faithful: Tensor) -> tuple[Tensor, Tensor]:
    """The variance and powers of `noise` as an estimate would tell them, with errors of its size.

    A part of the noise, most of it at low frequencies, is taken for texture; curve and powers err at random; and for
    some images far too much is told. The stronger the noise, the smaller are the last two, down to a few percent.
    `physics.noise_estimate` errs so on radiographs averaged 2x2 and on phantoms.

    Args:
        noise: what is true.
        kinds: how large the errors are.
        draw: of as many patches.
        faithful: (B,), true where the truth is told.
    """
    device, middle = noise.variance.device, KNOTS // 2
    weak = 1 / (1 + noise.variance[:, middle, None] * GREY_MAX**2)  # 1 without noise, a half at one grey level
    grey = torch.linspace(-1, 1, KNOTS, device=device)[None]
    slope = draw.normal(0.05)[:, None] + weak * draw.normal(0.3)[:, None]
    bend = draw.normal(0.05)[:, None] + weak * draw.normal(0.15)[:, None]
    error = draw.normal(kinds.told)[:, None] + slope * grey + bend * (grey.square() - 1 / 3)
    quiet = noise.variance.amax(dim=1) == 0  # texture is easily taken for noise where there is none
    over = (draw.uniform(0, 1)[:, None] < 2 * kinds.overtold * weak) | (quiet & draw.share(0.5))[:, None]
    error = error + over * draw.uniform(0, math.log(3))[:, None]

    change = draw.normal(0.05, BANDS) + weak * draw.normal(0.3, BANDS)
    change = change + over * draw.normal(0.4, 1) * torch.linspace(1, -1, BANDS, device=device)
    taken = draw.share(kinds.taken)[:, None] * draw.exponential(0.8)[:, None]
    powers = noise.powers * (change - taken * torch.tensor(TAKEN, device=device)).exp()
    areas = torch.from_numpy(band_areas()).to(powers)
    left = (powers @ areas / (noise.powers @ areas))[:, None]

    texture = (draw.uniform(0.1, 1.2)[:, None] * over / GREY_MAX).square() + 1e-12
    found = noise.variance * (2 * error).exp() * left
    share = found[:, middle, None] / (found[:, middle, None] + texture)
    powers = share * powers / left + (1 - share)  # what is counted in is white
    true = faithful[:, None]
    return torch.where(true, noise.variance + 1e-12, found + texture), torch.where(true, noise.powers, powers)


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
        self._measured = kinds.measured
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
        if self._measured is None:
            drawn = detector_noise(clean, strength * ~quiet, draw)
        else:
            drawn = measured_noise(clean, strength * ~quiet, draw, self._measured)

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
