"""Check that a JPEG file (ITU-T T.81) is complete.

Pillow decodes a file whose scans end early, and one that lacks its last scans, without a word. So the markers are read
first: sizes before room is made for the pixels, and every scan.
"""

import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from xray_denoise.errors import AGAIN, UnreadableFileError

START, END = b"\xff\xd8", b"\xff\xd9"
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""A marker between entropy-coded data, where 0xFF 0x00 is a byte and D0 to D7 restart the decoder."""
END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
DECODED = {0xC0, 0xC1, 0xC2}
"""Baseline, extended sequential and progressive, with Huffman codes."""
PROGRESSIVE = 0xC2
MOST_BYTES = 1 << 29
MOST_SCANS = 100
"""Encoders write up to 12; each visits the whole picture, however little it holds."""
PIXELS_PER_BYTE = 1024
"""At most: a block of 64 pixels takes a bit, and a component may have half of the blocks."""
BEHIND = bytes(np.random.default_rng(0).integers(0, 255, 64, np.uint8))
"""Data that a decoder does not look at behind a scan that is whole; 0xFF, which begins a marker, is not in it."""


def complete(path: Path) -> bytes:
    """The bytes of a JPEG file, if its image is complete.

    Raises:
        UnreadableFileError: it is not, it is far too large, or it is coded in a way that is not read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise UnreadableFileError(
            f"{{path}} has more than {MOST_BYTES >> 20} MiB", path=path, hint="no radiograph is that large"
        )
    data = path.read_bytes()
    frame: tuple[int, ...] = ()
    missing: dict[int, list[int | None]] = {}
    scans, end = 0, 0
    for marker, at in _markers(data, path):
        if marker in FRAMES:
            if frame:
                raise UnreadableFileError("{path} is damaged: it has two sizes", path=path, hint=AGAIN)
            frame = (marker, *struct.unpack_from(">BHHB", data, at + 2))
            _check_frame(frame, len(data), path)
            missing = {data[at + 8 + 3 * index]: [None] * 64 for index in range(frame[4])}
        elif marker == START_OF_SCAN:
            scans += 1
            if scans > MOST_SCANS or not frame:
                raise UnreadableFileError("{path} is damaged: it has too many scans, or no size", path=path, hint=AGAIN)
            _note_scan(data, at, missing, progressive=frame[0] == PROGRESSIVE)
        elif marker == END_OF_IMAGE:
            end = at - 2
    if not missing or any(left != 0 for component in missing.values() for left in component):
        raise _truncated(path)
    with_more = data[:end].rstrip(b"\xff") + BEHIND + END
    if not np.array_equal(_decoded(data), _decoded(with_more)):
        raise _truncated(path)
    return data


def _truncated(path: Path) -> UnreadableFileError:
    return UnreadableFileError("{path} is truncated: a part of its pixels is missing", path=path, hint=AGAIN)


def _decoded(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return np.asarray(image)


def _markers(data: bytes, path: Path) -> Iterator[tuple[int, int]]:
    """Each marker with a segment, and where the segment begins; last the end of the image, and what is behind that."""
    at = len(START)
    while found := MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == END_OF_IMAGE:
            yield marker, at
            return
        if marker == 0x01:  # TEM, the only other marker without a segment
            continue
        length = int.from_bytes(data[at : at + 2])
        if length < 2 or at + length > len(data):
            break
        yield marker, at
        at += length
    raise UnreadableFileError("{path} is truncated: the end of the image is missing", path=path, hint=AGAIN)


def _check_frame(frame: tuple[int, ...], size: int, path: Path) -> None:
    """Refuse unsupported processes, and more pixels than the file can hold."""
    process, precision, rows, columns, _ = frame
    if process not in DECODED or precision != 8:
        raise UnreadableFileError(
            "{path} is a JPEG of an unusual kind (lossless, arithmetic, or not of 8 bits)",
            path=path,
            hint="save it as a grey PNG or TIFF of 8 or 16 bits",
        )
    most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if rows * columns > most:
        raise UnreadableFileError(
            f"{{path}} has more than {most} pixels",
            path=path,
            hint="no radiograph is that large; cut it into parts if it is genuine",
        )
    if not rows or size * PIXELS_PER_BYTE < rows * columns:
        raise UnreadableFileError(
            f"{{path}} is truncated: it is too short for {rows}x{columns} pixels", path=path, hint=AGAIN
        )


def _note_scan(data: bytes, at: int, missing: dict[int, list[int | None]], *, progressive: bool) -> None:
    """Note which bits of which coefficients a scan brings: 0 where the last of them is there."""
    count = data[at + 2]
    first, last, bits = data[at + 3 + 2 * count : at + 6 + 2 * count] if progressive else (0, 63, 0)
    for component in data[at + 3 : at + 3 + 2 * count : 2]:
        if component in missing:
            for coefficient in range(first, min(last, 63) + 1):
                missing[component][coefficient] = bits & 15
