"""`denoise --report`: one page of the run, which tells nothing about whose images they are unless asked to."""

import base64
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests import synthetic_dicom
from xray_denoise import denoise_files, denoisers, files
from xray_denoise.cli import app
from xray_denoise.errors import ExistingFileError, XrayDenoiseError
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks import denoise_report
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.denoise_report import DenoiseReport
from xray_denoise.tasks.jobs import Job
from xray_denoise.tasks.options import Options
from xray_denoise.tasks.outcome import Outcome

PATIENT = "Mueller_Hans"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def png(path: Path, seed: int = 0, shape: tuple[int, int] = (20, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(60, 200, shape, np.uint8)).save(path)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["denoise", "--model", "tv", *(str(argument) for argument in arguments)])


def test_a_page_of_three_files_one_of_them_broken(here: Path) -> None:
    for number in range(2):
        png(here / "in" / PATIENT / f"{PATIENT}_{number}.png", number)
    (here / "in" / PATIENT / f"{PATIENT}_2.png").write_bytes(b"\x89PNG\r\n\x1a\nrest is missing")
    result = call("in", "-o", "out", "--report", "out/report.html")
    assert result.exit_code == 1
    assert "report: out/report.html" in result.stderr
    text = (here / "out" / "report.html").read_text()
    assert text.count("<article") == 2
    for part in (
        "Image 1",
        "Image 2",
        "2 written, 1 failed",
        "the file is damaged: a chunk of it is far too long",
        "30 x 20",
        "tv",
    ):
        assert part in text
    assert "mueller" not in text.lower()
    assert str(here) not in text


def test_names_are_shown_where_they_are_wanted(here: Path) -> None:
    png(here / "in" / f"{PATIENT} <1>.png")
    (here / "in" / "broken.dcm").write_bytes(b"\0" * 128 + b"DICMrubbish")
    assert call("in", "-o", "out", "--report", "report.html", "--report-names").exit_code == 1
    text = (here / "report.html").read_text()
    assert f"Image 1: {PATIENT} &lt;1&gt;.png" in text
    assert "in/broken.dcm" in text
    assert call("in", "-o", "out", "--report-names").exit_code == 2


def test_dicom_headers_and_their_names_stay_out(here: Path) -> None:
    files.write(Radiograph.from_grey(np.full((20, 30), 90, np.float32), bits=12), here / f"{PATIENT}.dcm")
    import pydicom

    dataset = pydicom.dcmread(here / f"{PATIENT}.dcm")
    dataset.PatientName, dataset.PatientID, dataset.InstitutionName = "Mueller^Hans", "4711-0815", "St. Elsewhere"
    dataset.BurnedInAnnotation = "YES"
    dataset.save_as(here / f"{PATIENT}.dcm")
    assert call(f"{PATIENT}.dcm", "-o", "out.dcm", "--report", "report.html").exit_code == 0
    text = (here / "report.html").read_text()
    for part in ("Mueller", "Hans", "4711", "Elsewhere"):
        assert part not in text
    assert "text is burned into its pixels" in text


def test_the_page_shows_grey_levels_before_and_after(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bright is dense whatever the file's polarity, and after is what was written."""
    seen = []
    monkeypatch.setattr(denoise_report.page, "encode", seen.append)
    monkeypatch.setattr(DenoiseReport, "write", lambda *_: None)
    grey = np.random.default_rng(0).uniform(40, 200, (20, 30)).astype(np.float32)
    files.write(Radiograph.from_grey(grey, bits=12, inverted=True), here / "in.dcm")
    assert call("in.dcm", "-o", "out.dcm", "--range", "0,4095", "--report", "r.html").exit_code == 0
    (one,) = seen
    assert (one.before == files.read(here / "in.dcm", value_range=(0, 4095)).grey).all()
    assert (one.after == files.read(here / "out.dcm", value_range=(0, 4095)).grey).all()
    assert np.corrcoef(one.before.ravel(), grey.ravel())[0, 1] > 0.99


def _shown(path: Path) -> list[np.ndarray[Any, Any]]:
    """The pictures of a page: before, after and residual of each image."""
    found = re.findall(r"data:image/png;base64,([^\"]+)", path.read_text())
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_a_dicom_image_is_shown_in_the_window_of_its_file(here: Path) -> None:
    """Before and after as a viewer shows them, the residual in grey levels as without a window."""
    stored = np.random.default_rng(0).integers(1000, 3000, (1, 40, 30)).astype(np.uint16)
    window = {"WindowCenter": "2000.5", "WindowWidth": "501"}
    synthetic_dicom.write(here / "in.dcm", synthetic_dicom.Sample(), stored, **window)
    assert call("in.dcm", "-o", "out.dcm", "--report", "window.html").exit_code == 0
    before, after, residual = _shown(here / "window.html")
    for shown, name in ((before, "in"), (after, "out")):
        files.write(files.read(here / f"{name}.dcm"), here / f"{name}.png")
        assert (shown == np.asarray(Image.open(here / f"{name}.png"))).all()
    assert 0.6 < np.mean((before == 0) | (before == 255)) < 0.9  # three quarters are outside
    assert "Shown in" in (here / "window.html").read_text()

    synthetic_dicom.write(here / "in.dcm", synthetic_dicom.Sample(), stored, WindowCenter=None, WindowWidth=None)
    assert call("in.dcm", "-o", "plain.dcm", "--report", "plain.html").exit_code == 0
    assert (_shown(here / "plain.html")[2] == residual).all()
    assert (_shown(here / "plain.html")[0] == np.rint(files.read(here / "in.dcm").grey.clip(0, 255))).all()
    assert "Shown in" not in (here / "plain.html").read_text()


def test_a_window_that_is_damaged_costs_no_page(here: Path) -> None:
    synthetic_dicom.write(here / "in.dcm", synthetic_dicom.Sample())
    content = (here / "in.dcm").read_bytes()
    center = content.index(b"\x28\x00\x50\x10DS") + 8
    (here / "in.dcm").write_bytes(content[:center] + b"inf " + content[center + 4 :])
    assert call("in.dcm", "-o", "out.dcm", "--report", "r.html").exit_code == 0
    assert (_shown(here / "r.html")[0] == np.rint(files.read(here / "in.dcm").grey.clip(0, 255))).all()


def test_an_existing_page_follows_existing(here: Path) -> None:
    png(here / "in.png")
    (here / "report.html").write_text("mine")
    result = call("in.png", "-o", "out.png", "--report", "report.html")
    assert result.exit_code == 1
    assert "report.html exists already" in result.stderr
    assert not (here / "out.png").exists()
    result = call("in.png", "-o", "out.png", "--report", "report.html", "--existing", "skip")
    assert result.exit_code == 0
    assert "report: report.html (exists and is left as it is)" in result.stderr
    assert (here / "report.html").read_text() == "mine"
    assert call("in.png", "-o", "out.png", "--report", "report.html", "--existing", "overwrite").exit_code == 0
    assert "Denoising report" in (here / "report.html").read_text()


def test_the_page_never_takes_the_place_of_an_input_or_a_result(here: Path) -> None:
    source = png(here / "in.png").rename(here / "in.html")
    before = source.read_bytes()
    (here / "link.html").symlink_to(source)
    os.link(source, here / "hard.html")
    for page in ("in.html", "./in.html", "link.html", "hard.html", "out.html"):
        result = call("in.html", "-o", "out.html", "--report", page, "--existing", "overwrite")
        assert result.exit_code == 2
        assert "is an input or a result too" in result.stderr
    for page, what in (("report.pdf", "is an HTML page"), ("folder.html", "is a folder")):
        (here / "folder.html").mkdir(exist_ok=True)
        result = call("in.html", "-o", "out.png", "--report", page)
        assert result.exit_code == 2
        assert what in result.stderr
    assert source.read_bytes() == before
    assert not (here / "out.png").exists()


def test_without_the_packages_nothing_is_begun(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    png(here / "in.png")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = call("in.png", "-o", "out.png", "--report", "report.html")
    assert result.exit_code == 3
    assert "hint:  pip install 'xray-denoise[report]'" in result.stderr
    assert not (here / "out.png").exists()
    assert call("in.png", "-o", "out.png").exit_code == 0, "no report, no need"


def test_a_folder_that_cannot_be_made_is_told_before_the_first_file(here: Path) -> None:
    png(here / "in.png")
    (here / "file").write_text("")
    result = call("in.png", "-o", "out.png", "--report", "file/report.html")
    assert result.exit_code == 1
    assert not (here / "out.png").exists()


def test_a_dry_run_writes_no_page_and_json_stays_json(here: Path) -> None:
    png(here / "in.png")
    result = call("in.png", "-o", "out.png", "--report", "sub/report.html", "--dry-run")
    assert result.stdout == "write   in.png -> out.png\n"
    assert "report: sub/report.html" in result.stderr
    assert not (here / "sub").exists()
    result = call("in.png", "-o", "out.png", "--report", "sub/report.html", "--json")
    assert json.loads(result.stdout)["status"] == "written"
    assert (here / "sub" / "report.html").exists()


def test_pictures_are_bounded_and_all_files_listed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoise_report, "PICTURED", 3)
    for number in range(6):
        png(here / "in" / f"{number}.png", number, (8, 9))
    assert call("in", "-o", "out").exit_code == 0
    for number in range(1, 6):
        (here / "out" / f"{number}.png").unlink()
    assert call("in", "-o", "out", "--existing", "skip", "--report", "report.html").exit_code == 0
    text = (here / "report.html").read_text()
    assert text.count("<article") == 3
    assert "3 of 5 images are pictured, those that were changed most" in text
    assert "5 written, 1 skipped" in text
    assert text.count("<td><bdi>written</bdi></td>") == 5


def test_files_that_were_not_begun_are_listed_as_such(here: Path) -> None:
    for number in range(9):
        png(here / "in" / f"{number}.png", number)
    (here / "in" / "0.png").write_bytes(b"no image")
    assert call("in", "-o", "out", "--on-error", "stop", "--report", "report.html").exit_code == 1
    text = (here / "report.html").read_text()
    assert "<bdi>not begun</bdi>" in text
    assert "1 failed" in text


def test_an_interrupted_run_has_a_page_of_what_was_done(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    png(here / "in.png")

    def interrupt(self: DenoiseReport, outcome: Outcome) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DenoiseReport, "add", interrupt)
    assert call("in.png", "-o", "out.png", "--report", "report.html").exit_code == 130
    assert sorted(path.name for path in here.iterdir()) == ["in.png", "out.png", "report.html"]
    assert "not begun" in (here / "report.html").read_text()


def test_a_page_that_appears_meanwhile_and_a_link_to_nothing_are_kept(here: Path) -> None:
    png(here / "in.png")
    batch = denoise_files("in.png", "out.png", model="noisy", report="report.html")
    (here / "report.html").write_text("mine")
    with pytest.raises(ExistingFileError, match="exists already"):
        list(batch)
    assert (here / "report.html").read_text() == "mine"
    (here / "link.html").symlink_to(here / "nothing")
    with pytest.raises(ExistingFileError):
        denoise_files("in.png", "two.png", model="noisy", report="link.html")


@pytest.mark.parametrize(
    ("source", "error", "shown"),
    [
        ("a/Hans.png", "{path} is a colour image", "the file is a colour image"),
        ("Hans.png", "cannot read Hans.png: no such file", "The message may name files and is left out here."),
        ("Hans/x.png", "cannot make the folder Hans/out: refused", "The message may name files and is left out here."),
        ("x.png", "/Hans: disk full", "The message may name files and is left out here."),
        ("Hans/x.png", "first line\nHans", "first line"),
    ],
)
def test_errors_lose_the_names_in_them(source: str, error: str, shown: str) -> None:
    job = Job(Path(source), Path("out") / Path(source).name)
    failure = XrayDenoiseError(error, path=job.source if "{path}" in error else None)
    assert DenoiseReport(Path("r.html"), [job])._anonymous(Outcome(job, "failed", failure)) == shown


def test_too_little_memory_for_a_picture_costs_the_picture_only(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(denoise_report.page, "encode", greedy)
    png(here / "in.png")
    assert call("in.png", "-o", "out.png", "--report", "report.html").exit_code == 0
    text = (here / "report.html").read_text()
    assert "0 of 1 images are pictured" in text
    assert "1 written" in text


def test_show_gets_the_first_frame_of_a_file_that_streams(here: Path) -> None:
    image = np.tile(np.array([[0, 40]], np.uint8), (8, 5))
    frames = [Image.fromarray(image + 20 * frame) for frame in range(9)]
    frames[0].save(here / "in.tif", save_all=True, append_images=frames[1:])
    seen: list[tuple[float, float]] = []
    options = Options(
        denoisers.get("noisy"),
        show=lambda outcome, before, after: seen.append((before.grey.mean(), after.grey.mean())),
    )
    (outcome,) = run_jobs([Job(here / "in.tif", here / "out.tif")], options)
    assert outcome.status == "written"
    assert seen == [(20, 20)]


def test_the_most_changed_files_are_pictured_first(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the numbers that the command line gives them, however the writers take turns."""
    monkeypatch.setattr(denoise_report, "PICTURED", 3)
    jobs = [Job(Path(f"{number}.png"), Path("out") / f"{number}.png") for number in range(6)]
    report = DenoiseReport(Path("r.html"), jobs)
    radiograph = Radiograph.from_grey(np.zeros((8, 8)), bits=8)
    for job, removed in zip(jobs, (2.0, 0.5, 3.0, 1.0, 2.5, 0.1), strict=True):
        outcome = Outcome(job, "written", removed_grey=removed, shape=(8, 8), frames=1)
        report.show(outcome, radiograph, radiograph)
        report.add(outcome)
    report.write(Options(denoisers.get("noisy")), "cpu")
    text = (here / "r.html").read_text()
    titles = [text.index(f"Image {number}") for number in (3, 5, 1)]
    assert titles == sorted(titles)
    assert text.count("<article") == 3
