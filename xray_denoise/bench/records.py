"""Measurements as records in a file of JSON lines, so that an interrupted run can be resumed."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError

LINE_START = b'{"row": "'
"""How each line of a log begins."""


@dataclass(frozen=True, slots=True)
class Record:
    """The measurement of one row on one case."""

    row: str
    """Its title."""
    image: str
    noise: str
    """Label of the case."""
    repeat: int = 0
    """Number of the round, where a case is measured in several."""
    values: Mapping[str, float | None] = field(default_factory=dict)
    """By the names of metrics; None where the method has no such value."""
    failure: str = ""
    """Why there are no values."""
    key: str = field(default="", compare=False)
    """What decides the values, and the version of this package: equal keys, equal values (but for the time)."""

    def line(self) -> str:
        """The record as one line of JSON; infinite values are the texts "inf" and "-inf"."""
        finite = {name: value is None or math.isfinite(value) for name, value in self.values.items()}
        values = {name: value if finite[name] else str(value) for name, value in self.values.items()}
        return json.dumps(asdict(self) | {"values": values})

    @classmethod
    def from_line(cls, line: str | bytes) -> "Record":
        """The record that `line` wrote.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: it is none.
        """
        found = json.loads(line)
        values = {name: None if value is None else float(value) for name, value in found["values"].items()}
        return cls(**{**found, "values": values})


class Log:
    """Records in a file of JSON lines, each appended as it comes, whichever table it is for.

    A last line that was cut off by a kill is dropped.

    Args:
        path: the file; None keeps nothing.
        resume: continue a file that exists.
        replace: empty a file that exists.

    Raises:
        UsageError: the file exists, and it is neither to be resumed nor to be replaced.
        UnreadableFileError: a line that is not the last is no record.
        UnwritableFileError: the file cannot be written.
    """

    def __init__(self, path: Path | None = None, *, resume: bool = False, replace: bool = False) -> None:
        self._path = path
        self._known: dict[str, Record] = {}
        if path is None:
            return
        if path.exists() and not (resume or replace):
            raise UsageError("{path} exists", path=path, hint="continue it, or name another file", option="resume")
        try:
            if path.exists() and resume:
                self._read(path)
            else:
                path.write_bytes(b"")
        except OSError as error:
            raise UnwritableFileError(f"cannot write {{path}}: {error.strerror}", path=path) from error

    def get(self, wanted: str, metrics: Iterable[str] = ()) -> Record | None:
        """The record of a key, if the file has it with a value for each of `metrics`."""
        found = self._known.get(wanted)
        return found if found and not found.failure and found.values.keys() >= set(metrics) else None

    def count(self, start: str) -> int:
        """How many keys begin with `start`."""
        return sum(one.startswith(start) for one in self._known)

    def add(self, record: Record) -> None:
        """Append one line."""
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(record.line() + "\n")
        except OSError as error:
            raise UnwritableFileError(f"cannot write {{path}}: {error.strerror}", path=self._path) from error

    def _read(self, path: Path) -> None:
        *lines, rest = path.read_bytes().split(b"\n")
        if not LINE_START.startswith(rest[: len(LINE_START)]):
            lines.append(rest)
        for number, line in enumerate(lines, start=1):
            try:
                record = Record.from_line(line)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UnreadableFileError(
                    f"line {number} of {{path}} is not a record of this benchmark", path=path, hint="name another file"
                ) from error
            self._known[record.key] = record
        with path.open("r+b") as file:
            file.truncate(sum(len(line) + 1 for line in lines))
