"""Lessons: a teacher's answers are what is aimed at, are used several times, and come back after a pause."""

import dataclasses
import math
from pathlib import Path

import torch

from tests.training.test_loop import SMALL, source, training, weights_of
from xray_denoise.training.distillation import SIDE, TAUGHT, TaughtSource
from xray_denoise.training.loop import Limits

PATCH = 16


class Negative:
    """A teacher that turns images into their negatives, and counts what it is shown."""

    def __init__(self) -> None:
        self.shown = 0

    def __call__(self, noisy: torch.Tensor) -> tuple[torch.Tensor, None]:
        self.shown += len(noisy)
        return 1 - noisy, None


def taught(teacher: Negative, **options: int) -> TaughtSource:
    large = source(dataclasses.replace(SMALL, patch=SIDE * PATCH))
    return TaughtSource(large, teacher, PATCH, seed=3, **({"lesson": 6, "reuse": 2, "answered": 4} | options))


def drawn(step: int, one: TaughtSource, count: int = 8) -> dict[str, torch.Tensor]:
    return vars_of(one.draw(step, count, torch.Generator().manual_seed(step)))


def vars_of(batch: object) -> dict[str, torch.Tensor]:
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}  # type: ignore[arg-type]


def test_the_target_lies_between_truth_and_answer() -> None:
    batch = drawn(0, taught(Negative()))
    assert batch["noisy"].shape == batch["clean"].shape == batch["target"].shape == (8, 1, PATCH, PATCH)
    torch.testing.assert_close(batch["target"], batch["clean"] + TAUGHT * (1 - batch["noisy"] - batch["clean"]))
    # the patches are noisy as it says: one whose photons are many and electronics quiet differs less from the truth
    spread = (batch["noisy"] - batch["clean"]).std(dim=(1, 2, 3)) * 255
    expected = (128 / batch["eta"] + batch["sigma"].square()).sqrt()
    torch.testing.assert_close(spread, expected, rtol=0.3, atol=0)


def test_a_lesson_is_given_out_several_times_and_never_the_same_way() -> None:
    teacher = Negative()
    one = taught(teacher)  # 6 large patches of 4 patches each, twice: 48 patches, 6 steps of 8
    steps = [drawn(step, one)["noisy"] for step in range(6)]
    assert teacher.shown == 6
    assert len({patch.numpy().tobytes() for step in steps for patch in step}) == 48
    drawn(6, one)
    assert teacher.shown == 12


def test_a_lesson_depends_on_its_number_alone() -> None:
    straight, late = taught(Negative()), taught(Negative())
    for step in range(14):
        drawn(step, straight)
    for name, value in drawn(14, straight).items():
        assert torch.equal(value, drawn(14, late)[name]), name
    other = TaughtSource(source(dataclasses.replace(SMALL, patch=32)), Negative(), PATCH, seed=4, lesson=6)
    assert not torch.equal(drawn(14, straight)["noisy"], drawn(14, other)["noisy"])


def test_training_learns_from_the_teacher_and_is_resumed_in_a_lesson(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, steps=100)
    steady = Limits(checkpoint_seconds=0, report_seconds=math.inf)
    whole = training(tmp_path / "whole", config, source=taught(Negative(), lesson=8), limits=steady)
    rows = list(whole.rows())
    assert rows[-1]["mse"] < 0.9 * rows[0]["mse"]

    pausing = dataclasses.replace(steady, pause_seconds=0)
    paused = training(tmp_path / "paused", config, source=taught(Negative(), lesson=8), limits=pausing)
    list(paused.rows())
    assert paused.step == 25
    resumed = training(tmp_path / "paused", config, source=taught(Negative(), lesson=8), limits=steady)
    list(resumed.rows())
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(resumed)[name]), name
