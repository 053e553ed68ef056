"""Measure what a user waits for besides the network on a CPU: the whole process, its start, a folder, and memory.

    python docs/measure_process.py [-o FILE.md] [--models A,B] [--parts A,B] [--repeat N] [--size N] [--quick]

- Whole process: `denoise` of one file, beside the bare network and `import torch`, which it cannot do without. All
  three are timed in turn, in fresh processes, in every round; their ratio is taken within a round.
- Folder: all of a folder of files but the first few, beside the bare network on one after the other.
- Memory: the most that `denoise` of one file had resident, by size.
- Imports: what `denoise` loads, by package, as `-X importtime` tells.

Files are noisy phantoms, 8-bit PNG. Each part is a table of FILE.md, and is printed as it is ready.
"""

import argparse
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from xray_denoise import __version__, denoisers, files
from xray_denoise.bench.fresh_process import in_fresh_process
from xray_denoise.denoisers import Runtime
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.phantom import chest_phantom
from xray_denoise.radiograph import Radiograph

LEVEL = NoiseLevel(0.6, 10)
WARM_FILES = 4
"""Files of a folder that are not counted: graphs and threads are there after them."""
CLI = "import sys; from xray_denoise.cli import main; sys.exit(main())"
PEAK = "import atexit, sys; from xray_denoise.bench.fresh_process import peak_memory; "
PEAK += "atexit.register(lambda: print(peak_memory(), file=sys.stderr)); "
"""Lets a process tell its peak at its end; what the system tells of a child includes what its parent had then."""
SLOW = 3.0
"""Seconds of a call that is not repeated three times."""
IMPORTS = 8
"""Packages that are listed."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and on how much."""

    folder: Path
    """For files, empty."""
    models: Sequence[str]
    threads: int | None
    repeat: int = 3
    size: int = 1024
    files: int = 50
    folder_size: int = 1024
    sizes: tuple[int, ...] = (1024, 2048, 4096)

    @property
    def engines(self) -> list[str]:
        """That are installed."""
        return ["torch", *(["openvino"] if importlib.util.find_spec("openvino") else [])]

    @property
    def cases(self) -> list[tuple[str, str]]:
        """Model and engine of every row."""
        return [(model, engine) for model in self.models for engine in self.engines]

    def radiograph(self, size: int) -> Path:
        """A file with a phantom of `size` pixels a side; larger than 1024 it is one of 1024, repeated."""
        path = self.folder / f"{size}.png"
        if not path.exists():
            once = chest_phantom(min(size, 1024), rng=np.random.default_rng(0))
            clean = np.tile(once, (-(-size // 1024),) * 2)[:size, :size]
            files.write(Radiograph.from_grey(add_noise(clean, LEVEL, np.random.default_rng(1)), bits=8), path)
        return path

    def denoise(self, source: Path, model: str, engine: str, before: str = "") -> tuple[float, str]:
        """Seconds of `denoise` of one file in a process of its own, and what it said; `before` is run first."""
        target = self.folder / "out.png"
        target.unlink(missing_ok=True)
        words = ["denoise", str(source), "-o", str(target), "--model", model, "--engine", engine, "--device", "cpu"]
        words += ["--threads", str(self.threads)] if self.threads else []
        start = time.perf_counter()
        ran = subprocess.run([sys.executable, "-c", before + CLI, *words], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(f"denoise ended with {ran.returncode}: {ran.stderr}")
        return time.perf_counter() - start, ran.stderr


def bare_seconds(model: str, engine: str, threads: int | None, path: Path) -> float:
    """Of one call of the network alone, on a tensor that is ready: the median of three, or the second of a slow one."""
    import torch

    from xray_denoise.denoisers.network import NetworkDenoiser

    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    denoise = cast(NetworkDenoiser, denoisers.get(model, Runtime("cpu", engine=engine)))
    grey = torch.from_numpy(files.read(path).grey)[None, None] / 255
    noisy = grey.contiguous(memory_format=torch.channels_last)
    seconds = []
    with torch.inference_mode():
        while len(seconds) < (2 if seconds and seconds[0] > SLOW else 4):
            start = time.perf_counter()
            denoise._graphs(noisy)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def folder_seconds(model: str, engine: str, threads: int | None, source: Path, target: Path) -> tuple[float, float]:
    """Seconds a file of a folder, and of the bare network on one of its files, before and after."""
    from xray_denoise.tasks.batch import Options, run_jobs
    from xray_denoise.tasks.jobs import plan_jobs
    from xray_denoise.tasks.manifest import Manifest

    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    jobs, _ = plan_jobs([str(source)], target)
    options = Options(denoisers.get(model, Runtime("cpu", engine=engine)), manifest=Manifest(target))
    list(run_jobs(jobs[:WARM_FILES], options))
    before = bare_seconds(model, engine, threads, jobs[0].source)
    start = time.perf_counter()
    statuses = {outcome.status for outcome in run_jobs(jobs[WARM_FILES:], options)}
    each = (time.perf_counter() - start) / (len(jobs) - WARM_FILES)
    if statuses != {"written"}:
        raise SystemExit(f"a file of the folder was {statuses}")
    return each, (before + bare_seconds(model, engine, threads, jobs[0].source)) / 2


def start_seconds(code: str) -> float:
    """Of a process that runs `code` and ends."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def whole_process(plan: Plan) -> Iterator[list[str]]:
    """Seconds of `denoise` of one file, and what it is compared with."""
    yield [
        f"model, {plan.size}x{plan.size}",
        "whole / s",
        "bare network / s",
        "import torch / s",
        "whole / (bare + import), each round",
    ]
    path = plan.radiograph(plan.size)
    rounds: dict[tuple[str, str], list[tuple[float, float, float]]] = {case: [] for case in plan.cases}
    for _ in range(plan.repeat):
        for (model, engine), samples in rounds.items():
            whole, _ = plan.denoise(path, model, engine)
            bare = in_fresh_process(partial(bare_seconds, model, engine, plan.threads, path))
            samples.append((whole, bare, start_seconds("import torch")))
    for (model, engine), samples in rounds.items():
        medians = [f"{statistics.median(column):.2f}" for column in zip(*samples, strict=True)]
        ratios = sorted(whole / (bare + torch) for whole, bare, torch in samples)
        told = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        yield [f"{model}, {engine}", *medians, told]


def folder(plan: Plan) -> Iterator[list[str]]:
    """Seconds a file of a folder."""
    yield ["model", "a file / s", "bare network / s", "rate / that of the bare network"]
    source = plan.folder / "files"
    source.mkdir()
    content = plan.radiograph(plan.folder_size).read_bytes()
    for number in range(plan.files + WARM_FILES):
        (source / f"{number:04}.png").write_bytes(content)
    for model, engine in plan.cases:
        target = plan.folder / f"results-{model}-{engine}"
        each, bare = in_fresh_process(partial(folder_seconds, model, engine, plan.threads, source, target))
        yield [f"{model}, {engine}", f"{each:.3f}", f"{bare:.3f}", f"{bare / each:.1%}"]


def memory(plan: Plan) -> Iterator[list[str]]:
    """Most MiB resident, by size."""
    yield ["model", *(f"{size}x{size} / MiB" for size in plan.sizes)]
    for model, engine in plan.cases:
        told = [plan.denoise(plan.radiograph(size), model, engine, PEAK)[1] for size in plan.sizes]
        yield [f"{model}, {engine}", *(f"{float(text.split()[-1]):.0f}" for text in told)]


def imports(plan: Plan) -> Iterator[list[str]]:
    """Seconds of importing, by package, without what it imports itself."""
    yield ["package", "modules", "its own / s"]
    path, target = plan.radiograph(min(plan.size, 256)), plan.folder / "imported.png"
    words = ["denoise", str(path), "-o", str(target), "--model", plan.models[0], "--engine", "torch"]
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", CLI, *words], check=True, capture_output=True, text=True
    ).stderr
    seconds: defaultdict[str, float] = defaultdict(float)
    modules: Counter[str] = Counter()
    for own, module in re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", told, re.MULTILINE):
        package = module.split(".")[0]
        seconds[package] += int(own) / 1e6
        modules[package] += 1
    named = sorted(seconds, key=lambda package: -seconds[package])[:IMPORTS]
    for package in named:
        yield [package, str(modules[package]), f"{seconds[package]:.2f}"]
    others = seconds.keys() - set(named)
    yield ["others", str(sum(modules[one] for one in others)), f"{sum(seconds[one] for one in others):.2f}"]
    show_help = 'import sys; sys.argv[1:] = ["--help"]; ' + CLI
    yield ["`--help`, the whole process", "", f"{start_seconds(show_help):.2f}"]


def table(rows: list[list[str]]) -> str:
    """Rows of cells, the first of them the header, in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


PARTS = {"process": whole_process, "folder": folder, "memory": memory, "imports": imports}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print as it goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--models", default="lite,x-bdcnn-wide")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--size", type=int, default=1024, help="side of the image of the first part, pixels")
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="tiny images, to try the script itself")
    given = parser.parse_args(arguments)
    text = [f"xray-denoise {__version__}, {os.cpu_count()} cores, {given.threads or 'all'} threads"]
    print(text[0], flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        models = given.models.split(",")
        plan = Plan(Path(temporary), models, given.threads, given.repeat, given.size, given.files)
        if given.quick:
            plan = Plan(plan.folder, plan.models, plan.threads, 1, 64, 4, 64, (64, 128))
        for name in given.parts.split(","):
            text += [f"## {name.capitalize()}", table(list(PARTS[name](plan)))]
            print("", *text[-2:], sep="\n\n", flush=True)
    if given.output:
        given.output.write_text("\n\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
