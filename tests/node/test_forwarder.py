"""Results arrive, be the destination down, slow, full, or rude in the middle."""

import http.server
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.node.peers import RunningNode, free_port, listens, names, node, objects, send, started, storescp, until
from tests.synthetic_dicom import CLASSES
from xray_denoise.errors import UsageError
from xray_denoise.node import durable

pynetdicom = pytest.importorskip("pynetdicom", reason="the extra serve is not installed")
from pydicom import dcmread  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless  # noqa: E402
from pynetdicom import AE, _config, evt  # noqa: E402

from xray_denoise.node import destinations  # noqa: E402
from xray_denoise.node.destinations import DownError, Folder, Node, Web  # noqa: E402
from xray_denoise.node.spool import Delivery  # noqa: E402

HERE = "127.0.0.1"
__all__ = ["storescp"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)


@contextmanager
def pacs(port: int, statuses: list[int], received: list[str], syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian,),
         folder: Path | None = None) -> Iterator[None]:  # fmt: skip
    """A node that answers with one status after another, and then with Success."""

    def store(event: evt.Event) -> int:
        status = statuses.pop(0) if statuses else 0
        if status == 0:
            received.append(str(event.request.AffectedSOPInstanceUID))
            if folder is not None:
                ds = event.dataset
                ds.file_meta = event.file_meta
                ds.save_as(folder / f"{ds.SOPInstanceUID}.dcm", enforce_file_format=True)
        return status

    entity = AE("PACS")
    for name in CLASSES.values():
        entity.add_supported_context(name, list(syntaxes))
    server = entity.start_server((HERE, port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield
    finally:
        server.shutdown()


def everything_is_delivered(running: RunningNode, count: int) -> None:
    until(lambda: len(running.told("delivered")) == count)


def test_a_storage_server_of_dcmtk_gets_every_syntax(tmp_path: Path, storescp: tuple[int, Path]) -> None:
    """Results, and originals in the syntax that they came in."""
    port, folder = storescp
    (rules := tmp_path / "rules.toml").write_text("[[rule]]\nmodality = 'CR'\naction = 'pass'\n")
    with node(tmp_path / "spool", f"PACS@localhost:{port}", rules=rules) as running:
        sent = objects(tmp_path / "in", 3) + objects(tmp_path / "in", 1, modality="CR", syntax=RLELossless, first=8)
        assert send(running.port, sent[:3]) == [0] * 3
        assert send(running.port, sent[3:], sop_class=CLASSES["CR"], syntax=RLELossless) == [0]
        everything_is_delivered(running, 4)
    arrived = [dcmread(path) for path in folder.iterdir()]
    assert sorted(ds.Modality for ds in arrived) == ["CR", "DX", "DX", "DX"]
    assert {ds.file_meta.TransferSyntaxUID for ds in arrived if ds.Modality == "CR"} == {RLELossless}
    assert [ds for ds in arrived if ds.Modality == "CR"] == [dcmread(sent[3])]
    assert all(ds.ImageType[0] == "DERIVED" for ds in arrived if ds.Modality == "DX")


def test_a_destination_that_is_down_gets_everything_later(tmp_path: Path) -> None:
    port, received = free_port(), []
    spool, place = tmp_path / "spool", f"PACS@{HERE}:{port}"
    with node(spool, place) as running:
        assert send(running.port, objects(tmp_path / "in", 3)) == [0] * 3
        until(lambda: len(running.told("not delivered")) > 3)
        pauses = [line["seconds"] for line in running.told("not delivered")]
        assert pauses[:3] == [0.02, 0.04, 0.08]
    with node(spool, place) as running, pacs(port, [], received):  # after a restart
        everything_is_delivered(running, 3)
        assert running.told("stopped") == []
    assert len(set(received)) == len(received) == 3


@pytest.mark.parametrize("status", [0xC000, 0xA700])
def test_what_is_refused_is_brought_again(tmp_path: Path, status: int) -> None:
    port, received = free_port(), []
    with pacs(port, [status, 0, status], received), node(tmp_path / "spool", f"PACS@{HERE}:{port}") as running:
        assert send(running.port, objects(tmp_path / "in", 3)) == [0] * 3
        everything_is_delivered(running, 3)
        assert [line["reason"][:11] for line in running.told("not delivered")] == [f"status {status:04X}"] * 2
    assert len(set(received)) == len(received) == 3


@pytest.mark.parametrize("status", [0x0111, 0xB007])
def test_what_is_there_already_or_stored_with_a_warning_has_arrived(tmp_path: Path, status: int) -> None:
    port = free_port()
    with pacs(port, [status], []), node(tmp_path / "spool", f"PACS@{HERE}:{port}") as running:
        assert send(running.port, objects(tmp_path / "in", 1)) == [0]
        everything_is_delivered(running, 1)
        assert not running.told("not delivered")


def test_a_node_that_takes_implicit_vr_only(tmp_path: Path) -> None:
    port, received = free_port(), []
    (out := tmp_path / "out").mkdir()
    with (
        pacs(port, [], received, (ImplicitVRLittleEndian,), out),
        node(tmp_path / "spool", f"PACS@{HERE}:{port}", out) as running,
    ):
        assert send(running.port, objects(tmp_path / "in", 1)) == [0]
        everything_is_delivered(running, 2)
    (arrived,) = out.iterdir()
    assert dcmread(arrived).ImageType[0] == "DERIVED"


def test_an_original_that_nobody_can_take_holds_up_nothing_else(tmp_path: Path) -> None:
    """A compressed original that is broken waits for a node that does not take its syntax; others pass."""
    port, received = free_port(), []
    (broken,) = objects(tmp_path / "in", 1, syntax=RLELossless)
    ds = dcmread(broken)
    ds.PhotometricInterpretation = "RGB"
    ds.save_as(broken)
    with (
        pacs(port, [], received),
        node(tmp_path / "spool", f"PACS@{HERE}:{port}", forward_originals=True) as running,
    ):
        assert send(running.port, [broken], syntax=RLELossless) == [0]
        until(lambda: running.told("not delivered"))
        assert send(running.port, objects(tmp_path / "in", 2, first=5)) == [0] * 2
        everything_is_delivered(running, 2)
        assert {line["reason"] for line in running.told("not delivered")} == {
            "the destination takes no objects of this class and transfer syntax"
        }


def test_what_cannot_be_denoised_is_kept_with_the_reason(tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    (broken,) = objects(tmp_path / "in", 1, PhotometricInterpretation="RGB", SamplesPerPixel=3)
    with node(tmp_path / "spool", out) as running:
        assert send(running.port, [broken]) == [0]
        (told,) = until(lambda: running.told("kept aside"))
    aside = tmp_path / "spool" / "aside"
    assert dcmread(aside / f"{told['object']}.dcm") == dcmread(broken)
    reason = json.loads((aside / f"{told['object']}.json").read_text())
    assert reason["reason"] == told["reason"] == "the file is a colour image (RGB)"
    assert reason["calling_ae"] == "XR1"
    assert not names(out)


def test_originals_are_forwarded_byte_for_byte(tmp_path: Path) -> None:
    """Also one that no reader of DICOM can parse to its end."""
    (out := tmp_path / "out").mkdir()
    (path,) = objects(tmp_path / "in", 1)
    content = path.read_bytes()[:-700]
    path.write_bytes(content)
    with node(tmp_path / "spool", out, forward_originals=True) as running:
        assert send(running.port, [path]) == [0]
        everything_is_delivered(running, 1)
        assert running.told("kept aside")
    (arrived,) = out.iterdir()
    assert arrived.read_bytes().endswith(content[content.index(b"\x08\0\x05\0CS") :])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_damaged_originals_go_to_a_node_byte_for_byte_or_wait_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    """A node that takes their syntax gets the very bytes; for another one, those that nobody can parse wait."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", False)  # as it is without tests
    port, received = free_port(), []
    content = objects(tmp_path / "in", 1)[0].read_bytes()
    start, rows = content.index(b"\x08\0\x05\0CS"), content.index(b"\x28\0\x10\0US")
    damaged = {
        "cut": content[:-50],
        "garbage": content[:start] + b"\xff" * 200,
        "sequence": content[: rows + 4] + b"SQ\0\0\xff\xff\xff\xff" + content[rows + 12 :],
        "sound": content,
    }
    deliveries = []
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
        deliveries.append(Delivery(1, 1, name, tmp_path / name, 0))
    store = [(evt.EVT_C_STORE, lambda event: received.append(event.request.DataSet.getvalue()) or 0)]
    entity = AE("PACS")
    entity.add_supported_context(CLASSES["DX"], syntax)
    server = entity.start_server((HERE, port), block=False, evt_handlers=store)
    answers = {delivery.name: problem for delivery, problem in Node("PACS", HERE, port, "ME").send(deliveries)}
    server.shutdown()
    if syntax == ExplicitVRLittleEndian:
        assert set(answers.values()) == {""}
        assert [data[-len(got) :] for got, data in zip(received, damaged.values(), strict=True)] == received
        assert all(len(got) >= 200 for got in received)
    else:
        assert answers["garbage"] == answers["sequence"] == "it cannot be encoded"
        assert answers["sound"] == ""


def test_a_rule_sends_an_object_where_it_says(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (rules := tmp_path / "rules.toml").write_text(
        f"""
        [[rule]]
        body_part = "BREAST"
        to = ["{tmp_path}/b", "{tmp_path}/c"]
        [[rule]]
        calling_ae = "OTHER"
        action = "pass"
        """
    )
    with node(tmp_path / "spool", tmp_path / "a", rules=rules) as running:
        assert send(running.port, objects(tmp_path / "in", 1, modality="MG"), sop_class=CLASSES["MG"]) == [0]
        path = objects(tmp_path / "in", 1, first=2)
        assert send(running.port, path) == [0]
        assert send(running.port, path, ae="OTHER") == [0], "for this one another rule holds"
        everything_is_delivered(running, 4)
    assert names(tmp_path / "b") == names(tmp_path / "c")
    assert len(names(tmp_path / "b")) == 1
    assert len(names(tmp_path / "a")) == 2
    assert "1.2.3.4.9.2.dcm" in names(tmp_path / "a")


def test_what_the_node_has_made_is_not_denoised_again(tmp_path: Path) -> None:
    """A router that sends results back makes no circle."""
    (out := tmp_path / "out").mkdir()
    with node(tmp_path / "spool", out) as running:
        assert send(running.port, objects(tmp_path / "in", 1)) == [0]
        everything_is_delivered(running, 1)
        for _ in range(2):
            assert send(running.port, list(out.iterdir())) == [0]
        everything_is_delivered(running, 2)
        assert [line["reason"] for line in running.told("passed")] == ["made by xray-denoise"]
        assert len(running.told("received again")) == 1
    assert len(names(out)) == 1


def test_a_folder_that_is_away_or_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (out := tmp_path / "out").mkdir()

    def broken(_: Path) -> None:
        raise OSError(5, "Input/output error")

    with node(tmp_path / "spool", out) as running:
        out.rmdir()
        assert send(running.port, objects(tmp_path / "in", 1)) == [0]
        until(lambda: any(line["reason"] == "the folder is not there" for line in running.told("not delivered")))
        with monkeypatch.context() as patch:
            patch.setattr(destinations, "sync_folder", broken)
            out.mkdir()
            until(lambda: any(line["reason"] == "Input/output error" for line in running.told("not delivered")))
        everything_is_delivered(running, 1)
    assert len(names(out)) == 1


def test_a_full_spool_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results find no room for a while: the objects are not kept aside."""
    (out := tmp_path / "out").mkdir()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with node(tmp_path / "spool", out) as running:
        with monkeypatch.context() as patch:
            patch.setattr("xray_denoise.files.dicom.write.write_object", full)
            assert send(running.port, objects(tmp_path / "in", 2)) == [0] * 2
            until(lambda: len(running.told("retry")) > 2)
            assert {line["reason"] for line in running.told("retry")} == {"No space left on device"}
        everything_is_delivered(running, 2)
        assert not running.told("kept aside")


def test_a_bug_costs_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (out := tmp_path / "out").mkdir()

    def buggy(*_: Any, **__: Any) -> None:
        raise RuntimeError("DOE^JANE")

    with node(tmp_path / "spool", out) as running:
        with monkeypatch.context() as patch:
            patch.setattr("xray_denoise.node.worker.denoise_file", buggy)
            assert send(running.port, objects(tmp_path / "in", 1)) == [0]
            (told,) = until(lambda: running.told("kept aside"))
        assert told["kind"] == "bug"
        assert told["reason"].startswith("RuntimeError at test_forwarder.py:")
        assert send(running.port, objects(tmp_path / "in", 1, first=2)) == [0]
        everything_is_delivered(running, 1)


class RudePeer(threading.Thread):
    """Accepts an association (by a real node behind it), and closes, stops reading or is silent in the middle."""

    def __init__(self, behind: int, limit: int, *, close: bool) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server((HERE, 0))
        self.port = self.listener.getsockname()[1]
        self._behind, self._limit, self._close = behind, limit, close
        self.connections = 0
        self.ended = threading.Event()
        self.start()

    def run(self) -> None:
        """Pass on what comes, until the limit; from the second connection on without limit."""
        while True:
            try:
                front, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            back = socket.create_connection((HERE, self._behind))
            limit = self._limit if self.connections == 1 else 1 << 40
            threading.Thread(target=self._pass_on, args=(front, back, limit), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(back, front, 1 << 40), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, limit: int) -> None:
        passed = 0
        try:
            while data := source.recv(1000):
                passed += len(data)
                if passed > limit:
                    if not self._close:
                        self.ended.wait(30)
                    break
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.mark.parametrize("limit", [700, 2500])
@pytest.mark.parametrize("close", [True, False], ids=["closes", "is silent"])
def test_a_peer_that_ends_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, close: bool
) -> None:
    """While it associates, and in the middle of an object."""
    monkeypatch.setattr(destinations, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(destinations, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(Node.__init__, "__kwdefaults__", {"answer_seconds": 0.5})
    port, received = free_port(), []
    with pacs(port, [], received):
        peer = RudePeer(port, limit, close=close)
        with node(tmp_path / "spool", f"PACS@{HERE}:{peer.port}") as running:
            assert send(running.port, objects(tmp_path / "in", 2)) == [0] * 2
            everything_is_delivered(running, 2)
            assert running.told("not delivered")
        peer.ended.set()
        peer.listener.close()
    assert len(set(received)) == 2


def test_an_association_that_ends_between_two_objects_is_noticed(tmp_path: Path) -> None:
    """Without waiting for an answer that cannot come, minutes long."""
    port, received = free_port(), []
    (path,) = objects(tmp_path / "in", 1)
    delivery = Delivery(1, 1, "x", path, 0)
    place = Node("PACS", HERE, port, "ME")
    before = threading.enumerate()
    with pacs(port, [], received):
        sending = place.send([delivery, delivery])
        assert next(sending) == (delivery, "")
        (served,) = [one for one in threading.enumerate() if "AcceptorThread" in one.name and one not in before]
        served.abort()  # type: ignore[attr-defined]
        association = sending.gi_frame.f_locals["association"]  # type: ignore[attr-defined]
        association.join(10)
        association.is_established = True  # as if this were not known yet
        start = time.monotonic()
        with pytest.raises(DownError):
            next(sending)
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("PACS@10.0.0.5:104", Node, "PACS@10.0.0.5:104"),
        ("MY PACS@[::1]:104", Node, "MY PACS@[::1]:104"),
        ("https://pacs.example:8443/dicom-web/studies/", Web, "https://pacs.example:8443/dicom-web/studies"),
        (".", Folder, os.getcwd()),  # noqa: PTH109
    ],
)
def test_destinations_are_told_apart(text: str, kind: type, name: str) -> None:
    found = destinations.parse(text, "ME")
    assert isinstance(found, kind)
    assert found.name == name


@pytest.mark.parametrize(
    "text",
    ["", "nowhere", "PACS@host", "PACS@host:0", "PACS@host:99999", "SEVENTEEN-LETTERS@host:104", "ftp://host/studies",
     "https://host/dicom-web", "https://me:secret@host/studies", "https://host/studies?key=secret"],
)  # fmt: skip
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        destinations.parse(text, "ME")
    assert "secret" not in str(caught.value)


STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}
"""A response of STOW-RS with a Referenced SOP Sequence."""


class StowServer(http.server.BaseHTTPRequestHandler):
    """Answers POST with one status after another."""

    answers: list[tuple[int, dict[str, Any] | None]] = []  # noqa: RUF012
    stored: list[bytes] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.answers.pop(0) if self.answers else (200, STORED)
        if answer == STORED:
            self.stored.append(body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        if status == 307:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Type", "application/dicom+json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def failed(reason: int) -> dict[str, Any]:
    """A response of STOW-RS with a Failed SOP Sequence."""
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [reason]}}]}}


def test_a_web_server_that_refuses_and_redirects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StowServer, "stored", [])
    monkeypatch.setattr(
        StowServer,
        "answers",
        [(503, {}), (401, {}), (307, {}), (400, {}), (409, failed(0xA900)), (200, failed(0x0110)), (200, {}),
         (200, None), (200, {"00081198": 5}), (200, STORED), (409, failed(0x0111)), (200, failed(0x0111))],
    )  # fmt: skip
    with http.server.ThreadingHTTPServer((HERE, 0), StowServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://{HERE}:{server.server_port}/dicom-web/studies"
        with node(tmp_path / "spool", place) as running:
            for number in (1, 2, 3):
                assert send(running.port, objects(tmp_path / "in", 1, first=number)) == [0]
                everything_is_delivered(running, number)
            assert [line["reason"] for line in running.told("not delivered")] == [
                "HTTP status 503", "HTTP status 401", "TooManyRedirects", "HTTP status 400", "HTTP status 409",
                "failure reason 0110", "an answer that does not say that the object is stored",
                "an answer that cannot be read", "an answer that cannot be read",
            ]  # fmt: skip
        server.shutdown()
    assert len(StowServer.stored) == 1
    assert b"DICM" in StowServer.stored[0]


@pytest.fixture
def orthanc(tmp_path: Path) -> "Iterator[Orthanc]":
    """Orthanc with its DICOMweb plugin, on ports of its own and with an empty folder."""
    with Orthanc(tmp_path / "orthanc") as running:
        yield running


class Orthanc:
    """A PACS; `start` and `stop` it as often as you like."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.program = shutil.which("Orthanc", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
        plugins = [Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc")]
        found = [path for place in plugins for path in place.glob("libOrthancDicomWeb.so*")]
        if not self.program or not found:
            pytest.skip("no Orthanc with DICOMweb: install orthanc and orthanc-dicomweb")
        self.folder, self.dicom, self.http = folder, free_port(), free_port()
        folder.mkdir()
        self.configuration = folder / "orthanc.json"
        self.configuration.write_text(
            json.dumps(
                {
                    "Name": "test", "StorageDirectory": str(folder), "IndexDirectory": str(folder),
                    "Plugins": [str(found[0])], "DicomPort": self.dicom, "DicomAet": "ORTHANC", "HttpPort": self.http,
                    "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "HttpServerEnabled": True,
                    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, "DicomAlwaysAllowStore": True,
                    **options,
                }
            )
        )  # fmt: skip
        self._process: Any = None

    def __enter__(self) -> "Orthanc":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._process = started(self.program, self.configuration)
        self._process.__enter__()
        until(lambda: listens(self.http) and listens(self.dicom))

    def stop(self) -> None:
        if self._process is not None:
            self._process.__exit__(None, None, None)
        self._process = None

    def get(self, path: str) -> Any:
        import requests

        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://{HERE}:{self.http}{path}", timeout=10).json()


def test_orthanc_gets_results_by_both_ways(tmp_path: Path, orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> None:
    """By C-STORE and by STOW-RS, also while it is away; and it holds each once."""
    monkeypatch.setenv("NO_PROXY", HERE)
    web, archive = f"http://{HERE}:{orthanc.http}/dicom-web/studies", f"ORTHANC@{HERE}:{orthanc.dicom}"
    sent = objects(tmp_path / "in", 3)
    with node(tmp_path / "spool", web, archive, forward_originals=True) as running:
        assert send(running.port, sent[:2]) == [0] * 2
        everything_is_delivered(running, 4)
        orthanc.stop()
        assert send(running.port, sent[2:]) == [0]
        until(lambda: {line["destination"] for line in running.told("not delivered")} == {web, archive})
        orthanc.start()
        broken = objects(tmp_path / "broken", 1, first=7, PhotometricInterpretation="RGB", SamplesPerPixel=3)
        assert send(running.port, broken) == [0]
        everything_is_delivered(running, 8)
    found = [orthanc.get(f"/instances/{name}/simplified-tags") for name in orthanc.get("/instances")]
    assert len(found) == 4
    derived = [tags for tags in found if tags["SOPInstanceUID"].startswith("2.25.")]
    assert len(derived) == 3
    assert {tags["ReferencedSOPInstanceUID"] for one in derived for tags in one["SourceImageSequence"]} == {
        f"1.2.3.4.9.{number}" for number in (1, 2, 3)
    }
    assert {one["StudyInstanceUID"] for one in found} == {"1.2.3.4.2"}


def test_orthanc_routes_by_the_script_of_the_recipe(tmp_path: Path) -> None:
    """A radiograph that is sent to Orthanc comes back denoised, once; other images stay where they are."""
    page = (Path(__file__).parents[2] / "docs" / "recipes" / "orthanc.md").read_text(encoding="utf-8")
    (script := tmp_path / "denoise.lua").write_text(page.split("```lua\n")[1].split("```")[0])
    port = free_port()
    routes = {"DicomModalities": {"denoise": ["XRAYDENOISE", HERE, port]}, "LuaScripts": [str(script)]}
    with (
        Orthanc(tmp_path / "orthanc", **routes) as archive,
        node(tmp_path / "spool", f"ORTHANC@{HERE}:{archive.dicom}", port=port, allow=[f"ORTHANC@{HERE}"]) as running,
    ):
        assert send(archive.dicom, objects(tmp_path / "in", 2)) == [0] * 2
        other = objects(tmp_path / "in", 1, modality="OT", first=8)
        assert send(archive.dicom, other, sop_class=CLASSES["OT"]) == [0]
        everything_is_delivered(running, 2)
        time.sleep(1)
        assert len(running.told("received")) == 2
        found = [archive.get(f"/instances/{name}/simplified-tags") for name in archive.get("/instances")]
        assert sorted(tags["ImageType"].partition("\\")[0] for tags in found) == ["DERIVED"] * 2 + ["ORIGINAL"] * 3
