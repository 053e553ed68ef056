"""PNG, TIFF, WebP and JPEG: grey pixels in, grey pixels out, nothing lost in between without a word.

JPEG is read only: it would change the pixels again.

tifffile reads and writes TIFF, Pillow the rest; this module decides what is accepted, before room is made for it.
"""

import io
import json
import logging
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from xray_denoise.errors import AGAIN, UnreadableFileError, UnwritableFileError
from xray_denoise.files import jpeg
from xray_denoise.files.atomic import atomic_write
from xray_denoise.files.damage import as_unreadable
from xray_denoise.radiograph import Radiograph, robust_span

if TYPE_CHECKING:
    from tifffile import TiffPage

RasterKind = Literal["png", "tiff", "webp", "jpeg"]

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B")
BEST_RATIO = 1500
"""Deflate makes no more than 1032 bytes of one, LZW a little more."""
PNG_EFFORT, TIFF_EFFORT = 3, 6
"""zlib levels. For PNG a third of the time of the default 6, for files 3 to 10 % larger."""
MOST_DPI = 1e6
"""Pixels per inch; what claims more, or no number, is damaged."""
WEBP_MAX_SIDE = 16383
"""Pixels per side; the format holds no more."""
MOST_WEBP_BYTES = 2 * WEBP_MAX_SIDE**2
"""Of a file, which Pillow reads at once; grey pixels take less than half of it."""
LONGEST_CHUNK = 1 << 24
"""Bytes of a PNG chunk that holds no pixels, and of all values of a TIFF directory but the places of pixels."""
ORIENTATION = 0x0112
"""Of EXIF and TIFF: 1 is upright, 5 to 8 exchange rows and columns."""

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_COPIED = (b"gAMA", b"cHRM", b"sRGB")
"""Chunks that go into a new PNG file as they are."""
PNG_USED = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")
MOST_CHUNK_NAMES = 1000
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
PNG_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of an interlaced image: first row and column, steps."""

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


@dataclass(frozen=True, slots=True)
class RasterHeader:
    """What a raster file says besides its pixels."""

    kind: RasterKind
    dpi: tuple[float, float] | None = None
    """Pixels per inch, horizontal and vertical."""
    text: dict[str, str] = field(default_factory=dict)
    """PNG text chunks by keyword."""
    icc_profile: bytes | None = None
    exif: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Of `PNG_COPIED`: names and contents."""
    tags: tuple[tuple[int, bytes], ...] = ()
    """Of `TIFF_COPIED`: codes and texts."""
    dropped: tuple[str, ...] = ()
    """Names of what no new file will hold."""

    def caveats(self, kind: RasterKind | None = None) -> tuple[str, ...]:
        """What the file has lost, and what one of this `kind`, by default the same, does not keep; usually nothing."""
        kind = kind or ("png" if self.kind == "jpeg" else self.kind)
        others = {
            "text": (self.text and kind != "png") or (self.tags and kind != "tiff"),
            "EXIF": self.exif and kind == "tiff",
            "gamma": self.chunks and kind != "png",
            "resolution": self.dpi and kind == "webp",
        }
        lost = [*self.dropped, *(name for name, is_lost in others.items() if is_lost)]
        lossy = ("it is a JPEG, compressed with loss, so its noise is not that of the detector",)
        return (lossy if self.kind == "jpeg" else ()) + ((f"its {', '.join(lost)} will not be kept",) if lost else ())


def read_frames(path: Path, kind: RasterKind, span: tuple[float, float] | None) -> Iterator[Radiograph]:
    """Yield the pages of a grey raster image one by one, upright; all but TIFF have one.

    Args:
        path: the file.
        kind: its format, known from its first bytes.
        span: stored values that map to grey levels 0 and 255; by default the full range of 8 bits, or the
            robust range of a deeper image.

    Raises:
        UnreadableFileError: the file is damaged, coloured, transparent, animated or far too large.
    """
    with _as_unreadable(path):
        for stored, bits, header in _tiff_pages(path) if kind == "tiff" else _picture(path, kind):
            yield Radiograph(
                stored,
                span or ((0.0, 255.0) if bits == 8 else robust_span(stored)),
                bits=bits,
                header=header,
                source=path,
            )


@contextmanager
def _as_unreadable(path: Path) -> Iterator[None]:
    what = "it is damaged, incomplete or of an unusual kind"
    hint = "open it in an image editor and save it again as a grey PNG of 8 or 16 bits"
    with as_unreadable(path, what, hint):
        try:
            yield
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error


def _too_large(path: Path) -> UnreadableFileError:
    return UnreadableFileError(
        f"{{path}} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels",
        path=path,
        hint="no radiograph is that large; cut it into parts if it is genuine",
    )


def _truncated(path: Path, what: str) -> UnreadableFileError:
    return UnreadableFileError(f"{{path}} is truncated: {what}", path=path, hint=AGAIN)


def _transparent(path: Path) -> UnreadableFileError:
    return UnreadableFileError("{path} is partly transparent", path=path, hint="save it without an alpha channel")


def _coloured(path: Path) -> UnreadableFileError:
    return UnreadableFileError("{path} is a colour image", path=path, hint="convert it to grey first")


def _odd(path: Path, what: str) -> UnreadableFileError:
    return UnreadableFileError(
        f"{{path}} has {what}, not grey levels of 8 or 16 bits",
        path=path,
        hint="save it as a grey PNG or TIFF of 8 or 16 bits",
    )


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The image upright.

    Args:
        pixels: (rows, columns) as they are stored.
        orientation: of TIFF 6.0 and EXIF, 1 to 8; anything else counts as 1.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _picture(path: Path, kind: RasterKind) -> Iterator[tuple[NDArray[Any], int, RasterHeader]]:
    """The only image of a PNG, WebP or JPEG file, its bits and what else is in it."""
    if kind == "webp" and path.stat().st_size > MOST_WEBP_BYTES:
        raise UnreadableFileError("{path} is far larger than its pixels need", path=path, hint=AGAIN)
    chunks = _png_chunks(path) if kind == "png" else {}
    content = io.BytesIO(jpeg.complete(path)) if kind == "jpeg" else path
    with Image.open(content, formats=[kind.upper()]) as image:
        if getattr(image, "n_frames", 1) > 1:
            what = "holds more than one image" if kind == "jpeg" else "is animated"
            raise UnreadableFileError(f"{{path}} {what}", path=path, hint="save its frames as single images")
        if kind == "png" and path.stat().st_size * BEST_RATIO < image.width * image.height // 8:
            raise _truncated(path, f"it is too short for {image.height}x{image.width} pixels")
        pixels, bits = _grey_pixels(image, path)
        header = _header(image, kind, chunks)
        orientation, header = _orientation(image, header)
        yield turned(pixels, orientation), bits, header


def _png_chunks(path: Path) -> dict[bytes, bytes]:
    """The names of all chunks, with the contents of the short ones of `PNG_COPIED`.

    Raises:
        UnreadableFileError: its colours are deep, or its pixel data end before its pixels do: Pillow would cut the
            first to 8 bits and take what is missing for black, without a word. Or a chunk is far too long, all of
            which Pillow would read.
    """
    found: dict[bytes, bytes] = {}
    inflater, inflated, wanted = zlib.decompressobj(), 0, 0
    with path.open("rb") as stream:
        stream.seek(len(PNG_START))
        while len(head := stream.read(8)) == 8:
            length, name = struct.unpack(">L4s", head)
            start = stream.tell()
            if name == b"IHDR":
                wanted = _png_bytes(stream.read(13), path)
            elif name == b"IDAT":
                for at in range(start, start + length, 1 << 16):
                    stream.seek(at)
                    waiting = stream.read(min(1 << 16, start + length - at))
                    while waiting and inflated <= wanted:
                        inflated += len(inflater.decompress(waiting, 1 << 20))
                        waiting = inflater.unconsumed_tail
            elif length > LONGEST_CHUNK:
                raise UnreadableFileError("{path} is damaged: a chunk of it is far too long", path=path, hint=AGAIN)
            elif name in PNG_COPIED and length <= 64:
                found[name] = stream.read(length)
            found.setdefault(name, b"")
            if name == b"IEND" or len(found) > MOST_CHUNK_NAMES:
                break
            stream.seek(start + length + 4)
    if inflated < wanted:
        raise _truncated(path, f"{inflated} of {wanted} bytes of pixels")
    return found


def _png_bytes(head: bytes, path: Path) -> int:
    """The bytes of all rows of an image, each with its filter, by the contents of IHDR."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">LLBBBBB", head)
    if depth == 16 and colour != 0:
        raise UnreadableFileError(
            "{path} has 16-bit colour or alpha channels",
            path=path,
            hint="save it as 16-bit grey without an alpha channel",
        )
    if width * height > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise _too_large(path)
    bits, total = depth * PNG_SAMPLES[colour], 0
    for top, left, down, across in PNG_PASSES if interlaced else ((0, 0, 1, 1),):
        rows, columns = -(-(height - top) // down), -(-(width - left) // across)
        total += max(rows, 0) * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    return total


def _grey_pixels(image: Image.Image, path: Path) -> tuple[NDArray[Any], int]:
    """The only channel of an image and its bit depth."""
    mode = image.mode
    if mode in SIXTEEN_BIT_MODES or mode == "I":
        pixels = np.asarray(image).astype(np.uint16)
        _refuse_transparency(pixels, image.info.get("transparency"), path)
        return pixels, 16
    if mode in ("1", "L"):
        pixels = np.array(image.convert("L"))
        _refuse_transparency(pixels, image.info.get("transparency"), path)
        return pixels, 8
    if mode in ("P", "PA", "LA", "La", "RGB", "RGBA", "RGBX", "RGBa"):
        red, green, blue, alpha = np.moveaxis(np.asarray(image.convert("RGBA")), 2, 0)
        if (alpha != 255).any():
            raise _transparent(path)
        if not ((red == green).all() and (red == blue).all()):
            raise _coloured(path)
        return red.copy(), 8
    raise _odd(path, f"pixels of the kind {mode!r}")


def _refuse_transparency(pixels: NDArray[Any], transparent: object, path: Path) -> None:
    if isinstance(transparent, int) and (pixels == transparent).any():
        raise UnreadableFileError(
            "{path} is partly transparent", path=path, hint="save it without a transparent grey level"
        )


def _header(image: Image.Image, kind: RasterKind, chunks: dict[bytes, bytes]) -> RasterHeader:
    info = image.info
    grey = image.mode in ("1", "L", *SIXTEEN_BIT_MODES)
    dropped = [name.decode("ascii", "replace") for name in chunks if name not in (*PNG_USED, *PNG_COPIED)]
    dropped += ["ICC profile"] if info.get("icc_profile") and not grey else []
    dropped += ["XMP"] if info.get("xmp") and kind in ("webp", "jpeg") else []
    dropped += ["comment"] if info.get("comment") and kind == "jpeg" else []
    return RasterHeader(
        kind=kind,
        dpi=_resolution(*(info.get("dpi") or (0, 0))),
        text={key: str(text) for key, text in getattr(image, "text", {}).items()},
        icc_profile=info.get("icc_profile") if grey else None,
        exif=info.get("exif"),
        chunks=tuple((name, content) for name, content in chunks.items() if content),
        dropped=tuple(name if name.isprintable() else "unknown chunk" for name in dropped),
    )


def _resolution(across: Any, down: Any) -> tuple[float, float] | None:
    """Pixels per inch, None for what is no resolution."""
    numbers = float(across), float(down)
    return numbers if all(0 < number <= MOST_DPI for number in numbers) else None


def _orientation(image: Image.Image, header: RasterHeader) -> tuple[int, RasterHeader]:
    """The EXIF orientation, and a header that does not ask for it again."""
    try:
        exif = image.getexif()
        orientation = int(exif.get(ORIENTATION, 1))
        if orientation not in range(2, 9):
            return 1, header
        del exif[ORIENTATION]
        rest = exif.tobytes() if len(exif) else None
    except Exception:  # whatever damaged EXIF makes Pillow raise; the pixels are sound
        return 1, replace(header, exif=None, dropped=(*header.dropped, "damaged EXIF"))
    text = {key: value for key, value in header.text.items() if "xmp" not in key.lower()}
    dropped = header.dropped if len(text) == len(header.text) else (*header.dropped, "XMP")
    dpi = header.dpi[::-1] if header.dpi and orientation >= 5 else header.dpi
    return orientation, replace(header, exif=rest, text=text, dpi=dpi, dropped=dropped)


def _tiff_pages(path: Path) -> Iterator[tuple[NDArray[Any], int, RasterHeader]]:
    """The pages of a TIFF file, one by one."""
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
            header = _tiff_header(page)
            images = _declared_images(page) if number == 0 else 1
            if images > max(1, len(places)) and len(places) > 1:
                raise _truncated(path, f"it says that it holds {images} images, but has {len(places)}")
            for image in range(images if len(places) == 1 else 1):
                pixels, bits = _page_pixels(page, image, path)
                yield turned(pixels, page.tags.valueof(ORIENTATION, 1)), bits, header


def _directories(path: Path) -> list[int]:
    """Where the directories of all pages stand.

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
                raise _truncated(path, f"the directory of page {len(places) + 1} is missing")
            seen.add(place)
            places.append(place)
            stream.seek(place)
            (tags,) = counter.unpack(stream.read(counter.size))
            table = stream.read(min(tags, MOST_TAGS + 1) * entry.size)
            if tags > MOST_TAGS or len(table) < tags * entry.size or len(end := stream.read(link.size)) < link.size:
                raise _truncated(path, f"the directory of page {len(places)} is cut")
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
    """Refuse what is not grey integers, what is not read, and what is not there."""
    bits, formats = page.bitspersample, page.tags.valueof(339, 1)
    formats = set(formats) if isinstance(formats, tuple) else {formats}
    if formats != {1}:
        kind = {2: "signed pixels", 3: "floating-point pixels"}.get(max(formats), "pixels of an unknown format")
        raise _odd(path, kind)
    if not isinstance(bits, int) or not (bits in (1, 2, 4) or 8 <= bits <= 16):
        raise _odd(path, f"pixels of {bits} bits")
    colours = 3 if page.photometric == RGB else 1
    if page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
        raise _odd(path, "pixels of an unusual colour space")
    if page.imagedepth != 1 or page.samplesperpixel - colours not in (0, 1):
        raise _odd(path, f"{page.samplesperpixel} samples a pixel")
    if page.compression not in COMPRESSIONS:
        raise UnreadableFileError(
            f"{{path}} is compressed in a way that is not read ({int(page.compression)})",
            path=path,
            hint="save it uncompressed, or with LZW or deflate",
        )
    if page.imagelength * page.imagewidth > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise _too_large(path)
    if page.imagelength < 1 or page.imagewidth < 1:
        raise UnreadableFileError("{path} has no pixels", path=path, hint=AGAIN)
    if page.is_tiled:
        tile = page.tilelength * page.tilewidth
        if tile < SMALLEST_TILE or tile > max(MOST_TILE, 4 * page.imagelength * page.imagewidth):
            raise _odd(path, f"tiles of {page.tilelength}x{page.tilewidth} pixels")


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
        raise _transparent(path)
    if page.photometric == PALETTE:
        palette = np.asarray(page.colormap)[:, : 2**bits] // 256
        used = np.unique(samples[..., 0])
        if used[-1] >= palette.shape[1] or (palette[:, used] != palette[0, used]).any():
            raise _coloured(path)
        return palette[0].astype(np.uint8)[samples[..., 0]], 8
    pixels = samples[..., 0]
    if colours == 3 and any((pixels != samples[..., other]).any() for other in (1, 2)):
        raise _coloured(path)
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
        raise _truncated(path, f"it is too short for {rows}x{columns} pixels")
    tables = page.jpegtables
    found: NDArray[Any] = np.empty((rows, columns, samples), dtype.newbyteorder("="))
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        handle.seek(offset)
        data = handle.read(count)
        if page.compression == JPEG:
            _refuse_other_size(data, page, path)
        segment, (plane, _, top, left, _), _ = page.decode(data, number, jpegtables=tables)
        if segment is None:
            raise _truncated(path, "a part of its pixels is missing")
        part = found[top : top + segment.shape[1], left : left + segment.shape[2]]
        channels = slice(plane, plane + segment.shape[3])
        part[..., channels] = segment[0, : part.shape[0], : part.shape[1]]
    return found


def _segments(page: "TiffPage", image: int, path: Path) -> tuple[list[int], list[int]]:
    """Where the strips or tiles of a page lie, and how long they are."""
    rows, columns = page.imagelength, page.imagewidth
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, rows), columns)
    down, across = -(-rows // tall), -(-columns // wide)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    row_bytes = (wide * (page.samplesperpixel // planes) * page.bitspersample + 7) // 8
    offsets, counts = [int(one) for one in page.dataoffsets], [int(one) for one in page.databytecounts]
    if len(offsets) != down * across * planes or len(counts) != len(offsets):
        raise _truncated(path, f"{len(offsets)} of {down * across * planes} parts of its pixels")
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
            raise _truncated(path, "it says that it holds more images than it has")
        offsets = [offset + image * whole for offset in offsets]
    size, head = page.parent.filehandle.size, 16 if page.parent.is_bigtiff else 8
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        height = tall if page.is_tiled else min(tall, rows - number % down * tall)
        needed = height * row_bytes if page.compression == UNCOMPRESSED else 1
        if offset < head or count < needed or offset + count > size:
            raise _truncated(path, f"a part of its pixels is not in it ({number + 1} of {len(offsets)})")
    return offsets, counts


def _refuse_other_size(data: bytes, page: "TiffPage", path: Path) -> None:
    """Refuse a JPEG strip or tile that claims another size, before room is made for it."""
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
        dpi=_resolution(*((down, across) if turned_over else (across, down))),
        icc_profile=bytes(icc) if icc and grey else None,
        tags=tuple(texts),
        dropped=tuple(dict.fromkeys(dropped)),
    )


def _ratio(value: Any) -> float:
    """A rational number, 0 where it is none."""
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return float(value[0] / value[1])


def stored_pixels(radiograph: Radiograph, bits: int | None) -> NDArray[Any]:
    """Stored values as they are, in 8 bits where they fit and `bits` does not ask for 16.

    Raises:
        UnwritableFileError: a value is negative or needs more than `bits`.
    """
    bits = bits or (8 if radiograph.bits <= 8 else 16)
    if radiograph.stored.min() < 0:
        raise UnwritableFileError(
            "{path} has negative stored values, which a PNG or TIFF cannot hold",
            path=radiograph.source,
            hint="render it as displayed, or write a DICOM file",
            option="render",
        )
    if radiograph.stored.max() >= 2**bits:
        raise UnwritableFileError(
            f"{{path}} has stored values above {2**bits - 1}",
            path=radiograph.source,
            hint="write 16 bits, or render it as displayed",
            option="bits",
        )
    return radiograph.stored.astype(np.uint8 if bits == 8 else np.uint16)


def full_range_pixels(radiograph: Radiograph, bits: int) -> NDArray[Any]:
    """Stored values of an unsigned image, all of its depth scaled to all of `bits`, bright = dense."""
    top, new_top = 2**radiograph.bits - 1, 2**bits - 1
    shown = top - radiograph.stored.astype(np.float64) if radiograph.inverted else radiograph.stored
    scaled = np.rint(shown * (new_top / top)).clip(0, new_top)
    return np.asarray(scaled, dtype=np.uint8 if bits == 8 else np.uint16)


def write_pixels(
    pages: Iterable[NDArray[Any]], stream: BinaryIO, *, kind: RasterKind, header: RasterHeader, comment: str
) -> None:
    """Write grey pages of uint8 or uint16 pixels; only TIFF takes more than one.

    Raises:
        UnwritableFileError: the format cannot hold these pages.
    """
    if kind == "tiff":
        _write_tiff(pages, stream, header, comment)
        return
    rest = iter(pages)
    first = next(rest)
    if next(rest, None) is not None:
        raise UnwritableFileError(f"a {kind.upper()} file holds one image", hint="write a TIFF or DICOM file instead")
    image = Image.fromarray(first)
    about: dict[str, Any] = {"icc_profile": header.icc_profile} if header.icc_profile else {}
    if header.exif:
        about["exif"] = header.exif
    if kind == "webp":
        if first.dtype != np.uint8 or max(first.shape) > WEBP_MAX_SIDE:
            raise UnwritableFileError(
                f"a WebP file holds 8 bits and at most {WEBP_MAX_SIDE} pixels a side",
                hint="write a PNG file instead",
            )
        image.save(stream, format="WEBP", lossless=True, exact=True, **about)
        return
    text = PngImagePlugin.PngInfo()
    for name, content in header.chunks:
        text.add(name, content)
    for key, value in {**header.text, **({"Software": comment} if comment else {})}.items():
        text.add_text(key, value)
    if header.dpi:
        about["dpi"] = header.dpi
    image.save(stream, format="PNG", pnginfo=text, compress_level=PNG_EFFORT, **about)


def _write_tiff(pages: Iterable[NDArray[Any]], stream: BinaryIO, header: RasterHeader, comment: str) -> None:
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


def write_maps(
    maps: Iterable[NDArray[np.float32]],
    target: Path,
    *,
    source: Path,
    comment: str = "noise map, grey levels",
    before_rename: Callable[[Path], None] | None = None,
    replace: bool = True,
) -> None:
    """Write maps of 32-bit floats as the pages of a TIFF file; see `atomic_write`.

    Raises:
        UnwritableFileError: as above, or `target` is the `source` of the maps.
        ExistingFileError: there is a file of that name, and `replace` is false.
    """
    with atomic_write(target, source=source, before_rename=before_rename, replace=replace) as stream:
        write_pixels(maps, stream, kind="tiff", header=RasterHeader("tiff"), comment=comment)
