"""Read and write grey TIFF files by tifffile, within limits that are checked first."""

import io
import json
import logging
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xray_denoise.errors import AGAIN, UnreadableFileError
from xray_denoise.files.raster_header import (
    BEST_RATIO,
    LONGEST_CHUNK,
    ORIENTATION,
    RasterHeader,
    coloured,
    odd,
    resolution,
    too_large,
    transparent,
    truncated,
    turned,
)

if TYPE_CHECKING:
    from tifffile import TiffPage

TIFF_EFFORT = 6
"""zlib level."""
ICC_PROFILE = 34675
TIFF_COPIED = {270: "ImageDescription", 271: "Make", 272: "Model", 306: "DateTime", 315: "Artist", 33432: "Copyright"}
"""Tags whose text goes into a new TIFF file."""
TIFF_USED = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 269, 273, 274, 277, 278, 279, 280, 281, 282, 283}
TIFF_USED |= {284, 288, 289, 290, 291, 292, 293, 296, 297, 305, 317, 320, 322, 323, 324, 325, 338, 339, 340, 341, 347}
TIFF_USED |= {530, 531, 532, ICC_PROFILE}
"""Tags that say how pixels are stored, and those that are kept in another way."""
UNCOMPRESSED, JPEG = 1, 7
COMPRESSIONS = {UNCOMPRESSED, 5, JPEG, 8, 32773, 32946, 34925, 50000}
"""None, LZW, JPEG, deflate, PackBits, LZMA, Zstandard."""
WITH_BEST_RATIO = {5, 8, 32773, 32946}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)
SMALLEST_TILE = 256
"""Pixels: the standard knows none smaller."""
MOST_TILE = 1 << 24
"""Pixels of a tile that is larger than its image."""
MOST_PAGES = MOST_TAGS = 65_536
MOST_PARTS = 1 << 20
"""Strips or tiles of a page: those of 16x16 pixels in the largest image are fewer."""
TIFF_PARTS = {273, 279, 324, 325}
"""Tags with a number for each strip or tile."""
TIFF_WIDTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type; 1 of all others."""


def read_tiff(path: Path) -> Iterator[tuple[NDArray[Any], int, RasterHeader]]:
    """The images of a TIFF file, one by one: one behind each directory, or several behind the only one."""
    for number, page, pages in _pages(path):
        header = _tiff_header(page)
        for image in range(_images_behind(page, pages, path) if number == 0 else 1):
            pixels, bits = _page_pixels(page, image, path)
            yield turned(pixels, page.tags.valueof(ORIENTATION, 1)), bits, header


def count_images(path: Path) -> int:
    """How many images `read_tiff` finds, by the directories alone."""
    _, first, pages = next(_pages(path))
    return max(pages, _images_behind(first, pages, path))


def _pages(path: Path) -> Iterator[tuple[int, "TiffPage", int]]:
    """The directories of a file that can be read: the number of each, what it holds, and how many there are."""
    import tifffile

    logging.getLogger("tifffile").disabled = True  # what it would say of a damaged file is said by `as_unreadable`
    places = _directories(path)
    if not places:
        raise UnreadableFileError("{path} has no page", path=path, hint=AGAIN)
    with tifffile.TiffFile(path) as file:
        for number, place in enumerate(places):
            file.filehandle.seek(place)
            page = tifffile.TiffPage(file, number)
            _refuse_odd_page(page, path)
            yield number, page, len(places)


def _images_behind(first: "TiffPage", pages: int, path: Path) -> int:
    """How many images follow each other behind the first directory of `pages`."""
    images = _declared_images(first)
    if images > pages > 1:
        raise truncated(path, f"it says that it holds {images} images, but has {pages}")
    return images if pages == 1 else 1


def _directories(path: Path) -> list[int]:
    """Offsets of the directories of all pages.

    Raises:
        UnreadableFileError: their chain leads out of the file, so some are lost; or one has far longer values than an
            image needs, which tifffile would read.
    """
    places: list[int] = []
    with path.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        head = stream.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        counter, link, entry = (
            struct.Struct(order + form) for form in (("Q", "Q", "HHQQ") if big else ["H", "L", "HHLL"])
        )
        (place,) = link.unpack_from(head, 8 if big else 4)
        seen: set[int] = set()
        while place:
            if place in seen or place + counter.size > size or len(places) >= MOST_PAGES:
                raise truncated(path, f"the directory of page {len(places) + 1} is missing")
            seen.add(place)
            places.append(place)
            stream.seek(place)
            (tags,) = counter.unpack(stream.read(counter.size))
            table = stream.read(min(tags, MOST_TAGS + 1) * entry.size)
            if tags > MOST_TAGS or len(table) < tags * entry.size or len(end := stream.read(link.size)) < link.size:
                raise truncated(path, f"the directory of page {len(places)} is cut")
            _refuse_long_values(list(entry.iter_unpack(table)), path)
            (place,) = link.unpack(end)
    return places


def _refuse_long_values(entries: list[tuple[int, ...]], path: Path) -> None:
    """Refuse a directory whose values are far longer than an image needs: code, type, number and value of each."""
    length = parts = 0
    for code, form, number, _ in entries:
        if code in TIFF_PARTS:
            parts = max(parts, number)
        else:
            length += number * TIFF_WIDTHS.get(form, 1)
    if length > LONGEST_CHUNK or parts > MOST_PARTS:
        raise UnreadableFileError(
            "{path} is damaged: its directory is far longer than its image needs", path=path, hint=AGAIN
        )


def _declared_images(page: "TiffPage") -> int:
    """How many images follow each other behind one directory, in the ways of ImageJ, tifffile and MetaMorph."""
    images = 1
    if page.is_imagej:
        lines = (page.description or page.description1).splitlines()
        counts = [line.removeprefix("images=") for line in lines if line.startswith("images=")]
        images = max(1, int(counts[0])) if counts and counts[0].isdigit() else 1
    elif page.is_shaped:
        text = page.shaped_description or ""
        described = json.loads(text) if text.startswith("{") else {}
        size = page.imagelength * page.imagewidth * page.samplesperpixel
        shape = [int(side) for side in described.get("shape", ())] if described.get("truncated") else [size]
        images = max(1, math.prod(shape) // size)
    elif page.is_stk:
        images = max(1, page.tags[33629].count)
    return images


def _refuse_odd_page(page: "TiffPage", path: Path) -> None:
    """Refuse pages that are not grey integers, use an unsupported format, or are incomplete."""
    bits, formats = page.bitspersample, page.tags.valueof(339, 1)
    formats = set(formats) if isinstance(formats, tuple) else {formats}
    if formats != {1}:
        kind = {2: "signed pixels", 3: "floating-point pixels"}.get(max(formats), "pixels of an unknown format")
        raise odd(path, kind)
    if not isinstance(bits, int) or not (bits in (1, 2, 4) or 8 <= bits <= 16):
        raise odd(path, f"pixels of {bits} bits")
    colours = 3 if page.photometric == RGB else 1
    if page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
        raise odd(path, "pixels of an unusual colour space")
    if page.imagedepth != 1 or page.samplesperpixel - colours not in (0, 1):
        raise odd(path, f"{page.samplesperpixel} samples a pixel")
    if page.compression not in COMPRESSIONS:
        raise UnreadableFileError(
            f"{{path}} is compressed in a way that is not read ({int(page.compression)})",
            path=path,
            hint="save it uncompressed, or with LZW or deflate",
        )
    if page.imagelength * page.imagewidth > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise too_large(path)
    if page.imagelength < 1 or page.imagewidth < 1:
        raise UnreadableFileError("{path} has no pixels", path=path, hint=AGAIN)
    if page.is_tiled:
        tile = page.tilelength * page.tilewidth
        if tile < SMALLEST_TILE or tile > max(MOST_TILE, 4 * page.imagelength * page.imagewidth):
            raise odd(path, f"tiles of {page.tilelength}x{page.tilewidth} pixels")


def _page_pixels(page: "TiffPage", image: int, path: Path) -> tuple[NDArray[Any], int]:
    """The only channel of a page and its bit depth.

    Args:
        page: its directory.
        image: which of the images that follow each other behind this directory.
        path: for messages.
    """
    samples = _samples(page, image, path)
    bits = int(page.bitspersample)
    colours = 3 if page.photometric == RGB else 1
    if samples.shape[2] > colours and (samples[..., colours:] != 2**bits - 1).any():
        raise transparent(path)
    if page.photometric == PALETTE:
        palette = np.asarray(page.colormap)[:, : 2**bits] // 256
        used = np.unique(samples[..., 0])
        if used[-1] >= palette.shape[1] or (palette[:, used] != palette[0, used]).any():
            raise coloured(path)
        return palette[0].astype(np.uint8)[samples[..., 0]], 8
    pixels = samples[..., 0]
    if colours == 3 and any((pixels != samples[..., other]).any() for other in (1, 2)):
        raise coloured(path)
    if bits < 8:
        pixels = (pixels.astype(np.uint8) * np.uint8(255 // (2**bits - 1))).astype(np.uint8)
        bits = 8
    if page.photometric == WHITE_IS_ZERO:
        pixels = np.asarray(2**bits - 1 - pixels.astype(np.int32))
    return np.ascontiguousarray(pixels.astype(np.uint8 if bits == 8 else np.uint16)), bits


def _samples(page: "TiffPage", image: int, path: Path) -> NDArray[Any]:
    """All samples of a page, (rows, columns, samples), strip by strip or tile by tile.

    Raises:
        UnreadableFileError: one is missing, or too short, or not in the file.
    """
    rows, columns, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    handle = page.parent.filehandle
    offsets, counts = _segments(page, image, path)
    dtype = page.dtype or np.dtype(np.uint8)
    if page.compression in WITH_BEST_RATIO and sum(counts) * BEST_RATIO < rows * columns * page.bitspersample // 8:
        raise truncated(path, f"it is too short for {rows}x{columns} pixels")
    tables = page.jpegtables
    found: NDArray[Any] = np.empty((rows, columns, samples), dtype.newbyteorder("="))
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        handle.seek(offset)
        data = handle.read(count)
        if page.compression == JPEG:
            _refuse_other_size(data, page, path)
        segment, (plane, _, top, left, _), _ = page.decode(data, number, jpegtables=tables)
        if segment is None:
            raise truncated(path, "a part of its pixels is missing")
        part = found[top : top + segment.shape[1], left : left + segment.shape[2]]
        channels = slice(plane, plane + segment.shape[3])
        part[..., channels] = segment[0, : part.shape[0], : part.shape[1]]
    return found


def _segments(page: "TiffPage", image: int, path: Path) -> tuple[list[int], list[int]]:
    """Offsets and lengths of the strips or tiles of a page."""
    rows, columns = page.imagelength, page.imagewidth
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, rows), columns)
    down, across = -(-rows // tall), -(-columns // wide)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    row_bytes = (wide * (page.samplesperpixel // planes) * page.bitspersample + 7) // 8
    offsets, counts = [int(one) for one in page.dataoffsets], [int(one) for one in page.databytecounts]
    if len(offsets) != down * across * planes or len(counts) != len(offsets):
        raise truncated(path, f"{len(offsets)} of {down * across * planes} parts of its pixels")
    if image:
        whole = row_bytes * rows * planes
        if (
            page.is_tiled
            or page.compression != UNCOMPRESSED
            or any(
                offset + count != following
                for offset, count, following in zip(offsets, counts, offsets[1:], strict=False)
            )
        ):
            raise truncated(path, "it says that it holds more images than it has")
        offsets = [offset + image * whole for offset in offsets]
    size, head = page.parent.filehandle.size, 16 if page.parent.is_bigtiff else 8
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        height = tall if page.is_tiled else min(tall, rows - number % down * tall)
        needed = height * row_bytes if page.compression == UNCOMPRESSED else 1
        if offset < head or count < needed or offset + count > size:
            raise truncated(path, f"a part of its pixels is not in it ({number + 1} of {len(offsets)})")
    return offsets, counts


def _refuse_other_size(data: bytes, page: "TiffPage", path: Path) -> None:
    """Refuse a JPEG strip or tile of another size before memory is allocated for it."""
    from xray_denoise.files.dicom import codestream

    frame = codestream.jpeg(data)
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    if frame.rows > tall or frame.columns > wide or frame.components > page.samplesperpixel:
        raise UnreadableFileError("{path} is damaged: a compressed part is too large", path=path, hint=AGAIN)


def _tiff_header(page: "TiffPage") -> RasterHeader:
    tags = page.tags
    unit = {2: 1.0, 3: 2.54}.get(tags.valueof(296, 2))
    across, down = (_ratio(tags.valueof(code)) * (unit or 0) for code in (282, 283))
    turned_over = tags.valueof(ORIENTATION, 1) in (5, 6, 7, 8)
    dropped = [tag.name for tag in tags if tag.code not in TIFF_USED and tag.code not in TIFF_COPIED]
    icc = tags.valueof(ICC_PROFILE)
    texts = []
    for code in TIFF_COPIED:
        text = tags.valueof(code)
        if isinstance(text, str) and text and not (code == 270 and (page.is_shaped or page.is_ome)):
            texts.append((code, text.encode("utf-8", "replace")))
    dropped += ["OME metadata"] if page.is_ome else []
    grey = page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    dropped += ["ICC profile"] if icc and not grey else []
    return RasterHeader(
        kind="tiff",
        dpi=resolution(*((down, across) if turned_over else (across, down))),
        icc_profile=bytes(icc) if icc and grey else None,
        tags=tuple(texts),
        dropped=tuple(dict.fromkeys(dropped)),
    )


def _ratio(value: Any) -> float:
    """A rational number; 0 if it is invalid."""
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return float(value[0] / value[1])


def write_tiff(pages: Iterable[NDArray[Any]], stream: BinaryIO, header: RasterHeader, comment: str) -> None:
    """Write pages of grey pixels, compressed without loss; `comment` becomes the tag Software."""
    import tifffile

    extra = [(code, "s", 0, text, True) for code, text in header.tags]
    if header.icc_profile:
        extra.append((ICC_PROFILE, "B", len(header.icc_profile), header.icc_profile, True))
    with tifffile.TiffWriter(tifffile.FileHandle(stream, name="pages")) as tiff:
        for page in pages:
            tiff.write(
                page,
                photometric="minisblack",
                compression="adobe_deflate",
                compressionargs={"level": TIFF_EFFORT},
                metadata=None,
                resolution=header.dpi,
                resolutionunit="INCH" if header.dpi else None,
                software=comment or False,
                extratags=extra,
            )
