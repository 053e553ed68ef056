"""X-BDCNN: a noise level estimation subnetwork, then a non-blind denoising one (Yin et al., Fig. 1)."""

import torch
from torch import Tensor, nn

from xray_denoise.nets.blind import BlindNet, conv3, conv3_relu, start_levels
from xray_denoise.nets.level import LevelEncoding
from xray_denoise.nets.unet import UNet


class NoiseLevelEstimator(nn.Module):
    """Estimate the noise level at every pixel.

    Input   (B, 1, H, W), grey level / 255, any H and W.
    Output  (B, 2, H, W), the Poisson and the Gaussian level map, >= 0.

    Five 3x3 convolutions of 32 channels, the first added to the fourth (Yin et al., Fig. 1). Each
    output pixel sees 11x11 input pixels (`radius` = 5).
    """

    radius = 5

    def __init__(self, encoding: LevelEncoding) -> None:
        super().__init__()
        self.first = conv3_relu(1, 32)
        self.middle = conv3_relu(32, 32, 3)
        self.last = conv3(32, 2)
        start_levels(self.last, encoding)

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 2, H, W)."""
        first = self.first(noisy)
        return torch.relu(self.last(self.middle(first) + first))


class XBDCNN(BlindNet):
    """The blind denoising network of the paper: 4.363 M parameters, 0.563 M multiply-adds per pixel.

    `estimate` gives the level at full resolution; `restore` adds the U-Net's correction to the noisy image.
    """

    stride = 4
    radius = 52  # UNet.radius + NoiseLevelEstimator.radius, up to the next multiple of the stride
    global_level = False

    def __init__(self, level: str = "std") -> None:
        super().__init__()
        self.encoding = LevelEncoding(level)
        self.level_estimator = NoiseLevelEstimator(self.encoding)
        self.denoiser = UNet(inputs=3, outputs=1, widths=(64, 128, 256))

    def estimate(self, noisy: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 2, H, W)."""
        levels: Tensor = self.level_estimator(noisy)
        return levels

    def restore(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """(B, 1, H, W) and its levels -> (B, 1, H, W)."""
        maps = levels.to(noisy.dtype).expand(-1, -1, *noisy.shape[2:])
        correction: Tensor = self.denoiser(torch.cat([noisy, maps], dim=1))
        return noisy + correction
