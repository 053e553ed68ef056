"""Learning curves of several trainings in one plot.

    python -m xray_denoise.bench.learning -o CURVES.svg NAME=RUN/history.csv:BATCH ...

draws PSNR on validation images against the patches seen (steps times the batch size), and continues each curve to the
patches of the X-BDCNN paper by a power law, dashed and labelled as an extrapolation.
"""

import argparse
import csv
import math
from pathlib import Path

from xray_denoise.errors import UnreadableFileError, UsageError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.reports.training_plots import History, learning_curves

PAPER_PATCHES = 9_000_000
"""Patches that the networks of the paper saw."""


def read_history(title: str, path: Path, batch: int) -> History:
    """The validated steps of a training.

    Args:
        title: of the curve.
        path: the history.csv of the training, with the columns step and val_psnr.
        batch: patches a step.

    Raises:
        UnreadableFileError: it is no such file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = [(int(row["step"]) * batch, float(row["val_psnr"] or "nan")) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        hint = "name the history.csv of a training"
        raise UnreadableFileError("{path} is no history with step and val_psnr", path=path, hint=hint) from error
    known = [(patches, psnr) for patches, psnr in found if math.isfinite(psnr)]
    return History(title, [patches for patches, _ in known], [psnr for _, psnr in known])


def parse(text: str) -> History:
    """The history that `NAME=PATH:BATCH` names.

    Raises:
        UsageError: the text has another form.
        UnreadableFileError: see `read_history`.
    """
    title, _, rest = text.partition("=")
    path, _, batch = rest.rpartition(":")
    if not (title and path and batch.isdecimal()):
        raise UsageError(f"'{text}' is not NAME=PATH:BATCH", hint="for example DnCNN=runs/dncnn/history.csv:8")
    return read_history(title, Path(path), int(batch))


def main(arguments: list[str] | None = None) -> None:
    """Write the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("histories", nargs="+", metavar="NAME=PATH:BATCH")
    given = parser.parse_args(arguments)
    write_bytes(learning_curves([parse(text) for text in given.histories], PAPER_PATCHES), given.output)


if __name__ == "__main__":
    main()
