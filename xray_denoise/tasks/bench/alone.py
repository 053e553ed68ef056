"""Run something in a fresh process of its own, so that its time and its memory are nobody else's."""

import multiprocessing
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from xray_denoise.errors import CannotRunError, XrayDenoiseError

T = TypeVar("T")


def alone(work: Callable[[], T]) -> T:
    """What `work()` returns in a new interpreter, which is gone afterwards, also where we are interrupted.

    Args:
        work: can be pickled, and so can what it returns.

    Raises:
        XrayDenoiseError: what `work` raised.
        CannotRunError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(theirs, work), daemon=True)
    try:
        with _interrupts_wait():
            child.start()
        theirs.close()
        result, error = ours.recv()
    except EOFError:
        child.join()
        raise CannotRunError(
            f"the process that measures ended by itself ({_ending(child.exitcode)})",
            hint="it may have run out of memory: close other programs, or choose smaller images",
        ) from None
    finally:
        ours.close()
        if child.pid is not None:
            child.kill()
            child.join()
            child.close()
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def peak_memory() -> float | None:
    """The most memory that this process had resident so far, MiB; None where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):  # getrusage would tell of the process that started this one, if it was larger
            return int(line.split()[1]) / 2**10
    try:
        import resource
    except ModuleNotFoundError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def _answer(pipe: Connection, work: Callable[[], object]) -> None:
    """In the new process: send a pair of the result and the error, one of them None."""
    warnings.simplefilter("ignore")  # written for developers
    try:
        pipe.send((work(), None))
    except XrayDenoiseError as error:
        pipe.send((None, error))


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """What is started here never sees Ctrl-C, which goes to all processes of a terminal; we see it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ending(status: int | None) -> str:
    return f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
