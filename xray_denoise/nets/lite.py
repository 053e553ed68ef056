"""A light relative of X-BDCNN: the same U-Net, narrower, on the four half-size sub-images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xray_denoise.nets.blind import BlindNet, conv3, conv3_relu, start_levels
from xray_denoise.nets.level import LevelEncoding
from xray_denoise.nets.unet import UNet


class Lite(BlindNet):
    """Blind denoising at a seventh of X-BDCNN's work: 2.5 M parameters, 0.08 M multiply-adds per pixel.

    The image is rearranged into four sub-images of half the size (Zhang et al., FFDNet, 2018), on which the U-Net
    of X-BDCNN runs with three quarters of its channels. One noise level holds for the whole image.
    """

    stride = 8
    radius = 96  # 2 * UNet.radius + 1, up to the next multiple of the stride
    shrink = 2
    global_level = True

    def __init__(self, level: str = "std", widths: tuple[int, int, int] = (48, 96, 192)) -> None:
        super().__init__()
        self.encoding = LevelEncoding(level)
        last = conv3(32, 2)
        start_levels(last, self.encoding)
        self.level_estimator = nn.Sequential(conv3_relu(4, 32, 4), last, nn.ReLU())
        self.denoiser = UNet(inputs=6, outputs=4, widths=widths)

    def estimate(self, noisy: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 2, H/2, W/2); the level of the image is the mean over both axes."""
        levels: Tensor = self.level_estimator(F.pixel_unshuffle(noisy, 2))
        return levels

    def restore(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """(B, 1, H, W) and one level per image, (B, 2, 1, 1) -> (B, 1, H, W)."""
        quarters = F.pixel_unshuffle(noisy, 2)
        maps = levels.to(noisy.dtype).expand(-1, -1, *quarters.shape[2:])
        return noisy + F.pixel_shuffle(self.denoiser(torch.cat([quarters, maps], dim=1)), 2)
