"""Training from the command line on several processes, and what decides the split of the images."""

import dataclasses
import gc
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from xray_denoise import nets, weights
from xray_denoise.cli import app
from xray_denoise.cli.train import NETS
from xray_denoise.errors import CannotRunError, TrainingError, UsageError
from xray_denoise.nets.blind import BlindNet, DenoisingNet
from xray_denoise.tasks import train, train_fabric
from xray_denoise.tasks.train_plan import Plan
from xray_denoise.training import checkpoint, detector
from xray_denoise.training.images import training_images
from xray_denoise.training.loop import Training
from xray_denoise.training.presets import EXPERIMENTS, PRESETS, Experiment

EXECUTABLE = str(Path(sys.executable).with_name("xray-denoise"))
TELLING_THREADS = """
import os, pathlib
from xray_denoise.cli import main
try:
    main()
finally:
    names = [task.joinpath("comm").read_text().strip() for task in pathlib.Path("/proc/self/task").iterdir()]
    pathlib.Path("threads." + os.environ.get("LOCAL_RANK", "0")).write_text(" ".join(names))
"""
"""`xray-denoise` in a process that writes down which threads are left at its end."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows, columns = np.mgrid[:64, :64]
    for patient in range(3):
        for follow_up in range(2):
            image = (120 + 60 * np.sin(rows / (5 + patient)) * np.cos(columns / (7 + follow_up))).astype(np.uint8)
            Image.fromarray(image).save(folder / f"{patient:08}_{follow_up:03}.png")
    return folder


def run(data: Path, name: str, *launcher: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """Train in processes of their own or, without a launcher, in this one; the checkpoint."""
    words = ["train", str(data), "-o", str(data.parent / name), "--net", "lite", "--steps", "12", "--threads", "1"]
    words += ["--batch-size", "4", "--patch-size", "32", "--precision", "fp32", "--device", "cpu", *options]
    if launcher:
        ran = subprocess.run([*launcher, *words], check=False, timeout=300, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    else:
        outcome = CliRunner().invoke(app, words)
        assert outcome.exit_code == 0, outcome.output
    state = checkpoint.read(data.parent / name, {})
    assert state is not None
    assert (data.parent / name / "lite.safetensors").exists()
    return state


def test_two_processes_compute_what_one_does(data: Path) -> None:
    """Two gloo processes with two patches each, by --devices and by torchrun, against one with four.

    The sums are in another order, so the weights differ by rounding, which Adam magnifies; hence 12 steps of 1e-5 at
    most. Other patches would move every weight by as much. Adam does not see the scale of a gradient, so that is
    compared in its moments.
    """
    slow = ("--lr", "1e-5")
    one = run(data, "one", options=slow)
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    for two in (
        run(data, "devices", EXECUTABLE, options=("--devices", "2", *slow)),
        run(data, "torchrun", torchrun, "--standalone", "--nproc-per-node", "2", EXECUTABLE, options=slow),
    ):
        assert two["step"] == 12
        for parameter, moments in one["optimizers"][0]["state"].items():  # a sum of gradients would be twice the mean
            shared = two["optimizers"][0]["state"][parameter]["exp_avg"]
            assert (shared - moments["exp_avg"]).norm() < 0.02 * moments["exp_avg"].norm()
        difference = torch.cat([(two["net"][name] - value).abs().flatten() for name, value in one["net"].items()])
        assert difference.mean() < 1e-7
        assert two["history"][-1]["loss"] == pytest.approx(one["history"][-1]["loss"], rel=1e-3)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are told apart by Linux only")
@pytest.mark.parametrize(("options", "status"), [(["--steps", "2"], 0), (["--steps", "50", "--lr", "1e30"], 3)])
def test_no_process_ends_with_threads_that_talk_to_the_others(data: Path, options: list[str], status: int) -> None:
    """Such a thread aborts its process, and so all of them, now and then only: what is tested is that there is none.

    Nor after an error: the loss is not finite.
    """
    program = data.parent / "telling.py"
    program.write_text(TELLING_THREADS)
    command = [sys.executable, str(program), "train", str(data), "-o", "run", "--net", "lite", *options]
    command += ["--batch-size", "2", "--patch-size", "32", "--precision", "fp32", "--device", "cpu", "--devices", "2"]
    ran = subprocess.run(command, cwd=data.parent, check=False, timeout=300, capture_output=True, text=True)
    assert ran.returncode == status, ran.stderr
    for process in range(2):
        threads = (data.parent / f"threads.{process}").read_text()
        assert "python" in threads
        assert "gloo" not in threads


def test_networks_are_trained_alike_within_a_budget_and_taken_up_again(data: Path) -> None:
    """A budget that is over after the first rows pauses; with the next one each gets all of its steps."""
    names, runs = ["x-recnn", "dncnn", "lite"], data.parent / "runs"
    words = ["train", str(data), "-o", str(runs), "--nets", ",".join(names), "--steps", "30", "--resume"]
    words += ["--batch-size", "2", "--patch-size", "32", "--precision", "fp32", "--device", "cpu", "--threads", "1"]
    first = CliRunner().invoke(app, [*words, "--max-time", "0.01s"])
    assert first.exit_code == 0, first.output
    assert "time is up; continue with --resume" in first.stderr
    state = checkpoint.read(runs / names[0], {})
    assert state is not None
    assert 0 < state["step"] < 30, "it was paused"
    assert not (runs / names[1]).exists()

    assert CliRunner().invoke(app, words).exit_code == 0
    cards = {name: weights.find(str(runs / name / f"{name}.safetensors")) for name in names}
    assert {card.metadata["steps"] for card in cards.values()} == {30}
    assert {card.metadata["data"] for card in cards.values()} == {cards["lite"].metadata["data"]}
    assert "val_psnr" in cards["x-recnn"].metadata
    assert cards["x-recnn"].calibration is None
    assert cards["lite"].calibration is not None
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0, again.output
    assert again.stderr.count("is already trained") == 3


def test_a_training_that_is_over_holds_no_memory(data: Path) -> None:
    """Though it is a cycle of references, and the command lets garbage be looked for rarely."""
    gc.collect()
    thresholds = gc.get_threshold()
    try:
        gc.set_threshold(0)
        options = ["--steps", "2", "--batch-size", "2", "--patch-size", "32", "--device", "cpu", "--precision", "fp32"]
        words = ["train", str(data), "-o", str(data.parent / "runs"), "--nets", "lite,x-recnn", *options]
        outcome = CliRunner().invoke(app, words)
        assert outcome.exit_code == 0, outcome.output
        assert not any(isinstance(one, Training) for one in gc.get_objects())
    finally:
        gc.set_threshold(*thresholds)


@pytest.mark.parametrize(("net", "noise"), [("x-recnn", "paper"), ("profile-unet", "detector")])
def test_bfloat16_rounds_no_image(data: Path, monkeypatch: pytest.MonkeyPatch, net: str, noise: str) -> None:
    """Near white it has steps of one grey level, more than the noise of many detectors."""
    seen: list[torch.Tensor] = []
    kind = nets.NETS[net]
    assert isinstance(kind, type)
    forward = kind.forward

    def noted(self: Any, noisy: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.training:
            seen.append(noisy)
            assert torch.is_autocast_enabled("cpu")
            assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        return forward(self, noisy, *args, **kwargs)

    monkeypatch.setattr(kind, "forward", noted)
    monkeypatch.setattr(detector, "PHANTOM_SIZE", 64)
    monkeypatch.setattr(train, "DetectorSource", partial(detector.DetectorSource, phantoms=1))
    words = ["train", str(data), "-o", str(data.parent / "runs"), "--nets", net, "--noise", noise, "--steps", "1"]
    words += ["--batch-size", "2", "--patch-size", "32", "--device", "cpu", "--precision", "bf16"]
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    assert [one.dtype for one in seen] == [torch.float32]
    assert (seen[0] != seen[0].bfloat16()).float().mean() > 0.5


@pytest.mark.parametrize(("names", "message"), [("lite,drunet", "'drunet'"), ("lite,lite", "named twice")])
def test_lists_of_networks_are_checked(data: Path, names: str, message: str) -> None:
    outcome = CliRunner().invoke(app, ["train", str(data), "-o", str(data / "runs"), "--nets", names])
    assert outcome.exit_code == 2
    assert message in outcome.stderr


def test_the_help_names_every_network() -> None:
    listed = NETS.split(": ")[1].split(".")[0].replace(" or ", ", ").split(", ")
    assert listed == list(EXPERIMENTS)


def test_the_group_of_processes_is_left_after_an_error_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = []
    monkeypatch.setattr(train_fabric, "leave_process_group", lambda: left.append(1))
    words = ["train", str(data), "-o", str(data / "run"), "--nets", "lite", "--device", "cpu"]
    outcome = CliRunner().invoke(app, words)  # patches of 128x128 pixels of images of 64x64
    assert outcome.exit_code == 2
    assert "smaller than the 128x128" in outcome.stderr
    assert left == [1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("PRECISION", "16-mixed"), ("DEVICES", "3"), ("ACCELERATOR", "cuda"), ("NUM_NODES", "2"), ("STRATEGY", "ddp")],
)
def test_the_environment_does_not_overrule_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LT_{name}", value)
    plan = Plan(tmp_path, tmp_path / "run", "lite", PRESETS["fast"], device="cpu", precision="fp32")
    fabric = train_fabric.fabric_of(plan)
    assert (fabric.world_size, fabric.device.type, type(fabric.strategy).__name__) == (1, "cpu", "SingleDeviceStrategy")


def test_each_system_has_the_loss_of_its_authors() -> None:
    full = PRESETS["paper"].loss
    for name, experiment in EXPERIMENTS.items():
        has_ssim = name in ("x-bdcnn", "x-bdcnn-no-nle", "lite")
        assert experiment.loss(full) == (full if has_ssim else dataclasses.replace(full, ssim=0.0)), name
        assert experiment.levels == isinstance(nets_of(experiment), BlindNet), name


def nets_of(experiment: Experiment) -> DenoisingNet:
    return nets.build(experiment.net, **experiment.options)


def test_patients_are_not_split(data: Path) -> None:
    train_images, held_out = training_images(data, None)
    assert len(train_images) == 4
    assert len(held_out) == 2, "both images of one patient"


def test_a_checkpoint_is_not_started_over_and_small_images_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="smaller than the 128x128"):
        train.start(Plan(data, tmp_path / "run", "lite", PRESETS["fast"]))
    (tmp_path / "run" / checkpoint.FILE_NAME).write_bytes(b"")
    with pytest.raises(UsageError, match="holds a training"):
        train.start(Plan(data, tmp_path / "run", "lite", PRESETS["fast"]))


def test_weights_in_the_folder_of_the_run_are_not_replaced(data: Path, tmp_path: Path) -> None:
    """They may be those of the teacher, or of another training."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lite.safetensors").write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds a training"):
        train.start(Plan(data, tmp_path / "run", "lite", dataclasses.replace(PRESETS["fast"], patch=32)))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lite.safetensors"]


def test_what_cannot_be_taken_up_is_refused(data: Path, tmp_path: Path) -> None:
    plan = Plan(data, tmp_path / "run", "lite", dataclasses.replace(PRESETS["fast"], patch=32))
    with pytest.raises(UsageError, match="is a x-bdcnn"):
        train.start(dataclasses.replace(plan, init="x-bdcnn"))
    with pytest.raises(CannotRunError, match="no weights at"):
        train.start(dataclasses.replace(plan, teacher="drunet"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / checkpoint.FILE_NAME).write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="cannot be read"):
        train.start(dataclasses.replace(plan, resume=True))
    with pytest.raises(UsageError, match="one device"):
        train.start(dataclasses.replace(plan, run=tmp_path / "other", device="cpu:0", devices=2))
