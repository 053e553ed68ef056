"""Detectors with a name, such as `csi`: their parameters, and the exposure that leads to a wanted noise.

docs/noise.md has their figures and where they come from.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from xray_denoise.physics.chain import Chain, light_spread, point
from xray_denoise.physics.lookup_table import LookUpTable
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.scale import MID_GREY


@dataclass(frozen=True, slots=True)
class _Detector:
    """What does not depend on the dose; shares are of the variance in linear exposure at mid-grey."""

    table: LookUpTable
    core: float
    """Of the scintillator, pixels; 0 means that it spreads no light."""
    tail: float = 0.0
    reach: float = 5.0
    ratio: float = 1.0
    electronic: float = 0.0
    structural: float = 0.0
    grain: float = 0.0
    """Deviation of the Gaussian that shapes the fixed pattern, pixels."""
    sharpening: float = 0.0
    sharpening_width: float = 2.0


MOST_STRUCTURE = 0.015
"""Amplitude of the fixed pattern of a named detector, at most; stronger noise is the quanta's."""
STRONGEST = 50.0
"""Largest deviation at mid-grey that a named detector is made for, grey levels."""

_DETECTORS = {
    "white": _Detector(LookUpTable("raw"), core=0.0, electronic=0.3),
    "selenium": _Detector(LookUpTable("raw", negative=True), core=0.45, electronic=0.1),
    "csi": _Detector(
        LookUpTable("logarithm", negative=True, latitude=3.0, contrast=3.0),
        core=0.55,
        tail=0.7,
        reach=4.0,
        ratio=1.1,
        electronic=0.1,
    ),
    "cr": _Detector(
        LookUpTable("logarithm", negative=True, latitude=3.5),
        core=0.65,
        ratio=1.2,
        electronic=0.05,
        structural=0.25,
        grain=1.0,
    ),
    "processed": _Detector(
        LookUpTable("logarithm", negative=True, latitude=4.0, contrast=4.0),
        core=0.7,
        tail=0.1,
        electronic=0.05,
        structural=0.1,
        grain=1.0,
        sharpening=1.5,
        sharpening_width=2.5,
    ),
}
DETECTORS = tuple(_DETECTORS)
"""Names of the detectors that `detector` makes."""


def detector(name: str, deviation: float, *, bits: int | None = None) -> Chain:
    """A named detector at the exposure that leads to a wanted noise.

    Args:
        name: one of `DETECTORS`; docs/noise.md has their figures.
        deviation: standard deviation of the noise at mid-grey before rounding, to first order, grey levels, 0..50.
        bits: what the result is rounded to, 8..16; None leaves it as it is.

    Raises:
        ValueError: no such detector, or a deviation out of range.
    """
    if name not in _DETECTORS:
        raise ValueError(f"no detector is called {name!r}; choose one of {', '.join(DETECTORS)}")
    if not 0 <= deviation <= STRONGEST:
        raise ValueError(f"the deviation at mid-grey is 0 to {STRONGEST:g} grey levels, got {deviation}")
    made = _DETECTORS[name]
    unit = Chain(
        table=made.table,
        spread=light_spread(made.core, made.tail, made.reach, made.ratio) if made.core else point(),
        grain=light_spread(made.grain) if made.grain else point(),
        sharpening=made.sharpening,
        sharpening_width=made.sharpening_width,
        bits=bits,
    )
    signal = float(made.table.exposure(np.array(MID_GREY)))
    energies = unit.energies()
    wanted = (deviation / float(made.table.slope(np.array(signal)))) ** 2
    shares = np.array([1 - made.electronic - made.structural, made.electronic, made.structural])
    _, electronic, structural = shares * wanted / float(shares @ energies)
    structure = min(math.sqrt(structural) / signal, MOST_STRUCTURE)
    quantum = (wanted - electronic * energies[1] - (structure * signal) ** 2 * energies[2]) / energies[0]
    return replace(
        unit,
        gain=float(quantum) / signal / float((unit.spread**2).sum()),
        electronics=math.sqrt(electronic),
        structure=structure,
    )


def detector_profile(name: str, deviation: float) -> NoiseProfile:
    """The noise of a named detector whose deviation at mid-grey is `deviation` grey levels, not rounded.

    Raises:
        ValueError: no such detector, or a deviation out of range.
    """
    return detector(name, deviation).profile()
