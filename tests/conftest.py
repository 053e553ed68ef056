"""Where tests find radiographs, and how many threads they use."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "2")  # read when numpy and torch are imported; inherited by subprocesses
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads wait in loops: 16 times as long on small matrices
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it; what they start, too

settings.register_profile("any machine", deadline=None)  # a busy machine is no fault of a test
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def radiographs() -> Path:
    """Folder of clean chest radiographs: train/, val/ and test/; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "chestxray8"
    folder = Path(os.environ.get("XRAY_DENOISE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no radiographs: {folder} is no folder (set XRAY_DENOISE_DATA)")
    return folder
