"""Validation judges a network by the very path that `denoise` takes, and leaves it as it was."""

import numpy as np
import pytest
import torch

from xray_denoise import nets
from xray_denoise.denoisers.blind import BlindDenoiser
from xray_denoise.denoisers.told import ToldDenoiser
from xray_denoise.physics import metrics
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.scale import MID_GREY
from xray_denoise.training.patches import NoiseRange, WideRange
from xray_denoise.training.validation import LEVELS, ValidationSet, levels_for

IMAGES = [np.random.default_rng(seed).integers(40, 220, (70, 83)).astype(np.uint8) for seed in range(2)]


def test_blind_networks_are_judged_as_they_denoise() -> None:
    torch.manual_seed(0)
    net = nets.build("lite", level="std").train()
    cases = ValidationSet.blind(IMAGES, seed=3)
    found = cases(net)
    assert net.training
    denoise = BlindDenoiser(net.eval())
    results = [denoise(case.noisy) for case in cases.cases]
    decibels = [metrics.psnr(one.image, image) for one, image in zip(results, IMAGES, strict=True)]
    assert found.psnr == pytest.approx(np.mean(decibels), abs=1e-9)
    assert found.parts == {}
    errors = [
        abs(one.level.effective_sigma(MID_GREY) / case.noise.deviation_at(MID_GREY) - 1)
        for one, case in zip(results, cases.cases, strict=True)
        if one.level
    ]
    assert len(errors) == len(IMAGES)
    assert found.level_error == pytest.approx(np.mean(errors), abs=1e-9)


def test_the_noise_of_a_validation_is_that_of_the_training() -> None:
    assert levels_for(NoiseRange()) == levels_for(WideRange()) == LEVELS
    levels = levels_for(NoiseRange((20, 50), (0, 3)))
    assert levels == (NoiseLevel(25, 2.5), NoiseLevel(35, 1.5), NoiseLevel(45, 0.5))
    cases = ValidationSet.blind(IMAGES, 3, levels).cases
    assert [case.noise for case in cases] == list(levels[:2])
    for case in cases:  # of 5810 pixels the deviation errs by 1 %
        measured = float(np.std(case.noisy - case.clean))
        assert measured == pytest.approx(float(case.noise.deviation_at(float(case.clean.mean()))), rel=0.05)


def test_networks_that_are_told_the_noise_are_told_the_truth() -> None:
    torch.manual_seed(0)
    net = nets.build("profile-unet", widths=(8, 8, 8, 8), blocks=(1, 1, 1, 1))
    torch.nn.init.normal_(net.correction.weight, std=0.05)
    cases = ValidationSet.told(IMAGES, seed=3)
    found = cases(net)
    denoise = ToldDenoiser(net.eval())
    expected = {
        part: np.mean(
            [metrics.psnr(denoise(one.noisy, one.noise).image, one.clean) for one in cases.cases if one.part == part]
        )
        for part in ("val_weak", "val_strong")
    }
    assert found.parts == pytest.approx(expected, abs=1e-9)
    assert found.psnr == pytest.approx(np.mean(list(expected.values())), abs=1e-9)
    assert found.level_error is None
    for part, options in (("val_weak", {"strong": False}), ("val_strong", {"weak": False})):
        assert ValidationSet.told(IMAGES, seed=3, **options)(net).parts == {part: found.parts[part]}
    blind = ValidationSet.blind(IMAGES, seed=3)(net)
    assert blind.level_error is None, "the level is estimated by no network here"
