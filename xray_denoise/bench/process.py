"""What a user waits for besides the network on a CPU: the whole process of `denoise`, a folder, and memory.

    python -m xray_denoise.bench.process [-o FILE.md] [--models A,B] [--parts A,B] [--repeat N] [--size N] [--files N]

- process: `denoise` of one file, beside the bare network and `import torch`, which it cannot do without. All three are
  timed in turn, in fresh processes, in every round; their ratio is taken within a round.
- folder: a folder of files without the first few, beside the bare network on one of them, before and after.
- memory: the most that `denoise` of one file had resident, by size.

Files are noisy phantoms, 8-bit PNG.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

from xray_denoise import denoisers, files
from xray_denoise.bench.cases import MIDDLE
from xray_denoise.bench.fresh_process import in_fresh_process
from xray_denoise.bench.quality import versions
from xray_denoise.denoisers import Runtime
from xray_denoise.files.atomic import write_bytes
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.noise import add_noise
from xray_denoise.radiograph import Radiograph
from xray_denoise.reports.tables import Column, Report, Row, Table, markdown

WARM_FILES = 4
"""Files of a folder that are not counted: threads and compiled networks are there after them."""
SLOW = 3.0
"""Seconds of a call that is not repeated three times."""
CLI = "from xray_denoise.cli import main; main()"
PEAK = (
    "import atexit, sys; from xray_denoise.bench.fresh_process import peak_memory; "
    "atexit.register(lambda: print(peak_memory(), file=sys.stderr)); "
)
"""Lets a process tell its peak at its end; what the system tells of a child includes what its parent had then."""


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """What is measured: `models` by each engine that is installed, with files in `folder`, which is empty at first."""

    folder: Path
    models: Sequence[str]
    threads: int | None = None
    repeat: int = 3
    size: int = 1024
    files: int = 50
    sizes: tuple[int, ...] = (1024, 2048, 4096)

    @property
    def cases(self) -> list[tuple[str, str]]:
        """Model and engine of every row."""
        engines = ["torch", *(["openvino"] if find_spec("openvino") else [])]
        return [(model, engine) for model in self.models for engine in engines]

    def radiograph(self, size: int) -> Path:
        """A file with a phantom of `size` pixels a side; larger than 1024 it is one of 1024, repeated."""
        path = self.folder / f"{size}.png"
        if not path.exists():
            once = chest_phantom(min(size, 1024), rng=np.random.default_rng(0))
            clean = np.tile(once, (-(-size // 1024),) * 2)[:size, :size]
            files.write(Radiograph.from_grey(add_noise(clean, MIDDLE, np.random.default_rng(1)), bits=8), path)
        return path

    def denoise(self, size: int, model: str, engine: str, before: str = "") -> tuple[float, str]:
        """Seconds of `denoise` of one file in a process of its own, and what it said; `before` is run first."""
        target = self.folder / "out.png"
        words = ["denoise", str(self.radiograph(size)), "-o", str(target), "--existing", "overwrite"]
        words += ["--model", model, "--engine", engine, "--device", "cpu"]
        words += ["--threads", str(self.threads)] if self.threads else []
        return run_python(before + CLI, *words)

    def process(self) -> Table:
        """Seconds of `denoise` of one file, and what it is compared with."""
        rounds: dict[tuple[str, str], list[tuple[float, float, float]]] = {case: [] for case in self.cases}
        for _ in range(self.repeat):
            for (model, engine), found in rounds.items():
                whole, _ = self.denoise(self.size, model, engine)
                bare = partial(bare_seconds, model, engine, self.threads, self.radiograph(self.size))
                found.append((whole, in_fresh_process(bare), run_python("import torch")[0]))
        rows = []
        for case, found in rounds.items():
            ratios = [whole / (bare + torch) for whole, bare, torch in found]
            medians = [statistics.median(column) for column in zip(*found, strict=True)]
            rows.append(Row(", ".join(case), (*medians, statistics.median(ratios), min(ratios), max(ratios))))
        titles = ("whole, s", "bare network, s", "import torch, s", "ratio", "least", "most")
        text = (
            f"`denoise` of one file of {self.size}x{self.size}: medians; the ratio is whole / (bare network + import "
            "torch) within a round."
        )
        return Table("Process", text, tuple(Column(title=title) for title in titles), tuple(rows), 2)

    def folder_rate(self) -> Table:
        """Seconds a file of a folder."""
        source = self.folder / "files"
        source.mkdir()
        content = self.radiograph(self.size).read_bytes()
        for number in range(self.files + WARM_FILES):
            (source / f"{number:04}.png").write_bytes(content)
        rows = []
        for model, engine in self.cases:
            target = self.folder / f"results-{model}-{engine}"
            each, bare = in_fresh_process(partial(folder_seconds, model, engine, self.threads, source, target))
            rows.append(Row(f"{model}, {engine}", (each, bare, 100 * bare / each)))
        columns = (Column(title="a file, s"), Column(title="bare network, s"), Column(title="rate, %", digits=1))
        text = f"{self.files} files of {self.size}x{self.size}; rate: that of files over that of the bare network."
        return Table("Folder", text, columns, tuple(rows), 3)

    def memory(self) -> Table:
        """Most MiB resident, by size."""
        rows = []
        for model, engine in self.cases:
            said = [self.denoise(size, model, engine, PEAK)[1] for size in self.sizes]
            rows.append(Row(f"{model}, {engine}", tuple(float(text.split()[-1]) for text in said)))
        columns = tuple(Column(title=f"{size}x{size}, MiB") for size in self.sizes)
        return Table("Memory", "The most that `denoise` of one file had resident.", columns, tuple(rows), 0)


def run_python(code: str, *words: str) -> tuple[float, str]:
    """Seconds of a Python process that runs `code` with these arguments, and what it wrote to stderr."""
    start = time.perf_counter()
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode:
        raise SystemExit(f"the process ended with {ran.returncode}: {ran.stderr}")
    return time.perf_counter() - start, ran.stderr


def bare_seconds(model: str, engine: str, threads: int | None, path: Path) -> float:
    """Of one call of the network alone, on a tensor that is ready: the median of three, or the second of a slow one."""
    import torch

    _prepare(threads)
    denoise = cast(Any, denoisers.get(model, Runtime("cpu", engine=engine)))
    grey = torch.from_numpy(files.read(path).grey)[None, None] / 255
    noisy = grey.contiguous(memory_format=torch.channels_last)
    seconds: list[float] = []
    with torch.inference_mode():
        while len(seconds) < (2 if seconds and seconds[0] > SLOW else 4):
            start = time.perf_counter()
            denoise._graphs(noisy)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def folder_seconds(model: str, engine: str, threads: int | None, source: Path, target: Path) -> tuple[float, float]:
    """Seconds a file of a folder, and of the bare network on one of its files, before and after."""
    from xray_denoise.tasks.batch import run_jobs
    from xray_denoise.tasks.jobs import plan_jobs
    from xray_denoise.tasks.manifest import Manifest
    from xray_denoise.tasks.options import Options

    _prepare(threads)
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


def _prepare(threads: int | None) -> None:
    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()


def main(arguments: list[str] | None = None) -> None:
    """Measure and print, one table after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--models", default="lite,x-profile")
    parser.add_argument("--parts", default="process,folder,memory")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--size", type=int, default=1024, help="side of the images, pixels")
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="tiny images, to try the command itself")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        models = given.models.split(",")
        plan = ProcessPlan(Path(temporary), models, given.threads, given.repeat, given.size, given.files)
        if given.quick:
            plan = ProcessPlan(plan.folder, models, given.threads, 1, 64, 4, (64, 128))
        parts: dict[str, Callable[[], Table]] = {
            "process": plan.process,
            "folder": plan.folder_rate,
            "memory": plan.memory,
        }
        facts = (("processor", f"{os.cpu_count()} cores, {given.threads or 'all'} threads"), ("versions", versions()))
        report = Report("What denoise takes", facts, tuple(parts[name]() for name in given.parts.split(",")))
    text = markdown(report)
    sys.stdout.write(text)
    if given.output:
        write_bytes(text.encode(), given.output)


if __name__ == "__main__":
    main()
