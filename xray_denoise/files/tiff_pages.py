"""The pages of a TIFF file: its directories, within limits that are checked before tifffile reads them."""

import io
import json
import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from xray_denoise.errors import AGAIN, PATH, UnreadableFileError
from xray_denoise.files.raster_header import LONGEST_CHUNK, odd, too_large, truncated

if TYPE_CHECKING:
    from tifffile import TiffPage

UNCOMPRESSED, JPEG = 1, 7
COMPRESSIONS = {UNCOMPRESSED, 5, JPEG, 8, 32773, 32946, 34925, 50000}
"""None, LZW, JPEG, deflate, PackBits, LZMA, Zstandard."""
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


def count_images(path: Path) -> int:
    """How many images `read_tiff` finds, by the directories alone."""
    _, first, count = next(opened_pages(path))
    return max(count, images_behind(first, count, path))


def opened_pages(path: Path) -> Iterator[tuple[int, "TiffPage", int]]:
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
            with named_page(number, len(places)):
                _refuse_odd_page(page, path)
            yield number, page, len(places)


@contextmanager
def named_page(number: int, count: int) -> Iterator[None]:
    """Say in an error which page of `count` it is about; `number` is from 0."""
    try:
        yield
    except UnreadableFileError as error:
        if count > 1:
            error.message = error.message.replace(PATH, f"page {number + 1} of {PATH}", 1)
        raise


def images_behind(first: "TiffPage", count: int, path: Path) -> int:
    """How many images follow each other behind the first directory of `count`."""
    images = _declared_images(first)
    if images > count > 1:
        raise truncated(path, f"it says that it holds {images} images, but has {count}")
    return images if count == 1 else 1


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
