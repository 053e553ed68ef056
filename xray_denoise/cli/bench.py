"""`xray-denoise bench`."""

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xray_denoise.cli.app import console, guarded, progress, say
from xray_denoise.errors import UnwritableFileError, UsageError

if TYPE_CHECKING:
    from xray_denoise.denoisers import Runtime
    from xray_denoise.tasks.bench.log import Measurement
    from xray_denoise.tasks.bench.plan import Plan

WIDTH = 100
"""Columns of the tables where the output is no terminal."""


@guarded
def bench(
    images: Annotated[
        Path | None, typer.Option(help="Folder of noise-free radiographs. Default: the built-in phantoms.")
    ] = None,
    table: Annotated[
        Literal["1", "2", "noise-level"],
        typer.Option(help="Of the paper: patches of random noise (1) or nine noise levels (2); or level estimates."),
    ] = "2",
    figure: Annotated[
        Literal["2"] | None,
        typer.Option(help="Draw this figure of the paper from the first image, and no table; needs --output."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="PNG or SVG file for the figure.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="A,B+level",
            help="Methods to run, blind, or told the true noise level with +level behind the name, for example "
            "tv+level,x-bdcnn. Default: all that are known.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Crops of three images: at most two minutes.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    engine: Annotated[str, typer.Option(help="What runs networks on a CPU: auto, torch or openvino.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    repeat: Annotated[int, typer.Option(min=1, help="Runs per image; the median time counts.")] = 1,
    warmup: Annotated[int, typer.Option(min=0, help="Runs before the clock starts.")] = 1,
    log: Annotated[
        Path | None, typer.Option("--json", help="JSON-lines file that keeps every result as it comes.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the --json file of an earlier run.")] = False,
    summary: Annotated[Path | None, typer.Option("--summary", help="File for the table as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="File for the table as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="File for the table as Markdown.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="HTML file with the table and, for Table II, plots and images.")
    ] = None,
) -> None:
    """Measure denoisers: the tables of the X-BDCNN paper, its own numbers beside ours."""
    from xray_denoise import denoisers
    from xray_denoise.files import extras
    from xray_denoise.reports import tables
    from xray_denoise.tasks.bench import plan

    files = {tables.csv_text: csv, tables.markdown: markdown, tables.json_text: summary}
    _check(figure, output, [path for path in (log, report, *files.values()) if path])
    if threads:
        denoisers.set_threads(threads)
    runtime = denoisers.Runtime(device, precision, engine=engine)
    if figure:
        _draw(images, output, methods, quick=quick, seed=seed, runtime=runtime)
        return
    if report:
        from xray_denoise.tasks.bench import page

        page.require()
    run = plan.plan(table, images, named=methods, quick=quick, seed=seed, runtime=runtime)
    say(f"measuring {', '.join(entry.title for entry in run.entries)} on {run.images.words}")
    for row in run.absent:
        say(f"not installed: {row.title} ({row.hint})")
    done = _measured(run, log, resume=resume, warmup=warmup, repeat=repeat)
    result = run.report(done)
    shown = console()
    shown = shown if shown.is_terminal else console(width=WIDTH)
    shown.print(tables.renderable(result))
    for write, target in files.items():
        if target:
            extras.write_bytes(write(result).encode(), target)
    if report:
        extras.write_bytes(page.html(run, result), report)
    if len(done) < run.total:
        raise typer.Exit(130)


def _check(figure: str | None, output: Path | None, targets: list[Path]) -> None:
    """Find out whether the files that are asked for make sense, before hours are spent on them."""
    if output and not figure:
        raise UsageError(
            "--output is for figures", hint="add --figure 2, or use --csv, --markdown, --summary or --report"
        )
    if figure and targets:
        raise UsageError("a figure has no table to write", hint="leave out --figure, or name its file with --output")
    for target in targets:
        if not target.parent.is_dir():
            raise UnwritableFileError(
                f"cannot write {target}: there is no folder {target.parent}", hint="make the folder, or choose another"
            )


def _draw(
    images: Path | None, output: Path | None, methods: str | None, *, quick: bool, seed: int, runtime: "Runtime"
) -> None:
    """Write Figure 2."""
    from xray_denoise.files import extras
    from xray_denoise.tasks.bench import figure

    drawn = figure.plan(images, output, named=methods, quick=quick, seed=seed, runtime=runtime)
    say(f"drawing {', '.join(entry.title for entry in drawn.entries)} on {drawn.words}")
    extras.write_bytes(drawn.draw(), drawn.target)


def _measured(run: "Plan", path: Path | None, *, resume: bool, warmup: int, repeat: int) -> "list[Measurement]":
    """The measurements, fewer where they are interrupted; the bar shows the share of the time, not of the count."""
    from rich.progress import TextColumn

    from xray_denoise.tasks.bench.run import Pace

    log = run.open_log(path, resume=resume)
    done: list[Measurement] = []
    pace = Pace([entry.title for entry in run.entries], run.cases_a_row)
    start = before = time.monotonic()
    try:
        with progress("{task.fields[count]}") as bar:
            *columns, _, _ = bar.columns  # the time left, which would be judged by the latest rows alone
            bar.columns = (*columns, TextColumn("{task.fields[left]}"))
            running = bar.add_task("bench", total=1.0, count=f"0/{run.total}", left="")
            for one in run.measure(log, warmup=warmup, repeat=repeat):
                done.append(one)
                now = time.monotonic()
                pace.add(one, now - before)
                before = now
                left = "" if pace.left is None else f"{timedelta(seconds=round(pace.left))} left"
                bar.update(running, completed=pace.share(now - start), count=f"{len(done)}/{run.total}", left=left)
    except KeyboardInterrupt:
        if not done:
            raise
        say("interrupted: the table shows what was measured" + (f"; --resume goes on with {path}" if path else ""))
    return done
