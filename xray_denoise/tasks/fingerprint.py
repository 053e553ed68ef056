"""Size and SHA-256 of files, by which a result and its source are recognised."""

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xray_denoise.errors import UnreadableFileError

LARGEST_FILE = 2**33
"""Bytes of the largest file that is read or hashed: twice what a DICOM file can hold in pixels."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Size and hash of a file."""

    bytes: int
    sha256: str


def refuse_huge(path: Path) -> None:
    """Refuse a file that is larger than any radiograph.

    Raises:
        UnreadableFileError: it is.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise UnreadableFileError(
            f"{{path}} has more than {LARGEST_FILE // 2**30} GiB", path=path, hint="no radiograph is that large"
        )


def fingerprint(path: Path) -> Fingerprint:
    """Size and SHA-256 of a file.

    Raises:
        UnreadableFileError: it cannot be read, is too large for a radiograph, or changes meanwhile.
    """
    try:
        refuse_huge(path)
        before = path.stat()
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            after = os.fstat(stream.fileno())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise UnreadableFileError(
            f"cannot read {{path}}: {reason}", path=path, hint="check the name and its permissions"
        ) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UnreadableFileError("{path} changed while it was read", path=path, hint="try again when it is complete")
    return Fingerprint(after.st_size, digest)


class FileOnDisk:
    """A file that may be what a line says; it is hashed once at most, and only if its size is right."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size: int | None = None
        self._sha256 = ""
        with suppress(OSError, ValueError):
            place = path.stat()
            self._size = place.st_size if stat.S_ISREG(place.st_mode) else -1

    def holds(self, recorded: Fingerprint | None) -> bool:
        """Whether the file has the recorded content; None stands for no file."""
        if recorded is None or self._size is None:
            return recorded is None and self._size is None
        if self._size != recorded.bytes:
            return False
        self._sha256 = self._sha256 or fingerprint(self._path).sha256
        return self._sha256 == recorded.sha256
