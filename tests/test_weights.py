"""Cards are obeyed: what ships loads and repeats its golden result, and anything else is refused."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from xray_denoise import denoisers, nets, weights
from xray_denoise.errors import CannotRunError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics import metrics
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import NoiseProfile

SHIPPED = weights.names()


def test_the_default_knows_images_without_noise_and_is_close_to_the_best() -> None:
    """1.5 dB on the noise of the paper are what any deviation and any spectrum may cost; the aim is 0.3."""
    assert weights.find(denoisers.DEFAULT).eta[1] == math.inf
    scores = {name: weights.find(name).metadata["val_psnr"] for name in SHIPPED}
    assert scores[denoisers.DEFAULT] >= max(scores.values()) - 1.5


@pytest.mark.parametrize("name", [denoisers.DEFAULT, "lite"])
def test_the_default_does_no_harm_where_there_is_no_noise(name: str) -> None:
    """42 dB: a change of two grey levels, root mean square; `x-bdcnn`, made for noise, changes more."""
    clean = np.rint(chest_phantom(256, rng=np.random.default_rng(0))).clip(0, 255).astype(np.float32)
    default, noisy_only = (denoisers.get(one, denoisers.Runtime(device="cpu")) for one in (name, "x-bdcnn"))
    kept = metrics.psnr(default(clean).image, clean)
    assert kept > 42
    assert kept > metrics.psnr(noisy_only(clean).image, clean)


def test_the_default_leaves_an_image_alone_that_is_told_to_have_no_noise() -> None:
    """80 dB: 0.026 grey levels; blind, it takes some of the texture of a phantom for noise."""
    clean = chest_phantom(256, rng=np.random.default_rng(0))
    told = denoisers.get(denoisers.DEFAULT, denoisers.Runtime("cpu"))(clean, NoiseProfile.white(0.0))
    assert metrics.psnr(told.image, clean) > 80


def test_all_weights_together_are_small() -> None:
    """50 MB as `du -h` counts them; `lite` has no file of its own."""
    files = {weights.find(name).path for name in SHIPPED}
    assert sum(path.stat().st_size for path in files) <= 50 * 2**20
    assert weights.find("lite").path == weights.find(denoisers.DEFAULT).path


def test_compared_networks_were_trained_alike() -> None:
    """Same data, patches, batch, steps, noise and precision; each with the options and learning rate of its own.

    X-BDCNN was trained on for bright radiographs by a tenth of that, as its card says.
    """
    compared = ("x-bdcnn-no-nle", "x-bdcnn-no-ssim", "cbdnet", "dncnn", "skidnet", "x-recnn")
    alike = [weights.find(name).metadata for name in compared]
    x_bdcnn = weights.find("x-bdcnn").metadata
    for entry in ("data", "eta", "sigma", "precision"):
        assert len({repr(head[entry]) for head in [*alike, x_bdcnn]}) == 1, entry
    assert {(head["patches"], head["steps"]) for head in alike} == {(69_000, 8_625)}
    first, further = x_bdcnn["command"].replace("-o FIRST", "-o RUN").split(" && ")
    settings = {re.sub(r" --(nets|level|lr) \S+", "", line) for line in [first, *(head["command"] for head in alike)]}
    assert len(settings) == 1
    assert "--bright 0.3" in further
    assert (x_bdcnn["patches"], x_bdcnn["steps"]) == (69_000 + 7_200, 8_625 + 900)


@pytest.mark.parametrize("name", SHIPPED)
def test_card_states_what_the_weights_do(name: str) -> None:
    """The phantom of the card, denoised here: 0.02 dB leave room for another processor's order of sums."""
    card = weights.find(name)
    golden = card.metadata["golden"]
    clean = np.rint(chest_phantom(256, rng=np.random.default_rng(0)))
    noisy = add_noise(clean, NoiseLevel(0.6, 10), np.random.default_rng(0))
    denoised = denoisers.get(name, denoisers.Runtime(device="cpu"))(noisy)
    assert metrics.psnr(noisy, clean) == pytest.approx(golden["noisy_db"], abs=0.001)
    assert metrics.psnr(denoised.image, clean) == pytest.approx(golden["denoised_db"], abs=0.02)
    assert golden["denoised_db"] > golden["noisy_db"] + 10
    if card.calibration is None and denoised.profile is None:
        assert denoised.level is None, "only networks without a level are not calibrated"
        return
    assert denoised.level is not None
    assert denoised.level.effective_sigma(127.5) == pytest.approx(NoiseLevel(0.6, 10).effective_sigma(127.5), rel=0.15)


@pytest.mark.parametrize("name", SHIPPED)
def test_card_tells_people_what_they_need(name: str) -> None:
    card = weights.find(name)
    prose = card.path.with_suffix(".md").read_text(encoding="utf-8").split("+++")[2]
    assert {"net", "options", "sha256", "eta", "sigma", "command", "data", "golden"} <= set(card.metadata)
    for needed in ("not a medical device", "NIH Clinical Center", "Wang", "fail"):
        assert needed in prose


@pytest.fixture
def saved(tmp_path: Path) -> weights.Card:
    torch.manual_seed(0)
    net = nets.build("lite", widths=[4, 4, 4])
    torch.nn.init.normal_(net.denoiser.correction.weight)
    head = {"net": "lite", "options": {"widths": [4, 4, 4]}, "eta": [0.4, 1.9], "sigma": [0.0, 20.0],
            "command": "made \"here\"", "golden": {"noisy_db": 1.5}}  # fmt: skip
    return weights.save(net, tmp_path / "mine.safetensors", head, "# Mine\n")


def test_saved_weights_come_back_rounded_to_16_bits(saved: weights.Card) -> None:
    torch.manual_seed(0)
    net = nets.build("lite", widths=[4, 4, 4])
    torch.nn.init.normal_(net.denoiser.correction.weight)
    loaded = weights.load(weights.find(str(saved.path)))
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name
    assert saved.name == "mine"
    assert saved.metadata["command"] == 'made "here"'
    assert saved.metadata["golden"] == {"noisy_db": 1.5}
    assert not list(saved.path.parent.glob("*.partial"))


def test_batch_normalisation_keeps_its_range(tmp_path: Path) -> None:
    """Running variances may be far smaller than what 16 bits hold, and the counter is a whole number."""
    net = nets.build("dncnn", depth=4)
    net.noise[1][1].running_var.fill_(1e-9)
    net.noise[1][1].num_batches_tracked.fill_(123_456)
    head = {"net": "dncnn", "options": {"depth": 4}, "eta": [0.4, math.inf], "sigma": [0.0, 20.0]}
    saved = weights.save(net, tmp_path / "bn.safetensors", head, "# BN\n")
    assert saved.eta == (0.4, math.inf)
    loaded = weights.load(saved).state_dict()
    assert torch.equal(loaded["noise.1.1.running_var"], torch.full((64,), 1e-9))
    assert int(loaded["noise.1.1.num_batches_tracked"]) == 123_456


def test_changed_file_is_refused(saved: weights.Card) -> None:
    data = bytearray(saved.path.read_bytes())
    data[-1] ^= 1
    saved.path.write_bytes(data)
    with pytest.raises(CannotRunError, match="SHA-256 differs"):
        weights.load(saved)


def test_weights_without_a_usable_card_are_refused(saved: weights.Card) -> None:
    card = saved.path.with_suffix(".md")
    card.write_text(card.read_text().replace("net =", "nett ="))
    with pytest.raises(CannotRunError, match="no usable model card"):
        weights.find(str(saved.path))
    card.unlink()
    with pytest.raises(CannotRunError, match="no usable model card"):
        weights.find(str(saved.path))


def test_weights_of_another_network_are_refused(saved: weights.Card) -> None:
    card = saved.path.with_suffix(".md")
    card.write_text(card.read_text().replace("[4, 4, 4]", "[4, 4, 5]"))
    with pytest.raises(CannotRunError, match="does not fit"):
        weights.load(weights.find(str(saved.path)))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("net", ["1", '""', '["lite"]', '"a\\u0000b"', f'"{"x" * 20_000}"']),
        ("sha256", ["1", '"abc"', f'"{"G" * 64}"', f'["{"0" * 64}"]']),
        (
            "eta",
            [
                "1.0",
                "[]",
                "[1.0]",
                "[2.0, 1.0]",
                "[0.0, 1.0]",
                "[-1, 1]",
                "[nan, 1.0]",
                '["a", "b"]',
                "[true, true]",
                "{}",
            ],
        ),
        ("sigma", ["[0.0, inf]", "[-1.0, 2.0]", "[0.0]", "[0.0, 1.0, 2.0]", '"0, 20"', "[[0], [1]]"]),
        (
            "options",
            ["1", "{ depth = 100000000 }", "{ depth = inf }", "{ a = { b = 1 } }", "{ a = 1979-05-27 }"],
        ),
        ("patch_size", ["0", "1.5", '"128"', "-1", "true", "100000000"]),
        ("patches", ["-1", "1.5", '"many"', "[1]"]),
        ("val_psnr", ["nan", '"39"', "true", "[39.0]"]),
        ("command", ["1", '""', "[]"]),
        ("golden", ["1", "[1]", '{ noisy_db = "a", denoised_db = 1.0 }']),
        (
            "level_calibration",
            [
                "1",
                "{}",
                '{ estimated = ["a", "b"], factors = [1.0, 1.0] }',
                "{ estimated = [1.0, 2.0], factors = [1.0] }",
                "{ estimated = [2.0, 1.0], factors = [1.0, 1.0] }",
                "{ estimated = [1.0, 1.0], factors = [1.0, 1.0] }",
                "{ estimated = [], factors = [] }",
                "{ estimated = [1.0, nan], factors = [1.0, 1.0] }",
                "{ estimated = [1.0, 2.0], factors = [0.0, -1.0] }",
                "{ estimated = 1.0, factors = 1.0 }",
                '{ estimated = "ab", factors = "ab" }',
            ],
        ),
    ],
)
def test_every_field_of_a_card_is_checked_when_it_is_read(saved: weights.Card, field: str, values: list[str]) -> None:
    card = saved.path.with_suffix(".md")
    lines = [
        line for line in card.read_text().splitlines() if not line.startswith((f"{field} =", "[golden]", "noisy_db"))
    ]
    for value in values:
        card.write_text("\n".join([lines[0], f"{field} = {value}", *lines[1:]]) + "\n")
        with pytest.raises(CannotRunError, match=f"no usable model card.*{field} must be") as caught:
            weights.find(str(saved.path))
        assert caught.value.exit_status == 3
        assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+++",
        "+++\n",
        "+++\n+++\n",
        "+++\nnet = \n+++\n",
        "+++\n" + "a.b." * 5000 + "c = 1\n+++\n",
        "+++\na = " + "[" * 50_000,
    ],
)
def test_a_card_that_is_no_card_is_refused(saved: weights.Card, text: str) -> None:
    saved.path.with_suffix(".md").write_text(text)
    with pytest.raises(CannotRunError, match="no usable model card"):
        weights.find(str(saved.path))


def test_sizes_of_cards_and_networks_are_bounded(saved: weights.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    card = saved.path.with_suffix(".md")
    whole = card.read_text()
    card.write_text(whole + "x" * weights.MOST_CARD_BYTES)
    with pytest.raises(CannotRunError, match="at most 1024 KiB"):
        weights.find(str(saved.path))
    card.write_text(whole.replace("[4, 4, 4]", "[4096, 4096, 4096]"))
    with pytest.raises(CannotRunError, match="it would have"):
        weights.load(weights.find(str(saved.path)))
    card.write_text(whole)
    monkeypatch.setattr(weights, "MOST_WEIGHTS_BYTES", 100)
    with pytest.raises(CannotRunError, match="larger than any network"):
        weights.load(weights.find(str(saved.path)))


def test_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(CannotRunError) as caught:
        weights.find("drunet")
    assert all(name in caught.value.hint for name in SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_table_of_uncertainty_belongs_to_its_weights(name: str) -> None:
    card = weights.find(name)
    path = weights.uncertainty_path(card.path.parent, card.name)
    if path.exists():
        assert weights.uncertainty(card.sha256, card.part, name, path).weights_sha256 == card.sha256
    else:
        with pytest.raises(CannotRunError, match="no calibrated uncertainty"):
            weights.uncertainty(card.sha256, card.part, name, path)
