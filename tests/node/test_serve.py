"""The command: killed, stopped, asked for figures, and watched for connections."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.node.peers import assert_nothing_of_the_patient, free_port, names, node, objects, send, until
from xray_denoise.errors import CannotRunError

HERE = "127.0.0.1"


class Served:
    """`xray-denoise serve` in a process of its own; its log goes on in one file over restarts."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.log, self.errors = folder / "log.jsonl", folder / "errors.txt"
        self._command = [sys.executable, "-m", "xray_denoise", "serve", "--port", "0", "--model", "noisy", "--spool",
                         str(folder / "spool"), *map(str, arguments)]  # fmt: skip
        self.process: subprocess.Popen[str] | None = None
        self.starts = 0

    def start(self) -> "Served":
        self.starts += 1
        with self.log.open("a") as log, self.errors.open("a") as errors:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=errors, text=True)
        until(lambda: len(self.told("started")) == self.starts or self.ended)
        assert not self.ended, self.errors.read_text()
        return self

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    @property
    def port(self) -> int:
        return int(self.told("started")[-1]["port"])

    def told(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["event"] == event]

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def served(folder: Path, *arguments: object) -> Iterator[Served]:
    one = Served(folder, *arguments)
    try:
        yield one.start()
    finally:
        if not one.ended:
            one.end(signal.SIGKILL)


def test_killed_twice_it_brings_everything_once(tmp_path: Path) -> None:
    """The sender sends again what was not answered with Success, as senders do."""
    (out := tmp_path / "out").mkdir()
    left = objects(tmp_path / "in", 30)
    moments = np.random.default_rng(7)
    with served(tmp_path, "--to", out) as running:
        for _ in range(2):
            batch = left[:12]
            answers = send(running.port, batch[: moments.integers(6, 12)])
            left = left[sum(status == 0 for status in answers) :]
            time.sleep(moments.random() * 0.3)
            assert running.end(signal.SIGKILL) == -signal.SIGKILL
            running.start()
        assert send(running.port, left) == [0] * len(left)
        until(lambda: len(names(out)) == 30)
        until(lambda: not [*(tmp_path / "spool" / "objects").iterdir(), *(tmp_path / "spool" / "results").iterdir()])
        assert running.end(signal.SIGTERM) == 0
        brought = [line["object"] for line in running.told("delivered")]
        assert len(set(brought)) == len(brought)
        assert_nothing_of_the_patient(running.log.read_text().replace(str(tmp_path), ""))
        assert running.errors.read_text() == ""


def test_sigterm_finishes_what_is_under_way(tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    with served(tmp_path, "--to", out) as running:
        assert send(running.port, objects(tmp_path / "in", 5)) == [0] * 5
        assert running.end(signal.SIGTERM) == 0
        (stopped,) = running.told("stopped")
        assert "unfinished" not in stopped
        done = len(running.told("denoised"))
        assert stopped["waiting"] == 5 - done
        running.start()
        until(lambda: len(names(out)) == 5)
        assert len(running.told("denoised")) == 5, "nothing was denoised twice"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_node_whose_worker_dies_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not take objects for ever and do nothing with them."""

    def die(_: object) -> None:
        raise ZeroDivisionError

    with node(tmp_path / "spool", tmp_path) as running:
        monkeypatch.setattr("xray_denoise.node.spool.Spool.begin", die)
        failure = until(lambda: running.failure)
    assert isinstance(failure, CannotRunError)


def test_figures_for_prometheus(tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    with node(tmp_path / "spool", out, metrics=0) as running:
        (broken,) = objects(tmp_path / "in", 1, PhotometricInterpretation="RGB", SamplesPerPixel=3)
        assert send(running.port, [*objects(tmp_path / "in", 2, first=2), broken]) == [0] * 3
        until(lambda: running.told("kept aside") and len(running.told("delivered")) == 2)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{HERE}:{running.started['metrics_port']}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert figures['xray_denoise_received_total{again="no"}'] == "3.0"
    assert figures['xray_denoise_denoised_total{model="noisy"}'] == "2.0"
    assert figures['xray_denoise_set_aside_total{kind="unreadable-file"}'] == "1.0"
    assert figures[f'xray_denoise_delivered_total{{destination="{out}"}}'] == "2.0"
    assert figures['xray_denoise_objects{state="done"}'] == "2.0"
    assert figures['xray_denoise_objects{state="aside"}'] == "1.0"
    assert figures["xray_denoise_denoise_seconds_count"] == "2.0"
    assert float(figures["xray_denoise_free_bytes"]) > 0
    assert_nothing_of_the_patient(text.replace(str(tmp_path), ""))


def sockets(process: int) -> set[tuple[str, str]]:
    """Local and remote ends of the TCP and UDP sockets of a process, as the system writes them (hexadecimal)."""
    inodes = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = os.readlink(descriptor)  # noqa: PTH115
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                found.add((fields[1], fields[2]))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_it_listens_where_it_was_told_and_nowhere_else(tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    with served(tmp_path, "--to", out, "--metrics", "0") as running:
        assert running.process is not None
        (started,) = running.told("started")
        ends = {f"0100007F:{started[port]:04X}" for port in ("port", "metrics_port")}
        assert sockets(running.process.pid) == {(end, "00000000:0000") for end in ends}
        assert send(running.port, objects(tmp_path / "in", 1)) == [0]
        until(lambda: names(out))
        assert {local for local, _ in sockets(running.process.pid)} == ends


def test_what_waits_for_a_destination_that_is_gone_can_be_sent_again(tmp_path: Path) -> None:
    """After a restart with another one: Success must not mean that it waits for the old one for ever."""
    (out := tmp_path / "out").mkdir()
    paths = objects(tmp_path / "in", 1)
    with node(tmp_path / "spool", f"PACS@127.0.0.1:{free_port()}") as running:
        assert send(running.port, paths) == [0]
        until(lambda: running.told("denoised"))
    with node(tmp_path / "spool", out) as running:
        assert [line["destination"][:4] for line in running.told("no such destination")] == ["PACS"]
        assert send(running.port, paths) == [0]
        until(lambda: names(out))


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        ("", 2, "there is no destination"),
        ("--to nowhere", 2, "'nowhere' is neither"),
        ("--to . --ae-title SEVENTEEN-LETTERS", 2, "is no AE title"),
        ("--to . --max-object-size large", 2, "'large' is no size"),
        ("--to . --max-object-size -1", 2, "'-1' is no size"),
        ("--to . --spool .", 2, "results cannot go into the spool"),
        ("--to . --port 70000", 2, "no port 70000"),
        ("--to . --strength 2", 2, "strength"),
        ("--to . ca.pem", 2, "unexpected argument 'ca.pem'"),
        ("--to . --tls a b", 2, "cannot be used"),
        ("--to . --model drunet", 2, "no model called 'drunet'"),
        ("--to . --rules none.toml", 1, "cannot read the rules none.toml"),
    ],
)
def test_wrong_options_are_told_in_two_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, status: int, what: str
) -> None:
    from typer.testing import CliRunner

    from xray_denoise.cli import app

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["serve", *arguments.split()])
    assert result.exit_code == status
    assert what in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert not (tmp_path / "xray-denoise-spool").exists()


OBJECTS = int(os.environ.get("XRAY_DENOISE_TEST_OBJECTS", "100"))
"""Sent by the next test; docs/serve.md has its figures for 2000, which take four minutes."""


@pytest.mark.slow
def test_memory_stays_flat_over_many_objects(tmp_path: Path) -> None:
    each = OBJECTS // 10
    (out := tmp_path / "out").mkdir()
    page = resource.getpagesize()
    with served(tmp_path, "--to", out) as running:
        assert running.process is not None
        resident = []
        for batch in range(10):
            assert send(running.port, objects(tmp_path / "in", each, first=1 + each * batch)) == [0] * each
            until(lambda: len(names(out)) == each * (batch + 1), 120)  # noqa: B023 - called at once
            pages = int(Path(f"/proc/{running.process.pid}/statm").read_text().split()[1])
            resident.append(pages * page / 2**20)
        print(f"MiB resident after every {each} objects:", [round(one, 1) for one in resident])  # noqa: T201
        assert resident[-1] - resident[1] < 20
