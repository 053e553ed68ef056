"""What all commands share: the program itself, global options, the two-line error, and pairs of numbers."""

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec

import typer

from xray_denoise import __version__
from xray_denoise.cli.terminal import complain, discard, set_verbosity
from xray_denoise.errors import UsageError, XrayDenoiseError

app = typer.Typer(
    name="xray-denoise",
    help="Remove the noise of low-dose X-ray radiographs with blind denoising neural networks.",
    epilog="Research use, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show patient data
    context_settings={"help_option_names": ["-h", "--help"]},
)

P = ParamSpec("P")

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
    set_verbosity(quiet=quiet, verbose=verbose)


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option whose help is shown in a panel."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Decorate a command: it takes -q and -v, and errors become two lines and an exit status.

    Bugs keep their traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        quiet, verbose = bool(kwargs.pop("quiet", False)), bool(kwargs.pop("verbose", False))
        if quiet or verbose:
            set_verbosity(quiet=quiet, verbose=verbose)
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
            discard(sys.stdout)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.filename is not None:
                raise
            discard(sys.stdout)  # files have names; what has none is a stream
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


def value_range_of(text: str) -> tuple[float, float] | None:
    """The ends of `--range`, LO,HI; None for `auto`.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return None
    if [bool(end.strip()) for end in text.split(",")] != [True, True]:
        raise UsageError(f"--range takes LO,HI or auto, got '{text}'", hint="for example --range 0,4095")
    return pair(text, "--range", example="0,4095")
