"""`denoise`: everything that the command does, as one function.

    denoise_files(sources, target, ...) -> plan, model, manifest, report and log -> Batch (`denoise_run`)

Arguments are checked, and what is missing is refused, before the first file is denoised.
"""

import os
from collections.abc import Iterable
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from xray_denoise import denoisers, files, weights
from xray_denoise.denoisers import Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.files import Compression, Private, Render
from xray_denoise.files.folders import same_file
from xray_denoise.physics.profile import Noise
from xray_denoise.tasks.cluster import on_cluster
from xray_denoise.tasks.denoise_log import OutcomeLog
from xray_denoise.tasks.denoise_report import DenoiseReport
from xray_denoise.tasks.denoise_run import Batch
from xray_denoise.tasks.jobs import (
    MANIFEST_NAME,
    AnyPath,
    Job,
    check_choice,
    checked_path,
    plan_jobs,
)
from xray_denoise.tasks.manifest import Manifest
from xray_denoise.tasks.models import Device, Precision, load
from xray_denoise.tasks.naming import Format, Naming
from xray_denoise.tasks.options import Existing, Options, Temporal
from xray_denoise.tasks.outcome import Outcome
from xray_denoise.tasks.outputs import refuse_inputs
from xray_denoise.tasks.remarks import Strength
from xray_denoise.tasks.shard import Shard, name_below

OnError = Literal["continue", "stop"]


def denoise_files(
    sources: AnyPath | Iterable[AnyPath],
    target: AnyPath,
    *,
    model: str | os.PathLike[str] | Denoiser = denoisers.AUTO,
    profile_or_level: Noise | None = None,
    strength: Strength = 1.0,
    temporal: Temporal = "auto",
    value_range: tuple[float, float] | None = None,
    file_format: Format | None = None,
    suffix: str = "",
    bits: int | None = None,
    render: Render = "auto",
    compression: Compression = "none",
    private: Private = "keep",
    existing: Existing = "error",
    on_error: OnError = "continue",
    save_noise_map: bool = False,
    save_uncertainty: bool = False,
    report: AnyPath | None = None,
    report_names: bool = False,
    log: AnyPath | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    cluster: str | None = None,
    shard: str | None = None,
) -> Batch:
    """Denoise files and folders; this is what `xray-denoise denoise` does.

    One file that fails never stops the others: its failure is an outcome. Results appear whole or not at all, and an
    original is never written over.

    Args:
        sources: a file, a folder (searched to the bottom), or several of either.
        target: the result where there is one source file and this has the ending of a file; otherwise the folder of
            the results, which keeps the tree of an input folder.
        model: a name of `models()`, "auto", a .safetensors file with its card beside it, or what `load` gave.
        profile_or_level: the noise where it is known; None has it estimated from each image. A profile that knows its
            `black_white` is converted to the value range and the polarity of each image.
        strength: share of the predicted change that is made, 0..1; 0 gives the input back bit by bit, and "auto"
            takes less than 1 where structure would be removed (docs/notes.md).
        temporal: whether the frames of a run are averaged with up to four before and after, where nothing moves: "auto"
            for DICOM files with a frame time, "on" for all files whose frames show one scene, or "off". Only for models
            that estimate a noise profile.
        value_range: stored values that are shown black and white; by default 0..255 of 8-bit pictures, and all but
            the outermost 0.01 % of the pixels of everything else. All frames of a scene get the widest range among its
            first four.
        file_format: "png", "tiff" or "dcm" for every result in a folder; None keeps that of the content of each source,
            whatever its name (JPEG becomes PNG).
        suffix: text between the name and the ending of results in a folder, such as "_denoised".
        bits: 8 or 16 bits for each pixel of a PNG or TIFF; other bits than those of a PNG or TIFF source scale its
            stored values, those of `value_range` or else all that it can hold, to all that the result can hold.
        render: what a picture of a DICOM file shows: "auto" or "display" as a viewer would show it, or "stored" values.
        compression: lossless compression of DICOM results: "none", "rle", "jpegls" or "j2k".
        private: "keep" or "drop" the private elements of DICOM files.
        existing: where a result is there already: "error" fails, "skip" leaves it where the manifest proves that it is
            what would be made again, and makes it again where it is an older result, "overwrite" replaces any file.
        on_error: "continue" with the next file after a failure, or "stop".
        save_noise_map: also write the standard deviation of the noise at every pixel: RESULT.noise.tif, grey levels.
        save_uncertainty: also write how far from the true value each pixel may be: RESULT.uncertainty.tif, half widths
            of intervals that hold it in 90 % of the pixels, stored values (docs/notes.md says what they do not cover).
            Only for a model that was calibrated, at full strength and for noise that is estimated from the image.
        report: HTML page with the images before and after.
        report_names: name the files on that page; names may tell who a patient is.
        log: file of JSON lines with every outcome (docs/api.md lists the fields).
        device: "auto", "cpu", "cuda", "cuda:N" or "mps"; ignored, like precision, tile and batch_size, where
            the model is loaded already.
        precision: arithmetic of the network: "auto", "fp32", "bf16" or "fp16".
        tile: side of the tiles in pixels; None chooses it by the image.
        batch_size: tiles in a pass.
        threads: CPU threads of this process, or of each worker of a cluster; None leaves them as they are.
        cluster: denoise on a Ray cluster: "auto" is the one that this machine belongs to, "HOST:PORT" that of a head,
            "local" one of this machine alone. All machines see the same files by the same names.
        shard: "K/N", the K-th of N parts of the files: any N parts are disjoint and complete. Results are recorded in
            a part of the manifest, so that all parts may run at once, on any machines.

    Returns:
        The run: an iterator over outcomes, which denoises while it is iterated over.

    Raises:
        UsageError: arguments that contradict each other, or a result in the place of an input.
        CannotRunError: the device, a package or readable weights are missing.
        ExistingFileError: the report or the log is there already.

    Examples:
        >>> import tempfile, numpy, xray_denoise as xd
        >>> folder = tempfile.TemporaryDirectory()
        >>> xd.write(xd.Radiograph.from_grey(numpy.full((32, 32), 90.0), bits=8), f"{folder.name}/in.png")
        >>> for outcome in xd.denoise_files(f"{folder.name}/in.png", f"{folder.name}/results", model="tv"):
        ...     print(outcome.number, outcome.status, outcome.target.name)
        1 written in.png
        >>> folder.cleanup()
    """
    given = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    target = checked_path(target, "the output", "target")
    for option, value, choices in (
        ("file_format", file_format, Format | None),
        ("render", render, Render),
        ("compression", compression, Compression),
        ("private", private, Private),
        ("existing", existing, Existing),
        ("temporal", temporal, Temporal),
        ("on_error", on_error, OnError),
        ("precision", precision, Precision),
    ):
        check_choice(option, value, choices)
    if bits not in (None, 8, 16):
        raise UsageError(f"a picture has 8 or 16 bits, not {bits}", hint="choose 8 or 16", option="bits")
    part = None if shard is None else Shard.of(shard)
    jobs, left_alone = plan_jobs(
        given,
        target,
        noise_maps=save_noise_map,
        uncertainty=save_uncertainty,
        naming=Naming(file_format, suffix),
        recorded=lambda folder: Manifest(folder).is_ours,
    )
    _refuse_useless_options(jobs, compression, private, bits)
    page = None if report is None else DenoiseReport(checked_path(report, "the report", "report"), jobs, existing,
                                                     names=report_names)  # fmt: skip
    if page is None and report_names:
        raise UsageError("names are for a report, and none is asked for", hint="ask for one, or leave the names out",
                         option="report_names")  # fmt: skip
    outcomes = None if log is None else OutcomeLog(checked_path(log, "the log", "log"), jobs, existing)
    folder = target if jobs[0].target != target else target.parent
    _refuse_one_file_twice(
        outcomes.target if outcomes else None, page.target if page else None, folder / MANIFEST_NAME, model
    )
    manifest = _manifest(folder, jobs, existing, always=folder == target, part=part.name if part else "")
    if page and not page.skipped:
        page.require()
    if part is not None:  # only now: log, report and manifest must not be files of other parts either
        jobs = _jobs_of_part(part, jobs, given, page, single=folder != target)
    loader = partial(load, device=device, precision=precision, tile=tile, batch_size=batch_size)
    machines = None
    if cluster is not None:
        _refuse_for_cluster(target, folder, page, part)
        machines = on_cluster(cluster, model, loader, noise=profile_or_level, device=device, threads=threads)
        model = machines.denoiser
    if threads is not None and machines is None:
        denoisers.set_threads(threads)
    if isinstance(model, str | os.PathLike):
        model = loader(model)
    table = None
    if save_uncertainty:
        beside = weights.uncertainty_path(weights.folder(), model.name)
        table = weights.uncertainty(model.weights_sha256, model.part, model.name, beside)
    options = Options(
        model,
        noise=profile_or_level,
        strength=strength,
        temporal=temporal,
        value_range=value_range,
        bits=bits,
        render=render,
        compression=compression,
        private=private,
        existing=existing,
        stop_on_error=on_error == "stop",
        save_noise_map=save_noise_map,
        uncertainty=table,
        manifest=manifest,
    )
    page = None if page and page.skipped else page
    return Batch(jobs, left_alone, options, page, outcomes, cluster=machines, alone=part is None)


class FileOptions(TypedDict, total=False):
    """The arguments of `denoise_files` that apply to a single file."""

    model: str | os.PathLike[str] | Denoiser
    profile_or_level: Noise | None
    strength: Strength
    temporal: Temporal
    value_range: tuple[float, float] | None
    bits: int | None
    render: Render
    compression: Compression
    private: Private
    existing: Existing
    save_noise_map: bool
    save_uncertainty: bool
    device: Device


def denoise_file(source: AnyPath, target: AnyPath, **options: Unpack[FileOptions]) -> Outcome:
    """Denoise one file.

    Args:
        source: a DICOM, PNG, TIFF, WebP or JPEG file.
        target: the result, or a folder that is there already.
        options: model, profile_or_level, strength, temporal, value_range, bits, render, compression, private, existing,
            save_noise_map, save_uncertainty and device, as `denoise_files` describes them.

    Returns:
        What was found and removed; its status is "written", or "skipped" where the result is current.

    Raises:
        XrayDenoiseError: the file cannot be read, denoised or written, or an argument is wrong.

    Examples:
        >>> import tempfile, numpy, xray_denoise as xd
        >>> folder = tempfile.TemporaryDirectory()
        >>> xd.write(xd.Radiograph.from_grey(numpy.full((32, 32), 90.0), bits=8), f"{folder.name}/in.png")
        >>> outcome = xd.denoise_file(f"{folder.name}/in.png", f"{folder.name}/out.tif", model="tv")
        >>> outcome.status, outcome.shape, outcome.model
        ('written', (32, 32), 'tv')
        >>> folder.cleanup()
    """
    if Path(source).is_dir():
        raise UsageError("{path} is a folder", path=source, hint="denoise_files takes folders")
    (outcome,) = denoise_files(source, target, **options)
    if outcome.failure:
        raise outcome.failure
    return outcome


def _refuse_useless_options(jobs: list[Job], compression: Compression, private: Private, bits: int | None) -> None:
    """Refuse options that would have no effect."""
    kinds = {files.SUFFIXES.get(job.target.suffix.lower()) for job in jobs}
    may_be_dicom = "dicom" in kinds or None in kinds
    for option, is_set in (("compression", compression != "none"), ("private", private != "keep")):
        if is_set and not may_be_dicom:
            raise UsageError(
                f"the option '{option}' is for DICOM results, and there are none", hint="leave it out, or write DICOM",
                option=option,
            )  # fmt: skip
    files.require_encoder(compression)
    if bits is not None and "dicom" in kinds:
        raise UsageError(
            "a DICOM file keeps the bits of its source", hint="leave the bits out, or write PNG or TIFF", option="bits"
        )


def _refuse_one_file_twice(
    log: Path | None, report: Path | None, record: Path, model: str | os.PathLike[str] | Denoiser
) -> None:
    """Refuse a log, a report and a manifest that share a file, also one with the weights."""
    places = (("log", log), ("report", report), ("manifest", record))
    for (name, path), (other, taken) in combinations(places, 2):
        if path and taken and same_file(path, taken):
            raise UsageError(
                f"{{path}} cannot be the {name} and the {other}", path=path, hint="choose another name", option=name
            )
    if isinstance(model, str | os.PathLike):
        refuse_inputs({"log": log, "report": report}, [weights.file_of(os.fspath(model))])


def _jobs_of_part(
    part: Shard, jobs: list[Job], sources: list[AnyPath], page: DenoiseReport | None, *, single: bool
) -> list[Job]:
    """The jobs of a shard.

    Raises:
        UsageError: there is a single file, or a report is asked for.
    """
    if single:
        raise UsageError("a shard is a part of a folder, not of one file", hint="leave it out", option="shard")
    if page is not None:
        raise UsageError("a report is of a whole folder", hint="leave the shard out", option="report")
    inputs = [Path(path) for path in sources]
    return [job for job in jobs if part.holds(name_below(job.source, inputs))]


def _refuse_for_cluster(target: Path, folder: Path, page: DenoiseReport | None, part: Shard | None) -> None:
    """Refuse what a cluster cannot do."""
    if folder != target:
        raise UsageError("a cluster denoises folders, not one file", hint="name a folder", option="target")
    if page is not None:
        raise UsageError("a report holds pixels, which stay on the machines of a cluster",
                         hint="make the report of a few files on one machine", option="report")  # fmt: skip
    if part is not None:
        raise UsageError("a cluster shares the work out by itself", hint="leave the shard out", option="shard")


def _manifest(folder: Path, jobs: list[Job], existing: Existing, *, always: bool, part: str) -> Manifest | None:
    """The record of a folder of results; a single file has one only where it may be skipped."""
    if not always and existing != "skip":
        return None
    manifest = Manifest(folder, part)
    manifest.refuse_if_same_as(job.source for job in jobs)
    return manifest
