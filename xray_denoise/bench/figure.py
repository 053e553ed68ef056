"""`bench --figure`: Figure 2 of the paper, or a noisy image before and after."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import MIDDLE, Case, CleanImage, image_set
from xray_denoise.bench.rows import Row
from xray_denoise.denoisers import AUTO, Runtime
from xray_denoise.errors import UsageError
from xray_denoise.physics.metrics import quality
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports.figure import Panel, PanelRow, draw
from xray_denoise.reports.page import require
from xray_denoise.scale import GREY_MAX

LEVELS = tuple(NoiseLevel(eta, sigma) for eta in (0.4, 0.6) for sigma in (10.0, 15.0))
"""The noise levels of Figure 2."""
BEFORE_AFTER = "before-after"
FIGURES = ("2", BEFORE_AFTER)
"""What follows `--figure`."""
PICTURE = 420
"""Side of one picture of `BEFORE_AFTER`, and of the detail below it, pixels."""
CORNER = (0.32, 0.55)
"""Upper left corner of the detail, as shares of height and width: vessels beside the heart of a frontal chest."""


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
        """Denoise and draw: for Figure 2 the clean image, the noisy one, and the result of each method."""
        if self.kind == BEFORE_AFTER:
            return self._before_after()
        kind: str = self.target.suffix.lower()
        return draw([self._row(Case(self.image, level)) for level in LEVELS], "svg" if kind == ".svg" else "png")

    def _row(self, case: Case) -> PanelRow:
        noisy = case.noisy(self.seed)
        panels = [Panel("clean", case.image.grey), _panel("noisy", noisy, case)]
        panels += [_panel(row.title, row(noisy, case.noise).image, case) for row in self.rows]
        level = case.noise
        title = f"eta {level.eta:g}, sigma {level.sigma:g}" if isinstance(level, NoiseLevel) else case.label
        return PanelRow(title, tuple(panels))

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
        whole = [Image.fromarray(image).resize((side, side), Image.Resampling.BOX) for image in images]
        picture = io.BytesIO()
        Image.fromarray(np.vstack([np.hstack([np.asarray(one) for one in whole]), detail])).save(
            picture, "PNG", optimize=True
        )
        return picture.getvalue()


def _panel(title: str, grey: NDArray[np.float32], case: Case) -> Panel:
    scores = quality(grey, case.image.grey)
    return Panel(title, grey, f"{scores.psnr:.2f} dB, SSIM {scores.ssim:.4f}")


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
    """Choose what is drawn.

    Args:
        folder: of clean images, the first is taken; None takes a phantom.
        target: the file to be made; its suffix tells its type.
        kind: one of `FIGURES`.
        methods: rows, separated by commas; None takes a few that are installed, or the default model of `denoise`.
        quick: only the middle of the image.
        seed: of the noise.
        runtime: how networks run.

    Raises:
        UsageError: no such figure; there is no target, or not of a type that can be drawn; a row or the folder is no
            good.
        CannotRunError: something that a row needs is missing.
    """
    if kind not in FIGURES:
        raise UsageError(f"no figure is called '{kind}'", hint=f"choose one of {', '.join(FIGURES)}")
    suffixes = (".png",) if kind == BEFORE_AFTER else (".png", ".svg")
    if target is None or target.suffix.lower() not in suffixes:
        types = " or ".join(suffix[1:].upper() for suffix in suffixes)
        raise UsageError(f"this figure needs a {types} file to be written to", hint="for example -o figure.png")
    if kind == "2":
        require("a figure", "matplotlib")
    chosen = registry.of_set(registry.FIGURE) if kind == "2" else [AUTO]
    wanted = registry.named(methods) if methods else chosen
    rows, _ = registry.make([row for row in wanted if row != "noisy"], runtime or Runtime())
    images = image_set(folder, quick=quick)
    return FigurePlan(rows, next(images.open()), f"the first of {images.words}", seed, target, kind)
