"""How good a network is on images it is not trained on: whole images, fixed noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from xray_denoise.nets.blind import BlindNet, DenoisingNet
from xray_denoise.nets.level import WHITE
from xray_denoise.nets.profile_unet import KNOTS, ProfileUNet, noise_maps
from xray_denoise.physics import metrics, noise
from xray_denoise.physics.levels import MID_GREY, measured_level
from xray_denoise.physics.profile import NoiseProfile

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
    parts: Mapping[str, float] = field(default_factory=dict)
    """Further figures by the name of their column in the history."""


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


def gaussian_kernel(width: float, gain: float = 0.0) -> NDArray[np.float64]:
    """Kernel of unit energy, 11x11: a Gaussian of a standard deviation of `width` pixels, sharpened by `gain`."""
    offsets = np.arange(-5.0, 6.0)

    def gaussian(deviation: float) -> NDArray[np.float64]:
        line = np.exp(-(offsets**2) / (2 * deviation**2))
        return np.asarray(np.outer(line, line) / line.sum() ** 2)

    kernel = (1 + gain) * gaussian(width) - gain * gaussian(2 * width)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()))


WEAK = (
    ("white", 1.0, np.ones((1, 1))),
    ("blurred", 2.0, gaussian_kernel(0.8)),
    ("sharpened", 4.0, gaussian_kernel(0.9, 1.5)),
    ("white", 3.0, np.ones((1, 1))),
)
"""Noise of detectors to validate on: name, standard deviation in grey levels, kernel; the images take turns."""


class ToldValidationSet:
    """Noise-free images under the noise of detectors and of the paper, drawn once; the network is told the truth.

    Args:
        images: (H, W), 8-bit grey, with sides of at least 64.
        seed: of the noise.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]], seed: int = 0) -> None:
        self._cells: list[tuple[str, NDArray[np.float32], NDArray[np.float32], NoiseProfile]] = []
        for index, image in enumerate(images):
            rng = np.random.default_rng((seed, index))
            height, width = (side // 32 * 32 for side in image.shape)
            halves = image[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3), dtype=np.float32)
            _, deviation, kernel = WEAK[index % len(WEAK)]
            weak = NoiseProfile(np.array([0.0]), np.array([deviation]), kernel)
            self._cells.append(("val_weak", halves, halves + weak.draw(halves, rng), weak))
            level = LEVELS[index % len(LEVELS)]
            top, left = (max(0, (side - 512) // 2) // 16 * 16 for side in (height, width))
            middle = image[top : top + 512, left : left + 512].astype(np.float32)
            middle = middle[: middle.shape[0] // 16 * 16, : middle.shape[1] // 16 * 16]
            strong = NoiseProfile.of_level(level)
            self._cells.append(("val_strong", middle, noise.add_noise(middle, level, rng), strong))

    def __len__(self) -> int:
        return len(self._cells)

    @torch.no_grad()
    def __call__(self, net: DenoisingNet) -> Validation:
        """Denoise every image with `net` on the device that it is on, in 32-bit floats."""
        if not isinstance(net, ProfileUNet):
            raise TypeError("a network that is told the noise is needed")
        was_training, device = net.training, next(net.parameters()).device
        net.eval()
        found: dict[str, list[float]] = {}
        for name, clean, noisy, profile in self._cells:
            batch = torch.from_numpy(noisy / np.float32(WHITE))[None, None].to(device)
            variance = (profile.deviation_at(np.linspace(0, WHITE, KNOTS)) / WHITE) ** 2
            told = (torch.from_numpy(values).float()[None].to(device) for values in (variance, profile.band_powers()))
            restored = net(batch.contiguous(memory_format=torch.channels_last), noise_maps(batch, *told))
            found.setdefault(name, []).append(metrics.psnr(restored[0, 0].cpu().numpy() * WHITE, clean))
        net.train(was_training)
        parts = {name: float(np.mean(decibels)) for name, decibels in found.items()}
        return Validation(float(np.mean(list(parts.values()))), None, parts)
