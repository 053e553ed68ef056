"""Encapsulated Pixel Data (PS3.5 A.4): where its fragments lie, and which of them make which frame."""

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from xray_denoise.errors import AGAIN, UnreadableFileError

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
HEAD = 8
"""Bytes of an item's tag and length."""
MOST_FRAGMENTS = 100_000
"""Most items of one element. Radiographs have one a frame, or one for each 64 KiB."""


class Fragment(NamedTuple):
    """One item of Pixel Data, empty ones left out."""

    at: int
    """Where its value lies in the stream."""
    length: int
    """Bytes of its value."""


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """The value of an encapsulated Pixel Data element."""

    table: bytes
    """Of the Basic Offset Table, often empty and sometimes wrong."""
    first: int
    """Where the item behind the table begins: offsets count from here."""
    fragments: tuple[Fragment, ...]
    end: int
    """Where the next element begins."""


def encapsulated_at(stream: BinaryIO, at: int, *, order: str, path: Path) -> Encapsulated:
    """Look over the fragments of a value that begins at `at`; a missing delimiter at its end is none's loss.

    Args:
        stream: the file.
        at: where the first item begins.
        order: "<" or ">", the byte order of its heads.
        path: for messages.

    Raises:
        UnreadableFileError: a fragment is longer than the rest of the file, or there are too many.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(at)
    table, first = None, at
    fragments: list[Fragment] = []
    for _ in range(MOST_FRAGMENTS):
        start = stream.tell()
        head = stream.read(HEAD)
        group, element, length = struct.unpack(f"{order}HHL", head) if len(head) == HEAD else (0, 0, 0)
        if (group, element) != ITEM:
            end = start + HEAD if (group, element) == SEQUENCE_END else min(start, size)
            return Encapsulated(table or b"", first, tuple(fragments), end)
        value = start + HEAD
        if value + length > size:
            raise UnreadableFileError(
                f"{{path}} is truncated: {size - value} of {length} bytes of a compressed fragment",
                path=path,
                hint=AGAIN,
            )
        if table is None:
            table, first = stream.read(length), value + length
        elif length:
            fragments.append(Fragment(value, length))
        stream.seek(value + length)
    raise UnreadableFileError(f"{{path}} has more than {MOST_FRAGMENTS} compressed fragments", path=path, hint=AGAIN)


def by_frame(
    found: Encapsulated,
    frames: int,
    *,
    extended: bytes,
    begins: Callable[[Fragment], bool] | None,
    path: Path,
) -> list[Sequence[Fragment]]:
    """The fragments of each frame.

    One fragment a frame needs no table, and a wrong one does no harm. Where frames have several fragments, the first
    of these says how they go together: the Basic Offset Table, the Extended Offset Table, the marks that codestreams
    begin with. A table is believed if it names as many frames as there are, in order, each at the beginning of a
    fragment that begins a codestream.

    Args:
        found: the fragments.
        frames: Number of Frames.
        extended: the value of (7FE0,0001) *Extended Offset Table*, empty where there is none.
        begins: whether a fragment begins a codestream; None where the codec puts no mark there.
        path: for messages.

    Raises:
        UnreadableFileError: the fragments do not make as many frames.
    """
    fragments = found.fragments
    if len(fragments) == frames:
        return [(one,) for one in fragments]
    marked = None if begins is None else [at for at, one in enumerate(fragments) if begins(one)]
    by_table = len(fragments) > frames
    for offsets in (_offsets(found.table, "L"), _offsets(extended, "Q")) if by_table else ():
        starts = _starts(offsets, found, frames)
        if starts is not None and (marked is None or set(starts) <= set(marked)):
            return _split(fragments, starts)
    if by_table and marked is not None and marked[:1] == [0] and len(marked) == frames:
        return _split(fragments, marked)
    count = len(fragments) if marked is None else len(marked)
    raise UnreadableFileError(f"{{path}} holds {count} frames where its head says {frames}", path=path, hint=AGAIN)


def _offsets(table: bytes, kind: str) -> list[int]:
    """The numbers in an offset table; some writers count from the beginning of the file."""
    width = struct.calcsize(f"<{kind}")
    offsets = list(struct.unpack(f"<{len(table) // width}{kind}", table[: len(table) // width * width]))
    return [offset - offsets[0] for offset in offsets]


def _starts(offsets: list[int], found: Encapsulated, frames: int) -> list[int] | None:
    """The number of the fragment that each frame begins with, if that is what the offsets say."""
    if len(offsets) != frames:
        return None
    places = {one.at - HEAD - found.first: number for number, one in enumerate(found.fragments)}
    starts = [places.get(offset, -1) for offset in offsets]
    in_order = all(before < after for before, after in pairwise(starts))
    return starts if starts[0] == 0 and in_order else None


def _split(fragments: tuple[Fragment, ...], starts: list[int]) -> list[Sequence[Fragment]]:
    return [fragments[start:end] for start, end in zip(starts, [*starts[1:], len(fragments)], strict=True)]
