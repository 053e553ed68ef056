"""Overlay bits that old files hide in the unused high bits of the pixel words.

Writing new pixels would wipe them, so they move to (60xx,3000) *Overlay Data*, where they belong since 2004.
"""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from xray_denoise.errors import UnreadableFileError

OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
ROWS, COLUMNS, ALLOCATED, POSITION, DATA = 0x0010, 0x0011, 0x0100, 0x0102, 0x3000
PIXELS = 0x7FE00010


def embedded_overlays(facts: Dataset) -> list[int]:
    """The groups 60xx whose bits lie in the pixel words: a bit position, and no data of their own."""
    return [group for group in OVERLAY_GROUPS if (group, POSITION) in facts and (group, DATA) not in facts]


def with_overlays_moved(header: FileDataset, frames: int, path: Path) -> FileDataset:
    """Move every embedded overlay of `header`, which still has its Pixel Data, to Overlay Data.

    Raises:
        UnreadableFileError: the overlay has another size, hides behind a compression or spans several frames.
    """
    syntax = UID(header.file_meta.TransferSyntaxUID)
    facts = header[:PIXELS]
    rows, columns, bits_stored = int(facts.Rows), int(facts.Columns), int(facts.BitsStored)
    words = None
    for group in embedded_overlays(facts):
        bit = int(facts[group, POSITION].value)
        size = int(facts[group, ROWS].value), int(facts[group, COLUMNS].value)
        plain = frames == 1 and facts.BitsAllocated == 16 and not syntax.is_encapsulated
        if not plain or size != (rows, columns) or not bits_stored <= bit < 16:
            raise UnreadableFileError(
                f"{path} has an overlay in bit {bit} of its pixels that cannot be moved out",
                hint="save it with the overlay in (60xx,3000), or without it",
            )
        if words is None:
            order = "<u2" if syntax.is_little_endian else ">u2"
            words = np.frombuffer(header.PixelData, dtype=order, count=rows * columns)
        packed = np.packbits((words >> bit) & 1, bitorder="little").tobytes()
        header.add_new((group, ALLOCATED), "US", 1)
        header.add_new((group, POSITION), "US", 0)
        # header keeps the byte order of its file, in which it will be converted like every other OW
        data = np.frombuffer(packed + b"\0" * (len(packed) % 2), dtype="<u2")
        header.add_new((group, DATA), "OW", data.astype("<u2" if syntax.is_little_endian else ">u2").tobytes())
    return header
