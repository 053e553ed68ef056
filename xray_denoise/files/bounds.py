"""Refuse DICOM files that hold less than their heads say, or more than a radiograph has room for.

What a head says is not believed until it is checked; that comes before anything is decoded, and costs little memory.
"""

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from xray_denoise.errors import UnreadableFileError
from xray_denoise.files import codecs, survey
from xray_denoise.files.layout import Layout

META_START = 144
"""Bytes before the first element that (0002,0000) *File Meta Information Group Length* counts."""
MOST_INFLATED_BYTES = 256 << 20
"""Largest data set in the deflated syntax, which has to be held in memory."""
MOST_ELEMENTS = 100_000
"""Most elements and items before the pixels; radiographs have some hundreds."""
PIXELS = 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF


def has_preamble(path: Path) -> bool:
    """Whether the file begins as PS3.10 wants it to, rather than with the data set itself."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def refuse_too_many_elements(path: Path) -> None:
    """Elements and items cost a thousand times their bytes in memory: they are counted before they are read."""
    with path.open("rb") as stream:
        syntax, little = "", True
        if stream.read(132)[128:] == b"DICM":
            meta = read_file_meta_info(path)
            syntax = meta.get("TransferSyntaxUID", "")
            little = syntax != ExplicitVRBigEndian
            if syntax == DeflatedExplicitVRLittleEndian:
                stream.seek(META_START + int(meta.FileMetaInformationGroupLength))
                _refuse_if_exceeding(_inflated(stream, path), path)
                return
        else:
            stream.seek(0)
            little = stream.read(2) != b"\0\x08"
            stream.seek(0)
        _refuse_if_exceeding(stream, path, implicit=syntax == ImplicitVRLittleEndian, little_endian=little)


def _refuse_if_exceeding(stream: BinaryIO, path: Path, *, implicit: bool = False, little_endian: bool = True) -> None:
    if survey.exceeds(stream, MOST_ELEMENTS, implicit=implicit, little_endian=little_endian):
        raise UnreadableFileError(
            f"{path} has more than {MOST_ELEMENTS} elements and items",
            hint="no radiograph needs that many; export it without private groups if it is genuine",
        )


def _inflated(stream: BinaryIO, path: Path) -> BytesIO:
    """The data set of a deflated file from where `stream` is, found out a piece at a time not to be too large."""
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), BytesIO()
    for piece in iter(lambda: stream.read(1 << 16), b""):
        waiting = piece
        while waiting and not inflater.eof:
            inflated.write(inflater.decompress(waiting, 1 << 20))
            waiting = inflater.unconsumed_tail
            if inflated.tell() > MOST_INFLATED_BYTES:
                raise UnreadableFileError(
                    f"{path} inflates to more than {MOST_INFLATED_BYTES >> 20} MiB",
                    hint="if it is genuine, export it uncompressed",
                )
    inflated.seek(0)
    return inflated


def refuse_wrong_length(header: FileDataset, layout: Layout, path: Path) -> None:
    """Uncompressed pixels must be as many as the head says, and all on the disk."""
    expected = layout.rows * layout.columns * layout.frames * layout.allocated // 8
    element: Any = header.get_item(PIXELS, keep_deferred=True)
    if element.length == UNDEFINED_LENGTH:
        raise UnreadableFileError(
            f"{path} has compressed pixels, but its transfer syntax is an uncompressed one",
            hint="fetch the file again from its source",
        )
    found = element.length if element.value is None else len(element.value)
    if found >= expected + expected // layout.frames:
        raise UnreadableFileError(
            f"{path} holds {found * layout.frames // expected} frames where its head says {layout.frames}",
            hint="fetch the file again from its source",
        )
    on_disk = path.stat().st_size
    if found < expected or (element.value is None and element.value_tell + expected > on_disk):
        raise UnreadableFileError(
            f"{path} is truncated: {min(found, on_disk)} of {expected} bytes of pixels",
            hint="fetch the file again from its source",
        )


def refuse_damaged_codestreams(header: FileDataset, layout: Layout, path: Path) -> None:
    """Decoders make room for the size that a codestream claims: it must be that of the image, and all of it there."""
    element: Any = header.get_item(PIXELS, keep_deferred=True)
    with path.open("rb") as stream:
        stream.seek(element.value_tell)
        source = stream if element.value is None else element.value
        for codestream in generate_frames(source, number_of_frames=layout.frames):
            if codecs.is_cut_short(codestream):
                raise UnreadableFileError(
                    f"{path} is truncated: a compressed frame lacks its end",
                    hint="fetch the file again from its source",
                )
            size = codecs.claimed_size(codestream)
            if size is not None and size != (layout.rows, layout.columns):
                raise UnreadableFileError(
                    f"{path} is {layout.rows}x{layout.columns} pixels, but compressed are {size[0]}x{size[1]}",
                    hint="fetch the file again from its source",
                )
