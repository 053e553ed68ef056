"""`train`: a folder of noise-free radiographs -> a network -> weights and a model card.

data -> 8-bit images on the device -> Training.rows() -> checkpoint, history -> weights, card, plot
"""

import csv
import dataclasses
import gc
import io
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from xray_denoise import __version__, nets, weights
from xray_denoise.denoisers.devices import choose_device, has_fast_bf16
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.files.folders import make_folder
from xray_denoise.reports.training_plots import training_history
from xray_denoise.tasks import continued
from xray_denoise.tasks.continued import TOLD, BestWeights, check_base
from xray_denoise.tasks.evaluation import evaluate_for_card
from xray_denoise.training import checkpoint
from xray_denoise.training.detector import PHANTOMS, DetectorRange, DetectorSource
from xray_denoise.training.distillation import SIDE, TaughtSource, Teacher
from xray_denoise.training.images import GreyImages, digest, training_images
from xray_denoise.training.loop import Limits, Row, Source, Training
from xray_denoise.training.patches import PatchSource
from xray_denoise.training.presets import CROPS_PER_EPOCH, EXPERIMENTS, TrainingConfig
from xray_denoise.training.throughput import matrix_rate, training_rate
from xray_denoise.training.validation import SMALLEST, ValidationSet, levels_for

VALIDATION_IMAGES = 3
"""Images that are denoised at every validation during training, one at each of three noise levels; at the end all are.
Whole ones: their frames and their dark corners are not in the middle."""
TOLD_IMAGES = 4
"""Images that a network which is told the noise is judged on, averaged 2x2 and in their middles: a megapixel each."""


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


@dataclass(frozen=True, slots=True)
class Session:
    """A training that is ready to run, and what `finish` needs to judge its result."""

    plan: Plan
    training: Training
    held_out: GreyImages
    is_first_process: bool
    processes: int
    device: str
    precision: str
    best: BestWeights | None
    """Of a training that began with a model, in the first process, where there are images to judge by."""

    def rows(self) -> Iterator[Row]:
        """Train; the history is on disk after every validation and however it ends."""
        try:
            for row in self.training.rows():
                if self.is_first_process and "val_psnr" in row:
                    if self.best:
                        self.best.offer(self.training.result, row["val_psnr"], self.training.step)
                    _write_history(self.training.history, self.plan.run)
                yield row
        finally:
            if self.is_first_process and self.training.history:
                _write_history(self.training.history, self.plan.run)


@dataclass(frozen=True, slots=True)
class Finished:
    """What a training leaves behind."""

    card: weights.Card
    patches_per_second: float
    share_of_peak: float | None
    """Of the measured matrix rate of the device; None on a CPU."""
    best: BestWeights | None


def check(plan: Plan) -> None:
    """Refuse what can be refused before any image is read.

    Raises:
        UsageError: `run` holds a training and `resume` is not set, or network, noise, teacher and the model to begin
            with do not go together.
        CannotRunError: there are no weights of the teacher or of the model to begin with.
    """
    if not plan.resume and any((plan.run / name).exists() for name in (checkpoint.FILE_NAME, continued.FILE_NAME)):
        raise UsageError(
            "{path} holds a training",
            path=plan.run,
            hint="resume it, or choose another folder",
            option="resume",
        )
    if (plan.net in TOLD) != isinstance(plan.config.noise, DetectorRange):
        told = "trained on the noise of detectors" if plan.net in TOLD else "not told the noise of a detector"
        raise UsageError(f"a {plan.net} is {told}", hint="choose the noise that suits the network", option="noise")
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


def _untold(_: str) -> None:
    """Tell nobody."""


def start(plan: Plan, tell: Callable[[str], object] = _untold) -> Session:
    """Read the images and prepare the training, or take it up where its checkpoint left it.

    Args:
        plan: what to train.
        tell: called in the first process with a sentence on what takes long.

    Raises:
        UsageError: nothing to train on, images too small, or what `check` refuses.
        TrainingError: the checkpoint belongs to another training.
        CannotRunError: the device is missing, or weights are.
    """
    check(plan)
    make_folder(plan.run)
    own_loss = EXPERIMENTS[plan.experiment].loss(plan.config.loss)
    plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, loss=own_loss))
    fabric = _fabric(plan)
    fabric.launch()
    images, held_out = training_images(plan.data, plan.validation)
    if plan.epochs:
        patches = plan.epochs * CROPS_PER_EPOCH * len(images)
        steps = math.ceil(patches / plan.config.batch)
        plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, steps=steps))
    torch.manual_seed(plan.seed)
    base = weights.find(plan.init) if plan.init else None
    if base:
        net = weights.load(base).requires_grad_()
        plan = dataclasses.replace(plan, init_options=base.options)
    else:
        net = nets.build(plan.net, **plan.options)
    validate = _validation(held_out, plan) if held_out else None
    best = None
    if base and validate and fabric.is_global_zero:
        best = BestWeights.of(net.to(fabric.device), base, plan.run, validate, digest(held_out))
    teacher = weights.find(plan.teacher) if plan.teacher else None
    if isinstance(plan.config.noise, DetectorRange) and fabric.is_global_zero:
        tell(f"drawing {PHANTOMS} phantoms, to train on besides the radiographs")
    training = Training(
        net,
        _source(images, plan, fabric.device, teacher),
        plan.config,
        fabric=fabric,
        run=plan.run,
        identity={
            "net": plan.net,
            "options": plan.options,
            "schedule": dataclasses.asdict(plan.config),
            "images": digest(images),
            "seed": plan.seed,
            "teacher": teacher and teacher.sha256,
            "init": base and base.sha256,
        },
        seed=plan.seed,
        limits=plan.limits,
        validate=validate,
    )
    precision = str(fabric._precision.precision)
    return Session(
        plan, training, held_out, fabric.is_global_zero, fabric.world_size, str(fabric.device), precision, best
    )


def _validation(held_out: GreyImages, plan: Plan) -> ValidationSet:
    """What the network is judged on during its training.

    Raises:
        UsageError: an image is too small.
    """
    noise = plan.config.noise
    if not isinstance(noise, DetectorRange):
        return ValidationSet.blind(held_out[:VALIDATION_IMAGES], plan.seed, levels_for(noise))
    if any(min(image.shape) < SMALLEST for image in held_out):
        raise UsageError(
            f"a held-out image is smaller than {SMALLEST}x{SMALLEST} pixels",
            hint="hold out larger images",
            option="val",
        )
    return ValidationSet.told(held_out[:TOLD_IMAGES], plan.seed, weak=noise.paper < 1, strong=noise.paper > 0)


def is_finished(plan: Plan) -> bool:
    """Whether the folder of the run holds its result already."""
    return (plan.run / f"{plan.name}.md").exists()


def finish(session: Session, command: str) -> Finished:
    """Write weights, card, history and plot into the folder of the run, and judge the result on all held-out images.

    Args:
        session: whose training has come to its end.
        command: the line that made it, for the card.
    """
    plan, training = session.plan, session.training
    net = session.best.given_to(training.result) if session.best else training.result
    config = plan.config
    metadata: dict[str, Any] = {
        "net": plan.net,
        "options": plan.options,
        "eta": [config.noise.eta[0], math.inf if plan.net in TOLD else config.noise.eta[1]],  # inf: down to no noise
        "sigma": list(config.noise.sigma),
        "command": command,
        "data": f"{plan.data.resolve().name}: SHA-256 of the pixels {training.identity['images'][:16]}",
        "steps": training.step,
        "patches": training.step * config.batch,
        "patch_size": config.patch,
        "seconds": round(training.seconds),
        "device": session.device,
        "precision": session.precision,
        "version": __version__,
    }
    metadata |= session.best.facts if session.best else {}
    metadata |= evaluate_for_card(net, session.held_out, config.noise, plan.seed)
    card = weights.save(net, plan.run / f"{plan.name}.safetensors", metadata, _prose(plan.name, metadata))
    _write_history(training.history, plan.run)
    rate = float(np.median([row["patches_per_second"] for row in training.history]))
    peak = matrix_rate(training.device) if training.device.type == "cuda" else None
    share = training_rate(training.result, rate, config.patch) / (peak * session.processes) if peak else None
    return Finished(card, rate, share, session.best)


def leave_process_group() -> None:
    """Leave the group of processes, and end its threads.

    A thread that still runs when Python ends may abort the process, and one that ends so has all of them killed.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        gc.collect()  # the threads are the group's, which the network is wrapped up with, in a cycle


def _fabric(plan: Plan) -> Fabric:
    """Device, processes and precision, by Lightning Fabric."""
    wanted = plan.device
    if wanted == "auto":  # a Mac's GPU cannot draw Poisson noise
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = choose_device(wanted)
    if device.type == "mps":
        raise CannotRunError("training draws noise that this GPU cannot draw", hint="use cpu or cuda", option="device")
    if plan.devices > 1 and device.index is not None:
        raise UsageError(f"{wanted} is one device, not {plan.devices}", hint=f"choose {device.type}", option="device")
    if device.type == "cuda" and plan.devices > torch.cuda.device_count():
        raise CannotRunError(
            f"this machine has {torch.cuda.device_count()} GPUs, not {plan.devices}", hint="use fewer", option="devices"
        )
    precision = plan.precision
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    names = {"fp32": "32-true", "bf16": "bf16-mixed"}
    if precision not in names:
        raise UsageError(
            f"no precision is called '{precision}'", hint=f"use auto, {', '.join(names)}", option="precision"
        )
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", plan.devices))  # torchrun has started them already
    nodes = int(os.environ["WORLD_SIZE"]) // processes if "LOCAL_WORLD_SIZE" in os.environ else 1
    one = [device.index] if device.type == "cuda" and device.index is not None else 1
    strategy = "ddp_find_unused_parameters_true" if plan.net == "profile-pair" else "ddp"  # a patch needs one of a pair
    return Fabric(
        accelerator=device.type,
        devices=processes if processes > 1 else one,
        num_nodes=nodes,
        strategy=strategy if processes * nodes > 1 else "auto",
        precision=names[precision],  # type: ignore[arg-type]
    )


def _source(images: GreyImages, plan: Plan, device: torch.device, teacher: weights.Card | None) -> Source:
    """Fresh patches, or with a teacher those of its lessons."""
    config = plan.config
    try:
        if isinstance(config.noise, DetectorRange):
            return DetectorSource(images, config.patch, config.noise, device)
        source = PatchSource(images, config.patch * (SIDE if teacher else 1), config.noise, device)
    except ValueError as error:
        raise UsageError(
            f"cannot train on {{path}}: {error}",
            path=plan.data,
            hint="use larger images or smaller patches",
            option="patch_size",
        ) from error
    return TaughtSource(source, _answers(teacher, device), config.patch, seed=plan.seed) if teacher else source


def _answers(teacher: weights.Card, device: torch.device) -> Teacher:
    """The teacher on `device`."""
    return weights.load(teacher).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _write_history(rows: Sequence[Row], run: Path) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(text.getvalue().encode(), run / "history.csv")
    write_bytes(training_history(rows), run / "history.svg")


def _prose(name: str, facts: dict[str, Any]) -> str:
    judged = (
        f"On the held-out images, at three noise levels of Table II in turn, its mean PSNR is {facts['val_psnr']} dB."
        if "val_psnr" in facts
        else "It was not judged on held-out images."
    )
    begun = (
        f"Training started from the weights of {facts['base']}, which reach {facts['base_psnr']} dB on the held-out "
        f"images under the noise of its validation. The weights of step {facts['best_step']} were kept: "
        f"{facts['best_psnr']} dB.\n"
        if "base" in facts
        else ""
    )
    return f"""# {name}

{begun}Trained with {facts["patches"]} patches of {facts["data"]} for {facts["seconds"]} s on {facts["device"]}.
{judged} The golden result in the metadata is that of a built-in phantom, for the tests.

For research; not a medical device.
"""
