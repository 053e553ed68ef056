"""Small structures that are inserted into patches, so that a network learns to keep them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from xray_denoise.training.draw import Draw


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
