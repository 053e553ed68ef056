"""What runs on CUDA, as far as it can be seen without: graphs, fused convolutions, 16 bits, threads."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.denoisers.test_network import denoiser, far_sighted, image
from xray_denoise import denoisers, nets
from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.cuda import KEPT, CudaGraphs, FusedConv, fused
from xray_denoise.denoisers.devices import choose_precision
from xray_denoise.denoisers.network import NetworkDenoiser
from xray_denoise.errors import XrayDenoiseError
from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.phantom import chest_phantom

Call = Callable[..., tuple[Tensor, ...]]
HAS_CUDA = torch.cuda.is_available()


class Recorder:
    """Captures as CUDA does: fixed inputs that are copied into, fixed outputs that are written over."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.replays = 0

    def __call__(self, call: Call, inputs: Sequence[Tensor], _pool: Any) -> Call:
        self.shapes.append(tuple(inputs[0].shape[2:]))
        mine, outputs = [one.clone() for one in inputs], call(*inputs)

        def replay(*given: Tensor) -> tuple[Tensor, ...]:
            self.replays += 1
            for one, new in zip(mine, given, strict=True):
                one.copy_(new)
            for one, new in zip(outputs, call(*mine), strict=True):
                one.copy_(new)
            return outputs

        return replay


def graphed(net: DenoisingNet, capture: Any, **options: Any) -> NetworkDenoiser:
    made = denoiser(net, **options)
    made._graphs = CudaGraphs(net, capture)
    return made


@pytest.mark.parametrize(("name", "tile"), [("x-bdcnn", 124), ("lite", 272), ("dncnn", None)])
def test_replays_change_nothing(name: str, tile: int | None) -> None:
    """Outputs that the next replay writes over have been taken by then: windows, batches and levels."""
    net, capture = far_sighted(name), Recorder()
    plain, replayed = denoiser(net, tile=tile), graphed(net, capture, tile=tile)
    for seed in range(2):
        noisy = np.roll(image(*((274, 284) if name == "lite" else (61, 142))), 31 * seed)
        one, other = plain(noisy), replayed(noisy)
        np.testing.assert_array_equal(other.image, one.image)
        if one.noise_map is not None and other.noise_map is not None:
            np.testing.assert_array_equal(other.noise_map, one.noise_map)
    assert capture.replays > 0


def test_only_sizes_that_come_back_are_captured_and_few_are_kept() -> None:
    net, capture = far_sighted("x-bdcnn"), Recorder()
    graphs = CudaGraphs(net, capture)
    sizes = [(16, 8 * (2 + number)) for number in range(3 * KEPT)]
    with torch.inference_mode():
        for size in sizes:
            graphs(torch.zeros(1, 1, *size))
        assert capture.shapes == [], "a folder of as many sizes as files captures none"
        for _ in range(3):
            graphs(torch.zeros(1, 1, *sizes[0]))
        assert (capture.shapes, capture.replays) == ([sizes[0]], 3)
        for size in sizes:
            graphs(torch.zeros(1, 1, *size))
        assert len(graphs._captures) == KEPT
        graphs.forget()
        assert not graphs._captures
        graphs(torch.zeros(1, 1, *sizes[0]))
        assert not graphs._captures, "after too little memory it begins anew"


def test_what_cannot_be_captured_is_launched() -> None:
    def unable(*_: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    def short(*_: Any) -> Any:
        raise torch.cuda.OutOfMemoryError

    net, noisy = far_sighted("x-bdcnn"), image(64, 64)
    expected, careful = denoiser(net)(noisy).image, graphed(net, unable)
    for _ in range(3):
        np.testing.assert_array_equal(careful(noisy).image, expected)
    graphs = CudaGraphs(net, short)
    graphs(torch.zeros(1, 1, 16, 16))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        graphs(torch.zeros(1, 1, 16, 16))


def test_too_little_memory_for_a_graph_halves_the_tile() -> None:
    def short(call: Call, inputs: Sequence[Tensor], pool: Any) -> Call:
        if inputs[0].shape[-1] > 200:
            raise torch.cuda.OutOfMemoryError
        return call

    net, noisy = far_sighted("x-bdcnn"), image(20, 256)
    expected, frugal = denoiser(net)(noisy).image, graphed(net, short)
    for _ in range(2):
        np.testing.assert_allclose(frugal(noisy).image, expected, rtol=1e-5)
    assert frugal.tile == 128


@pytest.mark.parametrize(("name", "pairs"), [("x-bdcnn", 20), ("lite", 21)])
def test_fused_convolutions_compute_the_same(name: str, pairs: int) -> None:
    net = far_sighted(name)
    copy = fused(net, torch.bfloat16)
    assert sum(isinstance(part, FusedConv) for part in copy.modules()) == pairs
    assert not any(isinstance(part, FusedConv) for part in net.modules())
    noisy = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        restored, _ = copy(noisy)
        expected, _ = net(noisy)
    assert restored.dtype == torch.float32, "the correction is added in 32 bits"
    assert (expected - noisy).abs().max() > 0.05
    assert (restored - expected).abs().max() < 2**-7 * (expected - noisy).abs().max()


def test_a_fusion_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    net = far_sighted("x-bdcnn")
    plain = FusedConv.forward
    monkeypatch.setattr(FusedConv, "forward", lambda self, features: plain(self, features) * 1.1)
    assert fused(net, torch.bfloat16) is net
    monkeypatch.setattr(FusedConv, "forward", lambda self, features: features.no_such_kernel())
    with pytest.raises(AttributeError):
        fused(net, torch.bfloat16)

    def missing(self: FusedConv, features: Tensor) -> Tensor:
        raise RuntimeError("GET was unable to find an engine to execute this computation")

    monkeypatch.setattr(FusedConv, "forward", missing)
    assert fused(net, torch.bfloat16) is net


@pytest.mark.parametrize(("name", "size"), [("x-bdcnn-wide", 64), ("lite", 160)])
def test_16_bits_lose_next_to_nothing(name: str, size: int) -> None:
    """At most 0.01 dB of a phantom in fp16. bf16 rounds grey levels above 127 to whole ones: up to 0.05 dB."""
    level = NoiseLevel(0.6, 10.0)
    clean = chest_phantom(size, rng=np.random.default_rng(0))
    noisy = add_noise(clean, level, np.random.default_rng(1))
    exact = psnr(denoisers.get(name, Runtime("cpu", engine="torch"))(noisy).image, clean)
    assert exact > psnr(noisy, clean) + 8
    for precision, loss in (("fp16", 0.01), ("bf16", 0.05)):
        rounded = denoisers.get(name, Runtime("cpu", precision, engine="torch"))
        assert isinstance(rounded, NetworkDenoiser)
        rounded._graphs = CudaGraphs(fused(rounded.net, rounded.dtype), Recorder())
        found = rounded(noisy)
        assert 0 < abs(psnr(found.image, clean) - exact) < loss
        assert found.image.dtype == np.float32


def test_what_is_too_large_for_the_precision_is_told() -> None:
    net = nets.build("x-bdcnn").eval()
    with torch.no_grad():
        net.level_estimator.last.bias.fill_(1e30)
    with pytest.raises(XrayDenoiseError, match="not numbers"):
        denoiser(net, dtype=torch.float16)(image(16, 16))
    assert choose_precision("auto", torch.device("cuda")) is torch.float16


def test_restored_images_have_32_bits_under_autocast() -> None:
    noisy = torch.rand(1, 1, 8, 8)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for name in nets.NETS:
            assert nets.build(name).eval()(noisy)[0].dtype == torch.float32, name


@pytest.mark.skipif(not HAS_CUDA, reason="needs a GPU")
@pytest.mark.parametrize("name", ["x-bdcnn-wide", "lite"])
def test_a_gpu_gives_the_picture_of_the_cpu(name: str) -> None:
    """Captured and not, of several sizes, from two threads at once."""
    noisy = [image(64 * (1 + number % 2), 100) for number in range(8)]
    expected = [denoisers.get(name, Runtime("cpu", engine="torch"))(one) for one in noisy]
    on_gpu = denoisers.get(name, Runtime("cuda", "fp32"))
    assert isinstance(on_gpu, NetworkDenoiser)
    found: dict[int, Any] = {}

    def work(first: int) -> None:
        for number in range(first, len(noisy), 2):
            found[number] = on_gpu(noisy[number])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, one in enumerate(expected):
        np.testing.assert_allclose(found[number].image, one.image, atol=0.02)
        assert found[number].level.sigma == pytest.approx(one.level.sigma, rel=1e-3)
