"""Flat fields of several doses, and dark frames."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.physics import photon_transfer
from xray_denoise.physics.chain import PROFILE_KNOTS
from xray_denoise.physics.flat_fields import FieldSeries, FieldStatistics, unevenness
from xray_denoise.physics.noise_power import Measured, Window
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.scale import GREY_MAX, MID_GREY
from xray_denoise.tasks.measure.frames import Frame, GreyScale, frames_of, notes_of, sources_of
from xray_denoise.tasks.measure.numbers import (
    correlation_curves,
    defect_counts,
    fit_numbers,
    fitted,
    lag_numbers,
    measured,
    places_of,
    power_curves,
    profile_of,
    variance_curves,
    variances,
)
from xray_denoise.tasks.measure.results import STORED, Curve, Failure, Measurement, Number, Settings, Values

SAME_DOSE = 0.05
"""Flat fields whose signals differ by at most this share are one dose."""
UNEVEN_SIGNAL, UNEVEN_NOISE = 0.05, 2.0
"""A flat field is refused where blocks differ by more than both: relative to signal, and to the noise of a pixel."""
UNEVEN_DARK = 10.0
"""A dark frame is refused where blocks differ by more than this, relative to the noise of a pixel."""
FITTED = 2.0
"""Largest signal in the profile of a fit, in units of the highest dose that was measured."""
SATURATED = 0.001
"""Share of pixels at the end of the range above which a flat field is refused."""


@dataclass(slots=True)
class _Series:
    """Frames of one dose."""

    statistics: FieldSeries
    first: Frame
    sources: dict[Path, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, frame: Frame) -> None:
        if frame.stored.shape != self.first.stored.shape:
            raise UsageError(
                f"{{path}} has {frame.stored.shape[0]}x{frame.stored.shape[1]} pixels where others have "
                f"{self.first.stored.shape[0]}x{self.first.stored.shape[1]}",
                path=frame.source,
                hint="measure frames of one detector and one size together",
            )
        self.statistics.add(frame.stored)
        self.sources.setdefault(frame.source)
        for note in notes_of(frame):
            self.notes.setdefault(note)


def flat_fields(sources: Sequence[Path], settings: Settings) -> Iterator[Measurement | Failure]:
    """A measurement of each dose, and one of the variance against the signal; failures as they come."""
    offset, dark = 0.0, None
    if isinstance(settings.offset, Path):
        for one in dark_frames(sources_of([settings.offset]), settings):
            yield one
            if isinstance(one, Measurement):
                dark, offset = one, one.number("mean")
    else:
        offset = settings.offset
    doses: list[_Series] = []
    for frame in frames_of(sources, settings):
        if isinstance(frame, Failure):
            yield frame
            continue
        try:
            _add_to_dose(frame, doses, offset, settings.window)
        except XrayDenoiseError as error:
            yield Failure(frame.source, error)
    if not doses:
        raise UsageError(
            "none of the files is a flat field that can be measured", hint="give exposures of an evenly lit detector"
        )
    doses.sort(key=lambda dose: dose.statistics.mean)
    results = [(dose, dose.statistics.result()) for dose in doses]
    for dose, found in results:
        yield _flat_dose(dose, found, offset, settings)
    yield _photon_transfer(results, offset, dark, settings)


def _add_to_dose(frame: Frame, doses: list[_Series], offset: float, window: Window) -> None:
    signal = float(frame.stored.mean()) - offset
    _refuse_uneven(frame, offset, signal)
    for dose in doses:
        if abs(signal - (dose.statistics.mean - offset)) <= SAME_DOSE * (dose.statistics.mean - offset):
            dose.add(frame)
            return
    dose = _Series(FieldSeries(frame.pitch, offset, window), frame)
    dose.add(frame)
    doses.append(dose)


def _refuse_uneven(frame: Frame, offset: float, signal: float) -> None:
    if not signal > 0:
        raise UsageError(
            f"{{path}} has a mean of {signal + offset:.4g}, no signal above the offset of {offset:.4g}",
            path=frame.source,
            hint="check the offset; dark frames are a measurement of their own",
            option="offset",
        )
    _, top = frame.radiograph.limits
    share = float((frame.stored >= top).mean())
    if share > SATURATED:
        raise UsageError(
            f"{{path}} is saturated: {share:.1%} of its pixels have the largest value, {top}",
            path=frame.source,
            hint="expose less; clipped noise has too small a variance",
        )
    found = unevenness(frame.stored, offset)
    if found.to_signal > UNEVEN_SIGNAL and found.to_noise > UNEVEN_NOISE:
        raise UsageError(
            f"{{path}} is not a flat field: blocks of it differ by {found.to_signal:.0%} of the signal",
            path=frame.source,
            hint="give an evenly exposed image, or choose an even part of it",
            option="region",
        )


def _flat_dose(dose: _Series, found: FieldStatistics, offset: float, settings: Settings) -> Measurement:
    signal = found.mean - offset
    best = found.temporal or found.total
    numbers = [
        Number("frames", found.frames),
        Number("signal", signal, STORED),
        Number("snr", signal / math.sqrt(found.total.value)),
        *variances(found),
        Number("variance_to_signal", best.value / signal, STORED, best.error / signal),
    ]
    if found.fixed:
        numbers.append(Number("fixed_pattern", math.sqrt(max(found.fixed.value, 0)) / signal, "of the signal"))
    notes = list(dose.notes)
    if found.power is None:
        notes.append("is too small for a noise power spectrum, which needs 32 pixels a side")
    power = found.power.normalised(signal) if found.power else None
    curves = [*power_curves(power, "nnps", normalised=True), *correlation_curves(found.correlation)]
    if found.temporal_power:
        temporal = found.temporal_power.normalised(signal)
        curves += power_curves(temporal, "temporal_nnps", normalised=True)[:1]
    return Measurement(
        "flat",
        tuple(dose.sources),
        (*numbers, *defect_counts(found.defects), *lag_numbers(found.correlation)),
        tuple(curves),
        tuple(notes),
        places_of(found.defects, settings),
        power,
    )


def _photon_transfer(
    results: Sequence[tuple[_Series, FieldStatistics]], offset: float, dark: Measurement | None, settings: Settings
) -> Measurement:
    signal = np.array([found.mean - offset for _, found in results])
    totals = [found.total for _, found in results]
    temporals = [found.temporal for _, found in results if found.temporal]
    if dark:
        numbers = {one.name: one for one in dark.numbers}
        signal = np.insert(signal, 0, 0.0)
        totals.insert(0, measured(numbers["total_variance"]))
        if "temporal_variance" in numbers:
            temporals.insert(0, measured(numbers["temporal_variance"]))
    found_numbers: list[Number] = [Number("offset", offset, STORED)]
    curves: list[Curve] = []
    notes: list[str] = []
    fits = {}
    for name, points in (("total", totals), ("temporal", temporals)):
        if len(points) == len(signal):
            fit = fitted(signal, points, notes)
            curves += variance_curves(name, signal, points, fit)
            if fit:
                fits[name] = fit
                found_numbers += fit_numbers(name, fit)
    profile, note = _flat_profile(results, signal, totals, fits.get("total"), offset, settings)
    sources = tuple(dict.fromkeys(source for dose, _ in results for source in dose.sources))
    return Measurement(
        "photon-transfer",
        sources,
        tuple(found_numbers),
        tuple(curves),
        tuple(dict.fromkeys([*notes, *note])),
        profile=profile,
    )


def _flat_profile(
    results: Sequence[tuple[_Series, FieldStatistics]],
    signal: Values,
    totals: Sequence[Measured],
    fit: photon_transfer.PhotonTransfer | None,
    offset: float,
    settings: Settings,
) -> tuple[NoiseProfile | None, list[str]]:
    """The noise of one exposure against grey level, and what should be known of it."""
    radiograph = results[0][0].first.radiograph
    scale = GreyScale.of(radiograph, settings.value_range)
    middle = scale.stored(np.array(MID_GREY)) - offset
    seen = [(abs(found.mean - offset - middle), found.power) for _, found in results if found.power]
    if not seen:
        return None, ["has no noise profile, for its frames are too small for a spectrum"]
    power = min(seen, key=lambda pair: float(pair[0]))[1]
    notes = []
    if fit:
        known = scale.grey(offset + np.array([0.0, FITTED * signal.max()])).clip(0.0, GREY_MAX)
        grey = np.linspace(known.min(), known.max(), PROFILE_KNOTS)
        variance = fit.variance(np.maximum(scale.stored(grey) - offset, 0.0))
    else:
        grey, variance = scale.grey(signal + offset), np.array([point.value for point in totals])
        notes.append("the profile knows the deviation at the measured doses only, and stays what it is beyond them")
    return profile_of(scale, grey, variance, power), notes


def dark_frames(sources: Sequence[Path], settings: Settings) -> Iterator[Measurement | Failure]:
    """One measurement of all frames; failures as they come."""
    series: _Series | None = None
    for frame in frames_of(sources, settings):
        if isinstance(frame, Failure):
            yield frame
            continue
        try:
            found = unevenness(frame.stored)
            if found.to_noise > UNEVEN_DARK:
                raise UsageError(
                    f"{{path}} is not a dark frame: blocks of it differ by {found.to_noise:.0f} times the noise",
                    path=frame.source,
                    hint="give frames that were read without exposure, or choose an even part of them",
                    option="region",
                )
            series = series or _Series(FieldSeries(frame.pitch, None, settings.window), frame)
            series.add(frame)
        except XrayDenoiseError as error:
            yield Failure(frame.source, error)
    if series is None:
        raise UsageError(
            "none of the files is a dark frame that can be measured", hint="give frames that were read without exposure"
        )
    statistics = series.statistics.result()
    yield Measurement(
        "dark",
        tuple(series.sources),
        (
            Number("frames", statistics.frames),
            Number("mean", statistics.mean, STORED),
            *variances(statistics),
            *defect_counts(statistics.defects),
            *lag_numbers(statistics.correlation),
        ),
        (*power_curves(statistics.power, "nps", normalised=False), *correlation_curves(statistics.correlation)),
        tuple(series.notes),
        places_of(statistics.defects, settings),
        statistics.power,
    )
