"""What is written beside images: tables, plots and noise maps."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise.files import raster
from xray_denoise.files.whole import whole_file


def write_bytes(content: bytes, target: Path) -> None:
    """Make or replace a file of our own, whole or not at all.

    Raises:
        UnwritableFileError: the folder is missing or the disk refuses.
    """
    with whole_file(target, source=None) as stream:
        stream.write(content)


def write_maps(
    maps: Iterable[NDArray[np.float32]],
    target: Path,
    *,
    source: Path,
    when_whole: Callable[[Path], None] | None = None,
    replace: bool = True,
) -> None:
    """Write maps of 32-bit floats as the pages of a TIFF file; see `whole_file`.

    Raises:
        UnwritableFileError: as above, or `target` is the `source` of the maps.
        ExistingFileError: there is a file of that name, and `replace` is false.
    """
    with whole_file(target, source=source, when_whole=when_whole, replace=replace) as stream:
        raster.write_pixels(
            maps, stream, kind="tiff", header=raster.RasterHeader("tiff"), comment="noise map, grey levels"
        )
