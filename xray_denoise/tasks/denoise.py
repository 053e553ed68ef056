"""`denoise`: files -> files. Reading, denoising and writing overlap; one bad file never stops the others.

inputs -> plan (source, target) -> read ahead -> denoise -> write behind -> outcomes, in the order of the plan
(`overlap.py` runs the three stages)
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor as Pool
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise import __version__, files
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.denoisers.by_size import BySize, version_of
from xray_denoise.errors import UnwritableFileError, UsageError, XrayDenoiseError
from xray_denoise.files import Compression, Derivation, Private, Render, extras
from xray_denoise.files.folders import make_folder
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks.jobs import MANIFEST_NAME, Job
from xray_denoise.tasks.manifest import Manifest, Recipe, sha256_of
from xray_denoise.tasks.overlap import overlapped

LARGEST_HELD = 4
"""Frames of one file that are denoised in memory; a file with more goes through frame by frame."""

Existing = Literal["error", "skip", "overwrite"]


@dataclass(frozen=True, slots=True)
class Options:
    """What is done to every file."""

    denoiser: Denoiser
    model_hash: str = ""
    level: NoiseLevel | None = None
    """The noise level where the user knows it; None means blind."""
    strength: float = 1.0
    """Share of the predicted change that is made, 0..1; 0 gives the input back bit by bit."""
    span: tuple[float, float] | None = None
    """Stored values that are grey 0 and 255; None means what `files.read` chooses."""
    bits: int | None = None
    render: Render = "auto"
    compression: Compression = "none"
    private: Private = "keep"
    existing: Existing = "error"
    stop_on_error: bool = False
    save_noise_map: bool = False
    manifest: Manifest | None = None
    """Where what was made from what is recorded; `skip` needs one, and skips what it knows to be fresh only."""
    note: str = ""
    """What the user should know of every result."""
    show: "Callable[[Outcome, Radiograph, Radiograph], None] | None" = None
    """Called for every file that was written, by the thread that writes, with its first frame before and after."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"the strength must lie in 0..1, got {self.strength:g}", hint="0 changes nothing")
        if self.existing == "skip" and self.manifest is None:
            raise ValueError("to skip results that are fresh takes a manifest")
        if self.span is not None and not self.span[0] < self.span[1]:
            raise UsageError("a range must go from a lower to a higher stored value", hint="for example --range 0,4095")

    @property
    def description(self) -> str:
        """Every option that changes the pixels or the attributes, for the derived file and its identifiers."""
        parts = [f"strength {self.strength:g}"]
        arithmetic = getattr(self.denoiser, "arithmetic", "fp32")  # the precision of a network, and by what
        if arithmetic != "fp32":
            parts.append(f"arithmetic {arithmetic}")
        if self.level is not None:
            parts.append(f"given eta {self.level.eta:g} and sigma {self.level.sigma:g}")
        if self.span is not None:
            parts.append(f"range {self.span[0]:g} to {self.span[1]:g}")
        if self.private == "drop":
            parts.append("private groups dropped")
        return ", ".join(parts)

    def for_size(self, shape: tuple[int, ...]) -> "Options":
        """These options, with the model that is right for images of height and width `shape`."""
        if not isinstance(self.denoiser, BySize):
            return self
        chosen = self.denoiser.choose(shape)
        if chosen is self.denoiser.full:
            return self._with(chosen)
        note = f"denoised by the light model {chosen.name}, as it is large; --model {self.denoiser.full.name} insists"
        return replace(self._with(chosen), note=note)

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """All of which one makes the result: a model that is chosen by size is not known before the file is read."""
        if not isinstance(self.denoiser, BySize):
            return (self.recipe,)
        return tuple(self._with(model).recipe for model in (self.denoiser.full, self.denoiser.light))

    def _with(self, denoiser: Denoiser) -> "Options":
        return replace(self, denoiser=denoiser, model_hash=version_of(denoiser))

    @property
    def recipe(self) -> Recipe:
        """All that decides a result, besides its source."""
        parts = [self.description, f"bits {self.bits or 'kept'}", f"render {self.render}"]
        parts.append(f"compression {self.compression}")
        if self.save_noise_map:
            parts.append("noise map")
        return Recipe(__version__, self.denoiser.name, self.model_hash, ", ".join(parts))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    job: Job
    status: Literal["written", "skipped", "failed"]
    error: str = ""
    hint: str = ""
    level: NoiseLevel | None = None
    """Noise level of the first frame, estimated or given."""
    caveats: tuple[str, ...] = ()
    """What the user should know before trusting the result."""
    model: str = ""
    """What denoised it; empty where nothing did."""
    model_hash: str = ""
    """Of its weights."""
    seconds: float = 0.0
    """Of denoising; of a file that goes through frame by frame, of reading and writing too."""


def denoise_files(jobs: Sequence[Job], options: Options) -> Generator[Outcome, None, None]:
    """Denoise every job; outcomes come in order, each when its file is on disk.

    A failure is an outcome, not an exception. With `stop_on_error` nothing new is begun after the first one; what
    was being written by then is finished and reported, as it is after Ctrl-C.
    """
    return overlapped(
        jobs,
        partial(_read, options=options),
        partial(_denoise_one, options=options),
        at_once=getattr(options.denoiser, "at_once", 1),
        is_last=lambda outcome: options.stop_on_error and outcome.status == "failed",
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """A file that was read."""

    frames: list[Radiograph] | Literal["skip", "stream"]
    """All of them; `skip` where its result is there already, `stream` where it has too many to hold."""
    options: Options
    """For images of its size."""
    sha256: str
    """Of its bytes; empty where no manifest asks for it."""


_Result = tuple[Radiograph, Denoised]
"""A frame as it was, and what the denoiser made of it."""
_Change = tuple[Radiograph, Radiograph, Denoised]
"""The frame with its change made between them."""

_FAILURES = (XrayDenoiseError, OSError, MemoryError)
"""What costs one file only."""


def _read(job: Job, options: Options) -> _Source:
    """Read a whole file, unless its result is there already.

    Raises:
        XrayDenoiseError: the source cannot be read, or a target exists.
    """
    files.sniff(job.source)
    digest = sha256_of(job.source) if options.manifest else ""
    if _is_done(job, options, digest):
        return _Source("skip", options, digest)
    frames = list(islice(files.read_frames(job.source, span=options.span), LARGEST_HELD + 1))
    sized = options.for_size(frames[0].stored.shape)
    return _Source(frames if len(frames) <= LARGEST_HELD else "stream", sized, digest)


def _is_done(job: Job, options: Options, digest: str) -> bool:
    """Whether the result is there and fresh; false where it may be made, or made again.

    Raises:
        UnwritableFileError: something is there that must not be replaced.
    """
    targets = [job.target, job.noise_map] if options.save_noise_map else [job.target]
    there = [target for target in targets if target.exists()]
    if not there or options.existing == "overwrite":
        return False
    if options.existing == "error" or options.manifest is None:
        raise UnwritableFileError(
            f"{there[0]} exists already", hint="use --existing skip or overwrite, or another output"
        )
    if there == targets and any(options.manifest.is_fresh(job.target, digest, recipe) for recipe in options.recipes):
        return True
    ours = options.manifest.is_ours if job.target in there else options.manifest.knows
    if not ours(job.target):
        raise UnwritableFileError(
            f"{there[0]} exists already, and {MANIFEST_NAME} does not tell what it was made from",
            hint="use --existing overwrite, or another output",
        )
    return False


def _denoise_one(job: Job, reading: Future[_Source], writer: Pool, options: Options) -> Future[Outcome]:
    """Denoise what was read in this thread, and hand it to the writer's."""
    try:
        source = reading.result()
        options = source.options
        denoise, level = options.denoiser, options.level
        if source.frames == "skip":
            return writer.submit(Outcome, job, "skipped")
        if source.frames == "stream":  # read, denoised and written frame by frame, by the writer alone
            stream = ((frame, denoise(frame.grey, level)) for frame in files.read_frames(job.source, span=options.span))
            return writer.submit(_write, job, stream, options, source.sha256)
        start = time.perf_counter()
        results = [(frame, denoise(frame.grey, level)) for frame in source.frames]
        return writer.submit(_write, job, results, options, source.sha256, time.perf_counter() - start)
    except _FAILURES as error:
        return writer.submit(_failure, job, error)


def _changed(results: Iterable[_Result], strength: float) -> Iterator[_Change]:
    for radiograph, denoised in results:
        image = denoised.image
        if strength != 1:
            image = (grey := radiograph.grey) + np.float32(strength) * (image - grey)
        yield radiograph, radiograph.with_grey(image), denoised


def _write(
    job: Job, results: Iterable[_Result], options: Options, digest: str, seconds: float | None = None
) -> Outcome:
    """Write the result of one file and, where asked for, its noise map beside it."""
    frames = _changed(results, options.strength)
    start = time.perf_counter()
    try:
        before, after, denoised = next(frames)
        estimated = denoised.level if options.level is None else None
        derivation = Derivation(
            options.denoiser.name,
            options.model_hash,
            options.description,
            eta=estimated.eta if estimated else None,
            sigma=estimated.sigma if estimated else None,
        )
        caveats = [*files.caveats(after), *([options.note] if options.note else [])]
        if options.save_noise_map and denoised.noise_map is None:
            caveats.append(f"'{options.denoiser.name}' makes no noise map")
        maps: list[NDArray[np.float32]] = []
        make_folder(job.target.parent)

        def record(written: Path) -> None:
            if options.manifest:
                options.manifest.add(job.target, written, digest, options.recipe)

        files.write(
            _keeping_maps(chain([(before, after, denoised)], frames), maps, keep=options.save_noise_map),
            job.target,
            derivation=derivation,
            bits=options.bits,
            render=options.render,
            compression=options.compression,
            private=options.private,
            when_whole=record,
        )
        if maps:
            extras.write_maps(maps, job.noise_map, source=job.source)
    except _FAILURES as error:
        return _failure(job, error)
    seconds = time.perf_counter() - start if seconds is None else seconds
    outcome = Outcome(
        job, "written", "", "", denoised.level, tuple(caveats), options.denoiser.name, options.model_hash, seconds
    )
    if options.show:
        options.show(outcome, before, after)
    return outcome


def _keeping_maps(results: Iterable[_Change], maps: list[NDArray[np.float32]], *, keep: bool) -> Iterator[Radiograph]:
    for _, radiograph, denoised in results:
        if keep and denoised.noise_map is not None:
            maps.append(denoised.noise_map)
        yield radiograph


def _failure(job: Job, error: XrayDenoiseError | OSError | MemoryError) -> Outcome:
    """What to tell of a file that failed."""
    if isinstance(error, XrayDenoiseError):
        return Outcome(job, "failed", str(error), error.hint)
    if isinstance(error, MemoryError):
        return Outcome(job, "failed", f"there is too little memory for {job.source}", "try a smaller --tile")
    reason = f"{error.filename or job.target}: {error.strerror or type(error).__name__}"
    return Outcome(job, "failed", reason, "check the names, the permissions and the space on the disk")
