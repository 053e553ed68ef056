"""Read and write the grey pixels of TIFF files by tifffile; each part is checked before it is decoded."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xray_denoise.errors import AGAIN, UnreadableFileError
from xray_denoise.files.raster_header import (
    BEST_RATIO,
    ORIENTATION,
    RasterHeader,
    coloured,
    resolution,
    transparent,
    truncated,
    turned,
)
from xray_denoise.files.tiff_pages import (
    BLACK_IS_ZERO,
    JPEG,
    PALETTE,
    RGB,
    UNCOMPRESSED,
    WHITE_IS_ZERO,
    images_behind,
    named_page,
    opened_pages,
)

if TYPE_CHECKING:
    from tifffile import TiffPage

TIFF_EFFORT = 6
"""zlib level."""
SUBFILE_TYPE, ICC_PROFILE = 254, 34675
TIFF_COPIED = {270: "ImageDescription", 271: "Make", 272: "Model", 306: "DateTime", 315: "Artist", 33432: "Copyright"}
"""Tags whose text goes into a new TIFF file."""
TIFF_USED = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 269, 273, 274, 277, 278, 279, 280, 281, 282, 283}
TIFF_USED |= {284, 288, 289, 290, 291, 292, 293, 296, 297, 305, 317, 320, 322, 323, 324, 325, 338, 339, 340, 341, 347}
TIFF_USED |= {530, 531, 532, ICC_PROFILE}
"""Tags that say how pixels are stored, and those that are kept in another way."""
WITH_BEST_RATIO = {5, 8, 32773, 32946}


def read_tiff(path: Path) -> Iterator[tuple[NDArray[Any], int, RasterHeader]]:
    """The images of a TIFF file, one by one: one behind each directory, or several behind the only one."""
    for number, page, count in opened_pages(path):
        header = _tiff_header(page)
        for image in range(images_behind(page, count, path) if number == 0 else 1):
            with named_page(number, count):
                pixels, bits = _page_pixels(page, image, path)
            yield turned(pixels, page.tags.valueof(ORIENTATION, 1)), bits, header


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
    kind = tags.valueof(SUBFILE_TYPE)
    grey = page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    dropped += ["ICC profile"] if icc and not grey else []
    return RasterHeader(
        kind="tiff",
        dpi=resolution(*((down, across) if turned_over else (across, down))),
        icc_profile=bytes(icc) if icc and grey else None,
        tags=tuple(texts),
        dropped=tuple(dict.fromkeys(dropped)),
        subfile_type=kind & 3 if isinstance(kind, int) else 0,
    )


def _ratio(value: Any) -> float:
    """A rational number; 0 if it is invalid."""
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return float(value[0] / value[1])


def write_tiff(pages: Iterable[tuple[NDArray[Any], RasterHeader]], stream: BinaryIO, comment: str) -> None:
    """Write pages of grey pixels, each with its own metadata, compressed without loss.

    `comment` becomes the tag Software of every page.
    """
    import tifffile

    with tifffile.TiffWriter(tifffile.FileHandle(stream, name="pages")) as tiff:
        for pixels, header in pages:
            extra = [(code, "s", 0, text, True) for code, text in header.tags]
            if header.icc_profile:
                extra.append((ICC_PROFILE, "B", len(header.icc_profile), header.icc_profile, True))
            tiff.write(
                pixels,
                photometric="minisblack",
                subfiletype=header.subfile_type or None,
                compression="adobe_deflate",
                compressionargs={"level": TIFF_EFFORT},
                metadata=None,
                resolution=header.dpi,
                resolutionunit="INCH" if header.dpi else None,
                software=comment or False,
                extratags=extra,
            )
