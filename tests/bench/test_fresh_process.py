"""What runs in a process of its own answers, fails and ends as it should."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from xray_denoise.bench.fresh_process import in_fresh_process, peak_memory
from xray_denoise.errors import CannotRunError, UsageError

MIB = 2**20


@dataclass(frozen=True)
class Holding:
    """Takes so much memory, and says what the process had at most."""

    mebibytes: int = 0

    def __call__(self) -> float | None:
        held = np.ones(self.mebibytes * MIB, dtype=np.uint8)
        return peak_memory() if held.size == self.mebibytes * MIB else None


def refuse() -> None:
    raise UsageError("not like that", hint="like this")


def vanish() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_is_another_process() -> None:
    assert in_fresh_process(os.getpid) != os.getpid()


def test_memory_is_that_of_the_process_alone() -> None:
    """Whatever we hold ourselves: getrusage would tell of it."""
    ours = np.ones(300 * MIB, dtype=np.uint8)
    little, much = in_fresh_process(Holding()), in_fresh_process(Holding(100))
    assert little is not None
    assert much is not None
    assert much - little == pytest.approx(100, abs=8), "an allocator may round"
    assert little < ours.size / MIB < (peak_memory() or 0)


def chatty() -> str:
    sys.stdout.write("a library prints")
    os.write(1, b"and so does one in C")
    return "an answer"


def test_what_is_printed_does_not_harm_the_answer() -> None:
    assert in_fresh_process(chatty) == "an answer"


def test_an_error_comes_back_with_its_hint() -> None:
    with pytest.raises(UsageError, match="not like that") as caught:
        in_fresh_process(refuse)
    assert caught.value.hint == "like this"


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(CannotRunError, match="signal 9") as caught:
        in_fresh_process(vanish)
    assert "memory" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupt_ends_it_at_once_and_in_silence(tmp_path: Path) -> None:
    """As Ctrl-C does it: every process of the terminal gets the signal, ours answers."""
    script = tmp_path / "waits.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, time
            from functools import partial
            from pathlib import Path
            from xray_denoise.bench.fresh_process import in_fresh_process

            def wait(started):
                Path(started).write_text(str(os.getpid()))
                time.sleep(60)

            if __name__ == "__main__":
                from waits import wait  # a function of __main__ is unknown to the other process
                try:
                    in_fresh_process(partial(wait, sys.argv[1]))
                except KeyboardInterrupt:
                    print("interrupted")
            """
        )
    )
    started = tmp_path / "started"
    with subprocess.Popen(
        [sys.executable, script, started], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as running:
        while not (started.exists() and started.read_text()):
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert (out, err, running.returncode) == ("interrupted\n", "", 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
