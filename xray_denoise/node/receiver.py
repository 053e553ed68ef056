"""The receiving end: C-ECHO and C-STORE by pynetdicom, within limits on what a peer may cost.

A data set goes to a file of the spool while it arrives, never into memory. Success is answered when the object is on
the disk; 0xA700, *Refused: Out of Resources* (PS3.4 table B.2-1), when it is too large or the disk has no room for it.
"""

import logging
import re
import socket
import sqlite3
import ssl
from collections.abc import Sequence
from threading import Thread
from typing import Any, cast

from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from xray_denoise.errors import CannotRunError
from xray_denoise.files.dicom import codecs
from xray_denoise.files.dicom.read import RADIOGRAPHS
from xray_denoise.node.access import Allowed
from xray_denoise.node.heads import file_head
from xray_denoise.node.journal import Journal
from xray_denoise.node.listening import PDU_SECONDS, Arrival, Handler, Server, title_of
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
MOST_CONNECTIONS = 20
"""Connections at a time, those included that have not said who they are."""
NEGOTIATION_SECONDS = 30.0
"""For the request of an association."""


def contexts() -> list[PresentationContext]:
    """What is accepted: C-ECHO, and every class and transfer syntax that can be denoised."""
    compressed = [syntax for syntax in AllTransferSyntaxes if codecs.library(syntax)]
    syntaxes = [*UNCOMPRESSED, *compressed]
    return [build_context(Verification), *(build_context(sop_class, list(syntaxes)) for sop_class in RADIOGRAPHS)]


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
        self._server: Server | None = None
        self._arriving: dict[Arrival, Association] = {}

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
            self._server = Server(
                self,
                entity,
                (address, port),
                self._ae_title,
                contexts(),
                ssl_context=tls,
                evt_handlers=handlers,
                request_handler=Handler,
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

    def arrival(self, association: Association, message: DIMSEMessage) -> Arrival:
        """Where the data set of a message goes."""

        def head() -> bytes:
            command = message.command_set
            context = association._accepted_cx[cast(int, message.context_id)]
            instance = str(command.AffectedSOPInstanceUID)
            if not re.fullmatch(r"[0-9.]{1,64}", instance):
                raise ValueError("no valid SOP Instance UID")
            return file_head(str(command.AffectedSOPClassUID), instance, context.transfer_syntax[0])

        arrival = Arrival(self._spool.new_arrival(), head, self._refusal, self._max_object_bytes)
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
        self._journal.tell("echo", calling_ae=title_of(event.assoc), host=str(event.assoc.requestor.address))
        return SUCCESS

    def _stored(self, event: evt.Event) -> int:
        """Take over an object, and answer."""
        request: Any = event.request
        arrival: Arrival = request.DataSet
        title, host = title_of(event.assoc), str(event.assoc.requestor.address)
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


def silence() -> None:
    """Keep pynetdicom and the HTTP client from telling what they send: it is a patient's. What goes wrong, we tell."""
    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "dicomweb_client", "urllib3", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
