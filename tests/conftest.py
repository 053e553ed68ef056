"""Where tests find radiographs."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def radiographs() -> Path:
    """Folder of clean chest radiographs: train/, val/ and test/; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "chestxray8"
    folder = Path(os.environ.get("XRAY_DENOISE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no radiographs: {folder} is no folder (set XRAY_DENOISE_DATA)")
    return folder
