"""Cut an image to its middle, or mirror it up to a size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def middle(shape: tuple[int, ...], side: int, multiple: int = 1) -> tuple[slice, slice]:
    """Rows and columns of the middle of an image, a square of `side` pixels where there is room for one.

    Args:
        shape: of the image, (H, W).
        side: of the square, pixels.
        multiple: what both sides and both corners are multiples of; the image has at least as many pixels a side.
    """
    rows, columns = (_middle(length, side, multiple) for length in shape)
    return rows, columns


def _middle(length: int, side: int, multiple: int) -> slice:
    start = max(0, (length - side) // 2) // multiple * multiple
    return slice(start, start + min(side, length) // multiple * multiple)


def mirrored(image: NDArray[Any], least: tuple[int, int]) -> NDArray[Any]:
    """An image that is mirrored at its last row and column until it has at least as many rows and columns."""
    more = [(0, max(wanted - length, 0)) for wanted, length in zip(least, image.shape, strict=True)]
    return np.pad(image, more, mode="symmetric")
