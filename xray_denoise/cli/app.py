"""What all commands share: global options, the two-line error, and progress on terminals only."""

import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

from xray_denoise import __version__
from xray_denoise.errors import UsageError, XrayDenoiseError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

app = typer.Typer(
    name="xray-denoise",
    help="Remove the noise of low-dose X-ray radiographs with blind denoising neural networks.",
    epilog="Research use, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show patient data
    context_settings={"help_option_names": ["-h", "--help"]},
)

P = ParamSpec("P")

STDERR = 2
"""File descriptor of the standard error stream, which C libraries print to."""

_verbosity = 0
_bar: "Progress | None" = None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xray-denoise {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    version: Annotated[  # noqa: ARG001 - acts in its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print more of what is done.")] = False,
) -> None:
    """Set what holds for every command."""
    global _verbosity  # noqa: PLW0603 - one command line, one process
    _verbosity = int(verbose) - int(quiet)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn errors meant for users into two lines and an exit status; bugs keep their traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        warnings.simplefilter("ignore")  # written for developers, and those of pydicom quote what a patient's file says
        try:
            command(*args, **kwargs)
        except XrayDenoiseError as error:
            complain(str(error), error.hint)
            raise typer.Exit(error.exit_status) from error
        except KeyboardInterrupt:
            complain(
                "interrupted", "what was finished stays; denoise goes on with --existing skip, the others with --resume"
            )
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of our output has gone, `| head` for example
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None

    return run


def complain(what: str, hint: str) -> None:
    """Print an error, and what to do about it; of several processes only the first one speaks."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    _print(f"error: {one_line(what)}")
    if hint:
        _print(f"hint:  {one_line(hint)}")


def say(text: str) -> None:
    """Tell people something, unless they asked for quiet; results go to stdout, this to stderr."""
    if _verbosity >= 0:
        _print(text)


def explain(text: str) -> None:
    """Tell people more, if they asked for it."""
    if _verbosity > 0:
        _print(text)


def _print(text: str) -> None:
    """Print to stderr, above the progress bar where one is drawn."""
    if _bar is None:
        typer.echo(text, err=True)
    else:
        _bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def libraries_muted() -> Iterator[None]:
    """Keep what C libraries print about damaged files from the terminal, unless people asked for more.

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
    plain.flush()
    with (
        os.fdopen(os.dup(STDERR), "w", buffering=1, encoding=plain.encoding, errors=plain.errors) as ours,
        Path(os.devnull).open("wb") as nowhere,
    ):
        os.dup2(nowhere.fileno(), STDERR)
        sys.stderr = ours
        try:
            yield
        finally:
            sys.stderr = plain
            ours.flush()
            os.dup2(ours.fileno(), STDERR)


def one_line(text: str) -> str:
    """File names may hold anything; control characters are shown, not sent to the terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """A rich console; colours only on terminals and without NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=width is None)


@contextmanager
def progress(*columns: str, shown: bool = True) -> "Iterator[Progress]":
    """A progress bar on stderr with `columns` (rich markup), drawn on terminals only."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    global _bar  # noqa: PLW0603 - one terminal, one bar
    terminal = console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(TextColumn(column) for column in columns),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
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


@contextmanager
def counter(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr that each call moves on by one; nothing is imported where none is drawn."""
    if _verbosity < 0 or not sys.stderr.isatty():
        yield lambda: None
        return
    with progress("{task.completed}/{task.total}") as bar:
        running = bar.add_task(what, total=total)
        yield lambda: bar.advance(running)


def pair(text: str, option: str, *, example: str = "0.4,1.9") -> tuple[float, float]:
    """`A,B` or one number for both, A not above B.

    Raises:
        UsageError: it is neither.
    """
    try:
        low, high = (float(part) for part in (text.split(",") if "," in text else (text, text)))
    except ValueError:
        raise UsageError(
            f"{option} takes a number or LO,HI, got '{text}'", hint=f"for example {option} {example}"
        ) from None
    if not low <= high:
        raise UsageError(f"{option} goes from low to high, got '{text}'", hint=f"for example {option} {example}")
    return low, high
