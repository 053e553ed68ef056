"""What is done with the result of a job: written, replaced, left as it is, or refused, before any pixel is read."""

from pathlib import Path
from typing import Literal

from xray_denoise import files
from xray_denoise.errors import ExistingFileError
from xray_denoise.tasks.fingerprint import refuse_huge
from xray_denoise.tasks.jobs import MANIFEST_NAME, Job
from xray_denoise.tasks.options import Options

Decision = Literal["write", "replace", "skip"]


def examine(job: Job, options: Options) -> tuple[files.Kind, Decision]:
    """The format of the source of a job, and what is done with its target, before any pixel is read.

    Raises:
        UnreadableFileError: the source is missing, far too large, or of no format that is read.
        ExistingFileError: something is there that must not be replaced.
        UnwritableFileError: the source has several frames, and the target holds one.
    """
    kind = files.kind_of(job.source)
    refuse_huge(job.source)
    decision = decide(job, options)
    if decision != "skip":
        files.refuse_several_frames(job.source, job.target, kind=kind)
    return kind, decision


def decide(job: Job, options: Options) -> Decision:
    """Whether the target of a job is written, replaced, or skipped because it is current.

    Raises:
        ExistingFileError: something is there that must not be replaced.
    """
    noise_map = job.noise_map if options.save_noise_map else None
    uncertainty = job.uncertainty if options.uncertainty else None
    targets = [path for path in (job.target, noise_map, uncertainty) if path is not None]
    there = [target for target in targets if _exists(target)]
    if not there or options.existing == "overwrite":
        return "replace" if there else "write"
    manifest = options.manifest
    if options.existing == "error" or manifest is None:
        raise ExistingFileError(
            "{path} exists already", path=there[0], hint="skip or overwrite it, or choose another output",
            option="existing",
        )  # fmt: skip
    manifest.refresh()  # another run may have made it
    if job.target in there and manifest.is_current(job.target, noise_map, job.source, options.recipe, uncertainty):
        return "skip"
    for target in there:
        ours = manifest.is_ours(target) if target == job.target else manifest.is_our_map(job.target, target)
        if not ours:
            raise ExistingFileError(
                f"{{path}} exists already and is not an unchanged result of xray-denoise (by {MANIFEST_NAME})",
                path=target,
                hint="overwrite it, or choose another output",
                option="existing",
            )
    return "replace"


def _exists(path: Path) -> bool:
    """Whether the name is taken, if only by a dangling link."""
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True
