"""Files of lines that several runs append to: one write a line, and half a line of an interrupted run is skipped."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from xray_denoise.errors import UnreadableFileError, UnwritableFileError

LONGEST_LINE = 2**16
"""Bytes of a line that is read; ours have less than two thousand, but for long names."""
LARGEST = 2**30
"""Bytes of the largest manifest that is read: a million results."""


def append_line(path: Path, line: str) -> None:
    """Add a line in one write; it never shares a line with the half one of an interrupted run.

    Raises:
        UnwritableFileError: the disk refuses, or it is no plain file.
    """
    try:
        with _opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else f"\n{line}"
            stream.write(f"{line}\n".encode())
    except OSError as error:
        raise UnwritableFileError(
            f"cannot write {{path}}: {error.strerror}",
            path=path,
            hint="check the permissions of the folder and the space on the disk",
        ) from error


def read_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """The whole lines of a file of lines behind a byte, none where there is no file.

    Raises:
        UnreadableFileError: it is there and cannot be read.
    """
    try:
        with _opened(path, os.O_RDONLY) as stream:
            stream.seek(start)
            yield from _whole_lines(stream)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnreadableFileError(
            f"cannot read {{path}}: {error.strerror}",
            path=path,
            hint="check its permissions, or choose another output folder",
        ) from error


def lines_of(path: Path) -> Iterator[str]:
    """The whole lines of a file that `append_line` wrote, without their ends; none of a file that is not there.

    Raises:
        UnwritableFileError: it is there, and is no such file.
    """
    try:
        with _opened(path, os.O_RDONLY) as stream:
            for line in _whole_lines(stream):
                yield line.decode().rstrip("\n")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise UnwritableFileError(
            "cannot continue the list {path}", path=path, hint="remove it, or choose another folder", option="target"
        ) from error


def _whole_lines(stream: BinaryIO) -> Iterator[bytes]:
    """All complete lines; an interrupted run may have left half of one.

    Of a line that is too long, pieces are given that are too long as well.
    """
    while line := stream.readline(2 * LONGEST_LINE):
        if not line.endswith(b"\n") and len(line) < 2 * LONGEST_LINE:
            return
        yield line


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[BinaryIO]:
    """Open a regular file, without following links or waiting for pipes."""
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o666), "r+b" if flags & os.O_RDWR else "rb", buffering=2**16) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(0, "it is not a plain file")
        if os.fstat(stream.fileno()).st_size > LARGEST:
            raise OSError(0, f"it has more than {LARGEST // 2**30} GiB")
        yield stream
