"""The detection task: do lesions in regions of interest survive a method? Judged by `physics.observers`.

    python -m xray_denoise.bench.detection REGIONS.npz MODEL... [--dose 50] [--one-by-one]

prints the squared error, the detectability d' and the share of the lesion's contrast that is kept, with 95 % intervals,
for the noise-free regions, the noisy ones, and each model; and the differences to the noisy ones, case by case.

A file of regions holds, for each dose D in percent of a full exposure, the arrays

    doseD_noisy_absent  doseD_noisy_present  doseD_clean_absent  doseD_clean_present          (N, H, W), stored values

where row i of all four is one case, without and with the lesion, with noise and without. The lesion is the same in
every case. Regions are denoised one by one, or laid out as one image, which gives a method that estimates the noise a
whole image to look at. Grey levels 0 to 255 are the range of an image's values without outliers, as those of a file.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise import denoisers
from xray_denoise.denoisers import Denoiser
from xray_denoise.physics.observers import Figure, Scores, bootstrap, contrast_kept, mean_in
from xray_denoise.radiograph import robust_range
from xray_denoise.reports import tables as layout
from xray_denoise.reports.tables import Column, Row, Table
from xray_denoise.scale import GREY_MAX

Images = NDArray[np.float32]
GreyToGrey = Callable[[NDArray[np.float32]], NDArray[np.floating]]

COLUMNS = 10
"""Regions beside each other in a mosaic."""
NOISY, CLEAN = "noisy", "noise-free"
TITLES = ("error, stored^2", "d', lesion measured", "d', lesion known", "contrast kept, share")
"""Of the columns."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Cases without and with the lesion, each (N, H, W)."""

    absent: Images
    present: Images

    def mapped(self, function: Callable[[Images], Images]) -> "Regions":
        """Both of them after `function`."""
        return Regions(function(self.absent), function(self.present))


@dataclass(frozen=True, slots=True)
class DetectionTask:
    """The cases of one dose."""

    noisy: Regions
    clean: Regions

    @classmethod
    def read(cls, path: Path, dose: int) -> Self:
        """The cases of `dose`, percent, of a file of regions (.npz)."""
        with np.load(path) as file:
            arrays = {
                f"{noise}_{lesion}": file[f"dose{dose}_{noise}_{lesion}"].astype(np.float32)
                for noise in ("noisy", "clean")
                for lesion in ("absent", "present")
            }
        return cls(
            Regions(arrays["noisy_absent"], arrays["noisy_present"]),
            Regions(arrays["clean_absent"], arrays["clean_present"]),
        )

    def denoised(self, denoise: GreyToGrey, *, mosaic: bool = True) -> Regions:
        """What `denoise` (grey levels to grey levels, 2-D) makes of the noisy regions, in stored values."""

        def apply(images: Images) -> Images:
            if not mosaic:
                return np.stack([in_stored_values(denoise, image) for image in images])
            return in_pieces(in_stored_values(denoise, as_mosaic(images)), images.shape)

        return self.noisy.mapped(apply)

    def judge(self, result: Regions, rng: np.random.Generator) -> "Judgement":
        """Error, detectability and contrast of denoised regions; equal generators draw equal cases."""
        counts = bootstrap(len(self.clean.absent), rng)
        lesion = (self.clean.present.astype(np.float64) - self.clean.absent).mean(axis=0)
        measured, known = (Scores.of_images(result.absent, result.present, lesion=one) for one in (None, lesion))
        errors = [
            ((images.astype(np.float64) - clean) ** 2).mean(axis=(1, 2))
            for images, clean in ((result.absent, self.clean.absent), (result.present, self.clean.present))
        ]
        kept = contrast_kept(result.absent, result.present, self.clean.absent, self.clean.present)
        return Judgement(
            mean_in((errors[0] + errors[1]) / 2, counts),
            measured.detectability(counts),
            known.detectability(counts),
            mean_in(kept, counts),
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is left of noise and lesions, in every draw of a bootstrap; the first draw is the cases themselves."""

    squared_error: NDArray[np.float64]
    """Mean squared error, stored values squared."""
    detectability: NDArray[np.float64]
    """The d' of the published observer, which measures the lesion in the images that it learns from."""
    detectability_known: NDArray[np.float64]
    """The d' of an observer that knows the lesion without noise."""
    contrast: NDArray[np.float64]
    """Share of the lesion's contrast that is kept."""

    @property
    def draws(self) -> tuple[NDArray[np.float64], ...]:
        """All of them, in the order of `TITLES`."""
        return self.squared_error, self.detectability, self.detectability_known, self.contrast

    def figures(self) -> tuple[Figure, ...]:
        """Error, both d' and contrast, with their intervals."""
        return tuple(map(Figure.of, self.draws))

    def above(self, other: "Judgement") -> tuple[Figure, ...]:
        """This less `other`, draw by draw: intervals of the differences between two methods."""
        return tuple(Figure.of(one - another) for one, another in zip(self.draws, other.draws, strict=True))


def in_stored_values(denoise: GreyToGrey, image: Images) -> Images:
    """Apply what works on grey levels to stored values, (H, W)."""
    low, high = robust_range(image)
    scale = GREY_MAX / (high - low)
    return np.asarray(denoise(((image - low) * scale).astype(np.float32)) / scale + low, dtype=np.float32)


def as_mosaic(images: Images) -> Images:
    """Lay (N, H, W) out in rows of `COLUMNS`; N is a multiple of it."""
    count, height, width = images.shape
    tiled = images.reshape(count // COLUMNS, COLUMNS, height, width).swapaxes(1, 2)
    return np.ascontiguousarray(tiled.reshape(count // COLUMNS * height, COLUMNS * width))


def in_pieces(mosaic: Images, shape: tuple[int, ...]) -> Images:
    """Take a mosaic apart into images of `shape` (N, H, W)."""
    count, height, width = shape
    return np.ascontiguousarray(mosaic.reshape(count // COLUMNS, height, COLUMNS, width).swapaxes(1, 2).reshape(shape))


def tables(judged: Mapping[str, Judgement]) -> tuple[Table, Table]:
    """Figures of each method, and those less the figures of `NOISY`, with half of the width of their intervals."""
    columns = tuple(Column(title=title) for title in TITLES)
    rows = [Row(name, *_spread(one.figures())) for name, one in judged.items()]
    gaps = [Row(name, *_spread(one.above(judged[NOISY]))) for name, one in judged.items() if name != NOISY]
    text = (
        "Mean squared error in stored values; detectability d' of two channelised Hotelling observers, one that "
        "measures the lesion in the images it learns from and one that knows it; contrast of the lesion that is kept. "
        "± half of the 95 % interval of a bootstrap over the cases."
    )
    return (
        Table("Detection task", text, columns, tuple(rows), 3),
        Table("Difference to the noisy regions, case by case", text, columns, tuple(gaps), 3),
    )


def _spread(figures: tuple[Figure, ...]) -> tuple[tuple[float, ...], bool, tuple[float, ...], tuple[float, ...]]:
    return tuple(one.value for one in figures), False, (), tuple((one.high - one.low) / 2 for one in figures)


def _grey_to_grey(denoise: Denoiser) -> GreyToGrey:
    return lambda grey: denoise(grey).image


def main(arguments: list[str] | None = None) -> None:
    """Print the tables of some methods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("regions", type=Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--dose", type=int, default=50)
    parser.add_argument("--one-by-one", action="store_true")
    given = parser.parse_args(arguments)
    task = DetectionTask.read(given.regions, given.dose)
    results = {CLEAN: task.clean, NOISY: task.noisy}
    for name in given.models:
        results[name] = task.denoised(_grey_to_grey(denoisers.get(name)), mosaic=not given.one_by_one)
    judged = {name: task.judge(result, np.random.default_rng(0)) for name, result in results.items()}
    facts = (("regions", f"{len(task.noisy.absent)} cases of {given.regions.name}, dose {given.dose} %"),)
    sys.stdout.write(layout.markdown(layout.Report("Detection task", facts, tables(judged))))


if __name__ == "__main__":
    main()
