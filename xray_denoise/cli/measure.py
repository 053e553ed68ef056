"""`xray-denoise measure`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xray_denoise.cli.app import complain_of, guarded, value_range_of
from xray_denoise.cli.terminal import libraries_muted, one_line, say
from xray_denoise.errors import UsageError

if TYPE_CHECKING:
    from xray_denoise.tasks.measure import Kind, Measurement

WHAT, FILES = "What the images are", "Files"


@guarded
def measure(
    inputs: Annotated[
        list[str],
        typer.Argument(help="DICOM, PNG, TIFF, WebP or JPEG files, folders, or @list.txt."),
    ],
    flat: Annotated[
        bool,
        typer.Option(
            "--flat",
            rich_help_panel=WHAT,
            help="Flat fields. Several doses give variance against signal; two or more of each dose separate the fixed "
            "pattern from temporal noise.",
        ),
    ] = False,
    repeated: Annotated[
        bool, typer.Option("--repeated", rich_help_panel=WHAT, help="Repeated frames of one still scene.")
    ] = False,
    dark: Annotated[
        bool, typer.Option("--dark", rich_help_panel=WHAT, help="Frames that were read without exposure.")
    ] = False,
    edge: Annotated[
        bool,
        typer.Option("--edge", rich_help_panel=WHAT, help="Images of a straight edge, slanted by 1.5 to 3 degrees."),
    ] = False,
    offset: Annotated[
        str,
        typer.Option(metavar="VALUE|PATH", rich_help_panel=WHAT, help="Stored value without exposure, or dark frames."),
    ] = "0",
    region: Annotated[
        str | None,
        typer.Option(metavar="TOP,LEFT,HEIGHT,WIDTH", rich_help_panel=WHAT, help="Measure this part only, pixels."),
    ] = None,
    pixel_pitch: Annotated[
        float | None,
        typer.Option(metavar="MM", rich_help_panel=WHAT, help="Pixel pitch. Default: that in the DICOM header."),
    ] = None,
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            metavar="auto|LO,HI",
            rich_help_panel=WHAT,
            help="Stored values that are grey levels 0 and 255 in the profile.",
        ),
    ] = "auto",
    window: Annotated[
        Literal["sine", "none"],
        typer.Option(
            rich_help_panel=WHAT, help="Window of noise power spectra; none as in IEC 62220-1-1, sine leaks less."
        ),
    ] = "sine",
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=FILES, help="Print one JSON object for each measurement.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel=FILES, help="Also write all numbers and curves.")
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            rich_help_panel=FILES,
            help="Also write a noise profile, for denoise --profile and synth --detector.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg|html", rich_help_panel=FILES, help="Also write a figure, or a page with it."),
    ] = None,
    existing: Annotated[
        Literal["error", "overwrite"],
        typer.Option(rich_help_panel=FILES, help="If an output file exists: fail, or replace it."),
    ] = "error",
) -> None:
    """Measure noise, spectrum and MTF: of a detector from test images, or of one radiograph by itself."""
    from xray_denoise.tasks import measure as task
    from xray_denoise.tasks import measure_output as output
    from xray_denoise.tasks.jobs import expand_lists, lists_among
    from xray_denoise.tasks.outputs import check_targets, refuse_inputs

    kind = _kind(flat=flat, repeated=repeated, dark=dark, edge=edge)
    settings = task.Settings(
        kind=kind,
        offset=_offset(offset, kind),
        region=_region(region),
        pitch=pixel_pitch,
        value_range=value_range_of(value_range),
        window=window,
    )
    if profile and kind in ("dark", "edge"):
        raise UsageError(f"--profile cannot be made from --{kind}", hint="use flat fields or repeated frames")
    given = list(expand_lists(inputs, sys.stdin))
    dark_frames = [settings.offset] if isinstance(settings.offset, Path) else []
    refuse_inputs({"csv": csv, "profile": profile, "plot": plot}, [*given, *dark_frames, *lists_among(inputs)])
    check_targets((csv, profile, plot), replace=existing == "overwrite")
    _check_plot(plot)
    found: list[Measurement] = []
    notes: set[str] = set()
    failed = 0
    with libraries_muted():
        for one in task.measure(given, settings):
            if isinstance(one, task.Failure):
                failed += 1
                if as_json:
                    typer.echo(json.dumps(output.failure_record(one, kind)))
                complain_of(one.error)
                continue
            found.append(one)
            _tell(one, len(found), as_json=as_json)
            for note in one.notes:
                text = f"note: {one.kind}: {one_line(note)}"
                if text not in notes:  # frames of one detector share theirs
                    say(text)
                notes.add(text)
    if found:
        _write(found, csv, plot)
        if profile:
            from xray_denoise.files.profiles import write_profile

            write_profile(task.one_profile(found), profile)
            say(f"profile: {one_line(str(profile))}")
    if failed:
        raise typer.Exit(1)


def _tell(one: "Measurement", number: int, *, as_json: bool) -> None:
    from xray_denoise.tasks import measure_output as output

    if as_json:
        typer.echo(json.dumps(output.record(one, number)))
    else:
        first, more = one.sources[0], len(one.sources) - 1
        typer.echo(one_line(f"{one.kind}: {first}" + (f" and {more} more" if more else "")))
        for line in output.lines(one):
            typer.echo(f"  {line}")


def _write(found: "list[Measurement]", csv: Path | None, plot: Path | None) -> None:
    from xray_denoise.files.atomic import write_bytes
    from xray_denoise.tasks import measure_output as output

    if csv:
        write_bytes(output.csv_text(found).encode("utf-8", errors="backslashreplace"), csv)
        say(f"table: {one_line(str(csv))}")
    if plot:
        write_bytes(output.svg(found) if plot.suffix.lower() == ".svg" else output.html(found), plot)
        say(f"plot: {one_line(str(plot))}")


def _kind(*, flat: bool, repeated: bool, dark: bool, edge: bool) -> "Kind":
    chosen: dict[Kind, bool] = {"flat": flat, "repeated": repeated, "dark": dark, "edge": edge}
    kinds = [kind for kind, wanted in chosen.items() if wanted]
    if len(kinds) > 1:
        raise UsageError(
            " and ".join(f"--{kind}" for kind in kinds) + " are different measurements", hint="run one after the other"
        )
    return kinds[0] if kinds else "blind"


def _offset(text: str, kind: "Kind") -> float | Path:
    try:
        number = float(text)
    except ValueError:
        if kind != "flat":
            raise UsageError(f"--offset takes a stored value here, got '{text}'", hint="for example 50") from None
        return Path(text)
    if number and kind not in ("flat", "repeated"):
        raise UsageError("--offset is for --flat and --repeated", hint="leave it out")
    return number


def _region(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    try:
        top, left, height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--region takes TOP,LEFT,HEIGHT,WIDTH, got '{text}'", hint="for example --region 100,100,512,512"
        ) from None
    return top, left, height, width


def _check_plot(plot: Path | None) -> None:
    if plot is None:
        return
    if plot.suffix.lower() not in (".svg", ".html"):
        raise UsageError("--plot writes an .svg or .html file", hint="for example --plot noise.svg")
    from xray_denoise.reports import page

    page.require("a plot", *(("matplotlib",) if plot.suffix.lower() == ".svg" else ()))
