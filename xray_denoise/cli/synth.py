"""`xray-denoise synth`."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xray_denoise.cli.app import complain_of, guarded, option, pair
from xray_denoise.cli.outcomes import name_left_alone
from xray_denoise.cli.terminal import give, one_line, say
from xray_denoise.errors import UsageError

if TYPE_CHECKING:
    from xray_denoise.tasks.synth_noise import Noise

DEFAULT_DEVIATION = 2.0
"""Of the noise of a named detector at mid-grey, grey levels: usual in clinical radiographs."""


_noise = partial(option, "Noise")
_images = partial(option, "Images")
_files = partial(option, "Files")


@guarded
def synth(
    clean: Annotated[
        list[str] | None,
        typer.Argument(help="Noise-free radiographs: files, folders or @list.txt. Default: a chest phantom."),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the images.")] = ".",
    count: Annotated[int, typer.Option(min=1, help="Number of phantoms, or of exposures of each radiograph.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first phantom or exposure; the next ones count up.")
    ] = 0,
    eta: Annotated[
        str | None, _noise("Photons per grey level; small is noisy.", metavar="E|LO,HI", show_default="0.6")
    ] = None,
    sigma: Annotated[str | None, _noise("Electronic noise, grey levels.", metavar="S|LO,HI", show_default="10")] = None,
    detector: Annotated[
        str | None,
        _noise(
            "Noise of a detector instead: white, selenium, csi, cr, processed, or a noise profile (.json).",
            metavar="NAME|FILE",
        ),
    ] = None,
    noise_std: Annotated[
        float | None,
        _noise(
            "Standard deviation of the detector's noise at mid-grey, grey levels.",
            metavar="S",
            show_default="2, or that of the profile",
        ),
    ] = None,
    size: Annotated[int, _images("Side of a phantom, pixels.", min=16, max=8192)] = 1024,
    bits: Annotated[
        int | None, _images("Bits per pixel. DICOM from DICOM keeps its own.", min=8, max=16, show_default="8")
    ] = None,
    file_format: Annotated[
        Literal["png", "tiff", "dcm"], _files("Format of the images; dcm for phantoms and DICOM files.", "--format")
    ] = "png",
    save_clean: Annotated[bool, _files("Also write the noise-free image.", "--save-clean/--no-save-clean")] = True,
) -> None:
    """Add X-ray noise to clean radiographs, or to a built-in chest phantom."""
    from xray_denoise.scale import GREY_MAX
    from xray_denoise.tasks import synth as task
    from xray_denoise.tasks.jobs import checked_path, expand_lists
    from xray_denoise.tasks.synth_noise import DetectorNoise, in_words

    derived = bool(clean) and file_format == "dcm"
    if derived and bits is not None:
        raise UsageError("a DICOM file keeps the bits of its source", hint="leave out --bits, or write PNG or TIFF")
    bits = bits or 8
    if bits not in (8, 16) and file_format != "dcm":
        raise UsageError(f"a {file_format.upper()} has 8 or 16 bits, not {bits}", hint="use --format dcm, or --bits 16")
    noise = _level(eta, sigma) if detector is None and noise_std is None else _detector(detector, noise_std, eta, sigma)
    recipe = task.Recipe(noise, bits, save_clean, file_format)
    folder = checked_path(output, "the output", "target")
    subjects, left_alone = (
        task.radiographs(expand_lists(clean, sys.stdin), folder, count=count, seed=seed)
        if clean
        else (task.phantoms(size, count, seed), [])
    )
    failed = 0
    printed: set[Path] = set()
    for exposure in task.synthesise(subjects, recipe, folder):
        if isinstance(exposure, task.Failure):
            failed += 1
            complain_of(exposure.error)
            continue
        for path in (exposure.noisy, exposure.clean, exposure.profile):
            if path and path not in printed:  # exposures of one image share the clean one
                give(one_line(str(path)))
                printed.add(path)
        say(f"  {one_line(in_words(exposure.noise))}: noisy PSNR {exposure.noisy_psnr:.2f} dB")
    if not derived and isinstance(noise, DetectorNoise) and 0 < noise.deviation < 0.4 * GREY_MAX / (2**bits - 1):
        say(f"  note: rounding to {bits} bits hides noise of this deviation; --bits 16 keeps it")
    say(f"  listed in {one_line(str(folder / task.MANIFEST))}")
    name_left_alone(left_alone)
    if failed:
        raise typer.Exit(1)


def _level(eta: str | None, sigma: str | None) -> "Noise":
    from xray_denoise.tasks.synth_noise import LevelNoise

    etas, sigmas = pair(eta or "0.6", "--eta"), pair(sigma or "10", "--sigma")
    if not (etas[0] > 0 and math.isfinite(sigmas[1]) and etas[1] <= 1e6 and sigmas[0] >= 0):
        raise UsageError(
            "--eta lies above 0, up to 1e6; --sigma is at least 0", hint="for example --eta 0.6 --sigma 10"
        )
    return LevelNoise(etas, sigmas)


def _detector(name: str | None, deviation: float | None, eta: str | None, sigma: str | None) -> "Noise":
    from xray_denoise.physics.detectors import DETECTORS, STRONGEST
    from xray_denoise.tasks.synth_noise import DetectorNoise, profile_noise

    if name is None:
        raise UsageError("--noise-std needs --detector", hint="for example --detector csi --noise-std 2")
    if not (eta is None and sigma is None):
        raise UsageError(
            "--detector and --noise-std replace --eta and --sigma",
            hint="give --eta and --sigma, or --detector and --noise-std",
        )
    if deviation is not None and not 0 <= deviation <= STRONGEST:
        raise UsageError(f"--noise-std is 0 to {STRONGEST:g} grey levels", hint="for example --noise-std 2")
    if name in DETECTORS:
        return DetectorNoise(name, DEFAULT_DEVIATION if deviation is None else deviation)
    path = Path(name)
    if path.suffix.lower() != ".json" and not path.exists():
        raise UsageError(
            f"no detector is called '{name}'", hint=f"choose one of {', '.join(DETECTORS)}, or a noise profile (.json)"
        )
    return profile_noise(path, deviation)
