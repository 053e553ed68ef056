"""Disk <-> Radiograph; the only code that knows a file format.

    radiograph = files.read(path)                                # one image
    for frame in files.read_frames(path): ...                    # each frame or page, one in memory at a time
    files.write(radiograph.with_grey(denoised), target, derivation=Derivation(...))
    files.write((work(frame) for frame in files.read_frames(path)), target, derivation=...)

A file is what its first bytes say, whatever its name; a new file is what its suffix says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.files.derivation import Derivation, SimulatedNoise
from xray_denoise.files.formats import (
    ONE_IMAGE,
    READ_ONLY,
    SUFFIXES,
    Kind,
    dicom_header,
    ending,
    is_dicom,
    is_radiograph,
    kind_of,
    sniff,
)
from xray_denoise.files.writing import Compression, Private, Render, require_encoder, write
from xray_denoise.radiograph import Radiograph

__all__ = [
    "READ_ONLY",
    "SUFFIXES",
    "Compression",
    "Derivation",
    "Kind",
    "Private",
    "Render",
    "SimulatedNoise",
    "caveats",
    "count_frames",
    "displayed",
    "ending",
    "is_dicom",
    "is_radiograph",
    "is_timed",
    "kind_of",
    "read",
    "read_frames",
    "refuse_several_frames",
    "require_encoder",
    "sniff",
    "write",
]


def read(path: Path, *, value_range: tuple[float, float] | None = None) -> Radiograph:
    """Read a file that holds one image.

    Args:
        path: DICOM, PNG, TIFF, WebP or JPEG, whatever its suffix.
        value_range: stored values that map to grey levels 0 and 255; by default (0, 255) for 8-bit raster
            images, and the robust range of the image for all others.

    Raises:
        UnreadableFileError: the file is missing, damaged, no grey image, or holds several.
    """
    frames = read_frames(path, value_range=value_range)
    radiograph = next(frames)
    if next(frames, None) is not None:
        raise UnreadableFileError(
            "{path} holds more than one image", path=path, hint="save its frames as single images"
        )
    return radiograph


def read_frames(
    path: Path, *, value_range: tuple[float, float] | None = None, kind: Kind | None = None
) -> Iterator[Radiograph]:
    """Read the frames or pages of a file one by one; a file of one image yields one. See `read`.

    `kind` is what `kind_of` says of the file, where that has been asked already.
    """
    kind = kind or kind_of(path)
    if kind == "dicom":
        from xray_denoise.files.dicom import read as dicom

        return dicom.read_frames(path, value_range)
    from xray_denoise.files import raster

    return raster.read_frames(path, kind, value_range)


def count_frames(path: Path, *, kind: Kind | None = None) -> int:
    """How many frames `read_frames` yields, by the head of the file alone.

    Raises:
        UnreadableFileError: as `read_frames`, but for damage to the pixels.
    """
    kind = kind or kind_of(path)
    if kind == "dicom":
        from xray_denoise.files.dicom import read as dicom

        return dicom.count_frames(path)
    from xray_denoise.files import raster

    return raster.count_frames(path, kind)


def displayed(radiograph: Radiograph) -> NDArray[Any] | None:
    """A DICOM image as a viewer shows it, uint8, (H, W); None where the file has neither window nor VOI LUT.

    Raises:
        UnreadableFileError: they are damaged.
    """
    header = dicom_header(radiograph)
    if header is None:
        return None
    from xray_denoise.files.damage import as_unreadable
    from xray_denoise.files.dicom import render

    with as_unreadable(radiograph.source):
        return render.displayed_pixels(radiograph, header, 8) if render.has_window(header) else None


def refuse_several_frames(source: Path, target: Path, *, kind: Kind | None = None) -> None:
    """Refuse to make a picture of a file of several frames, before any of them is read.

    Raises:
        UnwritableFileError: `target` holds one image by its name, and `source` more.
    """
    made = SUFFIXES.get(target.suffix.lower())
    if made in ONE_IMAGE and (count := count_frames(source, kind=kind)) > 1:
        raise UnwritableFileError(
            f"{{path}} has {count} frames, and a {made.upper()} file holds one image",
            path=source,
            hint="write a TIFF or DICOM file instead",
        )


def is_timed(radiograph: Radiograph) -> bool:
    """Whether its file says that its frames are of one view and were taken one after the other."""
    header = dicom_header(radiograph)
    if header is None:
        return False
    from xray_denoise.files.dicom import read as dicom

    return dicom.is_timed(header)


def caveats(
    radiograph: Radiograph,
    target: Path | None = None,
    *,
    bits: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> tuple[str, ...]:
    """Sentences that a user should see before trusting the result, without a subject; usually none.

    Args:
        radiograph: what `read` gave.
        target: the file that it becomes, which may keep less than one of the same format does.
        bits: of its pixels, and
        value_range: as for `write`: stored values may be scaled.
    """
    if radiograph.header is None:
        return ()
    header = dicom_header(radiograph)
    if header is None:
        from xray_denoise.files import raster
        from xray_denoise.files.raster_header import RasterHeader

        metadata = radiograph.header
        if not isinstance(metadata, RasterHeader):
            return ()
        kind = SUFFIXES.get(target.suffix.lower()) if target else None
        lost = metadata.caveats(None if kind == "dicom" else kind)
        return (*lost, *raster.scaling_caveats(radiograph, bits, value_range))
    from xray_denoise.files.dicom import read as dicom

    return dicom.caveats(header)
