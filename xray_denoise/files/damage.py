"""Turn exceptions of readers for damaged files into errors that a user can act on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xray_denoise.errors import AGAIN, UnreadableFileError, XrayDenoiseError


@contextmanager
def as_unreadable(
    path: Path,
    what: str = "it is damaged, incomplete or not valid DICOM",
    hint: str = f"dciodvfy or dcmdump may tell where; {AGAIN}",
) -> Iterator[None]:
    """Raise an error that names the damaged file, without values from it: they may identify a patient.

    Every exception counts as damage, since readers and codecs raise nearly all there are; our own errors and a lack of
    memory pass.
    """
    try:
        yield
    except (XrayDenoiseError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UnreadableFileError("there is no file {path}", path=path, hint="check the name") from error
    except PermissionError as error:
        raise UnreadableFileError("{path} may not be read", path=path, hint="check its permissions") from error
    except Exception as error:
        raise UnreadableFileError(f"cannot read {{path}}: {what}", path=path, hint=hint) from error
