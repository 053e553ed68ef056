"""Methods side by side on one image: Figure 2 of the X-BDCNN paper as a picture file."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray_denoise.scale import GREY_MAX

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL, CAPTION, MARGIN = 1.9, 0.34, 0.3
"""Side of a picture, height of the text below it, and space at the left and the top, inches."""
DPI = 200
"""Resolution of a PNG, and of the pictures in an SVG."""
INSET_SHARE, INSET_SIDE = 1 / 8, 0.46
"""The detail: its side as a share of the shorter side of the image, and of the picture once enlarged."""
INSET_PLACE = (0.36, 0.58)
"""The middle of the detail, as shares of height and width: vessels beside the heart of a frontal chest."""
HEADROOM = 16.0
"""Grey levels that the detail shows below the darkest and above the brightest of the clean one."""
GAIN = 4.0
"""What residuals are multiplied by; grey is zero."""
FRAME = "#e69f00"
"""Colour of the frames around the detail."""


class Panel(NamedTuple):
    """One picture of a row: (H, W), grey levels; the title is shown above the first row only."""

    title: str
    grey: NDArray[np.float32]
    caption: str = ""


class PanelRow(NamedTuple):
    """One noise level: the clean image first, the others to be compared with it."""

    title: str
    panels: tuple[Panel, ...]


def draw(rows: Sequence[PanelRow], kind: Literal["png", "svg"]) -> bytes:
    """Draw two lines of pictures a row: the images with an enlarged detail, and what distinguishes them from the first.

    Args:
        rows: of equally many panels of one shape each.
        kind: type of the file.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    height, width = rows[0].panels[0].grey.shape
    tall = PANEL * height / width
    across, up = MARGIN + len(rows[0].panels) * PANEL, MARGIN + len(rows) * (2 * tall + CAPTION)

    def box(row: int, line: int, column: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a picture, as shares of the figure."""
        bottom = up - MARGIN - row * (2 * tall + CAPTION) - (line + 1) * tall
        return (MARGIN + column * PANEL) / across, bottom / up, PANEL / across, tall / up

    figure = Figure(figsize=(across, up), dpi=DPI)
    for number, row in enumerate(rows):
        clean = row.panels[0].grey
        detail = clean[inset((height, width))]
        window = (float(detail.min()) - HEADROOM, float(detail.max()) + HEADROOM)
        figure.text(MARGIN / 2 / across, box(number, 0, 0)[1], row.title, rotation=90, ha="center", va="center", size=8)
        for place, panel in enumerate(row.panels):
            image, below = (figure.add_axes(box(number, line, place)) for line in (0, 1))
            _show(image, panel.grey, 0.0, GREY_MAX)
            _enlarge(image, panel.grey, window)
            if number == 0:
                image.set_title(panel.title, size=8, pad=3)
            if place == 0:
                text = (
                    f"detail: black is {window[0]:.0f},\nwhite is {window[1]:.0f} grey levels\n\n"
                    f"below each image:\n(image - clean) x {GAIN:g},\nmiddle grey is 0"
                )
                below.set_axis_off()
                below.text(0.5, 0.5, text, ha="center", va="center", size=7, transform=below.transAxes)
            else:
                reach = GREY_MAX / 2 / GAIN
                _show(below, panel.grey - clean, -reach, reach, averaged=False)
            below.text(0.5, -0.05, panel.caption, ha="center", va="top", size=7, transform=below.transAxes)
    picture = io.BytesIO()
    if kind == "svg":
        with mpl.rc_context({"svg.hashsalt": "xray-denoise", "svg.fonttype": "none"}):  # equal rows, equal bytes
            FigureCanvasSVG(figure).print_svg(picture, metadata={"Date": None})  # type: ignore[no-untyped-call]
    else:
        FigureCanvasAgg(figure).print_png(picture, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return picture.getvalue()


def inset(shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the detail that is enlarged, in an image of `shape`."""
    side = max(1, round(min(shape) * INSET_SHARE))
    rows, columns = (
        slice(start := min(max(0, round(share * length - side / 2)), length - side), start + side)
        for share, length in zip(INSET_PLACE, shape, strict=True)
    )
    return rows, columns


def _show(
    axes: "Axes", grey: NDArray[np.float32], black: float, white: float, *, frame: str = "white", averaged: bool = True
) -> None:
    """Fill `axes`; an image with too many pixels is averaged, or some are left out, which keeps its noise strong."""
    interpolation: Literal["antialiased", "nearest"] = "antialiased" if averaged else "nearest"
    axes.imshow(grey, cmap="gray", vmin=black, vmax=white, interpolation=interpolation, aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=frame, linewidth=0.8)


def _enlarge(axes: "Axes", grey: NDArray[np.float32], window: tuple[float, float]) -> None:
    """Frame the detail, and show it in the lower right corner with grey levels from black to white of `window`."""
    from matplotlib.patches import Rectangle

    height, width = grey.shape
    rows, columns = inset((height, width))
    side = rows.stop - rows.start
    corner = (columns.start - 0.5, rows.start - 0.5)
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=FRAME, linewidth=0.8))
    across, down = INSET_SIDE * min(height, width) / width, INSET_SIDE * min(height, width) / height
    detail = axes.inset_axes((1 - across, 0, across, down))
    _show(detail, grey[rows, columns], *window, frame=FRAME, averaged=False)
