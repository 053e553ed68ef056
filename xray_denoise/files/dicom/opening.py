"""Open a DICOM file once, within the limits of `guard`.

pydicom parses the data set; this module decides where that begins, in which encoding, and where it stops for the
pixels. Whatever follows (layout, decoding, deriving) uses the object that was opened.
"""

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset
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
from xray_denoise.files.dicom.guard import (
    DOUBLE_PIXELS,
    FLOAT_PIXELS,
    PIXELS,
    LimitedStream,
    count_nested,
    inflate,
)
from xray_denoise.files.dicom.layout import Layout, fact

PREAMBLE = 132
"""Bytes of a PS3.10 file before (0002,0000): 128 of anything, and `DICM`."""
META_GROUP, COMMAND_GROUP, DIRECTORY_GROUP = 0x0002, 0x0000, 0x0004
SOP_CLASS = 0x00080016
LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations whose length takes four bytes of its own (PS3.5 table 7.1-1)."""
SYNTAXES_OF_WORDS = ("", ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where (7FE0,0010) *Pixel Data* lies in a stream."""

    at: int
    """Of its value."""
    length: int
    """Bytes of its value, `UNDEFINED_LENGTH` where it is encapsulated."""
    available: int
    """Bytes of a value of known length that are there."""
    in_swapped_words: bool
    """Whether it is OW in Big Endian: the bytes of each 16-bit word are swapped, so 8-bit pixels are swapped in pairs
    (PS3.5 table 6.2-1)."""
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
        stream = LimitedStream(file, os.fstat(file.fileno()).st_size, [0, 0])
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
    """The SOP class that the data set names, or else the file's head; empty where neither does."""
    with path.open("rb") as file:
        stream = LimitedStream(file, os.fstat(file.fileno()).st_size, [0, 0])
        meta, stream, syntax = _heads(path, stream)
        implicit, little = _encoding(stream, syntax)
        head = read_dataset(
            stream.binary,
            implicit,
            little,
            stop_when=lambda tag, *_: tag > SOP_CLASS or tag >> 16 == DIRECTORY_GROUP,
        )
    return str(fact(head, "SOPClassUID") or fact(meta, "MediaStorageSOPClassUID") or "")


def _parsed(path: Path, stream: LimitedStream) -> OpenedFile:
    meta, stream, syntax = _heads(path, stream)
    implicit, little = _encoding(stream, syntax)
    tags = (PIXELS, FLOAT_PIXELS, DOUBLE_PIXELS)
    found = read_dataset(stream.binary, implicit, little, stop_when=lambda tag, *_: tag in tags)
    tag, pixels = _pixel_element(stream, implicit=implicit, order="<" if little else ">", path=path)
    if pixels is not None:
        behind = read_dataset(stream.binary, implicit, little)
        for other in behind:
            found[other.tag] = behind.get_item(other.tag) if isinstance(other.tag, BaseTag) else other
        found.pop(PIXELS, None)
    count_nested(found, stream)
    if syntax in SYNTAXES_OF_WORDS:
        syntax = _native_syntax(implicit=implicit, little=little)
    meta.TransferSyntaxUID = syntax
    header = FileDataset(path, found, None, meta, implicit, little)
    header.set_original_encoding(implicit, little, found.original_character_set)
    is_float = tag in (FLOAT_PIXELS, DOUBLE_PIXELS)
    return OpenedFile(path, stream.unlimited, header, syntax, little, pixels if tag == PIXELS else None, is_float)


def _heads(path: Path, stream: LimitedStream) -> tuple[FileMetaDataset, LimitedStream, UID]:
    """Group 0002, the stream that is then at the data set, inflated if need be, and the syntax of this stream."""
    meta = _file_meta(stream)
    syntax = UID(str(fact(meta, "TransferSyntaxUID") or ""))
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = stream.over(inflate(stream, path))
        syntax = ExplicitVRLittleEndian
    if _peek(stream, 2) == b"\0\0":
        read_dataset(stream.binary, True, True, stop_when=lambda tag, *_: tag >> 16 != COMMAND_GROUP)
    return meta, stream, syntax


def _peek(stream: LimitedStream, size: int) -> bytes:
    start = stream.tell()
    found = stream.read(size)
    stream.seek(start)
    return found


def _file_meta(stream: LimitedStream) -> FileMetaDataset:
    """Group 0002, with or without a preamble before it; `stream` is then at the data set."""
    stream.seek(PREAMBLE if _peek(stream, PREAMBLE)[128:] == b"DICM" else 0)
    implicit = not _is_vr(_peek(stream, 6)[4:])
    return FileMetaDataset(
        read_dataset(stream.binary, implicit, True, stop_when=lambda tag, *_: tag >> 16 != META_GROUP)
    )


def _encoding(stream: LimitedStream, syntax: UID) -> tuple[bool, bool]:
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
    stream: LimitedStream, *, implicit: bool, order: str, path: Path
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
    swapped = order == ">" and head[4:6] == b"OW"
    return group << 16 | element, PixelElement(at, length, min(length, end - at), swapped, encapsulated)


def refuse_wrong_length(pixels: PixelElement, layout: Layout, path: Path) -> None:
    """Uncompressed pixels must be as many as the head says, and all there.

    The byte that pads an odd number of them is no frame, even where a frame is no longer.
    """
    if pixels.encapsulated is not None:
        raise UnreadableFileError(
            "{path} has compressed pixels, but its transfer syntax is an uncompressed one",
            path=path,
            hint=AGAIN,
        )
    expected = layout.frame_bytes * layout.frames
    if pixels.length >= expected + expected % 2 + layout.frame_bytes:
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
