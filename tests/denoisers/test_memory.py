"""A process that keeps its memory: what is freed is there for the next layer, and not fetched from the system again."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.slow_methods import Sleeper
from xray_denoise import denoisers
from xray_denoise.bench import speed
from xray_denoise.cli import app
from xray_denoise.denoisers import Runtime

MEGABYTES = 200
SCRIPT = f"""
import sys, threading, numpy
from pathlib import Path
from xray_denoise import denoisers
from xray_denoise.bench import speed

def resident():
    return next(int(line.split()[1]) / 2**10 for line in Path("/proc/self/status").open() if line.startswith("VmRSS"))

def work():
    numpy.ones({MEGABYTES} * 2**17)  # and freed

if sys.argv[1] == "keep":
    denoisers.keep_memory()
before = resident()
if sys.argv[2] == "thread":
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
print(resident() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc alone is told what to keep"
)
@pytest.mark.parametrize("where", ["main", "thread"])
def test_freed_memory_is_kept_where_that_is_asked_for(where: str) -> None:
    def left_over(wanted: str) -> float:
        command = [sys.executable, "-c", SCRIPT, wanted, where]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert left_over("free") < MEGABYTES / 10
    assert left_over("keep") > MEGABYTES * 0.9


def test_what_runs_networks_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(denoisers, "get", lambda *_: Sleeper())
    monkeypatch.setattr(denoisers, "keep_memory", lambda: asked.append(True))
    speed._network("lite", Runtime("cpu"), None)
    assert len(asked) == 1
    Image.fromarray(np.full((8, 8), 100, np.uint8)).save(tmp_path / "noisy.png")
    outcome = CliRunner().invoke(app, ["denoise", str(tmp_path / "noisy.png"), "-o", str(tmp_path / "denoised.png")])
    assert outcome.exit_code == 0, outcome.output
    assert len(asked) == 2
