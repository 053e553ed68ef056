"""`xray-denoise train`."""

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xray_denoise.cli.app import guarded, one_line, pair, progress, say
from xray_denoise.errors import CannotRunError, UsageError

if TYPE_CHECKING:
    from xray_denoise.tasks.train import Finished, Session
    from xray_denoise.training.presets import Schedule


@guarded
def train(
    data: Annotated[Path, typer.Argument(help="Folder of noise-free radiographs.")],
    run: Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder for the results.")],
    net: Annotated[str, typer.Option(help="Architecture: x-bdcnn or lite.")] = "x-bdcnn",
    preset: Annotated[str, typer.Option(help="Schedule: paper, standard (GPU) or fast (a few CPU cores).")] = "fast",
    level: Annotated[Literal["std", "paper"], typer.Option(help="How noise levels are encoded.")] = "std",
    val: Annotated[
        Path | None, typer.Option(help="Other patients' radiographs. Default: a twentieth of the patients.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length: 32 patches per image and epoch.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length in batches.")] = None,
    max_time: Annotated[
        str | None,
        typer.Option(
            metavar="90s|30m|2h", help="Longest time of training, validation apart; the schedule ends with it."
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Patches per step, over all processes.")] = None,
    patch_size: Annotated[int | None, typer.Option(min=16, help="Side of a patch, a multiple of 8.")] = None,
    lr: Annotated[float | None, typer.Option(min=0, help="Highest learning rate.")] = None,
    eta: Annotated[str, typer.Option(metavar="LO,HI", help="Photons per grey level.")] = "0.4,1.9",
    sigma: Annotated[str, typer.Option(metavar="LO,HI", help="Electronic noise, grey levels.")] = "0,20",
    init: Annotated[str, typer.Option(help="scratch, or a model whose weights to begin with.")] = "scratch",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in RUN.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes, each with a device of its own.")] = 1,
    precision: Annotated[Literal["auto", "fp32", "bf16"], typer.Option(help="Arithmetic of the network.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, patches and noise.")] = 0,
) -> None:
    """Train a network; writes weights, card, history and checkpoints into RUN."""
    try:
        from xray_denoise.tasks import train as task
        from xray_denoise.training.loop import Limits
    except ModuleNotFoundError as error:
        raise CannotRunError(
            f"training needs the package '{error.name}'", hint="pip install 'xray-denoise[train]'"
        ) from error
    from xray_denoise import denoisers, nets

    if net not in nets.NETS:
        raise UsageError(f"no network is called '{net}'", hint=f"choose one of {', '.join(nets.NETS)}")
    if epochs and steps:
        raise UsageError("--epochs and --steps exclude each other", hint="give one of them")
    if (patch_size or 8) % 8:
        raise UsageError(f"a patch of {patch_size} pixels cannot be halved", hint="use a multiple of 8")
    if threads:
        denoisers.set_threads(threads)
    limits = Limits(max_seconds=_seconds(max_time)) if max_time else Limits()
    plan = task.Plan(
        data=data,
        run=run,
        net=net,
        schedule=_schedule(preset, steps, batch_size, patch_size, lr, eta, sigma),
        options={"level": level},
        validation=val,
        init=None if init == "scratch" else init,
        limits=limits,
        epochs=epochs,
        seed=seed,
        device=device,
        devices=devices,
        precision=precision,
        resume=resume,
    )
    session = task.start(plan)
    _run(session)
    if session.is_first_process:
        _tell(task.finish(session, _command(session.plan, preset, max_time)))


def _schedule(
    preset: str,
    steps: int | None,
    batch: int | None,
    patch: int | None,
    lr: float | None,
    eta: str,
    sigma: str,
) -> "Schedule":
    """The preset with what was asked for changed."""
    from xray_denoise.training.patches import NoiseRange
    from xray_denoise.training.presets import PRESETS

    if preset not in PRESETS:
        raise UsageError(f"no preset is called '{preset}'", hint=f"choose one of {', '.join(PRESETS)}")
    asked: dict[str, Any] = {"steps": steps, "batch": batch, "patch": patch, "lr": lr}
    changes = {name: value for name, value in asked.items() if value is not None}
    noise = NoiseRange(pair(eta, "--eta"), pair(sigma, "--sigma"))
    if noise.eta[0] <= 0 or noise.sigma[0] < 0:
        raise UsageError("--eta must be above 0 and --sigma at least 0", hint="for example --eta 0.4,1.9 --sigma 0,20")
    return dataclasses.replace(PRESETS[preset], noise=noise, **changes)


def _seconds(text: str) -> float:
    """90s, 30m or 2h as seconds; a bare number is seconds."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--max-time takes a time, got '{text}'", hint="for example --max-time 90m")
    return seconds


def _run(session: "Session") -> None:
    training = session.training
    if session.is_first_process:
        say(f"training on {session.device} in {session.precision}, from step {training.step}")
        if session.plan.resume and not training.step:
            say(f"there was no checkpoint in {one_line(str(session.plan.run))}: this is the beginning")
    with progress(
        "{task.fields[loss]}", "{task.fields[rate]}", "{task.fields[psnr]}", shown=session.is_first_process
    ) as bar:
        running = bar.add_task("train", total=1.0, loss="", rate="", psnr="")
        bar.update(running, completed=training.done)
        for row in session.rows():
            bar.update(
                running,
                completed=training.done,
                loss=f"loss {row['loss']:.3g}",
                rate=f"{row['patches_per_second']:.0f} patches/s",
            )
            if "val_psnr" in row and session.is_first_process:
                bar.update(running, psnr=f"{row['val_psnr']:.2f} dB")
                say(f"step {row['step']:.0f}: held-out images {row['val_psnr']:.2f} dB, loss {row['loss']:.4g}")


def _tell(finished: "Finished") -> None:
    typer.echo(one_line(str(finished.card.path)))
    say(f"  {finished.patches_per_second:.1f} patches per second")
    if finished.share_of_peak is not None:
        say(f"  {finished.share_of_peak:.0%} of the matrix rate measured on this device")
    if finished.validation:
        say(f"  held-out images: {finished.validation.psnr:.2f} dB, level {finished.validation.level_error:.1%} off")
    say(f"  use it with: xray-denoise denoise IMAGE -o RESULT --model {shlex.quote(str(finished.card.path))}")


def _command(plan: Any, preset: str, max_time: str | None) -> str:
    """The line that repeats this training, with the folder's name for its path."""
    schedule = plan.schedule
    words = [
        "xray-denoise",
        "train",
        plan.data.resolve().name,
        "-o",
        "RUN",
        "--net",
        plan.net,
        "--preset",
        preset,
    ]
    words += [
        "--level",
        plan.options["level"],
        "--steps",
        str(schedule.steps),
        "--batch-size",
        str(schedule.batch),
    ]
    words += ["--patch-size", str(schedule.patch), "--lr", f"{schedule.lr:g}"]
    words += [
        "--eta",
        "{:g},{:g}".format(*schedule.noise.eta),
        "--sigma",
        "{:g},{:g}".format(*schedule.noise.sigma),
    ]
    words += ["--val", plan.validation.resolve().name] if plan.validation else []
    words += ["--max-time", max_time] if max_time else []
    words += ["--init", plan.init] if plan.init else []
    return shlex.join([*words, "--precision", plan.precision, "--seed", str(plan.seed)])
