"""What all commands share: global options, the two-line error, and progress on terminals only."""

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, ParamSpec

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

FLAGS = {
    "compression": "--compress",
    "file_format": "--format",
    "profile_or_level": "--eta and --sigma",
    "target": "--output",
    "value_range": "--range",
}
"""Options by the parameters of Python functions that they set, where their names differ."""

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and requested data.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more about what is done.")]

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
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Set what holds for every command."""
    global _verbosity  # noqa: PLW0603 - one command line, one process
    _verbosity = int(verbose) - int(quiet)


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option whose help is shown in a panel."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Decorate a command: it takes -q and -v, and errors become two lines and an exit status.

    Bugs keep their traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        global _verbosity  # noqa: PLW0603 - one command line, one process
        quiet, verbose = kwargs.pop("quiet", False), kwargs.pop("verbose", False)
        if quiet or verbose:
            _verbosity = int(bool(verbose)) - int(bool(quiet))
        warnings.simplefilter("ignore")  # written for developers, and those of pydicom quote what a patient's file says
        try:
            command(*args, **kwargs)
        except XrayDenoiseError as error:
            complain_of(error)
            raise typer.Exit(error.exit_status) from error
        except KeyboardInterrupt:
            complain(
                "interrupted",
                "finished files are kept; `denoise` continues with --existing skip, `train` and `bench` with --resume",
            )
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of our output has gone, `| head` for example
            _discard(sys.stdout)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.filename is not None:
                raise
            _discard(sys.stdout)  # files have names; what has none is a stream
            complain(f"cannot write to standard output: {error.strerror}", "check where it leads to")
            raise typer.Exit(1) from None

    _add_parameters(run, command, quiet=Quiet, verbose=Verbose)
    return run


def _add_parameters(run: Callable[..., None], command: Callable[..., None], **added: Any) -> None:
    """Let typer see options that `run` takes besides those of `command`."""
    signature = inspect.signature(command)
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in added.items()
    ]
    run.__annotations__ = {**command.__annotations__, **added}
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *parameters]
    )


def complain_of(error: XrayDenoiseError, number: str = "") -> None:
    """Print an error of the library and its hint, with the option that decides, after the `number` of its file."""
    hint = error.hint
    if error.option and hint:
        hint += f" ({FLAGS.get(error.option, '--' + error.option.replace('_', '-'))})"
    complain(f"{number}{error}", hint)


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
        _discard(sys.stdout)


def give(text: str) -> None:
    """Print requested data; a closed pipe (`| head`) does not stop the work."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        _discard(sys.stdout)


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
        _discard(sys.stderr)


def _discard(stream: IO[str]) -> None:
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
