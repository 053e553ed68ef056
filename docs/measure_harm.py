"""What networks do to radiographs without noise: PSNR between input and output.

    python docs/measure_harm.py FOLDER [MODEL...]

prints for each model the mean and the lowest PSNR in dB over the images of FOLDER, and the level that it believes to
see. 42 dB are a root mean square change of two grey levels.
"""

import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from xray_denoise import denoisers, files
from xray_denoise.files.folders import radiographs_in
from xray_denoise.physics.levels import MID_GREY
from xray_denoise.physics.metrics import psnr


def main(folder: Path, models: list[str]) -> None:
    """Denoise every image of `folder` as it is."""
    console = Console()
    images = [files.read(path).grey.clip(0, 255) for path in radiographs_in(folder)]
    for model in models:
        denoise = denoisers.get(model)
        results = [denoise(image) for image in images]
        changes = [psnr(result.image, image) for result, image in zip(results, images, strict=True)]
        seen = [result.level.effective_sigma(MID_GREY) for result in results if result.level]
        believed = f", believed noise {np.mean(seen):.2f} grey levels at mid-grey" if seen else ""
        console.print(f"{model}: mean {np.mean(changes):.2f} dB, lowest {min(changes):.2f} dB{believed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or denoisers.network_names())
