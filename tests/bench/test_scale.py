"""The measurements behind docs/scale.md run, on a small size; the driver's is in tests/tasks/test_cluster.py."""

from pathlib import Path

import numpy as np
import pytest

from xray_denoise import files
from xray_denoise.bench import scale


def test_the_archive_has_files_of_the_shape_that_is_asked_for(tmp_path: Path) -> None:
    folder = scale.archive(tmp_path / "archive", (60, 50), 2)
    first, second = (files.read(path).stored for path in sorted(folder.iterdir()))
    assert first.shape == (60, 50)
    assert np.array_equal(first, second)
    assert first.max() <= 4095


def test_parts_of_a_file_and_its_plan_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--parts", "file,plan", "--model", "noisy", "--shape", "80,60", "--planned", "50"]
    scale.main([*arguments, "-o", str(tmp_path / "scale.md")])
    said = capsys.readouterr().out
    assert (tmp_path / "scale.md").read_text() == said
    (line,) = [line for line in said.splitlines() if line.startswith("| noisy")]
    read, network, write, whole, memory = (float(cell) for cell in line.split("|")[2:-1])
    assert whole == pytest.approx(read + network + write, abs=0.02)
    assert memory > 20
    assert "| 50 files |" in said
