"""A light U-Net that is told the noise of an image: its deviation at every pixel and the powers of its spectrum."""

import abc

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xray_denoise.nets.blind import DenoisingNet, conv3, conv3_relu
from xray_denoise.physics import profile
from xray_denoise.scale import GREY_MAX

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


class ProfileUNet(ToldNet):
    """Remove noise of a given deviation and spectrum.

    The image less its local mean, in units of the noise, is rearranged into four sub-images of half the size; a U-Net
    of four scales predicts the correction in units of the noise. So weak noise and strong noise look alike to it.
    The first convolution and the last sum are computed in 32 bits: near white, bfloat16 has steps of one grey level.

    Args:
        widths: channels at a half, a quarter, an eighth and a sixteenth of the size.
        convs: 3x3 convolutions at each scale on the way down, and at the three upper scales on the way up; at the
            lowest scale there are twice as many.
    """

    stride = 16
    shrink = 2

    def __init__(self, widths: tuple[int, int, int, int] = (64, 128, 192, 256), convs: int = 2) -> None:
        super().__init__()
        a, b, c, d = widths
        self.first = conv3(4 + 2 + BANDS, a)
        self.down = nn.ModuleList(
            [conv3_relu(a, a, convs - 1), conv3_relu(a, b, convs), conv3_relu(b, c, convs), conv3_relu(c, d, 2 * convs)]
        )
        self.enlarge = nn.ModuleList([nn.ConvTranspose2d(x, y, 2, stride=2) for x, y in ((d, c), (c, b), (b, a))])
        self.up = nn.ModuleList([conv3_relu(x, x, convs) for x in (c, b, a)])
        self.correction = conv3(a, 4)
        nn.init.zeros_(self.correction.weight)  # a fresh network changes nothing
        seen = (
            1 + 2 * convs * (1 + 2 + 4 + 8) + 7
        )  # of the sub-images: convolutions, and the eight-pixel blocks of the pooling
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
            features = F.relu(self.first(known))
        kept = []
        for level, layers in enumerate(self.down):
            features = layers(F.avg_pool2d(features, 2) if level else features)
            kept.append(features)
        features = kept.pop()
        for enlarge, layers in zip(self.enlarge, self.up, strict=True):
            features = layers(enlarge(features) + kept.pop())
        correction = F.pixel_shuffle(self.correction(features), 2)
        return noisy + correction.float() * local
