"""Read and write PNG, TIFF and WebP, and read JPEG: grey pixels, and a note of what is lost.

JPEG is read only: it would change the pixels again. `picture.py` reads files by Pillow, `tiff.py` by tifffile.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from xray_denoise.errors import UnwritableFileError
from xray_denoise.files.atomic import atomic_write
from xray_denoise.files.damage import as_unreadable
from xray_denoise.files.picture import WEBP_MAX_SIDE, read_picture
from xray_denoise.files.raster_header import RasterHeader, RasterKind, too_large
from xray_denoise.files.tiff import read_tiff, write_tiff
from xray_denoise.files.tiff_pages import count_images
from xray_denoise.radiograph import Radiograph, robust_range

PNG_EFFORT = 3
"""zlib level: a third of the time of the default 6, for files 3 to 10 % larger."""
FEW_LEVELS = 64
"""A picture of fewer bits than its source whose pixels are spread over fewer grey levels is noted: steps are seen."""


def read_frames(path: Path, kind: RasterKind, value_range: tuple[float, float] | None) -> Iterator[Radiograph]:
    """Yield the pages of a grey raster image one by one, upright; all but TIFF have one.

    Args:
        path: the file.
        kind: its format, known from its first bytes.
        value_range: stored values that map to grey levels 0 and 255; by default the full range of 8 bits, or the
            robust range of a deeper image.

    Raises:
        UnreadableFileError: the file is damaged, coloured, transparent, animated or far too large.
    """
    with _as_unreadable(path):
        for stored, bits, header in read_tiff(path) if kind == "tiff" else read_picture(path, kind):
            yield Radiograph(
                stored,
                value_range or ((0.0, 255.0) if bits == 8 else robust_range(stored)),
                bits=bits,
                header=header,
                source=path,
            )


def count_frames(path: Path, kind: RasterKind) -> int:
    """How many frames `read_frames` yields, by what precedes the pixels.

    Raises:
        UnreadableFileError: a TIFF file is damaged there, or has pages that are not read.
    """
    if kind != "tiff":
        return 1
    with _as_unreadable(path):
        return count_images(path)


@contextmanager
def _as_unreadable(path: Path) -> Iterator[None]:
    what = "it is damaged, incomplete or of an unusual kind"
    hint = "open it in an image editor and save it again as a grey PNG of 8 or 16 bits"
    with as_unreadable(path, what, hint):
        try:
            yield
        except Image.DecompressionBombError as error:
            raise too_large(path) from error


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


def scaled_range(
    radiograph: Radiograph, bits: int | None, value_range: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Stored values of an unsigned image that become 0 and 2**bits - 1 in a picture of `bits`.

    They are `value_range`, or the lowest and highest value of its depth; None where values stay as they are: `bits` are
    not given, or those of the image.
    """
    if bits is None or bits == radiograph.bits:
        return None
    return value_range or (0.0, 2.0**radiograph.bits - 1)


def scaled_pixels(radiograph: Radiograph, bits: int, ends: tuple[float, float]) -> NDArray[Any]:
    """Stored values of an unsigned image, `ends` scaled to all of `bits`, clipped, bright = dense."""
    (low, high), top = ends, 2**bits - 1
    shown = high - radiograph.stored.astype(np.float64) if radiograph.inverted else radiograph.stored - low
    scaled = np.rint(shown * (top / (high - low))).clip(0, top)
    return np.asarray(scaled, dtype=np.uint8 if bits == 8 else np.uint16)


def scaling_caveats(
    radiograph: Radiograph, bits: int | None, value_range: tuple[float, float] | None
) -> tuple[str, ...]:
    """What a picture of `bits` does to the stored values; usually nothing. See `scaled_range`."""
    ends = scaled_range(radiograph, bits, value_range)
    if bits is None or ends is None:
        return ()
    (low, high), top = ends, 2**bits - 1
    scaled = f"its stored values from {low:g} to {high:g} were scaled to 0 to {top}"
    used_low, used_high = radiograph.value_range
    few = bits < radiograph.bits and (used_high - used_low) * top / (high - low) < FEW_LEVELS
    if few and not radiograph.is_blank:
        return scaled, f"fewer than {FEW_LEVELS} grey levels of it are left; a value range that fits it keeps more"
    return (scaled,)


def write_pixels(
    pages: Iterable[tuple[NDArray[Any], RasterHeader]], stream: BinaryIO, *, kind: RasterKind, comment: str
) -> None:
    """Write grey pages of uint8 or uint16 pixels, each with its metadata; only TIFF takes more than one.

    Raises:
        UnwritableFileError: the format cannot hold these pages.
    """
    if kind == "tiff":
        write_tiff(pages, stream, comment)
        return
    rest = iter(pages)
    first, header = next(rest)
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
        pages = ((one, RasterHeader("tiff")) for one in maps)
        write_pixels(pages, stream, kind="tiff", comment=comment)
