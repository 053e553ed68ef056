"""`denoise_files`: what its arguments may be, and how a run ends."""

import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import xray_denoise as xd
from tests import synthetic_dicom
from xray_denoise import denoisers, nets
from xray_denoise.denoisers.blind import BlindDenoiser
from xray_denoise.errors import UnwritableFileError, UsageError
from xray_denoise.physics.profile import Noise
from xray_denoise.tasks.jobs import MANIFEST_NAME


def png(path: Path, grey: float = 90.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    xd.write(xd.Radiograph.from_grey(np.full((20, 30), grey), bits=8), path, overwrite=True)
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder of six radiographs."""
    for number in range(6):
        png(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


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
    with pytest.raises(UsageError, match="manifest") as caught:
        xd.denoise_files(source, target, model="noisy", existing="overwrite", log=log)
    assert caught.value.option == "log"
    assert (out / MANIFEST_NAME).read_bytes() == record


def test_the_log_has_the_time_at_which_a_file_was_finished(study: Path, tmp_path: Path) -> None:
    """Not that of its line, which waits for the next file to be denoised."""
    begun = []

    class Slow(denoisers.Denoiser):
        name = "slow"

        def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> denoisers.Denoised:
            while begun and not (tmp_path / "out" / "0.png").exists():
                time.sleep(0.01)
            begun.append(datetime.now().astimezone())
            time.sleep(2 * (len(begun) == 2))
            return denoisers.Denoised.of(noisy, noisy, level)

    sources = [study / "0.png", study / "1.png"]
    list(xd.denoise_files(sources, tmp_path / "out", model=Slow(), log=tmp_path / "log.jsonl"))
    first, last = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert datetime.fromisoformat(first["time"]) < begun[1] + timedelta(seconds=1)
    assert datetime.fromisoformat(last["time"]) > begun[1] + timedelta(seconds=1)


def test_log_and_report_are_two_files(study: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.html"
    with pytest.raises(UsageError, match="the log and the report") as caught:
        xd.denoise_files(study, tmp_path / "out", model="noisy", report=one, log=one)
    assert caught.value.option == "log"


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("existing", "overwite", "error, skip, overwrite"),
        ("file_format", "jpg", "png, tiff, dcm"),
        ("on_error", "halt", "continue, stop"),
        ("render", None, "auto, display, stored"),
        ("compression", "zip", "none, rle, jpegls, j2k"),
        ("private", "maybe", "keep, drop"),
        ("precision", "fp64", "auto, fp32, bf16, fp16"),
    ],
)
def test_what_is_no_choice_is_refused_before_anything_is_written(
    study: Path, tmp_path: Path, option: str, value: str | None, choices: str
) -> None:
    given: dict[str, Any] = {option: value}
    with pytest.raises(UsageError, match=f"'{option}' cannot be '{value}'") as caught:
        xd.denoise_files(study, tmp_path / "out", model="noisy", **given)
    assert caught.value.option == option
    assert choices in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_choice_of_one_image_is_checked_too(tmp_path: Path) -> None:
    given: dict[str, Any] = {"render": "shown"}
    with pytest.raises(UsageError, match="'render' cannot be 'shown'"):
        xd.write(xd.Radiograph.from_grey(np.full((4, 5), 9.0), bits=8), tmp_path / "a.png", **given)


@pytest.mark.parametrize("bits", [0, 1, 12, 32])
def test_pictures_have_8_or_16_bits(tmp_path: Path, bits: int) -> None:
    with pytest.raises(UsageError, match="8 or 16 bits") as caught:
        xd.write(xd.Radiograph.from_grey(np.full((4, 5), 9.0), bits=8), tmp_path / "a.png", bits=bits)
    assert caught.value.option == "bits"
    assert not (tmp_path / "a.png").exists()


def test_what_no_file_could_follow_is_refused_once(study: Path, tmp_path: Path) -> None:
    untold = BlindDenoiser(nets.build("dncnn"))
    with pytest.raises(UsageError, match="accepts no noise level") as caught:
        xd.denoise_files(study, tmp_path / "out", model=untold, profile_or_level=xd.NoiseLevel(0.6, 10))
    assert caught.value.option == "profile_or_level"
    for wrong in ((0.0, float("inf")), (9.0, 9.0), (float("nan"), 1.0)):
        with pytest.raises(UsageError, match="from a lower to a higher value") as caught:
            xd.denoise_files(study, tmp_path / "out", model="noisy", value_range=wrong)
        assert caught.value.option == "value_range"


def test_a_dry_run_looks_at_the_sources_as_the_run_does(study: Path, tmp_path: Path) -> None:
    (study / "text.png").write_text("no picture")
    sources = [study / "missing.png", study / "text.png", study / "0.png"]
    planned = list(xd.denoise_files(sources, tmp_path / "out", model="noisy").preview())
    done = list(xd.denoise_files(sources, tmp_path / "out", model="noisy"))
    assert [one.action for one in planned] == ["fail", "fail", "write"]
    assert [str(one.failure) for one in planned[:2]] == [one.error for one in done[:2]]
    assert [one.status for one in done] == ["failed", "failed", "written"]


class _Unused(denoisers.Denoiser):
    """Fails a test that denoises."""

    name = "unused"

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> denoisers.Denoised:
        raise AssertionError(f"{noisy.shape} pixels of noise {level} are denoised for nothing")


def _run_of_frames(folder: Path, kind: str) -> Path:
    """A file of three frames: DICOM, TIFF with three directories, or TIFF with one."""
    frames = np.full((3, 20, 30), 90, np.uint8)
    if kind == "dicom":
        return synthetic_dicom.write(folder / "run.dcm", synthetic_dicom.Sample("RF", frames=3))
    tifffile.imwrite(folder / "run.tif", frames, photometric="minisblack", truncate=kind == "stack")
    return folder / "run.tif"


@pytest.mark.parametrize("kind", ["dicom", "pages", "stack"])
@pytest.mark.parametrize("target", ["out.png", "out.webp", "results"])
def test_many_frames_are_refused_for_a_picture_before_they_are_denoised(tmp_path: Path, kind: str, target: str) -> None:
    """A dry run says so too, in the same words; a TIFF file takes them all."""
    source = _run_of_frames(tmp_path, kind)
    file_format: Any = "png" if target == "results" else None
    (planned,) = xd.denoise_files(source, tmp_path / target, model=_Unused(), file_format=file_format).preview()
    (failed,) = xd.denoise_files(source, tmp_path / target, model=_Unused(), file_format=file_format)
    assert (planned.action, failed.status) == ("fail", "failed")
    kind = "WEBP" if target == "out.webp" else "PNG"
    assert str(planned.failure) == failed.error == f"{source} has 3 frames, and a {kind} file holds one image"
    (planned,) = xd.denoise_files(source, tmp_path / "out.tif", model="noisy").preview()
    (done,) = xd.denoise_files(source, tmp_path / "out.tif", model="noisy")
    assert (planned.action, done.status, done.frames) == ("write", "written", 3)


def test_the_notes_are_on_all_pages_and_told_once(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(90, 110, (20, 30), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in range(6):
            private = [(65000, "s", 0, "private", True)] if page > 1 else []
            tiff.write(grey, metadata=None, extratags=private, software=False)
    (outcome,) = xd.denoise_files(tmp_path / "a.tif", tmp_path / "out", model="noisy")
    noted = "its 65000 will not be kept"
    assert outcome.notes.count(noted) == 1
    (told,) = map(json.loads, (tmp_path / "out" / MANIFEST_NAME).read_text(encoding="utf-8").splitlines())
    assert noted in told["notes"]


def test_other_bits_scale_the_range_that_is_given_and_are_noted(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (20, 30), np.uint16)
    xd.write(xd.Radiograph(stored, (0, 4095), bits=16), tmp_path / "a.png")
    for given, noted in (((0.0, 4095.0), "from 0 to 4095"), (None, "from 0 to 65535")):
        (outcome,) = xd.denoise_files(
            tmp_path / "a.png", tmp_path / f"{noted}.png", model="noisy", bits=8, value_range=given
        )
        scaled = [note for note in outcome.notes if "scaled" in note]
        assert scaled == [f"its stored values {noted} were scaled to 0 to 255"]
        assert any("grey levels of it are left" in note for note in outcome.notes) == (given is None)
        assert np.array_equal(xd.read(outcome.target).stored, np.rint(stored * (255 / (4095 if given else 65535))))
        xd.write(xd.read(tmp_path / "a.png"), tmp_path / "b.png", bits=8, value_range=given, overwrite=True)
        assert np.array_equal(xd.read(tmp_path / "b.png").stored, xd.read(outcome.target).stored)


def test_a_blank_page_is_not_said_to_lose_grey_levels(tmp_path: Path) -> None:
    full = np.random.default_rng(0).integers(0, 65536, (2, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([np.full_like(full[0], 90), *full]), photometric="minisblack")
    (outcome,) = xd.denoise_files(tmp_path / "a.tif", tmp_path / "out", model="noisy", bits=8)
    assert [note for note in outcome.notes if "are left" in note] == []
    assert any("were scaled" in note for note in outcome.notes)


@pytest.mark.parametrize("suffix", ["_x", ".den", "_v1.final"])
@pytest.mark.parametrize("name", ["1.2.840.113", "IM0001"])
def test_a_suffix_is_not_taken_for_the_ending_of_a_dicom_file(tmp_path: Path, name: str, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    synthetic_dicom.write(tmp_path / "in" / name, synthetic_dicom.Sample())
    (outcome,) = xd.denoise_files(tmp_path / "in", tmp_path / "out", model="noisy", suffix=suffix)
    assert outcome.status == "written", outcome.error
    assert outcome.target.name == name + suffix + (".dcm" if "." in suffix else "")


def test_a_picture_without_an_ending_stays_one(study: Path, tmp_path: Path) -> None:
    (study / "0.png").rename(tmp_path / "scan")
    xd.write(xd.read(tmp_path / "scan"), tmp_path / "scan2")
    assert (xd.read(tmp_path / "scan2").stored == 90).all()


@pytest.mark.parametrize(
    ("option", "value"),
    [("precision", "bf16"), ("tile", 512), ("batch_size", 4), ("device", "cuda")],
)
def test_options_of_networks_are_refused_where_there_is_none(option: str, value: str | int) -> None:
    given: dict[str, Any] = {option: value}
    with pytest.raises(UsageError, match="'tv'") as caught:
        xd.load("tv", **given)
    assert caught.value.option == option


def test_an_empty_pass_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        xd.load("x-profile", batch_size=0)
    assert caught.value.option == "batch_size"


@pytest.mark.parametrize("by", ["folder", "files"])
def test_results_beside_their_sources_are_no_inputs_of_the_next_run(tmp_path: Path, by: str) -> None:
    folder = tmp_path / "in"
    for name in ("a", "b"):
        png(folder / "sub" / f"{name}.png")

    def again(**options: Any) -> dict[str, str]:
        sources = folder if by == "folder" else sorted(folder.rglob("*.png"))
        target = folder if by == "folder" else folder / "sub"
        batch = xd.denoise_files(sources, target, model="noisy", suffix="_d", **options)
        assert all(found.reason == "an earlier result" for found in batch.left_alone)
        return {outcome.target.name: outcome.status for outcome in batch}

    assert again() == {"a_d.png": "written", "b_d.png": "written"}
    (folder / "sub" / "b_d.png").unlink()  # as after an interruption
    assert again(existing="skip") == {"a_d.png": "skipped", "b_d.png": "written"}
    assert again(existing="overwrite") == {"a_d.png": "written", "b_d.png": "written"}
    assert again() == {"a_d.png": "failed", "b_d.png": "failed"}, "they exist already"

    png(folder / "sub" / "a_d.png", 7)
    before = (folder / "sub" / "a_d.png").read_bytes()
    for existing in ("skip", "overwrite"):
        with pytest.raises(UsageError, match="which is an input") as caught:
            again(existing=existing)
        assert "manifest" in caught.value.hint
    assert (folder / "sub" / "a_d.png").read_bytes() == before


def test_an_earlier_result_is_denoised_again_where_it_is_named(tmp_path: Path) -> None:
    png(tmp_path / "a.png")
    list(xd.denoise_files(tmp_path, tmp_path, model="noisy", suffix="_d"))
    (again,) = xd.denoise_files(tmp_path / "a_d.png", tmp_path, model="noisy", suffix="_e")
    assert again.target.name == "a_d_e.png"
    batch = xd.denoise_files(tmp_path, tmp_path, model="noisy", suffix="_f")
    assert [job.source.name for job in batch.jobs] == ["a.png"]
    (tmp_path / "a.png").unlink()
    with pytest.raises(UsageError, match="all inputs are earlier results"):
        xd.denoise_files(tmp_path, tmp_path, model="noisy", suffix="_d")
