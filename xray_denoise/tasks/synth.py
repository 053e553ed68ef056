"""`synth`: a clean radiograph or a phantom + a noise level -> a noisy image, the clean one, and a manifest."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise import __version__, files
from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.files.folders import make_folder
from xray_denoise.physics import metrics
from xray_denoise.physics.noise import GREY_MAX, NoiseLevel, add_noise
from xray_denoise.physics.phantom import chest_phantom
from xray_denoise.radiograph import Radiograph

Format = Literal["png", "tiff", "dcm"]

MANIFEST = "manifest.jsonl"
"""Beside the images: what each of them is, one JSON object a line."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to synthesise."""

    eta: Range
    """Photons per grey level, drawn uniformly between both, > 0."""
    sigma: Range
    """Electronic noise, grey levels, drawn uniformly between both, >= 0."""
    bits: int = 8
    """Bits per pixel of what is written, 8..16."""
    seed: int = 0
    save_clean: bool = True
    format: Format = "png"


@dataclass(frozen=True, slots=True)
class Subject:
    """A clean image and what to call it."""

    name: str
    grey: NDArray[np.float32]
    """(H, W), grey levels 0..255."""
    seed: tuple[int, ...]
    """Of its noise."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """One noisy image that was written."""

    noisy: Path
    clean: Path | None
    eta: float
    sigma: float
    seed: int
    noisy_psnr: float
    """dB, of the written pixels against the clean ones."""


def phantoms(size: int, count: int, seed: int) -> Iterator[Subject]:
    """`count` chest phantoms of `size` x `size` pixels; phantom i depends on seed + i only."""
    for number in range(seed, seed + count):
        yield Subject(f"phantom-{number}", chest_phantom(size, rng=np.random.default_rng(number)), (number, 0))


def radiographs(paths: Sequence[Path], seed: int) -> Iterator[Subject]:
    """Clean radiographs from files; their grey levels are clipped to 0..255, the noise depends on `seed` and place.

    Raises:
        UnreadableFileError: one cannot be read.
    """
    for place, path in enumerate(paths):
        yield Subject(path.stem, files.read(path).grey.clip(0, GREY_MAX), (seed, place))


def synthesise(subjects: Iterator[Subject], recipe: Recipe, output: Path) -> Iterator[Exposure]:
    """Write one noisy image per subject, each with a line in the manifest.

    Both images are quantised to `recipe.bits`; the noise is drawn on the quantised clean image, so that the pair on
    disk follows the noise model exactly but for the rounding of the noisy one.

    Raises:
        UnwritableFileError: a file of that name exists and holds something else.
    """
    make_folder(output)
    for subject in subjects:
        rng = np.random.default_rng(subject.seed)
        level = NoiseLevel(rng.uniform(*recipe.eta), rng.uniform(*recipe.sigma))
        clean = Radiograph.from_grey(subject.grey, bits=recipe.bits)
        noisy = Radiograph.from_grey(add_noise(clean.grey, level, rng), bits=recipe.bits)
        stem = f"{subject.name}_eta{level.eta:.4g}_sigma{level.sigma:.4g}"
        noisy_path, clean_path = (
            output / f"{name}.{recipe.format}" for name in (f"{stem}_noisy", f"{subject.name}_clean")
        )
        _write(noisy, noisy_path)
        if recipe.save_clean:
            _write(clean, clean_path)
        exposure = Exposure(
            noisy_path,
            clean_path if recipe.save_clean else None,
            level.eta,
            level.sigma,
            recipe.seed,
            metrics.psnr(noisy.grey, clean.grey),
        )
        _append(exposure, recipe, output / MANIFEST)
        yield exposure


def _write(radiograph: Radiograph, target: Path) -> None:
    """Write, unless the very same pixels are there already."""
    if not target.exists():
        files.write(radiograph, target)
        return
    try:
        same = np.array_equal(files.read(target).stored, radiograph.stored)
    except UnreadableFileError:
        same = False
    if not same:
        raise UnwritableFileError(
            f"{target} exists and holds another image",
            hint="choose another folder with -o, or another --seed",
        )


def _append(exposure: Exposure, recipe: Recipe, manifest: Path) -> None:
    """One JSON object a line, so an interrupted run keeps what it has; an equal line is not repeated."""
    entry = {
        "noisy": exposure.noisy.name,
        "clean": exposure.clean.name if exposure.clean else None,
        "eta": exposure.eta,
        "sigma": exposure.sigma,
        "bits": recipe.bits,
        "seed": recipe.seed,
        "noisy_psnr": round(exposure.noisy_psnr, 4),
        "version": __version__,
    }
    line = json.dumps(entry)
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
        if line not in lines:
            with manifest.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UnwritableFileError(f"cannot write {manifest}", hint="choose another folder with -o") from error
