"""`bench --figure`: Figure 2 of the paper, or a noisy image before and after."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xray_denoise import denoisers
from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import MIDDLE, Case, CleanImage, image_set, label
from xray_denoise.bench.rows import Row
from xray_denoise.denoisers import AUTO, Runtime
from xray_denoise.errors import UsageError
from xray_denoise.physics.metrics import quality
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports.page import require
from xray_denoise.reports.plots import as_svg, style
from xray_denoise.scale import GREY_MAX

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = tuple(NoiseLevel(eta, sigma) for eta in (0.4, 0.6) for sigma in (10.0, 15.0))
"""The noise levels of Figure 2."""
BEFORE_AFTER = "before-after"
FIGURES = {"2": (".png", ".svg"), BEFORE_AFTER: (".png",)}
"""What follows `--figure`, and the types of its file."""
PICTURE = 420
"""Side of one picture of `BEFORE_AFTER`, and of the detail below it, pixels."""
CORNER = (0.32, 0.55)
"""Upper left corner of a detail, as shares of height and width: vessels beside the heart of a frontal chest."""
PANEL, DPI = 1.9, 200
"""Width of a picture of Figure 2, inches, and its resolution."""
INSET_SHARE, INSET_SIDE = 1 / 8, 0.46
"""The detail of Figure 2: its side as a share of the shorter side of the image, and of the picture once enlarged."""
HEADROOM, GAIN = 16.0, 4.0
"""Grey levels that the detail shows below the darkest and above the brightest of the clean one; what residuals are
multiplied by."""


@dataclass(frozen=True, slots=True)
class FigurePlan:
    """A figure to be drawn."""

    rows: Sequence[Row]
    image: CleanImage
    words: str
    """Where the image comes from, for people."""
    seed: int
    target: Path
    """The file to be made, .png or .svg."""
    kind: str = "2"

    def draw(self) -> bytes:
        """Denoise and draw."""
        return self._before_after() if self.kind == BEFORE_AFTER else self._figure_2()

    def _figure_2(self) -> bytes:
        """At each level the clean image, the noisy one and the results; below each, its difference to the clean one."""
        with style():
            from matplotlib.figure import Figure

            clean, columns = self.image.grey, 2 + len(self.rows)
            height, width = clean.shape
            size = (columns * PANEL, len(LEVELS) * (2 * PANEL * height / width + 0.5))
            figure = Figure(size, dpi=DPI, layout="constrained")
            grid = figure.subplots(2 * len(LEVELS), columns)
            for level, above, below in zip(LEVELS, grid[::2], grid[1::2], strict=True):
                noisy = Case(self.image, level).noisy(self.seed)
                images = {"clean": clean, "noisy": noisy}
                images |= {row.title: row(noisy, level).image for row in self.rows}
                for upper, lower, (title, grey) in zip(above, below, images.items(), strict=True):
                    _show(upper, grey, 0.0, GREY_MAX)
                    _enlarge(upper, grey, clean)
                    if level == LEVELS[0]:
                        upper.set_title(title, size=8)
                    if title == "clean":
                        upper.set_ylabel(label(level), size=8)
                        lower.set_axis_off()
                        text = f"below each image:\n(image - clean) x {GAIN:g},\nmiddle grey is 0"
                        lower.text(0.5, 0.5, text, ha="center", va="center", size=7, transform=lower.transAxes)
                        continue
                    reach, scores = GREY_MAX / 2 / GAIN, quality(grey, clean)
                    _show(lower, grey - clean, -reach, reach)
                    lower.set_xlabel(f"{scores.psnr:.2f} dB, SSIM {scores.ssim:.4f}", size=7)
            if self.target.suffix.lower() == ".svg":
                return as_svg(figure)
            picture = io.BytesIO()
            figure.savefig(picture, format="png", metadata={"Software": None})
            return picture.getvalue()

    def _before_after(self) -> bytes:
        """The noisy image, the results and the clean image side by side; below each a detail at full size."""
        noisy = Case(self.image, MIDDLE).noisy(self.seed)
        greys = [noisy, *(row(noisy, MIDDLE).image for row in self.rows), self.image.grey]
        images = [np.rint(grey.clip(0, GREY_MAX)).astype(np.uint8) for grey in greys]
        top, left = (
            min(round(share * side), max(side - PICTURE, 0))
            for share, side in zip(CORNER, self.image.grey.shape, strict=True)
        )
        detail = np.hstack([image[top : top + PICTURE, left : left + PICTURE] for image in images])
        side = detail.shape[1] // len(images)
        whole = [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX)) for image in images]
        picture = io.BytesIO()
        Image.fromarray(np.vstack([np.hstack(whole), detail])).save(picture, "PNG", optimize=True)
        return picture.getvalue()


def _show(axes: "Axes", grey: NDArray[np.floating], black: float, white: float) -> None:
    axes.imshow(grey, cmap="gray", vmin=black, vmax=white)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def _enlarge(axes: "Axes", grey: NDArray[np.floating], clean: NDArray[np.floating]) -> None:
    """Show a detail in the lower right corner, in the grey levels of the clean one."""
    side = max(1, round(min(grey.shape) * INSET_SHARE))
    top, left = (round(share * length) for share, length in zip(CORNER, grey.shape, strict=True))
    part = (slice(top, top + side), slice(left, left + side))
    inset = axes.inset_axes((1 - INSET_SIDE, 0, INSET_SIDE, INSET_SIDE))
    _show(inset, grey[part], float(clean[part].min()) - HEADROOM, float(clean[part].max()) + HEADROOM)
    axes.indicate_inset((left, top, side, side), edgecolor="#e69f00", alpha=1)


def plan(
    folder: Path | None,
    target: Path | None,
    *,
    kind: str = "2",
    methods: str | None = None,
    quick: bool = False,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> FigurePlan:
    """Choose what is drawn: one of `FIGURES` of the first image of a folder, or of a phantom.

    The suffix of `target` is the file type. `methods` are rows, separated by commas; None takes a few that are
    installed, or the default model of `denoise`. A `quick` figure shows the middle of the image.

    Raises:
        UsageError: no such figure; no target of a type that can be drawn; a row or the folder is no good.
        CannotRunError: something that a row needs is missing.
    """
    if kind not in FIGURES:
        raise UsageError(f"no figure is called '{kind}'", hint=f"choose one of {', '.join(FIGURES)}")
    if target is None or target.suffix.lower() not in FIGURES[kind]:
        kinds = f"a {' or '.join(suffix[1:].upper() for suffix in FIGURES[kind])} file"
        raise UsageError(f"this figure needs {kinds} to be written to", hint="for example figure.png", option="output")
    if kind == "2":
        require("a figure", "matplotlib")
    if methods:
        wanted = registry.named(methods)
    elif kind == BEFORE_AFTER:
        wanted = [AUTO]
    else:
        wanted = ["tv" + registry.ORACLE] if denoisers.missing("bm3d") else []
        wanted += registry.of_set(registry.FIGURE)
    rows, _ = registry.make([row for row in wanted if row != "noisy"], runtime or Runtime())
    images = image_set(folder, quick=quick)
    return FigurePlan(rows, next(images.open()), f"the first of {images.words}", seed, target, kind)
