"""Parts of a plan are disjoint and complete, and their manifests together are that of one run."""

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from tests.synthetic_dicom import Sample, write
from xray_denoise import denoise_files
from xray_denoise.cli import app
from xray_denoise.errors import UsageError
from xray_denoise.files import atomic
from xray_denoise.tasks.jobs import MANIFEST_NAME, PARTS_NAME, plan_jobs
from xray_denoise.tasks.manifest import Manifest
from xray_denoise.tasks.shard import Shard


def pictures(folder: Path, count: int = 12) -> Path:
    (folder / "sub").mkdir(parents=True)
    for number in range(count):
        image = np.random.default_rng(number).integers(0, 256, (16, 24)).astype(np.uint8)
        Image.fromarray(image).save(folder / ("sub" if number % 3 else "") / f"{number:03d}.png")
    return folder


@given(st.text(min_size=1), st.integers(1, 50))
def test_every_name_is_in_one_part(name: str, count: int) -> None:
    path = PurePosixPath(name.replace("\0", "") or "x")
    try:
        found = [number for number in range(1, count + 1) if Shard(number, count).holds(path)]
    except UnicodeEncodeError:  # no file can have this name
        return
    assert len(found) == 1


def test_the_parts_are_the_same_everywhere_and_of_like_size() -> None:
    """By SHA-256, not by a hash of Python, which differs between processes."""
    held = [Shard(k, 8).holds(PurePosixPath("sub/a.dcm")) for k in range(1, 9)]
    assert held.index(True) == int(sha256(b"sub/a.dcm").hexdigest()[:16], 16) % 8
    sizes = [sum(Shard(k, 4).holds(PurePosixPath(f"{n}.dcm")) for n in range(10_000)) for k in range(1, 5)]
    assert sum(sizes) == 10_000
    assert max(abs(size - 2500) for size in sizes) < 5 * (10_000 * 3 / 16) ** 0.5


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "1/", "/2", "a/2", "-1/2", "1/2/3", "1.0/2"])
def test_what_is_no_shard_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        denoise_files(pictures(tmp_path / "in"), tmp_path / "out", model="noisy", shard=text)
    assert caught.value.option == "shard"


def test_shards_at_once_give_what_one_run_gives(tmp_path: Path) -> None:
    """Three processes into one folder; `cat` of their records has the lines of the one of a single run."""
    source, one, out = pictures(tmp_path / "in"), tmp_path / "one", tmp_path / "out"
    assert {outcome.status for outcome in denoise_files(source, one, model="noisy")} == {"written"}
    command = [sys.executable, "-c", "from xray_denoise.cli import main; main()", "denoise", source, "-o", out,
               "--model", "noisy", "--shard"]  # fmt: skip
    running = [subprocess.Popen([*command, f"{k}/3"], stderr=subprocess.PIPE, text=True) for k in (1, 2, 3)]
    counts = []
    for process in running:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        counts += map(int, re.findall(r"(\d+) written", told))
    assert sum(counts) == 12
    lines = [line for path in (out / PARTS_NAME).iterdir() for line in path.read_bytes().splitlines()]
    assert {path.name for path in (out / PARTS_NAME).iterdir()} == {"1-of-3.jsonl", "2-of-3.jsonl", "3-of-3.jsonl"}
    assert sorted(lines) == sorted((one / MANIFEST_NAME).read_bytes().splitlines())
    results = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.png")}
    assert results == {path.relative_to(one): path.read_bytes() for path in one.rglob("*.png")}

    # every run knows the results of all parts: one process, and other parts
    for shard in (None, "1/2", "2/2"):
        again = list(denoise_files(source, out, model="noisy", existing="skip", shard=shard))
        assert {outcome.status for outcome in again} == {"skipped"}
    # and `cat` makes one record of them
    with (out / MANIFEST_NAME).open("wb") as stream:
        stream.writelines(line + b"\n" for line in lines)
    for path in (out / PARTS_NAME).iterdir():
        path.unlink()
    assert {one.status for one in denoise_files(source, out, model="noisy", existing="skip")} == {"skipped"}


def test_an_empty_part_is_no_error(tmp_path: Path) -> None:
    source = pictures(tmp_path / "in", 2)
    counts = [len(list(denoise_files(source, tmp_path / "out", model="noisy", shard=f"{k}/9"))) for k in range(1, 10)]
    assert sorted(counts)[-2:] in ([1, 1], [0, 2])
    assert sum(counts) == 2
    line = ["denoise", str(source), "-o", str(tmp_path / "cli"), "--model", "noisy", "--shard"]
    empty = f"{counts.index(0) + 1}/9"
    for options in ([], ["--dry-run"]):
        result = CliRunner().invoke(app, [*line, empty, *options])
        assert result.exit_code == 0
        assert result.stderr.splitlines()[-1] == "nothing to do: no file falls into this shard"


def test_names_decide_relative_to_the_folder(tmp_path: Path) -> None:
    """Where the folder lies, how it is called, and what the results are called is no matter."""

    def part(folder: Path, **options: str) -> list[str]:
        batch = denoise_files(folder, tmp_path / "out", model="noisy", shard="1/2", **options)  # type: ignore[arg-type]
        return [job.source.relative_to(folder).as_posix() for job in batch.jobs]

    first = part(pictures(tmp_path / "in"))
    assert 0 < len(first) < 12
    assert part(pictures(tmp_path / "elsewhere" / "other")) == first
    assert part(tmp_path / "in", suffix="_denoised", file_format="tiff") == first


def test_results_of_one_name_are_refused_in_every_part(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.png", "a.tif", *(f"{number}.png" for number in range(20))):
        Image.new("L", (8, 8)).save(source / name)
    for k in range(1, 5):
        with pytest.raises(UsageError, match="would both become"):
            denoise_files(source, tmp_path / "out", model="noisy", file_format="png", shard=f"{k}/4")


def test_files_of_other_parts_are_never_the_log(tmp_path: Path) -> None:
    """With `skip` a log is continued: an original of any part would get lines at its end."""
    source = pictures(tmp_path / "in")
    for path in source.rglob("*.png"):
        with pytest.raises(UsageError, match="is an input"):
            denoise_files(source, tmp_path / "out", model="noisy", existing="skip", log=path, shard="1/2")


def test_options_for_files_of_other_parts_are_no_error(tmp_path: Path) -> None:
    source = pictures(tmp_path / "in", 3)

    write(source / "a.dcm", Sample("CR", shape=(16, 24)), np.zeros((1, 16, 24), np.uint16) + 7)
    batches = [
        denoise_files(source, tmp_path / "out", model="noisy", compression="rle", shard=f"{k}/9") for k in range(1, 10)
    ]
    assert sum(len(batch.jobs) for batch in batches) == 4


def test_one_file_has_no_parts(tmp_path: Path) -> None:
    source = pictures(tmp_path / "in") / "000.png"
    with pytest.raises(UsageError, match="not of one file"):
        denoise_files(source, tmp_path / "out.png", model="noisy", shard="1/2")


def test_a_part_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="whole folder"):
        denoise_files(pictures(tmp_path / "in"), tmp_path / "out", model="noisy", shard="1/2", report="page.html")


def test_records_in_parts_are_no_input_and_survive_nonsense(tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    list(denoise_files(source, out, model="noisy", shard="1/2"))
    with (out / PARTS_NAME / "1-of-2.jsonl").open("ab") as stream:
        stream.write(b'{"target": 7}\nhalf a li')
    (out / PARTS_NAME / "loop.jsonl").symlink_to(out / PARTS_NAME / "loop.jsonl")
    jobs, left_alone = plan_jobs([out], tmp_path / "third")
    assert jobs
    assert not left_alone
    (out / PARTS_NAME / "loop.jsonl").unlink()
    again = list(denoise_files(source, out, model="noisy", existing="skip", shard="1/2"))
    assert {outcome.status for outcome in again} == {"skipped"}


def test_a_part_does_not_remove_what_others_are_writing(tmp_path: Path) -> None:
    """Locks of other machines may not be seen: an unfinished file stays until a run that is alone."""
    source, out = pictures(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    unfinished = out / f"{atomic.PARTIAL_PREFIX}1{atomic.PARTIAL_SUFFIX}"
    unfinished.write_bytes(b"half")
    list(denoise_files(source, out, model="noisy", shard="1/2"))
    assert unfinished.exists()
    list(denoise_files(source, out, model="noisy", existing="skip"))
    assert not unfinished.exists()


def test_a_part_has_a_line_for_each_result_in_their_order(tmp_path: Path) -> None:
    source, out = pictures(tmp_path / "in", 3), tmp_path / "out"
    list(denoise_files(source, out, model="noisy", shard="1/1"))
    written = (out / PARTS_NAME / "1-of-1.jsonl").read_bytes()
    names = [json.loads(line)["target"] for line in written.splitlines()]
    assert names == [job.target.relative_to(out).as_posix() for job in plan_jobs([source], out)[0]]
    assert not (out / MANIFEST_NAME).exists()
    assert len(Manifest(out).of(out / names[0])) == 1
