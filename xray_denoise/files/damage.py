"""Turn what pydicom and its decoders raise for a damaged file into an error that a user can act on."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.errors import BytesLengthException, InvalidDicomError

from xray_denoise.errors import UnreadableFileError

DAMAGE = (
    OSError,
    ValueError,
    RuntimeError,  # includes NotImplementedError and RecursionError
    TypeError,
    LookupError,
    EOFError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
    BytesLengthException,
    InvalidDicomError,
)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Name the file that is damaged, without any of the values it holds: they may be a patient's."""
    try:
        yield
    except FileNotFoundError as error:
        raise UnreadableFileError(f"there is no file {path}", hint="check the name") from error
    except PermissionError as error:
        raise UnreadableFileError(f"{path} may not be read", hint="check its permissions") from error
    except DAMAGE as error:
        raise UnreadableFileError(
            f"cannot read {path}: it is damaged, incomplete or not valid DICOM",
            hint="dciodvfy or dcmdump may tell where; fetch the file again from its source",
        ) from error
