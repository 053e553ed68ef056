"""The forwarder: brings what is done to one destination, again and again until it is there."""

import sqlite3
import threading
from contextlib import closing

from xray_denoise.node.destinations import Destination, DownError
from xray_denoise.node.durable import pause
from xray_denoise.node.journal import Journal
from xray_denoise.node.metrics import Metrics
from xray_denoise.node.spool import Delivery, Spool

AT_ONCE = 16
"""Objects that are brought in one association."""
IDLE_SECONDS = 1.0
"""Between two looks into a spool where nothing is due."""


class Forwarder(threading.Thread):
    """Works until `stop` is set; what it is sending by then is finished.

    Where the destination is down, everything for it waits, and longer each time. Where it refuses an object, that one
    waits.
    """

    def __init__(
        self, destination: Destination, spool: Spool, journal: Journal, metrics: Metrics, stop: threading.Event
    ) -> None:
        super().__init__(name=f"to {destination.name}", daemon=True)
        self._destination, self._spool, self._journal, self._metrics = destination, spool, journal, metrics
        self._stop_asked = stop
        self._failures = 0

    def run(self) -> None:
        """Work off what is due."""
        while not self._stop_asked.is_set():
            try:
                deliveries = self._present(self._spool.due(self._destination.name, AT_ONCE))
                if not deliveries:
                    self._spool.wait(IDLE_SECONDS)
                    continue
                self._bring(deliveries)
            except DownError as error:
                self._wait(str(error))
            except (OSError, sqlite3.Error) as error:  # of our own disk
                self._wait(f"the spool: {type(error).__name__}")
            except Exception as error:  # a bug must not end this thread: the queue would grow unseen
                self._wait(self._journal.tell_bug(error))

    def _present(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Those whose files are there; somebody has taken the others away."""
        for delivery in deliveries:
            if not delivery.path.exists():
                self._journal.tell("missing", object=delivery.name, destination=self._destination.name)
                self._spool.delivered(delivery)
        return [delivery for delivery in deliveries if delivery.path.exists()]

    def _bring(self, deliveries: list[Delivery]) -> None:
        with closing(self._destination.send(deliveries)) as answers:
            for delivery, problem in answers:
                if problem:
                    seconds = self._spool.postpone(delivery)
                    self._tell_failure(problem, seconds, delivery.name)
                else:
                    self._spool.delivered(delivery)
                    self._metrics.delivered.labels(self._destination.name).inc()
                    self._journal.tell("delivered", object=delivery.name, destination=self._destination.name)
                self._failures = 0
                if self._stop_asked.is_set():
                    return

    def _wait(self, problem: str) -> None:
        self._failures += 1
        seconds = pause(self._failures)
        self._tell_failure(problem, seconds)
        self._stop_asked.wait(seconds)

    def _tell_failure(self, problem: str, seconds: float, name: str | None = None) -> None:
        self._metrics.failed.labels(self._destination.name).inc()
        self._journal.tell(
            "not delivered", object=name, destination=self._destination.name, reason=problem, seconds=seconds
        )
