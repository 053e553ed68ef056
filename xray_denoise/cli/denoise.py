"""`xray-denoise denoise`."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xray_denoise.cli.app import complain, counter, explain, guarded, libraries_muted, one_line, pair, say
from xray_denoise.errors import UsageError

if TYPE_CHECKING:
    from xray_denoise.denoisers import Denoiser
    from xray_denoise.files import Compression
    from xray_denoise.physics.noise import NoiseLevel
    from xray_denoise.tasks.denoise import Existing, Options, Outcome
    from xray_denoise.tasks.denoise_report import DenoiseReport
    from xray_denoise.tasks.jobs import Job
    from xray_denoise.tasks.manifest import Manifest


@guarded
def denoise(
    inputs: Annotated[
        list[str],
        typer.Argument(help="DICOM, PNG, TIFF or WebP files, folders, or @list.txt with one path a line."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File, or folder for the results; its suffix sets the format."),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="A model, a classical method, or a .safetensors file; auto takes x-bdcnn-wide, on a CPU lite "
            "above 512x512.",
        ),
    ] = "auto",
    strength: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the predicted change; 0 returns the input bit by bit."),
    ] = 1.0,
    eta: Annotated[
        float | None,
        typer.Option(help="Photons per grey level, where known; needs --sigma. Default: estimated."),
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Electronic noise in grey levels, where known; needs --eta.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="Arithmetic of the network.")
    ] = "auto",
    engine: Annotated[
        Literal["auto", "torch", "openvino"],
        typer.Option(help="What runs the network on a CPU; auto takes OpenVINO where installed, not for lite in fp32."),
    ] = "auto",
    tile: Annotated[str, typer.Option(help="Side of the tiles in pixels, or auto.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Tiles per pass.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")] = None,
    value_range: Annotated[
        str, typer.Option("--range", metavar="auto|LO,HI", help="Stored values taken as black and white.")
    ] = "auto",
    render: Annotated[
        Literal["auto", "display", "stored"],
        typer.Option(help="What a picture of a DICOM shows: as a viewer would (auto), or stored values."),
    ] = "auto",
    bits: Annotated[int | None, typer.Option(help="8 or 16 bits of a PNG or TIFF result.")] = None,
    compress: Annotated[
        Literal["none", "rle", "jpegls", "j2k"],
        typer.Option(help="Compression of DICOM results, always without loss."),
    ] = "none",
    private: Annotated[
        Literal["keep", "drop"], typer.Option(help="What becomes of a DICOM file's private groups.")
    ] = "keep",
    existing: Annotated[
        Literal["error", "skip", "overwrite"],
        typer.Option(help="Where the result is there already: fail, skip it if it is fresh, or replace it."),
    ] = "error",
    on_error: Annotated[
        Literal["continue", "stop"], typer.Option(help="What to do after a file that failed.")
    ] = "continue",
    save_noise_map: Annotated[
        bool,
        typer.Option("--save-noise-map", help="Also write the noise at every pixel (TIFF, grey levels)."),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Also write a page that shows the images before and after."),
    ] = None,
    report_names: Annotated[
        bool,
        typer.Option("--report-names", help="Name the files on the page; names may tell who a patient is."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would become what, and stop.")] = False,
) -> None:
    """Denoise radiographs; the originals are never touched."""
    from xray_denoise.tasks import denoise as task
    from xray_denoise.tasks.jobs import plan_jobs

    if bits not in (None, 8, 16):
        raise UsageError(f"a picture has 8 or 16 bits, not {bits}", hint="use --bits 8 or --bits 16")
    level = _level(eta, sigma)
    span = None if value_range == "auto" else pair(value_range, "--range", example="0,4095")
    jobs, ignored = plan_jobs(inputs, output, noise_maps=save_noise_map)
    _refuse_dicom_options(jobs, compress, private)
    if bits and any(job.target.suffix.lower() in (".dcm", ".dicom") for job in jobs):
        raise UsageError("a DICOM file keeps the bits of its source", hint="leave out --bits, or write PNG or TIFF")
    if ignored:
        say(f"left alone: {len(ignored)} file{'s' * (len(ignored) > 1)} in folders that are no radiographs")
    page = _page(report, jobs, existing, names=report_names)
    if dry_run:
        _announce(jobs, page)
        return
    denoiser, model_hash, device_name = _method(model, device, precision, engine, tile, batch_size, threads)
    if page:
        page.prepare()
    said = getattr(denoiser, "title", denoiser.name)
    say(f"denoising with {said}" + (f" on {device_name}" if device_name else ""))
    explain(f"weights {model_hash[:12] or 'none'}; {getattr(denoiser, 'settings', 'no settings')}")
    options = task.Options(
        denoiser,
        model_hash,
        level,
        strength,
        span=span,
        bits=bits,
        render=render,
        compression=compress,
        private=private,
        existing=existing,
        stop_on_error=on_error == "stop",
        save_noise_map=save_noise_map,
        manifest=_manifest(output, jobs, existing),
        show=page.show if page else None,
    )
    if _run(jobs, options, device_name, page, as_json=as_json):
        raise typer.Exit(1)


def _refuse_dicom_options(jobs: "list[Job]", compress: "Compression", private: str) -> None:
    """What only DICOM results have must not be asked of other results in vain."""
    from xray_denoise import files

    files.require_encoder(compress)
    if all(files.SUFFIXES.get(job.target.suffix.lower(), "dicom") != "dicom" for job in jobs):
        for option, value, idle in (("--compress", compress, "none"), ("--private", private, "keep")):
            if value != idle:
                raise UsageError(f"{option} is for DICOM results", hint="leave it out, or write .dcm files")


def _announce(jobs: "list[Job]", page: "DenoiseReport | None") -> None:
    """Print what would become what."""
    for job in jobs:
        typer.echo(f"{one_line(str(job.source))} -> {one_line(str(job.target))}")
    if page:
        say(f"report: {one_line(str(page.target))}")


def _run(jobs: "list[Job]", options: "Options", device: str, page: "DenoiseReport | None", *, as_json: bool) -> int:
    """Denoise every file, tell of each, and write the page; returns how many failed."""
    from xray_denoise.tasks import denoise as task

    counts = {"written": 0, "skipped": 0, "failed": 0}

    def tell(outcome: "Outcome") -> None:
        counts[outcome.status] += 1
        advance()
        if page:
            page.add(outcome)
        _report(outcome, record=_record(outcome, options, device) if as_json else None)

    outcomes = task.denoise_files(jobs, options)
    try:
        with libraries_muted(), counter("denoise", len(jobs)) as advance:
            try:
                for outcome in outcomes:
                    tell(outcome)
            except KeyboardInterrupt as interruption:
                with suppress(KeyboardInterrupt):
                    tell(outcomes.throw(interruption))
                    for outcome in outcomes:
                        tell(outcome)
                raise
    finally:
        left = len(jobs) - sum(counts.values())
        told = {**counts, **({"not begun": left} if left else {})}
        if len(jobs) > 1:
            say(", ".join(f"{count} {status}" for status, count in told.items()))
    if page:
        page.write(options, device)
        say(f"report: {one_line(str(page.target))}")
    return counts["failed"]


def _page(target: Path | None, jobs: "list[Job]", existing: "Existing", *, names: bool) -> "DenoiseReport | None":
    """The page to make, if one is wanted and not there already."""
    if target is None:
        if names:
            raise UsageError("--report-names goes with --report", hint="add --report FILE.html, or leave it out")
        return None
    from xray_denoise.tasks.denoise_report import DenoiseReport

    page = DenoiseReport(target, jobs, existing, names=names)
    if page.skipped:
        say(f"report: {one_line(str(target))} (there already)")
        return None
    return page


def _manifest(output: Path, jobs: "list[Job]", existing: "Existing") -> "Manifest | None":
    """The record of a folder of results; a single file has one only where it may be skipped."""
    from xray_denoise.tasks.manifest import Manifest

    into_folder = jobs[0].target != output
    return Manifest(output if into_folder else output.parent) if into_folder or existing == "skip" else None


def _level(eta: float | None, sigma: float | None) -> "NoiseLevel | None":
    from xray_denoise.physics.noise import NoiseLevel

    if (eta is None) != (sigma is None):
        raise UsageError("--eta and --sigma go together", hint="give both, or neither to have them estimated")
    if eta is None or sigma is None:
        return None
    try:
        return NoiseLevel(eta, sigma)
    except ValueError as error:
        raise UsageError(str(error), hint="for example --eta 0.6 --sigma 10") from error


def _method(
    model: str, device: str, precision: str, engine: str, tile: str, batch_size: int, threads: int | None
) -> "tuple[Denoiser, str, str]":
    """The denoiser, the hash of its weights, and the device it runs on (both empty for a classical method)."""
    from xray_denoise import denoisers

    if tile != "auto" and not (tile.isdecimal() and int(tile)):
        raise UsageError(f"--tile takes auto or a number of pixels, got '{tile}'", hint="for example --tile 512")
    runtime = denoisers.Runtime(device, precision, None if tile == "auto" else int(tile), batch_size, engine)
    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    denoiser = denoisers.get(model, runtime)
    if device not in ("auto", "cpu") and not hasattr(denoiser, "device"):
        raise UsageError(f"'{denoiser.name}' runs on the CPU only", hint="leave out --device, or choose a network")
    return denoiser, getattr(denoiser, "version", ""), str(getattr(denoiser, "device", ""))


def _report(outcome: "Outcome", record: dict[str, object] | None) -> None:
    if record is not None:
        typer.echo(json.dumps(record))
    if outcome.status == "failed":
        complain(outcome.error, outcome.hint)
    elif record is None:
        note = f" (eta {outcome.level.eta:.3g}, sigma {outcome.level.sigma:.3g})" if outcome.level else ""
        skipped = " (there already)" if outcome.status == "skipped" else ""
        say(f"{one_line(str(outcome.job.source))} -> {one_line(str(outcome.job.target))}{note}{skipped}")
    for caveat in outcome.caveats:
        say(f"note: {one_line(str(outcome.job.source))}: {caveat}")


def _record(outcome: "Outcome", options: "Options", device: str) -> dict[str, object]:
    level = outcome.level
    return {
        "source": str(outcome.job.source),
        "target": str(outcome.job.target),
        "status": outcome.status,
        "error": outcome.error or None,
        "model": outcome.model or options.denoiser.name,
        "model_sha256": (outcome.model_hash if outcome.model else options.model_hash) or None,
        "device": device or None,
        "eta": level.eta if level and level.eta != float("inf") else None,
        "sigma": level.sigma if level else None,
        "seconds": round(outcome.seconds, 4),
    }
