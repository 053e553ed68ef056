"""Measured curves as one figure of several panels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xray_denoise.reports.plots import COLOURS, MARKERS, as_svg, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Values = NDArray[np.float64]

WIDTH, HEIGHT = 5.6, 3.8
"""Size of a panel, inches."""
LEGEND_AT_MOST = 8
"""Most lines that a legend names."""
LEGEND_COLUMNS = 4
"""Of a legend above all panels."""
TICKS_AT_MOST = 6
"""A logarithmic axis has ticks at the values of the lines if they are no more than so many."""
APART = 1.3
"""And if each is at least so many times the one before it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; arrays (K,)."""

    label: str
    x: Values
    y: Values
    error: Values | None = None
    """Half of an error bar."""
    points: bool = False
    """Draw markers in place of a line."""
    colour: int | None = None
    """Place in the palette; None takes that of the line among the others."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...] = ()
    log_x: bool = False
    log_y: bool = False
    image: Values | None = None
    """(H, W), shown in shades of its logarithm in place of lines, zero frequency in the middle."""
    extent: tuple[float, float, float, float] | None = None
    """Extent of the image: left, right, bottom, top."""


def panels(shown: Sequence[Panel]) -> bytes:
    """The panels as SVG, two in a row.

    Raises:
        ValueError: there is none.
    """
    if not shown:
        raise ValueError("a figure needs at least one panel")
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    with style():
        figure = new_figure(WIDTH * columns, HEIGHT * rows)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(shown) :]:
            axes.set_axis_off()
        named = {tuple(line.label for line in panel.lines) for panel in shown}
        shared = len(shown) > 1 and len(named) == 1 and named != {()}
        for axes, panel in zip(grid, shown, strict=False):
            _draw(figure, axes, panel)
            if panel.lines and not shared:
                axes.legend(frameon=False, fontsize=8)
        if shared:
            handles, labels = grid[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=LEGEND_COLUMNS, frameon=False)
        return as_svg(figure)


def _draw(figure: "Figure", axes: "Axes", panel: Panel) -> None:
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.image is not None:
        smallest = panel.image[panel.image > 0].min(initial=1.0)
        picture = np.log10(np.maximum(panel.image, smallest))
        drawn = axes.imshow(picture, cmap="viridis", extent=panel.extent, interpolation="nearest")
        axes.grid(visible=False)
        figure.colorbar(drawn, ax=axes, label="log10")
        return
    for number, line in enumerate(panel.lines):
        _draw_line(axes, line, number)
    if panel.log_x:
        axes.set_xscale("log")
        _number_ticks(axes.xaxis, np.unique(np.concatenate([np.empty(0), *(line.x for line in panel.lines)])))
    if panel.log_y:
        axes.set_yscale("log")
        _number_ticks(axes.yaxis, np.empty(0))


def _number_ticks(axis: "Axis", values: Values) -> None:
    """Write 2 and 0.05 on a logarithmic axis: at a few values, at 1, 2 and 5 of every decade, or evenly within one."""
    from matplotlib.ticker import AutoLocator, FixedLocator, FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    if 0 < values.size <= TICKS_AT_MOST and (values[1:] >= APART * values[:-1]).all():
        axis.set_major_locator(FixedLocator(values.tolist()))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if high >= 10 * low else AutoLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{float(f'{value:.4g}'):g}"))
    axis.set_minor_locator(NullLocator())


def _draw_line(axes: "Axes", line: Line, number: int) -> None:
    place = number if line.colour is None else line.colour
    colour = COLOURS[place % len(COLOURS)]
    label = line.label if number < LEGEND_AT_MOST else None
    if line.points:
        marker = MARKERS[place % len(MARKERS)]
        axes.errorbar(line.x, line.y, line.error, color=colour, marker=marker, linestyle="none", label=label)
        return
    axes.plot(line.x, line.y, color=colour, label=label)
    if line.error is not None and np.isfinite(line.error).all():
        axes.fill_between(line.x, line.y - line.error, line.y + line.error, color=colour, alpha=0.2, linewidth=0)
