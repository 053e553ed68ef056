"""The whole state of a training on disk, written so that a kill at any moment leaves the last one intact."""

import io
import os
import pickle
from pathlib import Path
from typing import Any, cast

import torch

from xray_denoise.errors import TrainingError, UnwritableFileError
from xray_denoise.files.atomic import atomic_write

FILE_NAME = "checkpoint.pt"


def write(run: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint of `run`: first a file beside it, flushed to the disk, then one rename.

    Raises:
        TrainingError: the disk refuses; the last checkpoint stays.
    """
    content = io.BytesIO()
    torch.save(state, content)
    try:
        with atomic_write(run / FILE_NAME, source=None) as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
    except UnwritableFileError as error:
        raise TrainingError(
            f"the checkpoint was not written: {error}", hint="make room, then go on from the last one", option="resume"
        ) from error


def read(run: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The checkpoint of `run`, or None where there is none yet.

    Args:
        run: folder of the training.
        identity: what must be the same for a training to go on: network, schedule, data, seed.

    Raises:
        TrainingError: the checkpoint belongs to another training.
    """
    path = run / FILE_NAME
    if not path.exists():
        return None
    try:
        state = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
        differing = sorted(key for key in identity if state["identity"].get(key) != identity[key])
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, LookupError, TypeError) as error:
        raise TrainingError(
            "the checkpoint in {path} cannot be read",
            path=run,
            hint="remove it, or choose another folder",
            option="target",
        ) from error
    if differing:
        raise TrainingError(
            f"the checkpoint in {{path}} was made with another {', '.join(differing)}",
            path=run,
            hint="go on with the options that it was started with, or choose another folder",
            option="target",
        )
    return state
