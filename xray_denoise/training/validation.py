"""How good a network is on images it is not trained on: whole images, fixed noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from xray_denoise.nets.blind import BlindNet, DenoisingNet
from xray_denoise.nets.level import WHITE
from xray_denoise.physics import metrics, noise
from xray_denoise.physics.levels import MID_GREY, measured_level

LEVELS = (noise.NoiseLevel(0.4, 15), noise.NoiseLevel(0.6, 10), noise.NoiseLevel(0.8, 5))
"""The worst, the middle and the best cell of Table II; the images take turns."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Means over the validation images."""

    psnr: float
    """dB, of the denoised images."""
    level_error: float | None
    """Relative error of the estimated standard deviation of the noise at mid-grey, absolute value, before any
    calibration; None where the network estimates no level."""


class ValidationSet:
    """Noise-free images with noise drawn once, so every call sees the same pixels.

    Args:
        images: (H, W), 8-bit grey; each is cut to a multiple of 8 pixels at the bottom and the right.
        seed: of the noise.
        size: side of the middle part of each image that is looked at, pixels; None looks at the whole.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]], seed: int = 0, size: int | None = None) -> None:
        self._pairs: list[tuple[noise.NoiseLevel, NDArray[np.uint8], NDArray[np.float32]]] = []
        for index, image in enumerate(images):
            top, left = (max(0, (side - (size or side)) // 2) for side in image.shape)
            height, width = (min(side, size or side) // 8 * 8 for side in image.shape)
            clean = image[top : top + height, left : left + width]
            level = LEVELS[index % len(LEVELS)]
            noisy = noise.add_noise(clean, level, np.random.default_rng((seed, index)))
            self._pairs.append((level, clean, noisy))

    def __len__(self) -> int:
        return len(self._pairs)

    @torch.no_grad()
    def __call__(self, net: DenoisingNet) -> Validation:
        """Denoise every image with `net` on the device that it is on, in 32-bit floats."""
        was_training, device = net.training, next(net.parameters()).device
        net.eval()
        decibels, errors = [], []
        for level, clean, noisy in self._pairs:
            batch = torch.from_numpy(noisy / np.float32(WHITE))[None, None].to(device)
            restored, levels = net(batch.contiguous(memory_format=torch.channels_last))
            decibels.append(metrics.psnr(restored[0, 0].float().cpu().numpy() * WHITE, clean))
            if not isinstance(net, BlindNet) or levels is None:
                continue
            inverse_eta, sigma = net.encoding.decode(levels.float())
            grey = restored[:, 0].float() * WHITE
            deviation = (grey.clamp_min(0) * inverse_eta + sigma.square()).sqrt()
            estimated = measured_level(noisy, grey[0].cpu().numpy(), deviation[0].cpu().numpy())
            errors.append(abs(estimated.effective_sigma(MID_GREY) / level.effective_sigma(MID_GREY) - 1))
        net.train(was_training)
        return Validation(float(np.mean(decibels)), float(np.mean(errors)) if errors else None)
