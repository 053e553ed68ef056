"""Which of the two networks of a pair is used, and that nothing else happens to an image."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.nets.test_nets import randomised
from xray_denoise.nets.cost import multiply_adds_per_pixel
from xray_denoise.nets.profile_pair import ProfilePair
from xray_denoise.nets.profile_unet import ProfileUNet, noise_maps
from xray_denoise.physics.profile import KNOTS

SMALL = (4, 6, 8, 10)


@pytest.fixture(scope="module")
def pair() -> ProfilePair:
    torch.manual_seed(0)
    net = ProfilePair(SMALL, deviation=(5, 9), coloured=(1, 2))
    for part in (net.detectors, net.white):
        randomised(part)
    return net.float().eval()


def told(grey_levels: float, decibels: float = 0.0) -> tuple[Tensor, Tensor]:
    """An image, and the maps of noise of a deviation, whose lowest band is stronger by so much."""
    image = 0.2 + 0.6 * torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(1))
    powers = torch.tensor([[10 ** (decibels / 10), 1.0, 1.0, 1.0]])
    return image, noise_maps(image, torch.full((1, KNOTS), (grey_levels / 255) ** 2), powers)


@torch.no_grad()
def test_weak_and_coloured_noise_is_for_one_network_strong_white_noise_for_the_other(pair: ProfilePair) -> None:
    for grey_levels, decibels in ((0.5, 0.0), (5.0, 0.0), (20.0, 2.0), (20.0, -3.0)):
        image, maps = told(grey_levels, decibels)
        torch.testing.assert_close(pair(image, maps), pair.detectors(image, maps), rtol=0, atol=0)
    for grey_levels, decibels in ((9.0, 0.0), (25.0, 1.0), (25.0, -1.0)):
        image, maps = told(grey_levels, decibels)
        torch.testing.assert_close(pair(image, maps), pair.white(image)[0], rtol=0, atol=1e-6)


@torch.no_grad()
def test_in_between_the_results_are_blended_and_neither_end_is_a_jump(pair: ProfilePair) -> None:
    shares = []
    for grey_levels in np.geomspace(4.9, 9.1, 50):
        image, maps = told(float(grey_levels))
        share = float(pair.share(maps))
        expected = torch.lerp(pair.detectors(image, maps), pair.white(image)[0], share)
        torch.testing.assert_close(pair(image, maps), expected, rtol=0, atol=1e-5)
        shares.append(share)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert 0 <= min(np.diff(shares)) <= max(np.diff(shares)) < 0.05
    coloured = [float(pair.share(told(20.0, decibels)[1])) for decibels in np.linspace(0.9, 2.1, 50)]
    assert coloured[0] == 1
    assert coloured[-1] == 0
    assert -0.05 < min(np.diff(coloured)) <= max(np.diff(coloured)) <= 0


@torch.no_grad()
def test_windows_of_one_image_are_treated_as_the_whole_image_is(pair: ProfilePair) -> None:
    """A dark window whose own noise is weak, of an image whose noise is strong."""
    image, maps = told(3.0)
    strong = torch.tensor([20.0 / 255])
    torch.testing.assert_close(pair(image, maps, strong), pair.white(image)[0], rtol=0, atol=1e-6)
    assert not torch.equal(pair(image, maps, strong), pair(image, maps))


@torch.no_grad()
def test_each_image_of_a_batch_goes_its_own_way(pair: ProfilePair) -> None:
    cases = [told(1.0), told(7.0), told(20.0), told(20.0, 5.0)]
    image, maps = (torch.cat(ones) for ones in zip(*cases, strict=True))
    expected = torch.cat([pair(*case) for case in cases])
    torch.testing.assert_close(pair(image, maps), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_strong_white_noise_is_removed_in_32_bits_where_16_would_round_the_image(pair: ProfilePair) -> None:
    image, maps = told(20.0)
    exact = pair(image, maps)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(pair(image, maps), exact, rtol=0, atol=1e-6)
        assert pair.white(image)[0].dtype == torch.float32, "the sum of the image and a correction in 16 bits"
        assert abs(pair.white(image)[0] - exact).max() > 1e-4


@torch.no_grad()
def test_where_noise_is_not_clipped_the_network_for_detectors_is_used(pair: ProfilePair) -> None:
    image, maps = told(20.0)
    image[..., 24:] -= 0.5  # two thirds of these pixels lie below black
    found, detectors, white = pair(image, maps), pair.detectors(image, maps), pair.white(image.clamp(0, 1))[0]
    torch.testing.assert_close(found[..., 30:], detectors[..., 30:], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[..., :18], white[..., :18], rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_few_pixels_beyond_black_and_white_keep_their_distance(pair: ProfilePair) -> None:
    image, maps = told(20.0)
    image[..., 10, 10], image[..., 20, 30] = -2, 3
    seen = image.clamp(0, 1)
    torch.testing.assert_close(pair(image, maps) - image, pair.white(seen)[0] - seen, rtol=0, atol=1e-5)


def test_each_network_learns_from_its_own_patches(pair: ProfilePair) -> None:
    for grey_levels, part in ((1.0, "detectors"), (20.0, "white")):
        pair.requires_grad_().zero_grad()
        pair(*told(grey_levels)).square().mean().backward()
        moved = {name.split(".")[0] for name, one in pair.named_parameters() if one.grad is not None}
        assert moved == {part}
    pair.requires_grad_(False)


def test_an_image_costs_as_much_as_with_one_network(pair: ProfilePair) -> None:
    alone = ProfileUNet(SMALL)
    assert multiply_adds_per_pixel(pair) == multiply_adds_per_pixel(alone) > 0
