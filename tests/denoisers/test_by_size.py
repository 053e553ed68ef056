"""The light model for large images on a CPU: chosen by the number of pixels, told, and written into the result."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from xray_denoise import denoisers, files
from xray_denoise.cli import app
from xray_denoise.denoisers import Denoised, Runtime
from xray_denoise.denoisers.by_size import LARGE, BySize
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks.batch import Options, run_jobs
from xray_denoise.tasks.jobs import MANIFEST_NAME, plan_jobs
from xray_denoise.tasks.manifest import Manifest


@dataclass(frozen=True)
class Lower:
    """Takes grey levels off."""

    name: str
    version: str
    by: float
    arithmetic: str = "fp32"

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        return Denoised(np.asarray(noisy - self.by, dtype=np.float32), level)


AUTO = BySize(Lower("full", "f" * 64, 10, "fp32 by another engine"), Lower("light", "e" * 64, 20), large=600)


def dicom(path: Path, height: int, width: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    grey = np.random.default_rng(0).uniform(60, 200, (height, width)).astype(np.float32)
    files.write(Radiograph.from_grey(grey, bits=12), path)
    return path


def test_the_limit_is_told_in_pixels() -> None:
    assert AUTO.choose((20, 30)) is AUTO.full
    assert AUTO.choose((1, 601)) is AUTO.light
    assert AUTO(np.full((20, 30), 100.0)).image.max() == 90
    assert AUTO(np.full((25, 25), 100.0)).image.max() == 80
    assert LARGE == 512 * 512


def test_what_decides_the_results_is_told_before_a_file_is_read() -> None:
    assert Options(AUTO).description == "strength 1, arithmetic fp32 by another engine (full), fp32 (light)"
    alike = BySize(Lower("full", "f" * 64, 10), Lower("light", "e" * 64, 20))
    assert Options(alike).description == "strength 1"


def test_each_result_names_what_made_it_and_is_known_again(tmp_path: Path) -> None:
    sources = [dicom(tmp_path / "in" / "a.dcm", 20, 30), dicom(tmp_path / "in" / "b.dcm", 40, 50)]
    jobs, _ = plan_jobs([str(tmp_path / "in")], tmp_path / "out")

    def run() -> list[str]:
        manifest = Manifest(tmp_path / "out")
        outcomes = list(run_jobs(jobs, Options(AUTO, existing="skip", manifest=manifest)))
        if {outcome.status for outcome in outcomes} == {"written"}:
            assert [outcome.model for outcome in outcomes] == ["full", "light"]
            assert [outcome.weights_sha256 for outcome in outcomes] == ["f" * 64, "e" * 64]
        return [outcome.status for outcome in outcomes]

    assert run() == ["written", "written"]
    for source, change, name in zip(sources, (10, 20), ("full", "light"), strict=True):
        before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "out" / source.name)
        low, high = files.read(source).span
        lowered = np.median(before.pixel_array.astype(float) - after.pixel_array) * 255 / (high - low)
        assert lowered == pytest.approx(change, abs=0.5)
        assert name in after.DerivationDescription
        assert ("by another engine" in after.DerivationDescription) == (name == "full")
    assert run() == ["skipped", "skipped"]
    small = tmp_path / "out" / sources[0].name
    recorded = Manifest(tmp_path / "out")._of(small)[0]
    forged = dataclasses.replace(recorded, recipe=Options(AUTO.light).recipe)
    (tmp_path / "out" / MANIFEST_NAME).write_text("")
    Manifest(tmp_path / "out").add(forged)
    assert run() == ["written", "failed"], "a small image that the light model denoised is not what would be made"


def test_a_cpu_gets_the_light_model_and_other_devices_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = denoisers.get("auto", Runtime("cpu"))
    assert isinstance(chosen, BySize)
    assert (chosen.full.name, chosen.light.name) == (denoisers.FULL, denoisers.LIGHT)

    @dataclass
    class OnGpu:
        name: str
        device: str = "cuda:0"

    monkeypatch.setattr("xray_denoise.denoisers.network.load", lambda card, _: OnGpu(card.name))
    assert denoisers.get("auto", Runtime("cuda")).name == denoisers.FULL


def test_the_command_line_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_denoise.denoisers.get", lambda *_: AUTO)
    dicom(tmp_path / "large.dcm", 40, 50)
    outcome = CliRunner().invoke(
        app, ["denoise", str(tmp_path / "large.dcm"), "-o", str(tmp_path / "o.png"), "--json", "-m", "auto"]
    )
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["model"] == "light"
    assert json.loads(outcome.stdout)["model_sha256"] == "e" * 64
    outcome = CliRunner().invoke(
        app, ["denoise", str(tmp_path / "large.dcm"), "-o", str(tmp_path / "p.png"), "-m", "auto"]
    )
    assert "by light, removed " in outcome.stderr
