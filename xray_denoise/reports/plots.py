"""Results as plots: SVG bytes that are the same for the same numbers."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, groupby
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple

from xray_denoise.reports.tables import Column, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Palette of Okabe and Ito, distinguishable with every kind of colour vision; without yellow, too pale for a line."""
MARKERS = "osD^vP"
"""One fewer than the colours, so that pairs of both repeat after 42 methods; no information is in the colour alone."""
Fill = Literal["full", "none", "left", "right", "bottom", "top"]
FILLS: tuple[Fill, ...] = ("none", "full", "left", "right", "bottom", "top")
"""How markers are filled, which distinguishes the rows of one method."""
PAPER = "paper: "
"""What precedes the name of a method in the title of a quoted row."""
FAR_BELOW = 6.0
"""A gap between methods, dB, that is cut out of the plot: the noisy image would press all others together."""
LEGEND_COLUMNS = 3
Triple = tuple[float, float, float]
"""Seconds: median, smallest and largest."""


class Timing(NamedTuple):
    """One method on one image; `runtime` is the precision of a network, which ends its title."""

    title: str
    runtime: str
    seconds: Triple | None
    psnr: float | None = None

    @property
    def method(self) -> str:
        """The title without the runtime."""
        return self.title.removesuffix(f", {self.runtime}")


class Growth(NamedTuple):
    """One method on images of several sizes, and the power law that its times follow."""

    title: str
    pixels: tuple[int, ...]
    seconds: tuple[Triple | None, ...]
    exponent: float | None
    seconds_per_pixel: float | None


def psnr_by_level(table: Table) -> bytes:
    """PSNR of every row against the noise level, as SVG; ours solid, quoted rows dashed.

    A quoted row has the colour of our row of the same method. Lines join levels of one eta only; a column of means
    is left out.

    Args:
        table: PSNR in dB; its columns are noise levels.
    """
    levels = [(at, column) for at, column in enumerate(table.columns) if column.eta is not None]
    runs = [list(run) for _, run in groupby(range(len(levels)), key=lambda place: levels[place][1].eta)]
    rows = [row for row in table.rows if any(row.values[at] is not None for at, _ in levels)]
    looks = looks_of(rows)
    parts = _parts(rows)
    with style():
        figure = new_figure(8, 4.4 + 0.2 * math.ceil(len(rows) / LEGEND_COLUMNS))
        panels = figure.subplots(len(parts), sharex=True, squeeze=False, height_ratios=[4, 1][: len(parts)])[:, 0]
        for axes, part in zip(panels, parts, strict=True):
            for row in part:
                heights = [math.nan if (value := row.values[at]) is None else value for at, _ in levels]
                colour, marker = looks[row.title]
                for run in runs:
                    axes.plot(
                        run,
                        [heights[place] for place in run],
                        color=colour,
                        marker=marker,
                        linestyle="--" if row.quoted else "-",
                        markerfacecolor="white" if row.quoted else colour,
                        label=plain(row.title) if run is runs[0] else None,
                    )
            for run in runs[1:]:
                axes.axvline(run[0] - 0.5, color="#bbbbbb", linewidth=0.8)
            axes.grid(visible=False, axis="x")
        panels[0].set(ylabel=plain(table.title))
        panels[-1].set_xticks(range(len(levels)), [_level_text(column) for _, column in levels])
        if rows:
            figure.legend(loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False)
        return as_svg(figure)


def psnr_by_time(found: Sequence[Timing]) -> bytes:
    """PSNR of every row that has one against its median time, with a bar from fastest to slowest, as SVG.

    A method has one colour and marker, filled in another way for each precision. What lies `FAR_BELOW` all
    others is named above the plot.
    """
    known = {one.title: one for one in found if one.seconds and one.psnr is not None and math.isfinite(one.psnr)}
    shown, *below = _parts([Row(one.title, (one.psnr,)) for one in known.values()])
    looks = looks_of([Row(one.method, ()) for one in known.values()])
    fills = dict(zip(dict.fromkeys(one.runtime for one in known.values() if one.runtime), cycle(FILLS), strict=False))
    with style():
        figure = new_figure(8, 4.4 + 0.2 * math.ceil(len(shown) / LEGEND_COLUMNS))
        axes = figure.add_subplot()
        for one in (known[row.title] for row in shown):
            if one.seconds and one.psnr is not None:
                place = (one.seconds[0], one.psnr)
                fill = fills.get(one.runtime, "full")
                _point(axes, one.seconds, place, looks[one.method], fill, one.title, across=True)
        axes.set(xlabel="time of a call, s", ylabel="PSNR, dB", xscale="log")
        if below:
            far = [f"{row.title} ({row.values[0]:.1f} dB)" for row in below[0]]
            axes.set_title(plain(f"not shown: {', '.join(far)}"), size=10, loc="left")
        if shown:
            figure.legend(loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False)
        return as_svg(figure)


def time_by_pixels(found: Sequence[Growth]) -> bytes:
    """Time against the size of the image, both logarithmic, and the proportional law of each row, as SVG."""
    looks = looks_of([Row(one.title, ()) for one in found])
    with style():
        figure = new_figure(6.4, 4.4)
        axes = figure.add_subplot()
        for one in found:
            size = [pixels / 1e6 for pixels in one.pixels]
            title = one.title + ("" if one.exponent is None else f", exponent {one.exponent:.2f}")
            for megapixels, seconds in zip(size, one.seconds, strict=True):
                if seconds:
                    _point(axes, seconds, (megapixels, seconds[0]), looks[one.title], "full", title)
                    title = ""
            if one.seconds_per_pixel:
                law = [megapixels * 1e6 * one.seconds_per_pixel for megapixels in size]
                axes.plot(size, law, color=looks[one.title][0], linewidth=1)
        axes.set(xlabel="size of the image, 10^6 pixels", ylabel="time of a call, s", xscale="log", yscale="log")
        axes.set_title("lines: time proportional to pixels", size=10, loc="left")
        if any(any(one.seconds) for one in found):
            axes.legend(frameon=False)
        return as_svg(figure)


def _point(
    axes: "Axes",
    seconds: Triple,
    place: tuple[float, float],
    look: tuple[str, str],
    fill: Fill,
    title: str,
    *,
    across: bool = False,
) -> None:
    """A marker with a bar from the fastest to the slowest run; untitled, it has no entry in the legend."""
    median, fastest, slowest = seconds
    reach = [[median - fastest], [slowest - median]]
    axes.errorbar(
        *place,
        xerr=reach if across else None,
        yerr=None if across else reach,
        color=look[0],
        marker=look[1],
        markersize=7,
        fillstyle=fill,
        markerfacecoloralt="white",
        linestyle="none",
        elinewidth=1,
        label=plain(title) or None,
    )


def _parts(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each panel: those that lie `FAR_BELOW` all others have one of their own."""
    ranked = sorted(rows, key=_mean, reverse=True)
    cuts = [place for place in range(1, len(ranked)) if _mean(ranked[place - 1]) - _mean(ranked[place]) > FAR_BELOW]
    if not cuts:
        return [list(rows)]
    below = ranked[cuts[-1] :]
    return [[row for row in rows if row not in below], [row for row in rows if row in below]]


def _mean(row: Row) -> float:
    return fmean(value for value in row.values if value is not None)


def looks_of(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Colour and marker by the title of the row; a quoted row has those of our row of the same method."""
    methods: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.quoted):
        name = row.title.removeprefix(PAPER).casefold()
        same = (method for method in methods.values() if row.quoted and method.split(" (")[0] == name)
        methods[row.title] = next(same, name)
    ordered = list(dict.fromkeys(methods.values()))
    return {
        title: (COLOURS[(place := ordered.index(method)) % len(COLOURS)], MARKERS[place % len(MARKERS)])
        for title, method in methods.items()
    }


def plain(text: str) -> str:
    """Text with everything escaped that matplotlib takes for a formula."""
    return text.replace("$", r"\$")


def _level_text(column: Column) -> str:
    eta, sigma = column.lines
    return f"\N{GREEK SMALL LETTER ETA} {eta}\n\N{GREEK SMALL LETTER SIGMA} {sigma}"


@contextmanager
def style() -> Iterator[None]:
    """Draw with settings of our own; matplotlib's are put back afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(
        {
            "svg.hashsalt": "xray-denoise",  # the same numbers give the same bytes
            "svg.fonttype": "none",  # text stays text: small files, and the reader's own font
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#dddddd",
            "lines.linewidth": 1.6,
            "lines.markersize": 5,
        }
    ):
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, its sides in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def as_svg(figure: "Figure") -> bytes:
    """The figure as a file, without its date."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    picture = io.BytesIO()
    canvas = FigureCanvasSVG(figure)
    canvas.print_svg(picture, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return picture.getvalue()
