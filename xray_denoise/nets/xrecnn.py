"""X-ReCNN, reconstructed: noise extracted at several scales in parallel (Jin et al. 2019)."""

import torch
from torch import Tensor, nn

from xray_denoise.nets.blind import DenoisingNet, conv, conv3, conv3_bn_relu


class XReCNN(DenoisingNet):
    """Multi-scale residual denoising, 0.373 M parameters.

    The layer list of the publication could not be had. Known are batch normalisation, residual learning and the
    extraction of noise at several scales in parallel; so this is a reconstruction and is called one wherever its
    results are shown: 3x3, 5x5 and 7x7 convolutions (24, 20 and 20 channels) side by side, ten 3x3 of 64 with
    batch normalisation, and a linear one that gives the noise.

    Reference:
        Jin et al., IET Image Processing 13(11), 2019.
    """

    stride = 1
    radius = 14  # 3 + 10 + 1

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList([conv(1, 24, 3), conv(1, 20, 5), conv(1, 20, 7)])
        last = conv3(64, 1)
        nn.init.zeros_(last.weight)  # a fresh network changes nothing
        self.noise = nn.Sequential(conv3_bn_relu(64, 64, 10), last)

    def forward(self, noisy: Tensor, *, joint: bool = True) -> tuple[Tensor, None]:  # noqa: ARG002
        """(B, 1, H, W) -> (B, 1, H, W), and no levels."""
        features = torch.cat([scale(noisy).relu() for scale in self.scales], dim=1)
        return noisy - self.noise(features), None
