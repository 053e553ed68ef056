"""Names of results: after their sources, with the ending of the format that is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xray_denoise import files
from xray_denoise.errors import UnreadableFileError, UsageError

Format = Literal["png", "tiff", "dcm"]

ENDINGS: dict[files.Kind, str] = {"dicom": ".dcm", "png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".png"}
"""Endings of results by the format of their sources, where those have none that says it."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How results in a folder are named after their sources.

    Raises:
        UsageError: `suffix` cannot be part of a file name.
    """

    file_format: Format | None = None
    """Format of every result; None keeps that of the content of each source, except that PNG is made of JPEG."""
    suffix: str = ""
    """Text between the name and its ending, such as "_denoised"."""

    def __post_init__(self) -> None:
        if any(sign in self.suffix for sign in ("/", "\\", "\0")):
            raise UsageError(
                f"a file name cannot hold the suffix '{self.suffix}'", hint="for example _denoised", option="suffix"
            )

    def of(self, source: Path) -> str:
        """Name of the result of a file, which is opened to see its format; one that cannot be read keeps its name.

        Only endings that stand for a format are replaced: the last part of "1.2.840.113" is no ending. An ending that
        contradicts the content gives way to that of the format: the result of a DICOM file "a.png" is "a.dcm".
        """
        known = source.suffix.lower() in (*files.SUFFIXES, *files.READ_ONLY)
        if self.file_format:
            return f"{source.stem if known else source.name}{self.suffix}.{self.file_format}"
        kind = _kind_of(source)
        if kind and (known or kind == "jpeg") and files.SUFFIXES.get(source.suffix.lower()) != kind:
            return f"{source.stem if known else source.name}{self.suffix}{ENDINGS[kind]}"
        ending = files.ending(source)
        name = f"{source.name.removesuffix(ending)}{self.suffix}{ending}"
        if kind and files.ending(Path(name)) != ending:  # of the suffix: it would be taken for a format
            name += ENDINGS[kind]
        return name


def _kind_of(source: Path) -> files.Kind | None:
    """The format of a file by its content; where that does not tell, JPEG where its name says so."""
    try:
        kind = files.sniff(source)
    except UnreadableFileError:  # reading it will tell why
        kind = None
    return kind or ("jpeg" if source.suffix.lower() in files.READ_ONLY else None)
