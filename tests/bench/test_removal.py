"""What a method removes from flat fields and files is printed."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from xray_denoise.bench.removal import main, real_files
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile


class Blur(Denoiser):
    """Takes all away that is finer than two pixels, and an eighth of a grey level."""

    name = "blur"

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | NoiseProfile | None = None) -> Denoised:
        assert level is None
        return Denoised.of(noisy, gaussian_filter(noisy.astype(np.float64), 2.0) - 0.125)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Four pages of one scene with noise of deviation 3, 128x128, 8 bits."""
    rng, rows = np.random.default_rng(0), np.arange(128)[:, None]
    scene = 120 + 40 * np.sin(rows / 15) + np.zeros((128, 128))
    pages = [Image.fromarray(np.rint(scene + 3 * rng.standard_normal(scene.shape)).astype(np.uint8)) for _ in range(4)]
    pages[0].save(tmp_path / "run.tif", save_all=True, append_images=pages[1:])
    return tmp_path / "run.tif"


def test_a_run_of_frames_is_judged_in_space_and_time(frames: Path) -> None:
    """Over the frames, blurring leaves 1 / (2 * 2 * sqrt(pi)) = 0.14 of the deviation of white noise."""
    (row,) = real_files(Blur(), [frames]).rows
    low, middle, high, before, after, kept = row.values
    assert (low, middle, high) == pytest.approx((1, 1, 1), abs=1e-3)
    assert before == pytest.approx(3.0, rel=0.05)
    assert after == pytest.approx(0.14 * 3, rel=0.1)
    assert kept is not None
    assert kept < 0.9


def test_the_command_prints_a_table(frames: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["noisy", str(frames)])
    text = capsys.readouterr().out
    assert "| file 1 | 0.000 | 0.000 | 0.000 |" in text
