"""The table of harm: what a method removes, adds or changes besides the noise. docs/trust.md explains it.

Five scenes (`harm_scenes`), each at every noise of `SPECTRA` x `DEVIATIONS`, and one without noise. `Harm` measures a
scene, `HarmTable` lays out the records, and `harm_gate` judges them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xray_denoise.bench.cases import Case, CleanImage, ImageSet
from xray_denoise.bench.detectors import even
from xray_denoise.bench.harm_scenes import (
    CONTRASTS,
    DIAMETERS,
    EDGE_BLUR,
    EDGE_COLUMNS,
    EDGE_ROWS,
    EMPTY,
    FLAT,
    GREYS,
    RING_MIDDLES,
    SCENES,
    VISIBLE,
    Harm,
)
from xray_denoise.bench.metrics import SECONDS
from xray_denoise.bench.rows import Row
from xray_denoise.bench.table import Run, TableSpec, Work
from xray_denoise.denoisers import AUTO
from xray_denoise.errors import UsageError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.detectors import detector_profile
from xray_denoise.physics.lesions import LESIONS
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.reports import tables as layout
from xray_denoise.reports.curves import Line, Panel, panels
from xray_denoise.reports.page import Plot
from xray_denoise.reports.tables import Column, Table

if TYPE_CHECKING:
    from xray_denoise.bench.plan import Plan

SPECTRA, DEVIATIONS = ("white", "csi"), (1.0, 2.0, 4.0, 8.0)
"""Noise of a case; its deviation is the same at every grey level."""
CLEAN = "clean"
"""Label of the case without noise."""
PHANTOM, QUICK_PHANTOM = 768, 320
"""Side of the chest phantom that lesions are inserted in, pixels."""


@dataclass(frozen=True)
class HarmTable(TableSpec):
    """Every measure of harm against the noise, a table each."""

    metrics = (SECONDS,)
    plotted = "Harm"

    def rows(self) -> list[str]:
        """A classical method, a small network, and the default."""
        return ["noisy", "nlm", "lite", AUTO]

    def images(self, folder: Path | None, quick: bool) -> ImageSet:
        """A chest phantom without noise of its own.

        Raises:
            UsageError: a folder is named; radiographs hold noise that nobody knows.
        """
        if folder is not None:
            raise UsageError("the table of harm draws its own images", hint="leave the folder out")
        side = QUICK_PHANTOM if quick else PHANTOM

        def draw() -> Iterator[CleanImage]:
            grey = chest_phantom(side, rng=np.random.default_rng(0), marker=False, mottle=False)
            yield CleanImage("phantom", grey, "chest phantom without marker and mottle")

        return ImageSet(f"scenes of its own, with a chest phantom of {side}x{side} pixels", 1, draw)

    def noises(self, quick: bool) -> list[str]:
        """Labels of the noises."""
        return [f"{name} {one:g}" for name in SPECTRA for one in ((2.0, 8.0) if quick else DEVIATIONS)]

    def cases(self, image: CleanImage, _seed: int, quick: bool) -> Iterator[Case]:
        """Every scene at every noise."""
        yield Case(image, NoiseProfile.white(0.0), CLEAN, scene="noise-free")
        for noise in self.noises(quick):
            spectrum, deviation = noise.split()
            profile = even(float(deviation), detector_profile(spectrum, float(deviation)).kernel)
            for scene in SCENES:
                if scene != "noise-free":
                    yield Case(image, profile, noise, scene=scene)

    def pixels(self, image: CleanImage) -> float:
        """Those that a method is given in a scene, on average."""
        fields = len(GREYS) * FLAT**2 + len(CONTRASTS) * EDGE_ROWS * EDGE_COLUMNS + EMPTY**2 + 19**2 * 64**2
        return (fields + (2 + len(LESIONS)) * image.grey.size) / (len(SCENES) - 1)

    def work(self, plan: "Plan") -> Work:
        """See `TableSpec`."""
        return Harm(small=plan.quick)

    def layout(self, run: Run) -> list[Table]:
        """A table for each of `GROUPS`, and for what has no noise."""
        noises = self.noises(run.quick)
        return [one.table(run, [CLEAN] if one.scene == "noise-free" else noises) for one in GROUPS]

    def plot(self, run: Run) -> Plot:
        """Every measure but that of images without noise; see `Group`."""
        noises = self.noises(run.quick)
        return Plot(self.plotted, panels([one.panel(run, noises) for one in GROUPS if one.scene != "noise-free"]))


@dataclass(frozen=True, slots=True)
class Group:
    """Measures that share a table: a row for each method and item, a column for each noise.

    `items` are the names of values of a record of `scene` by the title of their item. The plot shows the mean of
    `drawn` of them, or of all, against the deviation of the noise; or, where something is varied from item to item,
    each against the values `at` of what is varied, as a mean over the deviations.
    """

    title: str
    definition: str
    scene: str
    items: Mapping[str, str]
    digits: int = 2
    at: Sequence[float] = ()
    varied: str = ""
    drawn: tuple[str, ...] = ()
    y_label: str = ""
    """Of the plot."""
    log: bool = False
    """Whether the plot has logarithmic axes."""

    def value(self, run: Run, row: Row, metric: str, noise: str) -> float | None:
        """One value of a row."""
        return run.results.values(row.title, metric, [noise]).get((self.scene, noise))

    def table(self, run: Run, noises: Sequence[str]) -> Table:
        """Rows and columns; an item that nobody measured is left out."""
        rows = []
        for row in run.rows:
            for item, metric in self.items.items():
                values, low, high = (
                    [self.value(run, row, metric + end, noise) for noise in noises] for end in ("", " low", " high")
                )
                margins = tuple(None if a is None or b is None else (b - a) / 2 for a, b in zip(low, high, strict=True))
                if any(value is not None for value in values):
                    rows.append(layout.Row(f"{row.title}, {item}", tuple(values), margins=margins))
        columns = tuple(Column(title=noise) for noise in noises)
        return Table(self.title, self.definition, columns, tuple(rows), self.digits)

    def panel(self, run: Run, noises: Sequence[str]) -> Panel:
        """A line for each method and spectrum."""
        metrics, lines = self.drawn or tuple(self.items.values())[: len(self.at) or None], []
        for row in run.rows:
            for spectrum in SPECTRA:
                those = [noise for noise in noises if noise.startswith(spectrum)]
                found = np.array(
                    [[_number(self.value(run, row, metric, noise)) for noise in those] for metric in metrics]
                )
                if self.at:
                    kept = np.isfinite(found).all(axis=1)
                    x, y = np.array(self.at)[kept], found[kept].mean(axis=1)
                else:
                    x, y = np.array([float(noise.split()[1]) for noise in those]), found.mean(axis=0)
                lines.append(Line(f"{row.title}, {spectrum}", x, y))
        across = self.varied or "deviation of the noise, grey levels"
        return Panel(self.title, across, self.y_label, tuple(lines), log_x=self.log or not self.at, log_y=self.log)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


GROUPS = (
    Group(
        "Contrast kept",
        "Share of the contrast of lesions that is left, and half of its 95 % interval: a bootstrap over the places.",
        "lesions",
        {name: f"kept {name}" for name in LESIONS},
        3,
        y_label="share, mean over the lesions",
    ),
    *(
        Group(
            f"Detectability{title}, lesion {kind}",
            f"d' of a channelised Hotelling observer {text}{definition}, and half of its 95 % interval: a bootstrap "
            "over the places.",
            "lesions",
            {name: f"d'{part} {kind} {name}" for name in LESIONS},
            y_label="d', mean over the lesions",
        )
        for kind, text in (
            ("measured", "that measures the lesion in the images it learns from"),
            ("known", "that knows the lesion"),
        )
        for title, part, definition in (("", "", ""), (" gained", " gain", ", less that in the noisy images"))
    ),
    Group(
        "Threshold contrast",
        "Contrast of discs of a contrast-detail phantom, over the deviation of the noise, that a non-prewhitening "
        "observer finds among four places in 5/8 of the trials; last the mean ratio to the noisy image.",
        "discs",
        {
            **{f"diameter {one:g}": f"threshold {one:g}" for one in DIAMETERS},
            **{f"diameter {one:g}, before": f"threshold before {one:g}" for one in DIAMETERS},
            "after over before": "threshold ratio",
        },
        2,
        DIAMETERS,
        "diameter, pixels",
        y_label="contrast over the deviation of the noise",
        log=True,
    ),
    Group(
        "Shift of flat fields, grey",
        "Mean of the result less that of the noisy image.",
        "flat fields",
        {f"grey level {grey}": f"shift {grey}" for grey in GREYS},
        4,
        GREYS,
        "grey level",
        y_label="grey levels",
    ),
    Group(
        "Error of a chest phantom over the variance of the noise",
        "bias^2 and variance sum to the squared error; two exposures part them: bias^2 is the mean product of their "
        "errors, the variance half of the mean square of their difference.",
        "lesions",
        {"bias^2": "bias^2", "variance": "variance"},
        4,
        drawn=("variance",),
        y_label="variance left, share",
    ),
    Group(
        "Noise power that is left",
        "Power of the difference of two denoised exposures of a chest phantom over the root of 2, on rings of "
        "frequencies, over the variance of the noise before: white noise had 1 on each.",
        "lesions",
        {f"{one:.2f} cycles per pixel": f"power {ring}" for ring, one in enumerate(RING_MIDDLES)},
        4,
        RING_MIDDLES,
        "frequency, cycles per pixel",
        y_label="power over the variance of the noise",
        log=True,
    ),
    Group(
        "10-90 % width of an edge, pixels",
        f"Of an integral of a Gaussian that is fitted to a slanted edge; {2.563 * EDGE_BLUR:.2f} where nothing is "
        "blurred. Contrast: over the deviation of the noise.",
        "edges",
        {f"contrast {one:g}": f"width {one:g}" for one in CONTRASTS},
        2,
        CONTRASTS,
        "contrast over the deviation of the noise",
        y_label="width, pixels",
    ),
    Group(
        "False structures in a million pixels",
        f"Blobs and lines that stand out of a denoised flat field, of at least {VISIBLE:g} deviations of the noise.",
        "empty",
        {name: name for name in ("blobs", "lines", "blobs before", "lines before")},
        1,
        drawn=("blobs",),
        y_label="blobs",
    ),
    Group(
        "Change of a chest phantom without noise, grey",
        "Root mean square, and what 1 pixel of 1000 exceeds.",
        "noise-free",
        {"root mean square": "change", "1 of 1000": "largest change"},
        3,
    ),
)
"""The tables."""
