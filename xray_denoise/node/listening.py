"""Connections and messages of peers, within limits on what each may cost: pynetdicom's classes, made strict.

Server (connections) -> Transport (PDUs) -> Messages (commands) -> Arrival (a data set, into a file of the spool)
"""

import hashlib
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

if TYPE_CHECKING:
    from xray_denoise.node.receiver import Receiver

MOST_PDU_BYTES = 1 << 20
"""Largest PDU that is read: association requests with 128 contexts have less than 200 000 bytes."""
PDU_SECONDS = 60.0
"""For a PDU to arrive once it has begun, and between two of them."""
MOST_COMMAND_BYTES, MOST_MESSAGES = 65_536, 4
"""Of a command, and of messages that a peer sends before the first is answered, where it should wait for the answer."""


class Arrival(BytesIO):
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
        """Take a piece.

        Raises:
            _RudeError: there is far more than the object may have.
        """
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
            self._receiver.refuse(reason, str(self.assoc.requestor.address), calling_ae=title_of(self.assoc))
            self.message = None
            self._is_ended = True
            while not self.dul.to_provider_queue.empty():  # answers, which the state machine takes for errors now
                self.dul.to_provider_queue.get_nowait()
            self.dul.event_queue.put("Evt19")  # an unexpected PDU: the state machine aborts (PS3.8 table 9-10)

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send an answer, unless the association is being aborted."""
        if not self._is_ended:
            super().send_msg(primitive, context_id)


class Handler(RequestHandler):
    """Sets up the association of a connection."""

    server: "Server"

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


class Server(AssociationServer):
    """Accepts connections; no peer can hold it up."""

    request_queue_size = 64

    def __init__(self, receiver: "Receiver", *args: Any, **kwargs: Any) -> None:
        self.receiver = receiver
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; see `socketserver`."""
        connection, address = cast(socket.socket, self.socket).accept()
        connection.settimeout(PDU_SECONDS)
        if self.ssl_context:  # the handshake comes with the first bytes, in the thread of the association
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        """Whether a connection is taken up; see `socketserver`."""
        return self.receiver.lets_in(str(client_address[0]), len(self.active_associations))

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Tell of a connection that failed; see `socketserver`."""
        self.receiver.refuse("connection failed", str(client_address[0]))

    def service_actions(self) -> None:
        """Clear away between connections; see `socketserver`."""
        super().service_actions()
        self.receiver.clear_away()

    def stop(self) -> None:
        """Accept no more, and end what is there: what was not answered is sent again by its sender."""
        TCPServer.shutdown(self)
        self.server_close()
        for association in self.active_associations:
            association.abort()
        self.receiver.clear_away()


def title_of(association: Association) -> str:
    """The AE title that a peer gives itself."""
    return str(association.requestor.ae_title).strip()
