"""The trainer: resumed, shared by processes, and stopped by a loss that is no number."""

import dataclasses
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from xray_denoise import nets
from xray_denoise.errors import TrainingError
from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.training import checkpoint
from xray_denoise.training.loop import Limits, Training
from xray_denoise.training.patches import NoiseRange, PatchSource
from xray_denoise.training.presets import PRESETS, TrainingConfig
from xray_denoise.training.validation import ValidationSet

SMALL = dataclasses.replace(PRESETS["fast"], steps=50, batch=2, patch=16, warmup=5, lr=1e-3)
LITE = {"widths": [8, 8, 8]}
STEADY = Limits(checkpoint_seconds=0, report_seconds=math.inf)
"""A row every 25 steps and a checkpoint with each, however slow the machine is."""


def source(config: TrainingConfig = SMALL) -> PatchSource:
    rows, columns = np.mgrid[:64, :64]
    image = (128 + 60 * np.sin(rows / 7) * np.cos(columns / 5)).astype(np.uint8)
    return PatchSource([image, image[::-1]], config.patch, NoiseRange(), torch.device("cpu"))


def training(run: Path, config: TrainingConfig = SMALL, net: DenoisingNet | None = None, **changes: Any) -> Training:
    run.mkdir(exist_ok=True)
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    fabric.launch()
    options: dict[str, Any] = {
        "source": source(config),
        "fabric": fabric, "run": run, "identity": {"schedule": dataclasses.asdict(config)}, "seed": 0,
        "limits": STEADY,
    }  # fmt: skip
    return Training(net or nets.build("lite", **LITE), config=config, **(options | changes))


def weights_of(one: Training) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in one.result.state_dict().items()}


def test_training_lowers_the_loss_and_repeats_itself(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, steps=300)
    first = training(tmp_path / "a", config)
    rows = list(first.rows())
    assert [row["step"] for row in rows] == list(range(25, 301, 25))
    first_rows, last_rows = (sum(row["mse"] for row in part) for part in (rows[:3], rows[-3:]))
    assert last_rows < 0.85 * first_rows
    second = training(tmp_path / "b", config)
    list(second.rows())
    for name, value in weights_of(first).items():
        assert torch.equal(value, weights_of(second)[name]), name


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    """A network may have had another shape in an earlier version."""
    config = dataclasses.replace(SMALL, steps=1)
    list(training(tmp_path / "run", config).rows())
    with pytest.raises(TrainingError, match="the weights of another network") as caught:
        training(tmp_path / "run", config, net=nets.build("lite", widths=[8, 8, 16]))
    assert "choose another folder" in str(caught.value.hint)


def test_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    """`kill -9` at an arbitrary moment after the first checkpoint; then the same bits as without it."""
    config = dataclasses.replace(SMALL, steps=200)
    whole = training(tmp_path / "whole", config)
    list(whole.rows())

    killed = tmp_path / "killed"
    script = (
        "import dataclasses, torch; from pathlib import Path; from tests.training import test_loop as t\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        f"s = dataclasses.replace(t.SMALL, steps=200); list(t.training(Path({str(killed)!r}), s).rows())\n"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root) as process:
        deadline = time.monotonic() + 120
        while not (killed / checkpoint.FILE_NAME).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    resumed = training(killed, config)
    assert 0 < resumed.step < 200, "it was killed in the middle"
    list(resumed.rows())
    assert len(resumed.history) == len(whole.history)
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(resumed)[name]), name


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    list(training(tmp_path).rows())
    with pytest.raises(TrainingError, match="another schedule"):
        training(tmp_path, dataclasses.replace(SMALL, lr=5e-4))


def test_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    class TwoProcesses:
        world_size = 2

    with pytest.raises(TrainingError, match="shared by 2"):
        training(tmp_path, dataclasses.replace(SMALL, batch=3), fabric=TwoProcesses())


def test_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, steps=200, clip=float("inf"))
    one = training(tmp_path, config)
    rows = one.rows()
    next(rows)
    good = checkpoint.read(tmp_path, {})
    with torch.no_grad():
        one._net.denoiser.correction.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="no longer finite"):
        list(rows)
    kept = checkpoint.read(tmp_path, {})
    assert good is not None
    assert kept is not None
    assert kept["step"] == good["step"] == 25


def test_weights_that_the_last_step_ruined_are_not_saved(tmp_path: Path) -> None:
    """The loss of a row is that before its last step; a gradient that is no number shows in the weights only."""
    one = training(tmp_path, dataclasses.replace(SMALL, steps=200))
    rows = one.rows()
    next(rows)
    bias = one._net.denoiser.correction.bias
    bias.register_hook(lambda gradient: gradient * (float("inf") if one.step == 49 else 1))
    with pytest.raises(TrainingError, match="no longer finite at step 50"):
        next(rows)
    kept = checkpoint.read(tmp_path, {})
    assert kept is not None
    assert kept["step"] == 25
    assert all(value.isfinite().all() for value in kept["net"].values())


def test_pause_leaves_the_schedule_alone(tmp_path: Path) -> None:
    """Paused after every row and taken up again, the same weights as in one go; batch normalisation included."""
    config = dataclasses.replace(SMALL, steps=100)

    def dncnn() -> DenoisingNet:
        torch.manual_seed(0)
        return nets.build("dncnn", depth=4)

    whole = training(tmp_path / "whole", config, dncnn())
    list(whole.rows())
    parts = 0
    while True:
        part = training(tmp_path / "parts", config, dncnn(), limits=dataclasses.replace(STEADY, pause_seconds=0))
        list(part.rows())
        parts += 1
        if part.done == 1:
            break
    assert parts == 4
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(part)[name]), name
    assert int(weights_of(whole)["noise.1.1.num_batches_tracked"]) == 100


def test_batch_normalisation_is_not_shared_on_the_cpu(tmp_path: Path) -> None:
    class TwoProcesses:
        world_size = 2
        device = torch.device("cpu")

    with pytest.raises(TrainingError, match="batch normalisation"):
        training(tmp_path, net=nets.build("dncnn"), fabric=TwoProcesses())


def test_time_limit_ends_the_schedule(tmp_path: Path) -> None:
    one = training(tmp_path, dataclasses.replace(SMALL, steps=10**9), limits=Limits(max_seconds=2))
    list(one.rows())
    assert one.done == 1
    assert one.seconds >= 2
    assert one.step < 10**6
    assert one.config.learning_rate(one.step, one.done) == pytest.approx(1e-5)


def test_validation_runs_evenly_and_leaves_the_training_alone(tmp_path: Path) -> None:
    validate = ValidationSet.blind([np.full((40, 47), 100, np.uint8)])
    judged = training(tmp_path / "a", dataclasses.replace(SMALL, steps=100), validate=validate,
                      limits=dataclasses.replace(STEADY, validations=2))  # fmt: skip
    rows = list(judged.rows())
    assert ["val_psnr" in row for row in rows] == [False, True, False, True]
    plain = training(tmp_path / "b", dataclasses.replace(SMALL, steps=100))
    list(plain.rows())
    for name, value in weights_of(plain).items():
        assert torch.equal(value, weights_of(judged)[name]), name


def test_learning_rates() -> None:
    paper, ours = PRESETS["paper"], PRESETS["standard"]
    assert (paper.steps, paper.batch) == (140_000, 64)
    assert paper.learning_rate(10, 0.49) == 1e-3
    assert paper.learning_rate(10, 0.51) == pytest.approx(1e-4)
    assert ours.learning_rate(0, 0.0) == pytest.approx(1e-3 / 501)
    assert ours.learning_rate(10_000, 0.5) == pytest.approx(1e-3 * 0.505)
    assert ours.learning_rate(10_000, 1.0) == pytest.approx(1e-5)
