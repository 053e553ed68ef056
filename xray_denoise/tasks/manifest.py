"""What was made from what: one JSON line a result, in a file beside the results.

A result is fresh if its line names the source's bytes, the model, its weights and every option as they are now, and
if its own bytes are still those that were written. The line is written before the result takes its name, so that no
result of an interrupted run is taken for somebody else's.
"""

import hashlib
import json
import os
import threading
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.tasks.jobs import MANIFEST_NAME


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a result, besides its source."""

    version: str
    """Of this package."""
    model: str
    model_sha256: str
    """Of its weights; empty for a method without."""
    options: str
    """Every option that changes the result, in words."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    target: str
    """The result, relative to the folder of the manifest."""
    target_sha256: str
    source_sha256: str
    recipe: Recipe


class Manifest:
    """The lines of one folder of results; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; the folder need not exist yet.

        Raises:
            UnreadableFileError: the file is there and cannot be read.
        """
        self.path = folder / MANIFEST_NAME
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self._lock = threading.Lock()
        for entry in _entries(self.path):
            self._entries[entry.target].append(entry)

    def is_fresh(self, target: Path, source_sha256: str, recipe: Recipe) -> bool:
        """Whether `target` is what would be made again."""
        wanted = source_sha256, recipe
        return any((entry.source_sha256, entry.recipe) == wanted for entry in self._of_present(target))

    def is_ours(self, target: Path) -> bool:
        """Whether `target` was made by this package and not changed since: it may be replaced."""
        return bool(self._of_present(target))

    def knows(self, target: Path) -> bool:
        """Whether `target` was made by this package at some time."""
        with self._lock:
            return self._name(target) in self._entries

    def add(self, target: Path, written: Path, source_sha256: str, recipe: Recipe) -> None:
        """Record that the bytes of `written` are about to become `target`.

        Raises:
            UnwritableFileError: the disk refuses.
        """
        entry = Entry(self._name(target), sha256_of(written), source_sha256, recipe)
        with self._lock:
            self._entries[entry.target].append(entry)
            try:
                _append(self.path, json.dumps(asdict(entry), sort_keys=True))
            except OSError as error:
                raise UnwritableFileError(
                    f"cannot write {self.path}: {error.strerror}", hint="check the folder's permissions and the disk"
                ) from error

    def _of_present(self, target: Path) -> list[Entry]:
        """The lines that tell of the bytes that `target` has now."""
        with self._lock:
            entries = list(self._entries.get(self._name(target), ()))
        present = sha256_of(target) if entries else ""
        return [entry for entry in entries if entry.target_sha256 == present]

    def _name(self, target: Path) -> str:
        return target.relative_to(self.path.parent).as_posix()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        UnreadableFileError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise UnreadableFileError(f"cannot read {path}: {reason}", hint="check the name and its permissions") from error


def _entries(path: Path) -> list[Entry]:
    """Every whole line; an interrupted run may have left half of one."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnreadableFileError(
            f"cannot read {path}: {error.strerror}", hint="check its permissions, or choose another output folder"
        ) from error
    found = []
    for line in lines:
        try:
            fields = json.loads(line)
            found.append(Entry(**(fields | {"recipe": Recipe(**fields["recipe"])})))
        except (ValueError, TypeError, LookupError):
            continue
    return found


def _append(path: Path, line: str) -> None:
    """Add a line in one write; it never shares a line with the half one of an interrupted run."""
    with path.open("a+b") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            line = line if stream.read(1) == b"\n" else f"\n{line}"
        stream.write(f"{line}\n".encode())
