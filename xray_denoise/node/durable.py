"""What survives a power cut: a small database, files that are on the disk, and growing pauses between tries."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xray_denoise.errors import CannotRunError, UnwritableFileError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds before a second try, and at most; each pause is twice the one before."""
MOST_STARTS = 10
"""Work that was begun so often and never came to an end is what ends the process: it is not begun again."""
PATIENCE = 30.0
"""Seconds that the database waits for another program that reads it."""


class Database:
    """An SQLite file whose commits are on the disk when they return, shared by the threads of a process.

    A rollback journal, for it also works on network shares; synchronous = EXTRA, for FULL may lose the last commit to
    a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous).

    Raises:
        CannotRunError: the file is damaged, or made by a later version.
        UnwritableFileError: the folder may not be written, or its disk is full.
    """

    def __init__(self, path: Path, schema: str, version: int = 1) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            path.touch(0o600)  # for its owner only, whatever the folder
            self._connection = sqlite3.connect(path, PATIENCE, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise self._unwritable(error) from error
        try:
            self._open(schema, version)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise self._unwritable(error) from error
            if isinstance(error, sqlite3.DatabaseError):
                raise CannotRunError(
                    "{path} is damaged",
                    path=path,
                    hint="move the folder away and keep it: what is in it can be sent again",
                ) from error
            raise

    def _open(self, schema: str, version: int) -> None:
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = DELETE", "synchronous = EXTRA", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found not in (0, version):
            raise CannotRunError(
                "{path} was made by another version", path=self.path, hint="empty it with that one, or take another"
            )
        self._connection.executescript(schema)
        self._connection.execute(f"PRAGMA user_version = {version}")

    def _unwritable(self, error: sqlite3.Error | OSError) -> UnwritableFileError:
        return UnwritableFileError(
            f"cannot write {{path}}: {error}", path=self.path, hint="check the permissions of the folder and its disk"
        )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in the block is on the disk when it ends, or nothing.

        Raises:
            sqlite3.Error: the disk is full, or fails.
        """
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row, 1 or more."""
    return float(min(FIRST_PAUSE * 2.0 ** (min(failures, 30) - 1), LONGEST_PAUSE))


def sync_file(path: Path) -> None:
    """Have the content of a file on the disk.

    Raises:
        OSError: the disk refuses.
    """
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Have the names of a folder on the disk; where folders cannot be opened (Windows), the system sees to it.

    Raises:
        OSError: the disk refuses.
    """
    if os.name != "nt":
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_folder(folder: Path, what: str, name: str) -> int | None:
    """Keep other processes from working in a folder until this one ends, however it ends.

    Args:
        folder: gets a file for it.
        what: the folder is, for the message.
        name: of that file.

    Returns:
        An open descriptor that holds the lock; None where there are no locks.

    Raises:
        CannotRunError: another process works there.
        UnwritableFileError: the folder may not be written.
    """
    if fcntl is None:
        return None
    path = folder / name
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UnwritableFileError(
            f"cannot write {{path}}: {error.strerror}", path=path, hint="check the permissions of the folder"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise CannotRunError(
            f"another process works in {{path}}, {what}", path=folder, hint="stop it, or choose another folder"
        ) from error
    return descriptor
