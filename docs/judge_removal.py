"""What a method removes where nobody knows the noise-free image: flat fields, real radiographs, and runs of frames.

    python docs/judge_removal.py MODEL [FILE...]

prints how far the mean of flat fields of 10 to 245 grey levels moves (white noise and that of CsI, deviations of
0.5 to 8), and for each FILE the share of the noise that is removed over its smooth blocks at the 10th, 50th and 90th
percentile (`xray_denoise.physics.evenness`); for a file of many frames also the temporal noise of still blocks before
and after, and the gradient energy of the mean over frames that is kept.
"""

import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from xray_denoise import denoisers, files
from xray_denoise.denoisers import Denoiser
from xray_denoise.physics.chain import detector_profile
from xray_denoise.physics.evenness import PERCENTILES, shares_removed, still_scene
from xray_denoise.physics.profile import MID_GREY, NoiseProfile

GREYS, DEVIATIONS = (10, 60, 127, 190, 245), (0.5, 1.0, 2.0, 4.0, 8.0)
SIDE = 256
MOST_FRAMES = 32
"""Of a run, its first ones."""


def flat_fields(denoise: Denoiser, detector: str) -> Table:
    """Mean of the result less that of the noisy flat field, grey levels."""
    table = Table("grey", *(f"{deviation:g}" for deviation in DEVIATIONS), title=f"shift of flat fields, {detector}")
    kernel = detector_profile(detector, 2.0).kernel
    for grey in GREYS:
        shifts = []
        for deviation in DEVIATIONS:
            clean = np.full((SIDE, SIDE), grey, dtype=np.float32)
            profile = NoiseProfile(np.array([MID_GREY]), np.array([deviation]), kernel)
            noisy = clean + profile.draw(clean, np.random.default_rng(grey))
            shifts.append(float((denoise(noisy).image.astype(np.float64) - noisy).mean()))
        table.add_row(str(grey), *(f"{shift:.3f}" for shift in shifts))
    return table


def real_image(denoise: Denoiser, path: Path) -> str:
    """One line about a file."""
    shares, before, after = [], [], []
    for number, radiograph in enumerate(files.read_frames(path)):
        if number == MOST_FRAMES:
            break
        grey, padding = radiograph.grey, radiograph.padding
        before.append(grey)
        after.append(denoise(grey).image)
        shares.append(shares_removed(grey, after[-1], None if padding is None else ~padding))
    low, middle, high = np.percentile(np.concatenate(shares), PERCENTILES)
    text = f"{path.name}: share removed {low:.2f}, {middle:.2f}, {high:.2f}"
    if len(before) > 1:
        scene = still_scene(np.stack(before), np.stack(after))
        text += (
            f"; temporal noise {scene.noise_before:.2f} -> {scene.noise_after:.2f} grey levels, "
            f"gradient energy kept {scene.gradient_kept:.3f}"
        )
    return text


def main(model: str, paths: list[Path]) -> None:
    """Print everything."""
    console, denoise = Console(), denoisers.get(model)
    for detector in ("white", "csi"):
        console.print(flat_fields(denoise, detector))
    for path in paths:
        console.print(real_image(denoise, path))


if __name__ == "__main__":
    main(sys.argv[1], [Path(name) for name in sys.argv[2:]])
