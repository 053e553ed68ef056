"""Run a function in a fresh process, to measure its time and memory alone."""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from xray_denoise.errors import CannotRunError, XrayDenoiseError

T = TypeVar("T")


def in_fresh_process(work: Callable[[], T]) -> T:
    """Run `work()` in a new interpreter and return its result; the interpreter is ended, also after an interrupt.

    Args:
        work: can be pickled, and so can what it returns; both belong to modules that can be imported.

    Raises:
        XrayDenoiseError: what `work` raised.
        CannotRunError: the process ended without an answer.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    running = context.Process(target=_answer, args=(theirs, work))
    try:
        running.start()
        theirs.close()
        answer = ours.recv()
    except EOFError:
        running.join()
        status = running.exitcode or 0
        ending = f"signal {-status}" if status < 0 else f"exit status {status}"
        raise CannotRunError(
            f"the measuring process ended by itself ({ending})",
            hint="it may have run out of memory: close other programs, or choose smaller images",
        ) from None
    finally:
        if running.pid:
            running.kill()
            running.join()
    if isinstance(answer, XrayDenoiseError):
        raise answer
    return answer  # type: ignore[no-any-return]


def _answer(pipe: Connection, work: Callable[[], Any]) -> None:
    """In the new process: send the result, or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process answers Ctrl-C, and ends this one
    warnings.simplefilter("ignore")  # they are for developers
    os.dup2(2, 1)  # what libraries print does not belong to the output
    try:
        answer = work()
    except XrayDenoiseError as error:
        answer = error
    pipe.send(answer)


def peak_memory() -> float | None:
    """Peak resident memory of this process, MiB; None if unknown, as on Windows."""
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="ascii", errors="replace").splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):  # getrusage counts the parent process too
            return int(line.split()[1]) / 2**10
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
