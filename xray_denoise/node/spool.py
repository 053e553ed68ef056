"""The spool: a folder that holds every object from its arrival until the last destination has it.

    incoming/NAME.part    what is arriving; never answered with Success, so that it goes at the next start
    objects/NAME.dcm      an object as it was received
    results/NAME.dcm      its result
    aside/NAME.dcm, .json an object that could not be denoised, and why
    spool.sqlite          the state of each; it is the truth, and files follow it

A file is on the disk before the database names it, and is removed only after the database has let go of it. So a kill
at any moment leaves either a file that nobody names, which goes at the next start, or work that is done once more.
Names are random: nothing of a peer or a patient is in them.
"""

import json
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xray_denoise.errors import UnwritableFileError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.node.durable import Database, lock_folder, pause, sync_file, sync_folder

REMEMBERED = 7 * 24 * 3600.0
"""Seconds for which an object that was delivered is known again."""
FOLDERS = ("incoming", "objects", "results", "aside")
SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, content TEXT NOT NULL, calling_ae TEXT NOT NULL,
    settings TEXT NOT NULL, sop_class TEXT NOT NULL, syntax TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('received', 'forwarding', 'aside', 'done')),
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0, received REAL NOT NULL, finished REAL);
CREATE INDEX IF NOT EXISTS objects_by_content ON objects (content);
CREATE INDEX IF NOT EXISTS objects_by_state ON objects (state, attempts, id);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, object INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE,
    what TEXT NOT NULL CHECK (what IN ('result', 'original')), destination TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0, delivered REAL);
CREATE INDEX IF NOT EXISTS deliveries_by_object ON deliveries (object);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (destination, due) WHERE delivered IS NULL;
"""
What = Literal["result", "original"]


@dataclass(frozen=True, slots=True)
class Arrived:
    """What is known of an object when it arrives."""

    content: str
    """SHA-256 of its data set, and of all else that makes it another object."""
    calling_ae: str
    sop_class: str
    syntax: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """An object that waits to be denoised."""

    id: int
    name: str
    calling_ae: str
    attempts: int
    """How often it was begun, this time included."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An object on its way to a destination."""

    id: int
    object: int
    name: str
    path: Path
    attempts: int
    """Failures so far."""


class Spool:
    """The folder and its database; safe to share between threads, and locked against other processes.

    Args:
        folder: is made where it is not there, for its owner only.
        settings: stands for all that decides what becomes of an object: what was done under other settings does not
            count when the object comes again.

    Raises:
        CannotRunError: another process uses it, or it is damaged.
        UnwritableFileError: it cannot be made or written.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.changed = threading.Condition()
        """Is notified when there is something new to do."""
        try:
            for place in (folder, *(folder / name for name in FOLDERS)):
                place.mkdir(mode=0o700, parents=place == folder, exist_ok=True)
        except OSError as error:
            raise UnwritableFileError(
                f"cannot make the folder {{path}}: {error.strerror}", path=folder, hint="choose another", option="spool"
            ) from error
        self._moving = threading.Lock()
        """Is held from the record that an object is kept aside until its file is there."""
        self._lock = lock_folder(folder, "the spool", "lock")
        try:
            self._database = Database(folder / "spool.sqlite", SCHEMA)
            self._recover()
        except BaseException:
            if self._lock is not None:
                os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the database, and let others use the folder."""
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def free_bytes(self) -> int:
        """Room on the disk of the spool."""
        return shutil.disk_usage(self.folder).free

    def new_arrival(self) -> Path:
        """Where the next object is written while it arrives."""
        return self.folder / "incoming" / f"{secrets.token_hex(8)}.part"

    def admit(self, arriving: Path, arrived: Arrived) -> tuple[str, bool]:
        """Take over an object that is complete; it is on the disk, with its name, when this returns.

        Args:
            arriving: its file, which was made by `new_arrival`.
            arrived: what is known of it.

        Returns:
            Its name, and whether it is new; one that is known already is dropped, and the name is that of the first.

        Raises:
            OSError: the disk is full, or fails. Nothing is left of the object.
            sqlite3.Error: likewise.
        """
        name = arriving.stem
        home = self.folder / "objects" / f"{name}.dcm"
        try:
            sync_file(arriving)
            arriving.rename(home)
            sync_folder(home.parent)
            with self._database.transaction() as database:
                known = database.execute(
                    "SELECT name, state FROM objects WHERE content = ?"
                    " AND (state = 'received' OR settings = ?)"
                    " ORDER BY id DESC LIMIT 1",
                    (arrived.content, self.settings),
                ).fetchone()
                if known is not None and known["state"] == "aside" and not self.original(known["name"]).exists():
                    known = None  # somebody has taken it away, and this one is a new try
                if known is None:
                    database.execute(
                        "INSERT INTO objects (name, content, calling_ae, settings, sop_class, syntax, state, received)"
                        " VALUES (?, ?, ?, ?, ?, ?, 'received', ?)",
                        (name, arrived.content, arrived.calling_ae, self.settings, arrived.sop_class, arrived.syntax,
                         time.time()),
                    )  # fmt: skip
        except (OSError, sqlite3.Error):
            if not self._is_named(name):
                home.unlink(missing_ok=True)
            raise
        if known is not None:
            home.unlink(missing_ok=True)
            return known["name"], False
        self.wake()
        return name, True

    def _is_named(self, name: str) -> bool:
        """Whether the database knows an object; if it cannot tell, the next start will clear up."""
        try:
            return bool(self._database.rows("SELECT 1 FROM objects WHERE name = ?", name))
        except sqlite3.Error:
            return True

    def begin(self) -> Waiting | None:
        """The next object to denoise, counted as begun; None where none is due. Those begun before come last.

        Raises:
            sqlite3.Error: the disk is full, or fails.
        """
        with self._database.transaction() as database:
            row = database.execute(
                "SELECT id, name, calling_ae, attempts FROM objects WHERE state = 'received' AND due <= ?"
                " ORDER BY attempts, id LIMIT 1",
                (time.time(),),
            ).fetchone()
            if row is None:
                return None
            database.execute("UPDATE objects SET attempts = attempts + 1 WHERE id = ?", (row["id"],))
        return Waiting(row["id"], row["name"], row["calling_ae"], row["attempts"] + 1)

    def put_back(self, waiting: Waiting, seconds: float = 0.0) -> None:
        """Let an object wait again that was begun and not denoised for no fault of its own.

        Raises:
            sqlite3.Error: the disk is full, or fails.
        """
        with self._database.transaction() as database:
            database.execute(
                "UPDATE objects SET attempts = attempts - 1, due = ? WHERE id = ?", (time.time() + seconds, waiting.id)
            )

    def original(self, name: str) -> Path:
        """Where an object as it was received lies."""
        aside = self.folder / "aside" / f"{name}.dcm"
        return aside if aside.exists() else self.folder / "objects" / f"{name}.dcm"

    def result(self, name: str) -> Path:
        """Where the result of an object lies, or is to be written."""
        return self.folder / "results" / f"{name}.dcm"

    def forward(self, waiting: Waiting, what: What, destinations: Sequence[str]) -> None:
        """Record that an object is denoised, or is passed on, and where to.

        Raises:
            OSError: its file cannot be brought to the disk.
            sqlite3.Error: the disk is full, or fails.
        """
        if what == "result":
            sync_file(self.result(waiting.name))
            sync_folder(self.folder / "results")
        with self._database.transaction() as database:
            _address(database, waiting.id, what, destinations)
            database.execute("UPDATE objects SET state = 'forwarding' WHERE id = ?", (waiting.id,))
        if what == "result":
            (self.folder / "objects" / f"{waiting.name}.dcm").unlink(missing_ok=True)
        self.wake()

    def set_aside(self, waiting: Waiting, reason: dict[str, Any], destinations: Sequence[str]) -> None:
        """Keep an object aside that cannot be denoised.

        Args:
            waiting: the object.
            reason: why, values of JSON.
            destinations: those that are to have it as it is.

        Raises:
            OSError: the disk is full, or fails.
            sqlite3.Error: likewise.
        """
        note = self.folder / "aside" / f"{waiting.name}.json"
        try:
            write_bytes(json.dumps(reason, indent=1).encode() + b"\n", note)
        except UnwritableFileError as error:
            raise OSError(str(error)) from error
        sync_file(note)
        with self._moving:
            with self._database.transaction() as database:
                _address(database, waiting.id, "original", destinations)
                database.execute(
                    "UPDATE objects SET state = 'aside', finished = ? WHERE id = ?", (time.time(), waiting.id)
                )
            self._move_aside(waiting.name)
        self.wake()

    def due(self, destination: str, most: int) -> list[Delivery]:
        """What a destination should get now, in the order of arrival but for what failed before."""
        with self._moving:
            rows = self._database.rows(
                "SELECT d.id, d.object, d.what, d.attempts, o.name FROM deliveries d JOIN objects o ON o.id = d.object"
                " WHERE d.destination = ? AND d.delivered IS NULL AND d.due <= ? ORDER BY d.due, d.id LIMIT ?",
                destination, time.time(), most,
            )  # fmt: skip
        return [
            Delivery(
                row["id"],
                row["object"],
                row["name"],
                self.result(row["name"]) if row["what"] == "result" else self.original(row["name"]),
                row["attempts"],
            )
            for row in rows
        ]

    def delivered(self, delivery: Delivery) -> None:
        """Record that a destination has an object; when all have it, its files go.

        Raises:
            sqlite3.Error: the disk is full, or fails.
        """
        now = time.time()
        with self._database.transaction() as database:
            database.execute("UPDATE deliveries SET delivered = ? WHERE id = ?", (now, delivery.id))
            ended = database.execute(
                "UPDATE objects SET state = 'done', finished = ? WHERE id = ? AND state = 'forwarding' AND NOT EXISTS"
                " (SELECT 1 FROM deliveries WHERE object = objects.id AND delivered IS NULL)",
                (now, delivery.object),
            ).rowcount
        if ended:
            self._remove(delivery.name)

    def postpone(self, delivery: Delivery) -> float:
        """Count a failure of one object, and try it again later; returns the seconds until then.

        Raises:
            sqlite3.Error: the disk is full, or fails.
        """
        seconds = pause(delivery.attempts + 1)
        with self._database.transaction() as database:
            database.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due = ? WHERE id = ?",
                (time.time() + seconds, delivery.id),
            )
        return seconds

    def counts(self) -> dict[str, int]:
        """Objects in each state."""
        rows = self._database.rows("SELECT state, COUNT(*) AS n FROM objects GROUP BY state")
        return dict.fromkeys(("received", "forwarding", "aside", "done"), 0) | {row["state"]: row["n"] for row in rows}

    def waiting_deliveries(self) -> dict[str, tuple[int, float]]:
        """For each destination that waits for objects how many, and when the first of these was received (seconds)."""
        rows = self._database.rows(
            "SELECT d.destination, COUNT(*) AS n, MIN(o.received) AS first FROM deliveries d"
            " JOIN objects o ON o.id = d.object WHERE d.delivered IS NULL GROUP BY d.destination"
        )
        return {row["destination"]: (row["n"], row["first"]) for row in rows}

    def forget(self) -> None:
        """Drop the record of what was delivered long ago.

        Raises:
            sqlite3.Error: the disk is full, or fails.
        """
        with self._database.transaction() as database:
            database.execute("DELETE FROM objects WHERE state = 'done' AND finished < ?", (time.time() - REMEMBERED,))

    def wait(self, seconds: float) -> None:
        """Wait until there may be something to do, at most so long."""
        with self.changed:
            self.changed.wait(seconds)

    def wake(self) -> None:
        """End the waiting of all threads."""
        with self.changed:
            self.changed.notify_all()

    def _recover(self) -> None:
        """Finish what a kill has interrupted: files follow the database."""
        for path in (self.folder / "incoming").iterdir():
            path.unlink()
        for row in self._database.rows("SELECT name FROM objects WHERE state = 'aside'"):
            self._move_aside(row["name"])
        owned = {"objects": self._named("original", "received"), "results": self._named("result")}
        for place, names in owned.items():
            for path in (self.folder / place).iterdir():
                if path.stem not in names:
                    path.unlink()
        self.forget()

    def _named(self, what: What, *states: str) -> set[str]:
        """Objects of which a file is needed: for a delivery, or by their state."""
        rows = self._database.rows(
            "SELECT DISTINCT o.name FROM objects o JOIN deliveries d ON d.object = o.id"
            " WHERE o.state = 'forwarding' AND d.what = ? AND d.delivered IS NULL",
            what,
        )
        for state in states:
            rows += self._database.rows("SELECT name FROM objects WHERE state = ?", state)
        return {row["name"] for row in rows}

    def _move_aside(self, name: str) -> None:
        home = self.folder / "objects" / f"{name}.dcm"
        with suppress(FileNotFoundError):
            home.rename(self.folder / "aside" / f"{name}.dcm")
            sync_folder(self.folder / "aside")
        self.result(name).unlink(missing_ok=True)

    def _remove(self, name: str) -> None:
        for place in ("objects", "results"):
            (self.folder / place / f"{name}.dcm").unlink(missing_ok=True)


def _address(database: sqlite3.Connection, number: int, what: What, destinations: Sequence[str]) -> None:
    database.executemany(
        "INSERT INTO deliveries (object, what, destination) VALUES (?, ?, ?)",
        [(number, what, destination) for destination in destinations],
    )
