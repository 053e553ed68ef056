"""DnCNN: a plain stack of convolutions that predicts the noise (Zhang et al. 2017)."""

from torch import Tensor, nn

from xray_denoise.nets.blind import DenoisingNet, conv3, conv3_bn_relu, conv3_relu


class DnCNN(DenoisingNet):
    """Residual denoising: 0.668 M parameters with 20 layers, 0.557 M with 17.

    A 3x3 convolution with ReLU, `depth` - 2 of 64 channels with batch normalisation and ReLU, a linear one; the
    result is the noise, which is subtracted. The authors take 20 layers for blind denoising, 17 for a known level.

    Reference:
        Zhang, Zuo, Chen, Meng, Zhang, Beyond a Gaussian denoiser, IEEE TIP 26(7), 2017.
    """

    stride = 1

    def __init__(self, depth: int = 20) -> None:
        super().__init__()
        self.radius = depth
        last = conv3(64, 1)
        nn.init.zeros_(last.weight)  # a fresh network changes nothing
        self.noise = nn.Sequential(conv3_relu(1, 64), conv3_bn_relu(64, 64, depth - 2), last)

    def forward(self, noisy: Tensor, *, joint: bool = True) -> tuple[Tensor, None]:  # noqa: ARG002
        """(B, 1, H, W) -> (B, 1, H, W), and no levels."""
        return noisy - self.noise(noisy), None
