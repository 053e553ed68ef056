"""Arithmetic of 16 bits, and a GPU where there is one."""

import numpy as np
import pytest
import torch

from tests.denoisers.test_network import denoiser, image
from xray_denoise import denoisers, nets
from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.devices import choose_precision
from xray_denoise.errors import XrayDenoiseError
from xray_denoise.nets.profile_unet import ToldNet, noise_maps
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import KNOTS

HAS_CUDA = torch.cuda.is_available()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("x-bdcnn", 64), ("lite", 160), ("x-profile", 160)])
def test_16_bits_lose_next_to_nothing(name: str, size: int) -> None:
    """At most 0.01 dB of a phantom in fp16, or in bf16 for the network that was made for it; others see grey levels
    above 127 rounded to whole ones, and lose up to 0.05 dB."""
    level = (
        NoiseLevel(2.0, 3.0) if name == "x-profile" else NoiseLevel(0.6, 10.0)
    )  # stronger noise it removes in 32 bits
    clean = chest_phantom(size, rng=np.random.default_rng(0))
    noisy = add_noise(clean, level, np.random.default_rng(1))
    exact = psnr(denoisers.get(name, Runtime("cpu"))(noisy).image, clean)
    assert exact > psnr(noisy, clean) + 8
    for precision, loss in (("fp16", 0.01), ("bf16", 0.05)) if name != "x-profile" else (("bf16", 0.01),):
        found = denoisers.get(name, Runtime("cpu", precision))(noisy)
        assert 0 < abs(psnr(found.image, clean) - exact) < loss
        assert found.image.dtype == np.float32


def test_what_is_too_large_for_the_precision_is_told() -> None:
    net = nets.build("x-bdcnn").eval()
    with torch.no_grad():
        net.level_estimator.last.bias.fill_(1e30)
    with pytest.raises(XrayDenoiseError, match="NaN or infinity in fp16"):
        denoiser(net, dtype=torch.float16)(image(16, 16))
    assert choose_precision("auto", torch.device("cuda")) is torch.float16


def test_restored_images_have_32_bits_under_autocast() -> None:
    noisy = torch.rand(1, 1, 8, 8)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for name in nets.NETS:
            net = nets.build(name).eval()
            if not isinstance(net, ToldNet):
                assert net(noisy)[0].dtype == torch.float32, name
                continue
            larger = torch.rand(1, 1, 16, 16)
            maps = noise_maps(larger, torch.full((1, KNOTS), 1e-4), torch.ones(1, 4))
            assert net(larger, maps).dtype == torch.float32, name


@pytest.mark.skipif(not HAS_CUDA, reason="needs a GPU")
@pytest.mark.parametrize("name", ["x-bdcnn", "lite", "x-profile"])
def test_a_gpu_gives_the_picture_of_the_cpu(name: str) -> None:
    on_cpu, on_gpu = denoisers.get(name, Runtime("cpu")), denoisers.get(name, Runtime("cuda", "fp32"))
    for height in (64, 128):
        noisy = image(height, 100)
        expected, found = on_cpu(noisy), on_gpu(noisy)
        np.testing.assert_allclose(found.image, expected.image, atol=0.02)
        assert found.level is not None
        assert expected.level is not None
        assert found.level.sigma == pytest.approx(expected.level.sigma, rel=1e-3)
