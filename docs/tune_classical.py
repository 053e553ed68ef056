"""Choose the constants of the classical denoisers: mean PSNR over a folder of clean radiographs.

    python docs/tune_classical.py FOLDER [--methods tv nlm gat-tv gat-nlm] [--side PIXELS]

prints one row per setting, mean PSNR in dB at three noise levels of Table II and over them, the best setting
of each method last. The true noise level is given, as in the benchmark. Use radiographs that no result is
reported on. `--side` takes the middle of each image. About 40 minutes for 24 images of 1024x1024 on one core.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from xray_denoise.denoisers import Denoiser
from xray_denoise.denoisers.classical import NonLocalMeans, TotalVariation
from xray_denoise.denoisers.vst import Stabilised
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise

LEVELS = (NoiseLevel(0.4, 15), NoiseLevel(0.6, 10), NoiseLevel(0.8, 5))
TV_SETTINGS = tuple(TotalVariation(factor) for factor in (0.9, 1.0, 1.1, 1.2, 1.3))
NLM_SETTINGS = tuple(
    NonLocalMeans(factor, size, distance)
    for size, distance, factor in itertools.product((7, 9, 11), (4, 5, 6), (0.7, 0.8, 0.9))
)
SETTINGS: dict[str, tuple[Denoiser, ...]] = {
    "nlm": NLM_SETTINGS,
    "tv": TV_SETTINGS,
    "gat-nlm": tuple(Stabilised(setting) for setting in NLM_SETTINGS),
    "gat-tv": tuple(Stabilised(setting) for setting in TV_SETTINGS),
}
SUFFIXES = {".png", ".tif", ".tiff", ".webp"}


def clean_images(folder: Path, side: int | None) -> list[NDArray[np.float32]]:
    """Read every image of `folder`, or its middle of `side` x `side` pixels, sorted by name, in grey levels."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [middle(np.asarray(Image.open(path).convert("L"), dtype=np.float32), side) for path in paths]


def middle(image: NDArray[np.float32], side: int | None) -> NDArray[np.float32]:
    """The central square of `side` pixels, or all."""
    if side is None:
        return image
    top, left = (max(length - side, 0) // 2 for length in image.shape)
    return image[top : top + side, left : left + side]


def mean_psnr(
    settings: tuple[Denoiser, ...], images: list[NDArray[np.float32]], level: NoiseLevel
) -> NDArray[np.float64]:
    """Mean PSNR in dB of each setting over `images` at `level`; all settings see the same noise."""
    scores = np.zeros((len(images), len(settings)))
    for i, clean in enumerate(images):
        noisy = add_noise(clean, level, np.random.default_rng(i))
        for j, setting in enumerate(settings):
            scores[i, j] = psnr(setting(noisy, level).image, clean)
    return np.asarray(scores.mean(axis=0))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Choose the constants of the classical denoisers.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--side", type=int)
    arguments = parser.parse_args()
    console = Console(width=160, highlight=False)
    images = clean_images(arguments.folder, arguments.side)
    heads = [f"({level.eta:g}, {level.sigma:g})" for level in LEVELS]
    for settings in (SETTINGS[method] for method in arguments.methods):
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
