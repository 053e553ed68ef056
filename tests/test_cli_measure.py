"""`measure` as a user meets it."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.synthetic_dicom import Sample, write
from tests.tasks.test_measure import ELECTRONICS, GAIN, exposure, save
from xray_denoise.cli import app
from xray_denoise.files.profiles import read_profile


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for dose in (300, 3000):
        for seed in range(2):
            save(Path(f"flat/{dose}-{seed}.png"), exposure(dose, seed, (96, 96)))
    save(Path("dark.png"), exposure(0, 0, (96, 96)))
    return tmp_path


def call(line: str) -> Result:
    return CliRunner().invoke(app, line.split())


def test_everything_at_once(here: Path) -> None:
    pytest.importorskip("matplotlib")
    line = "measure --flat flat --offset dark.png --json --csv a.csv --profile p.json --plot a.svg"
    result = call(line)
    assert result.exit_code == 0, result.stderr
    records = [json.loads(text) for text in result.stdout.splitlines()]
    assert [record["kind"] for record in records] == ["dark", "flat", "flat", "photon-transfer"]
    assert records[-1]["numbers"]["total_quantum_gain"]["value"] == pytest.approx(2, abs=0.3)
    assert (here / "a.csv").read_text().startswith("number,kind,file,quantity")
    assert (here / "a.svg").read_bytes().startswith(b"<?xml")
    assert read_profile(here / "p.json").grey.size == 35
    assert read_profile(here / "p.json").black_white == (0, 65535)
    again = call(line)
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert call("measure --dark dark.png --csv a.csv --existing overwrite").exit_code == 0
    assert "photon-transfer" not in (here / "a.csv").read_text()


def test_the_profile_is_taken_by_synth_and_denoise(here: Path) -> None:
    assert call("measure --flat flat --offset 50 --range 50,4000 --profile p.json").exit_code == 0
    assert call("synth --detector p.json --size 64 --bits 16 -o s").exit_code == 0
    assert read_profile(Path("p.json")).black_white == (50, 4000)
    (synthetic,) = Path("s").glob("*_profile.json")
    assert read_profile(synthetic).black_white == (0, 65535)
    (noisy,) = Path("s").glob("*_noisy.png")
    for name in ("p.json", synthetic):
        denoised = call(f"denoise {noisy} --profile {name} --model x-profile --dry-run -o out.png")
        assert denoised.exit_code == 0, denoised.stderr


TRUE = (GAIN * 3000 + ELECTRONICS**2) ** 0.5
"""Standard deviation of the noise of a dose of 3000 stored values, stored values."""


def noise_told(path: Path | str, options: str = "") -> float:
    """Standard deviation over the image that `denoise --profile p.json` counts with, stored values."""
    told = call(f"denoise {path} --profile p.json --model tv --json -o out.tif --existing overwrite {options}")
    assert told.exit_code == 0, told.stderr
    assert "most pixels lie outside" not in told.stderr
    record = json.loads(told.stdout)
    found = record["noise_over_image"] * record["noise_deviation_stored"] / record["noise_deviation"]
    return float(found)


@pytest.mark.parametrize("options", ["", "--range 0,65535", "--range 2500,3500"])
def test_a_profile_is_valid_for_every_value_range(options: str) -> None:
    for measured_in in ("auto", "50,4000"):
        line = f"measure --flat flat --offset dark.png --range {measured_in} --profile p.json --existing overwrite"
        assert call(line).exit_code == 0
        assert noise_told("flat/3000-0.png", options) == pytest.approx(TRUE, rel=0.05)


@pytest.mark.parametrize(("inverted", "signed"), [(False, False), (True, False), (False, True)])
def test_a_profile_is_valid_for_both_polarities_and_without_padding(here: Path, inverted: bool, signed: bool) -> None:
    """Flat fields as PNG of 16 bits; a DICOM file of 12 or 13, in which a quarter of the pixels is padding."""
    assert call("measure --flat flat --offset dark.png --profile p.json").exit_code == 0
    sample = Sample(shape=(96, 96), bits=13 if signed else 12, inverted=inverted, signed=signed, padding=4095)
    stored = np.rint(exposure(3000, 5, (1, 96, 96))).astype(sample.dtype)
    stored[:, :24] = 4095
    assert noise_told(write(here / "in.dcm", sample, stored)) == pytest.approx(TRUE, rel=0.05)
    everywhere = write(here / "padding.dcm", sample, np.full_like(stored, 4095))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert call(f"denoise {everywhere} --profile p.json --model tv -o padding-out.dcm").exit_code == 0


def test_a_run_with_a_blank_frame_takes_a_profile(here: Path) -> None:
    assert call("measure --flat flat --offset dark.png --profile p.json").exit_code == 0
    frames = np.stack([np.zeros((96, 96)), *(exposure(3000, seed, (96, 96)) for seed in range(3))])
    run = write(here / "run.dcm", Sample(modality="XA", shape=(96, 96), frames=4), np.rint(frames).astype(np.uint16))
    for options in ("", "--temporal on --model x-profile"):
        assert noise_told(run, options) == pytest.approx(TRUE, rel=0.05)


def test_a_profile_that_does_not_fit_the_image_is_told(here: Path) -> None:
    assert call("measure --flat flat --offset dark.png --profile p.json").exit_code == 0
    low, high = read_profile(here / "p.json").stored_range
    assert (round(low), round(high / 100)) == (50, 60), "from the offset to twice the highest dose"
    save(here / "bright.png", exposure(30_000, 0, (96, 96)))
    bright = call("denoise bright.png --profile p.json --model tv -o bright-out.png")
    assert bright.exit_code == 0
    assert "most pixels lie outside" in bright.stderr
    Image.fromarray(np.full((64, 64), 100, np.uint8)).save(here / "8.png")
    other = call("denoise 8.png flat/3000-0.png --profile p.json --model tv -o out")
    assert other.exit_code == 1
    assert "the noise profile does not fit 8.png" in other.stderr
    assert "--eta" not in other.stderr
    assert (here / "out/3000-0.png").is_file()


def test_text_for_people() -> None:
    result = call("measure --dark dark.png")
    assert result.exit_code == 0
    first, *numbers = result.stdout.splitlines()
    assert first == "dark: dark.png"
    assert any(line.split()[:2] == ["total", "deviation"] for line in numbers)


def test_a_broken_file_does_not_stop_the_others(here: Path) -> None:
    (here / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = call("measure broken.png dark.png")
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert result.stdout.startswith("blind: dark.png")
    first, second = (json.loads(line) for line in call("measure --json broken.png dark.png").stdout.splitlines())
    assert (first["files"], first["error_kind"]) == (["broken.png"], "unreadable-file")
    assert (second["number"], second["kind"]) == (1, "blind")


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("--flat --dark dark.png", 2, "--flat and --dark are different measurements"),
        ("--edge dark.png --profile p.json", 2, "cannot be made from --edge"),
        ("--edge dark.png --offset 5", 2, "--offset is for"),
        ("--repeated dark.png --offset dark.png", 2, "takes a stored value"),
        ("--flat flat --region 1,2,3", 2, "TOP,LEFT,HEIGHT,WIDTH"),
        ("--flat flat --plot a.pdf", 2, ".svg or .html"),
        ("--flat flat --csv a --profile a", 2, "one file"),
        ("--flat flat --pixel-pitch 0", 2, "above 0"),
        ("--repeated dark.png", 2, "at least two frames"),
        ("dark.png flat/300-0.png --profile p.json", 2, "2 were measured"),
        ("missing.png", 1, "cannot read missing.png"),
        ("missing.png --csv nofolder/x.csv", 1, "cannot write nofolder/x.csv: there is no such folder"),
        ("missing.png --csv flat", 1, "flat is a folder"),
    ],
)
def test_what_is_refused(here: Path, line: str, status: int, message: str) -> None:
    result = call(f"measure {line}")
    assert result.exit_code == status
    error, hint = result.stderr.splitlines()[-2:]
    assert message in error
    assert hint.startswith("hint:")
    assert not list(here.glob("*.json"))


@pytest.mark.parametrize(
    "line",
    [
        "dark.png --profile dark.png",
        "flat --csv flat/300-0.png",
        "flat --csv linked.png",
        "links --plot flat/3000-1.svg",
        "--flat flat --offset dark.png --csv dark.png",
        "--flat @list.txt --csv list.txt",
    ],
)
def test_an_output_never_takes_the_place_of_what_is_measured(here: Path, line: str) -> None:
    (here / "list.txt").write_text("flat/300-0.png\n")
    (here / "linked.png").symlink_to(here / "flat" / "300-0.png")
    (here / "links").mkdir()
    (here / "flat" / "3000-1.svg").write_bytes((here / "flat" / "3000-1.png").read_bytes())
    (here / "links" / "a.png").symlink_to(here / "flat" / "3000-1.svg")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    result = call(f"measure {line} --existing overwrite")
    assert result.exit_code == 2
    assert "is an input" in result.stderr
    assert not result.stdout
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_table_in_the_folder_that_is_measured_is_replaced(here: Path) -> None:
    for _ in range(2):
        assert call("measure --flat flat --csv flat/numbers.csv --existing overwrite").exit_code == 0
    assert (here / "flat" / "numbers.csv").read_text().startswith("number,")


def test_a_list_of_files(here: Path) -> None:
    (here / "list.txt").write_text("flat/300-0.png\nflat/300-1.png\n")
    result = call("measure --flat @list.txt --json")
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[0])["numbers"]["frames"]["value"] == 2


def test_constant_images_are_measured_or_refused_in_two_lines(here: Path) -> None:
    save(here / "constant.png", np.full((64, 64), 500.0))
    for option in ("", "--flat", "--dark", "--edge", "--repeated"):
        result = call(f"measure {option} constant.png constant.png")
        assert result.exception is None or isinstance(result.exception, SystemExit), option
