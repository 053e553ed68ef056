"""`xray-denoise train`."""

import dataclasses
import math
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xray_denoise.cli.app import guarded, option, pair
from xray_denoise.cli.completion import complete_network
from xray_denoise.cli.training import train_alike, train_one
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.scale import GREY_MAX, MID_GREY

if TYPE_CHECKING:
    from xray_denoise.training.detector import DetectorRange
    from xray_denoise.training.patches import NoiseRange, WideRange
    from xray_denoise.training.presets import TrainingConfig
    from xray_denoise.weights import Card


_schedule_option = partial(option, "Schedule")
_noise_option = partial(option, "Noise")
_machine = partial(option, "Device and speed")

NETS = (
    "Network to train: x-bdcnn, x-bdcnn-no-nle, x-bdcnn-no-ssim, cbdnet, dncnn, x-recnn, skidnet, lite, profile-unet "
    "or profile-pair. Several, separated by commas, are trained one after another on the same patches."
)
INIT = (
    "Model to start from: its network, options, noise and weights. The weights that do best on the held-out images are "
    "kept."
)
VAL = (
    "Folder of radiographs of other patients, held out to judge the network by. Default: those of a twentieth of the "
    "patients of DATA."
)
MAX_TIME = (
    "Longest training time, validation not counted. One network: the learning rate falls to its lowest within this "
    "time. Several: training pauses, and --resume continues."
)
PRESET = (
    "Length, batch size, patch size and learning rate: brief (half an hour on one core), fast (a few cores), "
    "standard (a GPU), paper (as published)."
)
NOISE = (
    "paper: white, within --eta and --sigma. wide: from no noise to the strongest of paper, some of it slightly "
    "correlated. detector: that of real detectors, white or correlated; profile-unet and profile-pair only."
)
TEACHER = (
    "Model whose results the network learns to imitate (knowledge distillation); not for profile-unet and profile-pair."
)
LEVEL = (
    "What the estimated noise levels stand for in the network: std, standard deviations; paper, photons per grey level "
    "(as published)."
)
BRIGHT = (
    "With --noise paper: share of the patches, 0 to 1, that are made bright, to learn how noise that is clipped at "
    "white darkens an image."
)
PATCH_SIZE = "Side of a patch in pixels, a multiple of 8; for profile-unet and profile-pair, of 16."
PROFILE = (
    "With --noise detector: noise profile (JSON) whose curve and spectrum all noise has, to train for one detector."
)
NOISE_STD = "With --noise detector: standard deviation of the noise at mid-grey in grey levels, lowest and highest."
PAPER = "With --noise detector: share of the patches that have the noise of the paper, 0 to 1."
LOST = (
    "With --noise detector: weight in the loss of small structures that are inserted into the patches and that the "
    "network removes."
)


@guarded
def train(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of noise-free radiographs.")],
    run: Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder for the results.")],
    nets: Annotated[
        str | None,
        typer.Option("--nets", "--net", metavar="A,B", show_default="x-bdcnn, or that of --init", help=NETS),
    ] = None,
    init: Annotated[
        str, typer.Option(metavar="NAME|PATH", autocompletion=complete_network, show_default="none", help=INIT)
    ] = "scratch",
    val: Annotated[Path | None, typer.Option(metavar="FOLDER", help=VAL)] = None,
    max_time: Annotated[str | None, typer.Option(metavar="90s|30m|2h", help=MAX_TIME)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint in RUN.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initial weights, patches and noise.")] = 0,
    preset: Annotated[str, _schedule_option(PRESET, metavar="NAME")] = "fast",
    epochs: Annotated[int | None, _schedule_option("Length in epochs of 32 patches per image.", min=1)] = None,
    steps: Annotated[int | None, _schedule_option("Length in steps of one batch.", min=1)] = None,
    batch_size: Annotated[
        int | None, _schedule_option("Patches per step, those of all processes together.", min=1)
    ] = None,
    patch_size: Annotated[int | None, _schedule_option(PATCH_SIZE, min=16)] = None,
    lr: Annotated[float | None, _schedule_option("Highest learning rate.", min=0)] = None,
    optimizer: Annotated[Literal["adam", "muon"] | None, _schedule_option("Default: that of the preset, Adam.")] = None,
    teacher: Annotated[
        str | None, _schedule_option(TEACHER, metavar="NAME|PATH", autocompletion=complete_network)
    ] = None,
    level: Annotated[
        Literal["std", "paper"] | None,
        _schedule_option(LEVEL, show_default="std, or that of --init"),
    ] = None,
    noise: Annotated[
        Literal["paper", "wide", "detector"] | None, _noise_option(NOISE, show_default="paper, or that of --init")
    ] = None,
    eta: Annotated[
        str | None,
        _noise_option("Photons per grey level, lowest and highest.", metavar="LO,HI", show_default="0.4,1.9"),
    ] = None,
    sigma: Annotated[
        str | None,
        _noise_option("Electronic noise in grey levels, lowest and highest.", metavar="LO,HI", show_default="0,20"),
    ] = None,
    bright: Annotated[float | None, _noise_option(BRIGHT, min=0, max=1, show_default="0")] = None,
    profile: Annotated[Path | None, _noise_option(PROFILE, metavar="FILE", show_default="many detectors")] = None,
    noise_std: Annotated[
        str | None, _noise_option(NOISE_STD, metavar="LO,HI", show_default="0.2,30; half to twice that of --profile")
    ] = None,
    paper: Annotated[float | None, _noise_option(PAPER, min=0, max=1, show_default="0.33; 0 with --profile")] = None,
    lost: Annotated[float, _noise_option(LOST, min=0)] = 0.0,
    device: Annotated[str, _machine("auto, cpu, cuda or cuda:N.")] = "auto",
    devices: Annotated[
        int, _machine("Number of processes that share each batch, on CUDA one for each GPU.", min=1)
    ] = 1,
    precision: Annotated[Literal["auto", "fp32", "bf16"], _machine("Arithmetic of the network.")] = "auto",
    threads: Annotated[int | None, _machine("CPU threads. Default: all cores.", min=1)] = None,
) -> None:
    """Train a network, or train a model further (--init).

    Weights, model card, history and checkpoints are written into RUN, or into RUN/NET if there are several networks.
    """
    try:
        from xray_denoise.tasks import train_fabric
        from xray_denoise.tasks.train_plan import Plan, check
        from xray_denoise.training.loop import Limits
    except ModuleNotFoundError as error:
        raise CannotRunError(
            f"training needs the package '{error.name}'", hint="pip install 'xray-denoise[train]'"
        ) from error
    from xray_denoise import denoisers, weights
    from xray_denoise.tasks import continued

    denoisers.keep_memory()
    base = None if init == "scratch" else weights.find(init)
    experiments = _experiments(nets) if nets else [continued.experiment_of(base) if base else "x-bdcnn"]
    for option_name, value in (("lr", lr), ("lost", lost)):
        if value is not None and not math.isfinite(value):
            raise UsageError(f"a finite number is needed, not {value}", hint="leave it out", option=option_name)
    if epochs and steps:
        raise UsageError("--epochs and --steps exclude each other", hint="give one of them")
    if threads:
        denoisers.set_threads(threads)
    budget = _seconds(max_time) if max_time else math.inf
    one = len(experiments) == 1
    plan = Plan(
        data=data,
        run=run,
        experiment=experiments[0],
        config=_config(
            preset,
            steps,
            batch_size,
            patch_size,
            lr,
            optimizer,
            _of_detectors(_noise(noise, eta, sigma, bright, experiments[0], base), profile, noise_std, paper),
            lost,
        ),
        profile=profile,
        level=level,
        validation=val,
        init=None if init == "scratch" else init,
        teacher=teacher,
        limits=Limits(max_seconds=budget) if one else Limits(),
        epochs=epochs,
        seed=seed,
        device=device,
        devices=devices,
        precision=precision,
        resume=resume,
    )
    plans = [plan] if one else [dataclasses.replace(plan, experiment=name, run=run / name) for name in experiments]
    for each in plans:
        check(each)
    try:
        if one:
            train_one(plan, preset, max_time)
        else:
            train_alike(plans, preset, budget)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # they hold the network, which holds the threads
        raise
    finally:
        train_fabric.leave_process_group()


def _experiments(names: str) -> list[str]:
    """The networks of --nets."""
    from xray_denoise.training.presets import EXPERIMENTS

    experiments = names.split(",")
    for name in experiments:
        if name not in EXPERIMENTS:
            raise UsageError(
                f"no network is called '{name}'", hint=f"choose from {', '.join(EXPERIMENTS)}", option="nets"
            )
    if len(set(experiments)) < len(experiments):
        raise UsageError("a network is named twice", hint="name each of --nets once")
    return experiments


def _config(
    preset: str,
    steps: int | None,
    batch: int | None,
    patch: int | None,
    lr: float | None,
    optimizer: str | None,
    noise: "NoiseRange | WideRange | DetectorRange",
    lost: float,
) -> "TrainingConfig":
    """The preset, changed by the given options."""
    from xray_denoise.training.presets import PRESETS

    if preset not in PRESETS:
        raise UsageError(f"no preset is called '{preset}'", hint=f"choose one of {', '.join(PRESETS)}")
    asked: dict[str, Any] = {"steps": steps, "batch": batch, "patch": patch, "lr": lr, "optimizer": optimizer}
    changes = {name: value for name, value in asked.items() if value is not None}
    return dataclasses.replace(PRESETS[preset], noise=noise, lost=lost, **changes)


def _noise(
    kind: str | None,
    eta: str | None,
    sigma: str | None,
    bright: float | None,
    experiment: str,
    base: "Card | None",
) -> "NoiseRange | WideRange | DetectorRange":
    """The given noise range, else that of the initial model, else that of the network."""
    from xray_denoise.tasks.continued import noise_of
    from xray_denoise.training.detector import DetectorRange
    from xray_denoise.training.patches import NoiseRange, WideRange
    from xray_denoise.training.presets import EXPERIMENTS

    if kind in ("wide", "detector"):
        if eta or sigma or bright:
            raise UsageError(
                "--eta, --sigma and --bright are for --noise paper", hint=f"leave them out, or --noise {kind}"
            )
        return WideRange() if kind == "wide" else DetectorRange()
    usual = noise_of(EXPERIMENTS[experiment].net, base)
    if kind is None and eta is None and sigma is None and bright is None:
        return usual
    paper = usual if isinstance(usual, NoiseRange) else NoiseRange()
    noise = NoiseRange(
        pair(eta, "--eta") if eta else paper.eta, pair(sigma, "--sigma") if sigma else paper.sigma, bright or 0.0
    )
    if noise.eta[0] <= 0 or noise.sigma[0] < 0 or not math.isfinite(noise.eta[1] + noise.sigma[1]):
        raise UsageError(
            "--eta must be above 0, --sigma at least 0, and both finite", hint="for example --eta 0.4,1.9 --sigma 0,20"
        )
    return noise


def _of_detectors(
    noise: "NoiseRange | WideRange | DetectorRange", profile: Path | None, noise_std: str | None, paper: float | None
) -> "NoiseRange | WideRange | DetectorRange":
    """The noise of detectors, changed by the given options."""
    from xray_denoise.training.detector import DetectorRange

    if profile is None and noise_std is None and paper is None:
        return noise
    if not isinstance(noise, DetectorRange):
        raise UsageError(
            "--profile, --noise-std and --paper are for --noise detector",
            hint="leave them out, or train a network for the noise of detectors: --init x-profile",
        )
    if profile is not None:
        noise = _measured(noise, profile)
    deviation = pair(noise_std, "--noise-std") if noise_std else noise.deviation
    if not 0 < deviation[0] <= deviation[1] <= GREY_MAX:
        raise UsageError("--noise-std must lie between 0 and 255 grey levels", hint="for example --noise-std 0.2,30")
    share = noise.paper if paper is None else paper
    return dataclasses.replace(noise, deviation=deviation, paper=share)


def _measured(noise: "DetectorRange", path: Path) -> "DetectorRange":
    """Noise of the curve and spectrum of a profile, of half to twice its strength."""
    from xray_denoise.files.profiles import read_profile

    profile = read_profile(path)
    middle = float(profile.deviation_at(MID_GREY))
    if not middle:
        raise UsageError("{path} has no noise at mid-grey", path=path, hint="measure a profile of noisy images")
    return dataclasses.replace(
        noise, profile=profile.to_json(), deviation=(middle / 2, min(middle * 2, GREY_MAX)), paper=0.0
    )


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
