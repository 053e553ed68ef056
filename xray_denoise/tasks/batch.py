"""Denoise files in three overlapping stages; a broken file never stops the others.

    job -> read -> denoise -> write -> outcome, in the order of the jobs (`overlap` runs the stages)

Every file takes the same way, whatever its number of frames: frames go from stage to stage one by one.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor as Pool
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from xray_denoise import files
from xray_denoise.denoisers import Denoised, progress
from xray_denoise.errors import XrayDenoiseError
from xray_denoise.files.folders import make_folder
from xray_denoise.files.raster import write_maps
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks import noise_words
from xray_denoise.tasks.decision import Decision, decide, examine
from xray_denoise.tasks.fingerprint import Fingerprint, fingerprint
from xray_denoise.tasks.frames import READ_AHEAD, in_scenes, until_exposed
from xray_denoise.tasks.jobs import Job
from xray_denoise.tasks.manifest import Entry
from xray_denoise.tasks.options import Options
from xray_denoise.tasks.outcome import Change, Maps, Outcome, Tally, failed
from xray_denoise.tasks.overlap import Feed, overlapped
from xray_denoise.tasks.remarks import Remarks, remarks_on

WELL_KNOWN = 0.5
"""Share of the pixels whose noise a profile that is given should know."""

_Map = tuple[Path, Maps, str]
"""Where a map goes, its frames, and what it is."""
_Record = Callable[[dict[Path, Path]], None]


def run_jobs(jobs: Sequence[Job], options: Options) -> Generator[Outcome, None, None]:
    """Denoise every job; yields outcomes in order, each when its file is on disk.

    A failure is an outcome, not an exception. With `stop_on_error` nothing new is begun after the first one; what
    was being written by then is finished and reported, as it is after Ctrl-C.
    """
    return overlapped(
        jobs,
        partial(_read, options=options),
        _denoise,
        is_last=lambda outcome: options.stop_on_error and outcome.status == "failed",
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """A file that is being read."""

    decision: Decision
    frames: Iterator[Radiograph]
    """Empty for a result that is skipped."""
    options: Options
    """What is done to it."""
    shape: tuple[int, int] = (0, 0)
    averaged: bool = False
    """Whether its frames are averaged where nothing moves."""
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

    def change(self, strength: float) -> Change:
        """What is written."""
        removed = np.multiply(self.result.removed, strength, dtype=np.float64)
        return Change(self.radiograph, self.radiograph.with_removed(removed), self.result, self.seconds)


class _AlreadyThereError(Exception):
    """Another run has written the same result in the meantime."""


_FAILURES = (XrayDenoiseError, OSError, MemoryError)
"""What costs one file only."""


def _read(job: Job, options: Options) -> _Source:
    """Open a file and read its first frames, unless its result is current.

    Raises:
        XrayDenoiseError: the source cannot be read, or a target exists.
    """
    kind, decision = examine(job, options)
    if decision == "skip":
        return _Source("skip", iter(()), options)
    frames = files.read_frames(job.source, value_range=options.value_range, kind=kind)
    held = list(islice(frames, READ_AHEAD))
    shape = (held[0].stored.shape[0], held[0].stored.shape[1])
    content = fingerprint(job.source) if options.manifest else None
    return _Source(decision, chain(held, frames), options, shape, options.averages(held[0]), content)


def _denoise(job: Job, reading: Future[_Source], writer: Pool) -> Future[Outcome]:
    """Denoise frame by frame in this thread, while the writer thread takes the results."""
    try:
        source = reading.result()
    except _FAILURES as error:
        return writer.submit(failed, job, error)
    if source.decision == "skip":
        return writer.submit(Outcome, job, "skipped")
    feed: Feed[_Denoised] = Feed()
    writing = writer.submit(_write, job, feed, source)
    feed.fill(_denoised(job, source), passed_on=_FAILURES)
    return writing


def _denoised(job: Job, source: _Source) -> Iterator[_Denoised]:
    denoiser, options = source.options.denoiser, source.options
    listener = None if options.on_progress is None else partial(options.on_progress, job)
    given = None if options.noise is None else options.noise_in
    for radiograph, noise, others in in_scenes(source.frames, denoiser, given, averaged=source.averaged):
        start = time.perf_counter()
        with progress.listening(listener):
            result = denoiser.denoise_frame(radiograph.grey, noise, [other.grey for other in others])
        listener = None
        yield _Denoised(radiograph, result, time.perf_counter() - start)


def _write(job: Job, feed: Feed[_Denoised], source: _Source) -> Outcome:
    """Write the result of one file and, where asked for, its noise map beside it."""
    options = source.options
    try:
        with closing(feed.taken()) as frames, ExitStack() as until_named:
            opening = until_exposed(islice(frames, READ_AHEAD), lambda frame: frame.radiograph)
            remarks = _remarks(opening[-1], options)
            changes = (frame.change(remarks.strength) for frame in chain(opening, frames))
            held = list(islice(changes, len(opening)))
            first = held[-1]
            remarks = remarks.with_change(first.removed_grey)
            make_folder(job.target.parent)
            maps, half_widths = (
                until_named.enter_context(closing(Maps(job.target.parent))) if wanted else None
                for wanted in (options.save_noise_map, options.uncertainty)
            )
            caveats_of = partial(files.caveats, target=job.target, bits=options.bits, value_range=options.value_range)
            tally = Tally(maps, half_widths, options.uncertainty, caveats_of)
            files.write(
                tally.counted(chain(held, changes)),
                job.target,
                derivation=options.derivation(first.result, remarks, _over_image(first, options)),
                bits=options.bits,
                value_range=options.value_range,
                render=options.render,
                compression=options.compression,
                private=options.private,
                before_rename=lambda written: _record(job, source, remarks, tally, written, until_named),
                replace=source.replaces,
            )
    except _AlreadyThereError:
        return Outcome(job, "skipped")
    except _FAILURES as error:
        return failed(job, error)
    outcome = _written(job, source, first, remarks, tally)
    if options.show:
        options.show(outcome, first.before, first.after)
    return outcome


def _remarks(frame: _Denoised, options: Options) -> Remarks:
    """The notes on a file, from its first frame that is not blank; all frames get the same strength."""
    padding = frame.radiograph.padding
    valid = None if padding is None else ~padding
    remarks = remarks_on(frame.result, options.strength, given=options.noise_in(frame.radiograph), valid=valid)
    if isinstance(options.noise, NoiseProfile):
        low, high = options.noise.stored_range
        stored = frame.radiograph.stored if valid is None else frame.radiograph.stored[valid]
        if stored.size and np.mean((stored >= low) & (stored <= high)) < WELL_KNOWN:
            note = f"the noise profile knows stored values from {low:.6g} to {high:.6g}, and most pixels lie outside"
            remarks = replace(remarks, notes=(*remarks.notes, note))
    return remarks


def _record(
    job: Job,
    source: _Source,
    remarks: Remarks,
    tally: Tally,
    written: Path,
    until_named: ExitStack,
) -> None:
    """Record a complete result and write its maps, before it gets its name.

    Args:
        job: the result's.
        source: what it is made from.
        remarks: what is said of its first frame that is not blank.
        tally: has the caveats and the maps of its frames; no map where the method makes none, None where none are
            wanted.
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

    wanted = (
        (job.noise_map, tally.maps, "noise map, grey levels"),
        (job.uncertainty, tally.half_widths, "half width of 90 % intervals, stored values"),
    )
    maps: list[_Map] = [(path, frames, comment) for path, frames, comment in wanted if frames]

    def add(beside: dict[Path, Path]) -> None:
        if manifest is not None and source.fingerprint is not None:
            found, width = (fingerprint(beside[path]) if path in beside else None for path, _, _ in wanted)
            manifest.add(
                Entry(
                    manifest.name(job.target),
                    fingerprint(written),
                    source.fingerprint,
                    source.shape,
                    options.recipe,
                    found,
                    width,
                    (*tally.caveats, *remarks.notes),
                    remarks.numbers,
                )
            )

    _write_maps(maps, {}, job, source, add)


def _write_maps(maps: Sequence[_Map], whole: dict[Path, Path], job: Job, source: _Source, then: _Record) -> None:
    """Write maps beside a result, each before the one before it takes its name, and call `then` when all are whole.

    Args:
        maps: those that are still to be written.
        whole: paths of those that are, and where they can be read meanwhile.
        job: of the result.
        source: what it is made from.
        then: is given `whole`.
    """
    if not maps:
        then(whole)
        return
    (path, frames, comment), *others = maps
    write_maps(
        frames,
        path,
        comment=comment,
        source=job.source,
        before_rename=lambda readable: _write_maps(others, {**whole, path: readable}, job, source, then),
        replace=source.replaces,
    )


def _over_image(frame: Change, options: Options) -> float | None:
    """Root mean square of the standard deviation of the noise over the pixels of a frame, grey levels."""
    noise = options.noise_in(frame.before) or frame.result.noise
    if noise is None:
        return None
    return noise_words.deviation_over(noise, frame.after.grey, frame.result.gain, frame.after.padding)


def _written(job: Job, source: _Source, first: Change, remarks: Remarks, tally: Tally) -> Outcome:
    options = source.options
    noise = options.noise_in(first.before) or first.result.noise
    notes = list(tally.caveats)
    if tally.maps is not None and not tally.maps:
        notes.append(f"'{options.denoiser.name}' makes no noise map")
    notes += remarks.notes
    return Outcome(
        job,
        "written",
        noise=noise,
        noise_stored=None if noise is None else noise_words.deviation_at_mid_grey(noise) * first.unit,
        noise_over_image=_over_image(first, options),
        noise_gain=first.result.gain.spread if first.result.gain else None,
        remarks=remarks,
        notes=tuple(notes),
        model=options.denoiser.name,
        weights_sha256=options.denoiser.weights_sha256,
        shape=source.shape,
        frames=tally.frames,
        removed_grey=tally.removed_grey,
        removed_stored=tally.removed_stored,
        seconds=tally.seconds,
    )
