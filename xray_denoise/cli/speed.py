"""`xray-denoise bench --speed` and `--growth`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xray_denoise.cli.app import say
from xray_denoise.cli.results import watched, write_tables
from xray_denoise.errors import CannotRunError, UnwritableFileError, UsageError

if TYPE_CHECKING:
    from xray_denoise.reports.tables import Report
    from xray_denoise.tasks.bench.trial import Trial
    from xray_denoise.tasks.bench.visit import Sample


def run_trial(
    plan: "Callable[[], Trial]",
    *,
    log: Path | None,
    files: "dict[Callable[[Report], str], Path | None]",
    plot: Path | None,
    page: Path | None,
) -> None:
    """Measure, print, and write what is asked for; exit with 1 where a row failed, with 130 after an interrupt.

    Args:
        plan: chooses what is measured; called when the files are found to make sense.
        log: JSON-lines file to be, for every sample.
        files: to be, for the tables, by the function that makes the text.
        plot: SVG file to be.
        page: HTML file to be.
    """
    from xray_denoise.files import extras
    from xray_denoise.reports import page as pages
    from xray_denoise.tasks.bench import speed

    if plot:
        _require_plot(plot)
    if page:
        pages.require()
    trial = plan()
    done = _measured(trial, log)
    write_tables(speed.report(trial, done), files)
    if plot:
        extras.write_bytes(speed.plot(trial, done), plot)
    if page:
        extras.write_bytes(speed.html(trial, done), page)
    if any(one.failure for one in done):
        raise typer.Exit(1)
    if len(done) < trial.total:
        raise typer.Exit(130)


def _require_plot(target: Path) -> None:
    """Find out whether the plot can be made, before anything is measured."""
    if target.suffix.lower() != ".svg":
        raise UsageError(f"the plot is an SVG file, not {target.name}", hint="for example -o speed.svg")
    if find_spec("matplotlib") is None:
        raise CannotRunError("a plot needs the package 'matplotlib'", hint="pip install 'xray-denoise[report]'")


def _measured(trial: "Trial", path: Path | None) -> "list[Sample]":
    """The samples, fewer where they are interrupted; the file gets each of them as it comes."""
    from xray_denoise.tasks.bench.run import Pace
    from xray_denoise.tasks.bench.visit import row_of

    titles = [row_of(work.title, work.side) for work in trial.works(Path())]
    say(f"measuring {', '.join(subject.title for subject in trial.subjects)} on {trial.words}")
    for row in trial.absent:
        say(f"not installed: {row.title} ({row.hint})")
    done: list[Sample] = []
    with _lines(path) as keep:
        try:
            pace = Pace(titles, trial.rounds)
            for one in watched(trial.measure(), pace, lambda one: (one.row, one.seconds), total=trial.total):
                done.append(one)
                keep(one)
                if one.failure:
                    say(f"failed: {one.row}: {one.failure}")
        except KeyboardInterrupt:
            if not done:
                raise
            say("interrupted: the table shows what was measured")
    return done


@contextmanager
def _lines(path: Path | None) -> "Iterator[Callable[[Sample], None]]":
    """What writes each sample to a new JSON-lines file at once; without a file it does nothing."""
    if path is None:
        yield lambda _: None
        return
    try:
        with path.open("x", encoding="utf-8") as file:

            def keep(one: "Sample") -> None:
                file.write(json.dumps(asdict(one)) + "\n")
                file.flush()

            yield keep
    except FileExistsError:
        raise UsageError(f"{path} exists", hint="name another file: a run of --speed cannot be resumed") from None
    except OSError as error:
        raise UnwritableFileError(f"cannot write {path}: {error.strerror}") from error
