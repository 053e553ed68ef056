"""The training loss of X-BDCNN (Yin et al., Eq. 8): MSE + SSIM + asymmetric + total variation.

Images are (B, 1, H, W), grey level / 255; level maps are (B, 2, H, W) or (B, 2, 1, 1). Every term is a mean.
"""

import functools
from dataclasses import dataclass

import pytorch_msssim
import torch
import torch.nn.functional as F
from torch import Tensor

from xray_denoise.scale import GREY_MAX

SMALLEST_ERROR = 0.03 / GREY_MAX
"""Root mean square error of a patch below which there is nothing to gain, grey level / 255."""

DETAIL = 9
"""Side of the square whose mean is no fine structure, pixels."""

VISIBLE = 6.0
"""Detectability d' at which a detail counts half."""

STRONG = 8.0 / GREY_MAX
"""Deviation of the noise at which lost details count half, grey level / 255: under stronger noise a network that is
punished for what it loses invents bright specks."""

USUAL = 0.45
"""Deviation, grey levels, of the noise of which a denoiser usually leaves half the power. Of stronger noise it leaves
a smaller share."""

ALPHA = 0.3
"""Weight of the squared error where a level is over-estimated; 1 - ALPHA where it is under-estimated."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much each term counts."""

    mse: float = 0.4
    ssim: float = 0.6
    asymmetric: float = 0.5
    tv: float = 0.05


@dataclass(frozen=True, slots=True)
class Loss:
    """The terms before weighting, and their weighted sum; each a scalar tensor."""

    total: Tensor
    mse: Tensor
    ssim: Tensor
    """1 - SSIM."""
    asymmetric: Tensor
    tv: Tensor


def asymmetric_loss(estimated: Tensor, true: Tensor) -> Tensor:
    """Squared error of the level that punishes under-estimation harder, because noise left in is worse than blur.

    mean(|ALPHA - [estimated < true]| * (estimated - true)^2): one minimum, at the true level.

    Reference:
        Guo et al., CBDNet, CVPR 2019, Eq. 4; Yin et al., Eq. (6).
    """
    weight = torch.where(estimated < true, 1 - ALPHA, ALPHA)
    return (weight * (estimated - true).square()).mean()


def total_variation_loss(levels: Tensor) -> Tensor:
    """mean((dh l)^2) + mean((dv l)^2): level maps should be smooth (Yin et al., Eq. 7). 0 for 1x1 maps."""
    vertical = levels.diff(dim=2).square()
    horizontal = levels.diff(dim=3).square()
    return sum((term.mean() for term in (vertical, horizontal) if term.numel()), levels.new_zeros(()))


def ssim(estimate: Tensor, clean: Tensor) -> Tensor:
    """Mean SSIM with an 11x11 Gaussian window of sigma 1.5, data range 1, wherever the whole window fits.

    Reference:
        Wang et al., "Image quality assessment", 2004.
    """
    window = _gaussian_window(estimate.device, estimate.dtype)
    value: Tensor = pytorch_msssim.ssim(estimate, clean, data_range=1.0, win=window)
    return value


@functools.cache
def _gaussian_window(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, 1, 1, 11), of sum 1; made once for each device, as a copy at every step would make a GPU wait."""
    offsets = torch.arange(-5.0, 6.0, dtype=torch.float64)
    weights = torch.exp(-offsets.square() / (2 * 1.5**2))
    return (weights / weights.sum()).to(device, dtype)[None, None, None]


def denoising_loss(
    restored: Tensor, levels: Tensor | None, clean: Tensor, true_levels: Tensor | None, weights: LossWeights
) -> Loss:
    """The loss of one batch.

    Args:
        restored: the network's estimate of `clean`, (B, 1, H, W).
        levels: the estimated level maps, (B, 2, H, W) or (B, 2, 1, 1); None: their terms are 0.
        clean: noise-free patches, (B, 1, H, W).
        true_levels: encoded true levels, (B, 2, 1, 1), where `levels` are given.
        weights: how much each term counts; the SSIM is not computed where it counts nothing, and is then 0.
    """
    mse = (restored - clean).square().mean()
    none = mse.new_zeros(())
    structure = 1 - ssim(restored, clean) if weights.ssim else none
    asymmetric = variation = none
    if levels is not None and true_levels is not None:
        asymmetric, variation = asymmetric_loss(levels, true_levels), total_variation_loss(levels)
    total = weights.mse * mse + weights.ssim * structure + weights.asymmetric * asymmetric + weights.tv * variation
    return Loss(total, mse, structure, asymmetric, variation)


def decibel_loss(restored: Tensor, target: Tensor, details: Tensor, deviation: Tensor, lost: float) -> Loss:
    """Mean over patches of the logarithm of their squared error: a decibel counts alike at every noise level.

    The squared error that is usual under a noise is added before the logarithm is taken. A smooth patch has a smaller
    error, and without this a decibel of it would count more than it does in a whole image.

    Args:
        restored: (B, 1, P, P), grey level / 255.
        target: likewise.
        details: what was inserted into the patches, likewise; 0 where nothing was.
        deviation: (B,), of the noise of each patch, grey level / 255.
        lost: weight of the share of an inserted detail that is lost: the square of what a matched filter for its fine
            structure finds of it in the error, next to 1. Details that white noise of this deviation would hide count
            less: an ideal observer's d'^2 / (d'^2 + `VISIBLE`^2); and all do under noise stronger than `STRONG`.
    """
    error = restored - target
    squares = error.square().mean(dim=(1, 2, 3))
    usual = deviation.square() * USUAL / (USUAL + deviation * GREY_MAX)
    total = (squares + usual + SMALLEST_ERROR**2).log().mean()
    gone = squares.new_zeros(())
    if lost:
        fine = details - F.avg_pool2d(details, DETAIL, 1, DETAIL // 2, count_include_pad=False)
        energy = (details * fine).sum(dim=(1, 2, 3))
        share = (error * fine).sum(dim=(1, 2, 3)) / energy.clamp_min(1e-12)
        visible = energy / (energy + (VISIBLE * deviation).square() + 1e-12)
        weak = 1 / (1 + (deviation / STRONG) ** 4)
        gone = (share.clamp(-1, 1).square() * visible * weak).mean()
        total = total + lost * gone
    none = squares.new_zeros(())
    return Loss(total, squares.mean(), none, gone, none)
