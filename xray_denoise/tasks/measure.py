"""`measure`: flat fields, repeated or dark frames, edges or radiographs -> what a medical physicist asks of them.

    files -> frames, cropped -> physics (flat_fields, repeated_frames, edge_response, noise_estimate) -> measurements

Stored values are measured as they are. A measurement is a list of numbers and a list of curves, each with unit and
standard error, so that text, JSON, CSV and plots are made of one thing (`measure_output`).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise import files
from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.files.acquisition import PixelPitch, linearity_doubts, pixel_pitch
from xray_denoise.files.folders import walk
from xray_denoise.physics import photon_transfer
from xray_denoise.physics.edge_response import NoEdgeError, edge_response
from xray_denoise.physics.flat_fields import FieldSeries, FieldStatistics, unevenness
from xray_denoise.physics.noise import GREY_MAX
from xray_denoise.physics.noise_estimate import estimate_profile
from xray_denoise.physics.noise_power import Correlation, Measured, NoisePower, Window
from xray_denoise.physics.pixel_defects import Defects
from xray_denoise.physics.profile import MID_GREY, NoiseProfile
from xray_denoise.physics.repeated_frames import SceneSeries
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks.jobs import AnyPath, checked_path

Kind = Literal["flat", "repeated", "dark", "edge", "blind"]
Values = NDArray[np.float64]
Places = dict[str, list[list[int]]]

STORED, SQUARED = "stored value", "stored value^2"
SAME_DOSE = 0.05
"""Flat fields whose signals differ by at most this share are one dose."""
UNEVEN_SIGNAL, UNEVEN_NOISE = 0.05, 2.0
"""A flat field is refused where blocks differ by more than both: relative to signal, and to the noise of a pixel."""
UNEVEN_DARK = 10.0
"""A dark frame is refused where blocks differ by more than this, relative to the noise of a pixel."""
SATURATED = 0.001
"""Share of pixels at the end of the range above which a flat field is refused."""
PROFILE_KNOTS = 35
"""Grey levels of a profile from a fit."""
CURVE_POINTS = 60
"""Points of a fitted curve."""
MOST_PLACES = 1000
"""Defects of one kind whose places are listed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured, and how.

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
    """What was found in one file, in one series of frames, or in all of them."""

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


@dataclass(frozen=True, slots=True)
class _Frame:
    """One image of a file, cropped."""

    radiograph: Radiograph
    stored: NDArray[Any]
    pitch: tuple[float, float] | None

    @property
    def source(self) -> Path:
        return self.radiograph.source


def measure(inputs: Iterable[AnyPath], settings: Settings) -> Iterator[Measurement | Failure]:
    """Measure files and folders.

    Args:
        inputs: DICOM, PNG, TIFF, WebP or JPEG files, or folders of them; a file of several frames is a series of them.
        settings: what to measure.

    Yields:
        For flat fields a measurement of each dose, and one of the variance against the signal; for dark and repeated
        frames one of all; for edges and blind, one of each image. A file that fails is a `Failure`, and the others
        are measured.

    Raises:
        UsageError: there is no file, or the files are too few for this measurement.
    """
    sources = _sources(inputs)
    if settings.kind == "flat":
        yield from _flat(sources, settings)
    elif settings.kind == "dark":
        yield from _dark(sources, settings)
    elif settings.kind == "repeated":
        yield from _repeated(sources, settings)
    else:
        one = _edge if settings.kind == "edge" else _blind
        for frame in _frames(sources, settings):
            try:
                yield frame if isinstance(frame, Failure) else one(frame, settings)
            except XrayDenoiseError as error:
                if isinstance(frame, Failure):  # raised by the reader of this generator
                    raise
                yield Failure(frame.source, error)


def _sources(inputs: Iterable[AnyPath]) -> list[Path]:
    found: dict[Path, None] = {}
    for given in inputs:
        path = checked_path(given, "an input")
        for one in [inside for inside, wanted in walk(path) if wanted] if path.is_dir() else [path]:
            found.setdefault(one)
    if not found:
        raise UsageError("there is no image among the inputs", hint="give DICOM, PNG or TIFF files, or folders of them")
    return list(found)


def _frames(sources: Sequence[Path], settings: Settings) -> Iterator[_Frame | Failure]:
    """Every frame of every file; a file that cannot be read is a failure."""
    for source in sources:
        try:
            for radiograph in files.read_frames(source, span=settings.value_range):
                yield _cropped(radiograph, settings)
        except XrayDenoiseError as error:
            yield Failure(source, error)


def _cropped(radiograph: Radiograph, settings: Settings) -> _Frame:
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
    return _Frame(radiograph, stored, (found.rows, found.columns) if found else None)


# -- flat fields and dark frames ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Series:
    """Frames of one dose."""

    statistics: FieldSeries
    first: _Frame
    sources: dict[Path, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, frame: _Frame) -> None:
        if frame.stored.shape != self.first.stored.shape:
            raise UsageError(
                f"{{path}} has {frame.stored.shape[0]}x{frame.stored.shape[1]} pixels where others have "
                f"{self.first.stored.shape[0]}x{self.first.stored.shape[1]}",
                path=frame.source,
                hint="measure frames of one detector and one size together",
            )
        self.statistics.add(frame.stored)
        self.sources.setdefault(frame.source)
        for note in _notes(frame):
            self.notes.setdefault(note)


def _flat(sources: Sequence[Path], settings: Settings) -> Iterator[Measurement | Failure]:
    offset, dark = 0.0, None
    if isinstance(settings.offset, Path):
        for one in _dark(_sources([settings.offset]), settings):
            yield one
            if isinstance(one, Measurement):
                dark, offset = one, one.number("mean")
    else:
        offset = settings.offset
    doses: list[_Series] = []
    for frame in _frames(sources, settings):
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


def _add_to_dose(frame: _Frame, doses: list[_Series], offset: float, window: Window) -> None:
    signal = float(frame.stored.mean()) - offset
    _refuse_uneven(frame, offset, signal)
    for dose in doses:
        if abs(signal - (dose.statistics.mean - offset)) <= SAME_DOSE * (dose.statistics.mean - offset):
            dose.add(frame)
            return
    dose = _Series(FieldSeries(frame.pitch, offset, window), frame)
    dose.add(frame)
    doses.append(dose)


def _refuse_uneven(frame: _Frame, offset: float, signal: float) -> None:
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
        *_variances(found),
        Number("variance_to_signal", best.value / signal, STORED, best.error / signal),
    ]
    if found.fixed:
        numbers.append(Number("fixed_pattern", math.sqrt(max(found.fixed.value, 0)) / signal, "of the signal"))
    notes = list(dose.notes)
    if found.power is None:
        notes.append("is too small for a noise power spectrum, which needs 32 pixels a side")
    power = found.power.normalised(signal) if found.power else None
    curves = [*_power_curves(power, "nnps", normalised=True), *_correlation_curves(found.correlation)]
    if found.temporal_power:
        temporal = found.temporal_power.normalised(signal)
        curves += _power_curves(temporal, "temporal_nnps", normalised=True)[:1]
    return Measurement(
        "flat",
        tuple(dose.sources),
        (*numbers, *_defect_counts(found.defects), *_lag_numbers(found.correlation)),
        tuple(curves),
        tuple(notes),
        _places(found.defects, settings),
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
        totals.insert(0, _measured(numbers["total_variance"]))
        if "temporal_variance" in numbers:
            temporals.insert(0, _measured(numbers["temporal_variance"]))
    found_numbers: list[Number] = [Number("offset", offset, STORED)]
    curves: list[Curve] = []
    notes: list[str] = []
    fits = {}
    for name, points in (("total", totals), ("temporal", temporals)):
        if len(points) == len(signal):
            fit = _fit(signal, points, notes)
            curves += _variance_curves(name, signal, points, fit)
            if fit:
                fits[name] = fit
                found_numbers += _fit_numbers(name, fit)
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


def _measured(number: Number) -> Measured:
    return Measured(number.value, math.nan if number.error is None else number.error)


def _fit(signal: Values, points: Sequence[Measured], notes: list[str]) -> photon_transfer.PhotonTransfer | None:
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


def _fit_numbers(name: str, fit: photon_transfer.PhotonTransfer) -> Iterator[Number]:
    electronic, structural = fit.electronic_deviation, fit.structural_amplitude
    yield Number(f"{name}_electronic_deviation", electronic.value, STORED, _finite(electronic.error))
    yield Number(f"{name}_electronic_variance", fit.electronic.value, SQUARED, fit.electronic.error)
    yield Number(f"{name}_quantum_gain", fit.quantum.value, STORED, fit.quantum.error)
    yield Number(f"{name}_structural_amplitude", structural.value, "of the signal", _finite(structural.error))
    yield Number(f"{name}_structural_square", fit.structural.value, "of the signal^2", fit.structural.error)
    yield Number(f"{name}_chi_square_per_degree", fit.chi_square / fit.degrees if fit.degrees else math.nan)
    for end, signal in zip(("from", "to"), fit.quantum_limited(), strict=True):
        if math.isfinite(signal):
            yield Number(f"{name}_quantum_limited_{end}", signal, STORED)


def _variance_curves(
    name: str, signal: Values, points: Sequence[Measured], fit: photon_transfer.PhotonTransfer | None
) -> Iterator[Curve]:
    variance, error = (np.array([getattr(point, part) for point in points]) for part in ("value", "error"))
    yield Curve(f"{name}_variance", signal, STORED, variance, SQUARED, error)
    if fit:
        positive = signal[signal > 0]
        dense = np.geomspace(positive.min(), positive.max(), CURVE_POINTS)
        yield Curve(f"{name}_fit", dense, STORED, fit.variance(dense), SQUARED)


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
    scale = _GreyScale.of(radiograph, settings.value_range)
    middle = scale.stored(np.array(MID_GREY)) - offset
    seen = [(abs(found.mean - offset - middle), found.power) for _, found in results if found.power]
    if not seen:
        return None, ["has no noise profile, for its frames are too small for a spectrum"]
    power = min(seen, key=lambda pair: float(pair[0]))[1]
    notes = [f"the profile is for stored values {scale.low:g} to {scale.high:g} as grey levels 0 to 255"]
    if fit:
        grey = np.linspace(0.0, GREY_MAX, PROFILE_KNOTS)
        variance = fit.variance(np.maximum(scale.stored(grey) - offset, 0.0))
    else:
        grey, variance = scale.grey(signal + offset), np.array([point.value for point in totals])
        notes.append("the profile knows the deviation at the measured doses only, and stays what it is beyond them")
    return _profile(scale, grey, variance, power), notes


def _profile(scale: "_GreyScale", grey: Values, variance: Values, power: NoisePower) -> NoiseProfile:
    grey, first = np.unique(grey, return_index=True)
    deviation = np.sqrt(np.maximum(variance[first], 0.0)) * scale.grey_per_value
    return NoiseProfile(grey, deviation, power.kernel())


@dataclass(frozen=True, slots=True)
class _GreyScale:
    """Stored values as grey levels."""

    low: float
    high: float
    inverted: bool

    @classmethod
    def of(cls, radiograph: Radiograph, value_range: tuple[float, float] | None) -> "_GreyScale":
        low, high = value_range or (float(end) for end in radiograph.limits)
        return cls(low, high, radiograph.inverted)

    @property
    def grey_per_value(self) -> float:
        return GREY_MAX / (self.high - self.low)

    def grey(self, stored: Values) -> Values:
        return np.asarray((self.high - stored if self.inverted else stored - self.low) * self.grey_per_value)

    def stored(self, grey: Values) -> Values:
        change = grey / self.grey_per_value
        return np.asarray(self.high - change if self.inverted else self.low + change)


def _dark(sources: Sequence[Path], settings: Settings) -> Iterator[Measurement | Failure]:
    series: _Series | None = None
    for frame in _frames(sources, settings):
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
            *_variances(statistics),
            *_defect_counts(statistics.defects),
            *_lag_numbers(statistics.correlation),
        ),
        (*_power_curves(statistics.power, "nps", normalised=False), *_correlation_curves(statistics.correlation)),
        tuple(series.notes),
        _places(statistics.defects, settings),
        statistics.power,
    )


def _variances(found: FieldStatistics) -> Iterator[Number]:
    for name, variance in (("total", found.total), ("temporal", found.temporal), ("fixed", found.fixed)):
        if variance:
            yield Number(f"{name}_variance", variance.value, SQUARED, _finite(variance.error))
            yield Number(f"{name}_deviation", math.sqrt(max(variance.value, 0)), STORED)
    if found.frames > 1:
        yield Number("frame_mean_deviation", found.drift, STORED)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _defect_counts(defects: Defects) -> Iterator[Number]:
    yield Number("defective_pixels", defects.count)
    for name in ("dead", "bright", "deviating", "stuck"):
        yield Number(f"{name}_pixels", len(getattr(defects, name)))


def _places(defects: Defects, settings: Settings) -> Places:
    corner = np.array(settings.region[:2] if settings.region else (0, 0))
    found = {name: getattr(defects, name) for name in ("dead", "bright", "deviating", "stuck")}
    return {name: (places[:MOST_PLACES] + corner).tolist() for name, places in found.items() if len(places)}


def _lag_numbers(correlation: Correlation) -> Iterator[Number]:
    for name in ("horizontal", "vertical"):
        line = getattr(correlation, name)
        if len(line) > 1:
            yield Number(f"correlation_{name}_lag_1", float(line[1]))


def _correlation_curves(correlation: Correlation) -> Iterator[Curve]:
    for name in ("horizontal", "vertical"):
        line = getattr(correlation, name)
        yield Curve(f"correlation_{name}", np.arange(len(line), dtype=np.float64), "pixel", line, "")


def _power_curves(power: NoisePower | None, name: str, *, normalised: bool) -> list[Curve]:
    if power is None:
        return []
    frequency = "1/mm" if power.pitch else "1/pixel"
    area = "mm^2" if power.pitch else "pixel"
    unit = area if normalised else f"{SQUARED} {area}"
    lines = {"radial": power.radial(), "horizontal": power.horizontal(), "vertical": power.vertical()}
    return [
        Curve(f"{name}_{key}", line.frequency, frequency, line.power, unit, line.error) for key, line in lines.items()
    ]


def _notes(frame: _Frame) -> tuple[str, ...]:
    return (*files.caveats(frame.radiograph), *linearity_doubts(frame.radiograph))


# -- repeated frames --------------------------------------------------------------------------------------------------


def _repeated(sources: Sequence[Path], settings: Settings) -> Iterator[Measurement | Failure]:
    if isinstance(settings.offset, Path):
        raise UsageError(
            "repeated frames take a number as offset", hint="measure the dark frames first", option="offset"
        )
    series: SceneSeries | None = None
    first: _Frame | None = None
    used: dict[Path, None] = {}
    for frame in _frames(sources, settings):
        if isinstance(frame, Failure):
            yield frame
            continue
        if series is None or first is None:
            low, high = frame.radiograph.limits
            series, first = SceneSeries(frame.pitch, (float(low), float(high)), settings.window), frame
        try:
            series.add(frame.stored)
            used.setdefault(frame.source)
        except ValueError as error:
            hint = "measure frames of one scene and one size together"
            yield Failure(frame.source, UsageError(f"{{path}}: {error}", path=frame.source, hint=hint))
    if series is None or first is None or series.frames < 2:
        raise UsageError(
            "temporal noise needs at least two frames of one scene",
            hint="give several files or a file of several frames; one radiograph is measured without an option",
        )
    if series.different > (series.frames - 1) / 2:
        raise UsageError("the frames do not show the same scene", hint="give exposures of one object that did not move")
    try:
        found = series.result()
    except ValueError as error:
        raise UsageError(str(error), hint="choose a part that is still and not saturated", option="region") from error
    notes = list(_notes(first))
    points = [Measured(float(v), float(e)) for v, e in zip(found.variance, found.error, strict=True)]
    signal = found.signal - settings.offset
    fit = _fit(signal, points, notes) if (signal >= 0).all() else None
    scale = _GreyScale.of(first.radiograph, settings.value_range)
    notes.append(f"a profile is for stored values {scale.low:g} to {scale.high:g} as grey levels 0 to 255")
    yield Measurement(
        "repeated",
        tuple(used),
        (
            Number("frames", found.frames),
            Number("moving_share", found.moving),
            Number("temporal_variance", found.temporal.value, SQUARED, _finite(found.temporal.error)),
            Number("temporal_deviation", math.sqrt(found.temporal.value), STORED),
            *(_fit_numbers("temporal", fit) if fit else ()),
            *_lag_numbers(found.correlation),
        ),
        (
            *_variance_curves("temporal", signal, points, fit),
            *_power_curves(found.power, "nps", normalised=False),
            *_correlation_curves(found.correlation),
        ),
        tuple(notes),
        power=found.power,
        profile=_profile(scale, scale.grey(found.signal), found.variance, found.power) if found.power else None,
    )


# -- single images ----------------------------------------------------------------------------------------------------


def _edge(frame: _Frame, settings: Settings) -> Measurement:
    offset = settings.offset
    if isinstance(offset, Path):
        raise UsageError("an edge needs no offset: it cancels", hint="leave it out", option="offset")
    try:
        found = edge_response(frame.stored)
    except NoEdgeError as error:
        raise UsageError(
            f"{{path}} cannot be measured as an edge: {error}",
            path=frame.source,
            hint="give an image of one straight edge, slanted by 1.5 to 3 degrees, or choose the part that shows it",
            option="region",
        ) from error
    pitch = frame.pitch[1 if found.direction == "horizontal" else 0] if frame.pitch else 1.0
    length, frequency = ("mm", "1/mm") if frame.pitch else ("pixel", "1/pixel")
    return Measurement(
        "edge",
        (frame.source,),
        (
            Number("edge_angle", found.angle, "degree"),
            Number("edge_contrast", found.contrast, STORED),
            Number("pixel_deviation", found.noise, STORED),
            Number("lines", found.lines),
            *(Number(f"mtf_{level}", found.frequency_at(level / 100) / pitch, frequency) for level in (50, 20, 10)),
            Number("mtf_at_nyquist", float(found.mtf[-1]), "", _finite(float(found.error[-1]))),
        ),
        (
            Curve(f"mtf_{found.direction}", found.frequency / pitch, frequency, found.mtf, "", found.error),
            Curve("edge_spread", found.distance * pitch, length, found.edge_spread, ""),
        ),
        _notes(frame),
    )


def _blind(frame: _Frame, settings: Settings) -> Measurement:
    radiograph = frame.radiograph
    grey = radiograph.grey
    if settings.region:
        top, left, height, width = settings.region
        grey = grey[top : top + height, left : left + width]
    found = estimate_profile(grey)
    profile = found.profile
    low, high = radiograph.span
    step = (high - low) / GREY_MAX
    shown = np.clip(profile.grey, 0.0, GREY_MAX)
    stored = high - shown * step if radiograph.inverted else low + shown * step
    deviation = profile.deviation_at(shown)
    middle = float(profile.deviation_at(MID_GREY))
    side = 2 * max(64, *profile.kernel.shape)
    spectrum = NoisePower(profile.spectrum((side, side)), frame.pitch, 0, math.inf).radial()
    bands = profile.band_powers()
    return Measurement(
        "blind",
        (frame.source,),
        (
            Number("confidence", found.confidence),
            Number("deviation_at_mid_grey", middle, "grey level"),
            Number("deviation_at_mid_grey_stored", middle * step, STORED),
            Number("range_low", low, STORED),
            Number("range_high", high, STORED),
            *(Number(f"band_power_{place}", float(power), "of white noise") for place, power in enumerate(bands, 1)),
            Number("correlation_horizontal_lag_1", profile.correlation(0, 1)),
            Number("correlation_vertical_lag_1", profile.correlation(1, 0)),
        ),
        (
            Curve("deviation", shown, "grey level", deviation, "grey level"),
            Curve("deviation_stored", stored, STORED, deviation * step, STORED),
            Curve(
                "spectrum_radial",
                spectrum.frequency,
                "1/mm" if frame.pitch else "1/pixel",
                spectrum.power,
                "of white noise",
            ),
        ),
        files.caveats(radiograph),
        profile=profile,
    )


def one_profile(found: Iterable[Measurement]) -> NoiseProfile:
    """The only noise profile among measurements.

    Raises:
        UsageError: there is none, or several.
    """
    profiles = [one.profile for one in found if one.profile]
    if len(profiles) == 1:
        return profiles[0]
    if profiles:
        raise UsageError(
            f"a profile describes one image or one series, and {len(profiles)} were measured",
            hint="measure one radiograph, or flat fields or repeated frames together",
        )
    raise UsageError(
        "this measurement has no noise profile",
        hint="give a radiograph, or flat fields or repeated frames of at least 32 pixels a side",
    )
