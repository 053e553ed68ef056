"""What every denoising network offers, and what those that know the noise level offer besides."""

import abc

import torch
from torch import Tensor, nn

from xray_denoise.nets.level_encoding import LevelEncoding


class DenoisingNet(nn.Module, abc.ABC):
    """A network that removes noise of any level in its range without being told the level.

    Images are (B, 1, H, W), grey level / 255, with H and W multiples of `stride`.
    """

    stride: int
    """H and W of an input must be multiples of this."""
    radius: int
    """No output pixel depends on an input pixel farther away than this."""
    shrink: int = 1
    """How many times shorter than the image its largest feature maps are along a side."""

    @abc.abstractmethod
    def forward(self, noisy: Tensor, *, joint: bool = True) -> tuple[Tensor, Tensor | None]:
        """The denoised image, (B, 1, H, W) of (B, 1, H, W), and the noise levels that were estimated on the way.

        A network without a level estimator gives None for the levels. With `joint` false no gradient flows from
        the denoised image back into the levels.
        """


class BlindNet(DenoisingNet):
    """A network that estimates the noise level of an image, then removes noise of that level."""

    encoding: LevelEncoding
    """The meaning of the two channels of a level map."""

    @abc.abstractmethod
    def estimate(self, noisy: Tensor) -> Tensor:
        """Noise level maps (B, 2, H, W) of (B, 1, H, W), >= 0."""

    @abc.abstractmethod
    def restore(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """Denoised (B, 1, H, W) of (B, 1, H, W), given levels (B, 2, H, W) or (B, 2, 1, 1)."""

    def forward(self, noisy: Tensor, *, joint: bool = True) -> tuple[Tensor, Tensor]:
        """Blind denoising: (B, 1, H, W) -> the denoised image, and the levels that `restore` was given."""
        levels = self.estimate(noisy)
        return self.restore(noisy, levels if joint else levels.detach()), levels


def conv(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    """Convolution of odd `size` with zero padding to the same shape and a bias, drawn for ReLU (He et al. 2015)."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution (see `conv`)."""
    return conv(inputs, outputs, 3)


def conv3_relu(inputs: int, outputs: int, count: int = 1) -> nn.Sequential:
    """`count` 3x3 convolutions, each followed by a ReLU; the first one changes the number of channels."""
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [conv3(inputs if index == 0 else outputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def conv3_bn_relu(inputs: int, outputs: int, count: int = 1) -> nn.Sequential:
    """`count` 3x3 convolutions, each followed by batch normalisation and a ReLU."""
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [conv3(inputs if index == 0 else outputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def start_levels(last: nn.Conv2d, encoding: LevelEncoding) -> None:
    """Let a level estimator begin at the middle of the paper's noise range.

    The bias starts well above zero, so the closing ReLU cannot die and leave the maps at zero for ever.
    """
    middle = encoding.encode(torch.tensor([0.8]), torch.tensor([10.0])).flatten()
    with torch.no_grad():
        last.weight.mul_(0.01)
        if last.bias is not None:
            last.bias.copy_(middle)
