"""The manifest: which result was made from which source, one JSON line each, in a file beside the results.

A result is current if a line names the bytes of its source, and the model, the weights and every option as they are
now, and if its own bytes are those that were written; the same for its noise map. A line is written before its result
takes its name, so that an interrupted run never leaves a result that nobody knows.

Several machines must not append to one file: network file systems lose lines then. Each writes a part of its own, a
file of the same format in a folder beside the manifest, and every run reads all parts.
"""

import json
import os
import stat
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xray_denoise.errors import UsageError
from xray_denoise.files.folders import make_folder
from xray_denoise.tasks.fingerprint import FileOnDisk, Fingerprint
from xray_denoise.tasks.jobs import MANIFEST_NAME, PARTS_NAME
from xray_denoise.tasks.line_file import LONGEST_LINE, append_line, read_lines

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

Recipe = Mapping[str, Any]
"""All that decides a result besides its source, at full precision: values of JSON by name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    target: str
    """The result, relative to the folder of the manifest."""
    written: Fingerprint
    source: Fingerprint
    shape: tuple[int, int]
    """Rows and columns of the first image of the source; for readers."""
    recipe: Recipe
    noise_map: Fingerprint | None = None
    """None where the method makes none, or none was asked for."""
    uncertainty: Fingerprint | None = None
    """Of its map, None where none was asked for."""
    notes: tuple[str, ...] = ()
    """What is to be known of the source before the result is trusted, such as compression with loss; for readers."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """What was said of the result: the strength that was used, and what was removed. Written, and not read."""


class Manifest:
    """The lines of one folder of results; safe to share between threads, and with other runs."""

    def __init__(self, folder: Path, part: str = "", known: Iterable[Entry] | None = None) -> None:
        """Read what is there; the folder need not exist yet.

        Args:
            folder: of the results.
            part: name of the part that lines are added to; empty for the manifest itself.
            known: the lines, where they were read elsewhere; None reads them.

        Raises:
            UsageError: the manifest is no plain file.
            UnreadableFileError: it is there and cannot be read.
        """
        self.folder = folder
        self.path = part_path(folder, part) if part else folder / MANIFEST_NAME
        self._reads = known is None
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        for entry in known or ():
            self._entries[entry.target].append(entry)
        self._read_bytes: dict[Path, int] = defaultdict(int)
        self._lock = threading.Lock()
        with suppress(OSError, ValueError):
            if not stat.S_ISREG(self.path.lstat().st_mode):
                raise UsageError(
                    "the manifest {path} is not a plain file",
                    path=self.path,
                    hint="remove it, or choose another output folder",
                )
        self.refresh()

    def refuse_if_same_as(self, sources: Iterator[Path]) -> None:
        """Refuse a manifest that is an input by another name.

        Raises:
            UsageError: it is.
        """
        with suppress(OSError, ValueError):
            place = self.path.stat()
            for source in sources:
                with suppress(OSError, ValueError):
                    if os.path.samestat(place, source.stat()):
                        raise UsageError(
                            "the manifest {path} is an input",
                            path=self.path,
                            hint="choose another output folder",
                        )

    def refresh(self) -> None:
        """Read the lines that other runs have added.

        Raises:
            UnreadableFileError: a file of them is there and cannot be read.
        """
        if not self._reads:
            return
        with self._lock:
            for path in (self.folder / MANIFEST_NAME, *parts(self.folder)):
                for line in read_lines(path, self._read_bytes[path]):
                    self._read_bytes[path] += len(line)
                    entry = _entry(line)
                    if entry is not None:
                        self._entries[entry.target].append(entry)

    def is_current(
        self, target: Path, noise_map: Path | None, source: Path, recipe: Recipe, uncertainty: Path | None = None
    ) -> bool:
        """Whether a result equals what would be made now.

        Args:
            target: the result.
            noise_map: the noise map beside it, None where none is wanted.
            source: what it was made from.
            recipe: what would decide the result.
            uncertainty: the map of uncertainty beside it, None where none is wanted.
        """
        result, origin = FileOnDisk(target), FileOnDisk(source)
        beside, width = (None if path is None else FileOnDisk(path) for path in (noise_map, uncertainty))
        return any(
            entry.recipe == recipe
            and result.holds(entry.written)
            and (beside is None or beside.holds(entry.noise_map))
            and (width is None or width.holds(entry.uncertainty))
            and origin.holds(entry.source)
            for entry in self.of(target)
        )

    def is_ours(self, target: Path) -> bool:
        """Whether this package made the result and it is unchanged since; then it may be replaced."""
        result = FileOnDisk(target)
        return any(result.holds(entry.written) for entry in self.of(target))

    def is_our_map(self, target: Path, path: Path) -> bool:
        """Whether this package made the map beside a result, of noise or uncertainty, and nobody changed it since."""
        beside = FileOnDisk(path)
        maps = [one for entry in self.of(target) for one in (entry.noise_map, entry.uncertainty)]
        return any(beside.holds(one) for one in maps if one is not None)

    def add(self, entry: Entry) -> None:
        """Record a result that is about to take its name.

        Raises:
            UnwritableFileError: the disk refuses.
        """
        with self._lock:
            self._entries[entry.target].append(entry)
            if self.path.parent != self.folder:
                make_folder(self.path.parent)
            append_line(self.path, _line(entry))

    def gather(self, entry: Entry) -> None:
        """Write a line that a part has into the manifest itself; it is not kept in memory.

        Raises:
            UnwritableFileError: the disk refuses.
        """
        append_line(self.path, _line(entry))

    def name(self, target: Path) -> str:
        """How lines name a result."""
        return target.relative_to(self.folder).as_posix()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs into this folder from naming results, where the system can: network folders may not."""
        descriptor = self._lock_folder()
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _lock_folder(self) -> int | None:
        """An open descriptor that holds the lock until it is closed; None where there are no locks."""
        if fcntl is None:
            return None
        try:
            descriptor = os.open(self.folder, os.O_RDONLY)
        except OSError:
            return None
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def of(self, target: Path) -> list[Entry]:
        """The lines of a result, oldest first in each file."""
        with self._lock:
            return list(self._entries.get(self.name(target), ()))


def part_path(folder: Path, part: str) -> Path:
    """Where a part of the manifest of a folder lies."""
    return folder / PARTS_NAME / f"{part}.jsonl"


def parts(folder: Path, pattern: str = "*") -> list[Path]:
    """The parts of the manifest of a folder, those whose names match the pattern."""
    return sorted(part_path(folder, pattern).parent.glob(f"{pattern}.jsonl"))


def entries_of(target: Path, folder: Path, pattern: str) -> list[Entry]:
    """What parts of the manifest of a folder say of a result.

    Raises:
        UnreadableFileError: one cannot be read.
    """
    name = target.relative_to(folder).as_posix()
    found = (_entry(line) for path in parts(folder, pattern) for line in read_lines(path))
    return [entry for entry in found if entry is not None and entry.target == name]


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry), sort_keys=True)


def _entry(line: bytes) -> Entry | None:
    """What a line says, None where it is none of ours."""
    if len(line) > LONGEST_LINE:
        return None
    try:
        fields = json.loads(line)
        target, recipe, shape, noise_map = fields["target"], fields["recipe"], fields["shape"], fields["noise_map"]
        if not isinstance(target, str) or not isinstance(recipe, dict):
            return None
        rows, columns = (int(side) for side in shape)
        written, source = _fingerprint(fields["written"]), _fingerprint(fields["source"])
        found, width = (None if one is None else _fingerprint(one) for one in (noise_map, fields.get("uncertainty")))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
    return Entry(target, written, source, (rows, columns), recipe, found, width)


def _fingerprint(fields: Any) -> Fingerprint:
    size, sha256 = fields["bytes"], fields["sha256"]
    if not isinstance(size, int) or not isinstance(sha256, str):
        raise TypeError("not a fingerprint")
    return Fingerprint(size, sha256)
