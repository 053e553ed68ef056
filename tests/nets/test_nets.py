"""Every network against a second, independent account of it, written as functions."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xray_denoise import nets
from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.nets.cost import multiply_adds_per_pixel, parameters
from xray_denoise.nets.level_encoding import LevelEncoding


class Pen:
    """Writes a network down as functional calls, taking its weights in the order in which they were made."""

    def __init__(self, net: DenoisingNet) -> None:
        self._weights = iter(net.state_dict().values())

    def conv(self, image: Tensor, *, relu: bool = True, padding: int = 1) -> Tensor:
        out = F.conv2d(image, next(self._weights), next(self._weights), padding=padding)
        return out.relu() if relu else out

    def conv_bn(self, image: Tensor) -> Tensor:
        """A convolution, the normalisation by stored means and variances written out, a ReLU."""
        out = self.conv(image, relu=False)
        scale, shift, mean, variance = (next(self._weights)[:, None, None] for _ in range(4))
        next(self._weights)  # how many batches were seen
        return (scale * (out - mean) / (variance + 1e-5).sqrt() + shift).relu()

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


def randomised(net: DenoisingNet) -> DenoisingNet:
    """The network with all weights drawn, the closing layer included, that begins at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
        for layer in (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)):
            layer.weight.add_(1)
            layer.running_mean.copy_(torch.randn(layer.running_mean.shape, generator=generator) * 0.05)
            layer.running_var.copy_(torch.rand(layer.running_var.shape, generator=generator) + 0.5)
    return net.double().eval()


def check(net: DenoisingNet, pen: Pen, noisy: Tensor, restored: Tensor) -> None:
    """The network gives `restored`, and the pen has used all of its weights."""
    assert pen.finished()
    with torch.no_grad():
        ours, levels = net(noisy)
    assert levels is None
    torch.testing.assert_close(ours, restored, rtol=1e-12, atol=1e-12)
    assert (ours - noisy).abs().max() > 1e-3, "random weights should change the image"


@pytest.fixture
def noisy() -> Tensor:
    return torch.rand(2, 1, 24, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", ["x-bdcnn", "cbdnet"])
def test_forward_pass_equals_the_paper_written_as_functions(name: str, noisy: Tensor) -> None:
    net = randomised(nets.build(name))
    pen = Pen(net)
    c1 = pen.conv(noisy)
    c4 = pen.convs(c1, 3)
    levels = pen.conv(c4 + c1 if name == "x-bdcnn" else c4)
    restored = noisy + unet(pen, torch.cat([noisy, levels], dim=1))
    assert pen.finished()
    with torch.no_grad():
        ours, our_levels = net(noisy)
    torch.testing.assert_close(our_levels, levels, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, restored, rtol=1e-12, atol=1e-12)
    assert (ours - noisy).abs().max() > 1e-3, "random weights should change the image"


def test_network_without_levels_equals_its_description(noisy: Tensor) -> None:
    net = randomised(nets.build("x-bdcnn-no-nle"))
    pen = Pen(net)
    check(net, pen, noisy, noisy + unet(pen, noisy))


@pytest.mark.parametrize("depth", [17, 20])
def test_dncnn_equals_its_description(depth: int, noisy: Tensor) -> None:
    net = randomised(nets.build("dncnn", depth=depth))
    pen = Pen(net)
    features = pen.conv(noisy)
    for _ in range(depth - 2):
        features = pen.conv_bn(features)
    check(net, pen, noisy, noisy - pen.conv(features, relu=False))


def test_dncnn_begins_as_its_authors_do() -> None:
    """Zhang et al.: weights drawn from N(0, 2 / (9 * 64)) wherever 64 channels come in."""
    torch.manual_seed(0)
    weight = nets.build("dncnn").noise[1][0].weight.detach()
    assert weight.shape == (64, 64, 3, 3)
    assert float(weight.var()) == pytest.approx(2 / (9 * 64), rel=5 * (2 / weight.numel()) ** 0.5)


def test_xrecnn_equals_its_description(noisy: Tensor) -> None:
    net = randomised(nets.build("x-recnn"))
    pen = Pen(net)
    features = torch.cat([pen.conv(noisy, padding=padding) for padding in (1, 2, 3)], dim=1)
    assert features.shape[1] == 64
    for _ in range(10):
        features = pen.conv_bn(features)
    check(net, pen, noisy, noisy - pen.conv(features, relu=False))


def test_skidnet_equals_its_description(noisy: Tensor) -> None:
    net = randomised(nets.build("skidnet"))
    pen = Pen(net)
    l1 = pen.conv_bn(noisy)
    l3 = pen.conv_bn(pen.conv_bn(l1)) + l1
    pooled = F.max_pool2d(l3, 2)
    l6 = pen.conv_bn(pen.conv_bn(pooled)) + pooled
    pooled = F.max_pool2d(l6, 2)
    l9 = pen.conv_bn(pen.conv_bn(pooled)) + pooled
    features = pen.conv_bn(F.max_pool2d(l9, 2))
    for encoder in (l9, l6, l3):
        up = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        features = pen.conv_bn(pen.conv_bn(torch.cat([up, encoder], dim=1))) + up
    check(net, pen, noisy, noisy + pen.conv(features, relu=False, padding=3))


def test_light_network_equals_its_description(noisy: Tensor) -> None:
    net = randomised(nets.build("lite"))
    pen = Pen(net)
    quarters = torch.stack([noisy[:, 0, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=1)
    single = pen.conv(pen.convs(quarters, 4))
    levels = torch.empty_like(single)
    for row in range(12):
        for column in range(20):
            around = single[:, :, max(0, row - 12) : row + 13, max(0, column - 12) : column + 13]
            levels[:, :, row, column] = around.mean(dim=(2, 3))
    correction = unet(pen, torch.cat([quarters, levels], dim=1))
    restored = noisy.clone()
    for channel, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        restored[:, 0, i::2, j::2] += correction[:, channel]
    assert pen.finished()
    with torch.no_grad():
        ours, our_levels = net(noisy)
    levels = levels.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(our_levels, levels, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, restored, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "parameter_count", "multiply_adds"),
    [
        ("x-bdcnn", 4_363_171, 563_296),
        ("cbdnet", 4_363_171, 563_296),
        ("x-bdcnn-no-nle", 4_333_377, 533_632),
        ("dncnn", 668_225, 664_704),
        ("x-recnn", 372_897, 370_912),
        ("skidnet", 289_473, 122_960),
        ("lite", 2_471_222, 83_304),
        ("profile-unet", 2_755_204, 82_728),
    ],
)
def test_cost(name: str, parameter_count: int, multiply_adds: int) -> None:
    """By hand for X-BDCNN: 28 512 of the estimator and 534 784 of the denoiser, over 1, 4 and 16 pixels.

    Of the profile U-Net 21 816 + 11 520 + 5 376 + 5 568 on the way down, and 4 992 + 11 136 + 22 320 on the way up.
    """
    net = nets.build(name)
    assert parameters(net) == parameter_count
    assert multiply_adds_per_pixel(net) == multiply_adds
    assert net.training


def test_dncnn_of_17_layers_is_the_smaller_one() -> None:
    assert parameters(nets.build("dncnn", depth=17)) == 557_057


def test_cost_is_counted_without_a_trace() -> None:
    net = nets.build("dncnn")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    multiply_adds_per_pixel(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["x-bdcnn", "x-bdcnn-no-nle", "cbdnet", "skidnet", "lite"])
def test_fresh_network_changes_nothing_and_expects_mid_noise(name: str) -> None:
    net = nets.build(name)
    flat = torch.full((1, 1, 64, 64), 0.5)
    with torch.no_grad():
        restored, levels = net(flat)
    assert torch.equal(restored, flat)
    assert levels is None or (levels > 0).all(), "a dead estimator never learns"


@pytest.mark.parametrize("name", [name for name in nets.NETS if not name.startswith("profile")])
def test_nothing_beyond_the_radius_is_seen(name: str) -> None:
    """Looked at along the rows, so a narrow image will do."""
    net = randomised(nets.build(name))
    side = 2 * (net.radius + net.stride) + 32
    side += -side % net.stride
    width = 2 * max(net.stride, 8)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, side, width, generator=generator, dtype=torch.float64, requires_grad=True)
    restored, _ = net(image)
    for offset in range(net.stride):
        row = side // 2 + offset
        (gradient,) = torch.autograd.grad(restored[0, 0, row, width // 2], image, retain_graph=True)
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
