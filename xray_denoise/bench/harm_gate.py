"""The gate of harm: the cells of the table of harm in which a method takes away or moves too much. See docs/trust.md.

    python -m xray_denoise.bench.harm_gate LOG METHOD

prints the cells in which a method does not pass, as JSON, from the log of a table.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xray_denoise import weights
from xray_denoise.bench.records import Record
from xray_denoise.denoisers import DEFAULT
from xray_denoise.physics.lesions import LESIONS

KEPT, SHIFTED = 0.95, 0.02
"""Least share of the contrast, and largest shift of a flat field, grey levels."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell in which a method fails the gate, and its value."""

    cell: str
    reached: float


def failures(records: Iterable[Record]) -> list[Failure]:
    """The cells of one method in which it harms: see `KEPT` and `SHIFTED`.

    A d' counts as below that of the noisy images where the 95 % interval of the difference lies below 0, for the
    observer that measures the lesion.
    """
    found = []
    for record in records:
        for name, value in record.values.items():
            if value is None:
                continue
            kept = name.startswith("kept ") and name.endswith(tuple(LESIONS)) and value < KEPT
            shifted = name.startswith("shift ") and abs(value) > SHIFTED
            if kept or shifted:
                found.append(Failure(f"{record.noise}: {name}", value))
            if name.startswith("d' gain measured ") and name.endswith(" high") and value < 0:
                found.append(
                    Failure(
                        f"{record.noise}: {name.removesuffix(' high')}",
                        record.values[name.removesuffix(" high")] or 0.0,
                    )
                )
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print what does not pass the gate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("method", nargs="?", default=DEFAULT)
    given = parser.parse_args(arguments)
    found = failures(read_log(given.log, given.method))
    sys.stdout.write(json.dumps({one.cell: round(one.reached, 4) for one in found}, indent=1) + "\n")


def read_log(path: Path, method: str) -> list[Record]:
    """What a log has of a blind method as it is now: with these weights, if it is a network."""
    version = weights.find(method).sha256 if method in weights.names() else ""
    records = map(Record.from_line, path.read_bytes().splitlines())
    return [one for one in records if one.key.startswith(f"{method}, blind, {version}")]


if __name__ == "__main__":
    main()
