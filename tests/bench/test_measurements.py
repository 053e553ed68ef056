"""The modules that measure what documents promise: what they print is for people, and what they compute is tested."""

from pathlib import Path

import numpy as np
import pytest

from xray_denoise.bench import learning, phantom_figures
from xray_denoise.errors import UnreadableFileError, UsageError


def test_the_figures_of_phantoms_are_tabled_and_drawn() -> None:
    rng = np.random.default_rng(0)
    sets = {"a": [rng.uniform(0, 255, (64, 64)).astype(np.float32) for _ in range(2)]}
    text = phantom_figures.table({"a": [(1.0, 2.0, -3.0, 4.0), (3.0, 2.0, -3.0, 4.0)]})
    assert "| mean grey level | 1.00 .. 2.00 .. 3.00 (sd 1.00) |" in text
    assert "\N{MINUS SIGN}3.00" in text
    assert phantom_figures.draw(sets).startswith(b"\x89PNG")


def test_white_noise_has_a_flat_spectrum_of_its_variance() -> None:
    """Rings of 8 cycles and more hold at least 40 coefficients."""
    power = phantom_figures.power_spectrum(np.random.default_rng(0).normal(0, 3.0, (256, 256)))[1]
    assert power[8:].mean() == pytest.approx(9.0, rel=0.03)


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
