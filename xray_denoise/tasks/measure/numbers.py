"""Numbers and curves that several measurements share, from the results of `physics`."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from xray_denoise.physics import photon_transfer
from xray_denoise.physics.flat_fields import FieldStatistics
from xray_denoise.physics.noise_power import Correlation, Measured, NoisePower
from xray_denoise.physics.pixel_defects import Defects
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.tasks.measure.frames import GreyScale
from xray_denoise.tasks.measure.results import SQUARED, STORED, Curve, Number, Places, Settings, Values

CURVE_POINTS = 60
"""Points of a fitted curve."""
MOST_PLACES = 1000
"""Defects of one kind whose places are listed."""


def measured(number: Number) -> Measured:
    """A number and its standard error."""
    return Measured(number.value, math.nan if number.error is None else number.error)


def fitted(signal: Values, points: Sequence[Measured], notes: list[str]) -> photon_transfer.PhotonTransfer | None:
    """The fit, or None and a note why there is none."""
    variance, error = (np.array([getattr(point, name) for point in points]) for name in ("value", "error"))
    known = (variance > 0) & (error > 0)
    try:
        return photon_transfer.fit(signal[known], variance[known], error[known])
    except ValueError:
        notes.append(
            "electronic, quantum and structural noise need at least three different doses (dark frames are one)"
        )
        return None


def fit_numbers(name: str, fit: photon_transfer.PhotonTransfer) -> Iterator[Number]:
    """Electronic, quantum and structural noise from a fit."""
    electronic, structural = fit.electronic_deviation, fit.structural_amplitude
    yield Number(f"{name}_electronic_deviation", electronic.value, STORED, finite(electronic.error))
    yield Number(f"{name}_electronic_variance", fit.electronic.value, SQUARED, fit.electronic.error)
    yield Number(f"{name}_quantum_gain", fit.quantum.value, STORED, fit.quantum.error)
    yield Number(f"{name}_structural_amplitude", structural.value, "of the signal", finite(structural.error))
    yield Number(f"{name}_structural_square", fit.structural.value, "of the signal^2", fit.structural.error)
    yield Number(f"{name}_chi_square_per_degree", fit.chi_square / fit.degrees if fit.degrees else math.nan)
    for end, signal in zip(("from", "to"), fit.quantum_limited(), strict=True):
        if math.isfinite(signal):
            yield Number(f"{name}_quantum_limited_{end}", signal, STORED)


def variance_curves(
    name: str, signal: Values, points: Sequence[Measured], fit: photon_transfer.PhotonTransfer | None
) -> Iterator[Curve]:
    """Variance against signal, and the fit."""
    variance, error = (np.array([getattr(point, part) for point in points]) for part in ("value", "error"))
    yield Curve(f"{name}_variance", signal, STORED, variance, SQUARED, error)
    if fit:
        positive = signal[signal > 0]
        dense = np.geomspace(positive.min(), positive.max(), CURVE_POINTS)
        yield Curve(f"{name}_fit", dense, STORED, fit.variance(dense), SQUARED)


def variances(found: FieldStatistics) -> Iterator[Number]:
    """Total, temporal and fixed variance, as far as the frames tell them."""
    for name, variance in (("total", found.total), ("temporal", found.temporal), ("fixed", found.fixed)):
        if variance:
            yield Number(f"{name}_variance", variance.value, SQUARED, finite(variance.error))
            yield Number(f"{name}_deviation", math.sqrt(max(variance.value, 0)), STORED)
    if found.frames > 1:
        yield Number("frame_mean_deviation", found.drift, STORED)


def finite(number: float) -> float | None:
    """The number, or None."""
    return number if math.isfinite(number) else None


def defect_counts(defects: Defects) -> Iterator[Number]:
    """How many pixels are defective, and in which way."""
    yield Number("defective_pixels", defects.count)
    for name in ("dead", "bright", "deviating", "stuck"):
        yield Number(f"{name}_pixels", len(getattr(defects, name)))


def places_of(defects: Defects, settings: Settings) -> Places:
    """Where they are in the whole image."""
    corner = np.array(settings.region[:2] if settings.region else (0, 0))
    found = {name: getattr(defects, name) for name in ("dead", "bright", "deviating", "stuck")}
    return {name: (places[:MOST_PLACES] + corner).tolist() for name, places in found.items() if len(places)}


def lag_numbers(correlation: Correlation) -> Iterator[Number]:
    """Correlation of neighbouring pixels."""
    for name in ("horizontal", "vertical"):
        line = getattr(correlation, name)
        if len(line) > 1:
            yield Number(f"correlation_{name}_lag_1", float(line[1]))


def correlation_curves(correlation: Correlation) -> Iterator[Curve]:
    """Correlation against distance."""
    for name in ("horizontal", "vertical"):
        line = getattr(correlation, name)
        yield Curve(f"correlation_{name}", np.arange(len(line), dtype=np.float64), "pixel", line, "")


def power_curves(power: NoisePower | None, name: str, *, normalised: bool) -> list[Curve]:
    """Noise power against frequency: radial, horizontal and vertical."""
    if power is None:
        return []
    frequency = "1/mm" if power.pitch else "1/pixel"
    area = "mm^2" if power.pitch else "pixel"
    unit = area if normalised else f"{SQUARED} {area}"
    lines = {"radial": power.radial(), "horizontal": power.horizontal(), "vertical": power.vertical()}
    return [
        Curve(f"{name}_{key}", line.frequency, frequency, line.power, unit, line.error) for key, line in lines.items()
    ]


def profile_of(scale: GreyScale, grey: Values, variance: Values, power: NoisePower) -> NoiseProfile:
    """The noise profile of variances, stored values squared, at grey levels."""
    grey, first = np.unique(grey, return_index=True)
    deviation = np.sqrt(np.maximum(variance[first], 0.0)) * scale.grey_per_value
    return NoiseProfile(grey, deviation, power.kernel(), (scale.black, scale.white))
