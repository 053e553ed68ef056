"""What archives take in comes back as it was sent: DCMTK's storescp, and Orthanc where it is installed."""

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from tests import programs
from tests.synthetic_dicom import Sample, element_bytes, write
from xray_denoise import files

SAMPLES = {
    "cr": (Sample("CR"), "none"),
    "dx": (Sample("DX", inverted=True), "none"),
    "mg": (Sample("MG", bits=14, padding=0), "none"),
    "frames": (Sample("XA", frames=3), "none"),
    "signed": (Sample("CR", signed=True), "jpegls"),
    "small": (Sample("DX", shape=(64, 80)), "j2k"),
    "runs": (Sample("MG", bits=10), "rle"),
}


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    """One derived file of each sample, with identifiers of its own."""
    made = []
    (tmp_path / "results").mkdir()
    for number, (name, (sample, compression)) in enumerate(SAMPLES.items()):
        uids = {"SOPInstanceUID": f"1.2.3.5.{number}", "SeriesInstanceUID": f"1.2.3.6.{number}"}
        frames = files.read_frames(write(tmp_path / f"{name}.dcm", sample, **uids))
        target = tmp_path / "results" / f"{name}.dcm"
        files.write(frames, target, derivation=files.Derivation("x-bdcnn"), compression=compression)
        made.append(target)
    return made


def program(name: str, package: str) -> str:
    found = programs.program(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int) -> Iterator[None]:
    """A server that is ready when its port can be reached."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield
        finally:
            server.terminate()


def assert_same(sent: Path, received: Path) -> None:
    one, other = pydicom.dcmread(sent), pydicom.dcmread(received)
    assert element_bytes(one) == element_bytes(other)
    before, after = (list(files.read_frames(path)) for path in (sent, received))
    assert all(np.array_equal(a.stored, b.stored) for a, b in zip(before, after, strict=True))


def test_storescp_receives_what_was_sent(tmp_path: Path, results: list[Path]) -> None:
    send, receive = program("storescu", "dcmtk"), program("storescp", "dcmtk")
    port, inbox = free_port(), tmp_path / "inbox"
    inbox.mkdir()
    with serving([receive, "+xa", "-od", str(inbox), str(port)], port):
        for path in results:
            syntax = {"jpegls": "-xt", "j2k": "-xv", "rle": "-xr"}.get(SAMPLES[path.stem][1], "-xe")
            subprocess.run([send, syntax, "127.0.0.1", str(port), path], check=True, capture_output=True)
    received = {pydicom.dcmread(path).SOPInstanceUID: path for path in inbox.iterdir()}
    for path in results:
        assert_same(path, received[pydicom.dcmread(path).SOPInstanceUID])


def test_orthanc_receives_what_was_sent(tmp_path: Path, results: list[Path]) -> None:
    send, server = program("storescu", "dcmtk"), program("Orthanc", "orthanc")
    web, dicom = free_port(), free_port()
    settings = {
        "HttpPort": web, "DicomPort": dicom, "StorageDirectory": str(tmp_path / "store"), "Plugins": [],
        "IndexDirectory": str(tmp_path / "store"), "AuthenticationEnabled": False, "DicomAlwaysAllowStore": True,
    }  # fmt: skip
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{web}{path}") as answer:
            return answer.read()

    with serving([server, str(tmp_path / "orthanc.json")], web):
        for path in results:
            syntax = {"jpegls": "-xt", "j2k": "-xv", "rle": "-xr"}.get(SAMPLES[path.stem][1], "-xe")
            called = [send, syntax, "-aec", "ORTHANC", "127.0.0.1", str(dicom), str(path)]
            subprocess.run(called, check=True, capture_output=True)
        stored = json.loads(ask("/instances"))
        assert len(stored) == len(results)
        received = {}
        for number, identifier in enumerate(stored):
            target = tmp_path / f"back-{number}.dcm"
            target.write_bytes(ask(f"/instances/{identifier}/file"))
            received[pydicom.dcmread(target).SOPInstanceUID] = target
    for path in results:
        assert_same(path, received[pydicom.dcmread(path).SOPInstanceUID])
