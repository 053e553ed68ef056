"""Choose the constants of the classical methods: mean PSNR over a folder of clean radiographs.

    python -m xray_denoise.bench.tune FOLDER [--methods tv nlm gat-tv gat-nlm] [--side PIXELS]

prints one row per setting, mean PSNR in dB at three noise levels of Table II and over them. The methods are oracles, as
in the benchmark. Use radiographs that no result is reported on. `--side` takes the middle of each image. About 40
minutes for 24 images of 1024x1024 on one core.
"""

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from xray_denoise.bench.cases import QUICK_LEVELS, CleanImage, at_levels, image_set, label
from xray_denoise.bench.metrics import METRICS
from xray_denoise.bench.pivot import Results
from xray_denoise.bench.quality import measure
from xray_denoise.bench.records import Log
from xray_denoise.bench.rows import Row
from xray_denoise.denoisers import Denoiser
from xray_denoise.denoisers.classical import NonLocalMeans, TotalVariation
from xray_denoise.denoisers.vst import Stabilised
from xray_denoise.reports import tables as layout
from xray_denoise.reports.tables import Column, Table

TV_SETTINGS = tuple(TotalVariation(factor) for factor in (0.9, 1.0, 1.1, 1.2, 1.3))
NLM_SETTINGS = tuple(
    NonLocalMeans(factor, size, distance)
    for size, distance, factor in itertools.product((7, 9, 11), (4, 5, 6), (0.7, 0.8, 0.9))
)
SETTINGS: Mapping[str, Sequence[Denoiser]] = {
    "nlm": NLM_SETTINGS,
    "tv": TV_SETTINGS,
    "gat-nlm": tuple(map(Stabilised, NLM_SETTINGS)),
    "gat-tv": tuple(map(Stabilised, TV_SETTINGS)),
}


def table(name: str, settings: Sequence[Denoiser], images: Sequence[CleanImage]) -> Table:
    """Mean PSNR of each setting at each level, the best mean first; all settings see the same noise."""
    rows = [Row(repr(one), one.name, partial(_itself, one), oracle=True) for one in settings]
    cases = (case for image in images for case in at_levels(image, QUICK_LEVELS))
    results = Results.of(measure(rows, cases, ("psnr",), Log(), warmup=0))
    labels = [label(level) for level in QUICK_LEVELS]
    found = [layout.Row(row.title, results.means(row.title, "psnr", [*([one] for one in labels), labels]).values)
             for row in rows]  # fmt: skip
    found.sort(key=lambda row: -(row.values[-1] or 0.0))
    columns = (*(Column(level.eta, level.sigma) for level in QUICK_LEVELS), Column())
    return Table(name, METRICS["psnr"].definition, columns, tuple(found), 3)


def _itself(denoiser: Denoiser) -> Denoiser:
    return denoiser


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--side", type=int)
    given = parser.parse_args(arguments)
    images = [image.centre(given.side) if given.side else image for image in image_set(given.folder).open()]
    tables = tuple(table(name, SETTINGS[name], images) for name in given.methods)
    sys.stdout.write(layout.markdown(layout.Report("Constants of classical methods", (), tables)))


if __name__ == "__main__":
    main()
