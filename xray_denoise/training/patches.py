"""Training patches made on the device: random crops, flips and quarter turns of held images, with fresh noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise.scale import GREY_MAX


@dataclass(frozen=True, slots=True)
class NoiseRange:
    """Noise levels seen in training, drawn uniformly per patch."""

    eta: tuple[float, float] = (0.4, 1.9)
    """Photons per grey level, lowest and highest, > 0."""
    sigma: tuple[float, float] = (0.0, 20.0)
    """Electronic noise, grey levels, lowest and highest, >= 0."""
    bright: float = 0.0
    """Share of the patches, 0..1, that are narrowed towards white (see `PatchSource`)."""


@dataclass(frozen=True, slots=True)
class WideRange:
    """Noise from none at all to the strongest of the paper, and radiographs as they come from many detectors.

    Each share is that of the patches, 0..1, and drawn per patch.
    """

    inverse_eta: tuple[float, float] = (0.0, 2.5)
    """Grey levels per detected photon, lowest and highest, >= 0, drawn uniformly."""
    sigma: tuple[float, float] = (0.0, 20.0)
    """Electronic noise, grey levels, lowest and highest, >= 0, drawn uniformly."""
    clean: float = 0.1
    """Share without any noise."""
    negative: float = 0.5
    """Share whose noise is added to the inverted image: raw detector data shown in negative."""
    varied: float = 0.5
    """Share whose span is narrowed (to at least half) and whose grey levels are bent by a gamma of 1/2 to 2."""
    bright: float = 0.125
    """Share that is narrowed towards white instead (see `PatchSource`)."""
    correlated: float = 0.25
    """Share whose noise is blurred by the detector, its variance kept."""
    blur: float = 0.7
    """Widest blur, standard deviation of a Gaussian, pixels; the narrowest is none."""

    @property
    def eta(self) -> tuple[float, float]:
        """Photons per grey level, lowest and highest, without the patches that have no noise."""
        low, high = self.inverse_eta
        return 1 / high, 1 / low if low else math.inf


@dataclass(frozen=True, slots=True)
class Batch:
    """Patches and what was done to them."""

    noisy: Tensor
    """(B, 1, P, P), grey level / 255, clipped to [0, 1]."""
    clean: Tensor
    """(B, 1, P, P), grey level / 255."""
    target: Tensor
    """What to make of `noisy`, (B, 1, P, P), grey level / 255: `clean`, unless a teacher says otherwise."""
    eta: Tensor
    """(B,), photons per grey level."""
    sigma: Tensor
    """(B,), grey levels."""


def add_noise(clean: Tensor, eta: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """The noise of `physics.noise` on the device, in distribution the same.

    Args:
        clean: (B, 1, H, W), grey level / 255, >= 0.
        eta: (B,), photons per grey level, > 0.
        sigma: (B,), grey levels, >= 0.
        generator: the only source of randomness, on the device of `clean`.

    Returns:
        Noisy images, same shape, clipped to [0, 1].
    """
    photons_at_white = GREY_MAX * eta[:, None, None, None]
    photons = torch.poisson(clean * photons_at_white, generator=generator) / photons_at_white
    electronics = torch.randn(clean.shape, generator=generator, device=clean.device)
    return (photons + sigma[:, None, None, None] / GREY_MAX * electronics).clamp_(0, 1)


def blurred(noise: Tensor, widths: Tensor) -> Tensor:
    """Noise as a detector correlates it: each image under a Gaussian whose squares sum to 1, so its variance stays.

    Args:
        noise: white noise, (B, 1, H, W), H and W at least 3.
        widths: (B,), standard deviation of the Gaussian, pixels, 0..0.7; beyond two pixels it is cut off.
    """
    offsets = torch.arange(-2.0, 3.0, device=noise.device)
    lines = torch.exp(-offsets.square() / (2 * widths.clamp_min(1e-3).square()[:, None]))
    lines = lines / lines.square().sum(dim=1, keepdim=True).sqrt()
    kernels = lines[:, None, :, None] * lines[:, None, None, :]
    padded = F.pad(noise, (2, 2, 2, 2), mode="reflect").transpose(0, 1)
    return F.conv2d(padded, kernels, groups=len(noise)).transpose(0, 1)


def squares(
    count: int, side: int, heights: Tensor, widths: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random squares of images: every image and one of the eight turns of the square equally likely.

    Squares that would reach over a rim, by up to half of them, are moved inwards. Were only places that fit equally
    likely, the outermost pixel would be in as many squares as an inner one divided by `side`, and radiographs end in
    frames, shutters and letters that are nowhere else.

    Args:
        count: of squares.
        side: of a square, pixels.
        heights: of the images, pixels, at least `side`.
        widths: of the images, likewise.
        generator: the only source of randomness, on the device of `heights`.

    Returns:
        The image of each square, (count,), and where in it its pixels are, (count, side, side), counted row by row.
    """
    device = heights.device
    unit = torch.rand(3, count, generator=generator, device=device, dtype=torch.float64)
    chosen = (unit[0] * len(heights)).long()
    tops, lefts = (
        ((share * (sides[chosen] + 1)).long() - side // 2).clamp_min(0).minimum(sides[chosen] - side)
        for share, sides in ((unit[1], heights), (unit[2], widths))
    )
    flip_rows, flip_columns, transpose = torch.randint(
        2, (3, count, 1, 1), generator=generator, device=device, dtype=torch.bool
    )
    ramp = torch.arange(side, device=device)
    rows, columns = ramp[None, :, None], ramp[None, None, :]
    rows = torch.where(flip_rows, side - 1 - rows, rows)
    columns = torch.where(flip_columns, side - 1 - columns, columns)
    rows = torch.where(transpose, rows.mT, rows)
    columns = torch.where(transpose, columns.mT, columns)
    across = widths[chosen][:, None, None]
    corner = tops * widths[chosen] + lefts
    return chosen, corner[:, None, None] + rows * across + columns


class PatchSource:
    """All training images on the device, and the batches drawn from them.

    An image gives patches in proportion to one, whatever its size. Sizes may differ.

    Raises:
        ValueError: no image, or an image smaller than the patch.
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]] | Sequence[NDArray[np.float32]],
        patch: int,
        noise: NoiseRange | WideRange,
        device: torch.device,
    ) -> None:
        if not images:
            raise ValueError("no image to train on")
        heights, widths = (torch.tensor([image.shape[axis] for image in images]) for axis in (0, 1))
        if min(int(heights.min()), int(widths.min())) < patch:
            raise ValueError(f"an image is smaller than the {patch}x{patch} patches")
        self.device = device
        self.patch = patch
        self.noise = noise
        self._heights, self._widths = heights.to(device), widths.to(device)
        sizes = heights * widths
        self._starts = (sizes.cumsum(0) - sizes).to(device)
        dtype = torch.from_numpy(images[0][:1, :1].copy()).dtype
        self._pixels = torch.empty(int(sizes.sum()), dtype=dtype, device=device)
        for image, start in zip(images, self._starts.tolist(), strict=True):
            pixels = torch.from_numpy(np.array(image).ravel())
            self._pixels[start : start + len(pixels)] = pixels

    def __len__(self) -> int:
        return len(self._starts)

    def draw(self, step: int, count: int, generator: torch.Generator) -> Batch:  # noqa: ARG002
        """`count` patches, each with its own place, turn and noise level; every step gets the like."""
        clean = self.crops(count, generator)[:, None].to(torch.float32) / GREY_MAX
        if isinstance(self.noise, WideRange):
            return self._wide(clean, self.noise, generator)
        if self.noise.bright:
            clean = self._brightened(clean, self.noise.bright, generator)
        eta = self._uniform(self.noise.eta, count, generator)
        sigma = self._uniform(self.noise.sigma, count, generator)
        return Batch(add_noise(clean, eta, sigma, generator), clean, clean, eta, sigma)

    def _wide(self, crops: Tensor, wide: WideRange, generator: torch.Generator) -> Batch:
        """`crops` as radiographs of many kinds, under noise of many kinds."""
        count = len(crops)
        varied = self._share(wide.varied, count, generator)
        low = self._uniform((0.0, 0.25), count, generator)
        high = self._uniform((0.75, 1.0), count, generator)
        gamma = self._uniform((-1.0, 1.0), count, generator).exp2()
        bent = low[:, None, None, None] + (high - low)[:, None, None, None] * crops ** gamma[:, None, None, None]
        clean = self._brightened(torch.where(varied, bent, crops), wide.bright, generator)

        negative = self._share(wide.negative, count, generator)
        noiseless = self._share(wide.clean, count, generator)
        inverse_eta = self._uniform(wide.inverse_eta, count, generator)
        sigma = self._uniform(wide.sigma, count, generator)
        exposed = torch.where(negative, 1 - clean, clean)
        photons = torch.poisson(exposed * GREY_MAX / _safe(inverse_eta), generator=generator)
        noise = photons * _safe(inverse_eta) / GREY_MAX - exposed
        noise += (
            sigma[:, None, None, None] / GREY_MAX * torch.randn(clean.shape, generator=generator, device=self.device)
        )
        widths = self._uniform((0.0, wide.blur), count, generator)
        noise = torch.where(self._share(wide.correlated, count, generator), blurred(noise, widths), noise)
        noise = torch.where(noiseless, 0.0, torch.where(negative, -noise, noise))

        quiet = noiseless[:, 0, 0, 0]
        eta = torch.where(quiet, math.inf, inverse_eta.reciprocal())
        return Batch((clean + noise).clamp_(0, 1), clean, clean, eta, torch.where(quiet, 0.0, sigma))

    def _brightened(self, clean: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """Some patches narrowed to a span of 1 to 1/30 (log-uniform) that ends at white.

        Noise is cut off at white, which darkens what is bright. Few radiographs are bright enough to learn this from.
        """
        span = self._uniform((math.log(1 / 30), 0.0), len(clean), generator).exp()[:, None, None, None]
        return torch.where(self._share(share, len(clean), generator), 1 - span * (1 - clean), clean)

    def _share(self, share: float, count: int, generator: torch.Generator) -> Tensor:
        """(count, 1, 1, 1), true with the probability `share`."""
        return self._uniform((0.0, 1.0), count, generator)[:, None, None, None] < share

    def crops(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, P, P), grey levels, from anywhere."""
        chosen, places = squares(count, self.patch, self._heights, self._widths, generator)
        return self._pixels[self._starts[chosen][:, None, None] + places]

    def _uniform(self, bounds: tuple[float, float], count: int, generator: torch.Generator) -> Tensor:
        low, high = bounds
        unit = torch.rand(count, generator=generator, device=self.device)
        return low + (high - low) * unit


def _safe(inverse_eta: Tensor) -> Tensor:
    """(B, 1, 1, 1), grey levels per photon, away from zero: below a thousandth Poisson noise is nobody's concern."""
    return inverse_eta.clamp_min(1e-3)[:, None, None, None]
