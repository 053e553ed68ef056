"""What the command line prints: results on stdout, everything said to people on stderr, progress on terminals only."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

STDERR = 2
"""File descriptor of the standard error stream, which C libraries print to."""

_verbosity = 0
_bar: "Progress | None" = None


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Follow -q and -v."""
    global _verbosity  # noqa: PLW0603 - one command line, one process
    _verbosity = int(verbose) - int(quiet)


def complain(what: str, hint: str) -> None:
    """Print an error and a hint."""
    _print(f"error: {one_line(what)}")
    if hint:
        _print(f"hint:  {one_line(hint)}")


def tell(text: str) -> None:
    """Print the outcome of a file to stdout, unless -q was given; a closed pipe does not stop the work."""
    if _verbosity < 0:
        return
    try:
        typer.echo(text)
    except (OSError, ValueError):
        discard(sys.stdout)


def give(text: str) -> None:
    """Print requested data; a closed pipe (`| head`) does not stop the work."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        discard(sys.stdout)


def say(text: str) -> None:
    """Print a message to stderr, unless -q was given."""
    if _verbosity >= 0:
        _print(text)


def explain(text: str) -> None:
    """Print a message to stderr if -v was given."""
    if _verbosity > 0:
        _print(text)


def _print(text: str) -> None:
    """Print to stderr, above the progress bar if there is one; of several processes only the first prints.

    A stream that cannot be written to stops no work.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    try:
        if _bar is None:
            typer.echo(text, err=True)
        else:
            _bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
    except (OSError, ValueError):
        discard(sys.stderr)


def discard(stream: IO[str]) -> None:
    """Redirect a broken stream, so that Python can flush it at exit."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def open_standard_streams() -> None:
    """Open standard streams that the caller has closed, and let them print any character.

    A closed descriptor would go to the next file that is opened, and messages would end up in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


@contextmanager
def libraries_muted() -> Iterator[None]:
    """Suppress what C libraries print about damaged files, unless -v was given.

    libtiff has lines of its own for each file. They go past Python to descriptor 2; what we say takes another one.
    """
    try:
        shared = sys.stderr.fileno() == STDERR
    except (OSError, ValueError):  # it is no file
        shared = False
    if _verbosity > 0 or not shared:
        yield
        return
    plain = sys.stderr
    with suppress(OSError):
        plain.flush()
    ours = os.fdopen(os.dup(STDERR), "w", buffering=1, encoding=plain.encoding, errors=plain.errors)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), STDERR)
    sys.stderr = ours
    try:
        yield
    finally:
        sys.stderr = plain
        with suppress(OSError):
            ours.flush()
        os.dup2(ours.fileno(), STDERR)
        with suppress(OSError):
            ours.close()


def one_line(text: str) -> str:
    """Text with control characters escaped, as in file names."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """A rich console; colours only on terminals and without NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=width is None)


@contextmanager
def progress(*columns: str, shown: bool = True, estimated: bool = True) -> "Iterator[Progress]":
    """A progress bar on stderr, drawn on terminals only.

    Args:
        columns: rich markup, behind the bar.
        shown: whether it may be drawn.
        estimated: whether it estimates the time left by its latest steps; not where a column tells it.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    global _bar  # noqa: PLW0603 - one terminal, one bar
    terminal = console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        *(TextColumn(column) for column in columns),
        *((TextColumn("left"), TimeRemainingColumn()) if estimated else ()),
        console=terminal,
        disable=not shown or _verbosity < 0 or not terminal.is_terminal,
        transient=True,
    )
    with bar:
        _bar = None if bar.disable else bar
        try:
            yield bar
        finally:
            _bar = None


def _ignore(_: float) -> None:
    """Draw no bar."""


@contextmanager
def counter(what: str, total: int) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr; call the result with the number of files that are done. Without a terminal, nothing."""
    if _verbosity < 0 or not sys.stderr.isatty():
        yield _ignore
        return
    with progress("{task.fields[count]}") as bar:
        running = bar.add_task(what, total=total, count=f"0/{total}")
        farthest = 0.0

        def update(done: float) -> None:
            nonlocal farthest  # files are denoised a little ahead of their outcomes
            farthest = max(farthest, done)
            bar.update(running, completed=farthest, count=f"{int(farthest)}/{total}")

        yield update
