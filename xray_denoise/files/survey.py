"""Look over a data set before it is read: a few megabytes of empty elements take gigabytes and minutes to hold.

The walk is flat: it reads the heads of elements and items one behind the other, whatever their depth, and skips values.
"""

import io
import struct
from typing import BinaryIO

HEAD = 8
"""Bytes of tag and length, or of tag, VR and short length."""
LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations whose length takes four bytes of its own (PS3.5 table 7.1-1)."""
RAW_VRS = frozenset((b"OB", b"OW"))
META_GROUP, ITEM_GROUP = 0x0002, 0xFFFE
ITEM, SEQUENCE_END = 0xE000, 0xE0DD
PIXELS = (0x7FE0, 0x0010)
UNDEFINED_LENGTH = 0xFFFFFFFF


def exceeds(stream: BinaryIO, most: int, *, implicit: bool, little_endian: bool) -> bool:
    """Whether more than `most` elements and items come before the Pixel Data, or the end.

    Args:
        stream: at the first element, of the file's head or of the data set.
        most: the limit.
        implicit: whether the data set is in Implicit VR; the file's head never is.
        little_endian: the byte order of the data set; that of the file's head is little-endian.
    """
    raw = False
    for _ in range(most + 1):
        head = stream.read(HEAD)
        if len(head) < HEAD:
            return False
        group, element, length = struct.unpack("<HHL", head)
        in_meta = group == META_GROUP
        order = "<" if little_endian or in_meta else ">"
        group, element, length = struct.unpack(f"{order}HHL", head)
        if (group, element) == PIXELS or group == 0:
            return False
        if group == ITEM_GROUP:  # the items of a raw value hold no elements
            stream.seek(length if raw and element == ITEM else 0, io.SEEK_CUR)
            raw = raw and element != SEQUENCE_END
            continue
        vr = head[4:6] if in_meta or not implicit else b""
        explicit = vr.isalpha() and vr.isupper()  # in UN, elements are implicit in any syntax
        if explicit and vr in LONG_VRS:
            (length,) = struct.unpack(f"{order}L", stream.read(4).ljust(4, b"\0"))
        elif explicit:
            (length,) = struct.unpack(f"{order}H", head[6:])
        if length == UNDEFINED_LENGTH:
            raw = explicit and vr in RAW_VRS
        elif not (vr == b"SQ" if explicit else _at_item(stream, order)):
            stream.seek(length, io.SEEK_CUR)
    return True


def _at_item(stream: BinaryIO, order: str) -> bool:
    """Whether an implicit value is a sequence: it begins with an item."""
    start = stream.read(4)
    stream.seek(-len(start), io.SEEK_CUR)
    return start == struct.pack(f"{order}HH", ITEM_GROUP, ITEM)
