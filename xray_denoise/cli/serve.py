"""`xray-denoise serve`."""

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xray_denoise.cli.app import guarded
from xray_denoise.cli.completion import complete_model
from xray_denoise.cli.signals import stopped_by_signals
from xray_denoise.cli.terminal import give
from xray_denoise.errors import UsageError

if TYPE_CHECKING:
    from xray_denoise.tasks.remarks import Strength

NETWORK, WORK, SPOOL = "Network", "What is done", "Spool and figures"
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@guarded
def serve(
    authority: Annotated[str | None, typer.Argument(metavar="CA", hidden=True)] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AE@HOST:PORT|URL|FOLDER",
            help="Where results go: a DICOM node, a STOW-RS service (https://HOST/.../studies), a folder; repeatable.",
        ),
    ] = None,
    spool: Annotated[
        str, typer.Option(metavar="FOLDER", help="Holds every object until it is delivered; on a local disk.")
    ] = "xray-denoise-spool",
    port: Annotated[int, typer.Option(rich_help_panel=NETWORK, help="TCP port; 0 lets the system choose.")] = 11112,
    bind: Annotated[
        str, typer.Option(metavar="ADDRESS", rich_help_panel=NETWORK, help="Address of this machine to listen on.")
    ] = "127.0.0.1",
    ae_title: Annotated[str, typer.Option(metavar="AE", rich_help_panel=NETWORK, help="AE title of this node.")] = (
        "XRAYDENOISE"
    ),
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AE[@HOST]", rich_help_panel=NETWORK, help="Who may send; repeatable. Default: everybody."
        ),
    ] = None,
    tls: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="CERT KEY [CA]",
            rich_help_panel=NETWORK,
            help="Take TLS connections only (PEM files); with CA, only those with a certificate that it has signed.",
        ),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.toml",
            rich_help_panel=WORK,
            help="What is denoised, how, and where it goes: by modality, body part, station and sender.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option("--model", "-m", rich_help_panel=WORK, autocompletion=complete_model, help="As in `denoise`."),
    ] = "auto",
    strength: Annotated[str, typer.Option(metavar="auto|0..1", rich_help_panel=WORK, help="As in `denoise`.")] = "1",
    device: Annotated[str, typer.Option(rich_help_panel=WORK, help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=WORK, help="CPU threads. Default: all cores.")
    ] = None,
    forward_originals: Annotated[
        bool,
        typer.Option(
            "--forward-originals", rich_help_panel=WORK, help="Pass on unchanged what cannot be denoised, too."
        ),
    ] = False,
    max_object_size: Annotated[
        str, typer.Option(metavar="SIZE", rich_help_panel=SPOOL, help="Refuse larger objects, such as 500M or 2G.")
    ] = "1G",
    keep_free: Annotated[
        str,
        typer.Option(metavar="SIZE", rich_help_panel=SPOOL, help="Refuse objects when the disk has less room."),
    ] = "512M",
    metrics: Annotated[
        int | None,
        typer.Option(metavar="PORT", rich_help_panel=SPOOL, help="Figures for Prometheus, on the address of --bind."),
    ] = None,
) -> None:
    """Receive DICOM images, denoise them and forward the results, until SIGTERM or Ctrl-C. The log goes to stdout."""
    from xray_denoise import denoisers
    from xray_denoise.cli.denoise import parsed_strength
    from xray_denoise.node.journal import Journal
    from xray_denoise.node.service import NodeOptions
    from xray_denoise.node.service import serve as run
    from xray_denoise.tasks.jobs import checked_path

    if authority is not None and tls is None:
        raise UsageError(f"unexpected argument '{authority}'", hint="`serve` takes options only")
    number: Strength = parsed_strength(strength)
    options = NodeOptions(
        to=to or [],
        spool=checked_path(spool, "the spool", "spool"),
        ae_title=ae_title,
        port=port,
        bind=bind,
        allow=allow or [],
        tls=None if tls is None else (Path(tls[0]), Path(tls[1])),
        tls_authority=None if authority is None else Path(authority),
        rules=None if rules is None else Path(rules),
        model=model,
        strength=number,
        device=device,
        forward_originals=forward_originals,
        metrics=metrics,
        max_object_bytes=_bytes(max_object_size, "max_object_size"),
        keep_free_bytes=_bytes(keep_free, "keep_free"),
    )
    denoisers.keep_memory()
    if threads is not None:
        denoisers.set_threads(threads)
    stop = stopped_by_signals()
    threading.excepthook = lambda args: Journal(_print).tell_bug(args.exc_value or args.exc_type())
    if not run(options, _print, stop):
        sys.stdout.flush()
        os._exit(0)  # a thread is still at work, and nothing is lost by ending it


def _print(line: str) -> None:
    give(line)
    sys.stdout.flush()


def _bytes(text: str, option: str) -> int:
    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].upper() in UNITS else (text, "")
    try:
        size = round(float(number) * UNITS[unit])
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise UsageError(f"'{text}' is no size", hint="for example 500M or 2G", option=option)
    return size
