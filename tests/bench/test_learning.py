"""Learning curves that are drawn from the histories of trainings."""

from pathlib import Path

import pytest

from xray_denoise.bench import learning
from xray_denoise.errors import UnreadableFileError, UsageError


def test_learning_curves_are_drawn_from_histories(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("step,seconds,val_psnr\n100,1,30.5\n150,2,\n200,3,31.5\n")
    found = learning.parse(f"DnCNN={path}:8")
    assert (found.title, list(found.patches), list(found.psnr)) == ("DnCNN", [800, 1600], [30.5, 31.5])
    target = tmp_path / "curves.svg"
    learning.main(["-o", str(target), f"DnCNN={path}:8", f"other={path}:4"])
    assert b"DnCNN" in target.read_bytes()


@pytest.mark.parametrize("text", ["history.csv", "a=history.csv", "a=history.csv:x", "=history.csv:8"])
def test_a_curve_needs_a_name_a_file_and_a_batch(text: str) -> None:
    with pytest.raises(UsageError, match="not NAME=PATH:BATCH"):
        learning.parse(text)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "step,val_psnr\nx,30\n"])
def test_a_file_that_is_no_history_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(content)
    if not content:
        path.unlink()
    with pytest.raises(UnreadableFileError, match="is no history"):
        learning.read_history("a", path, 8)
