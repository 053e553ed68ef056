"""Commands that run until they are told to stop."""

import os
import signal
import threading
import time
from typing import Any

TWICE_SECONDS = 1.0
"""Signals that come closer together are one: `timeout` sends its own to the process and to its group."""


def stopped_by_signals() -> threading.Event:
    """Is set by SIGTERM and Ctrl-C; another one, a second later, ends the process at once."""
    stop = threading.Event()
    asked: list[float] = []

    def ask(number: int, _: Any) -> None:
        asked.append(time.monotonic())
        if asked[-1] - asked[0] > TWICE_SECONDS:
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return stop
