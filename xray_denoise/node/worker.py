"""The worker: denoises what waits in the spool, one object after another, by the very path of `denoise`."""

import errno
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from xray_denoise.denoisers import Denoiser
from xray_denoise.errors import UnreadableFileError, XrayDenoiseError
from xray_denoise.node.durable import MOST_STARTS, pause
from xray_denoise.node.heads import facts_of
from xray_denoise.node.journal import Journal
from xray_denoise.node.metrics import Metrics
from xray_denoise.node.rules import Rules, Treatment
from xray_denoise.node.spool import Spool, Waiting
from xray_denoise.tasks import noise_words
from xray_denoise.tasks.denoise import denoise_file

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors that a full disk makes."""
IDLE_SECONDS = 1.0
"""Between two looks into a spool where nothing waits."""


class Worker(threading.Thread):
    """Works until `stop` is set; what it is at by then is finished.

    Args:
        spool: has the objects.
        journal: is told what becomes of them.
        metrics: counts it.
        rules: say what becomes of an object.
        models: every model that the rules name, loaded.
        forward_originals: whether what cannot be denoised is passed on as it is.
        stop: ends the thread.
    """

    def __init__(
        self,
        spool: Spool,
        journal: Journal,
        metrics: Metrics,
        *,
        rules: Rules,
        models: Mapping[str, Denoiser],
        forward_originals: bool,
        stop: threading.Event,
    ) -> None:
        super().__init__(name="worker", daemon=True)
        self._spool, self._journal, self._metrics = spool, journal, metrics
        self._rules, self._models, self._forward_originals = rules, models, forward_originals
        self._stop_asked = stop
        self._failures = 0
        self.at_work: Waiting | None = None
        """What is being denoised."""

    def run(self) -> None:
        """Work off the spool."""
        while not self._stop_asked.is_set():
            try:
                self.at_work = self._spool.begin()
                if self.at_work is None:
                    self._spool.wait(IDLE_SECONDS)
                    continue
                self._treat(self.at_work)
                self._failures = 0
            except (OSError, sqlite3.Error) as error:  # of the disk: nothing is wrong with the object
                self._wait_for_the_disk(error)
            finally:
                self.at_work = None

    def _wait_for_the_disk(self, error: OSError | sqlite3.Error) -> None:
        self._failures += 1
        seconds = pause(self._failures)
        self._metrics.retried.inc()
        self._journal.tell("retry", object=self.at_work and self.at_work.name, reason=_of_disk(error), seconds=seconds)
        full = isinstance(error, sqlite3.Error) or error.errno in FULL
        if self.at_work is not None and full:  # else it may be this object that cannot be read: it counts as begun
            with suppress(sqlite3.Error):
                self._spool.put_back(self.at_work, seconds)
        self._stop_asked.wait(seconds)

    def _treat(self, waiting: Waiting) -> None:
        """Denoise an object, pass it on, or keep it aside.

        Raises:
            OSError: the disk is full, or fails.
            sqlite3.Error: likewise.
        """
        treatment = self._rules.default
        if waiting.attempts > MOST_STARTS:
            reason = f"the node ended {MOST_STARTS} times while it denoised this"
            self._set_aside(waiting, "unfinished", reason, treatment)
            return
        source = self._spool.original(waiting.name)
        try:
            facts, ours = facts_of(source, waiting.calling_ae)
            treatment = self._rules.treatment(facts)
            if ours or treatment.action == "pass":
                self._spool.forward(waiting, "original", treatment.destinations)
                self._metrics.passed.inc()
                self._journal.tell("passed", object=waiting.name, reason="made by xray-denoise" if ours else "rule")
                return
            self._denoise(waiting, source, treatment)
        except XrayDenoiseError as error:
            if isinstance(error.__cause__, OSError) and not isinstance(error, UnreadableFileError):
                raise OSError(error.__cause__.errno, error.__cause__.strerror) from error
            self._set_aside(waiting, error.kind, error.anonymous, treatment, error.hint)
        except (OSError, sqlite3.Error):
            raise
        except Exception as error:  # a bug must cost this object only
            self._set_aside(waiting, "bug", self._journal.tell_bug(error), treatment, "please report it")

    def _denoise(self, waiting: Waiting, source: Path, treatment: Treatment) -> None:
        start = time.perf_counter()
        model = self._models[treatment.model]
        outcome = denoise_file(
            source, self._spool.result(waiting.name), model=model, strength=treatment.strength, existing="overwrite"
        )
        self._spool.forward(waiting, "result", treatment.destinations)
        seconds = time.perf_counter() - start
        self._metrics.denoised.labels(model.name).inc()
        self._metrics.seconds.observe(seconds)
        noise = outcome.noise and round(noise_words.deviation_at_mid_grey(outcome.noise), 3)
        self._journal.tell(
            "denoised",
            object=waiting.name,
            model=model.name,
            strength=outcome.remarks.strength if outcome.remarks else None,
            noise=noise,
            removed=None if outcome.removed_grey is None else round(outcome.removed_grey, 3),
            seconds=round(seconds, 3),
        )

    def _set_aside(self, waiting: Waiting, kind: str, reason: str, treatment: Treatment, hint: str = "") -> None:
        destinations: Sequence[str] = treatment.destinations if self._forward_originals else ()
        facts: dict[str, Any] = {"object": waiting.name, "kind": kind, "reason": reason, "hint": hint}
        self._spool.set_aside(waiting, {**facts, "calling_ae": waiting.calling_ae}, destinations)
        self._metrics.set_aside.labels(kind).inc()
        self._journal.tell("kept aside", **facts)


def _of_disk(error: OSError | sqlite3.Error) -> str:
    """What the system says, without the name of a file."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
