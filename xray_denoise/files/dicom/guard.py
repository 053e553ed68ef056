"""Limits on the time and the memory that parsing a DICOM file takes, whatever the file says.

pydicom parses; it reads through `LimitedStream`, which counts calls and bytes. The items of sequences, which pydicom
parses when somebody looks into them, are counted at once. A deflated data set is inflated no further than it needs.
"""

import io
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_sequence
from pydicom.tag import BaseTag

from xray_denoise.errors import UnreadableFileError
from xray_denoise.files.dicom.layout import fact

MOST_INFLATED_BYTES, MOST_INFLATED_HEAD = 256 << 20, 16 << 20
"""Largest data set in the deflated syntax, which has to be held in memory, and most of it that is no pixels."""
MOST_READS = 30_000
"""Most calls of `read` while the elements of a file are parsed. An element takes one to three, an empty item three:
at least 10 000 of either, where radiographs have some hundreds. An item costs 60 us and 1.5 kB."""
MOST_BYTES = 256 << 20
"""Most bytes of elements other than pixels. Some devices keep a second image in a private one."""
LONGEST_CHARACTER_SET = 1024
"""Bytes of (0008,0005) *Specific Character Set*: pydicom spends 0.1 ms on each name that it does not know."""
FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
"""The elements that hold pixels; parsing stops at the first of them."""
CHARACTER_SET = (b"\x08\x00\x05\x00", b"\x00\x08\x00\x05")
ITEM = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


class LimitedStream(io.RawIOBase):
    """A stream that limits the number of reads and of bytes."""

    def __init__(self, stream: BinaryIO, size: int, spent: list[int]) -> None:
        """Limit a stream of `size` bytes, of which `spent` counts reads and bytes."""
        super().__init__()
        self.unlimited, self._size, self._spent, self._last = stream, size, spent, b""

    def over(self, other: io.BytesIO) -> "LimitedStream":
        """A stream of other bytes whose reads count as this one's."""
        return LimitedStream(other, other.getbuffer().nbytes, self._spent)

    @property
    def is_spent(self) -> bool:
        """Whether the file asked for more than any radiograph needs."""
        return self._spent[0] > MOST_READS or self._spent[1] > MOST_BYTES

    @property
    def binary(self) -> BinaryIO:
        """This stream, as what pydicom's functions are declared to take."""
        return cast(BinaryIO, self)

    def read(self, size: int = -1, /) -> bytes:
        """See `io.RawIOBase`.

        Raises:
            ValueError: the limits are exceeded.
        """
        left = max(0, self._size - self.unlimited.tell())
        size = left if size < 0 else min(size, left)
        self._spent[0] += 1
        self._spent[1] += size
        if self.is_spent:
            raise ValueError("too many elements")
        if size > LONGEST_CHARACTER_SET and self._last in CHARACTER_SET:
            raise ValueError("a character set has too many names")
        found = self.unlimited.read(size)
        if size != 4:  # the length behind tag and VR
            self._last = found[:4]
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """See `io.IOBase`."""
        return self.unlimited.seek(offset, whence)

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self.unlimited.tell()

    def seekable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def readable(self) -> bool:
        """See `io.IOBase`."""
        return True


def is_known_sequence(tag: BaseTag) -> bool:
    """Whether the dictionary says that an element is a sequence."""
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"


def is_sequence(element: Any) -> bool:
    """Whether an element holds items, looked into or not."""
    if not element.value:
        return False
    if element.VR in ("UN", None):
        return is_known_sequence(element.tag) or bytes(element.value[:4]) in ITEM
    return bool(element.VR == "SQ")


def is_unknown(element: Any) -> bool:
    """Whether the value representation of an element is not known: UN, or an unknown tag in Implicit VR."""
    return bool(element.VR == "UN") or (element.VR is None and not dictionary_has_tag(element.tag))


def as_sequence(element: Any) -> RawDataElement:
    """An element of unknown representation that holds items, as a sequence.

    The items are in Implicit VR Little Endian whatever the file is in (PS3.5 6.2.2). Some writers use the encoding of
    the file; the first item shows the byte order, and to pydicom the first element of each item the VR.
    """
    value = bytes(element.value)
    return RawDataElement(element.tag, "SQ", len(value), value, 0, False, value[:4] != ITEM[1])


def count_nested(dataset: Dataset, stream: LimitedStream) -> None:
    """Count what pydicom will read when somebody looks into the sequences of known length."""
    for tag in list(dataset.keys()):
        element: Any = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            if not is_sequence(element):
                continue
            if is_unknown(element):
                element = as_sequence(element)
            value = bytes(element.value or b"")
            inner = stream.over(io.BytesIO(value))
            implicit, little = element.is_implicit_VR, element.is_little_endian
            try:
                items = read_sequence(inner.binary, implicit, little, len(value), dataset.original_character_set)
            except Exception:
                if stream.is_spent or inner.is_spent:
                    raise
                continue  # damage matters to whom needs the element
        elif element.VR == "SQ":
            items = element.value
        else:
            continue
        for item in items:
            count_nested(item, stream)


def inflate(stream: LimitedStream, path: Path) -> io.BytesIO:
    """The data set of a deflated file from where `stream` is, no more of it than its head says and needs."""
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO()

    def grow(most: int) -> bool:
        """Inflate up to `most` bytes; whether there are more."""
        while inflated.tell() <= most and not inflater.eof:
            waiting = inflater.unconsumed_tail or stream.read(1 << 16)
            if not waiting:
                return False
            inflated.write(inflater.decompress(waiting, 1 << 20))
        return inflated.tell() > most

    most = MOST_INFLATED_HEAD
    if grow(most):
        most = min(most + _pixel_bytes(LimitedStream(inflated, inflated.tell(), [0, 0])), MOST_INFLATED_BYTES)
        inflated.seek(0, io.SEEK_END)
        if grow(most):
            raise UnreadableFileError(
                f"{{path}} inflates to more than {most >> 20} MiB, far more than its pixels need",
                path=path,
                hint="if it is genuine, export it uncompressed",
            )
    inflated.seek(0)
    return inflated


def _pixel_bytes(limited: LimitedStream) -> int:
    """Bytes of pixels by the head of a data set of which there is only the beginning; 0 where that does not tell."""
    limited.seek(0)
    head = read_dataset(limited.binary, False, True, stop_when=lambda tag, *_: tag >= FLOAT_PIXELS)
    try:
        sides = [int(fact(head, keyword) or 0) for keyword in ("Rows", "Columns", "BitsAllocated")]
        return math.prod(sides) // 8 * int(fact(head, "NumberOfFrames") or 1)
    except (TypeError, ValueError):
        return 0
