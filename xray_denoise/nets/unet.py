"""The residual U-Net that X-BDCNN denoises with (Yin et al., Fig. 1)."""

import torch.nn.functional as F
from torch import Tensor, nn

from xray_denoise.nets.blind import conv3, conv3_relu


class UNet(nn.Module):
    """Predict the correction of an image from the image and what is known of its noise.

    Input   (B, `inputs`, H, W), H and W multiples of 4.
    Output  (B, `outputs`, H, W), to be added to the image.

    Three scales of a, b and c channels with 2 + 3 + 6 + 3 + 2 convolutions of 3x3 (each with a ReLU) and a
    closing linear one: 17 in all. Average pooling goes down, 2x2 transposed convolutions go up, skips are added.
    """

    radius = 44
    """2 + 2*3 + 4*6 + 2*3 + 3 = 41 pixels by the convolutions, and 3 by the four-pixel blocks of the pooling."""

    def __init__(self, inputs: int, outputs: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.down_fine = conv3_relu(inputs, fine, 2)
        self.down_middle = conv3_relu(fine, middle, 3)
        self.coarse = conv3_relu(middle, coarse, 6)
        self.to_middle = nn.ConvTranspose2d(coarse, middle, 2, stride=2)
        self.up_middle = conv3_relu(middle, middle, 3)
        self.to_fine = nn.ConvTranspose2d(middle, fine, 2, stride=2)
        self.up_fine = conv3_relu(fine, fine, 2)
        self.correction = conv3(fine, outputs)
        nn.init.zeros_(self.correction.weight)  # a fresh network changes nothing

    def forward(self, known: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        fine = self.down_fine(known)
        middle = self.down_middle(F.avg_pool2d(fine, 2))
        coarse = self.coarse(F.avg_pool2d(middle, 2))
        middle = self.up_middle(self.to_middle(coarse).add_(middle))
        fine = self.up_fine(self.to_fine(middle).add_(fine))
        correction: Tensor = self.correction(fine)
        return correction
