"""The command that calibrates intervals, and the one that checks them, on a method whose errors are known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import xray_denoise as xd
from xray_denoise.bench import uncertainty
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.noise_estimate import ProfileEstimate
from xray_denoise.physics.profile import Noise, NoiseProfile
from xray_denoise.physics.uncertainty import SHAPE, UncertaintyTable

SIDE, CORNER = 128, 24


class Halving(Denoiser):
    """Takes half of the noise away, in a corner nearly all: it is told the clean image, and errs by what is left."""

    name = "halving"
    weights_sha256 = "ab" * 32

    def __init__(self, clean: NDArray[np.float32]) -> None:
        self.clean, self.left = clean, np.full(clean.shape, 0.5, np.float32)
        self.left[:CORNER, :CORNER] = 0.02

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:  # noqa: ARG002
        noise = noisy - self.clean
        return Denoised.of(noisy, self.clean + noise * self.left, profile=NoiseProfile.white(float(noise.std())))


@pytest.fixture(scope="module")
def clean() -> NDArray[np.float32]:
    """A phantom, half behind a plate, whose edge has the steepest class of pixels; the corner has the smoothest."""
    phantom = chest_phantom(SIDE, rng=np.random.default_rng(0), mottle=False)
    phantom[:, SIDE // 2 :] += 100
    phantom[:CORNER, :CORNER] = 50
    return phantom


def test_half_of_normal_noise_has_a_half_width_of_0_82_deviations(
    clean: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.645 / 2; scores are those of 4 cells, correlated over a few pixels: 10 %."""
    monkeypatch.setattr(uncertainty, "PHANTOMS", 0)
    table = uncertainty.calibrate(Halving(clean), [clean])
    assert table.weights_sha256 == "ab" * 32
    width = table.half_width(clean, ProfileEstimate(NoiseProfile.white(4.0), 1.0))
    assert np.median(width) == pytest.approx(4 * 1.645 / 2, rel=0.1)
    found = uncertainty.coverage(Halving(clean), table, [clean])
    assert [row.title for row in found.rows][:2] == ["white 0.5", "white 1"]
    for row in found.rows:
        assert row.values[1:6:2] == (0, 0, 0), "one image does not spread"
        for share in row.values[:6:2]:
            assert share == pytest.approx(90, abs=5)


def test_the_standard_error_is_that_of_the_mean_over_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "cells", lambda: [("white", 4.0, NoiseProfile.white(4.0))])
    even = [np.full((SIDE, SIDE), grey, np.float32) for grey in (60, 120, 180)]
    method = Halving(even[0])  # takes the difference to the others for noise: no pixel of them is held
    narrow = UncertaintyTable("ab" * 32, np.full(SHAPE, 0.02))
    (row,) = uncertainty.coverage(method, narrow, [even[0], even[1], even[2]]).rows
    share, error = row.values[:2]
    assert share is not None
    assert 0 < share < 100
    assert error == pytest.approx(share), "of three times the share, nothing, and nothing"


def test_a_method_without_a_profile_is_refused(clean: NDArray[np.float32]) -> None:
    with pytest.raises(UsageError, match="no noise profile"):
        uncertainty.calibrate(xd.load("tv"), [clean])


def test_images_are_averaged_and_cut(tmp_path: Path) -> None:
    xd.write(xd.Radiograph.from_grey(chest_phantom(900, rng=np.random.default_rng(0)), bits=8), tmp_path / "a.png")
    (image,) = uncertainty.clean_images(tmp_path)
    assert image.shape == (uncertainty.SIDE, uncertainty.SIDE)


@pytest.mark.parametrize(
    ("most", "expected"), [(None, range(7)), (20, range(7)), (7, range(7)), (3, (1, 3, 5)), (1, (3,))]
)
def test_some_images_of_a_folder_are_spread_evenly(tmp_path: Path, most: int | None, expected: Sequence[int]) -> None:
    for number in range(7):
        even = np.full((4, 4), 10.0 * number, np.float32)
        xd.write(xd.Radiograph.from_grey(even, bits=8), tmp_path / f"{number}.png")
    assert [image.mean() for image in uncertainty.clean_images(tmp_path, most)] == [10 * one for one in expected]
