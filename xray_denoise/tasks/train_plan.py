"""What `train` is asked for, and what can be refused before any image is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xray_denoise import weights
from xray_denoise.errors import UsageError
from xray_denoise.tasks import continued
from xray_denoise.tasks.continued import TOLD, check_base
from xray_denoise.training import checkpoint
from xray_denoise.training.detector import DetectorRange
from xray_denoise.training.loop import Limits
from xray_denoise.training.presets import EXPERIMENTS, TrainingConfig

MULTIPLE, MULTIPLE_TOLD = 8, 16
"""What the side of a patch must be a multiple of, and that of a network that takes the noise as input."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to train, on what, for how long and where."""

    data: Path
    """Folder of noise-free radiographs."""
    run: Path
    """Folder for weights, card, history and checkpoint."""
    experiment: str
    """What to train (`training.presets.EXPERIMENTS`)."""
    config: TrainingConfig
    profile: Path | None = None
    """File of the noise profile in `config`, where there is one."""
    level: str | None = None
    """Encoding of noise levels, where the network estimates them; None is that of the model to begin with, or "std"."""
    validation: Path | None = None
    """Folder of other patients' radiographs; None holds out a twentieth of the patients of `data`."""
    epochs: int | None = None
    """Length in passes of `CROPS_PER_EPOCH` patches per image; None leaves it to the schedule."""
    init: str | None = None
    """Model whose weights and options to begin with; None draws the weights."""
    init_options: Mapping[str, Any] | None = None
    """Options of the architecture of that model; `start` fills them in."""
    teacher: str | None = None
    """Model to learn from besides the clean patches; None does without."""
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: str = "auto"
    resume: bool = False

    @property
    def net(self) -> str:
        """Architecture (`nets.NETS`)."""
        return EXPERIMENTS[self.experiment].net

    @property
    def options(self) -> dict[str, Any]:
        """Options of the architecture."""
        if self.init_options is not None:
            return dict(self.init_options)
        experiment = EXPERIMENTS[self.experiment]
        return dict(experiment.options) | ({"level": self.level or "std"} if experiment.levels else {})

    @property
    def name(self) -> str:
        """What the result is called: the experiment, or for a model that was trained on, that and the folder."""
        if self.init is None:
            return self.experiment
        folder = re.sub(r"[^\w.-]+", "-", self.run.resolve().name)
        return f"{weights.find(self.init).name}-{folder}"


def check(plan: Plan) -> None:
    """Refuse what can be refused before any image is read.

    Raises:
        UsageError: `run` holds a training or weights of its name, and `resume` is not set, or network, noise, teacher
            and the model to begin with do not go together.
        CannotRunError: there are no weights of the teacher or of the model to begin with.
    """
    made = (checkpoint.FILE_NAME, continued.FILE_NAME, f"{plan.name}.safetensors", f"{plan.name}.md")
    if not plan.resume and any((plan.run / name).exists() for name in made):
        raise UsageError(
            "{path} holds a training",
            path=plan.run,
            hint="resume it, or choose another folder",
            option="resume",
        )
    if (plan.net in TOLD) != isinstance(plan.config.noise, DetectorRange):
        told = "trained on the noise of detectors" if plan.net in TOLD else "not told the noise of a detector"
        raise UsageError(f"a {plan.net} is {told}", hint="choose the noise that suits the network", option="noise")
    side, multiple = plan.config.patch, MULTIPLE_TOLD if plan.net in TOLD else MULTIPLE
    if side % multiple:
        raise UsageError(
            f"the patch size must be a multiple of {multiple}, got {side}",
            hint=f"for example {max(side // multiple, 1) * multiple}",
            option="patch_size",
        )
    measured = plan.config.noise.measured if isinstance(plan.config.noise, DetectorRange) else None
    if measured is not None and max(measured.kernel.shape) > plan.config.patch:
        raise UsageError(
            f"the kernel of {{path}} is larger than patches of {plan.config.patch}x{plan.config.patch} pixels",
            path=plan.profile,
            hint="train on larger patches",
            option="patch_size",
        )
    if plan.init:
        check_base(weights.find(plan.init), plan.experiment, plan.level)
    if plan.teacher:
        if plan.net in TOLD:
            raise UsageError(
                f"a {plan.net} is trained without a teacher", hint="leave the teacher out", option="teacher"
            )
        teacher = weights.find(plan.teacher)
        if teacher.net in TOLD:
            raise UsageError(
                f"'{teacher.name}' takes the noise as input, so it cannot be a teacher",
                hint="choose a model that estimates the noise, or does without",
                option="teacher",
            )


def is_finished(plan: Plan) -> bool:
    """Whether the folder of the run holds its result already."""
    return (plan.run / f"{plan.name}.md").exists()
