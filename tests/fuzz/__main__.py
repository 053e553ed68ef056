"""Feed mutated files to `denoise` and see that each ends in a result or in an error in words.

    python -m tests.fuzz --inputs 20000 [--seed 0] [--first 0] [--keep FOLDER]

Prints what became of them, the slowest and the peak memory; exits with 1 if one raised anything else, took more than
5 s of processor time or made the process larger than 1 GiB, and leaves it in FOLDER. One input of ten goes through the
threads of a batch, the others through the same steps in this thread, which takes a third of the time.
"""

import argparse
import faulthandler
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz import corpus
from tests.fuzz.mutate import mutated, mutated_card, mutated_manifest
from xray_denoise import denoisers, files, weights
from xray_denoise.bench.fresh_process import peak_memory
from xray_denoise.errors import CannotRunError, XrayDenoiseError
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.jobs import MANIFEST_NAME, plan_jobs
from xray_denoise.tasks.manifest import Manifest
from xray_denoise.tasks.options import Options

SLOWEST_SECONDS = 5.0
MOST_BYTES = 1 << 30
SEVERAL = ("frames.dcm", "frames-whole.dcm", "frames-halves.dcm", "pages.tif", "stack.tif")
"""Sound files of several images, which become no PNG."""
CARDS = MANIFESTS = 20
"""One of so many inputs is a model card, and one a record of results."""
BATCHES = 10
"""One of so many inputs goes through the threads of a batch."""
LONGEST = 600
"""Seconds after which an input is given up, the file left where it is."""


def peak() -> int:
    """Largest resident size of this process so far, bytes."""
    return round((peak_memory() or 0) * 2**20)


@dataclass
class Found:
    """What became of the inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_name: str = ""
    bad: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    start: int = field(default_factory=peak)
    """Largest resident size before, bytes: other tests in this process may have needed more."""


def fuzz(inputs: int, seed: int, keep: Path | None = None, first: int = 0) -> Found:
    """Run `inputs` mutations, from number `first` on; `keep` gets those that went wrong."""
    found = Found()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = corpus.make(_made(folder / "sound"))
        for source in sound:
            feed(source.read_bytes(), source.suffix, folder, found, keep, f"sound {source.name}")
        if found.refused - {f"sound {name}" for name in SEVERAL}:
            found.bad.append(f"sound files were refused: {found.refused}")
        found.outcomes.clear()
        for number in range(first, first + inputs):
            random = Random(f"{seed} {number}")
            if number % CARDS == 0:
                feed_card(random, folder, found, keep, number)
                continue
            if number % MANIFESTS == 1:
                feed_manifest(random, folder, found, keep, number)
                continue
            source = random.choice(sound)
            data, told = mutated(source.read_bytes(), random), f"{source.name} {number}"
            feed(data, source.suffix, folder, found, keep, told, in_a_batch=number % BATCHES == 2)
    return found


def feed_card(random: Random, folder: Path, found: Found, keep: Path | None, number: int) -> None:
    """Read a card that is not what it should be, beside weights that are."""
    name = random.choice(weights.names())
    text = mutated_card((weights.folder() / f"{name}.md").read_text(encoding="utf-8"), random)
    (folder / "card.md").write_text(text, encoding="utf-8")
    (folder / "card.safetensors").touch()
    start = time.process_time()
    try:
        found.outcomes[
            "card read" if weights.find(str(folder / "card.safetensors")).calibration else "card without"
        ] += 1
    except CannotRunError as error:
        found.outcomes[_reason(str(error))] += 1
    except Exception:
        found.bad.append(f"card {number}: {traceback.format_exc()}")
        if keep:
            (keep / f"card-{number}.md").write_text(text, encoding="utf-8")
    found.slowest = max(found.slowest, time.process_time() - start)


def feed_manifest(random: Random, folder: Path, found: Found, keep: Path | None, number: int) -> None:
    """Denoise two images again beside a record of results that is not what it should be.

    Whatever it says, each image gets its result or, where there is one that the record does not vouch for, words; what
    is left over at the end are the results and a record by which a third run skips them.
    """
    inside, out = folder / "batch", folder / "results"
    if not inside.exists():
        inside.mkdir()
        for name in ("a.png", "b.png"):
            Image.fromarray(np.full((9, 11), ord(name[0]), np.uint8)).save(inside / name)
    shutil.rmtree(out, ignore_errors=True)

    def statuses() -> str:
        jobs, _ = plan_jobs([inside], out, noise_maps=False)
        options = Options(denoisers.get("noisy"), existing="skip", manifest=Manifest(out))
        return " ".join(outcome.status for outcome in run_jobs(jobs, options))

    statuses()
    results = {path: path.read_bytes() for path in out.glob("*.png")}
    manifest = out / MANIFEST_NAME
    spoilt = mutated_manifest(manifest.read_bytes(), random)
    manifest.write_bytes(spoilt)
    if random.random() < 0.5:
        next(iter(results)).unlink()
    start, problem = time.process_time(), ""
    try:
        found.outcomes[f"manifest: {statuses()}"] += 1
        if {path: path.read_bytes() for path in out.glob("*.png")} != results:
            problem = "a result was lost or changed"
        (out / "a.png").unlink()
        (out / "b.png").unlink()
        if statuses() != "written written" or statuses() != "skipped skipped":
            problem = problem or "results are not known again"
    except Exception:
        problem = traceback.format_exc()
    if problem:
        found.bad.append(f"manifest {number}: {problem}")
        if keep:
            (keep / f"manifest-{number}.jsonl").write_bytes(spoilt)
    found.slowest = max(found.slowest, time.process_time() - start)


def feed(
    data: bytes,
    suffix: str,
    folder: Path,
    found: Found,
    keep: Path | None,
    name: str,
    *,
    in_a_batch: bool = True,
) -> None:
    """Denoise one file into its own format, TIFF and PNG."""
    source = folder / f"in{suffix}"
    source.write_bytes(data)
    before, start = peak(), time.process_time()
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    problem = ""
    try:
        for target in sorted({"out.tif", "out.png", f"out{suffix}"} - {"out.jpg"}):
            word, refused = (_batch if in_a_batch else _alone)(source, folder / target)
            found.outcomes[word] += 1
            if refused is not None:
                found.refused.add(name)
                if not (str(refused) and refused.hint):
                    problem = f"no words: {refused!r}"
    except Exception:
        problem = traceback.format_exc()
    faulthandler.cancel_dump_traceback_later()
    seconds = time.process_time() - start
    if seconds > found.slowest:
        found.slowest, found.slowest_name = seconds, name
    if seconds > SLOWEST_SECONDS:
        problem = problem or f"took {seconds:.1f} s"
    if peak() - found.start > MOST_BYTES and peak() > before:
        problem = problem or f"grew to {peak() >> 20} MiB"
    leftover = [path.name for path in folder.iterdir() if path.name.endswith(".part")]
    if leftover:
        problem = problem or f"left {leftover} behind"
    if problem:
        found.bad.append(f"{name}: {problem}")
        if keep:
            (keep / f"{name.replace(' ', '-')}{suffix}").write_bytes(data)


def _batch(source: Path, target: Path) -> tuple[str, XrayDenoiseError | None]:
    """Denoise a file as `denoise` does; what became of it, and why it was refused."""
    jobs, _ = plan_jobs([str(source)], target)
    (outcome,) = run_jobs(jobs, Options(denoisers.get("noisy"), existing="overwrite"))
    return ("written", None) if outcome.status == "written" else (_reason(outcome.error), outcome.failure)


def _alone(source: Path, target: Path) -> tuple[str, XrayDenoiseError | None]:
    """The same steps in this thread."""
    denoiser, last = denoisers.get("noisy"), []

    def denoised(frame: Radiograph) -> Radiograph:
        last[:] = [frame.with_removed(denoiser(frame.grey).removed)]
        return last[0]

    try:
        files.write((denoised(one) for one in files.read_frames(source)), target, derivation=files.Derivation("noisy"))
    except XrayDenoiseError as error:
        return _reason(str(error)), error
    files.caveats(last[0], target)  # what is raised here would end a batch
    return "written", None


def _reason(error: str) -> str:
    """The message without names and numbers."""
    return re.sub(r"\d[\d.]*", "N", re.sub(r"/\S+", "FILE", error))[:100]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description="Feed mutated files to denoise.")
    parser.add_argument("--inputs", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input: several runs share a seed")
    parser.add_argument("--keep", type=Path, help="folder for inputs that go wrong")
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    found = fuzz(wanted.inputs, wanted.seed, wanted.keep and _made(wanted.keep), wanted.first)
    for reason, count in found.outcomes.most_common():
        print(f"{count:7d}  {reason}")
    print(f"slowest {found.slowest:.2f} s ({found.slowest_name}), peak memory {peak() >> 20} MiB")
    for one in found.bad[:20]:
        print(one)
    print(f"{len(found.bad)} went wrong")
    return int(bool(found.bad))


if __name__ == "__main__":
    sys.exit(main())
