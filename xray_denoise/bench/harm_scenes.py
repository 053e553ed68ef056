"""The scenes of the table of harm: what a method does to flat fields, edges, discs, lesions and empty images.

Each scene gives the values of a record, by their names: `Harm` measures all of them. docs/trust.md defines them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.bench.cases import Case, generator
from xray_denoise.bench.metrics import SECONDS
from xray_denoise.bench.rows import Row
from xray_denoise.physics.contrast_detail import ContrastDetail
from xray_denoise.physics.false_structure import blobs, lines
from xray_denoise.physics.lesions import LESIONS, SIDE
from xray_denoise.physics.noise_power import PowerSum
from xray_denoise.physics.observers import Figure, Scores, bootstrap, contrast_kept, mean_in
from xray_denoise.physics.profile import NoiseProfile

Grey = NDArray[np.float32]
Values = dict[str, float | None]

GREYS, FLAT = (10, 60, 127, 190, 245), 256
"""Grey levels of flat fields, and their side, pixels."""
CONTRASTS, SLANT, EDGE_BLUR, EDGE_REACH = (0.5, 1.0, 2.0, 4.0, 8.0), 0.08, 0.7, 16.0
"""Of edges: contrasts over the deviation of the noise, columns a row, deviation of the blur that a detector would have,
and how far from the edge it is looked at, pixels."""
EDGE_ROWS, EDGE_COLUMNS = 768, 192
"""Of an image of an edge, pixels."""
DIAMETERS, STRENGTHS, REPEATS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0), tuple(np.geomspace(0.4, 6, 8)), 6
"""Of the contrast-detail phantom; see `physics.contrast_detail`."""
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
            noisy, denoised = exposures.of(np.full((FLAT, FLAT), grey), f"flat {grey}")
            values[f"shift {grey}"] = float((denoised - noisy).mean())
        return values

    def edges(self, exposures: "_Exposures", _noisy: Grey) -> Values:
        """10-90 % width of an edge, by its contrast."""
        values: Values = {}
        for contrast in CONTRASTS:
            height = contrast * exposures.deviation
            distance = edge_distance()
            _, denoised = exposures.of(127 - height / 2 + height * _edge(distance, EDGE_BLUR), f"edge {contrast:g}")
            values[f"width {contrast:g}"] = edge_width(denoised, distance, height)
        return values

    def discs(self, exposures: "_Exposures", _noisy: Grey) -> Values:
        """Threshold contrast over the deviation of the noise, by diameter, after and before."""
        diameters, strengths = (DIAMETERS[::3], STRENGTHS[::2]) if self.small else (DIAMETERS, STRENGTHS)
        phantom = ContrastDetail.random(diameters, strengths, REPEATS, np.random.default_rng(0))
        noisy, denoised = exposures.of(100 + exposures.deviation * phantom.draw(), "discs")
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
        empty = [(noisy, exposures.denoised(noisy)), exposures.of(clean, "without lesions")]
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
        noisy, denoised = exposures.of(np.full((side, side), 127.0), "empty")
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

    def of(self, clean: NDArray[np.floating], name: str) -> tuple[Grey, Grey]:
        """A noisy exposure, and what becomes of it; its noise depends on its name and the label of the case."""
        rng = generator(f"{name}, {self.case.label}")
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
