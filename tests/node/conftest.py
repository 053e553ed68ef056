"""What all tests of the node need."""

import importlib
import os
import signal
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory, if the system has one: a spool waits for the disk several times for each object."""
    memory = Path("/dev", "shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield tmp_path_factory.mktemp("node")
        return
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """Commands that run until a signal set handlers of their own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def sockets_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom does not close a connection that its peer has closed first; Python does, and warns."""
    transport = importlib.import_module("pynetdicom.transport") if find_spec("pynetdicom") else None
    if transport is None:
        return
    shut = transport.AssociationSocket._shutdown_socket

    def shut_and_close(self: Any) -> None:
        connection = self.socket
        shut(self)
        if connection is not None:
            connection.close()

    monkeypatch.setattr(transport.AssociationSocket, "_shutdown_socket", shut_and_close)
