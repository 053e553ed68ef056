"""`synth` as a user meets it: detectors, profiles, and what the options refuse."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.synthetic_dicom import Sample, write
from xray_denoise import files
from xray_denoise.cli import app
from xray_denoise.files.profiles import read_profile, write_profile
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.scale import MID_GREY


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(line: str) -> Result:
    return CliRunner().invoke(app, line.split())


def test_a_detector_prints_image_clean_image_profile_and_psnr(here: Path) -> None:
    result = call("synth --detector csi --noise-std 4 --size 64 --seed 2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == [
        "phantom-2_csi_std4_seed2_noisy.png",
        "phantom-2_clean.png",
        "phantom-2_csi_std4_seed2_profile.json",
    ]
    assert all((here / name).exists() for name in result.stdout.split())
    assert "detector csi, deviation 4: noisy PSNR 3" in result.stderr
    assert "note" not in result.stderr


def test_the_profile_that_was_written_can_be_used_again(here: Path) -> None:
    assert call("synth --detector processed --size 64 -o first").exit_code == 0
    first = here / "first" / "phantom-0_processed_std2_seed0_profile.json"
    assert call(f"synth --detector {first} --noise-std 6 --size 64 --bits 16 -o second").exit_code == 0
    (second,) = (here / "second").glob("*_profile.json")
    assert read_profile(second).deviation_at(MID_GREY) == pytest.approx(6, rel=1e-6)
    assert call(f"synth --detector {first} --size 64 --no-save-clean --bits 16 -o third").exit_code == 0
    (third,) = (here / "third").glob("*_profile.json")
    assert read_profile(third).deviation_at(MID_GREY) == pytest.approx((4 + 1 / 12) ** 0.5, rel=1e-6)
    assert not list((here / "third").glob("*_clean*"))


def test_noise_that_rounding_hides_is_said() -> None:
    assert "--bits 16 keeps it" in call("synth --detector white --noise-std 0.2 --size 32 -o a").stderr
    assert "--bits 16" not in call("synth --detector white --noise-std 0.2 --size 32 --bits 16 -o b").stderr


def test_dicom_files_keep_their_bits(here: Path) -> None:
    write(here / "a.dcm", Sample(bits=12))
    refused = call("synth a.dcm --format dcm --bits 16")
    assert (refused.exit_code, "keeps the bits of its source" in refused.stderr) == (2, True)
    assert call("synth a.dcm --format dcm --detector csi --noise-std 0.2").exit_code == 0
    assert {files.read(path).bits for path in here.glob("a_*.dcm")} == {12}


@pytest.mark.parametrize(
    ("line", "status", "message", "hint"),
    [
        ("--detector csi --eta 0.6", 2, "replace --eta and --sigma", "give --eta and --sigma, or"),
        ("--detector csi --sigma 5", 2, "replace --eta and --sigma", "give --eta and --sigma, or"),
        ("--noise-std 2", 2, "--noise-std needs --detector", "--detector csi"),
        ("--noise-std 2 --eta 0.6", 2, "--noise-std needs --detector", "--detector csi"),
        ("--detector film", 2, "no detector is called 'film'", "white, selenium, csi, cr, processed"),
        ("--detector csi --noise-std -1", 2, "0 to 50", "--noise-std 2"),
        ("--detector csi --noise-std nan", 2, "0 to 50", "--noise-std 2"),
        ("--detector csi --noise-std 51", 2, "0 to 50", "--noise-std 2"),
        ("--detector missing.json", 1, "cannot read missing.json", "check the name"),
        ("--detector wrong.json", 1, "cannot use wrong.json", "docs/noise.md"),
        ("--detector none.json --noise-std 1", 2, "no noise at mid-grey", "leave out"),
    ],
)
def test_what_is_refused_and_what_to_do(here: Path, line: str, status: int, message: str, hint: str) -> None:
    (here / "wrong.json").write_text(json.dumps({"format": "mine"}))
    write_profile(NoiseProfile.white(0.0), here / "none.json")
    result = call(f"synth --size 32 {line}")
    assert result.exit_code == status
    error, advice = result.stderr.splitlines()
    assert message in error
    assert hint in advice
    assert not list(here.glob("*.png"))


def test_a_folder_that_holds_a_broken_file_goes_on(here: Path) -> None:
    assert call("synth --size 32 --count 2 --no-save-clean -o in").exit_code == 0
    (here / "in" / "broken.png").write_bytes(b"no picture")
    result = call("synth in -o out --count 2 --seed 3 --detector csi")
    assert result.exit_code == 1
    assert "in/broken.png is neither" in result.stderr
    assert "ignored in the input folders: 1 file\n  in/manifest.jsonl (not a radiograph)" in result.stderr
    assert len(list((here / "out").glob("*_seed3_noisy.png"))) == 2
    assert len(list((here / "out").glob("*_seed4_profile.json"))) == 2
    (here / "list.txt").write_text("# clean ones\nin/phantom-0_eta0.6_sigma10_noisy.png\n")
    assert len(call("synth @list.txt -o listed").stdout.split()) == 2
    assert "the output is '-'" in call("synth -o -").stderr
