"""What becomes of every file that pydicom ships for its own tests: derived with equal pixels, or refused in words.

    python -m tests.files.test_pydicom_files > docs/pydicom-files.md

Each is read, left as it is (method `noisy`) and written as a derived DICOM file; the pixels are then compared.
"""

import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom.data
import pytest

from xray_denoise import files
from xray_denoise.errors import XrayDenoiseError

ROOT = Path(pydicom.data.__file__).parent
HEAD = """# pydicom's own test files

`python -m tests.files.test_pydicom_files`: read, left as they are, written as derived objects, and the pixels compared.

| file | became |
|---|---|"""


def outcome(path: Path, target: Path) -> str:
    """One file, in words."""
    try:
        frames = list(files.read_frames(path))
        files.write(frames, target, derivation=files.Derivation("noisy"))
        again = list(files.read_frames(target))
    except XrayDenoiseError as error:
        message = str(error).replace(str(path), "").replace("|", "/")
        return f"refused: {message.replace('cannot read :', '').strip()}"
    same = all(np.array_equal(one.stored, other.stored) for one, other in zip(frames, again, strict=True))
    size = f"{len(frames)} x " if len(frames) > 1 else ""
    rows, columns = frames[0].stored.shape
    return f"derived: {size}{rows}x{columns}, {frames[0].bits} bits, pixels {'equal' if same else 'NOT EQUAL'}"


def outcomes(folder: Path) -> Iterator[tuple[Path, str]]:
    """All files."""
    for path in sorted(ROOT.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            yield path.relative_to(ROOT), outcome(path, folder / "derived.dcm")


@pytest.mark.filterwarnings("ignore")
def test_pixels_of_every_file_are_equal_or_it_is_refused(tmp_path: Path) -> None:
    found = dict(outcomes(tmp_path))
    assert not [path for path, text in found.items() if "NOT EQUAL" in text]
    assert sum(text.startswith("derived") for text in found.values()) >= 20
    assert all(text.startswith(("derived: ", "refused: ")) for text in found.values())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    lines = [HEAD]
    with tempfile.TemporaryDirectory() as temporary:
        found = dict(outcomes(Path(temporary)))
    lines += [f"| {path} | {text} |" for path, text in found.items()]
    derived = sum(text.startswith("derived") for text in found.values())
    sys.stdout.write("\n".join([*lines, f"\n{derived} derived, {len(found) - derived} refused.\n"]))
