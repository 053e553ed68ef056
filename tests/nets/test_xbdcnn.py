"""X-BDCNN and its light relative against a second, independent account of the same networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xray_denoise import nets
from xray_denoise.nets.blind import BlindNet
from xray_denoise.nets.cost import multiply_adds_per_pixel, parameters
from xray_denoise.nets.level import LevelEncoding


class Pen:
    """Writes a network down as functional calls, taking its weights in the order in which they were made."""

    def __init__(self, net: BlindNet) -> None:
        self._weights = iter(net.state_dict().values())

    def conv(self, image: Tensor, *, relu: bool = True) -> Tensor:
        out = F.conv2d(image, next(self._weights), next(self._weights), padding=1)
        return out.relu() if relu else out

    def convs(self, image: Tensor, count: int) -> Tensor:
        for _ in range(count):
            image = self.conv(image)
        return image

    def up(self, image: Tensor) -> Tensor:
        return F.conv_transpose2d(image, next(self._weights), next(self._weights), stride=2)

    def finished(self) -> bool:
        return next(self._weights, None) is None


def unet(pen: Pen, known: Tensor) -> Tensor:
    """Yin et al., Fig. 1, the denoising subnetwork: 2 | 3 | 6 | 3 | 2 convolutions and a linear one."""
    s1 = pen.convs(known, 2)
    s2 = pen.convs(F.avg_pool2d(s1, 2), 3)
    bottom = pen.convs(F.avg_pool2d(s2, 2), 6)
    # the transposed convolutions were made before the convolutions that follow them
    middle = pen.convs(pen.up(bottom) + s2, 3)
    return pen.conv(pen.convs(pen.up(middle) + s1, 2), relu=False)


def randomised(net: BlindNet) -> BlindNet:
    """The network with all weights drawn, the closing layer included, that begins at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return net.double().eval()


@pytest.fixture
def noisy() -> Tensor:
    return torch.rand(2, 1, 24, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_forward_pass_equals_the_paper_written_as_functions(noisy: Tensor) -> None:
    net = randomised(nets.build("x-bdcnn"))
    pen = Pen(net)
    c1 = pen.conv(noisy)
    levels = pen.conv(pen.convs(c1, 3) + c1)
    restored = noisy + unet(pen, torch.cat([noisy, levels], dim=1))
    assert pen.finished()
    with torch.no_grad():
        ours, our_levels = net(noisy)
    torch.testing.assert_close(our_levels, levels, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, restored, rtol=1e-12, atol=1e-12)
    assert (ours - noisy).abs().max() > 1e-3, "random weights should change the image"


def test_light_network_equals_its_description(noisy: Tensor) -> None:
    net = randomised(nets.build("lite"))
    pen = Pen(net)
    quarters = torch.stack([noisy[:, 0, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=1)
    levels = pen.conv(pen.convs(quarters, 4)).mean(dim=(2, 3), keepdim=True)
    correction = unet(pen, torch.cat([quarters, levels.expand(-1, -1, 12, 20)], dim=1))
    restored = noisy.clone()
    for channel, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        restored[:, 0, i::2, j::2] += correction[:, channel]
    assert pen.finished()
    with torch.no_grad():
        ours, our_levels = net(noisy)
    torch.testing.assert_close(our_levels, levels, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, restored, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "parameter_count", "multiply_adds"),
    [("x-bdcnn", 4_363_171, 563_296), ("lite", 2_471_222, 83_304)],
)
def test_cost(name: str, parameter_count: int, multiply_adds: int) -> None:
    """By hand for X-BDCNN: 28 512 of the estimator and 534 784 of the denoiser, over 1, 4 and 16 pixels."""
    net = nets.build(name)
    assert parameters(net) == parameter_count
    assert multiply_adds_per_pixel(net) == multiply_adds


@pytest.mark.parametrize("name", list(nets.NETS))
def test_fresh_network_changes_nothing_and_expects_mid_noise(name: str) -> None:
    net = nets.build(name)
    flat = torch.full((1, 1, 64, 64), 0.5)
    with torch.no_grad():
        restored, levels = net(flat)
    assert torch.equal(restored, flat)
    assert (levels > 0).all(), "a dead estimator never learns"


@pytest.mark.parametrize("name", list(nets.NETS))
def test_nothing_beyond_the_radius_is_seen(name: str) -> None:
    net = randomised(nets.build(name)).float()
    side = 2 * net.radius + 32
    image = torch.rand(1, 1, side, side, requires_grad=True)
    levels = torch.full((1, 2, 1, 1), 0.05) if net.global_level else net.estimate(image)
    restored = net.restore(image, levels)
    for offset in range(net.stride):
        row = side // 2 + offset
        (gradient,) = torch.autograd.grad(restored[0, 0, row, side // 2], image, retain_graph=True)
        rows = gradient[0, 0].abs().sum(dim=1).nonzero().flatten()
        assert int(rows.min()) >= row - net.radius
        assert int(rows.max()) <= row + net.radius
        assert len(rows) > net.radius, "it sees far more than a few pixels"


def test_level_encodings_and_back() -> None:
    eta, sigma = torch.tensor([0.4, 1.9]), torch.tensor([0.0, 20.0])
    paper = LevelEncoding.PAPER.encode(eta, sigma)
    assert paper.flatten(1).tolist() == [
        [pytest.approx(0.4), 0.0],
        [pytest.approx(1.9), pytest.approx(20 / 255)],
    ]
    std = LevelEncoding.STD.encode(eta, sigma)
    assert std[0, 0, 0, 0].item() == pytest.approx((1 / (255 * 0.4)) ** 0.5)
    for encoding, levels in ((LevelEncoding.PAPER, paper), (LevelEncoding.STD, std)):
        inverse_eta, back = encoding.decode(levels)
        torch.testing.assert_close(inverse_eta.flatten(), 1 / eta)
        torch.testing.assert_close(back.flatten(), sigma)


def test_standard_deviation_encoding_is_what_noise_at_white_has() -> None:
    """1 / sqrt(255 eta) is the deviation of Poisson(255 eta) / eta, over 255."""
    eta = 0.6
    encoded = LevelEncoding.STD.encode(torch.tensor([eta]), torch.tensor([0.0]))[0, 0, 0, 0].item()
    assert encoded == pytest.approx((255 / eta) ** 0.5 / 255)
