"""Kill batches at random moments, two at once into one folder, and see that nothing is lost, halved or left behind.

    python -m tests.fuzz.kills --kills 300 [--seed 0]

Each round starts two runs of `denoise --save-noise-map` into the same folder and sends each of them KILL, TERM, HUP,
INT or STOP (later CONT) at a random moment. Half of the runs give unfinished files a name, as network disks want it.
After that every file with the name of a result must be whole and every original as it was. After some rounds the same
command runs once undisturbed: then every result and noise map must be there, equal to those of a run that nobody
disturbed, no unfinished file left, and the record of results must vouch for all of them.
"""

import argparse
import gc
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import xray_denoise as xd
from tests.synthetic_dicom import Sample, write
from xray_denoise import files
from xray_denoise.cli import app
from xray_denoise.files import atomic
from xray_denoise.files.atomic import is_partial
from xray_denoise.tasks.jobs import MANIFEST_NAME, NOISE_MAP_SUFFIX

MODEL = "gat-tv"
"""Quick, and makes noise maps."""
SIGNALS = ("KILL", "TERM", "HUP", "INT", "STOP")
EXISTING = ("skip", "skip", "skip", "overwrite", "error")
"""What the killed runs do where a result is there; the undisturbed ones skip it."""
LONGEST = 120.0
"""Seconds that a run may take."""


@dataclass
class Found:
    """What became of the rounds."""

    kills: Counter[str] = field(default_factory=Counter)
    """Signals that reached a run that was at work."""
    late: int = 0
    """Runs that were over before their signal."""
    interrupted: int = 0
    """Rounds after which some results were there and others were not."""
    partial: int = 0
    """Unfinished files that kills left, for the next run to remove."""
    undisturbed: int = 0
    bad: list[str] = field(default_factory=list)


def kill(kills: int, seed: int) -> Found:
    """Send `kills` signals."""
    found = Found()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals = _hashes(_inputs(folder / "in"))
        _skipping(folder)  # here, so that the copies of this process need not import anything
        start = time.monotonic()
        _run(folder, "overwrite")
        life = time.monotonic() - start
        whole = {path.name: _images(path) for path in _results(folder / "out")}
        shutil.rmtree(folder / "out")
        number = 0
        while found.kills.total() < kills:
            random = Random(f"{seed} {number}")
            number += 1
            _round(folder, random, life, found)
            before = len(found.bad)
            there = _results(folder / "out")
            found.interrupted += 0 < len(there) < len(whole)
            found.partial += len(_partial(folder / "out"))
            found.bad += [f"round {number}: {problem}" for problem in _wrong(there, whole)]
            if random.random() < 0.4:
                found.undisturbed += 1
                found.bad += [f"round {number}: {problem}" for problem in _unfinished(folder, whole)]
                shutil.rmtree(folder / "out")
            if _hashes(folder / "in") != originals:
                found.bad.append(f"round {number}: an original was touched")
            if len(found.bad) > before + 20:
                break
    return found


def _inputs(folder: Path) -> Path:
    folder.mkdir()
    for number in range(3):
        random = np.random.default_rng(number)
        stored = random.integers(0, 256, (40, 50), np.uint8)
        Image.fromarray(stored).save(folder / f"{number}.png")
        Image.fromarray(stored).save(
            folder / f"{number}.tif", save_all=True, append_images=[Image.fromarray(stored[::-1])]
        )
        write(folder / f"{number}.dcm", Sample("XA", frames=2, shape=(30, 40)))
    return folder


def _round(folder: Path, random: Random, life: float, found: Found) -> None:
    """Two runs side by side, each with a signal on its way."""
    runs = {}
    for _ in range(2):
        process = _fork(folder, random.choice(EXISTING), named=random.random() < 0.5)
        runs[process] = random.uniform(0, life)
    start = time.monotonic()
    for process, moment in sorted(runs.items(), key=lambda run: run[1]):
        time.sleep(max(0.0, start + moment - time.monotonic()))
        name = random.choice(SIGNALS)
        if os.waitpid(process, os.WNOHANG)[0]:
            found.late += 1
            runs[process] = -1
            continue
        os.kill(process, getattr(signal, f"SIG{name}"))
        found.kills[name] += 1
        if name == "STOP":
            time.sleep(random.uniform(0, life))
            os.kill(process, signal.SIGCONT)
    for process, moment in runs.items():
        if moment >= 0 and not _ended(process):
            found.bad.append("a run did not end")


def _fork(folder: Path, existing: str, *, named: bool = False) -> int:
    """Start the command in a copy of this process, which has imported everything: the moments then lie in the work.

    Args:
        folder: holds the folder of inputs and that of results.
        existing: what is done where a result is there.
        named: whether unfinished files have a name.
    """
    process = os.fork()
    if process:
        return process
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(1, 2)
    gc.freeze()
    if named:
        atomic._nameless = lambda _: None
    status = 1
    try:
        arguments = [str(folder / "in"), "-o", str(folder / "out"), "--model", MODEL, "--existing", existing]
        app(["denoise", *arguments, "--save-noise-map"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(status)


def _ended(process: int) -> bool:
    """Wait for a run; one that does not end is killed."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


def _run(folder: Path, existing: str) -> int:
    """An undisturbed run; its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(_fork(folder, existing), 0)[1])


def _unfinished(folder: Path, whole: dict[str, list[NDArray[np.generic]]]) -> list[str]:
    """What is wrong after an undisturbed run."""
    problems = []
    if status := _run(folder, "skip"):
        problems.append(f"the next run ended with {status}")
    out = folder / "out"
    there = _results(out)
    problems += _wrong(there, whole)
    if missing := sorted(set(whole) - {path.name for path in there}):
        problems.append(f"after the next run {missing} are missing")
    others = {path.name for path in out.iterdir()} - set(whole) - {MANIFEST_NAME}
    if others:
        problems.append(f"the next run left {sorted(others)}")
    statuses = _skipping(folder)
    if statuses != {"skipped"}:
        problems.append(f"the record does not vouch for all: {statuses}")
    return problems


def _skipping(folder: Path) -> set[str]:
    """What became of the files in a run in this process."""
    run = xd.denoise_files(folder / "in", folder / "out", model=MODEL, existing="skip", save_noise_map=True)
    return {outcome.status for outcome in run}


def _wrong(there: list[Path], whole: dict[str, list[NDArray[np.generic]]]) -> list[str]:
    """Results that are not those of a run that nobody disturbed."""
    problems = []
    for path in there:
        try:
            images = _images(path)
        except (OSError, xd.errors.XrayDenoiseError) as error:
            problems.append(f"{path.name} is half a file: {error}")
            continue
        if not all(np.array_equal(one, other) for one, other in zip(images, whole[path.name], strict=True)):
            problems.append(f"{path.name} is another result")
    return problems


def _images(path: Path) -> list[NDArray[np.generic]]:
    if path.name.endswith(NOISE_MAP_SUFFIX):
        with Image.open(path) as image:
            frames = []
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                frames.append(np.asarray(image))
            return frames
    return [frame.stored for frame in files.read_frames(path)]


def _results(out: Path) -> list[Path]:
    """Everything that has the name of a result or noise map."""
    return [path for path in sorted(out.glob("*")) if path.name != MANIFEST_NAME and not is_partial(path.name)]


def _partial(out: Path) -> list[Path]:
    return [path for path in out.glob(".*") if is_partial(path.name)]


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill batches at random moments.")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    found = kill(wanted.kills, wanted.seed)
    told = ", ".join(f"{count} {name}" for name, count in found.kills.most_common())
    print(f"{found.kills.total()} signals ({told}); {found.late} runs were over before theirs")
    print(f"{found.interrupted} rounds stopped half-way and left {found.partial} unfinished files")
    print(f"{found.undisturbed} times the next run was looked at")
    for one in found.bad[:20]:
        print(one)
    print(f"{len(found.bad)} went wrong")
    return int(bool(found.bad))


if __name__ == "__main__":
    sys.exit(main())
