"""A watched folder: each file once, when it is whole, also over restarts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("watchfiles", reason="the extra serve is not installed")

from tests.node.peers import started, until
from tests.synthetic_dicom import Sample, write
from xray_denoise import Outcome, denoise_files
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.node import durable
from xray_denoise.node.watch import QUEUE_NAME, WatchedFolder
from xray_denoise.tasks.jobs import MANIFEST_NAME
from xray_denoise.tasks.naming import Naming


class Watch:
    """A watch in a thread."""

    def __init__(self, folder: Path, out: Path, naming: Naming, settle: float, options: dict[str, Any]) -> None:
        self.stop, self.outcomes = threading.Event(), []
        arguments = {"model": "noisy", "existing": "skip"} | options
        self.watched = WatchedFolder(
            folder, out, naming, lambda path: denoise_files(path, out, **arguments), self.stop, settle=settle
        )
        self.outcomes: list[Outcome]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for outcome in self.watched.outcomes():
            self.outcomes.append(outcome)

    def end(self) -> None:
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def told(self) -> list[tuple[str, str]]:
        return sorted((str(one.source.relative_to(self.watched.folder)), one.status) for one in self.outcomes)


@contextmanager
def watch(base: Path, *, naming: Naming | None = None, settle: float = 0.1, **options: Any) -> Iterator[Watch]:
    (base / "in").mkdir(exist_ok=True)
    running = Watch(base / "in", base / "out", naming or Naming(), settle, options)
    try:
        yield running
    finally:
        running.end()


def png(path: Path, grey: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30), grey, np.uint8)).save(path)
    return path


def test_what_is_there_and_what_comes_is_denoised_once(tmp_path: Path) -> None:
    png(tmp_path / "in" / "sub" / "a.png")
    with watch(tmp_path) as running:
        until(lambda: running.outcomes)
        png(tmp_path / "in" / "b.png")
        (tmp_path / "in" / "notes.txt").write_text("no image")
        write(tmp_path / "in" / "new" / "c.dcm", Sample()) if (tmp_path / "in" / "new").mkdir() is None else None
        until(lambda: len(running.outcomes) == 3)
    assert running.told == [("b.png", "written"), ("new/c.dcm", "written"), ("sub/a.png", "written")]
    lines = [json.loads(line)["target"] for line in (tmp_path / "out" / MANIFEST_NAME).read_text().splitlines()]
    assert sorted(lines) == ["b.png", "new/c.dcm", "sub/a.png"]
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")) == sorted(
        [*lines, MANIFEST_NAME, QUEUE_NAME, ".xray-denoise-watch.lock"]
    )
    batch = list(denoise_files(tmp_path / "in", tmp_path / "out", model="noisy", existing="skip"))
    assert {one.status for one in batch} == {"skipped"}, "a normal run has nothing left to do"
    with watch(tmp_path) as running:
        png(tmp_path / "in" / "d.png")
        until(lambda: running.outcomes)
        png(tmp_path / "in" / "b.png", 7)
        until(lambda: len(running.outcomes) == 2)
    assert running.told == [("b.png", "written"), ("d.png", "written")], "only what is new or written anew"
    assert np.asarray(Image.open(tmp_path / "out" / "b.png")).max() == 7


def test_a_file_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.dcm", Sample(shape=(60, 60))).read_bytes()
    with watch(tmp_path, settle=0.6) as running, (tmp_path / "in" / "slow.dcm").open("wb") as slow:
        for start in range(0, len(whole), 1 + len(whole) // 8):
            slow.write(whole[start : start + 1 + len(whole) // 8])
            slow.flush()
            time.sleep(0.15)
            assert not running.outcomes
        until(lambda: running.outcomes)
        assert running.told == [("slow.dcm", "written")]


def test_a_copy_that_paused_for_long_is_tried_again(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.dcm", Sample(shape=(60, 60))).read_bytes()
    with watch(tmp_path) as running, (tmp_path / "in" / "slow.dcm").open("wb") as slow:
        slow.write(whole[:-1000])
        slow.flush()
        until(lambda: running.told == [("slow.dcm", "failed")])
        slow.write(whole[-1000:])
        slow.flush()
        until(lambda: len(running.outcomes) == 2)
        assert running.outcomes[1].status == "written"


def test_a_failure_is_told_once_and_a_full_disk_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "FIRST_PAUSE", 0.05)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.png").write_bytes(png(tmp_path / "x.png").read_bytes()[:45])

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with watch(tmp_path) as running:
        until(lambda: running.told == [("broken.png", "failed")])
        with monkeypatch.context() as patch:
            patch.setattr("xray_denoise.files.raster.write_pixels", full)
            png(tmp_path / "in" / "good.png")
            until(lambda: len(running.outcomes) > 2)
        until(lambda: ("good.png", "written") in running.told)
    with watch(tmp_path) as running:
        png(tmp_path / "in" / "other.png")
        until(lambda: running.outcomes)
    assert running.told == [("other.png", "written")]


def test_a_killed_watch_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed when a result had its name and the queue did not know: it is neither lost nor made again."""
    png(tmp_path / "in" / "a.png")
    png(tmp_path / "in" / "b.png")
    with watch(tmp_path) as running:
        until(lambda: len(running.outcomes) == 2)
    before = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.png")}
    import sqlite3

    with sqlite3.connect(tmp_path / "out" / QUEUE_NAME) as database:
        database.execute("UPDATE files SET state = 'waiting', attempts = 1")
    database.close()
    with watch(tmp_path) as running:
        until(lambda: len(running.outcomes) == 2)
    assert running.told == [("a.png", "skipped"), ("b.png", "skipped")]
    assert before == {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.png")}


def test_two_files_never_share_a_result(tmp_path: Path) -> None:
    with watch(tmp_path, naming=Naming("png"), file_format="png") as running:
        png(tmp_path / "in" / "a.png")
        until(lambda: running.outcomes)
        shutil.copy(png(tmp_path / "a.tif"), tmp_path / "in" / "a.tif")
        until(lambda: len(running.outcomes) == 2)
        assert running.told == [("a.png", "written"), ("a.tif", "failed")]
        assert "would both become" in running.outcomes[1].error


def test_results_inside_the_folder_are_no_inputs(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    running = Watch(tmp_path / "in", tmp_path / "in" / "out", Naming(), 0.1, {})
    png(tmp_path / "in" / "a.png")
    until(lambda: running.outcomes)
    time.sleep(0.5)
    running.end()
    assert running.told == [("a.png", "written")]


def test_what_cannot_be_watched(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stop = threading.Event()
    for folder, out in ((tmp_path / "none", tmp_path / "out"), (tmp_path / "in", tmp_path)):
        with pytest.raises(UsageError):
            WatchedFolder(folder, out, Naming(), lambda _: None, stop)  # type: ignore[arg-type, return-value]
    with watch(tmp_path), pytest.raises(CannotRunError, match="another process works in"):
        Watch(tmp_path / "in", tmp_path / "out", Naming(), 0.1, {})


def test_files_of_one_name_in_two_folders(tmp_path: Path) -> None:
    png(tmp_path / "in" / "1" / "a.png")
    png(tmp_path / "in" / "2" / "a.png")
    with watch(tmp_path) as running:
        until(lambda: len(running.outcomes) == 2)
    assert running.told == [("1/a.png", "written"), ("2/a.png", "written")]


def test_the_command_watches_until_it_is_told_to_stop(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png")
    command = [sys.executable, "-m", "xray_denoise", "denoise", "--watch", "in", "-o", "out", "--model", "noisy"]
    with started(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until((tmp_path / "out" / "a.png").exists)
        process.send_signal(signal.SIGTERM)
        said, explained = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.startswith("1: in/a.png -> out/a.png (")
    assert explained.splitlines()[0] == "watching in"
    assert explained.splitlines()[-1] == "1 written, 0 skipped, 0 failed"


@pytest.mark.parametrize(
    "wrong",
    ["in other", "in --dry-run", "in --report x.html", "in --model drunet", "in --shard 1/2", "in --cluster local"],
)
def test_what_goes_not_with_watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    from typer.testing import CliRunner

    from xray_denoise.cli import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    result = CliRunner().invoke(app, ["denoise", "--watch", "--model", "noisy", *wrong.split(), "-o", "out"])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2


def test_odd_names(tmp_path: Path) -> None:
    source = png(tmp_path / "a.png").read_bytes()
    with watch(tmp_path) as running:
        Path(os.fsdecode(bytes(tmp_path / "in") + b"/\xff'\n.png")).write_bytes(source)
        until(lambda: running.outcomes)
        assert running.outcomes[0].status == "written"


@pytest.mark.parametrize("folder", [".", "in", "../{}/in"])
def test_a_folder_by_a_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    if folder == ".":
        monkeypatch.chdir("in")
    given = Path(folder.format(tmp_path.name))
    running = Watch(given, tmp_path / "out", Naming(), 0.1, {})
    try:
        png(tmp_path / "first" / "a.png")
        time.sleep(0.5)  # it watches
        (tmp_path / "first").rename(tmp_path / "in" / "sub")
        until(lambda: running.outcomes)
    finally:
        running.end()
    assert running.told == [("sub/a.png", "written")]


def test_links_to_folders_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_denoise.node.watch.LOOK_SECONDS", 3600.0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "around").symlink_to(tmp_path, target_is_directory=True)
    with watch(tmp_path) as running:
        png(tmp_path / "in" / "a.png")
        until(lambda: running.outcomes)
        png(tmp_path / "elsewhere.png")
        (tmp_path / "in" / "more").symlink_to(tmp_path, target_is_directory=True)
        png(tmp_path / "in" / "b.png")
        until(lambda: len(running.outcomes) > 1)
    assert running.told == [("a.png", "written"), ("b.png", "written")]


def test_a_file_that_ends_the_process_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sources = [png(tmp_path / "in" / f"{number}.png") for number in range(4)]
    begun = []
    for _ in range(6):
        watched = WatchedFolder(tmp_path / "in", tmp_path / "out", Naming(), None, threading.Event())  # type: ignore[arg-type]
        for source in sources:
            if not begun:
                watched._queue(source, "stamp")
        begun.append([one.job.source.name for one in watched._begin()])
        watched._close()  # as if killed
    assert begun == [["0.png", "1.png", "2.png", "3.png"], ["0.png"], ["1.png"], ["2.png"], ["3.png"], ["0.png"]]


def test_a_picture_that_comes_first_ends_no_watch_with_options_for_dicom(tmp_path: Path) -> None:
    with watch(tmp_path, compression="rle") as running:
        Image.fromarray(np.full((20, 30), 90, np.uint8)).save(tmp_path / "in" / "a.png")
        until(lambda: running.told == [("a.png", "failed")])
        assert "is for DICOM results" in running.outcomes[0].error
        write(tmp_path / "in" / "b.dcm", Sample())
        until(lambda: ("b.dcm", "written") in running.told)


def test_the_queue_is_for_its_owner_only(tmp_path: Path) -> None:
    with watch(tmp_path):
        until((tmp_path / "out" / QUEUE_NAME).exists)
        assert (tmp_path / "out" / QUEUE_NAME).stat().st_mode & 0o077 == 0
