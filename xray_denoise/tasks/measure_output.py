"""Measurements as text, JSON, CSV and plots."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xray_denoise.physics.noise_power import NoisePower
from xray_denoise.reports import page
from xray_denoise.reports.curves import Line, Panel, panels
from xray_denoise.tasks.measure import Curve, Failure, Measurement, Number

COLUMNS = ("number", "kind", "file", "quantity", "x", "x_unit", "value", "unit", "standard_error")
"""Of the CSV file: one number, or one point of a curve, a row."""


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A panel of the figure."""

    title: str
    names: tuple[str, ...]
    """Of the curves in it."""
    y_label: str
    log_x: bool = False
    log_y: bool = False
    last_only: bool = False
    """Show the last measurement that has such curves (the highest dose), not all of them."""


DRAWINGS = (
    _Drawing(
        "Variance against signal",
        ("total_variance", "total_fit", "temporal_variance", "temporal_fit"),
        "variance",
        log_x=True,
        log_y=True,
    ),
    _Drawing("Normalised noise power, radial", ("nnps_radial",), "NNPS", log_y=True),
    _Drawing("Along both axes", ("nnps_horizontal", "nnps_vertical"), "NNPS", log_y=True, last_only=True),
    _Drawing("Noise power", ("nps_radial", "nps_horizontal", "nps_vertical"), "NPS", log_y=True),
    _Drawing("Noise power, estimated", ("spectrum_radial",), "power", log_y=True),
    _Drawing(
        "Correlation of pixels", ("correlation_horizontal", "correlation_vertical"), "correlation", last_only=True
    ),
    _Drawing("Presampled MTF", ("mtf_horizontal", "mtf_vertical"), "MTF"),
    _Drawing("Edge spread function", ("edge_spread",), "relative signal"),
    _Drawing("Deviation against grey level, estimated", ("deviation",), "deviation"),
)
X_LABELS = {
    "1/mm": "frequency",
    "1/pixel": "frequency",
    "mm": "distance",
    "pixel": "distance",
    "stored value": "signal",
}
EDGE_SHOWN = 80
"""Steps of the edge spread function that are drawn on each side of the edge, ten pixels."""


def record(found: Measurement, number: int) -> dict[str, Any]:
    """One measurement as a JSON object; numbers that are not known are null."""
    return {
        "number": number,
        "kind": found.kind,
        "files": [str(path) for path in found.sources],
        "numbers": {
            one.name: {"value": _known(one.value), "error": _known(one.error), "unit": one.unit}
            for one in found.numbers
        },
        "curves": {
            one.name: {
                "x": _list(one.x),
                "x_unit": one.x_unit,
                "value": _list(one.value),
                "unit": one.unit,
                "error": None if one.error is None else _list(one.error),
            }
            for one in found.curves
        },
        "defects": found.places,
        "notes": list(found.notes),
    }


def failure_record(failed: Failure, kind: str) -> dict[str, Any]:
    """A file that could not be measured as a JSON object."""
    error = failed.error
    return {
        "kind": kind,
        "files": [str(failed.source)],
        "error": str(error),
        "error_kind": error.kind,
        "hint": error.hint,
    }


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _list(values: Iterable[float]) -> list[float | None]:
    return [_known(float(value)) for value in values]


def csv_text(found: Sequence[Measurement]) -> str:
    """All numbers and curves, a row for each value; the 2-D spectrum is left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, one in enumerate(found, 1):
        head = (number, one.kind, " ".join(str(path) for path in one.sources))
        for value in one.numbers:
            writer.writerow((*head, value.name, "", "", *_cells(value.value, value.unit, value.error)))
        for curve in one.curves:
            errors = [None] * len(curve.x) if curve.error is None else curve.error
            for x, value_at, error in zip(curve.x, curve.value, errors, strict=True):
                writer.writerow((*head, curve.name, repr(float(x)), curve.x_unit, *_cells(value_at, curve.unit, error)))
    return text.getvalue()


def _cells(value: float, unit: str, error: float | None) -> tuple[str, str, str]:
    known = "" if _known(error) is None or error is None else repr(float(error))
    return ("" if _known(value) is None else repr(float(value)), unit, known)


def lines(found: Measurement) -> Iterator[str]:
    """The numbers for people: name, value, error and unit."""
    for one in found.numbers:
        error = "" if _known(one.error) is None else f" +- {one.error:.2g}"
        yield f"{one.name.replace('_', ' '):<34} {_shown(one)}{error} {one.unit}".rstrip()


def _shown(number: Number) -> str:
    if number.value == int(number.value) if math.isfinite(number.value) else False:
        return f"{int(number.value)}"
    return f"{number.value:.5g}" if math.isfinite(number.value) else "-"


def svg(found: Sequence[Measurement]) -> bytes:
    """All curves of one kind of quantity in one panel, and the two-dimensional spectrum of the last that has one."""
    return panels(_panels(found))


def _panels(found: Sequence[Measurement]) -> list[Panel]:
    shown = []
    for drawing in DRAWINGS:
        holders = [one for one in found if any(curve.name in drawing.names for curve in one.curves)]
        drawn = [
            (curve, _label(curve, one, holders))
            for one in (holders[-1:] if drawing.last_only else holders)
            for curve in one.curves
            if curve.name in drawing.names
        ]
        if drawn:
            shown.append(_panel(drawing, drawn))
    spectra = [one.power for one in found if one.power]
    return [*shown, *map(_picture, spectra[-1:])]


def _panel(drawing: _Drawing, drawn: Sequence[tuple[Curve, str]]) -> Panel:
    first = drawn[0][0]
    made = []
    for curve, label in drawn:
        kept = curve.x > 0 if drawing.log_x else np.ones(len(curve.x), dtype=bool)
        if curve.name == "edge_spread":
            kept = np.abs(np.arange(len(curve.x)) - len(curve.x) // 2) <= EDGE_SHOWN
        error = None if curve.error is None else curve.error[kept]
        family = ("total", "temporal").index(curve.name.split("_")[0]) if drawing.log_x else None
        points = curve.name.endswith("_variance")
        made.append(Line(label, curve.x[kept], curve.value[kept], error, points, family))
    x_label = "lag" if first.name.startswith("correlation") else X_LABELS.get(first.x_unit, "")
    return Panel(
        drawing.title,
        ", ".join(text for text in (x_label, first.x_unit) if text),
        ", ".join(text for text in (drawing.y_label, first.unit) if text),
        tuple(made),
        drawing.log_x,
        drawing.log_y,
    )


def _label(curve: Curve, one: Measurement, holders: Sequence[Measurement]) -> str:
    name = curve.name.replace("_", " ")
    signal = {number.name: number.value for number in one.numbers}.get("signal")
    if signal is not None:
        return f"{name}, signal {signal:.5g}"
    return f"{name}, {holders.index(one) + 1}" if len(holders) > 1 else name


def _picture(spectrum: NoisePower) -> Panel:
    vertical, horizontal = spectrum.frequencies
    unit = "1/mm" if spectrum.pitch else "1/pixel"
    extent = (float(horizontal.min()), float(-horizontal.min()), float(-vertical.min()), float(vertical.min()))
    power = spectrum.power.copy()
    power[0, 0] = power[0, 1]  # detrending took the mean
    title = "Noise power in two dimensions"
    return Panel(
        title,
        f"horizontal frequency, {unit}",
        f"vertical frequency, {unit}",
        image=np.fft.fftshift(power),
        extent=extent,
    )


def html(found: Sequence[Measurement]) -> bytes:
    """A page with the figure and the numbers; files go by number, since their names may tell who a patient is.

    Raises:
        CannotRunError: a package is missing.
    """
    listings = []
    for place, one in enumerate(found, 1):
        rows = tuple(
            (
                number.name.replace("_", " "),
                _shown(number),
                "" if _known(number.error) is None else f"{number.error:.2g}",
                number.unit,
            )
            for number in one.numbers
        )
        notes = " ".join(f"{note[0].upper()}{note[1:]}." for note in one.notes)
        listings.append(
            page.Listing(f"{place}: {one.kind}", ("quantity", "value", "standard error", "unit"), rows, notes)
        )
    kinds = ", ".join(dict.fromkeys(one.kind for one in found))
    figure = page.Plot("Curves", svg(found), "Shaded bands and bars are standard errors.")
    return page.html(
        "Noise measurement",
        facts=[("measured", kinds), ("measurements", str(len(found)))],
        plots=[figure],
        listings=listings,
    )
