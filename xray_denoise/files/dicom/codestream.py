"""Parse the headers of a compressed frame as its decoder does, before the decoder allocates memory.

JPEG and JPEG-LS (ITU-T T.81 B, T.87 C): markers, of which libjpeg skips whatever is none. JPEG 2000 (T.800 A): the
main header and the headers of tile-parts. Of a file around a JPEG 2000 codestream only the codestream is passed on, so
that its boxes decide nothing.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_2000_START = b"\xff\x4f\xff\x51"
JP2_START = b"\0\0\0\x0cjP  "
"""A file format around a JPEG 2000 codestream, which some writers leave on."""
STARTS = (JPEG_START, JPEG_2000_START, JP2_START)

START_OF_SCAN, END_OF_IMAGE, RESTART_INTERVAL = 0xDA, 0xD9, 0xDD
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""The markers of JPEG and JPEG-LS that a size follows."""
LOSSLESS_FRAME, LS_FRAME = 0xC3, 0xF7
LS_PARAMETERS, LS_OVERSIZE = 0xF8, 4
"""A segment of JPEG-LS, and the kind of it that gives another size (T.87 C.2.4.1.4)."""
ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers of JPEG without a length."""
ONE_SCAN = {0xC0, 0xC1, LOSSLESS_FRAME, LS_FRAME}
"""The processes that DICOM allows: sequential, so that one scan holds a grey image."""

CODING, CODING_OF_COMPONENT = 0x52, 0x53
TILE_PART, START_OF_DATA, END_OF_CODESTREAM = 0x90, 0x93, 0xD9
MOST_PACKETS = 1_000_000
"""Layers times resolutions times precincts; OpenJPEG visits each, 2 us or so."""
SMALLEST_BLOCK = 16
"""Pixels a side of a code-block. Encoders use 32 or 64; OpenJPEG needs 300 bytes for each."""
SMALLEST_PRECINCT = 32
PIXELS_PER_TILE = 1024
"""Fewest in the mean. OpenJPEG needs 6 kB for each tile, before it reads one."""
MOST_TILES = MOST_TILE_PARTS = 65_535
TILE_PART_HEAD = 14
"""Bytes of the SOT and SOD segments: a tile-part that holds packets has more."""


class BadCodestreamError(ValueError):
    """A codestream is damaged, or asks for more than its pixels can need; the message tells it of a file."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A codestream and its header."""

    data: bytes
    """From its first marker to its last: no file format around it, no padding behind it."""
    rows: int
    columns: int
    components: int
    precision: int
    """Bits of a sample."""
    signed: bool = False
    process: int = 0
    """The marker of the frame header of JPEG and JPEG-LS."""
    scan: int = 0
    """Where the entropy-coded data of JPEG and JPEG-LS begin."""


def jpeg(codestream: bytes) -> Frame:
    """A JPEG or JPEG-LS codestream.

    Raises:
        BadCodestreamError: it has no size, or no end, or several scans or images.
    """
    if not codestream.startswith(JPEG_START):
        raise BadCodestreamError("has a compressed frame that is no JPEG codestream")
    head: tuple[int, ...] = ()
    for marker, at in _jpeg_markers(codestream):
        oversize = marker == LS_PARAMETERS and codestream[at + 2] == LS_OVERSIZE
        if oversize or (head and marker in FRAME_HEADERS):
            raise BadCodestreamError("has a compressed frame of two sizes")
        if marker in FRAME_HEADERS:
            head = (marker, *struct.unpack_from(">BHHB", codestream, at + 2))
        elif marker == START_OF_SCAN:
            break
    else:
        raise BadCodestreamError("is truncated: a compressed frame has no data")
    if not head:
        raise BadCodestreamError("has a compressed frame without a size")
    process, precision, rows, columns, components = head
    if process not in ONE_SCAN:
        raise BadCodestreamError("has a compressed frame of a JPEG process that DICOM does not allow")
    scan = at + int.from_bytes(codestream[at : at + 2])
    end = codestream.find(JPEG_END, scan)
    if end < 0:
        raise BadCodestreamError("is truncated: a compressed frame lacks its end")
    if JPEG_START + b"\xff" in codestream[end:]:
        raise BadCodestreamError("has two images in one compressed frame")
    return Frame(codestream[: end + 2], rows, columns, components, precision, process=process, scan=scan)


def _jpeg_markers(codestream: bytes) -> Iterator[tuple[int, int]]:
    """Each marker before the first scan that has a length, and where that stands; anything between is skipped."""
    at = 2
    while (at := codestream.find(b"\xff", at)) >= 0:
        while codestream[at : at + 1] == b"\xff":
            at += 1
        if at + 3 > len(codestream) or codestream[at] == END_OF_IMAGE:
            return
        marker, at = codestream[at], at + 1
        if marker in ALONE or marker == 0:
            continue
        if at + 8 > len(codestream):
            return
        yield marker, at
        at += int.from_bytes(codestream[at : at + 2])


def jpeg_2000(codestream: bytes) -> Frame:
    """A JPEG 2000 codestream, plain or in a JP2 file.

    Raises:
        BadCodestreamError: it has no size, or asks for much more room than its pixels need.
    """
    codestream = _unboxed(codestream)
    if not codestream.startswith(JPEG_2000_START) or len(codestream) < 45:
        raise BadCodestreamError("has a compressed frame that is no JPEG 2000 codestream")
    right, bottom, left, top, width, height, x, y = struct.unpack_from(">8L", codestream, 8)
    components, depth, *steps = struct.unpack_from(">HBBB", codestream, 40)
    rows, columns = bottom - top, right - left
    if not width or not height or steps != [1, 1] or x > left or y > top:
        raise BadCodestreamError("has a compressed frame without a valid size")
    if rows <= 0 or columns <= 0:
        raise BadCodestreamError("has a compressed frame without a valid size")
    tiles = -(-(right - x) // width) * -(-(bottom - y) // height)
    if tiles > min(MOST_TILES, max(1, rows * columns // PIXELS_PER_TILE)):
        raise BadCodestreamError(f"has a compressed frame of {tiles} tiles, far too many")
    _refuse_missing_tile_parts(codestream, tiles)
    for marker, at in _jpeg_2000_markers(codestream):
        if marker == CODING:
            _refuse_dear_coding(codestream[at + 2 :][:64], rows * columns, layered=True)
        elif marker == CODING_OF_COMPONENT:
            _refuse_dear_coding(codestream[at + 3 :][:64], rows * columns, layered=False)
    return Frame(codestream, rows, columns, components, (depth & 0x7F) + 1, bool(depth & 0x80))


def _refuse_missing_tile_parts(codestream: bytes, tiles: int) -> None:
    """Refuse a codestream that holds less than its heads say: OpenJPEG takes tiles without data for grey.

    Args:
        codestream: from its first marker on.
        tiles: how many its main header makes.
    """
    filled: set[int] = set()
    counted, claimed = Counter[int](), Counter[int]()  # tile-parts by tile; some writers claim too few, or none
    for marker, at in _jpeg_2000_markers(codestream):
        if marker != TILE_PART:
            continue
        tile, length, _, parts = struct.unpack_from(">HLBB", codestream, at + 2)
        start = at - 2
        end = start + length if length else codestream.find(JPEG_END, at)
        if not start < end <= len(codestream):
            raise BadCodestreamError("is truncated: a compressed frame lacks the end of a tile")
        if end - start > TILE_PART_HEAD:
            filled.add(tile)
        counted[tile] += 1
        claimed[tile] = max(claimed[tile], parts)
    found = sum(tile < tiles for tile in filled)
    if found < tiles or any(counted[tile] < parts for tile, parts in claimed.items()):
        raise BadCodestreamError(f"is truncated: a compressed frame holds {found} of {tiles} tiles, or not all of one")


def _unboxed(data: bytes) -> bytes:
    """The first contiguous codestream box of a JP2 file; a plain codestream as it is."""
    if not data.startswith(JP2_START):
        return data
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">L4s", data, at)
        start = at + 8
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = at + length if length else len(data)
        if kind == b"jp2c":
            return data[start:end]
        if end <= at + 7:
            break
        at = end
    raise BadCodestreamError("has a compressed frame that is a JP2 file without a codestream")


def _jpeg_2000_markers(codestream: bytes) -> Iterator[tuple[int, int]]:
    """Each marker of the main header and of the headers of tile-parts, and where its length stands."""
    at, part, parts = 2, None, 0
    while at + 4 <= len(codestream):
        marker = codestream[at + 1]
        if codestream[at] != 0xFF or marker == END_OF_CODESTREAM:
            return
        if marker == START_OF_DATA:
            if part is None or part == 0:  # the last tile-part goes on to the end
                return
            at, part = part, None
            continue
        if marker == TILE_PART:
            parts += 1
            if at + 12 > len(codestream) or parts > MOST_TILE_PARTS:
                return
            (length,) = struct.unpack_from(">L", codestream, at + 6)
            part = at + length if length else 0
            if length and length < 14:
                return
        yield marker, at + 2
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4])


def _refuse_dear_coding(style: bytes, pixels: int, *, layered: bool) -> None:
    """COD (T.800 A.6.1) from Scod on, or COC from Scoc on: what costs more than pixels do."""
    if len(style) < 10:
        return
    layers = struct.unpack_from(">H", style, 2)[0] if layered else 1
    levels, wide, high = style[5:8] if layered else style[1:4]
    block = min(1 << ((wide & 15) + 2), 1 << ((high & 15) + 2))
    precincts = (style[10:] if layered else style[6:])[: levels + 1] if style[0] & 1 else b""
    smallest = min((1 << min(one & 15, one >> 4) for one in precincts), default=SMALLEST_PRECINCT)
    packets = layers * (levels + 1 + pixels // smallest**2 if precincts else levels + 1)
    if packets > MOST_PACKETS or levels > 32 or block < SMALLEST_BLOCK or smallest < SMALLEST_PRECINCT:
        raise BadCodestreamError("has a compressed frame of far too many parts")
