"""What a user waits for besides the network on a CPU: the whole process of `denoise`, a folder, and memory.

    python -m xray_denoise.bench.process [-o FILE.md] [--models A,B] [--parts A,B] [--sizes N,N] [--help]

- process: `denoise` of one file of each size, beside the bare network and `import torch`, which it cannot do without.
  All three are timed in turn, in fresh processes, in every round; their ratio is taken within a round. The memory is
  the most that `denoise` had resident.
- folder: a folder of files without the first few, beside the bare network on one of them, before and after.

Files are noisy phantoms, 8-bit PNG.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

from xray_denoise import denoisers, files
from xray_denoise.bench.cases import MIDDLE, resized
from xray_denoise.bench.fresh_process import in_fresh_process
from xray_denoise.bench.plan import versions
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
DENOISE = (
    "import atexit, sys; from xray_denoise.bench.fresh_process import peak_memory; "
    "atexit.register(lambda: print(peak_memory(), file=sys.stderr)); from xray_denoise.cli import main; main()"
)
"""Tells its peak of memory at its end; what the system tells of a child includes what its parent had then."""
Case = tuple[str, Runtime, int | None]
"""A model, how it runs, and the number of threads."""


def process(cases: Sequence[Case], folder: Path, sizes: Sequence[int], rounds: int) -> Table:
    """Seconds and memory of `denoise` of one file, and what it is compared with."""
    found: dict[tuple[int, str], list[tuple[float, ...]]] = {}
    for _ in range(rounds):
        for size in sizes:
            source = radiograph(folder, size)
            for case in cases:
                model, runtime, threads = case
                words = ["denoise", source, "-o", folder / "out.png", "--existing", "overwrite", "--device", "cpu"]
                words += ["--model", model, "--engine", runtime.engine, *(["--threads", threads] if threads else [])]
                whole, said = run_python(DENOISE, *map(str, words))
                bare = in_fresh_process(partial(bare_seconds, case, source))
                torch, _ = run_python("import torch")
                line = (whole, bare, torch, whole / (bare + torch), float(said.split()[-1]))
                found.setdefault((size, _title(case)), []).append(line)
    rows = []
    for (size, title), lines in found.items():
        *times, ratios, memory = zip(*lines, strict=True)
        medians = [statistics.median(one) for one in (*times, ratios)]
        rows.append(Row(f"{title}, {size}x{size}", (*medians, min(ratios), max(ratios), max(memory))))
    titles = ("whole, s", "bare network, s", "import torch, s", "ratio", "least", "most", "memory, MiB")
    text = "`denoise` of one file: medians; the ratio is whole / (bare network + import torch) within a round."
    return Table("Process", text, tuple(Column(title=title) for title in titles), tuple(rows), 2)


def folder_rate(cases: Sequence[Case], folder: Path, size: int, count: int) -> Table:
    """Seconds a file of a folder."""
    source = folder / "files"
    source.mkdir()
    content = radiograph(folder, size).read_bytes()
    for number in range(count + WARM_FILES):
        (source / f"{number:04}.png").write_bytes(content)
    rows = []
    for at, case in enumerate(cases):
        each, bare = in_fresh_process(partial(folder_seconds, case, source, folder / f"results-{at}"))
        rows.append(Row(_title(case), (each, bare, 100 * bare / each)))
    columns = (Column(title="a file, s"), Column(title="bare network, s"), Column(title="rate, %", digits=1))
    text = f"{count} files of {size}x{size}; rate: that of files over that of the bare network."
    return Table("Folder", text, columns, tuple(rows), 3)


def radiograph(folder: Path, size: int) -> Path:
    """A file with a phantom of `size` pixels a side; larger than 1024 it is one of 1024, mirrored."""
    path = folder / f"{size}.png"
    if not path.exists():
        clean = resized(chest_phantom(min(size, 1024), rng=np.random.default_rng(0)).astype(np.float32), size)
        files.write(Radiograph.from_grey(add_noise(clean, MIDDLE, np.random.default_rng(1)), bits=8), path)
    return path


def run_python(code: str, *words: str) -> tuple[float, str]:
    """Seconds of a Python process that runs `code` with these arguments, and what it wrote to stderr."""
    start = time.perf_counter()
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode:
        raise SystemExit(f"the process ended with {ran.returncode}: {ran.stderr}")
    return time.perf_counter() - start, ran.stderr


def bare_seconds(case: Case, path: Path) -> float:
    """Of one call of the network alone, on a tensor that is ready: the median of three, or the second of a slow one."""
    import torch

    denoise = cast(Any, _loaded(case))
    grey = torch.from_numpy(files.read(path).grey)[None, None] / 255
    noisy = grey.contiguous(memory_format=torch.channels_last)
    seconds: list[float] = []
    with torch.inference_mode():
        while len(seconds) < (2 if seconds and seconds[0] > SLOW else 4):
            start = time.perf_counter()
            denoise._backend(noisy)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def folder_seconds(case: Case, source: Path, target: Path) -> tuple[float, float]:
    """Seconds a file of a folder, and of the bare network on one of its files, before and after."""
    from xray_denoise.tasks.batch import run_jobs
    from xray_denoise.tasks.jobs import plan_jobs
    from xray_denoise.tasks.manifest import Manifest
    from xray_denoise.tasks.options import Options

    jobs, _ = plan_jobs([str(source)], target)
    options = Options(_loaded(case), manifest=Manifest(target))
    list(run_jobs(jobs[:WARM_FILES], options))
    before = bare_seconds(case, jobs[0].source)
    start = time.perf_counter()
    statuses = {outcome.status for outcome in run_jobs(jobs[WARM_FILES:], options)}
    each = (time.perf_counter() - start) / (len(jobs) - WARM_FILES)
    if statuses != {"written"}:
        raise SystemExit(f"a file of the folder was {statuses}")
    return each, (before + bare_seconds(case, jobs[0].source)) / 2


def _loaded(case: Case) -> denoisers.Denoiser:
    model, runtime, threads = case
    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    return denoisers.get(model, runtime)


def _title(case: Case) -> str:
    return f"{case[0]}, {case[1].engine}"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--models", default="lite,x-profile")
    parser.add_argument("--parts", default="process,folder")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sizes", default="1024,2048,4096", help="sides of the images, pixels; a folder has the first")
    parser.add_argument("--files", type=int, default=50)
    given = parser.parse_args(arguments)
    engines = ["torch", *(["openvino"] if find_spec("openvino") else [])]
    cases = [(model, Runtime("cpu", engine=one), given.threads) for model in given.models.split(",") for one in engines]
    sizes = [int(size) for size in given.sizes.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        tables = []
        if "process" in given.parts:
            tables.append(process(cases, Path(temporary), sizes, given.repeat))
        if "folder" in given.parts:
            tables.append(folder_rate(cases, Path(temporary), sizes[0], given.files))
    facts = (("processor", f"{os.cpu_count()} cores, {given.threads or 'all'} threads"), ("versions", versions()))
    text = markdown(Report("What denoise takes", facts, tuple(tables)))
    sys.stdout.write(text)
    if given.output:
        write_bytes(text.encode(), given.output)


if __name__ == "__main__":
    main()
