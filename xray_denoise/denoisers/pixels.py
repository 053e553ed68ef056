"""What is done to every pixel around a network, where the pixels are: on a GPU at once, on the CPU in strips.

A strip stays in the cache of a core; whole images would go through memory once for each term of a formula.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xray_denoise.nets.level_encoding import LevelEncoding, noise_variance
from xray_denoise.physics.noise_fit import NoiseStatistics, grid_step, sums_of
from xray_denoise.scale import GREY_MAX

STRIP = 2**15
"""Pixels of a strip: 128 KiB for a term of 32 bits, and no more than torch gives to one thread."""


def to_network_scale(image: Tensor) -> Tensor:
    """What a network is shown, (H, W), grey level / 255: what lies outside 0..1 is shown as 0 or 1."""
    seen = torch.empty_like(image)
    for rows in strips(image):
        torch.div(image[rows], GREY_MAX, out=seen[rows]).clamp_(0, 1)
    return seen


def pad_to_multiple(image: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column of (1, 1, H, W) until both sides are multiples of `stride`."""
    height, width = image.shape[2:]
    if height % stride == 0 and width % stride == 0:
        return image
    return F.pad(image, (0, -width % stride, 0, -height % stride), mode="replicate")


def apply_correction(image: Tensor, seen: Tensor, restored: Tensor) -> Tensor:
    """The image, grey levels, with the correction that was made to what was `seen` of it, all (H, W)."""
    found = torch.empty_like(image)
    for rows in strips(image):
        torch.sub(restored[rows], seen[rows], out=found[rows]).mul_(GREY_MAX).add_(image[rows])
    return found


def noise_deviation(clean: Tensor, levels: Tensor, encoding: LevelEncoding) -> Tensor:
    """Standard deviation of the noise at every pixel, grey levels: sqrt(g / eta + sigma^2), (B, H, W).

    Args:
        clean: (B, H, W), grey level / 255.
        levels: (B, 2, H, W) or (B, 2, 1, 1).
        encoding: what they mean.
    """
    found = torch.empty_like(clean)
    for rows in strips(clean):
        of_rows = rows if levels.shape[2] > 1 else slice(None)
        inverse_eta, sigma = encoding.decode(levels[:, :, of_rows].float())
        variance = noise_variance(clean[:, rows] * GREY_MAX, inverse_eta, sigma)
        found[:, rows] = variance.sqrt_() if variance.is_cuda else _rooted(variance)
    return found


def noise_statistics(seen: Tensor, denoised: Tensor, deviation: Tensor) -> Tensor:
    """`NoiseStatistics` of an image, (8,), 64-bit floats on its device.

    Args:
        seen: the image as the network saw it, (H, W), grey level / 255.
        denoised: (H, W), grey levels.
        deviation: standard deviation of the noise, (H, W), grey levels.
    """
    step = grid_step(denoised.numel())
    seen, denoised, deviation = (image[::step, ::step] for image in (seen, denoised, deviation))
    total = torch.zeros(len(NoiseStatistics._fields), dtype=torch.float64, device=denoised.device)
    total[0] = denoised.numel()
    for rows in strips(denoised):
        noisy = seen[rows] * GREY_MAX
        parts = sums_of(*(part.double() for part in (noisy, denoised[rows], deviation[rows])))
        total[1:] += torch.stack([part.double() for part in parts])
    return total


def _rooted(values: Tensor) -> Tensor:
    """Square roots by numpy: torch's would wake the threads of MKL for every strip, and wait for them."""
    return torch.from_numpy(np.sqrt(values.cpu().numpy()))


def strips(images: Tensor) -> Iterator[slice]:
    """Rows of (..., H, W) to work on at a time: some on the CPU, all elsewhere."""
    height, width = images.shape[-2:]
    rows = max(1, STRIP // width) if images.device.type == "cpu" else height
    return (slice(first, first + rows) for first in range(0, height, rows))
