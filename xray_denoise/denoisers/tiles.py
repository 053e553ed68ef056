"""Windows that cover an image once, each with a halo as wide as a network sees (docs/decisions/0004)."""

import math
from collections.abc import Iterator
from typing import NamedTuple


class Window(NamedTuple):
    """One tile: the input of the network, and the part of its output that is kept."""

    input: tuple[slice, slice]
    """What the network sees, in the image."""
    output: tuple[slice, slice]
    """What is kept of that, in the image."""

    @property
    def crop(self) -> tuple[slice, slice]:
        """`output` in coordinates of `input`."""
        rows, columns = (
            slice(kept.start - seen.start, kept.stop - seen.start)
            for seen, kept in zip(self.input, self.output, strict=True)
        )
        return rows, columns


def windows(shape: tuple[int, int], tile: tuple[int, int], halo: int) -> Iterator[Window]:
    """Tiles that cover an image once, all of one size.

    Args:
        shape: (H, W) of the image.
        tile: height and width of what the network sees; a side of the image that is no longer is seen whole.
        halo: pixels at each inner edge that are seen but not kept; less than half of `tile`.
    """
    for rows in _spans(shape[0], tile[0], halo):
        for columns in _spans(shape[1], tile[1], halo):
            yield Window((rows[0], columns[0]), (rows[1], columns[1]))


def _spans(length: int, tile: int, halo: int) -> Iterator[tuple[slice, slice]]:
    """(seen, kept) along one axis."""
    kept_to = 0
    while kept_to < length:
        start = max(0, min(kept_to - halo, length - tile))
        stop = min(start + tile, length)
        kept_from, kept_to = kept_to, length if stop == length else stop - halo
        yield slice(start, stop), slice(kept_from, kept_to)


def even_side(length: int, limit: int, halo: int, stride: int) -> int:
    """Side, up to `limit` and a multiple of `stride`, of the fewest equal windows along `length` pixels."""
    if length <= limit:
        return length
    overlap = 2 * halo
    count = math.ceil((length - overlap) / (limit - overlap))
    side = math.ceil((length + overlap * (count - 1)) / count)
    return side + -side % stride
