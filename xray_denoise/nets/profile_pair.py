"""The network for the noise of detectors, and beside it one for strong white noise, behind one name."""

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from xray_denoise.nets.lite import Lite
from xray_denoise.nets.profile_unet import FLOOR, Four, ProfileUNet, ToldNet, local_mean
from xray_denoise.scale import GREY_MAX

OUTSIDE = (0.02, 0.1)
"""Share of the pixels around one that lie below black or above white: up to which it does not matter, and from which on
only the network for detectors is used."""


class ProfilePair(ToldNet):
    """Remove the noise of detectors with a `ProfileUNet`, and strong white noise with a `Lite`.

    Which one is used depends on the noise of the whole image: the root mean square of its standard deviation over the
    pixels, and its spectrum. In between the results are blended, so that no image changes abruptly with its noise.
    `Lite` estimates the noise around each pixel itself, and so follows what clipping at black and at white does to it.
    It knows no grey level below black or above white: where an image has many, the first network is used.

    Args:
        widths: of `ProfileUNet`.
        blocks: likewise.
        deviation: standard deviations up to which only the first network is used, and from which only the second is,
            grey levels.
        coloured: largest distance of a band power from that of white noise, decibels, up to which the second network
            may be used alone, and from which only the first is.
    """

    def __init__(
        self,
        widths: Four = (48, 96, 128, 192),
        blocks: Four = (2, 1, 1, 2),
        deviation: Sequence[float] = (9.0, 13.0),
        coloured: Sequence[float] = (1.0, 2.0),
    ) -> None:
        super().__init__()
        self.detectors, self.white = ProfileUNet(widths, blocks), Lite()
        self.stride, self.shrink = self.detectors.stride, self.detectors.shrink
        self.radius = max(self.detectors.radius, self.white.radius)
        self.strong = tuple(math.log(one / GREY_MAX) for one in deviation)
        self.coloured = tuple(one * math.log(10) / 10 for one in coloured)

    def share(self, maps: Tensor, deviation: Tensor | None = None) -> Tensor:
        """How much the network for white noise counts, 0..1, (B,).

        Args:
            maps: see `forward`.
            deviation: see `forward`.
        """
        if deviation is None:
            deviation = maps[:, 0].square().mean(dim=(1, 2)).sqrt()
        colour = maps[:, 1:, 0, 0].abs().amax(dim=1)
        share: Tensor = _rising(deviation.clamp_min(FLOOR).log(), *self.strong) * (1 - _rising(colour, *self.coloured))
        return share

    def forward(self, noisy: Tensor, maps: Tensor, deviation: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """See `ToldNet`."""
        share = self.share(maps, deviation).float()[:, None, None, None] * _clipped(noisy.float())
        if torch.compiler.is_exporting():  # no choice that depends on the values
            return torch.lerp(self.detectors(noisy, maps), self._of_white(noisy), share)
        restored = torch.zeros_like(noisy, dtype=torch.float32)
        for part, denoise in ((1 - share, self.detectors), (share, lambda noisy, _: self._of_white(noisy))):
            used = part.amax(dim=(1, 2, 3)).nonzero()[:, 0]
            if len(used):
                restored = restored.index_add(0, used, part[used] * denoise(noisy[used], maps[used]).float())
        return restored

    def _of_white(self, noisy: Tensor) -> Tensor:
        """What the network for white noise makes of images; it sees what lies outside of black and white as those.

        bfloat16 would round the image to grey levels, which costs it 0.07 dB: it computes in 32 bits then.
        """
        seen, kind = noisy.clamp(0, 1), noisy.device.type
        rounded = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
        with torch.autocast(kind, enabled=False) if rounded else nullcontext():
            restored: Tensor = self.white(seen)[0]
        return noisy + (restored.float() - seen)


def _clipped(noisy: Tensor) -> Tensor:
    """1 where hardly any pixel around lies below black or above white, down to 0 where `OUTSIDE` do, (B, 1, H, W)."""
    outside = ((noisy < 0) | (noisy > 1)).float()
    return 1 - _rising(local_mean(outside), *OUTSIDE)


def _rising(value: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on, smooth in between."""
    part: Tensor = ((value - low) / (high - low)).clamp(0, 1)
    return part.square() * (3 - 2 * part)
