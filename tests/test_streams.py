"""The command line where its streams are closed, full or plain, and what it says in JSON, logs and previews."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from xray_denoise import files
from xray_denoise.cli import app
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.radiograph import Radiograph

FULL = Path("/dev/full")


def call(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def run(line: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = f"exec {sys.executable} -m xray_denoise {line}"
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False, **options)  # noqa: S607


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three radiographs, one of them broken, and what is none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(2):
        stored = np.random.default_rng(number).integers(60, 200, (20, 30), np.uint8)
        Image.fromarray(stored).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nrest is missing")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return tmp_path


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "2>&- 1>&- 0>&-"])
def test_images_are_denoised_whatever_becomes_of_messages(here: Path, stderr: str) -> None:
    if "full" in stderr and not FULL.exists():
        pytest.skip("there is no /dev/full here")
    ran = run(f"denoise in -o out --model noisy {stderr}", here)
    assert ran.returncode == 1, "one file is broken"
    for number in range(2):
        before, after = ((here / folder / f"{number}.png") for folder in ("in", "out"))
        assert (np.asarray(Image.open(before)) == np.asarray(Image.open(after))).all()


def test_names_that_a_terminal_cannot_show_cost_nothing(here: Path) -> None:
    name = "Rontgen-✓.png"
    (here / "in" / "0.png").rename(here / "in" / name)
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C.UTF-8"}
    ran = run(f"denoise in/{name} -o out --model noisy", here, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "in/Rontgen-\\u2713.png" in ran.stdout
    ran = run(f"denoise in/{name} -o out --model noisy --dry-run", here, env=environment)
    assert "Rontgen-\\u2713.png" in ran.stdout
    assert (here / "out" / name).exists()


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("line", ["denoise in -o out --model noisy --json", "info", "denoise in -o out --dry-run"])
def test_a_full_standard_output_is_an_error_of_two_lines(here: Path, line: str) -> None:
    ran = run(f"{line} >/dev/full", here)
    assert ran.returncode == 1
    assert [text[:7] for text in ran.stderr.splitlines() if text.startswith(("error", "hint", "Trace", "Excep"))] == [
        "error: ", "hint:  ",
    ]  # fmt: skip
    assert "cannot write to standard output: No space left" in ran.stderr


def test_a_reader_that_has_gone_stops_no_work(here: Path) -> None:
    ran = run("denoise in -o out --model noisy --json | true; exit ${PIPESTATUS[0]}", here)
    assert ran.returncode == 1, "one of the files is broken"
    assert {path.name for path in (here / "out").glob("*.png")} == {"0.png", "1.png"}
    assert "2 written, 0 skipped, 1 failed" in ran.stderr


@pytest.mark.parametrize(
    ("line", "status", "what", "flag"),
    [
        (["denoise", "", "-o", "out"], 2, "an input has an empty name", ""),
        (["denoise", "-", "-o", "out"], 2, "an input is '-'", ""),
        (["denoise", "in", "-o", ""], 2, "the output has an empty name", "(--output)"),
        (["denoise", "in", "-o", "-"], 2, "the output is '-'", "(--output)"),
        (["denoise", "in", "-o", "out", "--report", ""], 2, "the report has an empty name", "(--report)"),
        (["denoise", "in", "-o", "out", "--log", ""], 2, "the log has an empty name", "(--log)"),
        (["denoise", "@", "-o", "out"], 2, "a list has an empty name", ""),
        (["denoise", "@missing.txt", "-o", "out"], 1, "cannot read the list missing.txt", ""),
        (["denoise", "in", "-o", "foo.png"], 2, "foo.png is the name of one file", "(--output)"),
        (["denoise", "in", "-o", "out", "--threads", "1000000000"], 2, "threads, not 1000000000", "(--threads)"),
        (["denoise", "in", "-o", "out", "--suffix", "a/b"], 2, "cannot hold the suffix", "(--suffix)"),
        (["denoise", "in/0.png", "-o", "a.png", "--format", "tiff"], 2, "is no TIFF file", "(--format)"),
        (["denoise", "in", "-o", "out", "--strength", "nan"], 2, "strength", ""),
        (["denoise", "in", "-o", "out", "--range", "9,9"], 2, "a lower to a higher", "(--range)"),
        (["denoise", "in", "-o", "out", "--range", "4095"], 2, "takes LO,HI or auto, got '4095'", "--range 0,4095"),
        (["denoise", "in", "-o", "out", "--range", "4095,"], 2, "takes LO,HI or auto", "--range 0,4095"),
        (["denoise", "in", "-o", "out", "--range", "0,1,2"], 2, "takes LO,HI or auto", "--range 0,4095"),
        (["denoise", "in", "-o", "out", "--compress", "rle"], 2, "is for DICOM results", "(--compress)"),
        (["denoise", "in", "-o", "out", "--profile", "missing.json"], 1, "cannot read missing.json", ""),
        (["denoise", "in", "-o", "out", "--profile", "x", "--eta", "1", "--sigma", "1"], 2, "--profile replaces", ""),
        (["denoise", "in", "-o", "out", "--log", "in/0.png"], 2, "is an input or a result", "(--log)"),
        (["denoise", "in", "-o", "out", "--log", "in"], 2, "not a plain file", "(--log)"),
        (["export", "lite", "-o", ""], 2, "the output has an empty name", "(--output)"),
    ],
)
def test_wrong_words_are_told_in_two_lines(here: Path, line: list[str], status: int, what: str, flag: str) -> None:
    result = call(*line, *(["--model", "noisy"] if line[0] == "denoise" else []))
    assert result.exit_code == status, result.stderr
    errors, hints = ([text for text in result.stderr.splitlines() if text.startswith(key)] for key in ("error", "hint"))
    if what != "strength" or errors:  # the parser of options may say it first
        assert len(errors) == len(hints) == 1
        assert what in errors[0]
        assert hints[0].endswith(flag)
    assert not (here / "out").exists()


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("option", ["--log", "--report"])
def test_log_and_report_never_take_the_place_of_what_is_read(here: Path, option: str, watch: bool) -> None:
    """Profile, list, weights, and any file of a folder that is watched."""
    (here / "p.html").write_text(NoiseProfile.white(4).to_json())
    (here / "list.html").write_text("in/0.png\n")
    (here / "link.html").symlink_to("in/1.png")
    (here / "w.safetensors").write_bytes(b"weights")
    (here / "w.html").symlink_to("w.safetensors")
    lines = [
        ["in", "--profile", "p.html", "--model", "tv", option, "p.html"],
        ["@list.html", "--model", "tv", option, "list.html"],
        ["in", "--model", "w.safetensors", option, "w.html"],
    ]
    watched = [["in", "--watch", "--model", "tv", option, "link.html"]]
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    for line in watched if watch else lines:
        result = call("denoise", *line, "-o", "out", "--existing", "overwrite")
        assert result.exit_code == 2, result.stderr
        assert "is an input" in result.stderr
        assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_missing_package_is_status_3(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_denoise.extras.find_spec", lambda _: None)
    result = call("denoise", "in", "-o", "out", "--model", "gat-bm3d")
    assert result.exit_code == 3
    assert "'gat-bm3d' needs the package 'bm3d'" in result.stderr
    assert not (here / "out").exists()


def test_a_profile_reaches_the_method(here: Path) -> None:
    (here / "p.json").write_text(NoiseProfile.white(4).to_json())
    result = call("denoise", "in/0.png", "-o", "out.png", "--model", "tv", "--profile", "p.json", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["noise_deviation"] == 4


def test_quiet_and_verbose_stand_before_or_behind_the_command(here: Path) -> None:
    for number, line in enumerate((["-q", "denoise"], ["denoise", "-q"], ["denoise", "--quiet"])):
        result = call(*line, "in/0.png", "-o", f"{number}.png", "--model", "noisy")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    for number, line in enumerate((["-v", "denoise"], ["denoise", "-v"], ["denoise", "--verbose"])):
        assert "settings: " in call(*line, "in/0.png", "-o", f"v{number}.png", "--model", "noisy").stderr
    assert "settings: " not in call("denoise", "in/0.png", "-o", "w.png", "--model", "noisy").stderr, "of its own run"
    for command in ("synth", "train", "bench", "export", "info"):
        assert "--verbose" in call(command, "--help").stdout


def test_each_line_tells_what_was_found_and_removed(here: Path) -> None:
    result = call("denoise", "in", "-o", "out", "--model", "tv")
    first = result.stdout.splitlines()[0]
    assert first.startswith("1: in/0.png -> out/0.png (noise ")
    assert first.endswith(" grey levels)")
    assert ", removed " in first
    lines = result.stderr.splitlines()
    assert lines[0] == "denoising with tv on cpu"
    assert lines[1].startswith("error: 3: "), "the number is that of the report and of --json"
    assert lines[-3:] == [
        "ignored in the input folders: 1 file",
        "  in/notes.txt (not a radiograph)",
        "2 written, 0 skipped, 1 failed",
    ]
    result = call("denoise", "in/0.png", "-o", "same.png", "--model", "noisy")
    assert "note: in/0.png: next to nothing was removed" in result.stderr


def test_json_has_what_a_program_needs(here: Path) -> None:
    result = call("denoise", "in", "-o", "out", "--model", "tv", "--json", "--log", "log/run.jsonl")
    first, _, broken = map(json.loads, result.stdout.splitlines())
    assert first["number"] == 1
    assert first["size"] == {"rows": 20, "columns": 30, "frames": 1}
    assert first["removed_grey"] == first["removed_stored"] > 1
    assert first["noise_deviation"] > 10
    assert first["notes"] == []
    assert (broken["status"], broken["error_kind"]) == ("failed", "unreadable-file")
    assert broken["hint"]
    assert broken["size"] is broken["noise_deviation"] is broken["eta"] is None
    logged = [json.loads(line) for line in (here / "log" / "run.jsonl").read_text().splitlines()]
    assert (logged[0]["source"], logged[0]["status"]) == ("in/notes.txt", "left alone")
    assert [{key: one[key] for key in first} for one in logged[1:]] == [
        json.loads(line) for line in result.stdout.splitlines()
    ]
    assert all("time" in one for one in logged)


def test_noise_without_photons_is_no_null(here: Path) -> None:
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(here / "flat.png")
    record = json.loads(call("denoise", "flat.png", "-o", "out.png", "--model", "tv", "--json").stdout)
    assert (record["eta"], record["sigma"], record["noise_deviation"]) == ("inf", 0.0, 0.0)


def test_a_log_follows_existing(here: Path) -> None:
    line = ["denoise", "in/0.png", "-o", "out", "--model", "noisy", "--log", "log.jsonl"]
    assert call(*line).exit_code == 0
    again = call(*line)
    assert again.exit_code == 1
    assert "the log log.jsonl exists already" in again.stderr
    assert call(*line, "--existing", "skip").exit_code == 0
    statuses = [json.loads(text)["status"] for text in (here / "log.jsonl").read_text().splitlines()]
    assert statuses == ["written", "skipped"]
    assert call(*line, "--existing", "overwrite").exit_code == 0
    assert len((here / "log.jsonl").read_text().splitlines()) == 1


def test_a_dry_run_shows_what_would_be_done(here: Path) -> None:
    line = ["denoise", "in", "-o", "out", "--model", "noisy"]
    assert call(*line).exit_code == 1
    (here / "out" / "1.png").write_bytes(b"mine")
    (here / "in" / "3.png").write_bytes((here / "in" / "0.png").read_bytes())
    before = {path: path.read_bytes() for path in (here / "out").iterdir()}

    def actions(existing: str) -> list[str]:
        result = call(*line, "--existing", existing, "--dry-run", "--json")
        assert result.exit_code == (existing != "overwrite")
        return [json.loads(text)["action"] for text in result.stdout.splitlines()]

    assert actions("error") == ["fail", "fail", "write", "write", "leave"]
    assert actions("skip") == ["skip", "fail", "write", "write", "leave"]
    assert actions("overwrite") == ["replace", "replace", "write", "write", "leave"]
    text = call(*line, "--existing", "skip", "--dry-run").stdout.splitlines()
    assert text[0] == "skip    in/0.png -> out/0.png"
    assert text[1].startswith("fail    in/1.png -> out/1.png (out/1.png exists already and is not an unchanged result")
    assert text[-1] == "leave   in/notes.txt (not a radiograph)"
    assert {path: path.read_bytes() for path in (here / "out").iterdir()} == before


def test_lists_come_from_standard_input_too(here: Path) -> None:
    result = call(
        "denoise", "@-", "-o", "out", "--model", "noisy", "--dry-run", stdin="# two of them\nin/0.png\r\n\nin/1.png\n"
    )
    assert result.stdout.splitlines() == ["write   in/0.png -> out/0.png", "write   in/1.png -> out/1.png"]


def test_a_folder_of_dicom_becomes_a_folder_of_pictures(here: Path) -> None:
    (here / "study").mkdir()
    grey = np.random.default_rng(0).uniform(40, 200, (20, 30)).astype(np.float32)
    for name in ("IM0001", "1.2.840.113"):
        files.write(Radiograph.from_grey(grey, bits=12), here / "study" / "x.dcm")
        (here / "study" / "x.dcm").rename(here / "study" / name)
    result = call("denoise", "study", "-o", "out", "--model", "noisy", "--format", "png", "--suffix", "_d")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (here / "out").glob("*.png")) == ["1.2.840.113_d.png", "IM0001_d.png"]


def test_names_of_models_are_completed() -> None:
    from xray_denoise.cli.completion import complete_model

    assert complete_model("l") == ["lite"]
    assert "auto" in complete_model("")


def test_python_m_is_the_command(here: Path) -> None:
    assert run("--version", here).stdout.startswith("xray-denoise ")


def test_help_begins_with_the_commonest_options_and_is_in_groups(here: Path) -> None:
    text = run("denoise --help", here, env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}).stdout
    order = [
        text.index(word) for word in ("--output", "--model", "--existing", "Noise ─", "Files ─", "Device and speed")
    ]
    assert order == sorted(order)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        ("synth", ["Noise", "Images", "Files"]),
        ("measure", ["What the images are", "Files"]),
        ("train", ["Schedule", "Noise", "Device and speed"]),
        ("bench", ["What to measure", "Output", "How networks run", "Details"]),
    ],
)
def test_commands_with_many_options_have_them_in_groups(here: Path, command: str, groups: list[str]) -> None:
    text = run(f"{command} --help", here, env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}).stdout
    found = [line.strip("╭─╮ ") for line in text.splitlines() if line.startswith("╭")]
    assert set(groups) <= set(found)
    assert set(found) <= {*groups, "Arguments", "Options"}


@pytest.mark.parametrize(("rank", "lines"), [("0", 2), ("1", 0)])
def test_of_several_processes_only_the_first_speaks(
    rank: str, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from xray_denoise.cli.terminal import complain, say

    monkeypatch.setenv("LOCAL_RANK", rank)
    say("lite:")
    complain("no", "")
    assert len(capsys.readouterr().err.splitlines()) == lines


@pytest.mark.parametrize(
    ("line", "there", "absent"),
    [
        ("xray-denoise denoise --model x-p", {"x-profile"}, {"tv", "lite"}),
        ("xray-denoise denoise --model t", {"tv"}, {"x-profile"}),
        ("xray-denoise export l", {"lite"}, {"tv"}),
        ("xray-denoise train data --init x-b", {"x-bdcnn"}, {"tv"}),
    ],
)
def test_shells_complete_the_names_of_models(line: str, there: set[str], absent: set[str]) -> None:
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    environment["_XRAY_DENOISE_COMPLETE"] = "complete_bash"
    result = CliRunner().invoke(app, [], prog_name="xray-denoise", env=environment)
    names = set(result.stdout.split())
    assert there <= names
    assert not absent & names


def test_every_failure_names_its_file(here: Path) -> None:
    """A PNG of 16 bits cannot become a WebP file: the error of the writer knows no path."""
    Image.fromarray(np.full((20, 30), 9000, np.uint16)).save(here / "run.png")
    found = call("denoise", "run.png", "-o", "out.webp", "--model", "tv")
    assert found.exit_code == 1
    assert "error: run.png: a WebP file holds 8 bits" in found.stderr
    found = call("denoise", "in", "-o", "out", "--model", "tv")
    assert found.exit_code == 1
    (broken,) = (line for line in found.stderr.splitlines() if line.startswith("error: 3"))
    assert broken.count("2.png") == 1


def test_a_slip_in_the_name_of_a_model_gets_a_suggestion(here: Path) -> None:
    found = call("denoise", "in", "-o", "out", "--model", "x-profil")
    assert "did you mean 'x-profile'? If not, choose one of" in found.stderr
    assert "did you mean" not in call("denoise", "in", "-o", "out", "--model", "zzz").stderr
