"""Read the grey pixels of a PNG, WebP or JPEG file by Pillow, within limits that are checked first."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xray_denoise.errors import AGAIN, UnreadableFileError
from xray_denoise.files import jpeg
from xray_denoise.files.raster_header import (
    BEST_RATIO,
    LONGEST_CHUNK,
    ORIENTATION,
    RasterHeader,
    RasterKind,
    coloured,
    odd,
    resolution,
    too_large,
    transparent,
    truncated,
    turned,
)

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B")
WEBP_MAX_SIDE = 16383
"""Pixels per side; the format holds no more."""
MOST_WEBP_BYTES = 2 * WEBP_MAX_SIDE**2
"""Of a file, which Pillow reads at once; grey pixels take less than half of it."""

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_COPIED = (b"gAMA", b"cHRM", b"sRGB")
"""Chunks that go into a new PNG file as they are."""
PNG_USED = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")
MOST_CHUNK_NAMES = 1000
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
PNG_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of an interlaced image: first row and column, steps."""


def read_picture(path: Path, kind: RasterKind) -> Iterator[tuple[NDArray[Any], int, RasterHeader]]:
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
            raise truncated(path, f"it is too short for {image.height}x{image.width} pixels")
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
        raise truncated(path, f"{inflated} of {wanted} bytes of pixels")
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
        raise too_large(path)
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
            raise transparent(path)
        if not ((red == green).all() and (red == blue).all()):
            raise coloured(path)
        return red.copy(), 8
    raise odd(path, f"pixels of the kind {mode!r}")


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
        dpi=resolution(*(info.get("dpi") or (0, 0))),
        text={key: str(text) for key, text in getattr(image, "text", {}).items()},
        icc_profile=info.get("icc_profile") if grey else None,
        exif=info.get("exif"),
        chunks=tuple((name, content) for name, content in chunks.items() if content),
        dropped=tuple(name if name.isprintable() else "unknown chunk" for name in dropped),
    )


def _orientation(image: Image.Image, header: RasterHeader) -> tuple[int, RasterHeader]:
    """The EXIF orientation, and the header without it."""
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
