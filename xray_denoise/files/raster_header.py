"""Metadata of PNG, TIFF, WebP and JPEG files, and the errors for files that are refused."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xray_denoise.errors import AGAIN, UnreadableFileError

RasterKind = Literal["png", "tiff", "webp", "jpeg"]

MOST_DPI = 1e6
"""Pixels per inch; what claims more, or no number, is damaged."""
BEST_RATIO = 1500
"""Deflate makes no more than 1032 bytes of one, LZW a little more."""
LONGEST_CHUNK = 1 << 24
"""Bytes of a PNG chunk that holds no pixels, and of all values of a TIFF directory but the places of pixels."""
ORIENTATION = 0x0112
"""Of EXIF and TIFF: 1 is upright, 5 to 8 exchange rows and columns."""


@dataclass(frozen=True, slots=True)
class RasterHeader:
    """The metadata of a raster file."""

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
    subfile_type: int = 0
    """TIFF 6.0 *NewSubfileType*: 1 of a reduced copy of another page, such as a thumbnail, 2 of a page of several."""
    dropped: tuple[str, ...] = ()
    """Names of what no new file will hold."""

    def caveats(self, kind: RasterKind | None = None) -> tuple[str, ...]:
        """What is lost in a new file of this `kind` (by default the same as the source); usually nothing."""
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


def too_large(path: Path) -> UnreadableFileError:
    """It has more pixels than any radiograph."""
    return UnreadableFileError(
        f"{{path}} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels",
        path=path,
        hint="no radiograph is that large; cut it into parts if it is genuine",
    )


def truncated(path: Path, what: str) -> UnreadableFileError:
    """A part of it is missing."""
    return UnreadableFileError(f"{{path}} is truncated: {what}", path=path, hint=AGAIN)


def transparent(path: Path) -> UnreadableFileError:
    """Its pixels are partly transparent."""
    return UnreadableFileError("{path} is partly transparent", path=path, hint="save it without an alpha channel")


def coloured(path: Path) -> UnreadableFileError:
    """It is a colour image."""
    return UnreadableFileError("{path} is a colour image", path=path, hint="convert it to grey first")


def odd(path: Path, what: str) -> UnreadableFileError:
    """It has pixels of another kind than grey levels of 8 or 16 bits."""
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


def resolution(across: Any, down: Any) -> tuple[float, float] | None:
    """Pixels per inch, None for what is no resolution."""
    numbers = float(across), float(down)
    return numbers if all(0 < number <= MOST_DPI for number in numbers) else None
