"""Calibrate the intervals of `denoise --save-uncertainty`, and check what share of pixels they hold.

    python -m xray_denoise.bench.uncertainty calibrate MODEL FOLDER... [-o TABLE.json]
    python -m xray_denoise.bench.uncertainty coverage MODEL FOLDER...

Both average clean images 2x2, draw detector noise of every spectrum and deviation, and denoise blind. `calibrate` adds
phantoms without any noise, and writes the table of `physics.uncertainty` beside the weights; `coverage` prints the
share of pixels whose interval holds the clean value: all pixels, edges (the tenth with the greatest gradients) and
smooth areas (the half with the least).
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise import denoisers, files, weights
from xray_denoise.bench.detectors import DEVIATIONS, SPECTRA, averaged, even
from xray_denoise.denoisers import Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.files.folders import radiographs_in
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.detectors import detector_profile
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.physics.uncertainty import Scored, UncertaintyTable, gradient, scored
from xray_denoise.reports import tables as layout
from xray_denoise.reports.tables import Column, Row, Table

SIDE = 384
"""Middle of each image that is used, pixels a side after averaging."""
PHANTOMS = 4
SEED = 77
"""Of the noise that is drawn for calibration; another than for the coverage."""
PIXELS = 8192
"""Of each denoised image that are counted."""
EDGES, SMOOTH = 0.9, 0.5
"""Quantiles of the gradient: edges lie above, smooth areas below."""

Grey = NDArray[np.float32]


def cells() -> list[tuple[str, float, NoiseProfile]]:
    """Spectrum, deviation and profile of every cell of the detector table."""
    return [
        (name, deviation, even(deviation, detector_profile(name, deviation).kernel))
        for name in SPECTRA
        for deviation in DEVIATIONS
    ]


def clean_images(folder: Path, most: int | None = None) -> Iterator[Grey]:
    """The middle of the radiographs of a folder, averaged 2x2: of all, or of `most` that are spread evenly."""
    paths = radiographs_in(folder)
    every = 1 if most is None else max(len(paths) // most, 1)
    for path in paths[every // 2 :: every][:most]:
        yield _middle(averaged(files.read(path).grey))


def calibrate(denoiser: Denoiser, images: Sequence[Grey]) -> UncertaintyTable:
    """The table of a model, from clean images and from phantoms without noise.

    Raises:
        UsageError: the model has no weights, or does not estimate a noise profile.
    """
    phantoms = [chest_phantom(SIDE, rng=np.random.default_rng(seed), mottle=False) for seed in range(PHANTOMS)]
    found = [
        _scored(denoiser, clean, profile, np.random.default_rng((number, cell, SEED)))
        for number, clean in enumerate([*images, *phantoms])
        for cell, (_, _, profile) in enumerate(cells())
    ]
    return UncertaintyTable.calibrated(found, denoiser.weights_sha256, denoiser.part)


def coverage(denoiser: Denoiser, table: UncertaintyTable, images: Sequence[Grey]) -> Table:
    """Share of pixels in their intervals for every cell, percent: mean over the images, and its standard error."""
    rows = []
    for name, deviation, profile in cells():
        shares, widths = [], []
        for number, clean in enumerate(images):
            rng = np.random.default_rng((number, round(16 * deviation)))
            result = denoiser(np.asarray(clean + profile.draw(clean, rng), dtype=np.float32))
            if result.estimate is None:
                raise _unfit(denoiser)
            width = table.half_width(result.image, result.estimate)
            inside = np.abs(clean - result.image) <= width
            steep = gradient(result.image)
            low, high = np.quantile(steep, (SMOOTH, EDGES))
            shares.append([100 * float(inside[some].mean()) for some in (steep >= 0, steep >= high, steep <= low)])
            widths.append(float(np.median(width)))
        errors = np.std(shares, axis=0) / math.sqrt(max(len(shares) - 1, 1))  # of the mean
        values = [value for pair in zip(np.mean(shares, axis=0), errors, strict=True) for value in pair]
        rows.append(Row(f"{name} {deviation:g}", (*map(float, values), float(np.median(widths)))))
    titles = ("all, %", "±", "edges, %", "±", "smooth, %", "±", "half width, grey")
    columns = tuple(Column(title=title) for title in titles)
    text = (
        "Share of pixels whose interval holds the clean value, mean over the images and its standard error; deviation "
        "of the noise in grey levels; median width."
    )
    return Table("Coverage of the intervals", text, columns, tuple(rows), 1)


def _scored(denoiser: Denoiser, clean: Grey, profile: NoiseProfile, rng: np.random.Generator) -> Scored:
    result = denoiser(np.asarray(clean + profile.draw(clean, rng), dtype=np.float32))
    if result.estimate is None or not denoiser.weights_sha256:
        raise _unfit(denoiser)
    return scored(clean, result.image, result.estimate, rng, PIXELS)


def _unfit(denoiser: Denoiser) -> UsageError:
    return UsageError(f"'{denoiser.name}' estimates no noise profile", hint=f"choose {denoisers.DEFAULT}")


def _middle(grey: Grey) -> Grey:
    rows, columns = (max(length - SIDE, 0) // 2 for length in grey.shape)
    return grey[rows : rows + SIDE, columns : columns + SIDE]


def main(arguments: list[str] | None = None) -> None:
    """Write a table, or print its coverage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("calibrate", "coverage"))
    parser.add_argument("model")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--most", type=int, help="use so many images of each folder at most, spread evenly")
    parser.add_argument("-o", "--output", type=Path, help="by default beside the weights")
    given = parser.parse_args(arguments)
    denoiser = denoisers.get(given.model)
    card = weights.find(given.model)
    beside = weights.uncertainty_path(card.path.parent, card.name)
    images = [image for folder in given.folders for image in clean_images(folder, given.most)]
    if given.what == "calibrate":
        write_bytes(calibrate(denoiser, images).to_json().encode(), given.output or beside)
        return
    table = weights.uncertainty(denoiser.weights_sha256, denoiser.part, denoiser.name, given.output or beside)
    sys.stdout.write(
        layout.markdown(layout.Report(f"Uncertainty of {given.model}", (), (coverage(denoiser, table, images),)))
    )


if __name__ == "__main__":
    main()
