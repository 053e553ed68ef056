"""Run trainings in the terminal: progress, time left, results, and the command that repeats a training."""

import dataclasses
import gc
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xray_denoise.cli.results import about, time_left
from xray_denoise.cli.terminal import one_line, progress, say

if TYPE_CHECKING:
    from xray_denoise.tasks.train import Finished, Session
    from xray_denoise.tasks.train_plan import Plan
    from xray_denoise.training.loop import Training


def train_alike(plans: "list[Plan]", preset: str, budget: float) -> None:
    """Train networks one after another on the same patches, each to the end of its schedule, while `budget` lasts.

    Args:
        plans: of one network each, in folders of their own, checked.
        preset: name of the schedule, for the cards.
        budget: seconds of training steps of this call.
    """
    from xray_denoise.tasks.train_plan import is_finished
    from xray_denoise.training.loop import Limits

    for plan in plans:
        if plan.resume and is_finished(plan):
            say(f"{plan.experiment} is already trained")
            continue
        say(f"{plan.experiment}:")
        budget -= train_one(dataclasses.replace(plan, limits=Limits(pause_seconds=budget)), preset, None)
        gc.collect()  # a training is a cycle of references, and holds all that it worked with
        if budget <= 0:
            say("time is up; continue with --resume")
            return


def train_one(plan: "Plan", preset: str, max_time: str | None) -> float:
    """Train one network, to its end or to the pause that the plan sets; returns the seconds of its steps."""
    from xray_denoise.tasks import train as task

    session = task.start(plan, say)
    before = session.training.seconds
    _run(session)
    if session.is_first_process and session.training.done >= 1:
        _tell(task.finish(session, _command(session.plan, preset, max_time)))
    return session.training.seconds - before


def _run(session: "Session") -> None:
    training = session.training
    if session.is_first_process:
        say(f"training on {session.device} in {session.precision}, from step {training.step}")
        if session.plan.resume and not training.step:
            say(f"no checkpoint in {one_line(str(session.plan.run))}: training starts from the beginning")
        if session.best:
            say(f"{session.best.base.name} at the start: held-out images {session.best.start:.2f} dB")
    clock = _Clock(training)
    with progress(
        "{task.fields[loss]}",
        "{task.fields[rate]}",
        "{task.fields[psnr]}",
        "{task.fields[left]}",
        shown=session.is_first_process,
        estimated=False,
    ) as bar:
        running = bar.add_task("train", total=1.0, loss="", rate="", psnr="", left="")
        bar.update(running, completed=training.done)
        for row in session.rows():
            left = clock.left()
            bar.update(
                running,
                completed=training.done,
                loss=f"loss {row['loss']:.3g}",
                rate=f"{row['patches_per_second']:.0f} patches/s",
                left=time_left(left),
            )
            if "val_psnr" in row and session.is_first_process:
                bar.update(running, psnr=f"{row['val_psnr']:.2f} dB")
                rest = f", {about(left)} left" if training.done < 1 else ""
                say(f"step {row['step']:.0f}: held-out images {row['val_psnr']:.2f} dB, loss {row['loss']:.4g}{rest}")


class _Clock:
    """Estimates the time left of a training from the pace of this call, validation included."""

    def __init__(self, training: "Training") -> None:
        self._training = training
        self._begun, self._seconds, self._step = time.monotonic(), training.seconds, training.step

    def left(self) -> float:
        """Seconds until the steps are done or the time is up, whichever is first."""
        training = self._training
        trained, steps = training.seconds - self._seconds, training.step - self._step
        by_steps = (training.config.steps - training.step) * trained / steps
        left = min(by_steps, training.limits.max_seconds - training.seconds)
        return max(0.0, left * (time.monotonic() - self._begun) / trained)


def _tell(finished: "Finished") -> None:
    typer.echo(one_line(str(finished.card.path)))
    say(f"  {finished.patches_per_second:.1f} patches per second")
    if finished.share_of_peak is not None:
        say(f"  {finished.share_of_peak:.0%} of the matrix rate measured on this device")
    if "val_psnr" in finished.card.metadata:
        say(f"  held-out images, noise of the paper's Table II: {finished.card.metadata['val_psnr']:.2f} dB")
    if finished.best:
        say(f"  {finished.best.verdict}")
    say(f"  use it with: xray-denoise denoise IMAGE -o RESULT --model {shlex.quote(str(finished.card.path))}")


def _command(plan: "Plan", preset: str, max_time: str | None) -> str:
    """The command that repeats this training, with names of folders and files instead of paths."""
    from xray_denoise.training.detector import DetectorRange
    from xray_denoise.training.patches import WideRange

    config = plan.config
    words = [
        "xray-denoise",
        "train",
        plan.data.resolve().name,
        "-o",
        "RUN",
        "--nets",
        plan.experiment,
        "--preset",
        preset,
    ]
    words += ["--level", plan.options["level"]] if "level" in plan.options else []
    words += ["--steps", str(config.steps), "--batch-size", str(config.batch)]
    words += ["--patch-size", str(config.patch), "--lr", f"{config.lr:g}"]
    words += ["--optimizer", config.optimizer]
    if isinstance(config.noise, DetectorRange):
        words += ["--noise", "detector", "--noise-std", "{:g},{:g}".format(*config.noise.deviation)]
        words += ["--paper", f"{config.noise.paper:g}", "--lost", f"{config.lost:g}"]
        words += ["--profile", plan.profile.name] if plan.profile else []
    elif isinstance(config.noise, WideRange):
        words += ["--noise", "wide"]
    else:
        words += ["--eta", "{:g},{:g}".format(*config.noise.eta)]
        words += ["--sigma", "{:g},{:g}".format(*config.noise.sigma)]
        words += ["--bright", f"{config.noise.bright:g}"] if config.noise.bright else []
    words += ["--val", plan.validation.resolve().name] if plan.validation else []
    words += ["--max-time", max_time] if max_time else []
    words += ["--init", Path(plan.init).name] if plan.init else []
    words += ["--teacher", Path(plan.teacher).name] if plan.teacher else []
    return shlex.join([*words, "--precision", plan.precision, "--seed", str(plan.seed)])
