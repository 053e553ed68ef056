"""Results as one self-contained HTML page: no network access, no other files, little JavaScript.

    before, after -> whole, and the crop that changed most -> 8-bit PNG -> data URI -> page.html.j2, .css, .js -> bytes

Everything that was not written here reaches the page escaped, and the page's own policy lets only its own style and
script run. Without JavaScript the images stand side by side.
"""

import base64
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xray_denoise import __version__, extras
from xray_denoise.reports import tables
from xray_denoise.reports.spectrum import spectrum
from xray_denoise.scale import GREY_MAX

if TYPE_CHECKING:
    from markupsafe import Markup

SHOWN = 1024
"""Most pixels a side of a picture. A larger image is shown twice: all of it reduced, and a crop at full size, since
reducing averages the noise away."""
CROP = 768
"""Pixels a side of the crop of a larger image."""
LARGEST_BYTES = 6 * 2**20
"""What one comparison adds to a page at most: four pictures of SHOWN x SHOWN bytes that no compression helped, a
third more as text, and room for the spectrum. Of a larger image, two of that size and three of CROP x CROP."""
GAINS = (16, 8, 4, 2, 1)
"""Gains of the residual; the first that clips at most one pixel of a thousand is taken."""
ZERO = 128
"""Where a difference of 0 is shown, of 0..255."""

Grey = NDArray[np.float32] | NDArray[np.uint8]
"""Grey levels 0..255, (H, W)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One image before and after, grey levels 0..255 for display; arrays (H, W)."""

    title: str
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    facts: tuple[tuple[str, str], ...] = ()
    clean: NDArray[np.float32] | None = None
    """The noise-free image where it is known: then the error that is left is shown too."""
    displayed: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None
    """Before and after as a viewer shows them, 0 black and 255 white: what is pictured then, instead of grey levels.
    Differences are those of grey levels in any case."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure made of results."""

    title: str
    svg: bytes
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """An encoded picture."""

    uri: str
    width: int
    height: int
    """Pixels of the picture; 0 for a drawing."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A `Comparison`, encoded: at most `LARGEST_BYTES` of text, however large the image is."""

    title: str
    facts: tuple[tuple[str, str], ...]
    before: Figure
    after: Figure
    differences: tuple[Figure, ...]
    """The residual and, where the clean image is known, the error that is left; of the same part."""
    spectrum: Figure
    crop: str
    """Which part `before` and `after` show; empty for all of it."""
    whole: tuple[Figure, Figure] | None
    """Of an image that is not shown in full: all of it before and after, reduced."""


def require(purpose: str = "a report", *packages: str) -> None:
    """Check before any work that the packages for a page or a plot are installed.

    Raises:
        CannotRunError: a package is missing.
    """
    for package in packages or ("jinja2", "matplotlib"):
        extras.require(package, "report", purpose)


def html(
    title: str,
    *,
    facts: Sequence[tuple[str, str]],
    reports: Sequence[tables.Report] = (),
    plots: Sequence[Plot] = (),
    comparisons: Iterable[Comparison | Picture] = (),
    listings: Sequence[Listing] = (),
    notes: Sequence[str] = (),
) -> bytes:
    """Make a page.

    Args:
        title: of the page.
        facts: what was run on what: pairs of a name and a value.
        reports: tables of numbers.
        plots: figures.
        comparisons: images before and after; taken one by one, so they need not be in memory together.
        listings: tables of texts.
        notes: what a reader should know first, one sentence or more each.

    Raises:
        CannotRunError: a package is missing.
        ValueError: the arrays of a comparison differ in shape.
    """
    require()
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (Markup(_resource(name)) for name in ("page.css", "page.js"))  # noqa: S704 - files of this package
    pictures = [one if isinstance(one, Picture) else encode(one) for one in comparisons]
    pieces = environment.get_template("page.html.j2").generate(
        title=title,
        facts=facts,
        notes=notes,
        reports=reports,
        plots=[(plot, _svg_uri(plot.svg)) for plot in plots],
        listings=listings,
        pictures=pictures,
        style=style,
        script=script,
        policy=_policy(style, script),
        corner=tables.corner,
        head=_head,
        cells=_cells,
        version=__version__,
        megabytes=LARGEST_BYTES // 2**20,
    )
    # The name of a file may hold what is no character, and one rare letter would widen a text of megabytes.
    return b"".join(piece.encode("utf-8", errors="backslashreplace") for piece in pieces)


def encode(comparison: Comparison) -> Picture:
    """Make the pictures of one comparison; the arrays are not needed afterwards.

    Raises:
        ValueError: the arrays differ in shape.
    """
    before, after, clean = comparison.before, comparison.after, comparison.clean
    if after.shape != before.shape or (clean is not None and clean.shape != before.shape):
        raise ValueError(f"the images of '{comparison.title}' differ in shape")
    large = max(before.shape) > SHOWN
    window = most_changed(before, after, CROP) if large else (slice(None), slice(None))
    cropped = (before[window], after[window])
    residual = cropped[0] - cropped[1]
    gain = _gain(residual)
    differences = [_difference(residual, gain, "Residual, before minus after: what was taken out.")]
    if clean is not None:
        differences.append(_difference(cropped[1] - clean[window], gain, "Error that is left, after minus clean."))
    first, last = comparison.displayed or (before, after)
    return Picture(
        comparison.title,
        comparison.facts,
        before=_png(first[window]),
        after=_png(last[window]),
        differences=tuple(differences),
        spectrum=Figure(_svg_uri(spectrum(residual)), 0, 0),
        crop=_place(window, before.shape) if large else "",
        whole=(_reduced(first), _reduced(last)) if large else None,
    )


def most_changed(before: NDArray[np.float32], after: NDArray[np.float32], side: int) -> tuple[slice, slice]:
    """The part of at most `side` x `side` pixels whose change has the most energy, to an eighth of a side.

    Args:
        before: (H, W).
        after: (H, W).
        side: pixels, a multiple of 8.
    """
    step = side // 8
    height, width = before.shape
    down, across = np.arange(0, height, step), np.arange(0, width, step)
    rows = (np.square(after[top : top + step] - before[top : top + step]).sum(axis=0, dtype=np.float64) for top in down)
    blocks = np.add.reduceat(np.stack(list(rows)), across, axis=1)
    sums = np.pad(blocks, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    high, wide = (min(8, count) for count in blocks.shape)
    energy = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    row, column = np.unravel_index(energy.argmax(), energy.shape)
    top, left = (max(0, min(int(at) * step, all_ - side)) for at, all_ in ((row, height), (column, width)))
    return slice(top, min(top + side, height)), slice(left, min(left + side, width))


def _place(window: tuple[slice, slice], shape: tuple[int, ...]) -> str:
    rows, columns = window
    return (
        f"{columns.stop - columns.start} x {rows.stop - rows.start} of {shape[1]} x {shape[0]} pixels at full size, "
        f"from row {rows.start} and column {columns.start}: where most was changed"
    )


def _reduced(image: Grey) -> Figure:
    """The whole image, at most SHOWN pixels a side."""
    small = Image.fromarray(_eight_bits(image))
    small.thumbnail((SHOWN, SHOWN), Image.Resampling.BOX, reducing_gap=None)
    return _png(np.asarray(small))


def _gain(difference: NDArray[np.float32]) -> int:
    reach = float(np.quantile(np.abs(difference), 0.999))
    return next((gain for gain in GAINS if gain * reach < ZERO), GAINS[-1])


def _difference(difference: NDArray[np.float32], gain: int, what: str) -> Figure:
    rms = float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
    caption = f"{what} Grey is 0, gain {gain}: black and white are ±{ZERO // gain} grey levels. RMS {rms:.2f}."
    return _png(difference * np.float32(gain) + np.float32(ZERO), caption)


def _eight_bits(grey: Grey) -> NDArray[np.uint8]:
    return np.asarray(grey if grey.dtype == np.uint8 else np.rint(np.clip(grey, 0, GREY_MAX)), dtype=np.uint8)


def _png(grey: Grey, caption: str = "") -> Figure:
    """Grey levels as an 8-bit PNG, clipped to 0..255."""
    picture = io.BytesIO()
    Image.fromarray(_eight_bits(grey)).save(picture, "PNG")
    height, width = grey.shape
    return Figure(_uri(picture.getvalue(), "image/png"), width, height, caption)


def _svg_uri(svg: bytes) -> str:
    """A drawing of its own: inline, several would share their ids."""
    return _uri(svg, "image/svg+xml")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _policy(style: "Markup", script: "Markup") -> str:
    """A content security policy: embedded images, this style, this script, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (style, script)]
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"
    )


def _head(table: tables.Table) -> list[tuple[str, int]]:
    """The upper line of a table's head: levels of one eta share a cell, and how many columns it spans."""
    groups = groupby(
        enumerate(table.columns), key=lambda place: place[0] if place[1].eta is None else place[1].lines[0]
    )
    return [(first[1].lines[0], 1 + len(list(others))) for _, (first, *others) in groups]


def _cells(row: tables.Row, table: tables.Table) -> list[tuple[str, str]]:
    """Each value and its spread, as texts."""
    return [
        (value, rest) for value, _, rest in (cell.partition(" ") for cell in tables.texts(row, table, spreads=True))
    ]


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
