"""A node that runs in this process, senders, and peers that misbehave."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra serve is not installed")
pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.presentation import build_context

from tests.programs import program
from tests.synthetic_dicom import CLASSES, PATIENT, Sample, write
from xray_denoise.node.service import NodeOptions, serve

SECONDS = 30.0
"""Longest wait for anything."""


def until(holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Wait until something holds, and give it."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


class RunningNode:
    """A node in a thread; `events` is its log."""

    def __init__(self, options: NodeOptions) -> None:
        self.lines: list[str] = []
        self.stop_asked = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(options,), daemon=True)
        self._thread.start()
        until(lambda: self.failure or self.told("started"))
        if self.failure:
            raise self.failure
        (self.started,) = self.told("started")

    def _run(self, options: NodeOptions) -> None:
        try:
            serve(options, self.lines.append, self.stop_asked)
        except BaseException as error:
            self.failure = error

    @property
    def port(self) -> int:
        return int(self.started["port"])

    def told(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, list(self.lines)) if line["event"] == event]

    def stop(self) -> None:
        self.stop_asked.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


@contextmanager
def node(spool: Path, *to: object, **options: Any) -> Iterator[RunningNode]:
    """Run a node with a classical method, which needs no weights."""
    defaults: dict[str, Any] = {"port": 0, "model": "noisy", "keep_free_bytes": 0}
    running = RunningNode(NodeOptions(to=[str(one) for one in to], spool=spool, **(defaults | options)))
    try:
        yield running
    finally:
        running.stop()


def objects(folder: Path, count: int, *, modality: str = "DX", syntax: str = ExplicitVRLittleEndian, first: int = 1,
            **changes: object) -> list[Path]:  # fmt: skip
    """Radiographs of a patient whose name must not be told."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write(
            folder / f"{modality}{number}.dcm",
            Sample(modality=modality, syntax=syntax),
            **{"SOPInstanceUID": f"1.2.3.4.9.{number}", **changes},
        )
        for number in range(first, first + count)
    ]


def send(port: int, paths: list[Path], *, ae: str = "XR1", sop_class: str = CLASSES["DX"],
         syntax: str = ExplicitVRLittleEndian, **association: Any) -> list[int | None]:  # fmt: skip
    """Send files as they are; the status of each, None where no answer came, and nothing where nobody listened."""
    entity = AE(ae)
    entity.acse_timeout = entity.connection_timeout = entity.dimse_timeout = 10
    found = entity.associate("127.0.0.1", port, [build_context(sop_class, syntax)], **association)
    if not found.is_established:
        return []
    statuses = []
    for path in paths:
        try:
            statuses.append(found.send_c_store(path).get("Status"))
        except RuntimeError:
            statuses.append(None)
    found.release()
    return statuses


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.dcm"))


def assert_nothing_of_the_patient(text: str) -> None:
    for secret in (PATIENT, "DOE", "PID-4711", "19500101", "ACC7", "HOUSE", "1.2.3.4", "2.25.", "20200102"):
        assert secret not in text, secret


def free_port() -> int:
    """A port that nobody uses now; another process may take it before we do, but the system hands out others first."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """DCMTK's storage server: its port and folder."""
    server = program("storescp")
    if server is None:
        pytest.skip("no storescp: install dcmtk")
    folder, port = tmp_path / "storescp", free_port()
    folder.mkdir()
    with started(server, "-od", folder, "+xa", "-aet", "PACS", port) as process:
        until(lambda: listens(port) or process.poll() is not None)
        yield port, folder


@contextmanager
def started(*command: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen([str(part) for part in command], **(quiet | options))
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
