"""X-BDCNN: a noise level estimation subnetwork, then a non-blind denoising one (Yin et al., Fig. 1).

Beside it stand its ablation without the first subnetwork, and CBDNet, its ancestor.
"""

import torch
from torch import Tensor, nn

from xray_denoise.nets.blind import BlindNet, DenoisingNet, conv3, conv3_relu, start_levels
from xray_denoise.nets.level_encoding import LevelEncoding
from xray_denoise.nets.unet import UNet


class NoiseLevelEstimator(nn.Module):
    """Estimate the noise level at every pixel.

    Input   (B, 1, H, W), grey level / 255, any H and W.
    Output  (B, 2, H, W), the Poisson and the Gaussian level map, >= 0.

    Five 3x3 convolutions of 32 channels, with `skip` the first added to the fourth (Yin et al., Fig. 1). Each
    output pixel sees 11x11 input pixels (`radius` = 5).
    """

    radius = 5

    def __init__(self, encoding: LevelEncoding, *, skip: bool = True) -> None:
        super().__init__()
        self.skip = skip
        self.first = conv3_relu(1, 32)
        self.middle = conv3_relu(32, 32, 3)
        self.last = conv3(32, 2)
        start_levels(self.last, encoding)

    def forward(self, noisy: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 2, H, W)."""
        first = self.first(noisy)
        fourth = self.middle(first)
        return torch.relu(self.last(fourth + first if self.skip else fourth))


class XBDCNN(BlindNet):
    """The blind denoising network of the paper: 4.363 M parameters, 0.563 M multiply-adds per pixel.

    `estimate` gives the level at full resolution; `restore` adds the U-Net's correction to the noisy image.
    """

    stride = 4
    radius = 52  # UNet.radius + NoiseLevelEstimator.radius, up to the next multiple of the stride

    def __init__(self, level: str = "std", *, skip: bool = True) -> None:
        super().__init__()
        self.encoding = LevelEncoding(level)
        self.level_estimator = NoiseLevelEstimator(self.encoding, skip=skip)
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


def cbdnet(level: str = "std") -> XBDCNN:
    """CBDNet: the same two subnetworks without the skip of the level estimator.

    Its loss has no SSIM term (`training.presets.EXPERIMENTS`).

    Reference:
        Guo, Yan, Zhang, Zuo, Zhang, Toward convolutional blind denoising of real photographs, CVPR 2019.
    """
    return XBDCNN(level, skip=False)


class WithoutLevels(DenoisingNet):
    """X-BDCNN without its level estimator (the ablation of Yin et al., Table I): the U-Net sees the image alone."""

    stride = 4
    radius = UNet.radius

    def __init__(self) -> None:
        super().__init__()
        self.denoiser = UNet(inputs=1, outputs=1, widths=(64, 128, 256))

    def forward(self, noisy: Tensor, *, joint: bool = True) -> tuple[Tensor, None]:  # noqa: ARG002
        """(B, 1, H, W) -> (B, 1, H, W), and no levels."""
        return noisy + self.denoiser(noisy), None
