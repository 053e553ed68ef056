"""Find radiographs in folders, and make folders for results."""

import os
from collections.abc import Iterator
from pathlib import Path

from xray_denoise import files
from xray_denoise.errors import UnwritableFileError, UsageError
from xray_denoise.files.atomic import is_partial


def walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Every file below a folder, sorted within each, and whether it should be read as a radiograph.

    It should if its first bytes say so, or if its name does and its bytes say nothing else: such a file is damaged,
    or a link to a file that is missing, and reading it will tell which. A folder that may not be looked into stands for
    what is in it: reading it, too, will tell why it failed. Links to folders are not followed, only named.
    """
    locked: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: locked.append(Path(error.filename))):
        folders.sort()
        yield from ((Path(parent, name), False) for name in folders if Path(parent, name).is_symlink())
        for name in sorted(names):
            path = Path(parent, name)
            yield path, is_wanted(path)
    yield from ((path, True) for path in sorted(locked))


def is_wanted(path: Path) -> bool:
    """Whether a file found in a folder should be read as a radiograph: it is one, or by its name a damaged one.

    A link to nothing counts as a damaged file.
    """
    return not is_partial(path.name) and (files.is_radiograph(path) or _is_damaged(path))


def true_path(path: Path) -> Path:
    """The path without links; of links in a circle, and of names that no file can have, what can be told of it."""
    try:
        return Path(os.path.realpath(path))
    except ValueError:
        return path


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths are one file, by their names without links or by what is there."""
    try:
        return true_path(first) == true_path(second) or first.samefile(second)
    except (OSError, ValueError):  # one of them is not there, or no file can have this name
        return False


class TruePaths(dict[Path, Path]):
    """Folders without links, each looked up once: an archive has many files in each."""

    def __missing__(self, folder: Path) -> Path:
        self[folder] = true_path(folder)
        return self[folder]

    def of(self, path: Path) -> Path:
        """`true_path` of a file."""
        return true_path(path) if path.is_symlink() else self[path.parent] / path.name


def _is_damaged(path: Path) -> bool:
    if path.suffix.lower() not in (*files.SUFFIXES, *files.READ_ONLY):
        return False
    return files.sniff(path) is None if path.is_file() else path.is_symlink() and not path.exists()


def radiographs_in(folder: Path) -> list[Path]:
    """Every radiograph below a folder, damaged ones included, sorted.

    Raises:
        UsageError: it is no folder, or holds none.
    """
    if not folder.is_dir():
        raise UsageError("{path} is not a folder", path=folder, hint="give a folder of radiographs")
    paths = sorted(path for path, wanted in walk(folder) if wanted)
    if not paths:
        raise UsageError(
            "{path} holds no radiograph", path=folder, hint="give a folder of DICOM, PNG, TIFF, WebP or JPEG files"
        )
    return paths


def make_folder(folder: Path) -> None:
    """Make a folder for results, and those above it, unless it is there.

    Raises:
        UnwritableFileError: the disk refuses, or a file has this name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableFileError(
            f"cannot make the folder {{path}}: {error.strerror}", path=folder, hint="choose another", option="target"
        ) from error
