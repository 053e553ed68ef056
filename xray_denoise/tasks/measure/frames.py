"""Read the frames to measure: cropped, with pixel pitch, scale and warnings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_denoise import files
from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.files.acquisition import PixelPitch, linearity_doubts, pixel_pitch
from xray_denoise.files.folders import walk
from xray_denoise.radiograph import Radiograph
from xray_denoise.scale import GREY_MAX
from xray_denoise.tasks.jobs import AnyPath, checked_path
from xray_denoise.tasks.measure.results import Failure, Settings, Values


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a file, cropped."""

    radiograph: Radiograph
    stored: NDArray[Any]
    pitch: tuple[float, float] | None

    @property
    def source(self) -> Path:
        """The file."""
        return self.radiograph.source


def sources_of(inputs: Iterable[AnyPath]) -> list[Path]:
    """The files among inputs and in folders, each once."""
    found: dict[Path, None] = {}
    for given in inputs:
        path = checked_path(given, "an input")
        for one in [inside for inside, wanted in walk(path) if wanted] if path.is_dir() else [path]:
            found.setdefault(one)
    if not found:
        raise UsageError("there is no image among the inputs", hint="give DICOM, PNG or TIFF files, or folders of them")
    return list(found)


def frames_of(sources: Sequence[Path], settings: Settings) -> Iterator[Frame | Failure]:
    """Every frame of every file; a file that cannot be read is a failure."""
    for source in sources:
        try:
            for radiograph in files.read_frames(source, value_range=settings.value_range):
                yield _cropped(radiograph, settings)
        except XrayDenoiseError as error:
            yield Failure(source, error)


def _cropped(radiograph: Radiograph, settings: Settings) -> Frame:
    stored = radiograph.stored
    if settings.region:
        top, left, height, width = settings.region
        if top + height > stored.shape[0] or left + width > stored.shape[1]:
            raise UsageError(
                f"the region reaches beyond {{path}}, which has {stored.shape[0]} rows and {stored.shape[1]} columns",
                path=radiograph.source,
                hint="give top, left, height and width in pixels",
                option="region",
            )
        stored = stored[top : top + height, left : left + width]
    found = pixel_pitch(radiograph)
    if settings.pitch is not None:
        found = PixelPitch(settings.pitch, settings.pitch, "given")
    return Frame(radiograph, stored, (found.rows, found.columns) if found else None)


def notes_of(frame: Frame) -> tuple[str, ...]:
    """Warnings about an image that is measured."""
    return (*files.caveats(frame.radiograph), *linearity_doubts(frame.radiograph))


@dataclass(frozen=True, slots=True)
class GreyScale:
    """Stored values as grey levels."""

    black: float
    """Stored value at grey level 0, the higher one in an inverted image."""
    white: float
    """Stored value at grey level 255."""

    @classmethod
    def of(cls, radiograph: Radiograph, value_range: tuple[float, float] | None) -> "GreyScale":
        """The scale of an image; `value_range` is what was asked for, else all values that the bits can hold."""
        low, high = map(float, value_range or radiograph.limits)
        return cls(*replace(radiograph, value_range=(low, high)).black_white)

    @property
    def grey_per_value(self) -> float:
        """Grey levels for each stored value."""
        return GREY_MAX / abs(self.white - self.black)

    def grey(self, stored: Values) -> Values:
        """Grey levels of stored values."""
        return np.asarray((stored - self.black) * (GREY_MAX / (self.white - self.black)))

    def stored(self, grey: Values) -> Values:
        """Stored values of grey levels."""
        return np.asarray(self.black + grey * ((self.white - self.black) / GREY_MAX))
