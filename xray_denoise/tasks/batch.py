"""Files -> files in three stages that overlap; one bad file never stops the others.

    job -> read -> denoise -> write -> outcome, in the order of the jobs (`overlap` runs the stages)

Every file takes the same way, whatever its number of frames: frames go from stage to stage one by one.
"""

import json
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor as Pool
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise import __version__, files
from xray_denoise.denoisers import Denoised, Denoiser, progress
from xray_denoise.errors import (
    ExistingFileError,
    UnreadableFileError,
    UnwritableFileError,
    UsageError,
    XrayDenoiseError,
)
from xray_denoise.files import Compression, Derivation, Private, Render
from xray_denoise.files.folders import make_folder
from xray_denoise.files.raster import write_maps
from xray_denoise.physics.noise import GREY_MAX
from xray_denoise.physics.profile import as_level
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks import method
from xray_denoise.tasks.jobs import MANIFEST_NAME, Job
from xray_denoise.tasks.manifest import Entry, Fingerprint, Manifest, Recipe, fingerprint, refuse_huge
from xray_denoise.tasks.method import Noise
from xray_denoise.tasks.overlap import Feed, overlapped

READ_AHEAD = 4
"""Frames of a file that are read before it is denoised; the others are read one by one meanwhile."""
NEXT_TO_NOTHING = 0.05
"""A change of fewer grey levels (root mean square) is noted: nobody sees it, and 8 bits may not hold it."""

Existing = Literal["error", "skip", "overwrite"]
Decision = Literal["write", "replace", "skip"]


@dataclass(frozen=True, slots=True)
class Options:
    """What is done to every file.

    Raises:
        UsageError: a value is out of its range.
    """

    denoiser: Denoiser
    noise: Noise | None = None
    """The noise where the user knows it; None has it estimated."""
    strength: float = 1.0
    """Share of the predicted change that is made, 0..1; 0 gives the input back bit by bit."""
    value_range: tuple[float, float] | None = None
    """Stored values that are grey 0 and 255; None takes what `files.read` chooses."""
    bits: int | None = None
    render: Render = "auto"
    compression: Compression = "none"
    private: Private = "keep"
    existing: Existing = "error"
    stop_on_error: bool = False
    save_noise_map: bool = False
    manifest: Manifest | None = None
    """Where it is recorded what was made from what; skipping needs one."""
    show: "Callable[[Outcome, Radiograph, Radiograph], None] | None" = None
    """Called for every file that was written, by the thread that writes, with its first frame before and after."""
    on_progress: Callable[[Job, float], None] | None = None
    """Called with the share of the first frame of a file that is denoised, 0..1, tile by tile."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UsageError(
                f"the strength must lie in 0..1, got {self.strength:g}", hint="0 changes nothing", option="strength"
            )
        if self.existing == "skip" and self.manifest is None:
            raise ValueError("skipping results takes a manifest")
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise UsageError(
                "a value range must go from a lower to a higher stored value",
                hint="for example 0,4095",
                option="value_range",
            )

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the pixels and attributes of a DICOM result besides its source, at full precision."""
        return {
            "model": self.denoiser.name,
            "weights_sha256": method.weights_sha256(self.denoiser),
            "arithmetic": method.arithmetic(self.denoiser),
            "strength": float(self.strength),
            "noise": method.identity_of(self.noise),
            "value_range": None if self.value_range is None else [float(end) for end in self.value_range],
            "private": self.private,
        }

    @property
    def recipe(self) -> Recipe:
        """All that decides the bytes of a result besides its source and the time."""
        return {
            **self.identity,
            "version": __version__,
            "bits": self.bits,
            "render": self.render,
            "compression": self.compression,
            "noise_map": self.save_noise_map,
        }

    @property
    def description(self) -> str:
        """The identity for people, without the model."""
        parts = [f"strength {method.exact(self.strength)}"]
        if method.arithmetic(self.denoiser) != "fp32":
            parts.append(f"arithmetic {method.arithmetic(self.denoiser)}")
        if self.noise is not None:
            parts.append(method.in_words(self.noise))
        if self.value_range is not None:
            low, high = map(method.exact, self.value_range)
            parts.append(f"value range {low} to {high}")
        if self.private == "drop":
            parts.append("private elements dropped")
        return ", ".join(parts)

    def derivation(self, found: Noise | None) -> Derivation:
        """What a result says about how it was made; `found` is the estimated noise."""
        level = as_level(found) if self.noise is None else None
        return Derivation(
            self.denoiser.name,
            method.weights_sha256(self.denoiser),
            self.description,
            eta=level.eta if level else None,
            sigma=level.sigma if level else None,
            settings=json.dumps(self.identity, sort_keys=True),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    job: Job
    status: Literal["written", "skipped", "failed"]
    failure: XrayDenoiseError | None = None
    """What went wrong, of a file that failed."""
    noise: Noise | None = None
    """Noise of the first frame, estimated or given."""
    notes: tuple[str, ...] = ()
    """What the user should know before trusting the result."""
    model: str = ""
    """What denoised it; empty where nothing did."""
    weights_sha256: str = ""
    shape: tuple[int, int] | None = None
    """Rows and columns of the first frame."""
    frames: int = 0
    removed_grey: float | None = None
    """Root mean square of the change that was made, grey levels, padding left out."""
    removed_stored: float | None = None
    """The same in stored values of the source."""
    seconds: float = 0.0
    """Time of denoising alone."""
    number: int = 0
    """Place in the plan, from 1."""

    @property
    def source(self) -> Path:
        """The file that was read."""
        return self.job.source

    @property
    def target(self) -> Path:
        """The file that was written, or would have been."""
        return self.job.target

    @property
    def error(self) -> str:
        """What went wrong; empty where nothing did."""
        return str(self.failure) if self.failure else ""

    @property
    def hint(self) -> str:
        """What to do about it."""
        return self.failure.hint if self.failure else ""


def run_jobs(jobs: Sequence[Job], options: Options) -> Generator[Outcome, None, None]:
    """Denoise every job; outcomes come in order, each when its file is on disk.

    A failure is an outcome, not an exception. With `stop_on_error` nothing new is begun after the first one; what
    was being written by then is finished and reported, as it is after Ctrl-C.
    """
    return overlapped(
        jobs,
        partial(_read, options=options),
        _denoise,
        at_once=method.concurrency(options.denoiser),
        is_last=lambda outcome: options.stop_on_error and outcome.status == "failed",
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """A file that is being read."""

    decision: Decision
    frames: Iterator[Radiograph]
    """Empty for a result that is skipped."""
    options: Options
    """For images of its size."""
    shape: tuple[int, int] = (0, 0)
    fingerprint: Fingerprint | None = None
    """None where no manifest asks for it."""

    @property
    def replaces(self) -> bool:
        """Whether the result may take the place of a file."""
        return self.decision == "replace" or self.options.existing == "overwrite"


@dataclass(frozen=True, slots=True)
class _Denoised:
    """One frame that was denoised, on its way to the writer."""

    radiograph: Radiograph
    result: Denoised
    seconds: float

    def change(self, strength: float) -> "_Change":
        """What is written."""
        image = self.result.image
        if strength != 1:
            image = (grey := self.radiograph.grey) + np.float32(strength) * (image - grey)
        return _Change(self.radiograph, self.radiograph.with_grey(image), self.result, self.seconds)


@dataclass(frozen=True, slots=True)
class _Change:
    """One frame as it was and as it is written."""

    before: Radiograph
    after: Radiograph
    result: Denoised
    seconds: float

    @property
    def noise(self) -> Noise | None:
        """What was found of the noise, as exactly as the method tells it."""
        return self.result.profile or self.result.level


class _AlreadyThereError(Exception):
    """Another run has made the same result meanwhile."""


_FAILURES = (XrayDenoiseError, OSError, MemoryError)
"""What costs one file only."""


def _read(job: Job, options: Options) -> _Source:
    """Open a file and read its first frames, unless its result is current.

    Raises:
        XrayDenoiseError: the source cannot be read, or a target exists.
    """
    decision: Decision = "write"
    if files.sniff(job.source) is not None:  # nothing else is worth a look at its size or its result
        refuse_huge(job.source)
        decision = decide(job, options)
    if decision == "skip":
        return _Source("skip", iter(()), options)
    frames = files.read_frames(job.source, span=options.value_range)
    held = list(islice(frames, READ_AHEAD))
    shape = (held[0].stored.shape[0], held[0].stored.shape[1])
    content = fingerprint(job.source) if options.manifest else None
    return _Source(decision, chain(held, frames), options, shape, content)


def decide(job: Job, options: Options) -> Decision:
    """What becomes of the target of a job: written anew, replaced, or skipped because it is current.

    Raises:
        ExistingFileError: something is there that must not be replaced.
    """
    targets = [job.target, job.noise_map] if options.save_noise_map else [job.target]
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
    noise_map = job.noise_map if options.save_noise_map else None
    if job.target in there and manifest.is_current(job.target, noise_map, job.source, options.recipe):
        return "skip"
    for target in there:
        ours = manifest.is_ours(target) if target == job.target else manifest.is_our_map(job.target, target)
        if not ours:
            raise ExistingFileError(
                f"{{path}} exists already and is no unchanged result of xray-denoise by {MANIFEST_NAME}",
                path=target,
                hint="overwrite it, or choose another output",
                option="existing",
            )
    return "replace"


def _exists(path: Path) -> bool:
    """Whether the name is taken, be it by a link to nothing."""
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def _denoise(job: Job, reading: Future[_Source], writer: Pool) -> Future[Outcome]:
    """Denoise frame by frame in this thread, while the writer's takes the results."""
    try:
        source = reading.result()
    except _FAILURES as error:
        return writer.submit(_failed, job, error)
    if source.decision == "skip":
        return writer.submit(Outcome, job, "skipped")
    feed: Feed[_Denoised] = Feed()
    writing = writer.submit(_write, job, feed, source)
    feed.fill(_denoised(job, source), passed_on=_FAILURES)
    return writing


def _denoised(job: Job, source: _Source) -> Iterator[_Denoised]:
    denoiser, noise = source.options.denoiser, source.options.noise
    listener = None if source.options.on_progress is None else partial(source.options.on_progress, job)
    for radiograph in source.frames:
        start = time.perf_counter()
        with progress.listening(listener):
            result = denoiser(radiograph.grey, noise)  # Options has refused profiles
        listener = None
        yield _Denoised(radiograph, result, time.perf_counter() - start)


def _write(job: Job, feed: Feed[_Denoised], source: _Source) -> Outcome:
    """Write the result of one file and, where asked for, its noise map beside it."""
    options = source.options
    try:
        with closing(feed.taken()) as frames, ExitStack() as until_named:
            changes = (frame.change(options.strength) for frame in frames)
            first = next(changes)
            tally = _Tally(keeps_maps=options.save_noise_map)
            make_folder(job.target.parent)
            files.write(
                tally.counted(chain([first], changes)),
                job.target,
                derivation=options.derivation(first.noise),
                bits=options.bits,
                render=options.render,
                compression=options.compression,
                private=options.private,
                before_rename=lambda written: _record(job, source, first.after, tally.maps, written, until_named),
                replace=source.replaces,
            )
    except _AlreadyThereError:
        return Outcome(job, "skipped")
    except _FAILURES as error:
        return _failed(job, error)
    outcome = _written(job, source, first, tally)
    if options.show:
        options.show(outcome, first.before, first.after)
    return outcome


def _record(
    job: Job,
    source: _Source,
    first: Radiograph,
    maps: list[NDArray[np.float32]],
    written: Path,
    until_named: ExitStack,
) -> None:
    """Record a result that is whole, and write its noise map, before it takes its name.

    Args:
        job: the result's.
        source: what it is made from.
        first: the first frame.
        maps: noise maps of its frames; none where the method makes none.
        written: where the result can be read meanwhile.
        until_named: is closed when the result has its name.

    Raises:
        _AlreadyThereError: another run has made it meanwhile.
    """
    options, manifest = source.options, source.options.manifest
    if manifest is not None and options.existing == "skip":
        until_named.enter_context(manifest.locked())
        if decide(job, options) == "skip":
            raise _AlreadyThereError

    def add(noise_map: Path | None = None) -> None:
        if manifest is not None and source.fingerprint is not None:
            found = None if noise_map is None else fingerprint(noise_map)
            manifest.add(
                Entry(
                    manifest.name(job.target),
                    fingerprint(written),
                    source.fingerprint,
                    source.shape,
                    options.recipe,
                    found,
                    files.caveats(first),
                )
            )

    if not maps:
        add()
        return
    write_maps(maps, job.noise_map, source=job.source, before_rename=add, replace=source.replaces)


@dataclass(slots=True)
class _Tally:
    """What is counted over the frames of a file."""

    keeps_maps: bool
    frames: int = 0
    pixels: int = 0
    """Without padding."""
    squares: float = 0.0
    """Of the change, stored values."""
    seconds: float = 0.0
    maps: list[NDArray[np.float32]] = field(default_factory=list)

    def counted(self, changes: Iterable[_Change]) -> Iterator[Radiograph]:
        """Pass on the changed frames."""
        for change in changes:
            difference = np.subtract(change.after.stored, change.before.stored, dtype=np.float64).ravel()
            padding = change.before.padding
            self.frames += 1
            self.pixels += difference.size - (0 if padding is None else int(padding.sum()))
            self.squares += float(difference @ difference)
            self.seconds += change.seconds
            if self.keeps_maps and change.result.noise_map is not None:
                self.maps.append(change.result.noise_map)
            yield change.after

    @property
    def removed_stored(self) -> float:
        """Root mean square of the change, stored values."""
        return math.sqrt(self.squares / max(self.pixels, 1))


def _written(job: Job, source: _Source, first: _Change, tally: _Tally) -> Outcome:
    options = source.options
    low, high = first.before.span
    removed_grey = tally.removed_stored * GREY_MAX / (high - low)
    notes = list(files.caveats(first.after))
    if options.save_noise_map and not tally.maps:
        notes.append(f"'{options.denoiser.name}' makes no noise map")
    if removed_grey < NEXT_TO_NOTHING and options.strength > 0:
        notes.append(f"next to nothing was removed: {removed_grey:.2g} grey levels (root mean square)")
    return Outcome(
        job,
        "written",
        noise=first.noise if options.noise is None else options.noise,
        notes=tuple(notes),
        model=options.denoiser.name,
        weights_sha256=method.weights_sha256(options.denoiser),
        shape=source.shape,
        frames=tally.frames,
        removed_grey=removed_grey,
        removed_stored=tally.removed_stored,
        seconds=tally.seconds,
    )


def _failed(job: Job, error: XrayDenoiseError | OSError | MemoryError) -> Outcome:
    """The outcome of a file that failed."""
    return Outcome(job, "failed", _explained(job, error))


def _explained(job: Job, error: XrayDenoiseError | OSError | MemoryError) -> XrayDenoiseError:
    if isinstance(error, XrayDenoiseError):
        return error
    if isinstance(error, MemoryError):
        return UnreadableFileError(
            "there is too little memory for {path}", path=job.source, hint="try smaller tiles", option="tile"
        )
    return UnwritableFileError(
        f"{{path}}: {error.strerror or type(error).__name__}",
        path=error.filename or job.target,
        hint="check the names, the permissions and the space on the disk",
    )
