"""Patches of the wide range: the noise that their labels say, in the shares that were asked for."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from xray_denoise.training.patches import Batch, NoiseRange, PatchSource, WideRange, blurred

CPU = torch.device("cpu")
PLAIN = WideRange(clean=0.0, negative=0.0, varied=0.0, bright=0.0, correlated=0.0)


def flat_patches(grey: int, noise: NoiseRange | WideRange, count: int = 200) -> Batch:
    source = PatchSource([np.full((80, 80), grey, np.uint8)], 32, noise, CPU)
    return source.draw(0, count, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("grey", [60, 180])
@pytest.mark.parametrize(("negative", "correlated"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_variance_is_what_the_labels_say(grey: int, negative: float, correlated: float) -> None:
    """Over 1024 pixels a variance is known to 4.4 %, correlated ones to twice that; means over the patches to 1.5 %.

    Only patches that clipping leaves alone are looked at.
    """
    batch = flat_patches(grey, dataclasses.replace(PLAIN, negative=negative, correlated=correlated))
    exposed = 255 - grey if negative else grey
    expected = exposed / batch.eta + batch.sigma**2
    found = (255 * (batch.noisy - batch.clean)).var(dim=(1, 2, 3))
    unclipped = 4 * expected.sqrt() < min(grey, 255 - grey)
    assert int(unclipped.sum()) > 30
    ratio = (found / expected)[unclipped]
    assert float(ratio.mean()) == pytest.approx(1, abs=0.03)
    assert float(ratio.std()) < 0.12


def test_noise_goes_down_to_none() -> None:
    batch = flat_patches(128, dataclasses.replace(PLAIN, clean=0.25), count=2000)
    quiet = (batch.noisy == batch.clean).all(dim=(1, 2, 3))
    assert torch.equal(quiet, batch.eta == math.inf)
    assert float(quiet.float().mean()) == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 2000) ** 0.5)
    assert (batch.sigma[quiet] == 0).all()
    inverse = 1 / batch.eta[~quiet]
    assert 0 <= float(inverse.min()) < 0.01
    assert 2.49 < float(inverse.max()) <= 2.5


@pytest.mark.parametrize("noise", [NoiseRange(bright=0.3), dataclasses.replace(PLAIN, bright=0.3)])
def test_some_patches_are_narrowed_towards_white(noise: NoiseRange | WideRange) -> None:
    """A field of 55 becomes 255 less 1/30 to 1 of 200, log-uniform; the rest stays."""
    clean = 255 * flat_patches(55, noise, count=2000).clean[:, 0, 0, 0]
    changed = (clean - 55).abs() > 0.01
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / 2000) ** 0.5)
    span = (255 - clean[changed]) / 200
    assert 1 / 30 <= float(span.min()) < 0.035
    assert 0.95 < float(span.max()) <= 1
    assert float(span.log().mean()) == pytest.approx(-math.log(30) / 2, abs=0.15)


def test_blurred_noise_keeps_its_variance_and_joins_neighbours() -> None:
    noise = torch.randn(3, 1, 400, 400, generator=torch.Generator().manual_seed(0))
    out = blurred(noise, torch.tensor([0.0, 0.4, 0.7]))
    assert torch.allclose(out[0], noise[0], atol=1e-6)
    neighbours = []
    for image in out[:, 0]:
        assert float(image.var()) == pytest.approx(1, abs=0.03)
        neighbours.append(float((image[:, 1:] * image[:, :-1]).mean()))
    assert abs(neighbours[0]) < 0.02
    for found, width in zip(neighbours[1:], (0.4, 0.7), strict=True):
        line = np.exp(-(np.arange(-2.0, 3.0) ** 2) / (2 * width**2))
        assert found == pytest.approx((line[1:] * line[:-1]).sum() / (line**2).sum(), abs=0.03)


def test_varied_patches_stay_inside_the_range_and_keep_half_of_the_span() -> None:
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None], 64, axis=0)
    source = PatchSource([ramp], 64, dataclasses.replace(PLAIN, varied=1.0), CPU)
    clean = source.draw(0, 300, torch.Generator().manual_seed(0)).clean
    spans = clean.amax(dim=(1, 2, 3)) - clean.amin(dim=(1, 2, 3))
    assert float(clean.min()) >= 0
    assert float(clean.max()) <= 1
    assert float(spans.min()) >= 0.5 * 252 / 255 * 0.98  # gamma 2 lowers the brightest of the ramp, 252, by 1 %
    assert float(spans.std()) > 0.05


def test_a_seed_repeats_a_wide_batch() -> None:
    first, second = (flat_patches(90, WideRange(), count=16) for _ in range(2))
    assert torch.equal(first.noisy, second.noisy)
