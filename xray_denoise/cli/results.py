"""Output that commands share: times in words, questions, records and tables of benchmarks."""

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xray_denoise.cli.terminal import console, give, progress, say

if TYPE_CHECKING:
    from xray_denoise.bench.records import Record
    from xray_denoise.reports.tables import Report

WIDTH = 100
"""Columns of the tables where the output is no terminal."""


def write_tables(report: "Report", files: "Mapping[Callable[[Report], str], Path | None]", *, shown: bool) -> None:
    """Print the tables if they are to be `shown`, and write each file by the function that makes its text."""
    from xray_denoise.files.atomic import write_bytes
    from xray_denoise.reports import tables

    if shown:
        screen = console()
        screen = screen if screen.is_terminal else console(width=WIDTH)
        screen.print(tables.renderable(report))
    for text, target in files.items():
        if target:
            write_bytes(text(report).encode(), target)


def collected(
    running: "Iterator[Record]",
    counts: Mapping[str, int],
    estimates: Mapping[str, float] | None = None,
    *,
    as_json: bool,
    log: Path | None,
) -> "list[Record]":
    """All records, fewer after an interrupt; with a bar on terminals: one of time, for rows differ a hundredfold.

    Args:
        running: records as they come.
        counts: how many each row will have, by its title.
        estimates: seconds that each of them will take.
        as_json: print each of them as a line of JSON.
        log: the file that keeps them, for the message after an interrupt.
    """
    costs = dict.fromkeys(counts, 1.0) | {title: cost for title, cost in (estimates or {}).items() if cost}
    total = sum(counts.values())
    done: list[Record] = []
    try:
        with progress("{task.fields[count]}") as bar:
            work = sum(count * costs[title] for title, count in counts.items())
            task = bar.add_task("bench", total=work, count=f"0/{total}")
            for one in running:
                done.append(one)
                bar.update(task, advance=costs[one.row], count=f"{len(done)}/{total}")
                if as_json:
                    give(one.line())
                if one.failure:
                    say(f"failed: {one.row}, {one.image}: {one.failure}")
    except KeyboardInterrupt:
        if not done:
            raise
        say("interrupted: the table shows what was measured" + (f"; --resume continues {log}" if log else ""))
    return done


def confirmed(question: str) -> bool:
    """Ask on a terminal; where there is none, the answer is yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    return typer.confirm(question, err=True)


def about(seconds: float) -> str:
    """A length of time in words, two digits at most."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"about {float(f'{seconds / length:.2g}'):g} {unit}s"
    return "about a minute" if seconds > 45 else "less than a minute"


def time_left(seconds: float | None) -> str:
    """The time left, as text; empty if unknown."""
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
