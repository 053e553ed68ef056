"""What a method removes where nobody knows the noise-free image: real radiographs, and runs of frames.

    python -m xray_denoise.bench.removal MODEL FILE...

prints for each FILE the share of the noise that is removed over its smooth blocks (10th, 50th, 90th percentile;
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
from xray_denoise.physics.evenness import PERCENTILES, shares_removed, still_scene
from xray_denoise.reports import tables as layout
from xray_denoise.reports.tables import Column, Row, Table
from xray_denoise.tasks.frames import in_scenes

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


def real_files(denoise: Denoiser, paths: Sequence[Path]) -> Table:
    """Evenness of what is removed from each file, and for frames of a scene their temporal noise.

    Raises:
        UnreadableFileError: a file is no radiograph.
    """
    rows = []
    for number, path in enumerate(paths, start=1):
        shares, before, after = [], [], []
        read = list(islice(files.read_frames(path), MOST_FRAMES))
        for radiograph, noise, others in in_scenes(read, denoise, averaged=files.is_timed(read[0])):
            before.append(radiograph.grey)
            after.append(denoise.denoise_frame(before[-1], noise, [other.grey for other in others]).image)
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
    parser.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    table = real_files(denoisers.get(given.model), given.files)
    sys.stdout.write(layout.markdown(layout.Report(f"What {given.model} removes", (), (table,))))


if __name__ == "__main__":
    main()
