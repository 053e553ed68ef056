"""What a method removes where nobody knows the noise-free image: flat fields, real radiographs, and runs of frames.

    python -m xray_denoise.bench.removal MODEL [FILE...]

prints how far the mean of flat fields of 10 to 245 grey levels moves (white noise and that of CsI, deviations of 0.5
to 8), and for each FILE the share of the noise that is removed over its smooth blocks (10th, 50th, 90th percentile;
`xray_denoise.physics.evenness`); for a file of many frames also the temporal noise of still blocks before and after,
and the gradient energy of the mean over frames that is kept.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from xray_denoise import denoisers, files
from xray_denoise.denoisers import Denoiser
from xray_denoise.physics.chain import detector_profile
from xray_denoise.physics.evenness import PERCENTILES, shares_removed, still_scene
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.reports import tables as layout
from xray_denoise.reports.tables import Column, Row, Table
from xray_denoise.scale import MID_GREY

DETECTORS = ("white", "csi")
GREYS, DEVIATIONS = (10, 60, 127, 190, 245), (0.5, 1.0, 2.0, 4.0, 8.0)
SIDE = 256
"""Of a flat field, pixels."""
MOST_FRAMES = 32
"""Of a run, its first ones."""
COLUMNS = tuple(
    Column(title=title)
    for title in (
        *(f"share removed, {percentile} %" for percentile in PERCENTILES),
        "noise before, grey",
        "noise after, grey",
        "gradients kept, share",
    )
)


def flat_fields(denoise: Denoiser, detector: str) -> Table:
    """Mean of the result less that of the noisy flat field, which has the same deviation at every grey level."""
    kernel = detector_profile(detector, 2.0).kernel
    rows = []
    for grey in GREYS:
        clean, shifts = np.full((SIDE, SIDE), grey, dtype=np.float32), []
        for deviation in DEVIATIONS:
            profile = NoiseProfile(np.array([MID_GREY]), np.array([deviation]), kernel)
            noisy = clean + profile.draw(clean, np.random.default_rng(grey))
            shifts.append(float((denoise(noisy).image.astype(np.float64) - noisy).mean()))
        rows.append(Row(f"grey level {grey}", tuple(shifts)))
    text = "Mean of the result less that of the noisy image, grey levels. Columns: deviation of the noise."
    columns = tuple(Column(title=f"{deviation:g}") for deviation in DEVIATIONS)
    return Table(f"Shift of flat fields, {detector}", text, columns, tuple(rows), 3)


def real_files(denoise: Denoiser, paths: Sequence[Path]) -> Table:
    """Evenness of what is removed from each file, and for frames of a scene their temporal noise.

    Raises:
        UnreadableFileError: a file is no radiograph.
    """
    rows = []
    for number, path in enumerate(paths, start=1):
        shares, before, after = [], [], []
        for radiograph in islice(files.read_frames(path), MOST_FRAMES):
            before.append(radiograph.grey)
            after.append(denoise(before[-1]).image)
            padding = radiograph.padding
            shares.append(shares_removed(before[-1], after[-1], None if padding is None else ~padding))
        pooled = np.concatenate(shares)
        values = [*map(float, np.percentile(pooled, PERCENTILES))] if pooled.size else [None] * len(PERCENTILES)
        temporal: tuple[float | None, ...] = (None, None, None)
        if len(before) > 1:
            scene = still_scene(np.stack(before), np.stack(after))
            temporal = (scene.noise_before, scene.noise_after, scene.gradient_kept)
        rows.append(Row(f"file {number}", (*values, *temporal)))
    text = (
        "Deviation of what was removed over that of all that is finer than 2 pixels, over the smoothest third of the "
        "blocks of 32x32 pixels: percentiles. Runs of frames: temporal noise of still blocks before and after, and "
        "energy of the gradients of the mean over frames, after over before."
    )
    return Table("Noise removed from files", text, COLUMNS, tuple(rows), 3)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables of a method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="*", type=Path)
    given = parser.parse_args(arguments)
    denoise = denoisers.get(given.model)
    tables = [flat_fields(denoise, detector) for detector in DETECTORS]
    if given.files:
        tables.append(real_files(denoise, given.files))
    sys.stdout.write(layout.markdown(layout.Report(f"What {given.model} removes", (), tuple(tables))))


if __name__ == "__main__":
    main()
