"""The images to train on and those to judge by, as 8-bit grey, never of one patient."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise import files
from xray_denoise.files.folders import radiographs_in
from xray_denoise.scale import GREY_MAX

HELD_OUT = 20
"""Without a validation folder one patient in so many is held out."""
JUDGED = 24
"""Images held out at most: enough to judge by, and one of each patient as long as there are others."""

GreyImages = list[NDArray[np.uint8]]


def training_images(data: Path, validation: Path | None) -> tuple[GreyImages, GreyImages]:
    """Read the training images, and those of other patients to validate on.

    Args:
        data: folder of noise-free radiographs.
        validation: folder of other patients' radiographs; None holds out a twentieth of the patients of `data`.

    Raises:
        UsageError: a folder is missing or holds no radiograph.
        UnreadableFileError: an image cannot be read.
    """
    paths = radiographs_in(data)
    if validation is not None:
        return _read_all(paths), held_out_images(validation)
    patients = sorted({_patient(path) for path in paths})
    held = set(patients[::HELD_OUT]) if len(patients) > 1 else set()
    train = [path for path in paths if _patient(path) not in held]
    return _read_all(train), _read_all(_one_each([path for path in paths if _patient(path) in held]))


def held_out_images(folder: Path) -> GreyImages:
    """Images of a folder to judge a network by, at most `JUDGED` of them.

    Raises:
        UsageError: the folder is missing or holds no radiograph.
        UnreadableFileError: an image cannot be read.
    """
    return _read_all(_one_each(radiographs_in(folder)))


def digest(images: GreyImages) -> str:
    """SHA-256 of all sizes and pixels: which images a training saw."""
    total = hashlib.sha256()
    for image in images:
        total.update(repr(image.shape).encode())
        total.update(image.tobytes())
    return total.hexdigest()


def _patient(path: Path) -> str:
    """Who an image shows: `patient_follow-up` names, as in ChestX-ray8; other images are patients of their own."""
    patient, _, follow_up = path.stem.rpartition("_")
    return patient if patient and follow_up.isdecimal() else path.stem


def _one_each(paths: Sequence[Path]) -> list[Path]:
    """At most `JUDGED` of them, the first of each patient before any second one."""
    seen: dict[str, int] = {}
    turns = []
    for path in paths:
        turn = seen[_patient(path)] = seen.get(_patient(path), -1) + 1
        turns.append((turn, path))
    return [path for _, path in sorted(turns)[:JUDGED]]


def _read_all(paths: Sequence[Path]) -> GreyImages:
    """Every image as 8-bit grey; several decode at a time."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_read_grey, paths))


def _read_grey(path: Path) -> NDArray[np.uint8]:
    return np.asarray(np.rint(files.read(path).grey.clip(0, GREY_MAX)), dtype=np.uint8)
