"""What becomes of every file that pydicom ships for its own tests.

    python docs/try_pydicom_files.py > docs/pydicom-files.md

Each is read, left as it is (method `noisy`) and written as a derived DICOM file; the pixels are then compared.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pydicom.data

from xray_denoise import files
from xray_denoise.errors import XrayDenoiseError

HEAD = """# pydicom's own test files

`python docs/try_pydicom_files.py`: read, left as they are, written as derived objects, and the pixels compared.

| file | became |
|---|---|"""


def main() -> None:
    """Print a Markdown table."""
    warnings.simplefilter("ignore")
    root = Path(pydicom.data.__file__).parent
    print(HEAD)
    counts = {"derived": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                outcome = _outcome(path, Path(folder, "derived.dcm"))
                counts["derived" if outcome.startswith("derived") else "refused"] += 1
                print(f"| {path.relative_to(root)} | {outcome} |")
    print(f"\n{counts['derived']} derived, {counts['refused']} refused.")


def _outcome(path: Path, target: Path) -> str:
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


if __name__ == "__main__":
    main()
