"""A process that keeps its memory: what is freed is there for the next layer, and not fetched from the system again."""

import ctypes
import subprocess
import sys

import pytest

MEGABYTES = 200
SCRIPT = f"""
import sys, numpy
from pathlib import Path
from xray_denoise import denoisers

def resident():
    return next(int(line.split()[1]) / 2**10 for line in Path("/proc/self/status").open() if line.startswith("VmRSS"))

if sys.argv[1] == "keep":
    denoisers.keep_memory()
before = resident()
numpy.ones({MEGABYTES} * 2**17)  # and freed
print(resident() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc alone is told what to keep"
)
def test_freed_memory_is_kept_where_that_is_asked_for() -> None:
    def left_over(wanted: str) -> float:
        said = subprocess.run([sys.executable, "-c", SCRIPT, wanted], capture_output=True, text=True, check=True)
        return float(said.stdout)

    assert left_over("free") < MEGABYTES / 10
    assert left_over("keep") > MEGABYTES * 0.9
