"""`xray-denoise synth`."""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from xray_denoise.cli.app import guarded, one_line, pair, say
from xray_denoise.errors import UsageError


@guarded
def synth(
    clean: Annotated[
        list[Path] | None,
        typer.Argument(help="Noise-free radiographs. Without any, a chest phantom is made."),
    ] = None,
    eta: Annotated[str, typer.Option(metavar="E|LO,HI", help="Photons per grey level; small is noisy.")] = "0.6",
    sigma: Annotated[str, typer.Option(metavar="S|LO,HI", help="Electronic noise, grey levels.")] = "10",
    size: Annotated[int, typer.Option(min=16, max=8192, help="Side of a phantom, pixels.")] = 1024,
    count: Annotated[int, typer.Option(min=1, help="How many phantoms.")] = 1,
    bits: Annotated[int, typer.Option(min=8, max=16, help="Bits per pixel of the files.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the phantom and the noise; a seed repeats a result.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the images.")] = Path(),
    file_format: Annotated[Literal["png", "tiff", "dcm"], typer.Option("--format", help="Type of the files.")] = "png",
    save_clean: Annotated[
        bool, typer.Option("--save-clean/--no-save-clean", help="Write the noise-free image too.")
    ] = True,
) -> None:
    """Add X-ray noise to clean radiographs, or to a built-in chest phantom."""
    from xray_denoise.tasks import synth as task

    if bits not in (8, 16) and file_format != "dcm":
        raise UsageError(f"a {file_format.upper()} has 8 or 16 bits, not {bits}", hint="use --format dcm, or --bits 16")
    etas, sigmas = pair(eta, "--eta"), pair(sigma, "--sigma")
    if not (etas[0] > 0 and math.isfinite(sigmas[1]) and etas[1] <= 1e6 and sigmas[0] >= 0):
        raise UsageError(
            "--eta lies above 0, up to 1e6; --sigma is at least 0", hint="for example --eta 0.6 --sigma 10"
        )
    recipe = task.Recipe(etas, sigmas, bits, seed, save_clean, file_format)
    subjects = task.radiographs(clean, seed) if clean else task.phantoms(size, count, seed)
    for exposure in task.synthesise(subjects, recipe, output):
        typer.echo(one_line(str(exposure.noisy)))
        if exposure.clean:
            typer.echo(one_line(str(exposure.clean)))
        say(f"  eta {exposure.eta:g}, sigma {exposure.sigma:g}: noisy PSNR {exposure.noisy_psnr:.2f} dB")
    say(f"  listed in {one_line(str(output / task.MANIFEST))}")
