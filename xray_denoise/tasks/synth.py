"""`synth`: a clean radiograph or a phantom + a description of noise -> a noisy image, the clean one, and a manifest."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise import __version__, files
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError
from xray_denoise.files.folders import make_folder
from xray_denoise.files.profiles import read_profile, write_profile
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics import chain, metrics
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.radiograph import Radiograph
from xray_denoise.scale import GREY_MAX, MID_GREY

Format = Literal["png", "tiff", "dcm"]

MANIFEST = "manifest.jsonl"
"""Beside the images: what each of them is, one JSON object a line."""

Range = tuple[float, float]


Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One noisy image before it is written."""

    noisy: Grey
    """(H, W), grey levels."""
    numbers: dict[str, str | float]
    """What the noise was, for the manifest."""
    stem: str
    """What the noise was, for the name of the file."""
    profile: NoiseProfile | None = None
    """Of the noise before rounding, where it is to be written, too."""


@dataclass(frozen=True, slots=True)
class LevelNoise:
    """White noise as the paper models it, of a level that is drawn for each image."""

    eta: Range
    """Photons per grey level, drawn uniformly between both, > 0."""
    sigma: Range
    """Electronic noise, grey levels, drawn uniformly between both, >= 0."""

    def draw(self, clean: Grey, seed: tuple[int, ...]) -> Drawn:
        """Draw an exposure of `clean`."""
        rng = np.random.default_rng(seed)
        level = NoiseLevel(rng.uniform(*self.eta), rng.uniform(*self.sigma))
        numbers: dict[str, str | float] = {"eta": level.eta, "sigma": level.sigma}
        return Drawn(add_noise(clean, level, rng), numbers, f"eta{level.eta:.4g}_sigma{level.sigma:.4g}")


@dataclass(frozen=True, slots=True)
class DetectorNoise:
    """The noise of a named detector."""

    name: str
    """One of `physics.chain.DETECTORS`."""
    deviation: float
    """At mid-grey and before rounding, grey levels, 0..50."""

    def draw(self, clean: Grey, seed: tuple[int, ...]) -> Drawn:
        """Draw an exposure of `clean`."""
        detector = chain.detector(self.name, self.deviation)
        noisy = detector.expose(clean.clip(0, GREY_MAX), np.random.default_rng(seed))
        return _drawn(noisy, self.name, self.deviation, seed, detector.profile())


@dataclass(frozen=True, slots=True)
class ProfileNoise:
    """Noise of any profile."""

    name: str
    """For file names and the manifest."""
    profile: NoiseProfile

    def draw(self, clean: Grey, seed: tuple[int, ...]) -> Drawn:
        """Add noise to `clean`."""
        noisy = clean + self.profile.draw(clean, np.random.default_rng(seed))
        deviation = float(self.profile.deviation_at(MID_GREY))
        return _drawn(noisy, self.name, deviation, seed, self.profile)


Noise = LevelNoise | DetectorNoise | ProfileNoise


def _drawn(noisy: Grey, name: str, deviation: float, seed: tuple[int, ...], profile: NoiseProfile) -> Drawn:
    numbers: dict[str, str | float] = {"detector": name, "deviation": deviation}
    return Drawn(noisy, numbers, f"{name}_std{deviation:.4g}_seed{seed[0]}", profile)


def profile_noise(path: Path, deviation: float | None) -> ProfileNoise:
    """The noise of a profile in a file.

    Args:
        path: of the profile.
        deviation: at mid-grey, grey levels, to which it is scaled; None leaves it as it is.

    Raises:
        UnreadableFileError: the file is missing, or no profile.
        UsageError: a profile without noise at mid-grey is to be scaled.
    """
    profile = read_profile(path)
    if deviation is not None:
        found = float(profile.deviation_at(MID_GREY))
        if not found:
            raise UsageError(f"{path} has no noise at mid-grey that could be scaled", hint="leave out the deviation")
        profile = profile.scaled(deviation / found)
    return ProfileNoise(path.stem, profile)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to synthesise."""

    noise: Noise
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
    """Of its noise; the first number is part of the name of what is made."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """One noisy image that was written."""

    noisy: Path
    clean: Path | None
    profile: Path | None
    noise: dict[str, str | float]
    """Its `eta` and `sigma`, or its `detector` and its `deviation` at mid-grey before rounding, grey levels."""
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

    For a detector the profile of its noise is written, too. Both images are quantised to `recipe.bits`; the noise is
    drawn on the quantised clean image, so that the pair on disk follows the noise model exactly but for the rounding
    of the noisy one, which the profile counts.

    Raises:
        UnwritableFileError: a file of that name exists and holds something else.
    """
    make_folder(output)
    for subject in subjects:
        clean = Radiograph.from_grey(subject.grey, bits=recipe.bits)
        drawn = recipe.noise.draw(clean.grey, subject.seed)
        noisy = Radiograph.from_grey(drawn.noisy, bits=recipe.bits)
        stem = f"{subject.name}_{drawn.stem}"
        noisy_path = output / f"{stem}_noisy.{recipe.format}"
        clean_path = output / f"{subject.name}_clean.{recipe.format}" if recipe.save_clean else None
        profile_path = output / f"{stem}_profile.json" if drawn.profile else None
        _write(noisy, noisy_path)
        if clean_path:
            _write(clean, clean_path)
        if drawn.profile and profile_path:
            _write_profile(drawn.profile.rounded(recipe.bits), profile_path)
        psnr = metrics.psnr(noisy.grey, clean.grey)
        exposure = Exposure(noisy_path, clean_path, profile_path, drawn.numbers, recipe.seed, psnr)
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
            hint="choose another folder, or another seed",
            option="target",
        )


def _write_profile(profile: NoiseProfile, target: Path) -> None:
    """Write, unless the very same profile is there already."""
    if not target.exists():
        write_profile(profile, target)
        return
    try:
        same = read_profile(target).to_json() == profile.to_json()
    except UnreadableFileError:
        same = False
    if not same:
        raise UnwritableFileError(
            f"{target} exists and holds something else", hint="choose another folder, or another seed", option="target"
        )


def _append(exposure: Exposure, recipe: Recipe, manifest: Path) -> None:
    """One JSON object a line, so an interrupted run keeps what it has; an equal line is not repeated."""
    entry: dict[str, object] = {
        "noisy": exposure.noisy.name,
        "clean": exposure.clean.name if exposure.clean else None,
    }
    if exposure.profile:
        entry["profile"] = exposure.profile.name
    entry |= exposure.noise
    entry |= {
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
        raise UnwritableFileError(f"cannot write {manifest}", hint="choose another folder", option="target") from error
