"""Run a batch of files in the terminal: previews, a line for each outcome, counts."""

import json
from typing import TYPE_CHECKING

import typer

from xray_denoise.cli.app import complain_of
from xray_denoise.cli.terminal import counter, explain, give, libraries_muted, one_line, say, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from xray_denoise import Batch, Outcome
    from xray_denoise.tasks.jobs import LeftAlone

NAMED = 10
"""Ignored files that are named without -v."""
NOTHING = "nothing to do: no file falls into this shard"
"""Said of a run without files, which only a shard can be."""
CORRELATED = 0.05
"""Correlation of the noise of neighbouring pixels from which on it is told."""


def preview(batch: "Batch", *, as_json: bool) -> int:
    """Print what would be done with each file; returns how many would fail."""
    failures = 0
    for number, planned in enumerate(batch.preview(), 1):
        job, failure = planned.job, planned.failure
        failures += failure is not None
        if as_json:
            record = {
                "number": number,
                "source": str(job.source),
                "target": str(job.target),
                "action": planned.action,
                "error": str(failure) if failure else None,
                "error_kind": failure.kind if failure else None,
                "hint": failure.hint if failure else None,
            }
            typer.echo(json.dumps(record))
        else:
            why = f" ({failure})" if failure else ""
            typer.echo(one_line(f"{planned.action:<7} {job.source} -> {job.target}{why}"))
    for found in batch.left_alone:
        if as_json:
            typer.echo(json.dumps({"source": str(found.path), "action": "leave", "reason": found.reason}))
        else:
            typer.echo(one_line(f"leave   {found.path} ({found.reason})"))
    if not batch.jobs:
        say(NOTHING)
    for what, path in (("report", batch.report and batch.report.target), ("log", batch.log and batch.log.target)):
        if path:
            say(f"{what}: {one_line(str(path))}")
    return failures


def run(batch: "Batch", *, as_json: bool) -> int:
    """Denoise and report every file, and print the counts; returns how many failed."""
    workers = f" of {batch.cluster.count} workers" if batch.cluster else ""
    say(f"denoising with {batch.model} on {batch.device}{workers}")
    explain(f"settings: {batch.settings}")
    counts = {"written": 0, "skipped": 0, "failed": 0}
    total = len(batch.jobs)

    def count(outcome: "Outcome") -> None:
        counts[outcome.status] += 1
        advance(outcome.number)
        tell_outcome(outcome, batch.device, numbered=total > 1, as_json=as_json)

    try:
        with libraries_muted(), counter("denoise", total) as advance:
            batch.on_progress = advance
            _exhaust(batch, count)
    finally:
        _sum_up(batch, counts)
    if batch.report:
        say(f"report: {one_line(str(batch.report.target))}")
    return counts["failed"]


def _exhaust(batch: "Batch", heard: "Callable[[Outcome], None]") -> None:
    """Report every outcome; after Ctrl-C also those of files that were being written."""
    try:
        for outcome in batch:
            heard(outcome)
    except KeyboardInterrupt:
        for outcome in batch.interrupted():
            heard(outcome)
        raise


def _sum_up(batch: "Batch", counts: dict[str, int]) -> None:
    name_left_alone(batch.left_alone)
    left = len(batch.jobs) - sum(counts.values())
    if len(batch.jobs) > 1:
        told = {**counts, **({"not begun": left} if left else {})}
        say(", ".join(f"{count} {status}" for status, count in told.items()))
    elif not batch.jobs:
        say(NOTHING)
    if batch.cluster and batch.cluster.lost:
        say(f"workers that died, and whose files others denoised again: {batch.cluster.lost}")


def tell_outcome(outcome: "Outcome", device: str, *, numbered: bool, as_json: bool) -> None:
    """Print what became of a file."""
    from xray_denoise.tasks import denoise_log

    number = f"{outcome.number}: " if numbered else ""
    if as_json:
        give(json.dumps(denoise_log.record(outcome, device)))
    if outcome.failure:
        named = outcome.failure.path is not None
        complain_of(outcome.failure, number if named else f"{number}{outcome.source}: ")
    elif not as_json:
        tell(f"{number}{one_line(f'{outcome.source} -> {outcome.target}')} ({_summary(outcome)})")
    for note in outcome.notes:
        say(f"note: {number}{one_line(str(outcome.source))}: {note}")


def _summary(outcome: "Outcome") -> str:
    """What was found and removed, in a few words."""
    from xray_denoise.tasks import noise_words

    if outcome.status == "skipped":
        return "skipped: up to date"
    found = ""
    if outcome.noise is not None and outcome.noise_over_image is not None:
        found = f"noise {outcome.noise_over_image:.2g}, "
        neighbours = noise_words.correlation(outcome.noise)
        if abs(neighbours) >= CORRELATED:
            found += f"correlation {neighbours:.1f}, "
    return f"{found}removed {outcome.removed_grey or 0.0:.2g} grey levels"


def name_left_alone(left_alone: "list[LeftAlone]") -> None:
    """List the files in input folders that are not radiographs."""
    if not left_alone:
        return
    count = len(left_alone)
    say(f"ignored in the input folders: {count} file{'s' if count > 1 else ''}")
    for number, found in enumerate(left_alone):
        (say if number < NAMED else explain)(f"  {one_line(str(found.path))} ({found.reason})")
    if count > NAMED:
        say(f"  and {count - NAMED} more: -v names all of them")
