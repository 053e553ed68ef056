"""Small structures that are inserted into patches, so that a network learns to keep them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xray_denoise.training.draw import Draw

MOST, MOST_DOTS = 5, 20
"""Most structures in a patch, and most dots in a cluster."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where one structure of each patch lies, and random numbers from 0 to 1 that shape it, (B, 1, 1)."""

    down: Tensor
    """(B, P, 1), distance of every row from its centre, pixels."""
    right: Tensor
    """(B, 1, P), of every column."""
    size: Tensor
    turn: Tensor
    soft: Tensor
    amount: Tensor

    @property
    def squared_distance(self) -> Tensor:
        """(B, P, P), square of the distance from its centre, pixels."""
        return self.down.square() + self.right.square()

    def across(self, turn: Tensor) -> Tensor:
        """(B, P, P), distance from a line through its centre, pixels."""
        return self.down * turn.cos() + self.right * turn.sin()

    def step(self, inside: Tensor) -> Tensor:
        """1 inside, 0 outside, a half where the distance `inside` (pixels) is 0."""
        return torch.sigmoid(inside / (0.4 + self.soft))


def details(side: int, draw: Draw) -> Tensor:
    """Small structures of peak about 1, either sign, (B, 1, side, side): dots, clusters, discs, lines, edges, textures.

    Args:
        side: of the patches, pixels.
        draw: of B patches.
    """
    ramp = torch.arange(side, device=draw.generator.device, dtype=torch.float32)
    canvas = torch.zeros(draw.count, side, side, device=ramp.device)
    wanted = 1 + (MOST * draw.uniform(0, 1)).long()
    for index in range(MOST):
        kind, y, x, size, turn, soft, amount, length = (draw.uniform(0, 1, 1, 1) for _ in range(8))
        places = Places(ramp[:, None] - y * side, ramp - x * side, size, turn, soft, amount)
        shape = _texture(places, draw)
        for below, drawn in (  # all kinds are drawn for all patches, as a GPU would wait for a choice
            (0.88, _edge(places)),
            (0.8, _line(places, length)),
            (0.65, _dots(places, draw)),
            (0.2, _disc(places)),
        ):
            shape = torch.where(kind < below, drawn, shape)
        sign = torch.where(draw.share(0.7), 1.0, -1.0) * (index < wanted)
        canvas += sign[:, None, None] * (0.3 + 0.7 * amount) * shape
    return canvas[:, None]


def _disc(places: Places) -> Tensor:
    return places.step(1 + 11 * places.size.square() - places.squared_distance.sqrt())


def _dots(places: Places, draw: Draw) -> Tensor:
    """A cluster of dots."""
    off = draw.normal(1.0, MOST_DOTS, 2) * (3 + 45 * places.size.square())
    width = draw.uniform(0.5, 1.8, 1, MOST_DOTS)
    wanted = 1 + (MOST_DOTS * places.amount[..., 0]).long()
    peak = draw.uniform(0.4, 1, MOST_DOTS) * (torch.arange(MOST_DOTS, device=off.device) < wanted)
    down, right = (
        (-(line - centre[:, None]).square() / (2 * width.square())).exp()
        for line, centre in ((places.down, off[..., 0]), (places.right.mT, off[..., 1]))
    )
    return (down * peak[:, None]) @ right.mT


def _line(places: Places, length: Tensor) -> Tensor:
    turn = math.pi * places.turn
    along = places.right * turn.cos() - places.down * turn.sin()
    profile = (-places.across(turn).square() / (2 * (0.5 + 1.5 * places.size).square())).exp()
    return profile * torch.sigmoid((5 + 60 * length - along.abs()) / 2)


def _edge(places: Places) -> Tensor:
    return places.step(places.across(2 * math.pi * places.turn))


def _texture(places: Places, draw: Draw) -> Tensor:
    """Noise between two Gaussians, strongest in the centre."""
    side = places.right.shape[2]
    rows, columns = (line(side, device=places.right.device) for line in (torch.fft.fftfreq, torch.fft.rfftfreq))
    frequency = (2 * math.pi * (0.6 + 2 * places.size)).square() * (rows[:, None].square() + columns.square()) / 2
    band = (-frequency).exp() - (-4 * frequency).exp()
    grain: Tensor = torch.fft.irfft2(torch.fft.rfft2(draw.normal(1.0, side, side)) * band, s=(side, side))
    grain = grain / grain.std(dim=(1, 2), keepdim=True)
    return 0.5 * grain * (-places.squared_distance / (2 * (6 + 30 * places.soft).square())).exp()
