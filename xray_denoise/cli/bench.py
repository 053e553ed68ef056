"""`xray-denoise bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xray_denoise.cli.app import guarded, say
from xray_denoise.cli.results import watched, write_tables
from xray_denoise.errors import UnwritableFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from xray_denoise.denoisers import Runtime
    from xray_denoise.reports.tables import Report
    from xray_denoise.tasks.bench.log import Measurement
    from xray_denoise.tasks.bench.plan import Plan


@guarded
def bench(
    images: Annotated[
        Path | None, typer.Option(help="Folder of noise-free radiographs. Default: the built-in phantoms.")
    ] = None,
    table: Annotated[
        Literal["1", "2", "noise-level"] | None,
        typer.Option(
            help="Of the paper: patches of random noise (1) or nine noise levels (2, the default); or level estimates."
        ),
    ] = None,
    figure: Annotated[
        Literal["2"] | None,
        typer.Option(help="Draw this figure of the paper from the first image, and no table; needs --output."),
    ] = None,
    speed: Annotated[
        bool,
        typer.Option(
            "--speed",
            help="Time and memory on one image, by every engine and precision; -o draws PSNR over time.",
        ),
    ] = False,
    growth: Annotated[
        bool,
        typer.Option(
            "--growth", help="Time and memory from 0.25 to 64 megapixels, with --quick up to 4; -o draws them."
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG or SVG file for the figure, SVG file for the plot.")
    ] = None,
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
    repeat: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs per image; the median time counts. Default: 1; with --speed 5; with --growth, or --speed "
            "--quick, 3.",
        ),
    ] = None,
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
    """Measure denoisers: the tables of the X-BDCNN paper, its own numbers beside ours; or their speed."""
    from xray_denoise import denoisers
    from xray_denoise.files import extras
    from xray_denoise.reports import tables
    from xray_denoise.tasks.bench import plan

    files: dict[Callable[[Report], str], Path | None] = {
        tables.csv_text: csv,
        tables.markdown: markdown,
        tables.json_text: summary,
    }
    kinds = {"--table": table, "--figure": figure, "--speed": speed, "--growth": growth}
    _check([kind for kind, wanted in kinds.items() if wanted], output, [log, report, *files.values()], resume=resume)
    runtime = denoisers.Runtime(device, precision, engine=engine)
    if speed or growth:
        from xray_denoise.cli.speed import run_trial
        from xray_denoise.tasks.bench import trial

        run_trial(
            lambda: trial.plan(
                images,
                named=methods,
                quick=quick,
                growth=growth,
                seed=seed,
                runtime=runtime,
                threads=threads,
                rounds=repeat,
                warmup=warmup,
            ),
            log=log,
            files=files,
            plot=output,
            page=report,
        )
        return
    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    if figure:
        _draw(images, output, methods, quick=quick, seed=seed, runtime=runtime)
        return
    if report:
        from xray_denoise.tasks.bench import page

        page.require()
    run = plan.plan(table or "2", images, named=methods, quick=quick, seed=seed, runtime=runtime)
    say(f"measuring {', '.join(entry.title for entry in run.entries)} on {run.images.words}")
    for row in run.absent:
        say(f"not installed: {row.title} ({row.hint})")
    done = _measured(run, log, resume=resume, warmup=warmup, repeat=repeat or 1)
    result = run.report(done)
    write_tables(result, files)
    if report:
        extras.write_bytes(page.html(run, result), report)
    if len(done) < run.total:
        raise typer.Exit(130)


def _check(kinds: list[str], output: Path | None, targets: list[Path | None], *, resume: bool) -> None:
    """Find out whether the options make sense together, before hours are spent on them."""
    kind = kinds[0] if kinds else "--table"
    if len(kinds) > 1:
        raise UsageError(f"{' and '.join(kinds)} are different runs", hint="choose one of them")
    if output and kind == "--table":
        raise UsageError(
            "--output is for figures and plots",
            hint="add --figure 2, --speed or --growth, or use --csv, --markdown, --summary or --report",
        )
    if kind == "--figure" and any(targets):
        raise UsageError("a figure has no table to write", hint="leave out --figure, or name its file with --output")
    if resume and kind != "--table":
        raise UsageError(f"{kind} cannot be resumed", hint="leave out --resume")
    for target in filter(None, targets):
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
    """The measurements, fewer where they are interrupted."""
    from xray_denoise.tasks.bench.run import Pace

    log = run.open_log(path, resume=resume)
    done: list[Measurement] = []
    pace = Pace([entry.title for entry in run.entries], run.cases_a_row)
    running = run.measure(log, warmup=warmup, repeat=repeat)
    try:
        for one in watched(running, pace, lambda one: (one.method, one.seconds), total=run.total):
            done.append(one)
    except KeyboardInterrupt:
        if not done:
            raise
        say("interrupted: the table shows what was measured" + (f"; --resume goes on with {path}" if path else ""))
    return done
