"""Measurements: numbers and curves with units and standard errors, and the settings."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.physics.noise_power import NoisePower, Window
from xray_denoise.physics.profile import NoiseProfile

Kind = Literal["flat", "repeated", "dark", "edge", "blind"]
Values = NDArray[np.float64]
Places = dict[str, list[list[int]]]
STORED, SQUARED = "stored value", "stored value^2"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a measurement.

    Raises:
        UsageError: a number is out of range.
    """

    kind: Kind = "blind"
    offset: float | Path = 0.0
    """Stored value without exposure, or dark frames: a file or a folder."""
    region: tuple[int, int, int, int] | None = None
    """Top, left, height and width of the part that is measured, pixels; None is all of it."""
    pitch: float | None = None
    """Distance of the pixels, mm, in place of what the files say."""
    value_range: tuple[float, float] | None = None
    """Stored values that are grey levels 0 and 255 in a profile, and for the blind estimate."""
    window: Window = "sine"
    """Of noise power spectra; "none" as IEC 62220-1-1 has it."""

    def __post_init__(self) -> None:
        if self.region and not (min(self.region[:2]) >= 0 and min(self.region[2:]) > 0):
            raise UsageError("a region is top, left, height and width in pixels", hint="for example 100,100,512,512")
        if self.pitch is not None and not 0 < self.pitch < math.inf:
            raise UsageError("a pixel pitch is a length in mm above 0", hint="for example 0.1")
        if not isinstance(self.offset, Path) and not math.isfinite(self.offset):
            raise UsageError("an offset is a stored value", hint="for example 50, or a folder of dark frames")
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise UsageError("a range goes from a lower to a higher stored value", hint="for example 0,4095")


@dataclass(frozen=True, slots=True)
class Number:
    """One result."""

    name: str
    value: float
    unit: str = ""
    error: float | None = None
    """Standard error, same unit; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One result against another quantity; arrays (K,)."""

    name: str
    x: Values
    x_unit: str
    value: Values
    unit: str
    error: Values | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Results for one file, one series of frames, or all of them."""

    kind: str
    """flat, dark, repeated, edge or blind; photon-transfer for variance against signal over all flat fields."""
    sources: tuple[Path, ...]
    numbers: tuple[Number, ...]
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    places: Places = field(default_factory=dict)
    """Row and column of defects, by kind; the first 1000 of each."""
    power: NoisePower | None = None
    """The two-dimensional spectrum."""
    profile: NoiseProfile | None = None

    def number(self, name: str) -> float:
        """The value of one of the numbers.

        Raises:
            KeyError: there is none of this name.
        """
        return {one.name: one.value for one in self.numbers}[name]

    def curve(self, name: str) -> Curve:
        """One of the curves.

        Raises:
            KeyError: there is none of this name.
        """
        return {one.name: one for one in self.curves}[name]


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be measured, and why."""

    source: Path
    error: XrayDenoiseError
