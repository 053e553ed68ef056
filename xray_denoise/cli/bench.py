"""`xray-denoise bench`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xray_denoise.cli.app import guarded, option
from xray_denoise.cli.results import about, collected, confirmed, write_tables
from xray_denoise.cli.terminal import say
from xray_denoise.errors import UsageError

if TYPE_CHECKING:
    from xray_denoise.bench.plan import Plan
    from xray_denoise.bench.records import Log
    from xray_denoise.reports.tables import Report


_what = partial(option, "What to measure")
_output = partial(option, "Output")
_network = partial(option, "How networks run")
_detail = partial(option, "Details")

METHODS = (
    "Methods, separated by commas: blind, or with the true noise level if +level follows the name (tv+level,x-bdcnn). "
    "all takes hours. Default: those of the paper's table and the default model of denoise."
)
TABLE = (
    "2: nine noise levels (Table II of the paper, the default); 1: patches of random noise (Table I); noise-level: "
    "errors of the estimated noise level; detectors: weak and correlated noise, on images averaged 2x2; "
    "detectors-whole: on whole images; detectors-curve: with deviations that depend on the grey level; harm: changes "
    "of lesions, edges and flat fields; speed: as --speed; growth: as --growth."
)
PROFILE = "Noise profile (JSON): one more spectrum in a table of detector noise."
FIGURE = "Draw a figure from the first image, and no table: 2 (Figure 2 of the paper) or before-after. Needs --output."
REPEAT = "Runs per image; the median time is taken. Default: 1; 5 with --speed; 3 with --growth or --speed --quick."


@guarded
def bench(
    images: Annotated[Path | None, _what("Folder of noise-free radiographs. Default: the built-in phantoms.")] = None,
    methods: Annotated[str | None, _what(METHODS, metavar="all|A,B+level")] = None,
    quick: Annotated[bool, _what("Crops of three images: at most two minutes.", "--quick")] = False,
    table: Annotated[str | None, _what(TABLE, metavar="NAME")] = None,
    figure: Annotated[str | None, _what(FIGURE, metavar="NAME")] = None,
    speed: Annotated[bool, _what("Time and memory on one image, in every native precision.", "--speed")] = False,
    growth: Annotated[bool, _what("Time and memory from 0.25 to 64 megapixels (--quick: 4).", "--growth")] = False,
    profile: Annotated[Path | None, _what(PROFILE)] = None,
    output: Annotated[
        Path | None,
        _output(
            "File for --figure (PNG, SVG), or for the plot of table 2, detectors, harm, --speed or --growth (SVG).",
            "--output",
            "-o",
        ),
    ] = None,
    csv: Annotated[Path | None, _output("File for the table as CSV.")] = None,
    markdown: Annotated[Path | None, _output("File for the table as Markdown.")] = None,
    summary: Annotated[Path | None, _output("File for the table as JSON.")] = None,
    report: Annotated[Path | None, _output("HTML file with the table and, for Table II, plots and images.")] = None,
    as_json: Annotated[
        bool, _output("Print one JSON object for each measurement instead of the table.", "--json")
    ] = False,
    log: Annotated[Path | None, _output("Also write every measurement to a file of JSON lines.")] = None,
    resume: Annotated[bool, _output("Continue the --log file of an earlier run.", "--resume")] = False,
    existing: Annotated[
        Literal["error", "overwrite"], _output("If an output file exists: fail, or replace it.")
    ] = "error",
    device: Annotated[str, _network("auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], _network("Arithmetic.")] = "auto",
    threads: Annotated[int | None, _network("CPU threads. Default: all cores.", min=1)] = None,
    seed: Annotated[int, _detail("Seed of the noise.", min=0)] = 0,
    repeat: Annotated[int | None, _detail(REPEAT, min=1)] = None,
    warmup: Annotated[int, _detail("Runs before timing starts.", min=0)] = 1,
    yes: Annotated[bool, _detail("Do not ask before --methods all.", "--yes", "-y")] = False,
) -> None:
    """Benchmark denoisers: the tables of the X-BDCNN paper with its own figures, detector noise, harm, or speed."""
    from xray_denoise import denoisers
    from xray_denoise.bench.plan import plan
    from xray_denoise.bench.records import Log
    from xray_denoise.files.atomic import write_bytes
    from xray_denoise.reports import page, tables
    from xray_denoise.tasks.outputs import check_targets, refuse_inputs

    files: dict[Callable[[Report], str], Path | None] = {
        tables.csv_text: csv,
        tables.markdown: markdown,
        tables.json_text: summary,
    }
    kinds = {"--table": table, "--figure": figure, "--speed": speed, "--growth": growth}
    name = _table([kind for kind, wanted in kinds.items() if wanted], table, output, [log, report, *files.values()])
    written = {"output": output, "csv": csv, "markdown": markdown, "summary": summary, "report": report, "log": log}
    refuse_inputs(written, [path for path in (images, profile, *_weights(methods)) if path])
    check_targets([output, report, *files.values()], replace=existing == "overwrite")
    if report:
        page.require()
    runtime = denoisers.Runtime(device, precision)
    chosen: dict[str, Any] = {"methods": methods, "quick": quick, "seed": seed, "runtime": runtime}
    if name not in ("speed", "growth"):
        if threads:
            denoisers.set_threads(threads)
        denoisers.keep_memory()
    if figure:
        from xray_denoise.bench import figure as bench_figure

        drawing = bench_figure.plan(images, output, kind=figure, **chosen)
        say(f"drawing {', '.join(row.title for row in drawing.rows)} on {drawing.words}")
        write_bytes(drawing.draw(), drawing.target)
        return
    made = plan(name, images, profile=profile, warmup=warmup, repeat=repeat, threads=threads, **chosen)
    kept = Log(log, resume=resume, replace=existing == "overwrite")
    estimates = _announce(made, kept, ask=(methods or "").strip() == "all" and not yes)
    counts = dict.fromkeys((row.title for row in made.rows), made.cases_per_row)
    done = collected(made.measure(kept), counts, estimates, as_json=as_json, log=log)
    write_tables(made.report(done), files, shown=not as_json)
    if output:
        write_bytes(made.table.plot(made.run(done)).svg, output)
    if report:
        write_bytes(made.html(done), report)
    failed, missing = any(one.failure for one in done), len(done) < sum(counts.values())
    if failed or missing:
        raise typer.Exit(1 if failed else 130)


def _table(kinds: list[str], table: str | None, output: Path | None, targets: Sequence[Path | None]) -> str:
    """The name of the table, after options that contradict each other are refused, before hours are spent."""
    from xray_denoise.bench.tables import TABLES
    from xray_denoise.reports import page

    if len(kinds) > 1:
        raise UsageError(f"{' and '.join(kinds)} are different runs", hint="choose one of them")
    if kinds == ["--figure"]:
        if any(targets):
            raise UsageError(
                "a figure has no table to write", hint="leave out --figure, or name its file with --output"
            )
        return ""
    name = kinds[0].strip("-") if kinds in (["--speed"], ["--growth"]) else table or "2"
    if output:
        if name in TABLES and not TABLES[name].plotted:
            raise UsageError(
                "--output is for figures and plots",
                hint="add --figure 2, --speed or --growth, or use --csv, --markdown, --summary or --report",
            )
        if output.suffix.lower() != ".svg":
            raise UsageError(f"the plot is an SVG file, not {output.name}", hint="for example -o speed.svg")
        page.require("a plot", "matplotlib")
    return name


def _weights(methods: str | None) -> list[Path]:
    """The files of weights among the methods."""
    from xray_denoise import weights

    names = (one.strip().partition("+")[0] for one in (methods or "").split(","))
    return [weights.file_of(name) for name in names if name]


def _announce(plan: "Plan", log: "Log", *, ask: bool) -> Mapping[str, float]:
    """Say what is measured, what is not, and how long it takes; returns the seconds that a case of each row takes."""
    say(f"measuring {', '.join(row.title for row in plan.rows)} on {plan.images.words}: {plan.table.title}")
    for what in plan.left_out:
        say(f"left out: {what}")
    for title, hint in plan.absent.items():
        say(f"not installed: {title} ({hint})")
    if plan.table.in_processes:
        return {}
    estimates = plan.estimate(log)
    left = sum(estimates[row.title] * max(0, plan.cases_per_row - log.count(row.identity)) for row in plan.rows)
    say(f"this takes {about(left)} here")
    if ask and not confirmed(f"Measuring all methods takes {about(left)}. Continue?"):
        raise typer.Exit(1)
    return estimates
