"""Each term of the loss: value, gradient, sign and minimum."""

import math

import pytest
import torch
from skimage.metrics import structural_similarity

from xray_denoise.training.loss import (
    LossWeights,
    asymmetric_loss,
    denoising_loss,
    ssim,
    total_variation_loss,
)


def images(seed: int, size: int = 24) -> torch.Tensor:
    return torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gradients_agree_with_finite_differences() -> None:
    restored, clean = images(0, 14).requires_grad_(), images(1, 14)
    levels = (torch.rand(2, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))).requires_grad_()
    true = torch.full((2, 2, 1, 1), 0.5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda image: (image - clean).square().mean(), restored)
    assert torch.autograd.gradcheck(lambda image: ssim(image, clean), restored, atol=1e-6)
    assert torch.autograd.gradcheck(lambda maps: asymmetric_loss(maps, true), levels)
    assert torch.autograd.gradcheck(total_variation_loss, levels)
    weights = LossWeights()
    assert torch.autograd.gradcheck(
        lambda image, maps: denoising_loss(image, maps, clean, true, weights).total,
        (restored, levels),
        atol=1e-6,
    )


@pytest.mark.parametrize(("estimate", "sign"), [(0.30, -1), (0.49, -1), (0.51, 1), (0.80, 1), (1.50, 1)])
def test_asymmetric_gradient_points_to_the_true_level_from_both_sides(estimate: float, sign: int) -> None:
    level = torch.full((1, 2, 4, 4), estimate, requires_grad=True)
    asymmetric_loss(level, torch.full((1, 2, 1, 1), 0.5)).backward()
    assert level.grad is not None
    assert (level.grad.sign() == sign).all()


def test_asymmetric_minimum_is_the_true_level_and_underestimation_costs_more() -> None:
    true = torch.full((1, 2, 1, 1), 0.5)
    candidates = torch.linspace(0, 1, 101)
    costs = torch.stack([asymmetric_loss(torch.full((1, 2, 3, 3), float(value)), true) for value in candidates])
    assert candidates[costs.argmin()].item() == pytest.approx(0.5, abs=1e-6)
    assert (costs[:51].diff() < 0).all(), "one minimum only"
    assert (costs[50:].diff() > 0).all()
    below, above = (asymmetric_loss(torch.full((1, 2, 3, 3), value), true).item() for value in (0.4, 0.6))
    assert below == pytest.approx(0.7 * 0.01, rel=1e-5)
    assert above == pytest.approx(0.3 * 0.01, rel=1e-5)


def test_total_variation_by_hand() -> None:
    ramp = torch.arange(4.0).expand(1, 2, 3, 4)  # steps of 1 across, none down
    assert total_variation_loss(ramp).item() == pytest.approx(1.0)
    assert total_variation_loss(2 * ramp.mT).item() == pytest.approx(4.0)
    assert total_variation_loss(torch.ones(1, 2, 1, 1)).item() == 0


def test_ssim_is_that_of_scikit_image() -> None:
    clean = images(3, 64)
    estimate = (clean + 0.1 * images(4, 64)).clamp(0, 1)
    reference = []
    for first, second in zip(clean, estimate, strict=True):
        _, local = structural_similarity(
            first[0].numpy(), second[0].numpy(), data_range=1.0, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        reference.append(local[5:-5, 5:-5].mean())  # where the window of 11 fits
    assert ssim(estimate, clean).item() == pytest.approx(sum(reference) / 2, abs=1e-9)


def test_total_is_the_weighted_sum_of_equation_8() -> None:
    restored, clean = images(5), images(6)
    levels, true = (
        torch.rand(2, 2, 24, 24, dtype=torch.float64),
        torch.full((2, 2, 1, 1), 0.4, dtype=torch.float64),
    )
    loss = denoising_loss(restored, levels, clean, true, LossWeights())
    by_hand = 0.4 * loss.mse + 0.6 * loss.ssim + 0.5 * loss.asymmetric + 0.05 * loss.tv
    assert loss.total.item() == pytest.approx(by_hand.item(), rel=1e-12)
    perfect = denoising_loss(clean, true, clean, true, LossWeights())
    assert math.isclose(perfect.total.item(), 0, abs_tol=1e-12)
    blind = denoising_loss(restored, None, clean, None, LossWeights())
    assert blind.total.item() == pytest.approx((0.4 * loss.mse + 0.6 * loss.ssim).item(), rel=1e-12)
    without_ssim = denoising_loss(restored, levels, clean, true, LossWeights(ssim=0))
    assert without_ssim.total.item() == pytest.approx((loss.total - 0.6 * loss.ssim).item(), rel=1e-12)
