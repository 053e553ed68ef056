"""The spool loses nothing and makes nothing twice, whenever the process dies."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xray_denoise.errors import CannotRunError, UnwritableFileError
from xray_denoise.node import durable, spool
from xray_denoise.node.spool import Arrived, Spool

DESTINATIONS = ("a", "b")


class Killed(BaseException):
    """Stands for kill -9: nothing that the process would do afterwards is done."""


class Accomplice:
    """Counts what reaches the disk, and dies before the step with a given number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.dead = False
        for owner, name in (
            (spool, "sync_file"), (spool, "sync_folder"), (spool, "write_bytes"), (Path, "rename"), (Path, "unlink"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self.stepping(getattr(owner, name)))
        transaction = durable.Database.transaction
        monkeypatch.setattr(durable.Database, "transaction", self.stepping(transaction))

    def stepping(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if self.dead or self.left == 0:
                self.dead = True
                raise Killed
            self.left -= 1
            return call(*args, **kwargs)

        return step


def arrive(box: Spool, content: str) -> tuple[str, bool]:
    path = box.new_arrival()
    path.write_text(content)
    return box.admit(path, Arrived(content, "XR1", "1.2", "1.2.840.10008.1.2"))


def arrive_without_end(box: Spool) -> None:
    for number in range(200):
        arrive(box, str(number))


def work(box: Spool, brought: list[tuple[str, str]]) -> None:
    """Do what worker and forwarders do: every second object cannot be denoised, and goes out as it is."""
    while waiting := box.begin():
        content = box.original(waiting.name).read_text()
        if int(content) % 2:
            box.set_aside(waiting, {"reason": "odd"}, DESTINATIONS)
        else:
            box.result(waiting.name).write_text(content)
            box.forward(waiting, "result", DESTINATIONS)
    for destination in DESTINATIONS:
        for delivery in box.due(destination, 100):
            brought.append((destination, delivery.path.read_text()))
            box.delivered(delivery)


def abandon(box: Spool) -> None:
    """What the system does with a process that was killed: locks and connections end."""
    box.close()


def test_killed_before_any_step_everything_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four objects, one of them sent twice; killed at step 0, 1, 2 ... of all that touches the disk, then restarted."""
    accomplice = Accomplice(monkeypatch)
    step, finished = 0, False
    while not finished:
        folder, answered, brought = tmp_path / str(step), set(), []
        box = Spool(folder, "s")
        accomplice.left, accomplice.dead = step, False
        try:
            for content in ("0", "1", "2", "2", "3"):
                arrive(box, content)
                answered.add(content)
            work(box, brought)
            finished = True
        except Killed:
            pass
        accomplice.left, accomplice.dead = -1, False
        abandon(box)
        box = Spool(folder, "s")
        for content in {"0", "1", "2", "3"} - answered:  # its sender heard nothing, and sends it again
            arrive(box, content)
        work(box, brought)
        assert set(brought) == {(place, content) for place in DESTINATIONS for content in "0123"}, step
        assert len(brought) <= 8 + 1, "what was under way when it died is brought once more, and nothing else"
        assert not [*(folder / "objects").iterdir(), *(folder / "results").iterdir(), *(folder / "incoming").iterdir()]
        assert sorted(path.read_text() for path in (folder / "aside").glob("*.dcm")) == ["1", "3"]
        assert len(list((folder / "aside").glob("*.json"))) == 2
        assert box.counts() == {"received": 0, "forwarding": 0, "aside": 2, "done": 2}
        abandon(box)
        step += 1
    assert step > 40, "the steps were counted"


def test_an_object_is_known_again_until_it_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Spool(tmp_path / "spool", "one")
    first, new = arrive(box, "2")
    assert new
    assert arrive(box, "2") == (first, False)
    work(box, [])
    assert arrive(box, "2") == (first, False)
    abandon(box)
    box = Spool(tmp_path / "spool", "other options")
    assert arrive(box, "2")[1], "what was done with other options is another result"
    abandon(box)
    monkeypatch.setattr(spool, "REMEMBERED", -1.0)
    box = Spool(tmp_path / "spool", "one")
    assert box.counts()["done"] == 0
    abandon(box)


def test_an_object_that_somebody_took_away_is_new(tmp_path: Path) -> None:
    box = Spool(tmp_path, "")
    name, _ = arrive(box, "1")
    work(box, [])
    assert arrive(box, "1") == (name, False)
    (tmp_path / "aside" / f"{name}.dcm").unlink()
    assert arrive(box, "1")[1]
    abandon(box)


def test_one_spool_has_one_process(tmp_path: Path) -> None:
    box = Spool(tmp_path, "")
    with pytest.raises(CannotRunError, match="another process works in"):
        Spool(tmp_path, "")
    abandon(box)


def test_the_spool_is_for_its_owner_only(tmp_path: Path) -> None:
    abandon(Spool(tmp_path / "spool", ""))
    for folder in (tmp_path / "spool", tmp_path / "spool" / "objects", tmp_path / "spool" / "aside"):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_database_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(CannotRunError, match="is damaged"):
        Spool(tmp_path, "")
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableFileError, match="cannot make the folder"):
        Spool(tmp_path / "file", "")


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Spool(tmp_path, "")

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    for owner, name in ((spool, "sync_file"), (spool, "sync_folder")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            path = box.new_arrival()
            path.write_text("2")
            with pytest.raises(OSError, match="No space"):
                box.admit(path, Arrived("2", "XR1", "1.2", "1.2"))
            path.unlink(missing_ok=True)
    box._database._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.Error, match="full"):
        arrive_without_end(box)
    files = {path.stem for path in (tmp_path / "objects").iterdir()}
    assert files == {row["name"] for row in box._database.rows("SELECT name FROM objects")}
    abandon(box)


def test_pauses_grow_up_to_a_limit() -> None:
    pauses = [durable.pause(failures) for failures in range(1, 1100)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses == sorted(pauses)
    assert pauses[-1] == durable.LONGEST_PAUSE


def test_what_is_on_its_way_aside_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forwarder that looks while the file moves must not be given its old name."""
    box = Spool(tmp_path / "spool", "settings")
    arrive(box, "1")
    move, found = Spool._move_aside, []
    looks = threading.Thread(target=lambda: found.extend(delivery.path for delivery in box.due("a", 10)))

    def move_late(self: Spool, name: str) -> None:
        looks.start()
        looks.join(0.2)
        move(self, name)

    monkeypatch.setattr(Spool, "_move_aside", move_late)
    waiting = box.begin()
    assert waiting
    box.set_aside(waiting, {}, ["a"])
    looks.join(10)
    assert [path.read_text() for path in found] == ["1"]
    box.close()
