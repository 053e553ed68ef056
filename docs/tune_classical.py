"""Choose the constants of the classical denoisers: mean PSNR over a folder of clean radiographs.

    python docs/tune_classical.py FOLDER

prints one row per setting, mean PSNR in dB at three noise levels of Table II and over them, the best setting
of each method last. The true noise level is given, as in the benchmark. Use radiographs that no result is
reported on. About 20 minutes for 24 images of 1024x1024 on one core.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from xray_denoise.denoisers import Denoised
from xray_denoise.denoisers.classical import NonLocalMeans, TotalVariation
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise

LEVELS = (NoiseLevel(0.4, 15), NoiseLevel(0.6, 10), NoiseLevel(0.8, 5))
TV_SETTINGS = tuple(TotalVariation(factor) for factor in (0.9, 1.0, 1.1, 1.2, 1.3))
NLM_SETTINGS = tuple(
    NonLocalMeans(factor, size, distance)
    for size, distance, factor in itertools.product((7, 9, 11), (4, 5, 6), (0.7, 0.8, 0.9))
)
SUFFIXES = {".png", ".tif", ".tiff", ".webp"}

Setting = TotalVariation | NonLocalMeans


def clean_images(folder: Path) -> list[NDArray[np.float32]]:
    """Read every image of `folder`, sorted by name, in grey levels."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [np.asarray(Image.open(path).convert("L"), dtype=np.float32) for path in paths]


def mean_psnr(
    settings: tuple[Setting, ...], images: list[NDArray[np.float32]], level: NoiseLevel
) -> NDArray[np.float64]:
    """Mean PSNR in dB of each setting over `images` at `level`; all settings see the same noise."""
    scores = np.zeros((len(images), len(settings)))
    for i, clean in enumerate(images):
        noisy = add_noise(clean, level, np.random.default_rng(i))
        for j, setting in enumerate(settings):
            denoised: Denoised = setting(noisy, level)
            scores[i, j] = psnr(denoised.image, clean)
    return np.asarray(scores.mean(axis=0))


def main() -> None:
    """Print the table."""
    console = Console(width=120, highlight=False)
    images = clean_images(Path(sys.argv[1]))
    heads = [f"({level.eta:g}, {level.sigma:g})" for level in LEVELS]
    for settings in (NLM_SETTINGS, TV_SETTINGS):
        console.print(f"\n{len(images)} images | " + " | ".join(heads) + " | mean")
        scores = np.stack([mean_psnr(settings, images, level) for level in LEVELS], axis=1)
        rows = [
            f"{s} | " + " | ".join(f"{x:.3f}" for x in (*row, row.mean()))
            for s, row in zip(settings, scores, strict=True)
        ]
        best = int(scores.mean(axis=1).argmax())
        for row in (*rows, f"best: {rows[best]}"):
            console.print(row)


if __name__ == "__main__":
    main()
