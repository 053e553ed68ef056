"""How fast methods are, decided and checked before anything is measured.

    image + noise -> temporary files -> rounds of fresh processes, one a row -> samples

All rows take their turn in each round, so that a machine that slows down slows all of them; one process runs at a time.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from xray_denoise import denoisers, weights
from xray_denoise.denoisers import Denoiser, Runtime
from xray_denoise.denoisers.devices import choose_device
from xray_denoise.errors import XrayDenoiseError
from xray_denoise.nets import NETS
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports import methods
from xray_denoise.tasks.bench import report, rows
from xray_denoise.tasks.bench.alone import alone
from xray_denoise.tasks.bench.cases import Case, CleanImage, image_set
from xray_denoise.tasks.bench.rows import Absent, Entry
from xray_denoise.tasks.bench.visit import CLEAN, NOISY, Peak, Sample, Subject, Visit, Work, failed
from xray_denoise.tasks.bench.ways import device_name, processor, ways

LEVEL = NoiseLevel(0.6, 10.0)
"""The noise level of the image: the middle of the nine."""
SIDES = (512, 1024, 2048, 4096, 8192)
"""Sides of the images that growth is measured on, pixels: 0.25 to 64 times 2^20 pixels."""
QUICK_SIDES = SIDES[:3]
ROUNDS, FEW_ROUNDS = 5, 3
"""Of a table of speeds; and of a quick one, or of growth."""


IN_THIS_PROCESS = Runtime("cpu", engine="torch")
"""How networks are loaded here, to find out whether they can be: nothing is run."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Methods to be timed, on one image or on several sizes of it."""

    subjects: Sequence[Subject]
    image: CleanImage
    words: str
    """What the image is, for people."""
    device: str = "cpu"
    """Of the networks."""
    threads: int | None = None
    """Of networks on the CPU; None takes all cores."""
    seed: int = 0
    rounds: int = ROUNDS
    warmup: int = 1
    sides: tuple[int, ...] = ()
    """Sizes that the image is mirrored or cut to, pixels a side; none times it as it is."""
    absent: Sequence[Absent] = ()
    """Rows that lack a package."""
    left_out: str = ""
    """What a quick run does without, for people."""

    @property
    def total(self) -> int:
        """Samples of a run in which nothing fails."""
        return self.rounds * len(self.works(Path()))

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is run on what: pairs of a name and a value."""
        packages = dict.fromkeys(subject.engine for subject in self.subjects if subject.engine)
        if any(subject.name.endswith("bm3d") for subject in self.subjects):
            packages["bm3d"] = None
        facts = (
            ("image", self.words),
            ("noise", f"eta {LEVEL.eta:g}, sigma {LEVEL.sigma:g}, seed {self.seed}"),
            ("processor", f"{processor()}, {os.cpu_count()} cores"),
            ("networks", self._networks()),
            ("runs", f"{self.rounds} round{'s' * (self.rounds > 1)}, a fresh process for each row"),
            ("versions", report.versions(packages)),
            ("left out", self.left_out),
        )
        return tuple((name, value) for name, value in facts if value)

    def _networks(self) -> str:
        if not any(subject.engine for subject in self.subjects):
            return ""
        threads = f", {self.threads or torch.get_num_threads()} threads" if self.device == "cpu" else ""
        return f"on {device_name(self.device)}{threads}"

    def works(self, folder: Path) -> list[Work]:
        """What one round does, with the images in `folder`; the machine's own rates come first."""
        precisions = dict.fromkeys(one.precision for one in self.subjects if one.precision)
        found: list[Work] = []
        if not self.sides:
            found += [Peak(self.device, precision, self.threads) for precision in precisions]
        for side in self.sides or (None,):
            found += [Visit(subject, folder, LEVEL, self.warmup, side) for subject in self.subjects]
        return found

    def measure(self) -> Iterator[Sample]:
        """Measure in rounds; what fails is told once and not tried again."""
        with TemporaryDirectory(prefix="xray-denoise-") as name:
            folder = Path(name)
            np.save(folder / NOISY, Case(self.image, LEVEL).noisy(self.seed))
            np.save(folder / CLEAN, self.image.grey)
            works = self.works(folder)
            for number in range(self.rounds):
                for work in list(works):
                    try:
                        sample = alone(work)
                    except XrayDenoiseError as error:
                        works.remove(work)
                        sample = failed(work, str(error))
                    yield replace(sample, round=number)


def plan(
    folder: Path | None,
    *,
    named: str | None = None,
    quick: bool = False,
    growth: bool = False,
    seed: int = 0,
    runtime: Runtime | None = None,
    threads: int | None = None,
    rounds: int | None = None,
    warmup: int = 1,
) -> Trial:
    """Choose the rows and the image.

    Args:
        folder: of clean images, the first is taken; None takes a phantom.
        named: `--methods`; None takes those of docs/performance.md.
        quick: the middle of the image, without the slowest methods unless they are named; growth up to 4 megapixels.
        growth: time images of many sizes; a network by one engine and in one precision.
        seed: of the noise.
        runtime: how networks run; `auto` stands for every engine and precision that makes sense, one after the other.
        threads: of networks on the CPU; None takes all cores.
        rounds: samples of each row; None chooses.
        warmup: calls before the clock starts.

    Raises:
        UsageError: a row or the folder is no good.
        CannotRunError: something that a row needs is missing.
    """
    runtime = runtime or Runtime()
    wanted = rows.named_rows(named) if named else list(methods.GROWTH_ROWS if growth else methods.SPEED_ROWS)
    slow = {methods.split(row)[0] for row in methods.SLOW_ROWS} if quick and not named else set()
    left_out = [methods.title(row) for row in wanted if row in slow]
    images = image_set(folder, quick=quick and not growth)
    _, lacking = ways(runtime, every=not growth)  # what was asked for must be possible, whatever the rows
    subjects: list[Subject] = []
    absent: list[Absent] = []
    for row in wanted:
        if row not in slow:
            entries, missing = rows.make([row], IN_THIS_PROCESS)
            absent += missing
            for entry in entries:
                subjects += _subjects(entry, methods.split(row)[0], runtime, threads, every=not growth)
    return Trial(
        subjects,
        next(images.open()),
        f"the first of {images.words}",
        str(choose_device(runtime.device)),
        threads,
        seed,
        rounds or (FEW_ROUNDS if quick or growth else ROUNDS),
        warmup,
        (QUICK_SIDES if quick else SIDES) if growth else (),
        [*absent, *(lacking if any(subject.engine for subject in subjects) else [])],
        f"{', '.join(left_out)} (too slow for --quick; name them with --methods)" if left_out else "",
    )


def _subjects(entry: Entry, name: str, runtime: Runtime, threads: int | None, *, every: bool) -> list[Subject]:
    """What is timed for one row: a network as often as there are ways to run it."""
    if not entry.is_network:
        return [Subject(entry.title, name, partial(denoisers.get, name), entry.oracle)]
    able, _ = ways(runtime, every=every, shrink=getattr(NETS[weights.find(name).net], "shrink", 1))
    return [
        Subject(
            f"{entry.title}, {way.engine} {way.precision}",
            name,
            partial(_network, name, way, threads),
            entry.oracle,
            way.engine,
            way.precision,
        )
        for way in able
    ]


def _network(name: str, runtime: Runtime, threads: int | None) -> Denoiser:
    """In a process of its own: a network on so many threads."""
    if threads:
        denoisers.set_threads(threads)
    denoisers.keep_memory()
    return denoisers.get(name, runtime)
