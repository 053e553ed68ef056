"""The receiving end: C-ECHO and C-STORE by pynetdicom, within limits on what a peer may cost.

A data set goes to a file of the spool while it arrives, never into memory. Success is answered when the object is on
the disk; 0xA700, *Refused: Out of Resources* (PS3.4 table B.2-1), when it is too large or the disk has no room for it.
"""

import hashlib
import ipaddress
import logging
import re
import socket
import sqlite3
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from socketserver import TCPServer
from threading import Thread
from typing import Any, BinaryIO, cast

from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.files.dicom import codecs
from xray_denoise.files.dicom.read import RADIOGRAPHS
from xray_denoise.node.heads import file_head
from xray_denoise.node.journal import Journal
from xray_denoise.node.metrics import Metrics
from xray_denoise.node.spool import Arrived, Spool

UNCOMPRESSED = (
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
"""The first that a peer offers is taken, before any compressed one: nobody is made to compress, perhaps with loss."""
SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
PDU_BYTES = 131_072
"""Largest PDU that is offered to peers."""
MOST_PDU_BYTES = 1 << 20
"""Largest PDU that is read: association requests with 128 contexts have less than 200 000 bytes."""
MOST_CONNECTIONS = 20
"""Connections at a time, those included that have not said who they are."""
PDU_SECONDS = 60.0
"""For a PDU to arrive once it has begun, and between two of them."""
MOST_COMMAND_BYTES, MOST_MESSAGES = 65_536, 4
"""Of a command, and of messages that a peer sends before the first is answered, where it should wait for the answer."""
NEGOTIATION_SECONDS = 30.0
"""For the request of an association."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may send: an AE title, from some addresses or from any."""

    ae: str
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """`AE` or `AE@HOST`: an address, a network such as 10.1.0.0/16, or a name, which is looked up once.

        Raises:
            UsageError: it is neither.
        """
        ae, _, host = text.partition("@")
        if not is_ae_title(ae) or text.endswith("@"):
            raise UsageError(f"'{text}' is neither AE nor AE@HOST", hint="for example XR1@10.0.0.7", option="allow")
        if not host:
            return cls(ae)
        with suppress(ValueError):
            return cls(ae, (ipaddress.ip_network(host, strict=False),))
        try:
            found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
        except OSError as error:
            raise UsageError(
                f"the host '{host}' is not known", hint="give its address instead", option="allow"
            ) from error
        return cls(ae, tuple(ipaddress.ip_network(address) for address in sorted(found)))

    def covers(self, address: str) -> bool:
        """Whether these may come from an address."""
        plain = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(plain, ipaddress.IPv6Address) and plain.ipv4_mapped:
            plain = plain.ipv4_mapped
        return not self.networks or any(plain in network for network in self.networks)


def is_ae_title(text: str) -> bool:
    """Whether a text can be an AE title (PS3.5 6.2: 16 characters, no backslash, not only spaces)."""
    return bool(re.fullmatch(r"[ -\[\]-~]{1,16}", text)) and bool(text.strip())


def tls_context(certificate: Path, key: Path, authority: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later for those who connect; with an authority, only for those whose certificate it has signed.

    Raises:
        UsageError: a file is missing, or is no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if authority is not None:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # SSLError is one
        raise UsageError(
            "the certificate, the key or the authority cannot be used", hint="give PEM files", option="tls"
        ) from error
    return context


def contexts() -> list[PresentationContext]:
    """What is accepted: C-ECHO, and every class and transfer syntax that can be denoised."""
    compressed = [syntax for syntax in AllTransferSyntaxes if codecs.library(syntax)]
    syntaxes = [*UNCOMPRESSED, *compressed]
    return [build_context(Verification), *(build_context(sop_class, list(syntaxes)) for sop_class in RADIOGRAPHS)]


class _Arrival(BytesIO):
    """A data set on its way into a file; what goes wrong is kept for the answer, since the peer must be heard out."""

    def __init__(self, path: Path, head: Callable[[], bytes], refusal: Callable[[int], str], most: int) -> None:
        super().__init__()
        self.path = path
        self.failure = ""
        self.size = 0
        self.is_over = False
        """Whether there is no file any more that is ours."""
        self._head, self._refusal, self._most = head, refusal, most
        self._stream: BinaryIO | None = None
        self._digest = hashlib.sha256()

    def write(self, data: Any, /) -> int:
        self.size += len(data)
        if self.size > 2 * self._most:
            raise _RudeError("an object without end")
        if not self.failure:
            self.failure = self._refusal(self.size)
        if not self.failure:
            try:
                if self._stream is None:
                    self._stream = self.path.open("xb")
                    self._stream.write(self._head())
                self._stream.write(data)
                self._digest.update(data)
            except OSError:
                self.failure = "no room"
        if self.failure:
            self.discard()
        return len(data)

    def finish(self, *besides: str) -> str:
        """Close the file, and give the hash of the data set and of what counts besides.

        Raises:
            OSError: the disk is full, or nothing has arrived.
        """
        if self._stream is None:
            raise OSError("nothing has arrived")
        stream, self._stream = self._stream, None
        self.is_over = True
        stream.close()
        self._digest.update("\0".join(besides).encode())
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove the file of an object that was not taken."""
        self.is_over = True
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(OSError):
                stream.close()
            self.path.unlink(missing_ok=True)


class _RudeError(Exception):
    """A peer does what none may do; the association is aborted."""


class _Messages(DIMSEServiceProvider):
    """Messages whose data sets go to files."""

    def __init__(self, assoc: Association, receiver: "Receiver") -> None:
        super().__init__(assoc)
        self._receiver = receiver
        self._is_ended = False

    def receive_primitive(self, primitive: Any) -> None:
        """Take a piece of a message, or abort the association."""
        try:
            if self.message is None:
                message = DIMSEMessage()
                message.data_set = self._receiver.arrival(self.assoc, message)
                self.message = message
            super().receive_primitive(primitive)
            waiting = self.message.encoded_command_set.tell() if self.message else 0
            if waiting > MOST_COMMAND_BYTES:
                raise _RudeError("a command without end")
            if self.msg_queue.qsize() > MOST_MESSAGES:
                raise _RudeError("messages without waiting for answers")
        except Exception as error:  # whatever pynetdicom raises for what is no valid message
            reason = str(error) if isinstance(error, _RudeError) else "no valid message"
            self._receiver.refuse(reason, str(self.assoc.requestor.address), calling_ae=_title(self.assoc))
            self.message = None
            self._is_ended = True
            while not self.dul.to_provider_queue.empty():  # answers, which the state machine takes for errors now
                self.dul.to_provider_queue.get_nowait()
            self.dul.event_queue.put("Evt19")  # an unexpected PDU: the state machine aborts (PS3.8 table 9-10)

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send an answer, unless the association is being aborted."""
        if not self._is_ended:
            super().send_msg(primitive, context_id)


class _Handler(RequestHandler):
    """Sets up the association of a connection."""

    server: "_Server"

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dimse = _Messages(association, self.server.receiver)
        association.dul.event_queue.get_nowait()  # of the transport that is replaced; the new one puts another
        association.dul.socket = _Transport(association, client_socket=self.request)
        return association


class _Transport(AssociationSocket):
    """Receives no PDU that is huge or never ends."""

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > MOST_PDU_BYTES:
            raise OSError("a PDU of more bytes than are read")
        received, end = bytearray(), time.monotonic() + PDU_SECONDS
        while len(received) < nr_bytes:
            data = cast(socket.socket, self.socket).recv(nr_bytes - len(received))
            if not data:
                break
            received += data
            if time.monotonic() > end:
                raise TimeoutError("a PDU takes too long")
        return received

    def _shutdown_socket(self) -> None:
        connection = self.socket
        super()._shutdown_socket()
        if connection is not None:  # which the above leaves open where the peer has closed it
            with suppress(OSError):
                connection.close()


class _Server(AssociationServer):
    """Accepts connections; no peer can hold it up."""

    request_queue_size = 64

    def __init__(self, receiver: "Receiver", *args: Any, **kwargs: Any) -> None:
        self.receiver = receiver
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = cast(socket.socket, self.socket).accept()
        connection.settimeout(PDU_SECONDS)
        if self.ssl_context:  # the handshake comes with the first bytes, in the thread of the association
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        return self.receiver.lets_in(str(client_address[0]), len(self.active_associations))

    def handle_error(self, _request: Any, client_address: Any) -> None:
        self.receiver.refuse("connection failed", str(client_address[0]))

    def service_actions(self) -> None:
        super().service_actions()
        self.receiver.clear_away()

    def stop(self) -> None:
        """Accept no more, and end what is there: what was not answered is sent again by its sender."""
        TCPServer.shutdown(self)
        self.server_close()
        for association in self.active_associations:
            association.abort()
        self.receiver.clear_away()


class Receiver:
    """The listening node.

    Args:
        spool: takes the objects.
        journal: is told of them.
        metrics: counts them.
        ae_title: of this node; called by another one, it answers as well.
        allowed: who may send; everybody where it is empty.
        max_object_bytes: of the largest data set that is taken.
        keep_free_bytes: room that is left on the disk of the spool, besides that for the result of an object.
        by_sender: whether an object is another one when another node sends it.
    """

    def __init__(
        self,
        spool: Spool,
        journal: Journal,
        metrics: Metrics,
        *,
        ae_title: str,
        allowed: Sequence[Allowed],
        max_object_bytes: int,
        keep_free_bytes: int,
        by_sender: bool,
    ) -> None:
        self._spool, self._journal, self._metrics = spool, journal, metrics
        self._ae_title, self._allowed = ae_title, tuple(allowed)
        self._max_object_bytes, self._keep_free_bytes = max_object_bytes, keep_free_bytes
        self._by_sender = by_sender
        self._server: _Server | None = None
        self._arriving: dict[_Arrival, Association] = {}

    def start(self, address: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; returns the port, which the system chooses for port 0.

        Raises:
            CannotRunError: the port is taken, or the address is not one of this machine.
        """
        silence()
        entity = AE(self._ae_title)
        entity.maximum_pdu_size = PDU_BYTES
        entity.maximum_associations = MOST_CONNECTIONS
        entity.network_timeout, entity.acse_timeout, entity.dimse_timeout = PDU_SECONDS, NEGOTIATION_SECONDS, None
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_STORE, self._stored),
            (evt.EVT_C_ECHO, self._echoed),
        ]
        try:
            self._server = _Server(
                self,
                entity,
                (address, port),
                self._ae_title,
                contexts(),
                ssl_context=tls,
                evt_handlers=handlers,
                request_handler=_Handler,
            )
        except OSError as error:
            raise CannotRunError(
                f"cannot listen on {address}, port {port}: {error.strerror}",
                hint="choose another port or address",
                option="bind" if isinstance(error, socket.gaierror) else "port",
            ) from error
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="listen", daemon=True).start()
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def lets_in(self, address: str, connections: int) -> bool:
        """Whether a connection is taken up."""
        if self._allowed and not any(one.covers(address) for one in self._allowed):
            self.refuse("host not allowed", address)
        elif connections >= MOST_CONNECTIONS:
            self.refuse("too many connections", address)
        else:
            return True
        return False

    def refuse(self, reason: str, address: str, **facts: Any) -> None:
        """Tell of something that was refused."""
        self._metrics.refused.labels(reason).inc()
        self._journal.tell("refused", reason=reason, host=address, **facts)

    def arrival(self, association: Association, message: DIMSEMessage) -> _Arrival:
        """Where the data set of a message goes."""

        def head() -> bytes:
            command = message.command_set
            context = association._accepted_cx[cast(int, message.context_id)]
            instance = str(command.AffectedSOPInstanceUID)
            if not re.fullmatch(r"[0-9.]{1,64}", instance):
                raise ValueError("no valid SOP Instance UID")
            return file_head(str(command.AffectedSOPClassUID), instance, context.transfer_syntax[0])

        arrival = _Arrival(self._spool.new_arrival(), head, self._refusal, self._max_object_bytes)
        self._arriving[arrival] = association
        return arrival

    def clear_away(self) -> None:
        """Remove what has arrived in part on associations that have ended."""
        for arrival, association in list(self._arriving.items()):
            if arrival.is_over or not association.is_alive():
                arrival.discard()
                self._arriving.pop(arrival, None)

    def _refusal(self, size: int) -> str:
        if size > self._max_object_bytes:
            return "too large"
        room = self._keep_free_bytes + 2 * size  # for the result of this object, and of one like it that is under way
        return "no room" if self._spool.free_bytes < room else ""

    def _requested(self, event: evt.Event) -> None:
        """Refuse an association of somebody who is not allowed (PS3.8 table 9-21: calling AE title not recognized)."""
        association = event.assoc
        request, address = association.requestor.primitive, str(association.requestor.address)
        title = str(getattr(request, "calling_ae_title", "")).strip()
        if not self._allowed or any(one.ae == title and one.covers(address) for one in self._allowed):
            return
        self.refuse("calling AE not allowed", address, calling_ae=title)
        association.acse.send_reject(0x01, 0x01, 0x03)
        association.kill()

    def _echoed(self, event: evt.Event) -> int:
        self._journal.tell("echo", calling_ae=_title(event.assoc), host=str(event.assoc.requestor.address))
        return SUCCESS

    def _stored(self, event: evt.Event) -> int:
        """Take over an object, and answer."""
        request: Any = event.request
        arrival: _Arrival = request.DataSet
        title, host = _title(event.assoc), str(event.assoc.requestor.address)
        sop_class, syntax = str(request.AffectedSOPClassUID), str(event.context.transfer_syntax)
        known = RADIOGRAPHS.get(sop_class, "unknown")
        facts = {"calling_ae": title, "sop_class": known, "bytes": arrival.size}
        if not arrival.failure:
            try:
                arrived = Arrived(arrival.finish(syntax, title if self._by_sender else ""), title, sop_class, syntax)
                name, new = self._spool.admit(arrival.path, arrived)
            except (OSError, sqlite3.Error):
                arrival.path.unlink(missing_ok=True)
                arrival.failure = "no room"
        if arrival.failure:
            self.refuse(arrival.failure, host, **facts)
            return OUT_OF_RESOURCES
        self._metrics.received.labels("no" if new else "yes").inc()
        event_name = "received" if new else "received again"
        self._journal.tell(event_name, object=name, host=host, syntax=syntax, **facts)
        return SUCCESS


def _title(association: Association) -> str:
    return str(association.requestor.ae_title).strip()


def silence() -> None:
    """Keep pynetdicom and the HTTP client from telling what they send: it is a patient's. What goes wrong, we tell."""
    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "dicomweb_client", "urllib3", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
