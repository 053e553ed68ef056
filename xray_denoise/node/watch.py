"""`denoise --watch`: denoise what comes into a folder, each file once it is whole, and not again after a restart.

    FOLDER -> changed files (watchfiles, and a look at all of them now and then) -> those that have settled -> a queue
           -> the stages of `denoise` -> OUT, with its manifest

The queue is an SQLite file in OUT. A file is known by its path, size and time of change: one that is written anew is
denoised anew. Being whole is seen by the same size and time for a while; a copy that pauses longer than that cannot be
read, and is tried again when it has grown.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from xray_denoise.errors import CannotRunError, UnreadableFileError, UnwritableFileError, UsageError
from xray_denoise.extras import require
from xray_denoise.files.atomic import remove_abandoned
from xray_denoise.files.folders import is_wanted, make_folder, true_path
from xray_denoise.node.durable import MOST_STARTS, Database, lock_folder, pause
from xray_denoise.tasks import denoise_log
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.denoise_run import Batch
from xray_denoise.tasks.jobs import MANIFEST_NAME, NOISE_MAP_SUFFIX, UNCERTAINTY_SUFFIX, Job
from xray_denoise.tasks.naming import Naming
from xray_denoise.tasks.outcome import Outcome, failed

SETTLE_SECONDS = 2.0
"""A file that has kept its size and time of change for so long is taken for whole."""
LOOK_SECONDS = 30.0
"""Between two looks at all files: on network shares the system tells of no change that another machine has made."""
STEP_SECONDS = 0.5
"""Between two looks at what has not settled yet."""
FOR_SOME = ("compression", "private", "bits")
"""Options that are for DICOM results, or for pictures, only."""
AT_ONCE = 8
"""Files whose stages overlap."""
QUEUE_NAME, LOCK_NAME = ".xray-denoise-watch.sqlite", ".xray-denoise-watch.lock"
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, stamp TEXT NOT NULL, target BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'failed', 'left')),
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS files_by_state ON files (state, attempts);
CREATE INDEX IF NOT EXISTS files_by_target ON files (target);
"""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A file that is being denoised."""

    id: int
    job: Job
    failures: int
    """How often it was begun before and came to no end."""


class WatchedFolder:
    """A folder, the queue of its files, and what becomes of them.

    Args:
        folder: is watched, to its bottom.
        output: folder of the results; is made where it is not there, and is not watched.
        naming: of the results.
        plan: plans a run for a file; it is called once, with the first one, and says what is done to all.
        stop: ends the watching; what is being denoised is finished.
        settle: seconds for which a file must not change.

    Raises:
        UsageError: it is no folder, or lies in that of the results.
        CannotRunError: a package is missing, or another process watches into the same output.
        UnwritableFileError: the output cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        output: Path,
        naming: Naming,
        plan: Callable[[Path], Batch],
        stop: threading.Event,
        *,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        require("watchfiles", "serve", "watching a folder")
        if not folder.is_dir():
            raise UsageError("{path} is no folder to watch", path=folder, hint="give one folder")
        if true_path(folder).is_relative_to(true_path(output)):
            raise UsageError(
                "the folder {path} lies in that of the results",
                path=folder,
                hint="choose another output",
                option="target",
            )
        make_folder(output)
        self.folder, self.output = folder, output
        self.batch: Batch | None = None
        """The run; None before the first file."""
        self._naming, self._plan, self._stop, self._settle = naming, plan, stop, settle
        self._results = true_path(output)
        self._lock = lock_folder(output, "the results", LOCK_NAME)
        self._database = Database(output / QUEUE_NAME, SCHEMA)
        self._unsettled: dict[Path, tuple[str, float]] = {}
        self._refused: list[Outcome] = []
        self._told = 0

    def outcomes(self) -> Iterator[Outcome]:
        """What became of each file, as it comes, until `stop` is set."""
        with ExitStack() as at_the_end:
            at_the_end.callback(self._close)
            look = 0.0
            for changed in self._changes():
                if time.monotonic() >= look or self.folder in changed:
                    self._consider(_files_in(self.folder))
                    look = time.monotonic() + LOOK_SECONDS
                else:
                    for path in changed:
                        self._consider(_files_in(path))
                self._take_settled()
                yield from self._denoised()

    def _changes(self) -> Iterator[list[Path]]:
        """What has changed, every now and then; the folder itself where that is not known.

        Raises:
            CannotRunError: the system watches no more folders.
        """
        from watchfiles import watch

        step = int(1000 * min(STEP_SECONDS, self._settle))
        while not self._stop.is_set():
            try:
                for changes in watch(
                    self.folder,
                    stop_event=self._stop,
                    debounce=200,
                    step=50,
                    rust_timeout=step,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                ):
                    yield list({self._own_name(name) for _, name in changes})
            except OSError as error:
                raise CannotRunError(
                    f"the system cannot watch {{path}}: {error.strerror or type(error).__name__}",
                    path=self.folder,
                    hint="raise its limit, on Linux fs.inotify.max_user_watches",
                ) from error
            except RuntimeError:  # a name that is no text: it is found by looking at all of them
                yield [self.folder]

    def _own_name(self, name: str) -> Path:
        """The name of a changed file below `folder` as that was given: the system tells absolute names.

        The folder itself, to look at all, for a name that leads through a link to a folder: the system follows such
        links, and then tells no other name of the file; this program follows none.
        """
        base = self.folder if Path(name).is_relative_to(self.folder) else self.folder.absolute()
        if not Path(name).is_relative_to(base):
            return self.folder
        path = self.folder / Path(name).relative_to(base)
        below = [path, *path.parents][: len(path.relative_to(self.folder).parts)]
        return self.folder if any(one.is_symlink() and one.is_dir() for one in below) else path

    def _close(self) -> None:
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)
        if self.batch is not None and self.batch.log:
            self.batch.log.close()

    def _consider(self, paths: Iterable[Path]) -> None:
        """Have an eye on files that are not known as they are now."""
        for path in paths:
            stamp = _stamp(path)
            if stamp and path not in self._unsettled and not self._is_known(path, stamp):
                self._unsettled[path] = (stamp, time.monotonic())

    def _is_known(self, path: Path, stamp: str) -> bool:
        return bool(self._database.rows("SELECT 1 FROM files WHERE path = ? AND stamp = ?", self._inside(path), stamp))

    def _inside(self, path: Path) -> bytes:
        return os.fsencode(path.relative_to(self.folder))

    def _take_settled(self) -> None:
        """Queue the files that have not changed for a while."""
        now = time.monotonic()
        for path, (stamp, since) in list(self._unsettled.items()):
            found = _stamp(path)
            if found and found != stamp:
                self._unsettled[path] = (found, now)
            elif not found or now - since >= self._settle:
                del self._unsettled[path]
                if found:
                    self._queue(path, stamp)

    def _is_input(self, path: Path) -> bool:
        if path.name == MANIFEST_NAME or path.name.endswith((NOISE_MAP_SUFFIX, UNCERTAINTY_SUFFIX)):
            return False
        return not true_path(path).is_relative_to(self._results) and is_wanted(path)

    def _queue(self, path: Path, stamp: str) -> None:
        """Remember a file, and have it denoised if it is a radiograph."""
        inside = path.relative_to(self.folder)
        job = Job(path, self.output / inside.with_name(self._naming.of(path)))
        source, target = self._inside(path), os.fsencode(job.target.relative_to(self.output))
        state = "waiting" if self._is_input(path) else "left"
        with self._database.transaction() as database:
            other = database.execute(
                "SELECT path FROM files WHERE target = ? AND path != ? AND state IN ('waiting', 'done')",
                (target, source),
            ).fetchone()
            if state == "waiting" and other is not None:
                state = "failed"
                self._refused.append(failed(job, _one_result(self.folder / os.fsdecode(other["path"]), job)))
            database.execute(
                "INSERT OR REPLACE INTO files (path, stamp, target, state) VALUES (?, ?, ?, ?)",
                (source, stamp, target, state),
            )

    def _denoised(self) -> Iterator[Outcome]:
        """Denoise what waits, and give the outcomes."""
        while self._refused:
            yield self._noted(self._refused.pop(0))
        while not self._stop.is_set() and (begun := self._begin()):
            try:
                options = self._planned(begun).options
            except UsageError as error:  # an option that is for other files than the first one
                if error.option not in FOR_SOME:
                    raise
                self._set(begun[0], "failed", 0.0, 0)
                yield self._noted(failed(begun.pop(0).job, error))
                for one in begun:
                    self._set(one, "waiting", 0.0, one.failures)
                continue
            with closing(run_jobs([one.job for one in begun], options)) as running:
                for outcome in running:
                    self._end(begun.pop(0), outcome)
                    yield self._noted(outcome)
                    if self._stop.is_set():
                        break
            for one in begun:
                self._set(one, "waiting", 0.0, one.failures)

    def _planned(self, begun: list[_Begun]) -> Batch:
        if self.batch is None:
            self.batch = self._plan(begun[0].job.source)
            if self.batch.log:
                self.batch.log.open()
        remove_abandoned(one.job.target.parent for one in begun)
        return self.batch

    def _begin(self) -> list[_Begun]:
        """What is to be denoised next, counted as begun.

        Those that were begun before come last and alone: if one of them ends the process, it costs no other a start.
        """
        with self._database.transaction() as database:
            rows = database.execute(
                "SELECT id, path, target, attempts FROM files WHERE state = 'waiting' AND due <= ?"
                " ORDER BY attempts, id LIMIT ?",
                (time.time(), AT_ONCE),
            ).fetchall()
            rows = [row for row in rows if not row["attempts"]] or rows[:1]
            found = [
                _Begun(
                    row["id"],
                    Job(self.folder / os.fsdecode(row["path"]), self.output / os.fsdecode(row["target"])),
                    row["attempts"],
                )
                for row in rows
            ]
            database.executemany("UPDATE files SET attempts = attempts + 1 WHERE id = ?", [(one.id,) for one in found])
        for one in found:
            if one.failures >= MOST_STARTS:
                self._set(one, "failed", 0.0, one.failures)
                self._refused.append(failed(one.job, _unfinished(one.job)))
        return [one for one in found if one.failures < MOST_STARTS]

    def _end(self, begun: _Begun, outcome: Outcome) -> None:
        """Record what became of a file; a disk that is full is no fault of the file."""
        failure = outcome.failure
        if isinstance(failure, UnwritableFileError) and isinstance(failure.__cause__, OSError):
            self._set(begun, "waiting", time.time() + pause(begun.failures + 1), begun.failures)
        else:
            self._set(begun, "failed" if failure else "done", 0.0, 0)

    def _set(self, begun: _Begun, state: str, due: float, attempts: int) -> None:
        with self._database.transaction() as database:
            database.execute(
                "UPDATE files SET state = ?, due = ?, attempts = ? WHERE id = ?", (state, due, attempts, begun.id)
            )

    def _noted(self, outcome: Outcome) -> Outcome:
        self._told += 1
        outcome = replace(outcome, number=self._told)
        if self.batch is not None and self.batch.log:
            self.batch.log.add(denoise_log.record(outcome, self.batch.device), outcome.finished)
        return outcome


def _files_in(path: Path) -> Iterator[Path]:
    """The files of a folder, to its bottom; of a file, itself."""
    if not path.is_dir():
        return iter([path])
    return (Path(parent, name) for parent, _, names in os.walk(path) for name in names)


def _one_result(other: Path, job: Job) -> UsageError:
    return UsageError(
        f"{other} and {{path}} would both become {job.target}", path=job.source, hint="rename one of them"
    )


def _unfinished(job: Job) -> UnreadableFileError:
    return UnreadableFileError(
        f"the program ended {MOST_STARTS} times while it denoised {{path}}", path=job.source, hint="please report it"
    )


def _stamp(path: Path) -> str:
    """What changes when a file is written; empty where there is no file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}" if path.is_file() else ""
