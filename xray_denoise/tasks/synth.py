"""`synth`: clean radiographs or phantoms + a description of noise -> noisy images, the clean ones, and a manifest.

Subject (what is clean, and where) -> draw (noise from the seed) -> Exposure, or Failure
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from xray_denoise import __version__, files
from xray_denoise.errors import (
    ExistingFileError,
    UnreadableFileError,
    UnwritableFileError,
    UsageError,
    XrayDenoiseError,
)
from xray_denoise.files.folders import TruePaths, make_folder, true_path
from xray_denoise.files.profiles import read_profile, write_profile
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics import metrics
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.radiograph import Radiograph
from xray_denoise.scale import GREY_MAX
from xray_denoise.tasks.jobs import AnyPath, LeftAlone, checked_path, find_sources
from xray_denoise.tasks.line_file import append_line, lines_of
from xray_denoise.tasks.naming import Format
from xray_denoise.tasks.synth_noise import Drawn, Grey, Noise, Seed, in_words

MANIFEST = "manifest.jsonl"
"""Beside the images: what each of them is, one JSON object a line."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to add, and how results are written."""

    noise: Noise
    bits: int = 8
    """Bits per pixel of what is written, 8..16; DICOM files that are made from DICOM files keep theirs."""
    save_clean: bool = True
    format: Format = "png"
    """"dcm" makes a new object of a phantom, and a derived one of a DICOM file."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A clean image, and the names of its exposures."""

    name: Path
    """Without ending, relative to the output folder."""
    grey: Callable[[], Grey]
    """Gives the image: (H, W), grey levels 0..255."""
    seeds: tuple[int, ...]
    """One exposure each."""
    source: Path | None = None
    """The file that it is read from; None for a phantom, whose name holds its seed."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """One noisy image that was written."""

    noisy: Path
    clean: Path | None
    profile: Path | None
    noise: dict[str, str | float]
    """Its `eta` and `sigma`, or its `detector` and its `deviation` at mid-grey before rounding, grey levels."""
    seed: int
    bits: int
    """Per pixel of what was written."""
    noisy_psnr: float
    """dB, of the written pixels against the clean ones."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A clean image that could not be read, or not be written in the format that was asked for."""

    source: Path
    error: XrayDenoiseError


def phantoms(size: int, count: int, seed: int) -> Iterator[Subject]:
    """`count` chest phantoms of `size` x `size` pixels; phantom i depends on seed + i only."""
    for number in range(seed, seed + count):
        yield Subject(Path(f"phantom-{number}"), partial(_phantom, size, number), (number,))


def _phantom(size: int, number: int) -> Grey:
    return chest_phantom(size, rng=np.random.default_rng(number))


def radiographs(
    inputs: Iterable[AnyPath], output: Path, *, count: int = 1, seed: int = 0
) -> tuple[list[Subject], list[LeftAlone]]:
    """Clean radiographs from files and folders, whose tree is kept.

    Args:
        inputs: files and folders, searched to the bottom.
        output: folder of the results; what lies in it is no input, and where inputs lie in it, what its manifest names
            is none, but for a file that is given by its name.
        count: exposures of each image; number i depends on seed + i and on the pixels only.
        seed: of the first one.

    Returns:
        What to expose, and what was found in folders and is no radiograph.

    Raises:
        UsageError: there is no radiograph, or two would have one name.
    """
    given = [checked_path(path, "an input") for path in inputs]
    sources, left_alone = find_sources(given, output)
    made, places = _written_before(output), TruePaths()
    claimed: dict[Path, Path] = {}
    subjects = []
    for source, inside in sources.items():
        if source not in given and places.of(source) in made:
            left_alone.append(LeftAlone(source, "an earlier result"))
            continue
        name = inside.with_suffix("") if _has_ending(inside) else inside
        if name in claimed:
            raise UsageError(
                f"{claimed[name]} and {source} would both become {{path}}",
                path=output / name,
                hint="expose them into different folders, or give the folder that holds both",
            )
        claimed[name] = source
        subjects.append(Subject(name, partial(_read, source), tuple(range(seed, seed + count)), source))
    if not subjects:
        raise UsageError(
            "all inputs are earlier results in {path}", path=output, hint="give clean radiographs", option="target"
        )
    return subjects, left_alone


def _written_before(output: Path) -> set[Path]:
    """The images that the manifest of a folder names, without links; lines that are none of ours name none."""
    folder, found = true_path(output), set()
    for line in lines_of(output / MANIFEST):
        with suppress(ValueError, AttributeError):
            entry = json.loads(line)
            found |= {folder / name for name in (entry.get("noisy"), entry.get("clean")) if isinstance(name, str)}
    return found


def _has_ending(path: Path) -> bool:
    return path.suffix.lower() in (*files.SUFFIXES, *files.READ_ONLY)


def _read(source: Path) -> Grey:
    return files.read(source).grey.clip(0, GREY_MAX)


def synthesise(subjects: Iterable[Subject], recipe: Recipe, output: Path) -> Iterator[Exposure | Failure]:
    """Write the noisy images of every subject, each with a line in the manifest; one that is unreadable is a failure.

    For a detector the profile of its noise is written, too. Both images are quantised to `recipe.bits`; the noise is
    drawn on the quantised clean image, so that the pair on disk follows the noise model exactly but for the rounding
    of the noisy one, which the profile counts. DICOM files that are made from DICOM files keep their headers, and the
    noise is added to their stored values.

    Raises:
        UnwritableFileError: a file of that name exists and holds something else.
    """
    make_folder(output)
    known = set(lines_of(output / MANIFEST))
    for subject in subjects:
        try:
            clean, different = _opened(subject, recipe)
        except (UnreadableFileError, UnwritableFileError) as error:
            if subject.source is None:
                raise
            yield Failure(subject.source, error)
            continue
        for seed in subject.seeds:
            exposure = _expose(subject, clean, (seed, different), recipe, output)
            line = _entry(exposure, output)
            if line not in known:
                append_line(output / MANIFEST, line)
                known.add(line)
            yield exposure


def _opened(subject: Subject, recipe: Recipe) -> tuple[Radiograph, int]:
    """The clean image as it is written, and a number that depends on its pixels, 0 for a phantom.

    Raises:
        UnreadableFileError: it cannot be read.
        UnwritableFileError: a DICOM file is asked for, and it is a picture.
    """
    if subject.source is None or recipe.format != "dcm":
        grey = subject.grey()
        return Radiograph.from_grey(grey, bits=recipe.bits), 0 if subject.source is None else _number_of(grey)
    clean = files.read(subject.source)
    if not files.is_dicom(clean):
        raise UnwritableFileError(
            "{path} is a picture: only a DICOM image becomes a DICOM image",
            path=subject.source,
            hint="write PNG or TIFF files",
            option="file_format",
        )
    return clean, _number_of(clean.grey.clip(0, GREY_MAX))


def _number_of(image: Grey) -> int:
    """A number that depends on the pixels."""
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()[:8])


def _expose(subject: Subject, clean: Radiograph, seed: Seed, recipe: Recipe, output: Path) -> Exposure:
    """Draw one exposure, and write it with what belongs to it."""
    derived = clean.header is not None
    grey = clean.grey.clip(0, GREY_MAX) if derived else clean.grey
    drawn = recipe.noise.draw(grey, seed)
    noisy = clean.with_removed(grey - drawn.noisy) if derived else Radiograph.from_grey(drawn.noisy, bits=recipe.bits)
    named = subject.source is None and drawn.profile is None
    stem = output / f"{subject.name}_{drawn.stem}{'' if named else f'_seed{seed[0]}'}"
    noisy_path = stem.with_name(f"{stem.name}_noisy.{recipe.format}")
    clean_path = output / f"{subject.name}_clean.{recipe.format}" if recipe.save_clean else None
    profile_path = stem.with_name(f"{stem.name}_profile.json") if drawn.profile else None
    make_folder(noisy_path.parent)
    _write(noisy, noisy_path, _provenance(drawn, seed[0], noisy) if derived else None)
    if clean_path:
        _write(clean, clean_path, files.SimulatedNoise() if derived else None)
    if drawn.profile and profile_path:
        low, high = clean.value_range
        rounded = drawn.profile.rounded_to(GREY_MAX / (high - low))
        _write_profile(replace(rounded, black_white=noisy.black_white), profile_path)
    psnr = metrics.psnr(noisy.grey, clean.grey)
    return Exposure(noisy_path, clean_path, profile_path, drawn.numbers, seed[0], clean.bits, psnr)


def _provenance(drawn: Drawn, seed: int, noisy: Radiograph) -> files.SimulatedNoise:
    """What is told of an exposure in a DICOM file; a profile is told apart from others of its name by its content."""
    low, high = noisy.value_range
    profile = drawn.profile and hashlib.sha256(drawn.profile.to_json().encode()).hexdigest()
    return files.SimulatedNoise(
        f"{in_words(drawn.numbers, units=True)}, seed {seed}; "
        f"grey levels 0 to 255 are stored values {low:g} to {high:g}",
        json.dumps([drawn.numbers, seed, profile]),
    )


def _write(radiograph: Radiograph, target: Path, provenance: files.SimulatedNoise | None = None) -> None:
    """Write, unless the very same pixels are there already."""
    if not target.exists():
        with suppress(ExistingFileError):  # of another run; or a link to nothing
            files.write(radiograph, target, derivation=provenance, replace=False)
            return
    try:
        same = np.array_equal(files.read(target).stored, radiograph.stored)
    except UnreadableFileError:
        same = False
    if not same:
        raise _taken(target, "another image")


def _write_profile(profile: NoiseProfile, target: Path) -> None:
    """Write, unless the very same profile is there already."""
    if not target.exists():
        with suppress(ExistingFileError):
            write_profile(profile, target, replace=False)
            return
    try:
        same = read_profile(target).to_json() == profile.to_json()
    except UnreadableFileError:
        same = False
    if not same:
        raise _taken(target, "something else")


def _taken(target: Path, what: str) -> UnwritableFileError:
    return UnwritableFileError(
        f"{{path}} exists and holds {what}", path=target, hint="choose another folder or another seed", option="target"
    )


def _entry(exposure: Exposure, output: Path) -> str:
    """The line of the manifest; files are named relative to it."""
    entry: dict[str, object] = {
        name: path.relative_to(output).as_posix() if path else None
        for name, path in (("noisy", exposure.noisy), ("clean", exposure.clean), ("profile", exposure.profile))
        if path or name != "profile"
    }
    entry |= exposure.noise
    entry |= {
        "bits": exposure.bits,
        "seed": exposure.seed,
        "noisy_psnr": round(exposure.noisy_psnr, 4),
        "version": __version__,
    }
    return json.dumps(entry)
