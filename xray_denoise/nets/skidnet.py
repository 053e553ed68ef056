"""SkiDNet: a U-Net of short and long skips (Dutta 2019), its layers known at second hand."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xray_denoise.nets.blind import DenoisingNet, conv, conv3_bn_relu


class Level(nn.Module):
    """Two convolutions of 64 and 32 channels at one scale, and a shortcut that is added to them."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.wide = conv3_bn_relu(inputs, 64)
        self.narrow = conv3_bn_relu(64, 32)

    def forward(self, features: Tensor, shortcut: Tensor) -> Tensor:
        """(B, inputs, H, W) and (B, 32, H, W) -> (B, 32, H, W)."""
        added: Tensor = self.narrow(self.wide(features)) + shortcut
        return added


class SkiDNet(DenoisingNet):
    """Residual U-Net of four scales, every 3x3 convolution with batch normalisation and ReLU.

    Down: three times two convolutions of 64 and 32 channels with a skip over both (the first pair behind a
    convolution of 32), then maximum pooling; one convolution of 32 at an eighth of the size. Up: nearest
    neighbours, concatenation with the scale's features, two convolutions, the upsampled features added. A 7x7
    convolution gives the correction, which is added to the image. The layer list is second-hand.

    Reference:
        Dutta, SkiDNet, International Joint Conference on Neural Networks, 2019.
    """

    stride = 8
    radius = 48  # 40 by the convolutions, 7 by the eight-pixel blocks of the pooling, up to a multiple of the stride

    def __init__(self) -> None:
        super().__init__()
        self.first = conv3_bn_relu(1, 32)
        self.down = nn.ModuleList([Level(32) for _ in range(3)])
        self.middle = conv3_bn_relu(32, 32)
        self.up = nn.ModuleList([Level(64) for _ in range(3)])
        self.correction = conv(32, 1, 7)
        nn.init.zeros_(self.correction.weight)  # a fresh network changes nothing

    def forward(self, noisy: Tensor, *, joint: bool = True) -> tuple[Tensor, None]:  # noqa: ARG002
        """(B, 1, H, W) -> (B, 1, H, W), and no levels."""
        features = self.first(noisy)
        kept = []
        for level in self.down:
            features = level(features, features)
            kept.append(features)
            features = F.max_pool2d(features, 2)
        features = self.middle(features)
        for level in self.up:
            larger = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = level(torch.cat([larger, kept.pop()], dim=1), larger)
        return noisy + self.correction(features), None
