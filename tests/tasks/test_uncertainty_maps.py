"""Maps of uncertainty beside results: only of calibrated weights, recorded and skipped like noise maps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import xray_denoise as xd
from xray_denoise import weights
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import Noise, NoiseProfile
from xray_denoise.physics.uncertainty import SHAPE, UncertaintyTable
from xray_denoise.tasks.jobs import MANIFEST_NAME, Job

SHA = "12" * 32
NOISE = NoiseProfile.white(2.0)


class Told(Denoiser):
    """Takes a grey level off, and believes in noise of deviation 2."""

    name = "told"
    weights_sha256 = SHA

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:  # noqa: ARG002
        map_ = np.full(noisy.shape, 2, np.float32)
        return Denoised.of(noisy, noisy - 1, NOISE.nearest_level(), map_, NOISE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of weights, with a table for `Told`: intervals of half the deviation."""
    table = UncertaintyTable(SHA, np.full(SHAPE, 0.5))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "told.uncertainty.json").write_text(table.to_json())
    monkeypatch.setattr(weights, "folder", lambda: tmp_path / "weights")
    return tmp_path


def radiograph(path: Path, **changes: Any) -> Path:
    grey = np.random.default_rng(0).uniform(40, 200, (20, 30)).astype(np.float32)
    path.parent.mkdir(exist_ok=True)
    xd.write(xd.Radiograph.from_grey(grey, bits=12), path, **changes)
    return path


def test_half_widths_are_in_stored_values(folder: Path) -> None:
    source = radiograph(folder / "in.dcm")
    outcome = xd.denoise_file(source, folder / "out.dcm", model=Told(), value_range=(0, 4095), save_uncertainty=True)
    with Image.open(Job(source, outcome.target).uncertainty) as half_width:
        assert np.asarray(half_width).dtype == np.float32
        np.testing.assert_allclose(np.asarray(half_width), 0.5 * 2 * 4095 / 255, rtol=1e-5)
    assert not Job(source, outcome.target).noise_map.exists()


def test_maps_are_recorded_and_decide_what_is_current(folder: Path) -> None:
    radiograph(folder / "in" / "a.png")

    def again(**changes: Any) -> str:
        (found,) = xd.denoise_files(folder / "in", folder / "out", model=Told(), existing="skip", **changes)
        return found.status

    assert again(save_uncertainty=True, save_noise_map=True) == "written"
    assert again(save_uncertainty=True, save_noise_map=True) == "skipped"
    line = json.loads((folder / "out" / MANIFEST_NAME).read_text())
    assert line["uncertainty"]["bytes"] == (folder / "out" / "a.png.uncertainty.tif").stat().st_size
    assert line["noise_map"]["sha256"] != line["uncertainty"]["sha256"]
    half_width = folder / "out" / "a.png.uncertainty.tif"
    half_width.write_bytes(b"")
    assert again(save_uncertainty=True, save_noise_map=True) == "failed", "somebody emptied it"
    half_width.unlink()
    assert again(save_uncertainty=True, save_noise_map=True) == "written"
    assert {path.name for path in (folder / "out").iterdir()} == {
        "a.png", "a.png.noise.tif", "a.png.uncertainty.tif", MANIFEST_NAME,
    }  # fmt: skip
    batch = xd.denoise_files(folder / "out", folder / "elsewhere", model=Told())
    assert [found.path.name for found in batch.left_alone if "uncertainty" in found.reason] == ["a.png.uncertainty.tif"]


def test_a_part_of_the_weights_has_no_part_in_the_intervals_of_the_whole(tmp_path: Path) -> None:
    """A card called like the default, of the same file, whose model is another part of it."""
    lite = weights.find("lite")
    renamed = tmp_path / f"{lite.path.stem}.md"
    renamed.write_bytes((weights.folder() / "lite.md").read_bytes())
    (tmp_path / lite.path.name).write_bytes(lite.path.read_bytes())
    source, model = radiograph(tmp_path / "in.png"), renamed.with_suffix(".safetensors")
    with pytest.raises(CannotRunError, match=f"'{lite.path.stem}' was calibrated with another part"):
        xd.denoise_file(source, tmp_path / "out.png", model=model, save_uncertainty=True)


def test_other_weights_strengths_and_noise_are_refused(folder: Path) -> None:
    source = radiograph(folder / "in.png")
    with pytest.raises(CannotRunError, match="'tv' has no calibrated uncertainty") as caught:
        xd.denoise_file(source, folder / "out.png", model="tv", save_uncertainty=True)
    assert caught.value.option == "save_uncertainty"

    class Newer(Told):
        weights_sha256 = "34" * 32

    with pytest.raises(CannotRunError, match="calibrated with other weights"):
        xd.denoise_file(source, folder / "out.png", model=Newer(), save_uncertainty=True)
    for strength in (0.5, "auto"):
        with pytest.raises(UsageError, match="full strength"):
            xd.denoise_file(source, folder / "out.png", model=Told(), save_uncertainty=True, strength=strength)
    for noise in (NoiseLevel(0.6, 10), NOISE):
        with pytest.raises(UsageError, match="estimated from the image"):
            xd.denoise_file(source, folder / "out.png", model=Told(), save_uncertainty=True, profile_or_level=noise)
    (folder / "weights" / "told.uncertainty.json").write_text("{}")
    with pytest.raises(CannotRunError, match="is no calibration"):
        xd.denoise_file(source, folder / "out.png", model=Told(), save_uncertainty=True)
    assert not (folder / "out.png").exists()
