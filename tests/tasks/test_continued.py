"""`train --init`: what is taken over from a model, and that a training never makes it worse."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from xray_denoise import nets, weights
from xray_denoise.cli import app
from xray_denoise.cli.training import _Clock, _command
from xray_denoise.errors import TrainingError, UsageError
from xray_denoise.files.profiles import write_profile
from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.tasks import continued, train
from xray_denoise.tasks.train_plan import Plan
from xray_denoise.training import checkpoint, detector
from xray_denoise.training.detector import DetectorRange
from xray_denoise.training.loop import Limits, Training
from xray_denoise.training.patches import NoiseRange, WideRange
from xray_denoise.training.presets import PRESETS
from xray_denoise.training.validation import Validation


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images of three patients, and a small model of unusual options and noise."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    rows, columns = np.mgrid[:64, :64]
    for patient in range(3):
        image = (120 + 60 * np.sin(rows / (5 + patient)) * np.cos(columns / 7)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "data" / f"{patient:08}_000.png")
    torch.manual_seed(0)
    options = {"widths": [8, 8, 8], "level": "paper"}
    head = {"net": "lite", "options": options, "eta": [0.5, 1.0], "sigma": [2.0, 3.0]}
    weights.save(nets.build("lite", **options), tmp_path / "small.safetensors", head, "# small")
    return tmp_path


def call(line: str) -> Result:
    return CliRunner().invoke(app, f"train data --batch-size 2 --patch-size 32 --device cpu {line}".split())


def test_everything_is_taken_over_and_the_result_has_a_name_and_a_verdict(here: Path) -> None:
    result = call("-o mine --init small.safetensors --steps 26 --precision fp32")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "mine/small-mine.safetensors\n"
    card = weights.read_card(here / "mine" / "small-mine.safetensors")
    assert (card.net, card.name) == ("lite", "small-mine")
    assert dict(card.options) == {"widths": [8, 8, 8], "level": "paper"}
    assert (card.eta, card.sigma) == ((0.5, 1.0), (2.0, 3.0))
    assert "--level paper" in card.metadata["command"]
    assert "--eta 0.5,1 --sigma 2,3" in card.metadata["command"]
    assert (card.metadata["base"], len(card.metadata["base_sha256"])) == ("small", 64)
    assert card.metadata["best_psnr"] >= card.metadata["base_psnr"]
    assert "small at the start: held-out images" in result.stderr
    assert "better than small by" in result.stderr
    assert "under the noise of its validation" in (here / "mine" / "small-mine.md").read_text()


def test_weights_are_chosen_under_the_noise_that_is_trained_on(here: Path) -> None:
    """A network that returns its input has the PSNR of the noise: 25, 35 or 45 photons per grey level, 2 or less."""
    config = dataclasses.replace(PRESETS["fast"], patch=32, noise=NoiseRange((20, 50), (0, 2)))
    plan = Plan(here / "data", here / "run", "lite", config, init="small.safetensors", device="cpu")
    session = train.start(plan)
    validation = train._validation(session.held_out, session.plan)
    (case,) = validation.cases
    assert (case.noise.eta, case.noise.sigma) == (25, pytest.approx(5 / 3))
    assert session.best is not None
    assert session.best.start == validation(weights.load(weights.find("small.safetensors"))).psnr


def test_a_training_is_continued_from_its_model_and_with_its_images_only(here: Path) -> None:
    config = dataclasses.replace(PRESETS["fast"], patch=32)
    plan = Plan(here / "data", here / "run", "lite", config, init="small.safetensors", device="cpu")
    session = train.start(plan)
    (here / "run" / continued.FILE_NAME).rename(here / "kept.pt")
    session.training._save()
    plan = dataclasses.replace(plan, resume=True)
    card = weights.read_card(here / "small.safetensors")
    net = weights.load(card)
    torch.nn.init.ones_(next(net.parameters()))
    weights.save(net, here / "other.safetensors", dict(card.metadata), "# other")
    other = dataclasses.replace(plan, init="other.safetensors")
    with pytest.raises(TrainingError, match="made with another init"):
        train.start(other)
    (here / "kept.pt").rename(here / "run" / continued.FILE_NAME)
    with pytest.raises(TrainingError, match="did not start from this other") as refusal:
        train.start(other)
    assert refusal.value.option == "init"
    (here / "val").mkdir()
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(here / "val" / "one.png")
    with pytest.raises(TrainingError, match="judged on other held-out images") as refusal:
        train.start(dataclasses.replace(plan, validation=here / "val"))
    assert refusal.value.option == "val"
    assert train.start(plan).best is not None


def test_the_card_names_files_without_their_folders(here: Path) -> None:
    (here / "models").mkdir()
    for suffix in ("safetensors", "md"):
        (here / f"small.{suffix}").rename(here / "models" / f"small.{suffix}")
    model = here / "models" / "small.safetensors"
    config = dataclasses.replace(PRESETS["fast"], patch=32)
    plan = Plan(here / "data", here / "run", "lite", config, init=str(model), teacher=str(model), device="cpu")
    plan = dataclasses.replace(plan, init_options={})
    line = _command(plan, "fast", None)
    assert "--init small.safetensors --teacher small.safetensors" in line
    assert str(here) not in line


def test_a_training_that_harms_gives_back_what_it_began_with(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validated at its end only: on a busy machine the clock would have the first, harmless steps validated, too."""
    monkeypatch.setattr(Training, "_row_is_due", lambda self, _: self.step >= self.config.steps)
    result = call("-o worse --init small.safetensors --steps 25 --lr 3 --precision fp32")
    assert result.exit_code == 0, result.stderr
    assert "training brought no improvement; these are the weights of small" in result.stderr
    before, after = (
        weights.load(weights.read_card(path)).state_dict()
        for path in (here / "small.safetensors", here / "worse" / "small-worse.safetensors")
    )
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert weights.read_card(here / "worse" / "small-worse.safetensors").metadata["best_step"] == 0


def test_the_best_weights_survive_an_interruption(here: Path) -> None:
    scores = iter([20.0, 30.0, 25.0])

    def validate(_: DenoisingNet) -> Validation:
        return Validation(next(scores), None)

    base = weights.read_card(here / "small.safetensors")
    net = weights.load(base)
    best = continued.BestWeights.of(net, base, here, validate, "images")
    other = nets.copy_of(net)
    torch.nn.init.ones_(next(other.parameters()))
    best.offer(other, 30.0, 7)
    best.offer(net, 25.0, 9)
    again = continued.BestWeights.of(net, base, here, validate, "images")
    assert (again.start, again.psnr, again.step) == (20.0, 30.0, 7)
    assert torch.equal(next(again.given_to(net).parameters()), next(other.parameters()))
    assert next(scores) == 30.0, "the start was validated once"
    (here / continued.FILE_NAME).write_bytes(b"no weights")
    with pytest.raises(TrainingError, match="cannot be read"):
        continued.BestWeights.of(net, base, here, validate, "images")


def test_weights_are_judged_on_one_noise(here: Path) -> None:
    """Best weights that were chosen under the noise of one profile are not compared under that of another."""
    images = [np.zeros((64, 64), np.uint8)]

    def judged(noise: DetectorRange) -> str:
        return train._judged_on(
            images, Plan(here, here, "profile-unet", dataclasses.replace(PRESETS["fast"], noise=noise))
        )

    one, other = (DetectorRange(profile=NoiseProfile.white(strength).to_json()) for strength in (1, 2))
    assert judged(one) == judged(dataclasses.replace(one))
    assert len({judged(one), judged(other), judged(DetectorRange())}) == 3


def test_a_training_on_bright_patches_is_judged_on_bright_images_too(here: Path) -> None:
    images = [np.full((600, 700), grey, np.uint8) for grey in (0, 100, 255)]
    for bright, shown in ((0.0, [0, 100, 255]), (0.3, [0, 100, 255, 224, 236, 255])):
        config = dataclasses.replace(PRESETS["fast"], noise=NoiseRange(bright=bright))
        cases = train._validation(images, Plan(here, here, "x-bdcnn", config)).cases
        assert [int(case.clean[0, 0]) for case in cases] == shown
        assert [case.noise for case in cases[3:]] == [case.noise for case in cases[:3]][: len(cases) - 3]
        assert all(case.clean.shape == (512, 512) for case in cases[3:])


def test_models_that_come_with_the_package_say_what_they_were_trained_on() -> None:
    found = {name: weights.find(name) for name in ("x-profile", "lite", "x-bdcnn", "dncnn")}
    assert continued.experiment_of(found["x-profile"]) == "profile-pair"
    assert continued.experiment_of(weights.find("x-bdcnn")) == "x-bdcnn"
    noises = {name: continued.noise_of(card.net, card) for name, card in found.items()}
    assert noises == {
        "x-profile": DetectorRange(),
        "lite": WideRange(),
        "x-bdcnn": NoiseRange(),
        "dncnn": NoiseRange(),
    }


def test_the_default_model_can_be_trained_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "PHANTOM_SIZE", 64)
    monkeypatch.setattr(train, "DetectorSource", partial(detector.DetectorSource, phantoms=1))
    config = PRESETS["fast"]
    plan = Plan(here / "data", here / "run", "profile-pair", config, init="x-profile", device="cpu")
    with pytest.raises(UsageError, match="trained on the noise of detectors"):
        train.start(plan)
    plan = dataclasses.replace(plan, config=dataclasses.replace(config, patch=32, noise=DetectorRange()))
    told: list[str] = []
    session = train.start(plan, told.append)
    assert [line.split(",")[0] for line in told] == ["drawing 20 phantoms"]
    assert session.best is not None
    assert session.best.step == 0
    assert session.plan.options == {"widths": [48, 96, 128, 192], "blocks": [2, 1, 1, 2]}
    assert session.plan.name == "x-profile-run"


def test_a_network_is_trained_for_one_detector(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "PHANTOM_SIZE", 64)
    monkeypatch.setattr(train, "DetectorSource", partial(detector.DetectorSource, phantoms=1))
    measured = NoiseProfile(np.array([0.0, 255.0]), np.array([1.0, 5.0]), np.array([[0.6, 0.8, 0.0]]), (0, 4095))
    write_profile(measured, here / "mine.json")
    result = call("-o run --steps 2 --nets profile-unet --profile mine.json --precision fp32")
    assert result.exit_code == 0, result.stderr
    command = weights.read_card(here / "run" / "profile-unet.safetensors").metadata["command"]
    strength = float(measured.deviation_at(127.5))
    assert f"--noise detector --noise-std {strength / 2:g},{strength * 2:g} --paper 0 " in command
    assert " --profile mine.json " in command
    state = checkpoint.read(here / "run", {})
    assert state is not None
    kinds = DetectorRange(**state["identity"]["schedule"]["noise"])
    assert kinds.measured is not None
    assert kinds.measured.to_json() == measured.to_json()


def test_a_profile_that_cannot_be_trained_on_is_refused(here: Path) -> None:
    wide = np.zeros((1, 35))
    wide[0, 17] = 1
    for name, deviation, kernel in (("silent", 0.0, np.ones((1, 1))), ("wide", 1.0, wide)):
        write_profile(NoiseProfile(np.array([0.0]), np.array([deviation]), kernel), here / f"{name}.json")
    for line, message, hint in (
        (
            "--nets lite --profile wide.json",
            "--profile, --noise-std and --paper are for --noise detector",
            "--init x-profile",
        ),
        ("--nets profile-unet --profile silent.json", "silent.json has no noise at mid-grey", "noisy images"),
        ("--nets profile-unet --profile wide.json", "the kernel of wide.json is larger than patches", "--patch-size"),
        ("--nets profile-unet --profile none.json", "cannot read none.json", "permissions"),
    ):
        result = call(f"-o run --steps 2 {line}")
        assert message in result.stderr
        assert hint in result.stderr
        assert result.exit_code in (1, 2)
        assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("--init small.safetensors --nets dncnn", "'small' is a lite, not a dncnn", "--nets"),
        ("--init small.safetensors --level std", "encodes noise levels as 'paper'", "--level"),
        ("--init small.safetensors --noise detector", "a lite is not told", "--noise"),
        ("--nets profile-unet --noise wide", "a profile-unet is trained on", "--noise"),
        ("--noise wide --eta 1,2", "--eta, --sigma and --bright are for --noise paper", "leave them out"),
        ("--init missing", "no weights at", "choose one of"),
        ("--nets lite --teacher missing", "no weights at", "choose one of"),
        ("--nets lite --teacher x-profile", "'x-profile' takes the noise as input", "--teacher"),
        ("--nets profile-unet --teacher lite", "a profile-unet is trained without a teacher", "--teacher"),
        ("--nets lite --patch-size 100", "the patch size must be a multiple of 8, got 100", "--patch-size"),
        ("--nets profile-unet --patch-size 72", "the patch size must be a multiple of 16, got 72", "--patch-size"),
        ("--nets lite --paper 0.5", "--paper are for --noise detector", "leave them out"),
        ("--nets profile-unet --noise-std 3,1", "--noise-std goes from low to high", "for example"),
        ("--nets profile-unet --noise-std 0,1", "--noise-std must lie between 0 and 255", "for example"),
        ("--nets lite,profile-unet", "a profile-unet is trained on the noise", "--noise"),
        ("--nets lite,dncnn --init small.safetensors", "'small' is a lite, not a dncnn", "--nets"),
    ],
)
def test_what_contradicts_is_refused(here: Path, line: str, message: str, hint: str) -> None:
    for image in (here / "data").iterdir():
        image.write_bytes(b"not an image")  # nothing is read before
    result = call(f"-o run --steps 2 {line}")
    assert result.exit_code in (2, 3)
    assert not (here / "run").exists()
    error, advice = result.stderr.splitlines()
    assert message in error
    assert hint in advice


def test_held_out_images_too_small_for_the_noise_of_detectors_are_refused(here: Path) -> None:
    (here / "val").mkdir()
    for name, width in (("a", 64), ("b", 63)):
        Image.fromarray(np.full((80, width), 90, np.uint8)).save(here / "val" / f"{name}.png")
    result = call("-o run --steps 2 --nets profile-unet --val val")
    assert result.exit_code == 2
    error, advice = result.stderr.splitlines()
    assert "a held-out image is smaller than 64x64 pixels" in error
    assert "(--val)" in advice


def test_time_left_is_that_of_the_steps_or_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Running:
        seconds, step = 100.0, 10
        config = PRESETS["fast"]
        limits = Limits(max_seconds=500)

    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    running = Running()
    clock = _Clock(running)  # type: ignore[arg-type]
    running.seconds, running.step, now[0] = 150.0, 20, 1100.0
    assert clock.left() == pytest.approx(700), "350 s of training, of which half again goes to validation"
    running.limits = Limits()
    assert clock.left() == pytest.approx((20_000 - 20) * 10), "10 steps took 100 s"
