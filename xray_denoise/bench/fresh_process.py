"""Run a function in a fresh process, so that its time and its memory are its own."""

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from xray_denoise.errors import CannotRunError, XrayDenoiseError

T = TypeVar("T")
START = f"import pickle, sys; sys.path = pickle.load(sys.stdin.buffer); from {__name__} import _answer; _answer()"


def in_fresh_process(work: Callable[[], T]) -> T:
    """What `work()` returns in a new interpreter, which is ended afterwards, also after an interrupt.

    Args:
        work: can be pickled, and so can what it returns; both belong to modules that can be imported.

    Raises:
        XrayDenoiseError: what `work` raised.
        CannotRunError: the process ended without an answer.
    """
    command = [sys.executable, "-c", START]
    given = pickle.dumps(sys.path) + pickle.dumps(work)
    # in a session of its own the process never sees Ctrl-C, and is ended by us
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)  # noqa: S603
    try:
        answer, _ = running.communicate(given)
    finally:
        running.kill()
        status = running.wait()
    if status:
        ending = f"signal {-status}" if status < 0 else f"exit status {status}"
        raise CannotRunError(
            f"the measuring process ended by itself ({ending})",
            hint="it may have run out of memory: close other programs, or choose smaller images",
        )
    result, error = pickle.loads(answer)  # noqa: S301 - written by ourselves
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _answer() -> None:
    """In the new process: write a pair of the result and the error, one of them None."""
    warnings.simplefilter("ignore")  # they are for developers
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print does not belong to the answer
    work = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    result, error = None, None
    try:
        result = work()
    except XrayDenoiseError as refusal:
        error = refusal
    with answer:
        pickle.dump((result, error), answer)


def peak_memory() -> float | None:
    """The most memory that this process had resident so far, MiB; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):  # getrusage counts the parent process too
            return int(line.split()[1]) / 2**10
    try:
        import resource
    except ModuleNotFoundError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
