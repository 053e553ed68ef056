"""Exported files: any size, the numbers of PyTorch, what they are, and nothing written that differs."""

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from xray_denoise import denoisers, nets, weights
from xray_denoise.cli import app
from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.bias import without_bias
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.tasks import export as task

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")), reason="onnx is an optional extra"
)


def run(path: Path, noisy: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"noisy": noisy.astype(np.float32)}))


def test_the_file_denoises_as_we_do(tmp_path: Path) -> None:
    exported = task.export("lite", tmp_path / "lite.onnx")
    assert exported.path.stat().st_size == exported.bytes
    assert exported.difference <= task.PARITY
    assert exported.stride == 8
    noisy = add_noise(chest_phantom(128, rng=np.random.default_rng(1)), NoiseLevel(0.6, 10), np.random.default_rng(2))
    noisy = noisy[:104] * 1.2 - 20  # beyond black and white
    assert noisy.min() < 0
    assert noisy.max() > 255
    image, noise = run(exported.path, noisy[None, None])
    ours = denoisers.get("lite", Runtime("cpu"))(noisy)
    assert abs(image[0, 0] - ours.image).max() < task.PARITY
    assert abs(image[0, 0] - noisy).max() > 10, "it does remove noise"
    assert noise.shape == image.shape
    assert ours.noise_map is not None
    assert np.corrcoef(noise.ravel(), ours.noise_map.ravel())[0, 1] > 0.999, "but for the calibration"

    import onnx

    said = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
    assert said["sha256"] == weights.find("lite").sha256
    assert said["sides"] == "multiples of 8"


def test_a_network_without_levels_gives_the_image_alone(tmp_path: Path) -> None:
    exported = task.export("x-recnn", tmp_path / "x-recnn.onnx")
    assert len(run(exported.path, np.zeros((2, 1, 17, 23)))) == 1


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "PARITY", -1.0)
    outcome = CliRunner().invoke(app, ["export", "x-recnn", "-o", str(tmp_path / "x-recnn.onnx")])
    assert outcome.exit_code == 3
    assert "differs by" in outcome.stderr
    assert not list(tmp_path.iterdir())


def test_the_difference_is_seen(tmp_path: Path) -> None:
    """Weights that are a thousandth larger are another network."""
    net = nets.build("lite", widths=(8, 8, 8))
    with torch.no_grad():
        net.denoiser.correction.weight.normal_(std=0.05)  # type: ignore[attr-defined]
    content = task._onnx(task.InGreyLevels(net).eval(), net.stride, weights.find("lite"))
    assert task._difference(content, task.InGreyLevels(net).eval()) < 0.002
    with torch.no_grad():
        net.denoiser.correction.weight.mul_(1.001)  # type: ignore[attr-defined]
    assert task._difference(content, task.InGreyLevels(net).eval()) > 0.004


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "there.onnx").write_bytes(b"mine")
    outcome = CliRunner().invoke(app, ["export", "lite", "-o", str(tmp_path / "there.onnx")])
    assert outcome.exit_code == 1
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"


def test_a_network_that_is_told_the_noise_takes_it_as_inputs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nets.build("profile-unet", widths=[4, 4, 4, 4], blocks=[1, 1, 1, 1])
    torch.nn.init.normal_(net.correction.weight)
    head = {
        "net": "profile-unet",
        "options": {"widths": [4, 4, 4, 4], "blocks": [1, 1, 1, 1]},
        "eta": [0.4, math.inf],
        "sigma": [0.0, 20.0],
    }
    card = weights.save(net, tmp_path / "told.safetensors", head, "# Told\n")
    exported = task.export(str(card.path), tmp_path / "told.onnx")
    assert exported.difference < 0.001
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["noisy", "variance", "powers"]
    profile = NoiseProfile.white(3.0)
    noisy = (100 + profile.draw(np.zeros((64, 48)), np.random.default_rng(0))).astype(np.float32)
    told = [np.full((1, 33), 9.0, np.float32), np.ones((1, 4), np.float32)]
    found = session.run(
        ["denoised"], dict(zip(("noisy", "variance", "powers"), (noisy[None, None], *told), strict=True))
    )
    expected = denoisers.get(str(card.path), Runtime("cpu"))(noisy, profile).image
    np.testing.assert_allclose(without_bias(noisy, found[0][0, 0], profile), expected, atol=0.001)
