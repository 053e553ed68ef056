"""The table of harm: what a method takes away, adds or moves besides the noise. docs/trust.md defines and reads it.

Five scenes of our own (`SCENES`), each at every noise of `SPECTRA` x `DEVIATIONS`, and one without noise. A record has
all that a scene tells: `Harm` measures, `HarmTable` lays out, `failures` is the gate.

    python -m xray_denoise.bench.harm LOG METHOD

prints the cells in which a method does not pass the gate, as JSON, from the log of a table.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise import weights
from xray_denoise.bench.cases import Case, CleanImage, ImageSet
from xray_denoise.bench.detectors import even
from xray_denoise.bench.metrics import SECONDS
from xray_denoise.bench.records import Record
from xray_denoise.bench.rows import Row
from xray_denoise.bench.table import Run, TableSpec, Work
from xray_denoise.denoisers import AUTO, DEFAULT
from xray_denoise.errors import UsageError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.chain import detector_profile
from xray_denoise.physics.contrast_detail import ContrastDetail
from xray_denoise.physics.false_structure import blobs, lines
from xray_denoise.physics.lesions import LESIONS, SIDE
from xray_denoise.physics.noise_power import PowerSum
from xray_denoise.physics.observers import Figure, Scores, bootstrap, contrast_kept, mean_in
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.reports import tables as layout
from xray_denoise.reports.curves import Line, Panel, panels
from xray_denoise.reports.page import Plot
from xray_denoise.reports.tables import Column, Table

Grey = NDArray[np.float32]
Values = dict[str, float | None]

SPECTRA, DEVIATIONS = ("white", "csi"), (1.0, 2.0, 4.0, 8.0)
"""Noise of a case; its deviation is the same at every grey level."""
CLEAN = "clean"
"""Label of the case without noise."""
GREYS, FLAT = (10, 60, 127, 190, 245), 256
"""Grey levels of flat fields, and their side, pixels."""
CONTRASTS, SLANT, EDGE_BLUR, EDGE_REACH = (0.5, 1.0, 2.0, 4.0, 8.0), 0.08, 0.7, 16.0
"""Of edges: contrasts over the deviation of the noise, columns a row, deviation of the blur that a detector would have,
and how far from the edge it is looked at, pixels."""
EDGE_ROWS, EDGE_COLUMNS = 768, 192
"""Of an image of an edge, pixels."""
DIAMETERS, STRENGTHS, REPEATS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0), tuple(np.geomspace(0.4, 6, 8)), 6
"""Of the contrast-detail phantom; see `physics.contrast_detail`."""
PHANTOM, QUICK_PHANTOM = 768, 320
"""Side of the chest phantom that lesions are inserted in, pixels."""
AMPLITUDES: Mapping[str, float] = {"disc": 0.7, "line": 0.8, "dots": 1.4, "texture": 0.3}
"""Of lesions, over the deviation of the noise: a d' of 3 to 6 in white noise, what readers just find."""
DARKEST, BRIGHTEST = 20.0, 235.0
"""Mean grey levels between which a place in the phantom may have a lesion."""
EMPTY = 512
"""Side of the flat field without structure, pixels."""
VISIBLE = 0.25
"""A false structure counts from this amplitude on, over the deviation of the noise."""
RINGS = 8
"""Of the noise power spectrum between 0 and 0.5 cycles per pixel."""
RING_MIDDLES = tuple((ring + 0.5) / 2 / RINGS for ring in range(RINGS))
"""Their frequencies."""
KEPT, SHIFTED = 0.95, 0.02
"""The gate: least share of the contrast, and largest shift of a flat field, grey levels."""


@dataclass(frozen=True, slots=True)
class Harm:
    """Measures a row in a scene: a `Work`. `small` scenes are for quick runs."""

    small: bool = False

    def __call__(self, row: Row, case: Case, noisy: Grey) -> Values:
        """All values of the scene, and the seconds that it took."""
        start = time.perf_counter()
        values = SCENES[case.scene](self, _Exposures(row, case), noisy)
        return {SECONDS: time.perf_counter() - start, **values}

    def flat_fields(self, exposures: "_Exposures", _noisy: Grey) -> Values:
        """Mean of the result less that of the noisy image, by grey level."""
        values: Values = {}
        for grey in GREYS:
            noisy, denoised = exposures.of(np.full((FLAT, FLAT), grey))
            values[f"shift {grey}"] = float((denoised - noisy).mean())
        return values

    def edges(self, exposures: "_Exposures", _noisy: Grey) -> Values:
        """10-90 % width of an edge, by its contrast."""
        values: Values = {}
        for contrast in CONTRASTS:
            height = contrast * exposures.deviation
            distance = edge_distance()
            _, denoised = exposures.of(127 - height / 2 + height * _edge(distance, EDGE_BLUR))
            values[f"width {contrast:g}"] = edge_width(denoised, distance, height)
        return values

    def discs(self, exposures: "_Exposures", _noisy: Grey) -> Values:
        """Threshold contrast over the deviation of the noise, by diameter, after and before."""
        diameters, strengths = (DIAMETERS[::3], STRENGTHS[::2]) if self.small else (DIAMETERS, STRENGTHS)
        phantom = ContrastDetail.random(diameters, strengths, REPEATS, np.random.default_rng(0))
        noisy, denoised = exposures.of(100 + exposures.deviation * phantom.draw())
        before, after = phantom.thresholds(noisy), phantom.thresholds(denoised)
        values: Values = {f"threshold {one:g}": after[one] for one in diameters}
        values |= {f"threshold before {one:g}": before[one] for one in diameters}
        ratios = np.log([after[one] / before[one] for one in diameters])
        return values | {"threshold ratio": float(np.exp(ratios.mean()))}

    def lesions(self, exposures: "_Exposures", noisy: Grey) -> Values:
        """Bias and variance, spectrum, and each lesion's contrast and detectability, in a chest phantom.

        Contrast is compared between images with and without lesions that have the same noise. The observer knows the
        phantom, and sees other noise in the images without lesions; where it measures the lesion, both are in its
        template.
        """
        clean = exposures.case.image.grey
        empty = [(noisy, exposures.denoised(noisy)), exposures.of(clean)]
        variance = exposures.deviation**2
        errors = [denoised.astype(np.float64) - clean for _, denoised in empty]
        values: Values = {
            "bias^2": float((errors[0] * errors[1]).mean()) / variance,
            "variance": float(((errors[0] - errors[1]) ** 2).mean()) / 2 / variance,
        }
        for name, images in (("power before", [one for one, _ in empty]), ("power", [one for _, one in empty])):
            power = ring_power((images[0].astype(np.float64) - images[1]) / np.sqrt(2)) / variance
            values |= {f"{name} {ring}": float(one) for ring, one in enumerate(power)}
        places = lesion_places(clean)
        counts = bootstrap(len(places), np.random.default_rng(0))
        absent = [cut(image - clean, places) for images in empty for image in images]
        for name, shape in LESIONS.items():
            lesion = AMPLITUDES[name] * exposures.deviation * shape()
            exposed = insert(noisy, lesion, places)
            present = [cut(one - clean, places) for one in (exposed, exposures.denoised(exposed))]
            kept = contrast_kept(absent[1], present[1], np.zeros_like(absent[1]), lesion[None] + 0 * absent[1])
            values |= _figure(f"kept {name}", mean_in(kept, counts))
            for kind, known in (("measured", None), ("known", lesion)):
                before, after = (
                    Scores.of_images(absent[2 + at], present[at], lesion=known).detectability(counts) for at in (0, 1)
                )
                values |= _figure(f"d' {kind} {name}", after) | _figure(f"d' gain {kind} {name}", after - before)
        return values

    def empty(self, exposures: "_Exposures", _noisy: Grey) -> Values:
        """Blobs and lines in a million pixels of a denoised flat field."""
        side = FLAT if self.small else EMPTY
        noisy, denoised = exposures.of(np.full((side, side), 127.0))
        least, megapixels = VISIBLE * exposures.deviation, side**2 / 1e6
        return {
            "blobs": blobs(denoised, least) / megapixels,
            "lines": lines(denoised, least) / megapixels,
            "blobs before": blobs(noisy, least) / megapixels,
            "lines before": lines(noisy, least) / megapixels,
        }

    def clean(self, exposures: "_Exposures", noisy: Grey) -> Values:
        """How far an image without noise is changed: root mean square, and what 1 pixel of 1000 exceeds."""
        change = np.abs(exposures.denoised(noisy).astype(np.float64) - noisy)
        return {"change": float(np.sqrt((change**2).mean())), "largest change": float(np.quantile(change, 0.999))}


@dataclass(frozen=True, slots=True)
class _Exposures:
    """Denoised exposures of scenes, each with noise of its own; the same for every row."""

    row: Row
    case: Case

    @property
    def deviation(self) -> float:
        """Of the noise, grey levels."""
        return float(self._profile.deviation[0])

    def of(self, clean: NDArray[np.floating]) -> tuple[Grey, Grey]:
        """A noisy exposure, and what becomes of it."""
        rng = np.random.default_rng(int(float(np.abs(clean).sum())))
        noisy = np.asarray(clean + self._profile.draw(clean, rng), dtype=np.float32)
        return noisy, self.denoised(noisy)

    def denoised(self, noisy: Grey) -> Grey:
        """What the row makes of an image."""
        return self.row(noisy, self.case.noise).image

    @property
    def _profile(self) -> NoiseProfile:
        assert isinstance(self.case.noise, NoiseProfile)  # noqa: S101 - `HarmTable.cases` makes no other
        return self.case.noise


SCENES: Mapping[str, Callable[[Harm, _Exposures, Grey], Values]] = {
    "flat fields": Harm.flat_fields,
    "edges": Harm.edges,
    "discs": Harm.discs,
    "lesions": Harm.lesions,
    "empty": Harm.empty,
    "noise-free": Harm.clean,
}
"""What is measured, by the name of the scene."""


def edge_distance() -> NDArray[np.float64]:
    """Distance of every pixel of an image from a slanted edge, pixels; negative on its dark side."""
    down, across = (np.arange(side) - (side - 1) / 2 for side in (EDGE_ROWS, EDGE_COLUMNS))
    return np.asarray((across[None] - SLANT * down[:, None]) / np.hypot(1, SLANT))


def _edge(distance: NDArray[np.float64], blur: float) -> NDArray[np.float64]:
    from scipy.special import ndtr

    return np.asarray(ndtr(distance / blur))


def edge_width(image: NDArray[np.floating], distance: NDArray[np.float64], height: float) -> float:
    """The 10-90 % width of an edge of about that height, pixels.

    An integral of a Gaussian is fitted to the pixels within `EDGE_REACH` of the edge by least squares; its 10-90 %
    width is 2.563 deviations.
    """
    from scipy.optimize import least_squares

    near = np.abs(distance) < EDGE_REACH
    bins = np.round(distance[near] * 4).astype(int)
    bins -= bins.min()
    count = np.bincount(bins)
    used = count > 0
    where, grey = (np.bincount(bins, one[near])[used] / count[used] for one in (distance, image))

    def misfit(found: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((found[0] + found[1] * _edge(where, found[2]) - grey) * np.sqrt(count[used]))

    start = [float(grey.min()), height, 1.0]
    found = least_squares(misfit, start, bounds=([-np.inf, -np.inf, 0.1], [np.inf, np.inf, EDGE_REACH])).x
    return 2.563 * float(found[2])


def ring_power(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean power on `RINGS` rings of equal width up to 0.5 cycles a pixel; that of white noise is its variance."""
    total = PowerSum(noise.shape, None)
    total.add(noise)
    found = total.result()
    assert found is not None  # noqa: S101 - a whole region fits into every scene
    radius = np.hypot(*found.frequencies)
    ring = np.floor(radius * 2 * RINGS).astype(int)
    kept = (ring < RINGS) & (radius > 0)
    return np.asarray(np.bincount(ring[kept], found.power[kept]) / np.bincount(ring[kept]))


def lesion_places(clean: NDArray[np.floating]) -> list[tuple[int, int]]:
    """Upper left corners of squares, side by side, whose mean and extremes are neither dark nor bright."""
    rows, columns = (range(0, length - SIDE + 1, SIDE) for length in clean.shape)
    squares = {(top, left): clean[top : top + SIDE, left : left + SIDE] for top in rows for left in columns}
    return [place for place, square in squares.items() if square.min() > DARKEST and square.max() < BRIGHTEST]


def cut(image: NDArray[np.floating], places: Sequence[tuple[int, int]]) -> NDArray[np.floating]:
    """The squares at `places`: (N, SIDE, SIDE)."""
    return np.array([image[top : top + SIDE, left : left + SIDE] for top, left in places])


def insert(clean: Grey, lesion: NDArray[np.float64], places: Sequence[tuple[int, int]]) -> Grey:
    """An image with a lesion at each of `places`."""
    image = clean.copy()
    for top, left in places:
        image[top : top + SIDE, left : left + SIDE] += lesion.astype(np.float32)
    return image


def _figure(name: str, draws: NDArray[np.float64]) -> Values:
    found = Figure.of(draws)
    return {name: found.value, f"{name} low": found.low, f"{name} high": found.high}


@dataclass(frozen=True)
class HarmTable(TableSpec):
    """Every measure of harm against the noise, a table each."""

    metrics = (SECONDS,)
    plotted = "Harm"

    def rows(self) -> list[str]:
        """A classical method, a small network, and the default."""
        return ["noisy", "nlm", "lite", AUTO]

    def images(self, folder: Path | None, *, quick: bool) -> ImageSet:
        """A chest phantom without noise of its own.

        Raises:
            UsageError: a folder is named; radiographs hold noise that nobody knows.
        """
        if folder is not None:
            raise UsageError("the table of harm draws its own images", hint="leave the folder out")
        side = QUICK_PHANTOM if quick else PHANTOM

        def draw() -> Iterator[CleanImage]:
            yield CleanImage("phantom", chest_phantom(side, rng=np.random.default_rng(0), marker=False, mottle=False))

        return ImageSet(f"scenes of its own, with a chest phantom of {side}x{side} pixels", 1, draw)

    def noises(self, quick: bool) -> list[str]:
        """Labels of the noises."""
        return [f"{name} {one:g}" for name in SPECTRA for one in ((2.0, 8.0) if quick else DEVIATIONS)]

    def cases(self, image: CleanImage, seed: int, quick: bool) -> Iterator[Case]:
        """Every scene at every noise."""
        del seed
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

    @contextmanager
    def work(self, warmup: int, repeat: int, *, quick: bool) -> Iterator[Work]:
        """See `TableSpec`."""
        del warmup, repeat
        yield Harm(small=quick)

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
    """Measures that stand in one table: a row for each method and item, a column for each noise.

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
        return Panel(self.title, across, "mean", tuple(lines), log_x=self.log or not self.at, log_y=self.log)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


GROUPS = (
    Group(
        "Contrast kept",
        "Share of the contrast of lesions that is left, and half of its 95 % interval: a bootstrap over the places.",
        "lesions",
        {name: f"kept {name}" for name in LESIONS},
        3,
    ),
    *(
        Group(
            f"Detectability{title}, lesion {kind}",
            f"d' of a channelised Hotelling observer {text}{definition}, and half of its 95 % interval: a bootstrap "
            "over the places.",
            "lesions",
            {name: f"d'{part} {kind} {name}" for name in LESIONS},
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
    ),
    Group(
        "Error of a chest phantom over the variance of the noise",
        "bias^2 and variance sum to the squared error; two exposures part them: bias^2 is the mean product of their "
        "errors, the variance half of the mean square of their difference.",
        "lesions",
        {"bias^2": "bias^2", "variance": "variance"},
        4,
        drawn=("variance",),
    ),
    Group(
        "Noise power that is left",
        "Power of half the difference of two denoised exposures of a chest phantom, on rings of frequencies, over the "
        "variance of the noise before: white noise had 1 on each.",
        "lesions",
        {f"{one:.2f} cycles per pixel": f"power {ring}" for ring, one in enumerate(RING_MIDDLES)},
        4,
        RING_MIDDLES,
        "frequency, cycles per pixel",
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
    ),
    Group(
        "False structures in a million pixels",
        f"Blobs and lines that stand out of a denoised flat field, of at least {VISIBLE:g} deviations of the noise.",
        "empty",
        {name: name for name in ("blobs", "lines", "blobs before", "lines before")},
        1,
        drawn=("blobs",),
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


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell in which a method does not pass the gate, and what is reached there."""

    cell: str
    reached: float


def failures(records: Iterable[Record]) -> list[Failure]:
    """The cells of one method in which it harms: see `KEPT` and `SHIFTED`.

    A d' counts as below that of the noisy images where the 95 % interval of the difference lies below 0, for the
    observer that measures the lesion.
    """
    found = []
    for record in records:
        for name, value in record.values.items():
            if value is None:
                continue
            kept = name.startswith("kept ") and name.endswith(tuple(LESIONS)) and value < KEPT
            shifted = name.startswith("shift ") and abs(value) > SHIFTED
            if kept or shifted:
                found.append(Failure(f"{record.noise}: {name}", value))
            if name.startswith("d' gain measured ") and name.endswith(" high") and value < 0:
                found.append(
                    Failure(
                        f"{record.noise}: {name.removesuffix(' high')}",
                        record.values[name.removesuffix(" high")] or 0.0,
                    )
                )
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print what does not pass the gate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("method", nargs="?", default=DEFAULT)
    given = parser.parse_args(arguments)
    found = failures(read_log(given.log, given.method))
    sys.stdout.write(json.dumps({one.cell: round(one.reached, 4) for one in found}, indent=1) + "\n")


def read_log(path: Path, method: str) -> list[Record]:
    """What a log has of a blind method as it is now: with these weights, if it is a network."""
    version = weights.find(method).sha256 if method in weights.names() else ""
    records = map(Record.from_line, path.read_bytes().splitlines())
    return [one for one in records if one.key.startswith(f"{method}, blind, {version}")]


if __name__ == "__main__":
    main()
