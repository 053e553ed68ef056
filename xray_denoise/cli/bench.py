"""`xray-denoise bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xray_denoise.cli.app import console, guarded, progress, say
from xray_denoise.errors import UsageError

if TYPE_CHECKING:
    from xray_denoise.denoisers import Runtime
    from xray_denoise.tasks.bench import Entry

WIDTH = 100
"""Columns of the tables where the output is no terminal."""


@guarded
def bench(
    images: Annotated[
        Path | None, typer.Option(help="Folder of noise-free radiographs. Default: the built-in phantoms.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(metavar="A,B", help="Methods to run. Default: all that are installed.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Crops of three images: about two minutes.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    repeat: Annotated[int, typer.Option(min=1, help="Runs per image; the median time counts.")] = 1,
    warmup: Annotated[int, typer.Option(min=0, help="Runs before the clock starts.")] = 1,
    log: Annotated[
        Path | None, typer.Option("--json", help="JSON-lines file that keeps every result as it comes.")
    ] = None,
    table: Annotated[Path | None, typer.Option("--csv", help="File for the table as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="File for the table as Markdown.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the --json file of an earlier run.")] = False,
) -> None:
    """Measure denoisers: Table II of the X-BDCNN paper, its own numbers beside ours."""
    from xray_denoise import denoisers, files
    from xray_denoise.files import extras
    from xray_denoise.files.folders import radiographs_in
    from xray_denoise.reports import tables
    from xray_denoise.tasks import bench as task

    if threads:
        denoisers.set_threads(threads)
    entries = _entries(methods, denoisers.Runtime(device, precision))
    if images is None:
        cases, count, where = (
            task.phantoms(quick=quick),
            task.QUICK_IMAGES if quick else task.IMAGES,
            "built-in phantoms",
        )
    else:
        paths = radiographs_in(images)
        cases = task.radiographs(paths, lambda path: files.read(path).grey, quick=quick)
        count, where = (
            min(len(paths), task.QUICK_IMAGES) if quick else len(paths),
            f"radiographs of {images.name}",
        )
    cut = f", their centres of {task.QUICK_SIZE}x{task.QUICK_SIZE} pixels" if quick else ""
    say(f"measuring {', '.join(entry.title for entry in entries)} on {count} {where}{cut}")
    done = []
    try:
        with progress("{task.completed}/{task.total}") as bar:
            running = bar.add_task("bench", total=count * len(entries) * len(task.TABLE_2))
            results = task.Log(log, resume=resume)
            for one in task.measurements(entries, cases, results, seed=seed, warmup=warmup, repeat=repeat):
                done.append(one)
                bar.advance(running)
    except KeyboardInterrupt:
        if not done:
            raise
        say("interrupted: the tables show what was measured" + (f"; --resume goes on with {log}" if log else ""))
    facts = [
        ("images", f"{count} {where}{cut}"),
        ("seed", str(seed)),
        ("device", _device(entries)),
        (
            "models",
            ", ".join(f"{entry.denoiser.name} {entry.fingerprint[:12]}" for entry in entries if entry.fingerprint),
        ),
    ]
    report = task.table_2(done, entries, facts)
    shown = console()
    shown = shown if shown.is_terminal else console(width=WIDTH)
    shown.print(tables.renderable(report))
    if table:
        extras.write_bytes(tables.csv_text(report).encode(), table)
    if markdown:
        extras.write_bytes(tables.markdown(report).encode(), markdown)


def _entries(methods: str | None, runtime: "Runtime") -> "list[Entry]":
    """The rows: what was asked for, or the noisy image, the classical methods and every network."""
    from xray_denoise import denoisers
    from xray_denoise.tasks.bench import Entry

    names = methods.split(",") if methods else [*reversed(denoisers.classical_names()), *denoisers.network_names()]
    if len(set(names)) < len(names):
        raise UsageError("a method is named twice", hint=f"choose from {', '.join(denoisers.names())}")
    entries = []
    for name in names:
        method = denoisers.get(name, runtime)
        told = name in ("tv", "nlm")
        version = getattr(method, "version", "")
        title = f"{name.upper()} (true level)" if told else name
        entries.append(
            Entry(title, method, oracle=told, fingerprint=version and f"{version} {getattr(method, 'settings', '')}")
        )
    return entries


def _device(entries: "list[Entry]") -> str:
    found = {str(entry.denoiser.device) for entry in entries if hasattr(entry.denoiser, "device")}
    return ", ".join(sorted(found)) or "cpu"
