"""Single images: an edge, or any radiograph."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from xray_denoise import files
from xray_denoise.errors import UsageError
from xray_denoise.physics.edge_response import NoEdgeError, edge_response
from xray_denoise.physics.noise_estimate import estimate_profile
from xray_denoise.physics.noise_power import NoisePower
from xray_denoise.scale import GREY_MAX, MID_GREY
from xray_denoise.tasks.measure.frames import Frame, notes_of
from xray_denoise.tasks.measure.numbers import finite
from xray_denoise.tasks.measure.results import STORED, Curve, Measurement, Number, Settings
from xray_denoise.tasks.remarks import SURE

UNSURE = "noise and structure are hard to tell apart here: measure flat fields or repeated frames instead"
"""Where the confidence of an estimate is below `SURE`."""
UNEVEN = "the noise differs from place to place at the same grey level: the profile is that of a typical place"


def edge(frame: Frame, settings: Settings) -> Measurement:
    """Modulation transfer and edge spread of an image of a slanted edge."""
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
            Number("mtf_at_nyquist", float(found.mtf[-1]), "", finite(float(found.error[-1]))),
        ),
        (
            Curve(f"mtf_{found.direction}", found.frequency / pitch, frequency, found.mtf, "", found.error),
            Curve("edge_spread", found.distance * pitch, length, found.edge_spread, ""),
        ),
        notes_of(frame),
    )


def blind(frame: Frame, settings: Settings) -> Measurement:
    """Noise that is estimated from one radiograph."""
    radiograph = frame.radiograph
    grey = radiograph.grey
    if settings.region:
        top, left, height, width = settings.region
        grey = grey[top : top + height, left : left + width]
    found = estimate_profile(grey)
    spread = (1.0, 1.0) if found.gain is None else found.gain.spread
    profile = replace(found.profile, black_white=radiograph.black_white)
    low, high = radiograph.value_range
    step = (high - low) / GREY_MAX
    shown = np.clip(profile.grey, 0.0, GREY_MAX)
    stored = high - shown * step if radiograph.inverted else low + shown * step
    deviation = profile.deviation_at(shown)
    middle = float(profile.deviation_at(MID_GREY))
    side = 2 * max(64, *profile.kernel.shape)
    spectrum = NoisePower(profile.spectrum((side, side)), frame.pitch, 0, math.inf).radial()
    bands = profile.band_powers()
    notes = [UNSURE] if found.confidence < SURE else []
    if found.gain is not None:
        notes.append(UNEVEN)
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
            *(Number(f"local_gain_{end}", gain) for end, gain in zip(("low", "high"), spread, strict=True)),
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
        (*files.caveats(radiograph), *notes),
        profile=profile,
    )
