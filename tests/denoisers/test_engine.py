"""OpenVINO gives the numbers of PyTorch, for every network, size and way of calling it."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.denoisers.test_network import CPU, far_sighted, image
from xray_denoise import denoisers
from xray_denoise.denoisers import Denoised, Runtime
from xray_denoise.denoisers.blind import BlindDenoiser
from xray_denoise.denoisers.engine import choose_engine
from xray_denoise.denoisers.windowed import NetworkDenoiser
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.noise import NoiseLevel, add_noise

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is an optional extra")
PARITY = 0.02
"""Grey levels that two engines may differ by."""


def both(noisy: NDArray[np.float32], level: NoiseLevel | None = None, **options: object) -> list[Denoised]:
    return [BlindDenoiser(engine=engine, **options)(noisy, level) for engine in ("torch", "openvino")]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["x-bdcnn", "x-bdcnn-no-nle", "cbdnet", "dncnn", "x-recnn", "skidnet", "lite"])
def test_engines_agree_on_any_size(name: str) -> None:
    net = far_sighted(name)
    for shape in ((64, 64), (33, 141), (1, 9)):
        one, other = both(image(*shape), net=net, name=name, where=CPU)
        np.testing.assert_allclose(other.image, one.image, atol=PARITY, rtol=1e-4)
        if one.noise_map is not None and other.noise_map is not None:
            np.testing.assert_allclose(other.noise_map, one.noise_map, atol=PARITY, rtol=1e-3)


@pytest.mark.parametrize("name", ["x-bdcnn", "lite"])
def test_engines_agree_with_a_given_level_and_with_tiles(name: str) -> None:
    net, noisy = far_sighted(name), image(273, 301)
    for level, tile, batch_size in ((NoiseLevel(0.7, 12.0), None, 1), (None, 272, 3), (NoiseLevel(0.7, 12.0), 272, 2)):
        one, other = both(noisy, level, net=net, name=name, where=CPU, tile=tile, batch_size=batch_size)
        np.testing.assert_allclose(other.image, one.image, atol=PARITY, rtol=1e-4)


@pytest.mark.parametrize("name", ["x-bdcnn", "lite"])
def test_shipped_models_give_the_same_picture(name: str) -> None:
    level = NoiseLevel(0.6, 10.0)
    noisy = add_noise(chest_phantom(200, rng=np.random.default_rng(0)), level, np.random.default_rng(1))
    one, other = (denoisers.get(name, Runtime("cpu", engine=engine))(noisy) for engine in ("torch", "openvino"))
    assert abs(one.image - noisy).max() > 10
    assert abs(other.image - one.image).max() < PARITY
    assert one.level is not None
    assert other.level is not None
    assert other.level.sigma == pytest.approx(one.level.sigma, rel=1e-3)


def test_nothing_is_reported_to_anybody() -> None:
    """The converter does without its telemetry where that cannot be imported."""
    script = (
        "import sys, numpy; from xray_denoise import denoisers\n"
        "denoisers.get('lite', denoisers.Runtime('cpu', engine='openvino'))(numpy.zeros((16, 16), 'f4'))\n"
        "print(sys.modules['openvino_telemetry'], 'openvino.tools.ovc.telemetry_stub' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "None True\n"


def test_the_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(wanted: str, device: str = "cpu", dtype: torch.dtype = torch.float32, shrink: int = 1) -> str:
        return choose_engine(wanted, torch.device(device), dtype, shrink)

    assert engine("auto") == "openvino"
    assert engine("torch") == "torch"
    assert engine("auto", shrink=2) == "torch"
    assert engine("auto", shrink=2, dtype=torch.bfloat16) == "openvino"
    assert engine("openvino", shrink=2) == "openvino"
    assert engine("auto", "cuda") == "torch"
    assert engine("auto", dtype=torch.float16) == "torch"
    with pytest.raises(UsageError, match="runs on the CPU"):
        engine("openvino", "cuda")
    with pytest.raises(UsageError, match="no engine is called 'tensorflow'"):
        engine("tensorflow")
    light = denoisers.get("lite", Runtime("cpu"))
    assert isinstance(light, NetworkDenoiser)
    assert light.arithmetic == "fp32"
    chosen = denoisers.get("x-bdcnn", Runtime("cpu"))
    assert isinstance(chosen, NetworkDenoiser)
    assert chosen.arithmetic == "fp32 by openvino", "it rounds otherwise, so results name it and differ in their UID"
    assert chosen.settings.startswith("cpu fp32 by openvino, ")
    monkeypatch.setattr("xray_denoise.extras.find_spec", lambda _: None)
    assert engine("auto") == "torch"
    with pytest.raises(CannotRunError, match="needs the package 'openvino'"):
        engine("openvino")
