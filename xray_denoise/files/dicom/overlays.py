"""Overlay bits that old files hide in the unused high bits of the pixel words.

Writing new pixels would wipe them, so they move to (60xx,3000) *Overlay Data*, where they belong since 2004.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from xray_denoise.errors import UnreadableFileError
from xray_denoise.files.dicom.layout import Layout

OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
ROWS, COLUMNS, ALLOCATED, POSITION, DATA = 0x0010, 0x0011, 0x0100, 0x0102, 0x3000
BITS_ALLOCATED, BITS_STORED = 0x00280100, 0x00280101


def embedded_overlays(facts: Dataset) -> list[int]:
    """The groups 60xx whose bits lie in the pixel words: no data of their own, and a bit that no stored value uses.

    Many writers leave the head of an overlay behind that is gone, with bit 0.
    """
    unused = range(int(facts[BITS_STORED].value), int(facts[BITS_ALLOCATED].value))
    groups = [group for group in OVERLAY_GROUPS if (group, POSITION) in facts and (group, DATA) not in facts]
    return [group for group in groups if facts[group, POSITION].value in unused]


def with_overlays_moved(header: FileDataset, words: NDArray[Any], layout: Layout, path: Path) -> FileDataset:
    """Move every embedded overlay of `header` to Overlay Data.

    Args:
        header: the data set, changed in place.
        words: the only frame as it is in the file.
        layout: of the frame.
        path: for messages.

    Raises:
        UnreadableFileError: the overlay has another size, hides behind a compression or spans several frames.
    """
    syntax = UID(header.file_meta.TransferSyntaxUID)
    facts = header[:0x7FE00000]
    for group in embedded_overlays(facts):
        bit = int(facts[group, POSITION].value)
        size = tuple(int(facts[group, side].value) if (group, side) in facts else 0 for side in (ROWS, COLUMNS))
        if layout.frames != 1 or syntax.is_encapsulated or size != (layout.rows, layout.columns):
            raise UnreadableFileError(
                f"{{path}} has an overlay in bit {bit} of its pixels that cannot be moved out",
                path=path,
                hint="save it with the overlay in (60xx,3000), or without it",
            )
        packed = np.packbits((words >> bit) & 1, bitorder="little").tobytes()
        header.add_new((group, ALLOCATED), "US", 1)
        header.add_new((group, POSITION), "US", 0)
        # header keeps the byte order of its file, in which it will be converted like every other OW
        data = np.frombuffer(packed + b"\0" * (len(packed) % 2), dtype="<u2")
        header.add_new((group, DATA), "OW", data.astype("<u2" if syntax.is_little_endian else ">u2").tobytes())
    return header
