"""Every file appears whole or not at all."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from xray_denoise.errors import UnwritableFileError


@contextmanager
def whole_file(target: Path, *, source: Path | None) -> Iterator[BinaryIO]:
    """Open `target` for writing; it takes its name only when the block ends without an error.

    Args:
        target: the file to make or replace; its folder must exist.
        source: the file that must never be written over.

    Raises:
        UnwritableFileError: the folder is missing, the disk refuses, or `target` is the source.
    """
    if source is not None and _same_file(source, target):
        raise UnwritableFileError(
            f"{target} is the image being read",
            hint="choose another name or folder: originals are never overwritten",
        )
    partial = target.with_name(f".xray-denoise-{os.getpid()}-{threading.get_ident()}.part")
    try:
        if target.is_dir():
            raise UnwritableFileError(f"{target} is a folder", hint="name a file inside it")
        if not target.parent.is_dir():
            raise UnwritableFileError(
                f"cannot write {target}: there is no folder {target.parent}",
                hint="make the folder, or choose another",
            )
        with partial.open("w+b") as stream:
            yield stream
        partial.replace(target)
    except OSError as error:
        raise UnwritableFileError(
            f"cannot write {target}: {error.strerror or type(error).__name__}",
            hint="check the name, the permissions of the folder and the space on the disk",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False
