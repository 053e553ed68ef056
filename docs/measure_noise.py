"""Measure the blind estimate of the noise level on a folder of clean radiographs, or on phantoms.

    python docs/measure_noise.py [FOLDER]

adds fresh noise of the nine levels of Table II to each image, and prints per level the mean (and the largest)
magnitude of three errors: of the relative error of 1 / eta, of the error of sigma in grey levels, and of the relative
error of the total standard deviation at mid-grey, grey level 128. Without a folder: 8 phantoms of 1024x1024.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xray_denoise.physics.estimate import estimate_level
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.phantom import chest_phantom

LEVELS = tuple(NoiseLevel(eta, sigma) for eta in (0.4, 0.6, 0.8) for sigma in (5, 10, 15))
PHANTOMS = 8
SUFFIXES = {".png", ".tif", ".tiff", ".webp"}


def clean_images(arguments: list[str]) -> Iterator[NDArray[np.float32]]:
    """The images of the folder, sorted by name, or phantoms; grey levels."""
    if not arguments:
        yield from (chest_phantom(rng=np.random.default_rng(seed)) for seed in range(PHANTOMS))
        return
    for path in sorted(Path(arguments[0]).iterdir()):
        if path.suffix.lower() in SUFFIXES:
            yield np.asarray(Image.open(path).convert("L"), dtype=np.float32)


def errors(found: NoiseLevel, true: NoiseLevel) -> tuple[float, float, float]:
    """Of 1 / eta (relative), of sigma (grey levels), of the total deviation at mid-grey (relative)."""
    middle = np.array(128.0)
    ratio = float(np.sqrt(found.variance(middle) / true.variance(middle)))
    return true.eta / found.eta - 1, found.sigma - true.sigma, ratio - 1


def main() -> None:
    """Print the table."""
    table, seconds = [], 0.0
    for index, clean in enumerate(clean_images(sys.argv[1:])):
        rows = []
        for level in LEVELS:
            noisy = add_noise(clean, level, np.random.default_rng(index))
            start = time.perf_counter()
            found = estimate_level(noisy)
            seconds += time.perf_counter() - start
            rows.append(errors(found, level))
        table.append(rows)
    size = np.abs(table)
    print(f"{len(table)} images, {seconds / len(table) / len(LEVELS):.2f} s each")
    print("| eta, sigma | 1/eta | sigma, grey levels | total at mid-grey |\n|---|---|---|---|")
    means, worst = size.mean(axis=0), size.max(axis=0)
    for name, mean, most in zip(
        [f"{level.eta:g}, {level.sigma:g}" for level in LEVELS] + ["all"],
        [*means, means.mean(axis=0)],
        [*worst, worst.max(axis=0)],
        strict=True,
    ):
        eta, sigma, total = zip(mean, most, strict=True)
        print("| {} | {:.1%} ({:.1%}) | {:.2f} ({:.2f}) | {:.2%} ({:.2%}) |".format(name, *eta, *sigma, *total))


if __name__ == "__main__":
    main()
