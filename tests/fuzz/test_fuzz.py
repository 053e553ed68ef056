"""A short run of the fuzzer: no traceback, no hang, no flood of memory, every refusal in words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.fuzz.__main__ import Found, feed, fuzz
from tests.synthetic_dicom import Sample, dataset, element_bytes, write

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore")


def test_mutated_files_end_in_a_result_or_in_words() -> None:
    found = fuzz(2000, seed=1)
    assert found.bad == []
    assert found.outcomes["written"] > 50
    assert len(found.outcomes) > 8, "reasons differ"


def test_a_file_cut_at_any_tag_is_refused_or_whole(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.dcm", Sample("DX")).read_bytes()
    found = Found()
    boundaries = [whole.find(one[:8], 132) for one in element_bytes(dataset(Sample("DX"))).values()]
    cuts = sorted({at + extra for at in boundaries if at >= 0 for extra in (0, 1, 4, 8)})
    assert len(cuts) > 200
    for cut in cuts:
        feed(whole[:cut], ".dcm", tmp_path, found, None, f"cut at {cut}")
    assert found.bad == []


def test_deep_sequences_are_refused_in_words(tmp_path: Path) -> None:
    item = Dataset()
    for _ in range(120):
        outer = Dataset()
        outer.ReferencedImageSequence = [item]
        item = outer
    path = write(tmp_path / "a.dcm", Sample("DX"), ReferencedImageSequence=[item])
    found = Found()
    feed(path.read_bytes(), ".dcm", tmp_path, found, None, "deep")
    assert found.bad == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are copies of this process")
def test_killed_batches_leave_nothing_halved_lost_or_behind() -> None:
    """In a process of its own: a copy of this one has threads of torch and of other tests."""
    command = [sys.executable, "-m", "tests.fuzz.kills", "--kills", "6", "--seed", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("6 signals") or ran.stdout.startswith("7 signals")
    assert ran.stdout.endswith("\n0 went wrong\n")
