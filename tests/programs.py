"""Programs of other packages that tests ask."""

import os
import shutil
import sys
from pathlib import Path

ELSEWHERE = os.pathsep.join(
    place
    for place in [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin"]
    if Path(place).resolve() != Path(sys.executable).parent.resolve()
)
"""Where programs are looked for, less the environment of the tests, where pynetdicom installs namesakes of DCMTK's; and
where Debian puts servers."""


def program(name: str) -> str | None:
    """The path of a program that is not of this Python environment; None where there is none."""
    return shutil.which(name, path=ELSEWHERE)
