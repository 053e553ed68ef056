"""Open a DICOM file once, with limits on time and memory.

pydicom parses the data set; this module decides where that begins, in which encoding, where it stops for the pixels,
and how much of it there may be. Whatever follows (layout, decoding, deriving) uses the object that was opened.
"""

import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from xray_denoise.errors import AGAIN, UnreadableFileError
from xray_denoise.files.dicom.fragments import UNDEFINED_LENGTH, Encapsulated, encapsulated_at
from xray_denoise.files.dicom.layout import Layout, fact

PREAMBLE = 132
"""Bytes of a PS3.10 file before (0002,0000): 128 of anything, and `DICM`."""
MOST_INFLATED_BYTES, MOST_INFLATED_HEAD = 256 << 20, 16 << 20
"""Largest data set in the deflated syntax, which has to be held in memory, and most of it that is no pixels."""
MOST_READS = 30_000
"""Most calls of `read` while the elements of a file are parsed. An element takes one to three, an empty item three:
at least 10 000 of either, where radiographs have some hundreds. An item costs 60 us and 1.5 kB."""
MOST_BYTES = 256 << 20
"""Most bytes of elements other than pixels. Some devices keep a second image in a private one."""
LONGEST_CHARACTER_SET = 1024
"""Bytes of (0008,0005) *Specific Character Set*: pydicom spends 0.1 ms on each name that it does not know."""
PIXELS, FLOAT_PIXELS, DOUBLE_PIXELS = 0x7FE00010, 0x7FE00008, 0x7FE00009
META_GROUP, COMMAND_GROUP = 0x0002, 0x0000
CHARACTER_SET = (b"\x08\x00\x05\x00", b"\x00\x08\x00\x05")
ITEM = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations whose length takes four bytes of its own (PS3.5 table 7.1-1)."""
SYNTAXES_OF_WORDS = ("", ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


class _Limited(io.RawIOBase):
    """A stream that limits the number of reads and of bytes."""

    def __init__(self, stream: BinaryIO, size: int, spent: list[int]) -> None:
        """Limit a stream of `size` bytes, of which `spent` counts reads and bytes."""
        super().__init__()
        self.unlimited, self._size, self._spent, self._last = stream, size, spent, b""

    def over(self, other: io.BytesIO) -> "_Limited":
        """A stream of other bytes whose reads count as this one's."""
        return _Limited(other, other.getbuffer().nbytes, self._spent)

    @property
    def is_spent(self) -> bool:
        return self._spent[0] > MOST_READS or self._spent[1] > MOST_BYTES

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self.unlimited.tell())
        size = left if size < 0 else min(size, left)
        self._spent[0] += 1
        self._spent[1] += size
        if self.is_spent:
            raise ValueError("too many elements")
        if size > LONGEST_CHARACTER_SET and self._last in CHARACTER_SET:
            raise ValueError("a character set has too many names")
        found = self.unlimited.read(size)
        if size != 4:  # the length behind tag and VR
            self._last = found[:4]
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self.unlimited.seek(offset, whence)

    def tell(self) -> int:
        return self.unlimited.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where (7FE0,0010) *Pixel Data* lies in a stream."""

    at: int
    """Of its value."""
    length: int
    """Bytes of its value, `UNDEFINED_LENGTH` where it is encapsulated."""
    available: int
    """Bytes of a value of known length that are there."""
    encapsulated: Encapsulated | None


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An open DICOM file, parsed up to its pixels."""

    path: Path
    stream: BinaryIO
    """What `pixels` refers to: the file, or what a deflated one inflates to."""
    header: FileDataset
    """Every element but the pixels. Its file head names `syntax`."""
    syntax: UID
    """How the pixels are encoded. A deflated data set, once inflated, is Explicit VR Little Endian; uncompressed files
    are in the encoding that their first element shows, whatever their head says of it."""
    little_endian: bool
    """The byte order in which the data set was found."""
    pixels: PixelElement | None
    has_float_pixels: bool


@contextmanager
def opened(path: Path) -> Iterator[OpenedFile]:
    """Open a DICOM file and parse everything but its pixels.

    Raises:
        UnreadableFileError: it has too many elements, or inflates to too much, or its last fragment is cut.
        Exception: anything, where it is damaged; see `as_unreadable`.
    """
    with path.open("rb") as file:
        stream = _Limited(file, os.fstat(file.fileno()).st_size, [0, 0])
        try:
            found = _parsed(path, stream)
        except Exception:
            if stream.is_spent:
                raise UnreadableFileError(
                    "{path} has far more elements and items, or longer ones, than any radiograph",
                    path=path,
                    hint="export it without private groups if it is genuine",
                ) from None
            raise
        yield found


def sop_class(path: Path) -> str:
    """The SOP class that the file's head names, or else its data set; empty where neither does."""
    with path.open("rb") as file:
        stream = _Limited(file, os.fstat(file.fileno()).st_size, [0, 0])
        meta = _file_meta(stream)
        uid = fact(meta, "MediaStorageSOPClassUID")
        if not meta:
            implicit, little = _encoding(stream, UID(""))
            head = read_dataset(_io(stream), implicit, little, stop_when=lambda tag, *_: tag > 0x00080016)
            uid = fact(head, "SOPClassUID")
    return str(uid or "")


def _parsed(path: Path, stream: _Limited) -> OpenedFile:
    meta = _file_meta(stream)
    syntax = UID(str(fact(meta, "TransferSyntaxUID") or ""))
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = stream.over(_inflated(stream, path))
        syntax = ExplicitVRLittleEndian
    if _peek(stream, 2) == b"\0\0":
        read_dataset(_io(stream), True, True, stop_when=lambda tag, *_: tag >> 16 != COMMAND_GROUP)
    implicit, little = _encoding(stream, syntax)
    tags = (PIXELS, FLOAT_PIXELS, DOUBLE_PIXELS)
    found = read_dataset(_io(stream), implicit, little, stop_when=lambda tag, *_: tag in tags)
    tag, pixels = _pixel_element(stream, implicit=implicit, order="<" if little else ">", path=path)
    if pixels is not None:
        behind = read_dataset(_io(stream), implicit, little)
        for other in behind:
            found[other.tag] = behind.get_item(other.tag) if isinstance(other.tag, BaseTag) else other
        found.pop(PIXELS, None)
    _count_nested(found, stream)
    if syntax in SYNTAXES_OF_WORDS:
        syntax = _native_syntax(implicit=implicit, little=little)
    meta.TransferSyntaxUID = syntax
    header = FileDataset(path, found, None, meta, implicit, little)
    header.set_original_encoding(implicit, little, found.original_character_set)
    is_float = tag in (FLOAT_PIXELS, DOUBLE_PIXELS)
    return OpenedFile(path, stream.unlimited, header, syntax, little, pixels if tag == PIXELS else None, is_float)


def _io(stream: _Limited) -> BinaryIO:
    return cast(BinaryIO, stream)


def _peek(stream: _Limited, size: int) -> bytes:
    start = stream.tell()
    found = stream.read(size)
    stream.seek(start)
    return found


def _file_meta(stream: _Limited) -> FileMetaDataset:
    """Group 0002, with or without a preamble before it; `stream` is then at the data set."""
    stream.seek(PREAMBLE if _peek(stream, PREAMBLE)[128:] == b"DICM" else 0)
    implicit = not _is_vr(_peek(stream, 6)[4:])
    return FileMetaDataset(read_dataset(_io(stream), implicit, True, stop_when=lambda tag, *_: tag >> 16 != META_GROUP))


def _encoding(stream: _Limited, syntax: UID) -> tuple[bool, bool]:
    """Whether the data set at `stream` is in Implicit VR, and whether in Little Endian: what its first element shows.

    pydicom does the same where the head names another VR than the data set shows, or no syntax.
    """
    head = _peek(stream, 6)
    if len(head) < 6:
        return syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    explicit = _is_vr(head[4:])
    little = syntax != ExplicitVRBigEndian
    if explicit and syntax in SYNTAXES_OF_WORDS:
        little = struct.unpack("<H", head[:2])[0] < 0x0400
    return not explicit, little or not explicit


def _is_vr(two: bytes) -> bool:
    """Whether two bytes are a value representation, by the rule of pydicom."""
    return len(two) == 2 and all(0x40 < letter < 0x5B for letter in two)


def _native_syntax(*, implicit: bool, little: bool) -> UID:
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else explicit


def _pixel_element(
    stream: _Limited, *, implicit: bool, order: str, path: Path
) -> tuple[int | None, PixelElement | None]:
    """The element at which parsing stopped, and where its value lies; `stream` is then behind it."""
    head = stream.read(8)
    if len(head) < 8:
        return None, None
    group, element, length = struct.unpack(f"{order}HHL", head)
    if not implicit and head[4:6] in LONG_VRS:
        (length,) = struct.unpack(f"{order}L", stream.read(4).ljust(4, b"\0"))
    elif not implicit and _is_vr(head[4:6]):
        (length,) = struct.unpack(f"{order}H", head[6:])
    at = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    encapsulated = None
    if length == UNDEFINED_LENGTH:
        encapsulated = encapsulated_at(stream.unlimited, at, order=order, path=path)
        stream.seek(encapsulated.end)
    else:
        stream.seek(min(at + length, end))
    return group << 16 | element, PixelElement(at, length, min(length, end - at), encapsulated)


def is_sequence(element: RawDataElement) -> bool:
    """Whether an element that was not looked into holds items."""
    if not element.value:
        return False
    if element.VR in ("UN", None):
        known = dictionary_has_tag(element.tag) and dictionary_VR(element.tag) == "SQ"
        return known or bytes(element.value[:4]) in ITEM
    return element.VR == "SQ"


def _count_nested(dataset: Dataset, stream: _Limited) -> None:
    """Count what pydicom will read when somebody looks into the sequences of known length."""
    for tag in list(dataset.keys()):
        element: Any = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            if not is_sequence(element):
                continue
            implicit = element.is_implicit_VR or element.VR == "UN"
            value = bytes(element.value or b"")
            inner = stream.over(io.BytesIO(value))
            try:
                items = read_sequence(
                    _io(inner), implicit, element.is_little_endian, len(value), dataset.original_character_set
                )
            except Exception:
                if stream.is_spent or inner.is_spent:
                    raise
                continue  # damage matters to whom needs the element
        elif element.VR == "SQ":
            items = element.value
        else:
            continue
        for item in items:
            _count_nested(item, stream)


def _inflated(stream: _Limited, path: Path) -> io.BytesIO:
    """The data set of a deflated file from where `stream` is, no more of it than its head says and needs."""
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO()

    def grow(most: int) -> bool:
        """Inflate up to `most` bytes; whether there are more."""
        while inflated.tell() <= most and not inflater.eof:
            waiting = inflater.unconsumed_tail or stream.read(1 << 16)
            if not waiting:
                return False
            inflated.write(inflater.decompress(waiting, 1 << 20))
        return inflated.tell() > most

    most = MOST_INFLATED_HEAD
    if grow(most):
        most = min(most + _pixel_bytes(_Limited(inflated, inflated.tell(), [0, 0])), MOST_INFLATED_BYTES)
        inflated.seek(0, io.SEEK_END)
        if grow(most):
            raise UnreadableFileError(
                f"{{path}} inflates to more than {most >> 20} MiB, far more than its pixels need",
                path=path,
                hint="if it is genuine, export it uncompressed",
            )
    inflated.seek(0)
    return inflated


def _pixel_bytes(limited: _Limited) -> int:
    """Bytes of pixels by the head of a data set of which there is only the beginning; 0 where that does not tell."""
    limited.seek(0)
    head = read_dataset(_io(limited), False, True, stop_when=lambda tag, *_: tag >= FLOAT_PIXELS)
    try:
        sides = [int(fact(head, keyword) or 0) for keyword in ("Rows", "Columns", "BitsAllocated")]
        return math.prod(sides) // 8 * int(fact(head, "NumberOfFrames") or 1)
    except (TypeError, ValueError):
        return 0


def refuse_wrong_length(pixels: PixelElement, layout: Layout, path: Path) -> None:
    """Uncompressed pixels must be as many as the head says, and all there."""
    if pixels.encapsulated is not None:
        raise UnreadableFileError(
            "{path} has compressed pixels, but its transfer syntax is an uncompressed one",
            path=path,
            hint=AGAIN,
        )
    expected = layout.frame_bytes * layout.frames
    if pixels.length >= expected + layout.frame_bytes:
        raise UnreadableFileError(
            f"{{path}} holds {pixels.length // layout.frame_bytes} frames where its head says {layout.frames}",
            path=path,
            hint=AGAIN,
        )
    if pixels.available < expected:
        raise UnreadableFileError(
            f"{{path}} is truncated: {pixels.available} of {expected} bytes of pixels",
            path=path,
            hint=AGAIN,
        )
