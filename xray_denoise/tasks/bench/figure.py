"""Figure 2 of the paper: one radiograph at four noise levels, methods side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Runtime
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.physics.metrics import quality
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.reports.figure import Panel, PanelRow, draw
from xray_denoise.tasks.bench import rows
from xray_denoise.tasks.bench.cases import Case, CleanImage, image_set
from xray_denoise.tasks.bench.rows import Entry

LEVELS = tuple(NoiseLevel(eta, sigma) for eta in (0.4, 0.6) for sigma in (10.0, 15.0))
"""The noise levels of the figure."""


@dataclass(frozen=True, slots=True)
class FigurePlan:
    """A figure to be."""

    entries: Sequence[Entry]
    image: CleanImage
    words: str
    """Where the image comes from, for people."""
    seed: int
    target: Path
    """The file to be, .png or .svg."""

    def draw(self) -> bytes:
        """Denoise, and draw: the clean image, the noisy one, and what each method makes of it."""
        return draw(
            [self._row(Case(self.image, level)) for level in LEVELS],
            "svg" if self.target.suffix.lower() == ".svg" else "png",
        )

    def _row(self, case: Case) -> PanelRow:
        noisy = case.noisy(self.seed)
        panels = [Panel("clean", case.image.grey), _panel("noisy", noisy, case)]
        for entry in self.entries:
            denoised = entry.denoiser(noisy, case.level if entry.oracle else None)
            panels.append(_panel(entry.title, denoised.image, case))
        return PanelRow(f"eta {case.level.eta:g}, sigma {case.level.sigma:g}", tuple(panels))


def _panel(title: str, grey: NDArray[np.float32], case: Case) -> Panel:
    scores = quality(grey, case.image.grey)
    return Panel(title, grey, f"{scores.psnr:.2f} dB, SSIM {scores.ssim:.4f}")


def plan(
    folder: Path | None,
    target: Path | None,
    *,
    named: str | None = None,
    quick: bool = False,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> FigurePlan:
    """Choose what is drawn.

    Args:
        folder: of clean images, the first is taken; None takes a phantom.
        target: the file to be; its suffix tells its type.
        named: `--methods`; None takes a few that are installed.
        quick: only the middle of the image.
        seed: of the noise.
        runtime: how networks run.

    Raises:
        UsageError: there is no target, or its suffix is neither .png nor .svg; a row or the folder is no good.
        CannotRunError: something that a row needs is missing.
    """
    if target is None or target.suffix.lower() not in (".png", ".svg"):
        raise UsageError("a figure needs a PNG or SVG file to be written to", hint="for example -o figure-2.png")
    if find_spec("matplotlib") is None:
        raise CannotRunError("a figure needs the package 'matplotlib'", hint="pip install 'xray-denoise[report]'")
    wanted = rows.named_rows(named) if named else rows.figure_rows()
    entries, _ = rows.make([row for row in wanted if row != "noisy"], runtime or Runtime())
    images = image_set(folder, quick=quick)
    return FigurePlan(entries, next(images.open()), f"the first of {images.words}", seed, target)
