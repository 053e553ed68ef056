"""A light U-Net that is told the noise of an image: its deviation at every pixel and the powers of its spectrum."""

import abc

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xray_denoise.nets.blind import DenoisingNet, conv3
from xray_denoise.physics import profile
from xray_denoise.scale import GREY_MAX

Four = tuple[int, int, int, int]
"""A number for each of the four scales."""

BANDS = len(profile.BANDS)
"""Powers that describe a spectrum."""
BOX = 9
"""Side of the square whose mean stands for the grey level of a pixel, pixels."""
FLOOR = 0.05 / GREY_MAX
"""The lowest deviation that the network works with; told of less, it changes an image by hardly more than this."""


def local_mean(image: Tensor, box: int = BOX) -> Tensor:
    """Mean over `box` x `box` pixels around each, of those that there are; (B, 1, H, W) like `image`."""
    return F.avg_pool2d(image, box, 1, box // 2, count_include_pad=False)


def at_grey(curve: Tensor, grey: Tensor) -> Tensor:
    """Values of curves at the grey levels of images, (B, 1, H, W): linear in between, constant beyond.

    Args:
        curve: (B, K), values at grey levels evenly from 0 to 1.
        grey: (B, 1, H, W), grey level / 255.
    """
    place = grey.clamp(0, 1) * (curve.shape[1] - 1)
    below = place.long().clamp_max(curve.shape[1] - 2)
    table = curve[:, :, None, None].expand(-1, -1, *grey.shape[2:])
    low, high = (table.gather(1, index) for index in (below, below + 1))
    return torch.lerp(low, high, place - below)


def noise_maps(noisy: Tensor, variance: Tensor, powers: Tensor) -> Tensor:
    """What `ProfileUNet` is told of the noise of each image.

    Args:
        noisy: (B, 1, H, W), grey level / 255.
        variance: (B, K), of the noise in units of 255^2, at grey levels evenly from 0 to 255; linear in between,
            constant beyond.
        powers: (B, BANDS), mean power of the noise in each band relative to white noise, > 0.

    Returns:
        (B, 1 + BANDS, H, W): standard deviation of the noise in units of 255 where the grey level is the local mean,
        then the logarithms of the powers, the same at every pixel.
    """
    deviation = at_grey(variance, local_mean(noisy)).sqrt()
    return torch.cat([deviation, powers.log()[:, :, None, None].expand(-1, -1, *noisy.shape[2:])], dim=1)


class ToldNet(DenoisingNet):
    """A network that is told the noise of an image."""

    @abc.abstractmethod
    def forward(self, noisy: Tensor, maps: Tensor, deviation: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """(B, 1, H, W), grey level / 255, and its `noise_maps` -> the denoised images, (B, 1, H, W), in 32 bits.

        Args:
            noisy: images, or windows of them.
            maps: of the same windows.
            deviation: (B,), root mean square of the standard deviation over the whole images, in units of 255, where
                `noisy` are windows; None takes that of `maps`.
        """


class Residual(nn.Module):
    """Two 3x3 convolutions with a ReLU between them, whose result is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner, self.outer = conv3(channels, channels), conv3(channels, channels)
        with torch.no_grad():
            self.outer.weight.mul_(0.1)  # a fresh block changes little, however many there are

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same."""
        added: Tensor = self.outer(F.relu_(self.inner(features)))
        return added.add_(features)  # in 16 bits where autocast computes the convolutions in them


def residuals(channels: int, count: int) -> nn.Sequential:
    """`count` blocks."""
    return nn.Sequential(*(Residual(channels) for _ in range(count)))


class ProfileUNet(ToldNet):
    """Remove noise of a given deviation and spectrum.

    The image less its local mean, in units of the noise, is rearranged into four sub-images of half the size; a U-Net
    of residual blocks on four scales (Zhang et al., DRUNet, 2021) predicts the correction in units of the noise. So
    weak noise and strong noise look alike to it. The first convolution and the last sum are computed in 32 bits: near
    white, bfloat16 has steps of one grey level.

    Args:
        widths: channels at a half, a quarter, an eighth and a sixteenth of the size.
        blocks: residual blocks of two convolutions each on these scales: on the way down, and again on the way up but
            for the lowest. Weak noise is told from fine structure on the finest scale.
    """

    stride = 16
    shrink = 2

    def __init__(self, widths: Four = (48, 96, 128, 192), blocks: Four = (2, 1, 1, 2)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.first = conv3(4 + 2 + BANDS, a)
        self.halve = nn.ModuleList([nn.Conv2d(x, y, 2, stride=2) for x, y in ((a, b), (b, c), (c, d))])
        self.down = nn.ModuleList([residuals(x, count) for x, count in zip(widths, blocks, strict=True)])
        self.enlarge = nn.ModuleList([nn.ConvTranspose2d(x, y, 2, stride=2) for x, y in ((d, c), (c, b), (b, a))])
        self.up = nn.ModuleList([residuals(x, count) for x, count in zip((c, b, a), blocks[2::-1], strict=True)])
        self.correction = conv3(a, 4)
        nn.init.zeros_(self.correction.weight)  # a fresh network changes nothing
        fine, middle, coarse, lowest = blocks
        seen = 2 + 4 * fine + 8 * middle + 16 * coarse + 16 * lowest  # of the sub-images, by the convolutions
        seen += 7  # by the eight-pixel blocks of the lowest scale
        self.radius = -(-(2 * seen + 1 + BOX // 2) // self.stride) * self.stride

    def forward(self, noisy: Tensor, maps: Tensor, deviation: Tensor | None = None) -> Tensor:  # type: ignore[override] # noqa: ARG002
        """See `ToldNet`; all images are treated alike, whatever their `deviation`."""
        local = maps[:, :1].clamp_min(FLOOR)
        with torch.autocast(noisy.device.type, enabled=False):
            mean = local_mean(noisy)
            known = torch.cat(
                [
                    F.pixel_unshuffle((noisy - mean) / (4 * local), 2),
                    F.avg_pool2d(torch.cat([mean, local.log() / 4 + 1, maps[:, 1:] / 2], dim=1), 2),
                ],
                dim=1,
            )
            features = self.first(known)
        kept = [self.down[0](features)]
        for halve, blocks in zip(self.halve, self.down[1:], strict=True):
            kept.append(blocks(halve(kept[-1])))
        features = kept.pop()
        for enlarge, blocks in zip(self.enlarge, self.up, strict=True):
            features = blocks(enlarge(features).add_(kept.pop()))
        correction = F.pixel_shuffle(self.correction(features), 2)
        return noisy + correction.float() * local
