"""`denoise_files`: what its arguments may be, and how a run ends."""

import json
from pathlib import Path

import numpy as np
import pytest

import xray_denoise as xd
from xray_denoise.errors import UnwritableFileError, UsageError
from xray_denoise.tasks.jobs import MANIFEST_NAME


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder of six radiographs."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        xd.write(xd.Radiograph.from_grey(np.full((20, 30), 90.0), bits=8), folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("end", ["interrupted", "close"])
def test_a_run_that_ends_early_has_its_report_and_its_log(study: Path, tmp_path: Path, end: str) -> None:
    report, log = tmp_path / "r.html", tmp_path / "l.jsonl"
    batch = xd.denoise_files(study, tmp_path / "out", model="noisy", report=report, log=log)
    told = [next(batch), next(batch)]
    if end == "close":
        batch.close()
    else:
        told += batch.interrupted()
    assert [json.loads(line)["number"] for line in log.read_text().splitlines()] == [one.number for one in told]
    assert "not begun" in report.read_text()
    assert batch.log is not None
    with pytest.raises(ValueError, match="closed"):
        batch.log._stream.write("")  # type: ignore[union-attr]


def test_a_report_that_cannot_be_written_does_not_cost_the_log(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise UnwritableFileError("the disk is full")

    monkeypatch.setattr("xray_denoise.tasks.denoise_report.DenoiseReport.write", refused)
    batch = xd.denoise_files(
        study, tmp_path / "out", model="noisy", report=tmp_path / "r.html", log=tmp_path / "l.jsonl"
    )
    with pytest.raises(UnwritableFileError, match="full"):
        list(batch)
    assert batch.log is not None
    with pytest.raises(ValueError, match="closed"):
        batch.log._stream.write("")  # type: ignore[union-attr]


@pytest.mark.parametrize("by", ["name", "link"])
@pytest.mark.parametrize("into_folder", [True, False])
def test_a_log_never_takes_the_place_of_the_record(study: Path, tmp_path: Path, by: str, into_folder: bool) -> None:
    out = tmp_path / "out"
    list(xd.denoise_files(study, out, model="noisy"))
    record = (out / MANIFEST_NAME).read_bytes()
    log = out / MANIFEST_NAME if by == "name" else tmp_path / "log"
    if by == "link":
        log.hardlink_to(out / MANIFEST_NAME)
    source, target = (study, out) if into_folder else (study / "0.png", out / "one.png")
    with pytest.raises(UsageError, match="record of results") as caught:
        xd.denoise_files(source, target, model="noisy", existing="overwrite", log=log)
    assert caught.value.option == "log"
    assert (out / MANIFEST_NAME).read_bytes() == record


def test_log_and_report_are_two_files(study: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.html"
    with pytest.raises(UsageError, match="the log and the report") as caught:
        xd.denoise_files(study, tmp_path / "out", model="noisy", report=one, log=one)
    assert caught.value.option == "log"
