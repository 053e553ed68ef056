"""What a node takes, from whom, and what a hostile peer can do."""

import os
import shutil
import socket
import ssl
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.node.peers import assert_nothing_of_the_patient, listens, names, node, objects, send, until
from tests.programs import program
from tests.synthetic_dicom import CLASSES
from xray_denoise import denoise_file
from xray_denoise.errors import CannotRunError, UsageError

pynetdicom = pytest.importorskip("pynetdicom", reason="the extra serve is not installed")
from pynetdicom import AE, _config  # noqa: E402
from pynetdicom.presentation import build_context  # noqa: E402

from xray_denoise.node import receiver  # noqa: E402
from xray_denoise.node.access import Allowed  # noqa: E402

CT = "1.2.840.10008.5.1.4.1.1.2"
HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def raw_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test senders send files as they are."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)


def test_results_are_those_of_denoise(tmp_path: Path) -> None:
    """Every class and several syntaxes in, the objects of `denoise` out, and nothing of a patient in the log."""
    out = tmp_path / "out"
    out.mkdir()
    given = []
    with node(tmp_path / "spool", out, model="tv", strength=0.5) as running:
        for number, modality in enumerate(CLASSES):
            for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless)[
                number % 3 :: 2
            ]:
                paths = objects(tmp_path / "in", 1, modality=modality, syntax=syntax, first=len(given) + 1)
                assert send(running.port, paths, sop_class=CLASSES[modality], syntax=syntax) == [0]
                given += paths
        until(lambda: len(running.told("delivered")) == len(given))
        assert_nothing_of_the_patient("\n".join(running.lines).replace(str(tmp_path), ""))
    assert len(given) == 10
    for path in given:
        denoise_file(path, tmp_path / "direct.dcm", model="tv", strength=0.5, existing="overwrite")
        expected = dcmread(tmp_path / "direct.dcm")
        found = dcmread(out / f"{expected.SOPInstanceUID}.dcm")
        assert found.PixelData == expected.PixelData
        assert found.SeriesInstanceUID == expected.SeriesInstanceUID
        assert found.DerivationDescription == expected.DerivationDescription
    assert len(names(out)) == len(given)


def test_echo_and_presentation_contexts(tmp_path: Path) -> None:
    wanted = [CLASSES["CR"], CT, "1.2.840.10008.1.1"]
    syntaxes = [JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless, RLELossless, "1.2.840.10008.1.2.4.100"]
    contexts = [build_context(name) for name in wanted] + [build_context(CLASSES["DX"], syntax) for syntax in syntaxes]
    with node(tmp_path / "spool", tmp_path) as running:
        found = AE("XR1").associate(HERE, running.port, contexts)
        accepted = [(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in found.accepted_contexts]
        assert found.send_c_echo().Status == 0
        found.release()
    assert [name for name, _ in accepted].count(CT) == 0
    assert {name for name, _ in accepted} == {wanted[0], wanted[2], CLASSES["DX"]}
    assert [syntax for name, syntax in accepted if name == CLASSES["DX"]] == syntaxes[:4], "MPEG-2 is no radiograph"
    assert accepted[0][1] == ExplicitVRLittleEndian


def test_the_same_object_twice_is_one_result(tmp_path: Path) -> None:
    (out := tmp_path / "out").mkdir()
    paths = objects(tmp_path / "in", 3)
    with node(tmp_path / "spool", out) as running:
        assert send(running.port, [*paths, *paths]) == [0] * 6
        until(lambda: len(running.told("delivered")) == 3)
        assert send(running.port, paths, ae="ANOTHER") == [0] * 3
        assert len(running.told("received again")) == 6
        assert len(running.told("received")) == 3
    assert len(names(out)) == 3
    assert len(running.told("delivered")) == 3


def test_only_those_who_are_allowed(tmp_path: Path) -> None:
    paths = objects(tmp_path / "in", 1)
    with node(tmp_path / "spool", tmp_path, allow=["XR1", "XR2@10.9.8.7", "XR3@127.0.0.0/8"]) as running:
        assert send(running.port, paths, ae="XR1") == [0]
        assert send(running.port, paths, ae="XR2") == [], "from another host"
        assert send(running.port, paths, ae="XR3") == [0]
        assert send(running.port, paths, ae="XR4") == []
        assert [line["calling_ae"] for line in running.told("refused")] == ["XR2", "XR4"]
    with node(tmp_path / "spool", tmp_path, allow=["XR1@10.9.8.7"]) as running:
        assert send(running.port, paths, ae="XR1") == []
        until(lambda: [line["reason"] for line in running.told("refused")] == ["host not allowed"])


@pytest.mark.parametrize("text", ["", "@host", "AE@", "SEVENTEEN-LETTERS", "A\\B", "AE@no-such-host.invalid"])
def test_who_is_nobody(text: str) -> None:
    with pytest.raises(UsageError):
        Allowed.parse(text)


def test_a_name_is_looked_up_once() -> None:
    allowed = Allowed.parse("XR1@localhost")
    assert allowed.covers("127.0.0.1") or allowed.covers("::1")
    assert not allowed.covers("127.0.0.2")


def test_objects_that_are_too_large_or_find_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = objects(tmp_path / "in", 2)
    ds = dcmread(large)
    ds.add_new(0x00091003, "OB", bytes(2000))
    ds.save_as(large)
    limit = small.stat().st_size
    spool = tmp_path / "spool"
    with node(spool, tmp_path, max_object_bytes=limit) as running:
        assert send(running.port, [large, small]) == [0xA700, 0]
        monkeypatch.setattr("xray_denoise.node.spool.Spool.free_bytes", 999)
    with node(spool, tmp_path, keep_free_bytes=1000) as running:
        assert send(running.port, [large]) == [0xA700]
        monkeypatch.setattr("xray_denoise.node.spool.Spool.free_bytes", 1000 + 2 * large.stat().st_size)
        assert send(running.port, [large]) == [0]
        assert [line["reason"] for line in running.told("refused")] == ["no room"]
    assert not list((spool / "incoming").iterdir())


def test_a_disk_that_is_full_is_told_to_the_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first byte, in the middle, when it is flushed, and when the folder or the database is written."""
    (path,) = objects(tmp_path / "in", 1)
    (out := tmp_path / "out").mkdir()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with node(tmp_path / "spool", out) as running:
        for place in ("receiver.file_head", "spool.sync_file", "spool.sync_folder", "spool.Path.rename"):
            with monkeypatch.context() as patch:
                patch.setattr(f"xray_denoise.node.{place}", full)
                assert send(running.port, [path]) == [0xA700], place
            assert not [*(tmp_path / "spool" / "incoming").iterdir(), *(tmp_path / "spool" / "objects").iterdir()], (
                place
            )
        assert send(running.port, [path]) == [0]
        until(lambda: len(running.told("delivered")) == 1)


def test_a_sender_that_closes_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    (path,) = objects(tmp_path / "in", 1)
    with node(tmp_path / "spool", tmp_path) as running:
        with Sender(running.port) as sender:
            sender.command()
            sender.data(path.read_bytes()[:1000], last=False)
            until(lambda: list((tmp_path / "spool" / "incoming").iterdir()))
        until(lambda: not list((tmp_path / "spool" / "incoming").iterdir()))
        assert send(running.port, [path]) == [0]
        assert len(running.told("received")) == 1


@pytest.mark.parametrize(
    "attack", ["rubbish", "huge PDU", "endless object", "endless command", "many messages", "no context"]
)
def test_a_hostile_peer_is_cut_off(tmp_path: Path, attack: str) -> None:
    (path,) = objects(tmp_path / "in", 1)
    with node(tmp_path / "spool", tmp_path, max_object_bytes=100_000) as running:
        with Sender(running.port, associate=attack != "rubbish") as sender, pytest.raises(OSError):  # noqa: PT011
            sender.attack(attack)
        assert send(running.port, [path]) == [0], "others are served"
        until(lambda: not list((tmp_path / "spool" / "incoming").iterdir()))
        assert_nothing_of_the_patient("\n".join(running.lines).replace(str(tmp_path), ""))


def test_connections_are_bounded_and_silent_ones_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "MOST_CONNECTIONS", 5)
    monkeypatch.setattr(receiver, "NEGOTIATION_SECONDS", 1.5)
    (path,) = objects(tmp_path / "in", 1)
    with node(tmp_path / "spool", tmp_path) as running:
        silent = [socket.create_connection((HERE, running.port)) for _ in range(8)]
        until(lambda: len(running.told("refused")) == 3)
        assert {line["reason"] for line in running.told("refused")} == {"too many connections"}
        until(lambda: send(running.port, [path]) == [0])
        for connection in silent:
            connection.close()


def certificates(folder: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("no openssl: install it")
    certificate, key = folder / "node.crt", folder / "node.key"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_tls_with_and_without_certificates_of_peers(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path)
    paths = objects(tmp_path / "in", 1)
    stranger = ssl.create_default_context(cafile=certificate)
    friend = ssl.create_default_context(cafile=certificate)
    friend.load_cert_chain(certificate, key)
    with node(tmp_path / "spool", tmp_path, tls=(certificate, key)) as running:
        assert running.started["tls"]
        held_up = socket.create_connection((HERE, running.port))  # never shakes hands
        assert send(running.port, paths, tls_args=(stranger, "localhost")) == [0]
        assert send(running.port, paths) == [], "without TLS"
        held_up.close()
    with node(tmp_path / "spool", tmp_path, tls=(certificate, key), tls_authority=certificate) as running:
        assert send(running.port, paths, tls_args=(friend, "localhost")) == [0]
        assert send(running.port, paths, tls_args=(stranger, "localhost")) == []
    with pytest.raises(UsageError, match="cannot be used"), node(tmp_path / "spool", tmp_path, tls=(key, certificate)):
        pass


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with node(tmp_path / "spool", tmp_path) as running:
        with (
            pytest.raises(CannotRunError, match=f"cannot listen on 127.0.0.1, port {running.port}"),
            node(tmp_path / "other", tmp_path, port=running.port),
        ):
            pass
        with (
            pytest.raises(CannotRunError, match="for the metrics"),
            node(tmp_path / "third", tmp_path, metrics=running.port),
        ):
            pass
    assert not listens(running.port)


class Sender:
    """A peer that writes PDUs by hand (PS3.8 9.3)."""

    def __init__(self, port: int, *, associate: bool = True) -> None:
        self.connection = socket.create_connection((HERE, port), timeout=10)
        if associate:
            self.associate()

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def pdu(self, kind: int, content: bytes) -> None:
        self.connection.sendall(struct.pack(">BBL", kind, 0, len(content)) + content)

    def associate(self) -> None:
        def item(kind: int, content: bytes) -> bytes:
            return struct.pack(">BBH", kind, 0, len(content)) + content

        context = item(
            0x20, b"\1\0\0\0" + item(0x30, CLASSES["DX"].encode()) + item(0x40, ExplicitVRLittleEndian.encode())
        )
        user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
        titles = b"ANY-SCP".ljust(16) + b"HOSTILE".ljust(16)
        self.pdu(1, b"\0\1\0\0" + titles + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user)
        assert self.connection.recv(1) == b"\2", "accepted"
        length = struct.unpack(">L", self.connection.recv(5)[1:])[0]
        while length:
            length -= len(self.connection.recv(length))

    def value(self, header: int, content: bytes, context: int = 1) -> None:
        self.pdu(4, struct.pack(">LBB", len(content) + 2, context, header) + content)

    def command(self, context: int = 1) -> None:
        elements = b"".join(
            struct.pack("<HHL", 0, element, len(value)) + value
            for element, value in (
                (0x0002, CLASSES["DX"].encode() + b"\0"), (0x0100, b"\1\0"), (0x0110, b"\1\0"), (0x0700, b"\0\0"),
                (0x0800, b"\0\0"), (0x1000, b"1.2.3.4.77"),
            )
        )  # fmt: skip
        self.value(3, struct.pack("<HHLL", 0, 0, 4, len(elements)) + elements, context)

    def data(self, content: bytes, *, last: bool) -> None:
        self.value(2 if last else 0, content)

    def attack(self, kind: str) -> None:
        """Attack until the node has had enough; the connection is reset, or at its end."""
        if kind == "rubbish":
            self.connection.sendall(os.urandom(2000))
        elif kind == "huge PDU":
            self.connection.sendall(struct.pack(">BBL", 4, 0, 2**32 - 1) + bytes(1000))
        elif kind == "no context":
            self.command(context=7)
            self.data(bytes(1000), last=False)
        elif kind == "endless object":
            self.command()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            self.go_on(kind)
            self.connection.settimeout(0.001)
            with suppress(TimeoutError):
                if self.connection.recv(1000) == b"":
                    raise ConnectionError
            self.connection.settimeout(10)
        raise AssertionError("the node listened for twenty seconds")

    def go_on(self, kind: str) -> None:
        if kind == "endless object":
            self.data(bytes(16000), last=False)
        elif kind == "endless command":
            self.value(1, bytes(16000))
        elif kind == "many messages":
            self.command()
            self.data(bytes(10), last=True)


def test_what_arrives_is_what_was_sent(tmp_path: Path) -> None:
    """Pixels of an object that is passed on, whose data set comes in many pieces."""
    (out := tmp_path / "out").mkdir()
    (path,) = objects(tmp_path / "in", 1)
    (rules := tmp_path / "rules.toml").write_text("[[rule]]\naction = 'pass'\n")
    with node(tmp_path / "spool", out, rules=rules) as running:
        assert send(running.port, [path], max_pdu=4096) == [0]
        until(lambda: running.told("delivered"))
    (arrived,) = out.glob("*.dcm")
    assert arrived.name == "1.2.3.4.9.1.dcm"
    one, other = dcmread(path), dcmread(arrived)
    assert one == other
    np.testing.assert_array_equal(one.pixel_array, other.pixel_array)


def test_senders_of_dcmtk(tmp_path: Path) -> None:
    """Verified, sent in three syntaxes, over TLS, and refused: as other software does it."""
    echoscu, storescu, dcmsend = map(program, ("echoscu", "storescu", "dcmsend"))
    if not (echoscu and storescu and dcmsend):
        pytest.skip("no echoscu, storescu and dcmsend: install dcmtk")
    (out := tmp_path / "out").mkdir()

    def call(*command: object) -> int:
        return subprocess.run([str(part) for part in command], check=False, capture_output=True).returncode

    dx, rle, cr = (
        objects(tmp_path / str(number), 1, syntax=syntax, modality=modality, first=number)[0]
        for number, (syntax, modality) in enumerate(
            ((ExplicitVRLittleEndian, "DX"), (RLELossless, "DX"), (ImplicitVRLittleEndian, "CR"))
        )
    )
    with node(tmp_path / "spool", out, allow=["MODALITY"]) as running:
        there = [HERE, running.port]
        assert call(echoscu, "-aet", "MODALITY", *there) == 0
        assert call(echoscu, "-aet", "STRANGER", *there) != 0
        assert call(storescu, "-aet", "MODALITY", "-R", *there, dx) == 0
        assert call(storescu, "-aet", "MODALITY", "-xr", *there, rle) == 0
        assert call(dcmsend, "-aet", "MODALITY", *there, cr) == 0
        until(lambda: len(running.told("delivered")) == 3)
        assert {line["syntax"] for line in running.told("received")} == {ExplicitVRLittleEndian, RLELossless}
    assert len(names(out)) == 3
