"""`xray-denoise denoise`."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xray_denoise.cli.app import guarded, value_range_of
from xray_denoise.cli.completion import complete_model
from xray_denoise.cli.outcomes import preview, run
from xray_denoise.cli.terminal import one_line, say
from xray_denoise.errors import UsageError

if TYPE_CHECKING:
    from xray_denoise.physics.profile import Noise
    from xray_denoise.tasks.remarks import Strength

NOISE, FILES, TELL, SPEED = "Noise", "Files", "Reports", "Device and speed"


@guarded
def denoise(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="DICOM, PNG, TIFF, WebP or JPEG files, folders, or @list.txt (one path a line; @-: stdin)."
        ),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="A file, whose ending sets its format, or a folder for the results."),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            autocompletion=complete_model,
            help="A model, a classical method, or a .safetensors file; auto takes x-profile.",
        ),
    ] = "auto",
    existing: Annotated[
        Literal["error", "skip", "overwrite"],
        typer.Option(help="If the result exists: fail, skip it where it is up to date, or replace it."),
    ] = "error",
    strength: Annotated[
        str,
        typer.Option(
            metavar="auto|0..1",
            rich_help_panel=NOISE,
            help="Share of the predicted change that is made; 0 returns the input unchanged, auto lowers it where "
            "structure would be removed.",
        ),
    ] = "1",
    eta: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=NOISE, help="Photons per grey level, where known; needs --sigma. Default: estimated."
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(rich_help_panel=NOISE, help="Electronic noise in grey levels, where known; needs --eta."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="FILE", rich_help_panel=NOISE, help="Noise profile (JSON) instead of --eta and --sigma."),
    ] = None,
    save_noise_map: Annotated[
        bool,
        typer.Option(
            "--save-noise-map", rich_help_panel=NOISE, help="Also write the noise at every pixel (TIFF, grey levels)."
        ),
    ] = False,
    save_uncertainty: Annotated[
        bool,
        typer.Option(
            "--save-uncertainty",
            rich_help_panel=NOISE,
            help="Also write 90 % intervals: half widths at every pixel (TIFF, stored values).",
        ),
    ] = False,
    temporal: Annotated[
        Literal["auto", "on", "off"],
        typer.Option(
            rich_help_panel=NOISE,
            help="Average frames where nothing moves: of DICOM runs with a frame time (auto), of all runs, or never.",
        ),
    ] = "auto",
    file_format: Annotated[
        Literal["png", "tiff", "dcm"] | None,
        typer.Option(
            "--format",
            rich_help_panel=FILES,
            help="Format of results in a folder. Default: that of each input's content (JPEG becomes PNG).",
        ),
    ] = None,
    suffix: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=FILES,
            help="Text added to the names of results in a folder, such as _denoised.",
        ),
    ] = "",
    bits: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=FILES,
            help="8 or 16 bits of a PNG or TIFF result. Other bits than those of a PNG or TIFF input scale its values.",
        ),
    ] = None,
    value_range: Annotated[
        str,
        typer.Option(
            "--range", metavar="auto|LO,HI", rich_help_panel=FILES, help="Stored values that are black and white."
        ),
    ] = "auto",
    render: Annotated[
        Literal["auto", "display", "stored"],
        typer.Option(
            rich_help_panel=FILES,
            help="How a PNG or TIFF of a DICOM file looks: as in a viewer (auto, display), or stored values.",
        ),
    ] = "auto",
    compress: Annotated[
        Literal["none", "rle", "jpegls", "j2k"],
        typer.Option(rich_help_panel=FILES, help="Lossless compression of DICOM results."),
    ] = "none",
    private: Annotated[
        Literal["keep", "drop"], typer.Option(rich_help_panel=FILES, help="Keep or drop private DICOM elements.")
    ] = "keep",
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            rich_help_panel=FILES,
            help="Watch one folder, and denoise what comes into it, until SIGTERM or Ctrl-C.",
        ),
    ] = False,
    on_error: Annotated[
        Literal["continue", "stop"], typer.Option(rich_help_panel=FILES, help="What to do after a file that failed.")
    ] = "continue",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", rich_help_panel=TELL, help="Print what would be done with each file, and stop."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=TELL, help="Print one JSON object for each file.")
    ] = False,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", rich_help_panel=TELL, help="Also write these objects to a file, failures included."
        ),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.html", rich_help_panel=TELL, help="Also write an HTML page with the images before and after."
        ),
    ] = None,
    report_names: Annotated[
        bool,
        typer.Option(
            "--report-names",
            rich_help_panel=TELL,
            help="Show file names on that page; they may identify patients.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(rich_help_panel=SPEED, help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        typer.Option(rich_help_panel=SPEED, help="Arithmetic of the network."),
    ] = "auto",
    tile: Annotated[str, typer.Option(rich_help_panel=SPEED, help="Side of the tiles in pixels, or auto.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, rich_help_panel=SPEED, help="Tiles per pass.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=SPEED, help="CPU threads. Default: all cores.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT|local",
            rich_help_panel=SPEED,
            help="Denoise on a Ray cluster: the one of this machine, that of a head, or one of this machine alone.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N", rich_help_panel=SPEED, help="Denoise one of N parts of the files, for a job array."
        ),
    ] = None,
) -> None:
    """Denoise radiographs; the originals are never touched."""
    from xray_denoise import denoise_files, denoisers, load
    from xray_denoise.cli.watch import watch_folder
    from xray_denoise.tasks.jobs import expand_lists, lists_among
    from xray_denoise.tasks.naming import Naming
    from xray_denoise.tasks.outputs import refuse_inputs

    written = {"log": Path(log) if log else None, "report": Path(report) if report else None}
    refuse_inputs(written, [*([profile] if profile else []), *lists_among(inputs), *(inputs if watch else [])])
    denoisers.keep_memory()
    plan = partial(
        denoise_files,
        target=output,
        model=model,
        profile_or_level=_noise(eta, sigma, profile),
        strength=parsed_strength(strength),
        temporal=temporal,
        value_range=value_range_of(value_range),
        file_format=file_format,
        suffix=suffix,
        bits=bits,
        render=render,
        compression=compress,
        private=private,
        existing="skip" if watch and existing == "error" else existing,
        on_error=on_error,
        save_noise_map=save_noise_map,
        save_uncertainty=save_uncertainty,
        report=report,
        report_names=report_names,
        log=log,
        device=device,
        precision=precision,
        tile=_tile(tile),
        batch_size=batch_size,
        threads=threads,
        cluster=cluster,
        shard=shard,
    )
    if watch:
        if dry_run or report:
            raise UsageError("--watch goes on without end", hint="leave out --dry-run and --report")
        if cluster or shard:
            raise UsageError("--watch runs on one machine", hint="leave out --cluster and --shard")
        loaded = load(model, device=device, precision=precision, tile=_tile(tile), batch_size=batch_size)
        watch_folder(inputs, output, partial(plan, model=loaded), Naming(file_format, suffix), as_json=as_json)
        return
    batch = plan(list(expand_lists(inputs, sys.stdin)))
    if report and batch.report is None:
        say(f"report: {one_line(report)} (exists and is left as it is)")
    if preview(batch, as_json=as_json) if dry_run else run(batch, as_json=as_json):
        raise typer.Exit(1)


def _noise(eta: float | None, sigma: float | None, profile: str | None) -> "Noise | None":
    from xray_denoise.files.profiles import read_profile
    from xray_denoise.physics.noise import NoiseLevel
    from xray_denoise.tasks.jobs import checked_path

    if (eta is None) != (sigma is None):
        raise UsageError("--eta and --sigma go together", hint="give both, or neither to have them estimated")
    if profile is not None:
        if eta is not None:
            raise UsageError("--profile replaces --eta and --sigma", hint="give the profile, or both of them")
        return read_profile(checked_path(profile, "the noise profile", "profile"))
    if eta is None or sigma is None:
        return None
    try:
        return NoiseLevel(eta, sigma)
    except ValueError as error:
        raise UsageError(str(error), hint="for example --eta 0.6 --sigma 10") from error


def parsed_strength(text: str) -> "Strength":
    """`auto` or a number.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(
            f"--strength takes auto or a number from 0 to 1, got '{text}'", hint="for example --strength 0.8"
        ) from error


def _tile(text: str) -> int | None:
    if text == "auto":
        return None
    if not (text.isdecimal() and int(text)):
        raise UsageError(f"--tile takes auto or a number of pixels, got '{text}'", hint="for example --tile 512")
    return int(text)
