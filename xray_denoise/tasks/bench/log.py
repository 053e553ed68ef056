"""Measurements in a JSON-lines file, so that an interrupted run keeps what it has."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import xray_denoise
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError
from xray_denoise.physics.noise import NoiseLevel

LINE_START = b'{"method": "'
"""How each line of the log begins."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One denoiser on one image, or patch of one, at one noise level."""

    method: str
    """Title of the entry."""
    eta: float
    sigma: float
    image: str
    psnr: float
    snr: float
    ssim: float
    ssim_paper: float
    seconds: float
    """Wall time of the call, the median where it was repeated."""
    level: NoiseLevel | None = None
    """The noise level that the denoiser believed in, where it has such a notion."""


@dataclass(frozen=True, slots=True)
class Key:
    """What decides a measurement: equal keys, equal results (but for the time)."""

    denoiser: str
    image_sha256: str
    """Of the clean pixels that were measured: of the patch where it was one."""
    eta: float
    sigma: float
    seed: int
    version: str = xray_denoise.__version__


class Log:
    """Measurements in a JSON-lines file, each appended as it comes, whichever table they are for.

    A last line that was cut off by a kill is dropped. An infinite value is written as null, a value of minus
    infinity as "-inf".

    Args:
        path: the file; None keeps nothing.
        resume: go on with a file that exists.
        with_levels: refuse a file of a version that did not keep the estimated noise levels.

    Raises:
        UsageError: the file exists and `resume` is not set, or it lacks the noise levels.
        UnreadableFileError: a line that is not the last is no measurement.
        UnwritableFileError: the file cannot be written.
    """

    def __init__(self, path: Path | None = None, *, resume: bool = False, with_levels: bool = False) -> None:
        self._path = path
        self._known: dict[Key, Measurement] = {}
        if path is None:
            return
        if path.exists() and not resume:
            raise UsageError(f"{path} exists", hint="add --resume to go on with it, or name another file")
        try:
            if path.exists():
                self._read(path, with_levels)
            path.touch()
        except OSError as error:
            raise UnwritableFileError(f"cannot write {path}: {error.strerror}") from error

    def get(self, key: Key) -> Measurement | None:
        """Return the measurement of `key` if the file has it."""
        return self._known.get(key)

    def add(self, key: Key, measurement: Measurement) -> None:
        """Append one line."""
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_writable(asdict(measurement) | asdict(key)), allow_nan=False) + "\n")
        except OSError as error:
            raise UnwritableFileError(f"cannot write {self._path}: {error.strerror}") from error

    def _read(self, path: Path, with_levels: bool) -> None:
        *lines, rest = path.read_bytes().split(b"\n")
        if not LINE_START.startswith(rest[: len(LINE_START)]):
            lines.append(rest)
        for number, line in enumerate(lines, start=1):
            try:
                values = json.loads(line)
                key, measurement = _parsed(values)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise UnreadableFileError(
                    f"line {number} of {path} is not a measurement", hint="name another file"
                ) from error
            if with_levels and "level" not in values:
                raise UsageError(
                    f"{path} was written by a version that did not keep the estimated noise levels",
                    hint="name another file; the other tables can go on with this one",
                )
            self._known[key] = measurement
        with path.open("r+b") as file:
            file.truncate(sum(len(line) + 1 for line in lines))


def _writable(record: dict[str, Any]) -> dict[str, Any]:
    special = {math.inf: None, -math.inf: "-inf"}
    return {
        name: _writable(value) if isinstance(value, dict) else special.get(value, value)
        for name, value in record.items()
    }


def _parsed(line: dict[str, Any]) -> tuple[Key, Measurement]:
    values = {name: _number(value) for name, value in line.items()}
    level = line.get("level")
    values["level"] = level and NoiseLevel(_number(level["eta"]), level["sigma"])
    key = Key(**{field.name: values[field.name] for field in fields(Key)})
    return key, Measurement(**{field.name: values[field.name] for field in fields(Measurement)})


def _number(value: Any) -> Any:
    return math.inf if value is None else -math.inf if value == "-inf" else value
