"""How good a network is on images it is not trained on: whole images, fixed noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from xray_denoise.nets.blind import BlindNet
from xray_denoise.nets.level import WHITE
from xray_denoise.physics import metrics, noise

LEVELS = (noise.NoiseLevel(0.4, 15), noise.NoiseLevel(0.6, 10), noise.NoiseLevel(0.8, 5))
"""The worst, the middle and the best cell of Table II; the images take turns."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Means over the validation images."""

    psnr: float
    """dB, of the denoised images."""
    level_error: float
    """Relative error of the estimated standard deviation of the noise at mid-grey, absolute value."""


class ValidationSet:
    """Noise-free images with noise drawn once, so every call sees the same pixels.

    Args:
        images: (H, W), 8-bit grey; each is cut to a multiple of 8 pixels at the bottom and the right.
        seed: of the noise.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]], seed: int = 0) -> None:
        self._pairs: list[tuple[noise.NoiseLevel, NDArray[np.uint8], NDArray[np.float32]]] = []
        for index, image in enumerate(images):
            clean = image[: image.shape[0] // 8 * 8, : image.shape[1] // 8 * 8]
            level = LEVELS[index % len(LEVELS)]
            noisy = noise.add_noise(clean, level, np.random.default_rng((seed, index)))
            self._pairs.append((level, clean, noisy))

    def __len__(self) -> int:
        return len(self._pairs)

    @torch.no_grad()
    def __call__(self, net: BlindNet) -> Validation:
        """Denoise every image with `net` on the device that it is on, in 32-bit floats."""
        was_training, device = net.training, next(net.parameters()).device
        net.eval()
        decibels, errors = [], []
        for level, clean, noisy in self._pairs:
            batch = torch.from_numpy(noisy / np.float32(WHITE))[None, None].to(device)
            restored, levels = net(batch.contiguous(memory_format=torch.channels_last))
            decibels.append(metrics.psnr(restored[0, 0].float().cpu().numpy() * WHITE, clean))
            inverse_eta, sigma = net.encoding.decode(levels.float().mean(dim=(2, 3), keepdim=True))
            estimated = float((inverse_eta * WHITE / 2 + sigma.square()).sqrt())
            true = level.effective_sigma(WHITE / 2)
            errors.append(abs(estimated / true - 1))
        net.train(was_training)
        return Validation(float(np.mean(decibels)), float(np.mean(errors)))
