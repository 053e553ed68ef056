"""What a node tells: JSON lines without anything of a patient.

No name, number or date of a patient is told, and no identifier of a study, series or image, for these lead to the
patient in every archive. An object is called by the random name of its files in the spool. Texts of a peer are cut, and
JSON escapes them.
"""

import json
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

LONGEST_TEXT = 300
"""Characters of a text in a line."""


class Journal:
    """Tells events, one line each, in whole lines whichever thread tells them.

    Args:
        emit: takes a line without its end.
    """

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._lock = Lock()

    def tell_bug(self, error: BaseException) -> str:
        """Tell of an exception that nobody expected: where it was raised, but none of its text, which may quote a file.

        Returns:
            The same in words.
        """
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
        self.tell("bug", kind=type(error).__name__, places=places)
        return f"{type(error).__name__} at {places[-1] if places else '?'}"

    def tell(self, event: str, **facts: Any) -> None:
        """Tell an event; facts that are None are left out."""
        line: dict[str, Any] = {"time": datetime.now().astimezone().isoformat(timespec="milliseconds"), "event": event}
        for name, fact in facts.items():
            if fact is not None:
                line[name] = fact[:LONGEST_TEXT] if isinstance(fact, str) else fact
        with self._lock:
            self._emit(json.dumps(line))
