"""Two models become one file whose results are those of the two."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from xray_denoise import denoisers, nets, weights
from xray_denoise.cli import app
from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.bias import without_bias
from xray_denoise.errors import UsageError
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.tasks import pair as task

SIDE = 96


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, weights.Card]:
    """A small network for detectors with random weights, `lite`, and their pair."""
    folder = tmp_path_factory.mktemp("pair")
    torch.manual_seed(0)
    net = nets.build("profile-unet", widths=[4, 4, 4, 4], blocks=[1, 1, 1, 1])
    torch.nn.init.normal_(net.correction.weight, std=0.3)
    head = {
        "net": "profile-unet",
        "options": {"widths": [4, 4, 4, 4], "blocks": [1, 1, 1, 1]},
        "eta": [0.4, math.inf],
        "sigma": [0.0, 20.0],
    }
    detectors = weights.save(net, folder / "small.safetensors", {**head, "patches": 8}, "# Small\n")
    white = weights.find("lite")
    rng = np.random.default_rng(0)
    held_out = [rng.integers(60, 190, (SIDE, SIDE), dtype=np.uint8)]
    return {
        "detectors": detectors,
        "white": white,
        "pair": task.pair(detectors, white, folder / "both.safetensors", held_out),
    }


def test_the_pair_does_what_its_parts_do(cards: dict[str, weights.Card]) -> None:
    both, detectors, white = (
        denoisers.get(model, Runtime("cpu", "fp32"))
        for model in (str(cards["pair"].path), str(cards["detectors"].path), "lite")
    )
    clean = np.full((SIDE, SIDE), 120.0)
    weak = (clean + np.random.default_rng(1).normal(0, 2, clean.shape)).astype(np.float32)
    profile = NoiseProfile.white(2.0)
    np.testing.assert_allclose(both(weak, profile).image, detectors(weak, profile).image, atol=1e-3)
    strong = add_noise(clean, NoiseLevel(0.6, 10), np.random.default_rng(2)).astype(np.float32)
    found, level = both(strong, NoiseLevel(0.6, 10)).image, NoiseProfile.of_level(NoiseLevel(0.6, 10))
    np.testing.assert_allclose(found, without_bias(strong, white(strong).image, level), atol=1e-3)
    assert abs(found - detectors(strong, NoiseLevel(0.6, 10)).image).max() > 5


def test_its_card_says_what_it_is_made_of(cards: dict[str, weights.Card]) -> None:
    head = cards["pair"].metadata
    assert head["net"] == "profile-pair"
    assert head["options"] == {"widths": [4, 4, 4, 4], "blocks": [1, 1, 1, 1]}
    assert head["patches"] == 8
    assert (head["white"], head["white_sha256"]) == ("lite", cards["white"].sha256)
    assert {"val_psnr", "val_weak", "val_strong", "golden"} <= set(head)


def test_the_second_needs_no_weights_of_its_own(cards: dict[str, weights.Card]) -> None:
    """The card that is written beside the pair names the part; what it loads is what it was made from."""
    folder = cards["pair"].path.parent
    assert sorted(path.name for path in folder.glob("lite*")) == ["lite.md"]
    within = weights.find(str(folder / "lite.safetensors"))
    assert (within.name, within.path, within.part) == ("lite", cards["pair"].path, "white")
    assert weights.prose_of(within) == weights.prose_of(cards["white"])
    before, after = (weights.load(card).state_dict() for card in (cards["white"], within))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_parts_of_another_kind_are_refused(cards: dict[str, weights.Card], tmp_path: Path) -> None:
    for wrong in ((cards["white"], cards["white"]), (cards["detectors"], cards["detectors"])):
        with pytest.raises(UsageError, match="is a"):
            task.pair(*wrong, tmp_path / "no.safetensors", [])
    assert not list(tmp_path.iterdir())


def test_it_is_exported_whole(cards: dict[str, weights.Card], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    target = tmp_path / "both.onnx"
    outcome = CliRunner().invoke(app, ["export", str(cards["pair"].path), "-o", str(target)])
    assert outcome.exit_code == 0, outcome.output
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    net = weights.load(cards["pair"])
    image = np.random.default_rng(3).uniform(60, 190, (1, 1, 64, 64)).astype(np.float32)
    from xray_denoise.nets.profile_unet import noise_maps

    for deviation in (2.0, 11.0, 25.0):
        variance, powers = np.full((1, 33), deviation**2, np.float32), np.ones((1, 4), np.float32)
        told = {"noisy": image, "variance": variance, "powers": powers}
        (found,) = session.run(["denoised"], told)
        seen = torch.from_numpy(image) / 255
        maps = noise_maps(seen, torch.from_numpy(variance) / 255**2, torch.from_numpy(powers))
        np.testing.assert_allclose(found, 255 * net(seen, maps).numpy(), atol=0.02)
