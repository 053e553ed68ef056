"""Atomic writing: a file appears whole or not at all."""

import itertools
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from xray_denoise.errors import ExistingFileError, UnwritableFileError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

PARTIAL_PREFIX, PARTIAL_SUFFIX = ".xray-denoise-", ".part"
_NUMBERS = itertools.count()
"""One for each file: a noise map is written while its result is, in the same thread and folder."""
_PROCESS = secrets.token_hex(4)
"""Tells processes of several machines apart, which may have the same numbers."""


def is_partial(name: str) -> bool:
    """Whether a file has the name of an unfinished one, as a killed run may leave behind."""
    return name.startswith(PARTIAL_PREFIX) and name.endswith(PARTIAL_SUFFIX)


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove unfinished files of killed runs from folders; files of running processes are locked and stay."""
    if fcntl is None:
        return
    for folder in set(folders):
        with suppress(OSError):
            for path in [path for path in folder.iterdir() if is_partial(path.name)]:
                with suppress(OSError), open(path, "rb", opener=_plain) as stream:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()


@contextmanager
def atomic_write(
    target: Path,
    *,
    source: Path | None,
    before_rename: Callable[[Path], None] | None = None,
    replace: bool = True,
) -> Iterator[BinaryIO]:
    """Open `target` for writing; it takes its name only when the block ends without an error.

    Args:
        target: the file to make or replace; its folder must exist.
        source: the file that must never be written over.
        before_rename: called with a path to read the finished file by, just before it takes its name.
        replace: whether it may take the place of a file of that name, also of one that appears meanwhile.

    Raises:
        UnwritableFileError: the folder is missing, the disk refuses, or `target` is the source.
        ExistingFileError: there is a file of that name, and `replace` is false.
    """
    if source is not None and _same_file(source, target):
        raise UnwritableFileError(
            "{path} is the image being read",
            path=target,
            hint="choose another name or folder: originals are never overwritten",
        )
    name = f"{PARTIAL_PREFIX}{_PROCESS}-{os.getpid()}-{threading.get_ident()}-{next(_NUMBERS)}{PARTIAL_SUFFIX}"
    partial = target.with_name(name)
    held = None
    try:
        if target.is_dir():
            raise UnwritableFileError("{path} is a folder", path=target, hint="name a file inside it")
        if not target.parent.is_dir():
            raise UnwritableFileError(
                "cannot write {path}: there is no folder for it",
                path=target,
                hint="make the folder, or choose another",
            )
        nameless = _nameless(target.parent)
        with nameless or _named(partial) as stream:
            held = _held(stream)
            yield stream
            stream.flush()
            if before_rename:
                before_rename(Path(f"/proc/self/fd/{stream.fileno()}") if nameless else partial)
            if nameless:
                _give_name(nameless, partial)
        if replace:
            partial.replace(target)
        else:
            _take_free_name(partial, target)
    except OSError as error:
        raise UnwritableFileError(
            f"cannot write {{path}}: {error.strerror or type(error).__name__}",
            path=target,
            hint="check the name, the permissions of the folder and the space on the disk",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


def write_bytes(content: bytes, target: Path, *, replace: bool = True) -> None:
    """Write or replace a file, whole or not at all.

    Raises:
        UnwritableFileError: the folder is missing or the disk refuses.
        ExistingFileError: there is a file of that name, and `replace` is false.
    """
    with atomic_write(target, source=None, replace=replace) as stream:
        stream.write(content)


def _nameless(folder: Path) -> BinaryIO | None:
    """A new file without a name, which vanishes if this process is killed; None where the system has none."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.fdopen(os.open(folder, flag | os.O_RDWR, 0o666), "w+b")
    except OSError:  # many network file systems; what else is wrong will show when the named file is opened
        return None


def _named(partial: Path) -> BinaryIO:
    """A new file that has a name while it is written."""
    stream = partial.open("w+b")
    _lock(stream)
    if not os.fstat(stream.fileno()).st_nlink:  # taken for abandoned before it was locked
        stream.close()
        return partial.open("w+b")
    return stream


def _lock(stream: BinaryIO) -> None:
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)


def _held(stream: BinaryIO) -> int | None:
    """Lock an unfinished file until the descriptor that is returned is closed; None where there are no locks."""
    if fcntl is None:
        return None
    _lock(stream)
    return os.dup(stream.fileno())


def _plain(path: str, flags: int) -> int:
    """Open a regular file for reading, without following links or waiting for pipes."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _give_name(stream: BinaryIO, name: Path) -> None:
    name.unlink(missing_ok=True)
    # src_dir_fd, though the path is absolute, makes Python call linkat, which alone follows this link
    os.link(f"/proc/self/fd/{stream.fileno()}", name, src_dir_fd=stream.fileno())


def _take_free_name(partial: Path, target: Path) -> None:
    """Rename a file, unless another one has the new name: a link is made only where there is no file."""
    taken = ExistingFileError(
        "{path} exists already", path=target, hint="skip or overwrite it, or choose another output", option="existing"
    )
    try:
        os.link(partial, target, follow_symlinks=False)
    except FileExistsError:
        raise taken from None
    except (OSError, NotImplementedError):  # a file system without links: an empty file reserves the name
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            raise taken from None
        partial.replace(target)


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False
