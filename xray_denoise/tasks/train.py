"""`train`: a folder of noise-free radiographs -> a network -> weights and a model card.

data -> 8-bit images on the device -> Training.rows() -> checkpoint, history -> weights, card, plot
"""

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xray_denoise import __version__, nets, weights
from xray_denoise.errors import UsageError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.files.folders import make_folder
from xray_denoise.reports.training_plots import training_history
from xray_denoise.tasks.continued import TOLD, BestWeights
from xray_denoise.tasks.evaluation import evaluate_for_card
from xray_denoise.tasks.train_fabric import fabric_of
from xray_denoise.tasks.train_plan import Plan, check
from xray_denoise.training.detector import PHANTOMS, DetectorRange, DetectorSource
from xray_denoise.training.distillation import SIDE, TaughtSource, Teacher
from xray_denoise.training.images import GreyImages, digest, training_images
from xray_denoise.training.loop import Row, Source, Training
from xray_denoise.training.patches import NoiseRange, PatchSource
from xray_denoise.training.presets import CROPS_PER_EPOCH, EXPERIMENTS
from xray_denoise.training.throughput import matrix_rate, training_rate
from xray_denoise.training.validation import SMALLEST, ValidationSet, brightened, levels_for

VALIDATION_IMAGES = 3
"""Images that are denoised at every validation during training, one at each of three noise levels; at the end all are.
Whole ones: their frames and their dark corners are not in the middle."""
TOLD_IMAGES = 4
"""Images that a network which is told the noise is judged on, averaged 2x2 and in their middles: a megapixel each."""


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
    fabric = fabric_of(plan)
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
        best = BestWeights.of(net.to(fabric.device), base, plan.run, validate, _judged_on(held_out, plan))
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


def _judged_on(held_out: GreyImages, plan: Plan) -> str:
    """What identifies the images and the noise of a validation."""
    return sha256(f"{digest(held_out)} {plan.config.noise} {plan.seed}".encode()).hexdigest()


def _validation(held_out: GreyImages, plan: Plan) -> ValidationSet:
    """What the network is judged on during its training.

    Raises:
        UsageError: an image is too small.
    """
    noise = plan.config.noise
    if not isinstance(noise, DetectorRange):
        shown = held_out[:VALIDATION_IMAGES]
        if isinstance(noise, NoiseRange) and noise.bright:
            shown = [*shown, *map(brightened, shown)]
        return ValidationSet.blind(shown, plan.seed, levels_for(noise))
    if any(min(image.shape) < SMALLEST for image in held_out):
        raise UsageError(
            f"a held-out image is smaller than {SMALLEST}x{SMALLEST} pixels",
            hint="hold out larger images",
            option="val",
        )
    return ValidationSet.told(
        held_out[:TOLD_IMAGES], plan.seed, weak=noise.paper < 1, strong=noise.paper > 0, measured=noise.measured
    )


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
