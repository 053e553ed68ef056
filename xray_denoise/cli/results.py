"""What benchmarks share: a progress bar while they measure, and their tables."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from xray_denoise.cli.app import console, progress

if TYPE_CHECKING:
    from xray_denoise.reports.tables import Report
    from xray_denoise.tasks.bench.run import Pace

T = TypeVar("T")

WIDTH = 100
"""Columns of the tables where the output is no terminal."""


def write_tables(report: "Report", files: "dict[Callable[[Report], str], Path | None]") -> None:
    """Print the tables, and write them to the files that are asked for, each by the function that makes its text."""
    from xray_denoise.files import extras
    from xray_denoise.reports import tables

    shown = console()
    shown = shown if shown.is_terminal else console(width=WIDTH)
    shown.print(tables.renderable(report))
    for text, target in files.items():
        if target:
            extras.write_bytes(text(report).encode(), target)


def watched(running: Iterable[T], pace: "Pace", row: "Callable[[T], tuple[str, float]]", *, total: int) -> Iterator[T]:
    """Pass on what `running` gives, with a bar on terminals: one of time, for rows differ a hundredfold.

    Args:
        running: measurements as they come.
        pace: knows the rows.
        row: the row of a measurement, and its seconds.
        total: how many measurements there will be.
    """
    from rich.progress import TextColumn

    count, start = 0, time.monotonic()
    before = start
    with progress("{task.fields[count]}") as bar:
        *columns, _, _ = bar.columns  # the time left, which would be judged by the latest rows alone
        bar.columns = (*columns, TextColumn("{task.fields[left]}"))
        task = bar.add_task("bench", total=1.0, count=f"0/{total}", left="")
        for one in running:
            count, now = count + 1, time.monotonic()
            pace.add(*row(one), now - before)
            before = now
            left = "" if pace.left is None else f"{timedelta(seconds=round(pace.left))} left"
            bar.update(task, completed=pace.share(now - start), count=f"{count}/{total}", left=left)
            yield one
