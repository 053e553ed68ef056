"""The network that is told the noise, against a second account of it, and what must hold whatever its weights are."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.nets.test_nets import Pen, randomised
from xray_denoise.nets.profile_unet import BOX, FLOOR, ProfileUNet, noise_maps
from xray_denoise.physics import profile
from xray_denoise.physics.profile import KNOTS

SMALL = (4, 6, 8, 10)


def told(count: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    variance = 1e-4 * (0.5 + torch.rand(count, KNOTS, generator=generator, dtype=torch.float64))
    return variance, 0.5 + torch.rand(count, len(profile.BANDS), generator=generator, dtype=torch.float64)


def noisy(height: int, width: int) -> Tensor:
    return torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def box_mean(image: Tensor) -> Tensor:
    """Mean over the pixels of the box that are inside of the image, from sums of a padded image and of ones."""
    ones = torch.ones(1, 1, BOX, BOX, dtype=image.dtype)
    total, count = (F.conv2d(one, ones, padding=BOX // 2) for one in (image, torch.ones_like(image)))
    return total / count


BLOCKS = [(1, 1, 1, 1), (2, 1, 3, 2)]


@pytest.mark.parametrize("blocks", BLOCKS)
def test_forward_pass_equals_its_description(blocks: tuple[int, int, int, int]) -> None:
    net = randomised(ProfileUNet(SMALL, blocks))
    image = noisy(48, 32)
    maps = noise_maps(image, *told())
    deviation, powers = maps[:, :1], maps[:, 1:]
    mean = box_mean(image)
    quarters = torch.stack([((image - mean) / (4 * deviation))[:, 0, y::2, x::2] for y in (0, 1) for x in (0, 1)], 1)
    halves = [F.avg_pool2d(one, 2) for one in (mean, deviation.log() / 4 + 1, powers / 2)]

    weights = dict(net.state_dict())
    names = list(weights)

    def pen(layer: str) -> Pen:
        made = Pen(net)
        made._weights = iter([weights[name] for name in names if name.startswith(f"{layer}.")])
        return made

    def residuals(features: Tensor, layer: str, count: int) -> Tensor:
        one = pen(layer)
        for _ in range(count):
            features = features + one.conv(one.conv(features), relu=False)
        assert one.finished()
        return features

    features = pen("first").conv(torch.cat([quarters, *halves], 1), relu=False)
    kept = []
    for level, count in enumerate(blocks):
        if level:
            weight, bias = (weights[f"halve.{level - 1}.{name}"] for name in ("weight", "bias"))
            blocked = [features[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)]
            features = (
                sum(
                    torch.einsum("bihw,oi->bohw", one, weight[:, :, index // 2, index % 2])
                    for index, one in enumerate(blocked)
                )
                + bias[:, None, None]
            )
        features = residuals(features, f"down.{level}", count)
        kept.append(features)
    features = kept.pop()
    for level, count in enumerate(blocks[2::-1]):
        features = residuals(pen(f"enlarge.{level}").up(features) + kept.pop(), f"up.{level}", count)
    correction = pen("correction").conv(features, relu=False)
    expected = image.clone()
    for channel, (y, x) in enumerate((y, x) for y in (0, 1) for x in (0, 1)):
        expected[:, 0, y::2, x::2] += correction[:, channel] * deviation[:, 0, y::2, x::2]
    with torch.no_grad():
        found = net(image, maps)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # its correction is added in 32 bits
    assert (found - image).abs().max() > 1e-3, "random weights should change the image"


def test_the_deviation_of_a_pixel_is_that_of_the_grey_level_around_it() -> None:
    image = noisy(20, 24)
    variance, powers = told()
    maps = noise_maps(image, variance, powers)
    grey = box_mean(image)[:, 0]
    for one in range(2):
        expected = np.sqrt(np.interp(grey[one], np.linspace(0, 1, KNOTS), variance[one]))
        np.testing.assert_allclose(maps[one, 0], expected, rtol=1e-9)
        assert (maps[one, 1:] == powers[one].log()[:, None, None]).all()
    beyond = noise_maps(torch.full((2, 1, 16, 16), 1.7, dtype=torch.float64), variance, powers)
    torch.testing.assert_close(beyond[:, 0, 0, 0], variance[:, -1].sqrt(), rtol=1e-9, atol=0)


def test_a_fresh_network_changes_nothing() -> None:
    net = ProfileUNet(SMALL)
    image = noisy(32, 32).float()
    maps = noise_maps(image, *(one.float() for one in told()))
    assert torch.equal(net(image, maps), image)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_nothing_beyond_the_radius_is_seen(blocks: tuple[int, int, int, int]) -> None:
    net = randomised(ProfileUNet(SMALL, blocks))
    side, width = 2 * (net.radius + net.stride) + 32, 2 * net.stride
    image = torch.rand(1, 1, side, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image.requires_grad_()
    variance, powers = told(1)
    restored = net(image, noise_maps(image, variance, powers))
    farthest = 0
    for offset in range(net.stride):
        row = side // 2 + offset
        (gradient,) = torch.autograd.grad(restored[0, 0, row, width // 2], image, retain_graph=True)
        rows = gradient[0, 0].abs().sum(dim=1).nonzero().flatten()
        assert int(rows.min()) >= row - net.radius
        assert int(rows.max()) <= row + net.radius
        farthest = max(farthest, row - int(rows.min()), int(rows.max()) - row)
    assert farthest > net.radius - net.stride, "the radius is not wider than it has to be"


def test_the_radius_of_the_default() -> None:
    """Of the sub-images 1 + 1 pixels, two blocks there and back, 2 (1 + 1) at a quarter, 4 (1 + 1) at an eighth."""
    sixteenth = 2 * 2 * 8 + 7  # two blocks, and the eight pixels of a sub-image that become one
    seen = 2 + 4 * 2 + 4 * 2 * 1 + 4 * 4 * 1 + sixteenth
    assert ProfileUNet().radius == 16 * math.ceil((2 * seen + 1 + BOX // 2) / 16) == 160


def test_weak_noise_looks_like_strong_noise_to_it() -> None:
    """The correction is in units of the noise, so that an image of half the contrast under half the noise gets half."""
    net = randomised(ProfileUNet(SMALL))
    for first in (net.first,):  # the grey level and the strength themselves are seen too: not by these weights
        with torch.no_grad():
            first.weight[:, 4:6] = 0
    image = 0.5 + 0.2 * (noisy(32, 32) - 0.5)
    weak = 0.5 + (image - 0.5) / 2
    variance = torch.full((2, KNOTS), 1e-3, dtype=torch.float64)
    powers = told()[1]
    with torch.no_grad():
        strong = net(image, noise_maps(image, variance, powers)) - image
        half = net(weak, noise_maps(weak, variance / 4, powers)) - weak
    torch.testing.assert_close(half, strong / 2, rtol=1e-5, atol=1e-7)
    assert (variance[0, 0] / 4).sqrt() > FLOOR


def test_16_bits_do_not_round_an_image_near_white_to_grey_levels() -> None:
    """bfloat16 has steps of one grey level there; a correction of noise of 0.3 grey levels stays right within 2 %."""
    torch.manual_seed(0)
    net = ProfileUNet((16, 16, 16, 16)).eval()
    with torch.no_grad():
        net.correction.weight.normal_(0, 0.05)
        image = (250 + 0.3 * torch.randn(1, 1, 64, 64)) / 255
        maps = noise_maps(image, torch.full((1, KNOTS), (0.3 / 255) ** 2), torch.ones(1, len(profile.BANDS)))
        exact = net(image, maps) - image
        with torch.autocast("cpu", torch.bfloat16):
            rounded = net(image, maps) - image
    assert exact.std() > 0.01 / 255
    assert (rounded - exact).std() < 0.02 * exact.std()
