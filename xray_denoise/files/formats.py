"""Which format a file has, by its first bytes, and which one a new file gets, by its suffix."""

import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xray_denoise.errors import UnreadableFileError
from xray_denoise.radiograph import Radiograph

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

Kind = Literal["dicom", "png", "tiff", "webp", "jpeg"]
Written = Literal["dicom", "png", "tiff", "webp"]

SUFFIXES: dict[str, Written] = {
    ".dcm": "dicom",
    ".dicom": "dicom",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
"""What a new file becomes."""
ONE_IMAGE = ("png", "webp")
"""Formats whose files hold one image."""
READ_ONLY = (".jpg", ".jpeg", ".jpe", ".jfif")
"""Names of JPEG files, which are read and never written: they would change the pixels once more."""
DICOM_MARK = slice(128, 132)
FILE_META_GROUP, IDENTIFYING_GROUP = 0x0002, 0x0008
FIRST_ELEMENTS, LONGEST_FIRST = 0x0018, 64
"""Elements that an object begins with have no higher number, and values of no more bytes."""
FIRST_VRS = (b"UL", b"OB", b"CS", b"DA", b"TM", b"UI", b"SH", b"LO")
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def ending(path: Path) -> str:
    """The ending of a name, such as ".dcm"; empty for the last part of a UID, and for what is put behind one."""
    return path.suffix if path.suffix[1:2].isalpha() else ""


def sniff(path: Path) -> Kind | None:
    """The format of a file by its first bytes, None for one that is not read.

    Raises:
        UnreadableFileError: there is no such file, or it may not be read.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UnreadableFileError(
                "{path} is no file but a pipe or a device", path=path, hint="save it as a file first"
            )
        with path.open("rb") as stream:
            head = stream.read(132)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise UnreadableFileError(
            f"cannot read {{path}}: {reason}",
            path=path,
            hint="check the name and its permissions",
        ) from error
    if head[DICOM_MARK] == b"DICM" or _starts_like_a_data_set(head):
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(TIFF_MARKS):
        return "tiff"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def kind_of(path: Path) -> Kind:
    """The format of a file by its first bytes.

    Raises:
        UnreadableFileError: there is no such file, it may not be read, or its format is not read.
    """
    kind = sniff(path)
    if kind is None:
        raise UnreadableFileError(
            "{path} is neither DICOM, PNG, TIFF, WebP nor JPEG",
            path=path,
            hint="give a radiograph; images of other formats can be converted to PNG or TIFF without loss",
        )
    return kind


def _starts_like_a_data_set(head: bytes) -> bool:
    """Whether a file without preamble begins with the elements that open a DICOM object (ACR-NEMA's heirs).

    That is group 2 in Explicit VR Little Endian, or one of the first elements of group 8 in any of three syntaxes, with
    a length that such an element can have.
    """
    if len(head) < 132:
        return False
    for order in ("<", ">"):
        group, element, vr, short = struct.unpack_from(f"{order}HH2sH", head)
        (long,) = struct.unpack_from(f"{order}L", head, 4)
        if group == FILE_META_GROUP and order == "<":
            return element <= FIRST_ELEMENTS and vr in FIRST_VRS and short <= LONGEST_FIRST
        if group == IDENTIFYING_GROUP and element <= FIRST_ELEMENTS:
            explicit = vr in FIRST_VRS and short <= LONGEST_FIRST
            return explicit or (order == "<" and long <= LONGEST_FIRST and long % 2 == 0)
    return False


def is_radiograph(path: Path) -> bool:
    """Whether a file found in a folder is worth reading: PNG, TIFF, WebP, JPEG, or a DICOM radiograph.

    DICOMDIR, reports, presentation states and other modalities are none. A file that cannot be opened counts as one,
    and so does a radiograph of a class that is not read: reading it tells why.
    """
    if not path.is_file():
        return False
    try:
        kind = sniff(path)
        if kind != "dicom":
            return kind is not None
        from xray_denoise.files.dicom.read import is_radiograph_class

        return is_radiograph_class(path)
    except UnreadableFileError:
        return True


def is_dicom(radiograph: Radiograph) -> bool:
    """Whether a radiograph was read from a DICOM file."""
    return dicom_header(radiograph) is not None


def dicom_header(radiograph: Radiograph) -> "FileDataset | None":
    """The header of a radiograph that came from a DICOM file."""
    if radiograph.header is None or "pydicom" not in sys.modules:  # what read it would have imported it
        return None
    from pydicom.dataset import FileDataset

    return radiograph.header if isinstance(radiograph.header, FileDataset) else None
