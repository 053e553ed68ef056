"""PNG, TIFF and WebP: grey pixels in, grey pixels out, nothing lost in between."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin

from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.files.damage import damage_named
from xray_denoise.radiograph import Radiograph, robust_span

RasterKind = Literal["png", "tiff", "webp"]

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B")
TIFF_BITS_PER_SAMPLE = 258
TIFF_COMPRESSION, TIFF_UNCOMPRESSED = 259, 1
TIFF_PHOTOMETRIC = 262
TIFF_STRIP_OFFSETS, TIFF_ROWS_PER_STRIP = 273, 278
BEST_RATIO = 1500
"""Deflate makes no more than 1032 bytes of one, LZW a little more."""
WHITE_IS_ZERO = 0
PNG_EFFORT = 3
"""zlib level: a third of the time of the default 6, for files 3 to 10 % larger."""
MOST_DPI = 1e6
"""Pixels per inch; what claims more, or no number, is damaged."""
WEBP_MAX_SIDE = 16383
"""Pixels per side; the format holds no more."""


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


def read_frames(path: Path, kind: RasterKind, span: tuple[float, float] | None) -> Iterator[Radiograph]:
    """Yield the pages of a grey raster image one by one; PNG and WebP have one.

    Args:
        path: the file.
        kind: its format, known from its first bytes.
        span: stored values that map to grey levels 0 and 255; by default the full range of 8 bits, or the
            robust range of a deeper image.

    Raises:
        UnreadableFileError: the file is damaged, coloured, transparent, animated or far too large.
    """
    with _damage_named(path), Image.open(path, formats=[kind.upper()]) as image:
        pages = getattr(image, "n_frames", 1)
        if pages > 1 and kind != "tiff":
            raise UnreadableFileError(f"{path} is animated", hint="save its frames as single images")
        for page in range(pages):
            image.seek(page)
            _refuse_truncated(image, path)
            stored, bits = _grey_pixels(image, kind, path)
            header = _header(image, kind)
            yield Radiograph(
                stored,
                span or ((0.0, 255.0) if bits == 8 else robust_span(stored)),
                bits=bits,
                header=header,
                source=path,
            )


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    what = "it is damaged, incomplete or of an unusual kind"
    hint = "open it in an image editor and save it again as a grey PNG of 8 or 16 bits"
    with damage_named(path, what, hint):
        try:
            yield
        except Image.DecompressionBombError as error:
            raise UnreadableFileError(
                f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels",
                hint="no radiograph is that large; cut it into parts if it is genuine",
            ) from error


def _refuse_truncated(image: Image.Image, path: Path) -> None:
    """Pillow takes what is missing from a TIFF file for black, and makes room for any size that a head claims."""
    depth = 2 if image.mode.startswith("I") else 1
    ratio = float("inf") if image.format == "WEBP" else BEST_RATIO
    strips = 1.0
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        ratio = 1 if tags.get(TIFF_COMPRESSION, TIFF_UNCOMPRESSED) == TIFF_UNCOMPRESSED else ratio
        ratio *= 8 if image.mode == "1" else 4 / 3  # eight pixels a byte, or pixels of 12 bits
        if TIFF_STRIP_OFFSETS in tags:
            strips = len(tags[TIFF_STRIP_OFFSETS]) * tags.get(TIFF_ROWS_PER_STRIP, image.height) / image.height
    if strips < 1 or path.stat().st_size * ratio < image.width * image.height * depth:
        raise UnreadableFileError(
            f"{path} is truncated: it is too short for {image.height}x{image.width} pixels",
            hint="fetch the file again from its source",
        )


def _grey_pixels(image: Image.Image, kind: RasterKind, path: Path) -> tuple[NDArray[Any], int]:
    """The only channel of a page and its bit depth."""
    if kind == "png":
        _refuse_deep_colour(path)
    mode = image.mode
    if mode in SIXTEEN_BIT_MODES or (mode == "I" and kind == "png"):
        pixels = np.asarray(image).astype(np.uint16)
        _refuse_transparency(pixels, image.info.get("transparency"), path)
        bits = 16
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            bits = int(image.tag_v2[TIFF_BITS_PER_SAMPLE][0])
            if image.tag_v2.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:
                pixels = (2**bits - 1 - pixels).astype(np.uint16)
        return pixels, bits
    if mode in ("1", "L"):
        pixels = np.array(image.convert("L"))
        _refuse_transparency(pixels, image.info.get("transparency"), path)
        return pixels, 8
    if mode in ("P", "PA", "LA", "La", "RGB", "RGBA", "RGBX", "RGBa"):
        red, green, blue, alpha = np.moveaxis(np.asarray(image.convert("RGBA")), 2, 0)
        if (alpha != 255).any():
            raise UnreadableFileError(f"{path} is partly transparent", hint="save it without an alpha channel")
        if (red == green).all() and (red == blue).all():
            return red.copy(), 8
        raise UnreadableFileError(f"{path} is a colour image", hint="convert it to grey first")
    raise UnreadableFileError(
        f"{path} has pixels of the kind {mode!r}, not grey levels of 8 or 16 bits",
        hint="save it as a grey PNG or TIFF of 8 or 16 bits",
    )


def _refuse_deep_colour(path: Path) -> None:
    """Pillow would cut 16-bit colour to 8 bits without a word."""
    with path.open("rb") as stream:
        depth, colour_type = stream.read(26)[24:26]
    if depth == 16 and colour_type != 0:
        raise UnreadableFileError(
            f"{path} has 16-bit colour or alpha channels",
            hint="save it as 16-bit grey without an alpha channel",
        )


def _refuse_transparency(pixels: NDArray[Any], transparent: object, path: Path) -> None:
    if isinstance(transparent, int) and (pixels == transparent).any():
        raise UnreadableFileError(f"{path} is partly transparent", hint="save it without a transparent grey level")


def _header(image: Image.Image, kind: RasterKind) -> RasterHeader:
    info = image.info
    dpi = tuple(float(number) for number in info.get("dpi", ()))
    return RasterHeader(
        kind=kind,
        dpi=(dpi[0], dpi[1]) if len(dpi) == 2 and all(0 < number <= MOST_DPI for number in dpi) else None,
        text={key: str(text) for key, text in getattr(image, "text", {}).items()},
        icc_profile=info.get("icc_profile") if image.mode in ("1", "L", *SIXTEEN_BIT_MODES) else None,
        exif=info.get("exif") if kind != "tiff" else None,
    )


def stored_pixels(radiograph: Radiograph, bits: int | None) -> NDArray[Any]:
    """Stored values as they are, in 8 bits where they fit and `bits` does not ask for 16.

    Raises:
        UnwritableFileError: a value is negative or needs more than `bits`.
    """
    bits = bits or (8 if radiograph.bits <= 8 else 16)
    if radiograph.stored.min() < 0:
        raise UnwritableFileError(
            f"{radiograph.source} has negative stored values, which a PNG or TIFF cannot hold",
            hint="use --render display, or write a DICOM file",
        )
    if radiograph.stored.max() >= 2**bits:
        raise UnwritableFileError(
            f"{radiograph.source} has stored values above {2**bits - 1}",
            hint="use --bits 16, or --render display",
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
    rest = iter(pages)
    first = next(rest)
    if kind == "tiff":
        _write_tiff(chain([first], rest), stream, header, comment)
        return
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
    for key, value in {**header.text, **({"Software": comment} if comment else {})}.items():
        text.add_text(key, value)
    if header.dpi:
        about["dpi"] = header.dpi
    image.save(stream, format="PNG", pnginfo=text, compress_level=PNG_EFFORT, **about)


def _write_tiff(pages: Iterable[NDArray[Any]], stream: BinaryIO, header: RasterHeader, comment: str) -> None:
    about: dict[str, Any] = {"compression": "tiff_adobe_deflate"}
    if header.dpi:
        about["dpi"] = header.dpi
    if header.icc_profile:
        about["icc_profile"] = header.icc_profile
    if comment:
        about["software"] = comment
    with _TiffWriter(stream) as tiff:
        for page in pages:
            Image.fromarray(page).save(tiff, format="TIFF", **about)
            tiff.newFrame()


class _TiffWriter(TiffImagePlugin.AppendingTiffWriter):
    """Goes on from the last page: Pillow looks for the end from the first one, again for each page."""

    def __init__(self, stream: BinaryIO) -> None:
        self._last_link = 0
        super().__init__(stream)

    def skipIFDs(self) -> None:  # noqa: N802 - Pillow's name
        """Find the place where the next page is linked."""
        if self._last_link:
            self.f.seek(self._last_link)
        super().skipIFDs()
        self._last_link = self.whereToWriteNewIFDOffset or 0
