"""Measure denoisers on clean images with fresh noise: Table II of the X-BDCNN paper, its numbers beside ours.

    clean image -> noise of nine levels -> denoiser -> PSNR, SNR, SSIM, seconds -> means -> tables

The noise of a case depends on the seed, the clean image and the level only: every denoiser sees the same
noisy image, and a second run is identical. Noisy images stay floats, clipped to [0, 255] and not rounded.
"""

import hashlib
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xray_denoise
from xray_denoise.denoisers import Denoiser
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError
from xray_denoise.physics.metrics import quality
from xray_denoise.physics.noise import GREY_MAX, NoiseLevel, add_noise
from xray_denoise.physics.phantom import chest_phantom
from xray_denoise.reports import paper
from xray_denoise.reports.tables import Report

TABLE_2 = tuple(NoiseLevel(eta, sigma) for eta, sigma in paper.CELLS)
"""The nine noise levels of the paper's Table II."""
IMAGES, QUICK_IMAGES, QUICK_SIZE = 10, 3, 256
"""Phantoms that stand for the paper's radiographs; `--quick`: the first images, their centres of 256x256."""
SMALLEST = 11
"""The window of SSIM: no image may be smaller, pixels a side."""
LINE_START = b'{"method": "'
"""How each line of the log begins."""
WARMUP_SIZE = 64
"""Side of the crop that a denoiser runs on before the clock starts, pixels."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the benchmark."""

    title: str
    """The name that tables show."""
    denoiser: Denoiser
    oracle: bool = False
    """Whether it is told the true noise level; networks are not."""
    fingerprint: str = ""
    """What else decides the result and its time: the hash of the weights, the device, the precision. Where it
    is empty the `repr` of the denoiser stands for it, which for a frozen dataclass names every parameter."""

    @property
    def identity(self) -> str:
        """Equal for entries whose results are interchangeable."""
        told = "told the level" if self.oracle else "blind"
        return f"{self.denoiser.name}, {told}, {self.fingerprint or repr(self.denoiser)}"


@dataclass(frozen=True, slots=True)
class CleanImage:
    """A noise-free image to start from."""

    name: str
    grey: NDArray[np.float32]
    """(H, W), grey levels in [0, 255]."""

    @property
    def sha256(self) -> str:
        """Hash of the shape and the pixels."""
        pixels = np.ascontiguousarray(self.grey, dtype="<f4")
        return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()

    def centre(self, size: int) -> "CleanImage":
        """Cut out the middle `size` x `size` pixels, or what there is of them."""
        top, left = (max(0, (side - size) // 2) for side in self.grey.shape)
        return CleanImage(self.name, self.grey[top : top + size, left : left + size])


@dataclass(frozen=True, slots=True)
class Measurement:
    """One denoiser on one image at one noise level."""

    method: str
    """Title of the entry."""
    eta: float
    sigma: float
    image: str
    psnr: float
    snr: float
    ssim: float
    ssim_paper: float
    seconds: float
    """Wall time of the call, the median where it was repeated."""


@dataclass(frozen=True, slots=True)
class Key:
    """What decides a measurement: equal keys, equal results (but for the time)."""

    denoiser: str
    image_sha256: str
    eta: float
    sigma: float
    seed: int
    version: str = xray_denoise.__version__


class Log:
    """Measurements in a JSON-lines file, each appended as it comes, so an interrupted run keeps what it has.

    A last line that was cut off by a kill is dropped. An infinite PSNR or SNR is written as null.

    Args:
        path: the file; None keeps nothing.
        resume: go on with a file that exists.

    Raises:
        UsageError: the file exists and `resume` is not set.
        UnreadableFileError: a line that is not the last is no measurement.
        UnwritableFileError: the file cannot be written.
    """

    def __init__(self, path: Path | None = None, *, resume: bool = False) -> None:
        self._path = path
        self._known: dict[Key, Measurement] = {}
        if path is None:
            return
        if path.exists() and not resume:
            raise UsageError(f"{path} exists", hint="add --resume to go on with it, or name another file")
        try:
            if path.exists():
                self._read(path)
            path.touch()
        except OSError as error:
            raise UnwritableFileError(f"cannot write {path}: {error.strerror}") from error

    def get(self, key: Key) -> Measurement | None:
        """Return the measurement of `key` if the file has it."""
        return self._known.get(key)

    def add(self, key: Key, measurement: Measurement) -> None:
        """Append one line."""
        if self._path is None:
            return
        record = asdict(measurement) | asdict(key)
        finite = {name: None if value == math.inf else value for name, value in record.items()}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(finite, allow_nan=False) + "\n")
        except OSError as error:
            raise UnwritableFileError(f"cannot write {self._path}: {error.strerror}") from error

    def _read(self, path: Path) -> None:
        *lines, rest = path.read_bytes().split(b"\n")
        if not LINE_START.startswith(rest[: len(LINE_START)]):
            lines.append(rest)
        for number, line in enumerate(lines, start=1):
            try:
                key, measurement = _parsed(line)
                self._known[key] = measurement
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UnreadableFileError(
                    f"line {number} of {path} is not a measurement", hint="name another file"
                ) from error
        with path.open("r+b") as file:
            file.truncate(sum(len(line) + 1 for line in lines))


def _parsed(line: bytes) -> tuple[Key, Measurement]:
    values: dict[str, Any] = {name: math.inf if value is None else value for name, value in json.loads(line).items()}
    key = Key(**{field.name: values[field.name] for field in fields(Key)})
    return key, Measurement(**{field.name: values[field.name] for field in fields(Measurement)})


def phantoms(size: int = 1024, *, quick: bool = False) -> Iterator[CleanImage]:
    """Draw the built-in test images, rounded to whole grey levels like radiographs of 8 bit.

    Args:
        size: pixels a side.
        quick: the first `QUICK_IMAGES`, their centres.
    """
    for number in range(QUICK_IMAGES if quick else IMAGES):
        grey = np.rint(chest_phantom(size, rng=np.random.default_rng(number)))
        image = CleanImage(f"phantom {number}", grey.clip(0, GREY_MAX).astype(np.float32))
        yield image.centre(QUICK_SIZE) if quick else image


def radiographs(
    paths: Sequence[Path], read: Callable[[Path], NDArray[np.float32]], *, quick: bool = False
) -> Iterator[CleanImage]:
    """Read the images of the benchmark, clipped to [0, 255], one at a time.

    Args:
        paths: the files.
        read: `read(path)` gives the grey levels of a file.
        quick: the first `QUICK_IMAGES`, their centres.

    Raises:
        UnreadableFileError: an image is smaller than `SMALLEST`.
    """
    for path in islice(paths, QUICK_IMAGES if quick else None):
        image = CleanImage(path.name, np.asarray(read(path), dtype=np.float32).clip(0, GREY_MAX))
        if min(image.grey.shape) < SMALLEST:
            hint = f"leave it out: the window of SSIM has {SMALLEST}x{SMALLEST} pixels"
            raise UnreadableFileError(f"{path} is too small to measure", hint=hint)
        yield image.centre(QUICK_SIZE) if quick else image


def noisy_image(image: CleanImage, level: NoiseLevel, seed: int) -> NDArray[np.float32]:
    """Draw the noise of one case; the same arguments give the same image."""
    case = f"{seed} {image.sha256} {float(level.eta)!r} {float(level.sigma)!r}"
    entropy = int.from_bytes(hashlib.sha256(case.encode()).digest())
    return add_noise(image.grey, level, np.random.default_rng(entropy))


def measurements(
    entries: Sequence[Entry],
    images: Iterable[CleanImage],
    log: Log,
    *,
    levels: Sequence[NoiseLevel] = TABLE_2,
    seed: int = 0,
    warmup: int = 1,
    repeat: int = 1,
) -> Iterator[Measurement]:
    """Measure every entry on every image at every level, image by image, and log what is new.

    There are len(entries) * len(levels) measurements per image; one that the log knows comes from there.

    Args:
        entries: the rows.
        images: may be a generator, only one image is held.
        log: keeps the results.
        levels: the noise levels.
        seed: of the noise.
        warmup: calls of each denoiser on a small crop before its first call that is timed.
        repeat: calls per measurement; the median of their times counts.
    """
    if len({entry.title for entry in entries}) < len(entries):
        raise ValueError("two entries have one title")
    warm: set[str] = set()
    for image in images:
        digest = image.sha256
        for level in levels:
            noisy = None
            for entry in entries:
                key = Key(entry.identity, digest, float(level.eta), float(level.sigma), seed)
                measurement = log.get(key)
                if measurement is None:
                    noisy = noisy_image(image, level, seed) if noisy is None else noisy
                    for _ in range(0 if entry.title in warm else warmup):
                        entry.denoiser(noisy[:WARMUP_SIZE, :WARMUP_SIZE], level if entry.oracle else None)
                    warm.add(entry.title)
                    measurement = _measured(entry, image, noisy, level, repeat)
                    log.add(key, measurement)
                yield replace(measurement, method=entry.title, image=image.name)


def _measured(
    entry: Entry, image: CleanImage, noisy: NDArray[np.float32], level: NoiseLevel, repeat: int
) -> Measurement:
    durations = []
    for _ in range(repeat):
        start = time.perf_counter()
        denoised = entry.denoiser(noisy, level if entry.oracle else None)
        durations.append(time.perf_counter() - start)
    scores = asdict(quality(denoised.image, image.grey))
    case = (entry.title, float(level.eta), float(level.sigma), image.name)
    return Measurement(*case, **scores, seconds=statistics.median(durations))


def table_2(
    done: Iterable[Measurement],
    entries: Sequence[Entry],
    facts: Sequence[tuple[str, str]],
    *,
    levels: Sequence[NoiseLevel] = TABLE_2,
) -> Report:
    """Average over the images, and lay the means out beside the paper's numbers.

    Args:
        done: what `measurements` gave; an interrupted run gives fewer.
        entries: the rows, in this order.
        facts: what the head of the report says about images, seed and device; the versions are added.
        levels: the columns.
    """
    scores: dict[tuple[str, float, float], list[Measurement]] = {}
    for one in done:
        scores.setdefault((one.method, one.eta, one.sigma), []).append(one)
    cells = tuple((float(level.eta), float(level.sigma)) for level in levels)
    methods = []
    for entry in entries:
        column = [scores.get((entry.title, *cell), []) for cell in cells]
        means = {quantity: tuple(_mean(cell, quantity) for cell in column) for quantity in paper.QUANTITIES}
        methods.append(paper.Method(entry.title, entry.denoiser.name, means))
    counts = {len(scores.get((entry.title, *cell), [])) for entry in entries for cell in cells}
    return paper.table_2(methods, cells, (*facts, ("versions", versions())), complete=len(counts) == 1)


def _mean(cell: Sequence[Measurement], quantity: str) -> float | None:
    return statistics.fmean(getattr(one, quantity) for one in cell) if cell else None


def versions() -> str:
    """Name the versions that results depend on; torch only where something has loaded it."""
    packages = ["numpy", "scikit-image", *(["torch"] if "torch" in sys.modules else [])]
    found = [f"xray-denoise {xray_denoise.__version__}", f"Python {platform.python_version()}"]
    return ", ".join([*found, *(f"{name} {version(name)}" for name in packages)])
