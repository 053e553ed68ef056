"""A light relative of X-BDCNN: the same U-Net, narrower, on the four half-size sub-images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xray_denoise.nets.blind import BlindNet, conv3, conv3_relu, start_levels
from xray_denoise.nets.level_encoding import LevelEncoding
from xray_denoise.nets.unet import UNet

BOX = 25
"""Side of the square, in pixels of a sub-image, over which estimates are averaged: a level is made of the noise of some
thousand pixels, and can still follow what clipping at black and at white does to noise."""


class Lite(BlindNet):
    """Blind denoising at a seventh of X-BDCNN's work: 2.5 M parameters, 0.08 M multiply-adds per pixel.

    The image is rearranged into four sub-images of half the size (Zhang et al., FFDNet, 2018), on which the U-Net
    of X-BDCNN runs with three quarters of its channels. The noise level of a pixel is the mean of the estimates around
    it.
    """

    stride = 8
    radius = 128  # 2 * (UNet.radius + BOX // 2 + 5 of the estimator) + 1, up to the next multiple of the stride
    shrink = 2

    def __init__(self, level: str = "std", widths: tuple[int, int, int] = (48, 96, 192)) -> None:
        super().__init__()
        self.encoding = LevelEncoding(level)
        last = conv3(32, 2)
        start_levels(last, self.encoding)
        self.level_estimator = nn.Sequential(conv3_relu(4, 32, 4), last, nn.ReLU(inplace=True))
        self.denoiser = UNet(inputs=6, outputs=4, widths=widths)

    def estimate(self, noisy: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 2, H, W)."""
        levels: Tensor = self.level_estimator(F.pixel_unshuffle(noisy, 2))
        for size in ((BOX, 1), (1, BOX)):
            levels = F.avg_pool2d(levels, size, 1, (size[0] // 2, size[1] // 2), count_include_pad=False)
        return F.interpolate(levels, scale_factor=2.0)

    def restore(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """(B, 1, H, W) and its levels -> (B, 1, H, W)."""
        quarters = F.pixel_unshuffle(noisy, 2)
        maps = F.interpolate(levels.to(noisy.dtype), quarters.shape[2:])
        return noisy + F.pixel_shuffle(self.denoiser(torch.cat([quarters, maps], dim=1)), 2)
