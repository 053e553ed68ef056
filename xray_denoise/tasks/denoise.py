"""`denoise`: files -> files. Reading, denoising and writing overlap; one bad file never stops the others.

inputs -> plan (source, target) -> read ahead -> denoise -> write behind -> outcomes, in the order of the plan
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise import files
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError, XrayDenoiseError
from xray_denoise.files import Derivation, Render, extras
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.radiograph import Radiograph

AHEAD = 2
"""Files read before, and written after, the one that is being denoised; memory holds no more."""
LARGEST_HELD = 4
"""Frames of one file that are denoised in memory; a file with more goes through frame by frame."""

Existing = Literal["error", "skip", "overwrite"]


@dataclass(frozen=True, slots=True)
class Job:
    """One file to denoise."""

    source: Path
    target: Path


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
    existing: Existing = "error"
    stop_on_error: bool = False
    save_noise_map: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(f"the strength must lie in 0..1, got {self.strength:g}", hint="0 changes nothing")
        if self.span is not None and not self.span[0] < self.span[1]:
            raise UsageError("a range must go from a lower to a higher stored value", hint="for example --range 0,4095")

    @property
    def description(self) -> str:
        """Every option that changes the pixels, for the derived file and its identifiers."""
        parts = [f"strength {self.strength:g}"]
        if self.level is not None:
            parts.append(f"given eta {self.level.eta:g} and sigma {self.level.sigma:g}")
        if self.span is not None:
            parts.append(f"range {self.span[0]:g} to {self.span[1]:g}")
        return ", ".join(parts)


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
    seconds: float = 0.0
    """From the end of reading to the end of denoising."""


def plan_jobs(inputs: Sequence[str], output: Path) -> tuple[list[Job], list[Path]]:
    """Which file becomes which.

    Args:
        inputs: files, folders (searched to the bottom) and @lists of either, one path a line.
        output: the result where there is one input file and this ends like a file; otherwise the folder of the
            results. A folder's tree is kept below it.

    Returns:
        The jobs in a stable order, and the files in folders that are no radiographs and are left alone.

    Raises:
        UsageError: no file at all, several files for one result, or an output that is a file where a folder is due.
    """
    given = list(_expand(inputs))
    sources, ignored = _collect(given)
    if not sources:
        raise UsageError(
            "there is no radiograph among the inputs", hint="give DICOM, PNG, TIFF or WebP files or folders"
        )
    names_a_file = output.suffix[1:].isalpha() and not output.is_dir()
    if len(sources) == 1 and sources[0][0] in given and names_a_file:
        return [Job(sources[0][0], output)], ignored
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, but the results need a folder", hint="name a folder with -o")
    jobs = [Job(source, output / inside) for source, inside in sources]
    claimed: dict[Path, Path] = {}
    for job in jobs:
        if job.target in claimed:
            raise UsageError(
                f"{claimed[job.target]} and {job.source} would both become {job.target}",
                hint="denoise them into different folders, or give the folder above both",
            )
        claimed[job.target] = job.source
    return jobs, ignored


def _expand(inputs: Iterable[str]) -> Iterator[Path]:
    """Inputs with every @list replaced by its lines."""
    for text in inputs:
        if not text.startswith("@"):
            yield Path(text)
            continue
        try:
            lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableFileError(f"cannot read the list {text[1:]}", hint="one path a line, in UTF-8") from error
        yield from (Path(line) for line in lines if line.strip())


def _collect(inputs: Iterable[Path]) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """(file, its place below the output folder) of every input, and what was found but is no radiograph."""
    found: list[tuple[Path, Path]] = []
    ignored: list[Path] = []
    for given in inputs:
        if not given.is_dir():
            found.append((given, Path(given.name)))
            continue
        for path in sorted(path for path in given.rglob("*") if path.is_file()):
            if path.suffix.lower() in files.SUFFIXES or files.is_radiograph(path):
                found.append((path, path.relative_to(given)))
            else:
                ignored.append(path)
    return found, ignored


def denoise_files(jobs: Sequence[Job], options: Options) -> Iterator[Outcome]:
    """Denoise every job; outcomes come in order, each when its file is on disk.

    A failure is an outcome, not an exception; with `stop_on_error` it is the last one.
    """
    waiting = deque(jobs)
    reading: deque[tuple[Job, Future[_Frames]]] = deque()
    writing: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        try:
            while waiting or reading or writing:
                while waiting and len(reading) < AHEAD:
                    job = waiting.popleft()
                    reading.append((job, reader.submit(_read, job, options)))
                if reading:
                    writing.append(_denoise_one(*reading.popleft(), options, writer))
                while writing and (len(writing) > AHEAD or writing[0].done() or not reading):
                    outcome = writing.popleft().result()
                    yield outcome
                    if options.stop_on_error and outcome.status == "failed":
                        return
        finally:
            reader.shutdown(cancel_futures=True)


_Frames = list[Radiograph] | None
"""All frames of a file; empty for a file that is skipped, None for one with too many to hold."""

_Result = tuple[Radiograph, Denoised]
"""A frame with its change made, and what the denoiser said."""


def _read(job: Job, options: Options) -> _Frames:
    """Read a whole file, unless its result is there already.

    Raises:
        XrayDenoiseError: the source cannot be read, or the target exists.
    """
    if job.target.exists() and options.existing != "overwrite":
        if options.existing == "skip":
            return []
        raise UnwritableFileError(
            f"{job.target} exists already", hint="use --existing skip or overwrite, or another output"
        )
    frames = list(islice(files.read_frames(job.source, span=options.span), LARGEST_HELD + 1))
    return frames if len(frames) <= LARGEST_HELD else None


def _denoise_one(job: Job, reading: Future[_Frames], options: Options, writer: ThreadPoolExecutor) -> Future[Outcome]:
    """Denoise what was read in this thread, and hand it to the writer's."""
    try:
        frames = reading.result()
        if frames == []:
            return writer.submit(Outcome, job, "skipped")
        start = time.perf_counter()
        if frames is None:  # read, denoised and written frame by frame
            stream = (_denoised(frame, options) for frame in files.read_frames(job.source, span=options.span))
            future: Future[Outcome] = Future()
            future.set_result(_write(job, stream, options, start))
            return future
        results = [_denoised(frame, options) for frame in frames]
        return writer.submit(_write, job, results, options, start)
    except XrayDenoiseError as error:
        return writer.submit(_failure, job, error)


def _denoised(radiograph: Radiograph, options: Options) -> _Result:
    grey = radiograph.grey
    denoised = options.denoiser(grey, options.level)
    if options.strength == 1:
        return radiograph.with_grey(denoised.image), denoised
    blended = grey + np.float32(options.strength) * (denoised.image - grey)
    return radiograph.with_grey(blended), denoised


def _write(job: Job, results: Iterable[_Result], options: Options, start: float) -> Outcome:
    """Write the result of one file and, where asked for, its noise map beside it."""
    frames = iter(results)
    try:
        first = next(frames)
        radiograph, denoised = first
        seconds = time.perf_counter() - start
        level = denoised.level
        derivation = Derivation(
            options.denoiser.name,
            options.model_hash,
            options.description,
            eta=level.eta if level else None,
            sigma=level.sigma if level else None,
        )
        job.target.parent.mkdir(parents=True, exist_ok=True)
        maps: list[NDArray[np.float32]] = []
        files.write(
            _keeping_maps(chain([first], frames), maps, keep=options.save_noise_map),
            job.target,
            derivation=derivation,
            bits=options.bits,
            render=options.render,
        )
        if maps:
            extras.write_maps(maps, noise_map_path(job.target))
    except XrayDenoiseError as error:
        return _failure(job, error)
    except OSError as error:  # the folder of the results cannot be made
        reason = f"cannot make the folder {job.target.parent}: {error.strerror}"
        return Outcome(job, "failed", reason, "choose another output")
    return Outcome(job, "written", level=level, caveats=files.caveats(radiograph), seconds=seconds)


def _keeping_maps(results: Iterable[_Result], maps: list[NDArray[np.float32]], *, keep: bool) -> Iterator[Radiograph]:
    for radiograph, denoised in results:
        if keep and denoised.noise_map is not None:
            maps.append(denoised.noise_map)
        yield radiograph


def noise_map_path(target: Path) -> Path:
    """Where the noise map of a result goes: beside it, as 32-bit TIFF in grey levels."""
    return target.with_name(target.name + ".noise.tif")


def _failure(job: Job, error: XrayDenoiseError) -> Outcome:
    return Outcome(job, "failed", str(error), error.hint)
