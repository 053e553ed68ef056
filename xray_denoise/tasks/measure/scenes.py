"""Repeated frames of one scene."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from xray_denoise.errors import UsageError
from xray_denoise.physics.noise_power import Measured
from xray_denoise.physics.repeated_frames import SceneSeries
from xray_denoise.tasks.measure.frames import Frame, GreyScale, frames_of, notes_of
from xray_denoise.tasks.measure.numbers import (
    correlation_curves,
    finite,
    fit_numbers,
    fitted,
    lag_numbers,
    power_curves,
    profile_of,
    variance_curves,
)
from xray_denoise.tasks.measure.results import SQUARED, STORED, Failure, Measurement, Number, Settings


def repeated_frames(sources: Sequence[Path], settings: Settings) -> Iterator[Measurement | Failure]:
    """One measurement of all frames; failures as they come."""
    if isinstance(settings.offset, Path):
        raise UsageError(
            "repeated frames take a number as offset", hint="measure the dark frames first", option="offset"
        )
    series: SceneSeries | None = None
    first: Frame | None = None
    used: dict[Path, None] = {}
    for frame in frames_of(sources, settings):
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
    notes = list(notes_of(first))
    points = [Measured(float(v), float(e)) for v, e in zip(found.variance, found.error, strict=True)]
    signal = found.signal - settings.offset
    fit = fitted(signal, points, notes) if (signal >= 0).all() else None
    scale = GreyScale.of(first.radiograph, settings.value_range)
    yield Measurement(
        "repeated",
        tuple(used),
        (
            Number("frames", found.frames),
            Number("moving_share", found.moving),
            Number("temporal_variance", found.temporal.value, SQUARED, finite(found.temporal.error)),
            Number("temporal_deviation", math.sqrt(found.temporal.value), STORED),
            *(fit_numbers("temporal", fit) if fit else ()),
            *lag_numbers(found.correlation),
        ),
        (
            *variance_curves("temporal", signal, points, fit),
            *power_curves(found.power, "nps", normalised=False),
            *correlation_curves(found.correlation),
        ),
        tuple(notes),
        power=found.power,
        profile=profile_of(scale, scale.grey(found.signal), found.variance, found.power) if found.power else None,
    )
