"""Commands that run until they are told to stop."""

import os
import signal
import threading
from typing import Any


def stopped_by_signals() -> threading.Event:
    """Is set by SIGTERM and Ctrl-C; a second one ends the process at once."""
    stop = threading.Event()

    def ask(number: int, _: Any) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return stop
