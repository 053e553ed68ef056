"""How far `denoise` scales: the parts of a file's way, workers on this machine, and a driver with many workers.

    python -m xray_denoise.bench.scale [-o FILE.md] [--model NAME] [--shape ROWS,COLUMNS] [--parts A,B] [--help]

- file: processor seconds of reading, denoising and writing a DICOM file in one thread, and the memory. Other work on
  the machine hardly changes them.
- workers: files a second of a folder, and their processor time, by one process, and by one and two workers of a Ray
  cluster of this machine.
- plan: seconds and memory of the plan of a folder of very small files.
- driver: files a second, and the driver's processor time for each, with many workers that sleep where they would read,
  compute and write. All else is real: calls and answers of Ray, the order of outcomes, the lines of the manifest.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict, deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np

from xray_denoise import denoisers, files
from xray_denoise.bench.cases import resized
from xray_denoise.bench.fresh_process import in_fresh_process, peak_memory
from xray_denoise.files.atomic import write_bytes
from xray_denoise.files.derivation import Derivation
from xray_denoise.files.dicom.phantom import new_dx
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.reports.tables import Column, Report, Row, Table, markdown
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.cluster import Cluster, on_cluster
from xray_denoise.tasks.cluster_worker import DenoiserInfo, Done
from xray_denoise.tasks.fingerprint import Fingerprint, fingerprint
from xray_denoise.tasks.jobs import Job, plan_jobs
from xray_denoise.tasks.manifest import Entry, Manifest
from xray_denoise.tasks.models import load
from xray_denoise.tasks.options import Options
from xray_denoise.tasks.outcome import Outcome
from xray_denoise.tasks.ray_connection import LOCAL
from xray_denoise.tasks.remarks import remarks_on

ACTORS = 2
"""Processes that sleep for all simulated workers."""
NOISE = NoiseLevel(3.0, 2.0)


def archive(folder: Path, shape: tuple[int, int], count: int) -> Path:
    """A folder of DICOM files of 12 bits, noisy phantoms."""
    folder.mkdir(parents=True, exist_ok=True)
    clean = resized(chest_phantom(min(*shape, 1024), rng=np.random.default_rng(0)).astype(np.float32), max(shape))
    noisy = add_noise(clean[: shape[0], : shape[1]], NOISE, np.random.default_rng(1)) * (4095 / 255)
    for number in range(count):
        dataset = new_dx(noisy.astype(np.uint16), bits=12, entropy=str(number))
        dataset.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)
    return folder


def parts_of_a_file(source: Path, target: Path, model: str) -> list[float | None]:
    """Processor seconds of reading, denoising and writing a file in one thread, of all, and MiB resident at most."""
    denoisers.keep_memory()
    denoiser = load(model, device="cpu")
    if denoiser.weights_sha256:
        denoisers.set_threads(1)
    rounds = []
    for _ in range(3):
        times = [time.process_time()]
        radiograph = files.read(source)
        grey = radiograph.grey
        fingerprint(source)
        times.append(time.process_time())
        found = denoiser(grey, None)
        times.append(time.process_time())
        remarks_on(found, 1.0, given=None, valid=None)
        changed = radiograph.with_removed(found.removed)
        files.write(iter([changed]), target, derivation=Derivation(denoiser.name, denoiser.weights_sha256, ""))
        fingerprint(target)
        times.append(time.process_time())
        rounds.append([*np.diff(times), times[-1] - times[0]])
    return [*(median(column) for column in zip(*rounds[1:], strict=True)), peak_memory()]


def file_table(folder: Path, shape: tuple[int, int], model: str) -> Table:
    """The parts of the way of one file."""
    (source,) = archive(folder / "one", shape, 1).iterdir()
    values = in_fresh_process(partial(parts_of_a_file, source, folder / "out.dcm", model))
    titles = ("read, CPU s", "network, CPU s", "write, CPU s", "all, CPU s", "memory, MiB")
    text = f"A DICOM file of {source.stat().st_size / 1e6:.1f} MB in one thread; the later two of three rounds."
    return Table("A file", text, tuple(Column(title=one) for one in titles), (Row(model, tuple(values)),), 2)


def workers_table(folder: Path, shape: tuple[int, int], model: str, count: int) -> Table:
    """Files a second of a folder, and their processor time; the first two files are not counted."""
    source = archive(folder / "many", shape, count + 2)
    denoisers.set_threads(1)
    denoisers.keep_memory()
    rows = []
    for workers in (0, 1, 2):
        target = folder / f"by-{workers}"
        jobs, _ = plan_jobs([source], target)
        if workers:
            loader = partial(load, device="cpu")
            cluster = on_cluster(LOCAL, model, loader, noise=None, device="cpu", threads=1)
            cluster.count = workers
            running = cluster.run(jobs, Options(cluster.denoiser, manifest=Manifest(target)))
        else:
            running = run_jobs(jobs, Options(load(model, device="cpu"), manifest=Manifest(target)))
        marks = [(time.perf_counter(), time.process_time(), workers_time()) for _ in running]
        seconds, driver, theirs = (last - first for first, last in zip(marks[1], marks[-1], strict=True))
        title = f"{workers} workers" if workers else "one process"
        rows.append(Row(title, (count / seconds, (driver + theirs) / count, 1e3 * driver / count if workers else None)))
    columns = (Column(title="files/s"), Column(title="a file, CPU s"), Column(title="driver, CPU ms a file"))
    return Table("Workers", f"{count} files, one thread for each worker.", columns, tuple(rows), 3)


def workers_time() -> float:
    """Processor seconds of all workers of Ray on this machine, as /proc tells them."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text(encoding="utf-8", errors="replace").rpartition(")")
            if "ray::RemoteWork" in name:
                ticks += sum(map(int, rest.split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def plan_cost(folder: Path) -> tuple[float, float]:
    """Seconds to plan a folder, and MiB that the peak of the resident size rises by."""
    before, start = peak_memory() or 0.0, time.perf_counter()
    plan_jobs([folder], folder.parent / "results")
    return time.perf_counter() - start, (peak_memory() or 0.0) - before


def plan_table(folder: Path, count: int) -> Table:
    """The plan of a folder of small files, a hundred in a folder."""
    for number in range(count):
        path = folder / "plan" / f"{number // 100:05}" / f"{number:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    seconds, memory = in_fresh_process(partial(plan_cost, folder / "plan"))
    row = Row(f"{count} files", (1e6 * seconds / count, 2**20 * memory / count))
    columns = (Column(title="a file, us"), Column(title="a file, bytes"))
    return Table("Plan", "Of the driver, before the first file; memory at most.", columns, (row,), 0)


class SleepingActor:
    """An actor that stands for many workers: each denoises one file at a time, asleep."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turns: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load_model(self, _: int) -> DenoiserInfo:
        """See `RemoteWorker`."""
        return DenoiserInfo("asleep", "", "fp32", "cpu", "", "")

    async def start(self, number: int, *_: object) -> DenoiserInfo:
        """See `RemoteWorker`."""
        return await self.load_model(number)

    async def denoise(self, number: int, job: Job, *_: object) -> Done:
        """See `RemoteWorker`; the answer is as long as a real one."""
        async with self._turns[number]:
            await asyncio.sleep(self._seconds)
        print_of = Fingerprint(15_000_000, 64 * "0")
        recipe = {f"option-{number}": 12 * "x" for number in range(14)}
        entry = Entry(job.target.name, print_of, print_of, (3000, 2500), recipe)
        return Outcome(job, "written", notes=("a note of the usual length",), model="asleep"), (entry,)


class SimulatedCluster(Cluster):
    """A cluster of `ACTORS` processes that pass for any number of workers."""

    def __init__(self, workers: int, seconds: float) -> None:
        self._seconds = seconds
        self._processes: list[Any] = []
        self._hired = 0
        self.answers: list[tuple[float, float]] = []
        """(wall-clock time, CPU time of the driver) at each answer, seconds."""
        super().__init__(LOCAL, partial(load, "noisy"), noise=None, device="cpu", threads=1, is_network=False)
        self.count = workers

    def new_actor(self) -> Any:
        """See `Cluster`."""
        if len(self._processes) < ACTORS:
            self._processes.append(
                self.ray.remote(num_cpus=0, max_concurrency=100_000)(SleepingActor).remote(self._seconds)
            )
        number, actor = self._hired, self._processes[self._hired % len(self._processes)]
        self._hired += 1

        def denoise(*given: object) -> Any:
            reference = actor.denoise.remote(number, *given)
            reference.future().add_done_callback(self._note_answer)
            return reference

        names = ("load_model", "start")
        calls = {name: SimpleNamespace(remote=partial(getattr(actor, name).remote, number)) for name in names}
        return SimpleNamespace(denoise=SimpleNamespace(remote=denoise), **calls)

    def _note_answer(self, _: object) -> None:
        self.answers.append((time.perf_counter(), time.process_time()))

    def kill(self, actor: Any) -> None:
        """The process has other workers."""


def driver_row(folder: Path, workers: int, seconds: float, count: int) -> Row:
    """What a driver does with so many workers."""
    cluster = SimulatedCluster(workers, seconds)
    target = folder / f"asleep-{workers}-{seconds:g}"
    jobs = [Job(folder / f"{number:07}.dcm", target / f"{number:07}.dcm") for number in range(count)]
    options = Options(cluster.denoiser, manifest=Manifest(target))
    deque(cluster.run(jobs, options), maxlen=0)
    rounds = max(count // 5 // workers, 1)  # in which the workers start; they answer nearly at once
    answers = cluster.answers[rounds * workers - 1 :]
    (first, first_used), (last, last_used) = answers[0], answers[-1]
    done = len(answers) - 1
    rate, cost = done / (last - first), (last_used - first_used) / done
    asked = workers / seconds
    return Row(f"{workers} workers, {seconds:g} s a file", (asked, rate, 100 * rate / asked, 1e3 * cost))


def driver_table(folder: Path, workers: int, pauses: list[float], count: int) -> Table:
    """How many files a second a driver keeps going."""
    titles = ("asked, files/s", "done, files/s", "of it, %", "driver, ms a file")
    rows = tuple(driver_row(folder, workers, seconds, count) for seconds in pauses)
    text = f"{count} files each; the network's time is slept. The driver's time is that of all its threads."
    return Table("Driver", text, tuple(Column(title=one) for one in titles), rows, 2)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--parts", default="file,workers,plan,driver")
    parser.add_argument("--model", default=denoisers.DEFAULT)
    parser.add_argument("--shape", default="3000,2500", help="rows and columns of a radiograph")
    parser.add_argument("--files", type=int, default=6, help="that the workers denoise")
    parser.add_argument("--planned", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=200, help="that are simulated")
    parser.add_argument("--pauses", default="5,1,0.1", help="seconds that each of their files takes")
    parser.add_argument("--jobs", type=int, default=5_000, help="that they are given")
    from xray_denoise.bench.plan import versions  # loads torch, which the measured processes do without

    given = parser.parse_args(arguments)
    if given.jobs < 2 * given.workers:
        parser.error("--jobs: at least two for each of the --workers")
    rows, columns = map(int, given.shape.split(","))
    pauses = [float(one) for one in given.pauses.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        makers = {
            "file": lambda: file_table(folder, (rows, columns), given.model),
            "workers": lambda: workers_table(folder, (rows, columns), given.model, given.files),
            "plan": lambda: plan_table(folder, given.planned),
            "driver": lambda: driver_table(folder, given.workers, pauses, given.jobs),
        }
        tables = tuple(makers[name]() for name in given.parts.split(","))
    text = markdown(Report("How denoise scales", (("versions", versions()),), tables))
    sys.stdout.write(text)
    if given.output:
        write_bytes(text.encode(), given.output)


if __name__ == "__main__":
    main()
