"""Where results go: another DICOM node (C-STORE), a DICOMweb server (STOW-RS), or a folder.

A destination takes objects one by one and says of each that it has it, or what was wrong with it. `DownError` says
that nothing can be brought there for now. An object that a destination has already counts as brought: the same input,
model and options give the same SOP Instance UID, so that a repetition makes nothing new.
"""

import os
import queue
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydicom import Dataset, dcmread
from pydicom.uid import UID, ImplicitVRLittleEndian

from xray_denoise.errors import UnwritableFileError, UsageError
from xray_denoise.files.atomic import atomic_write
from xray_denoise.files.dicom import codecs
from xray_denoise.node.durable import sync_folder
from xray_denoise.node.spool import Delivery

CONNECT_SECONDS, ANSWER_SECONDS = 15.0, 120.0
"""For a connection to be made, and for an answer after the last byte, or room for the next ones."""
CLOSED_SECONDS = 0.5
"""Between two looks whether there is a connection at all."""
SLOWEST = 50_000
"""Bytes a second of the slowest peer."""
DUPLICATE = 0x0111
"""*Duplicate SOP Instance*: the destination has it already."""
NOT_TAKEN = "the destination takes no objects of this class and transfer syntax"
NOT_READ, NOT_TOLD = "an answer that cannot be read", "an answer that does not say that the object is stored"
NOT_ENCODED = "it cannot be encoded"
OUT_OF_RESOURCES = range(0xA700, 0xA800)
TAKEN = (0x0000, DUPLICATE, 0xB000, 0xB006, 0xB007)
"""Stored, be it with elements coerced or dropped, or in doubt of the class (PS3.4 table B.2-1)."""
NODE = re.compile(r"(?P<ae>[^@\\]{1,16})@(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]@/:\s]+):(?P<port>\d{1,5})")

Answer = tuple[Delivery, str]
"""An object, and what was wrong; empty where the destination has it."""


class DownError(Exception):
    """Nothing can be brought to a destination for now; the text tells why, without anything of an object."""


class Destination(ABC):
    """Where objects go; used by one thread.

    Attributes:
        name: tells it apart, in the spool, the log and the metrics.
    """

    name: str

    @abstractmethod
    def send(self, deliveries: Sequence[Delivery]) -> Generator[Answer, None, None]:
        """Bring objects there, in their order.

        Raises:
            DownError: the destination takes nothing for now.
        """


def parse(text: str, ae_title: str) -> Destination:
    """A destination: `AE@HOST:PORT`, the URL of a STOW-RS service, or a folder that is there.

    Args:
        text: what was given.
        ae_title: by which this node calls others.

    Raises:
        UsageError: it is none of them.
    """
    if "://" in text:
        return Web(text)
    match = NODE.fullmatch(text)
    if match and 0 < int(match["port"]) < 65536:
        return Node(match["ae"].strip(), match["host"].strip("[]"), int(match["port"]), ae_title)
    if not text or not Path(text).is_dir():
        raise UsageError(
            f"'{text}' is neither AE@HOST:PORT, a URL, nor a folder",
            hint="for example PACS@10.0.0.5:104, https://pacs.example/dicom-web/studies, or a folder that is there",
            option="to",
        )
    return Folder(Path(text))


class Folder(Destination):
    """A folder; an object is a file named by its SOP Instance UID, whole or not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder.absolute())

    def send(self, deliveries: Sequence[Delivery]) -> Generator[Answer, None, None]:
        """Copy files."""
        for delivery in deliveries:
            target = self.folder / f"{_instance(delivery.path)}.dcm"
            try:
                if not self.folder.is_dir():
                    raise DownError("the folder is not there")
                with delivery.path.open("rb") as stream, atomic_write(target, source=delivery.path) as copy:
                    while block := stream.read(1 << 20):
                        copy.write(block)
                    copy.flush()
                    os.fsync(copy.fileno())
                sync_folder(self.folder)
            except UnwritableFileError as error:
                reason = getattr(error.__cause__, "strerror", None)
                raise DownError(reason or "it cannot be written") from error
            except OSError as error:
                raise DownError(error.strerror or type(error).__name__) from error
            yield delivery, ""


class Web(Destination):
    """A DICOMweb server that stores (STOW-RS, PS3.18 10.5), by dicomweb-client."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or not path.endswith("/studies"):
            raise UsageError(
                "a STOW-RS service is http(s)://HOST/.../studies", hint="see the manual of the server", option="to"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError(
                "the URL of a destination holds more than an address",
                hint="put a user and a password into ~/.netrc, where other users cannot see them",
                option="to",
            )
        self.name = f"{parts.scheme}://{parts.netloc}{path}"

    def send(self, deliveries: Sequence[Delivery]) -> Generator[Answer, None, None]:
        """Post objects, each in a request of its own."""
        import requests

        with requests.Session() as session:
            session.max_redirects = 0  # images go where they were sent, and nowhere else
            session.hooks["response"].append(_without_parameters)
            client = _stow_client(self.name.removesuffix("/studies"), session)
            for delivery in deliveries:
                content = delivery.path.read_bytes()
                try:
                    problem = client.store(content)
                except requests.HTTPError as error:
                    status = error.response.status_code if error.response is not None else 0
                    if status in (401, 403, 404, 407, 408, 429) or status >= 500:
                        raise DownError(f"HTTP status {status}") from error
                    yield delivery, "" if status == 409 and _is_duplicate(error.response) else f"HTTP status {status}"
                except requests.exceptions.InvalidJSONError:
                    yield delivery, NOT_READ
                except requests.RequestException as error:
                    raise DownError(type(error).__name__) from error
                except Exception:  # whatever the parsers of JSON, XML and DICOM stumble over
                    yield delivery, NOT_READ
                else:
                    yield delivery, problem


def _stow_client(url: str, session: Any) -> Any:
    from dicomweb_client.web import DICOMwebClient, _Transaction

    class Client(DICOMwebClient):
        """Stores files as they are: `store_instances` takes data sets, and cannot parse what is damaged."""

        def store(self, content: bytes) -> str:
            """Store an object; returns what was wrong, empty for nothing."""
            answer = self._http_post_multipart_application_dicom(self._get_studies_url(_Transaction.STORE), [content])
            refused = _failure_reason(answer)
            if refused not in (0, DUPLICATE):
                return f"failure reason {refused:04X}"
            is_told = refused or answer.get("ReferencedSOPSequence")  # a page of a proxy or a login tells nothing
            return "" if is_told else NOT_TOLD

    client = Client(url, session=session, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), chunk_size=1 << 40)
    client.set_http_retry_params(retry=False)
    return client


def _without_parameters(response: Any, *_: Any, **__: Any) -> None:
    """Leave the media type of an answer alone: dicomweb-client reads none that has a charset, and tells nothing."""
    response.headers["Content-Type"] = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _failure_reason(answer: Any) -> int:
    for item in answer.get("FailedSOPSequence") or []:
        return int(item.get("FailureReason") or 0x0110)
    return 0


def _is_duplicate(response: Any) -> bool:
    """Whether a conflict (409) is only that the object is there already."""
    try:
        return _failure_reason(Dataset.from_json(response.json())) == DUPLICATE
    except Exception:  # whatever the parsers stumble over
        return False


class Node(Destination):
    """Another DICOM node that stores (C-STORE), by pynetdicom; one association for all objects of a call."""

    def __init__(
        self, ae: str, host: str, port: int, calling_ae: str, *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self.name = f"{ae}@{f'[{host}]' if ':' in host else host}:{port}"
        self._ae, self._host, self._port, self._calling_ae = ae, host, port, calling_ae
        self._answer_seconds = answer_seconds

    def send(self, deliveries: Sequence[Delivery]) -> Generator[Answer, None, None]:
        """Store objects in one association."""
        heads = [_file_meta(delivery.path) for delivery in deliveries]
        association = self._associated(deliveries, heads)
        if not association.is_established:
            yield from ((delivery, NOT_TAKEN) for delivery in deliveries)
            return
        try:
            for delivery, (sop_class, syntax) in zip(deliveries, heads, strict=True):
                yield delivery, self._store(association, delivery.path, sop_class, syntax)
            association.release()
        finally:
            if association.is_alive() and not association.is_released:
                association.abort()

    def _associated(self, deliveries: Sequence[Delivery], heads: Sequence[tuple[UID, UID]]) -> Any:
        from pynetdicom import AE, _config, evt
        from pynetdicom.presentation import build_context

        _config.STORE_SEND_CHUNKED_DATASET = True  # files go as they are, neither parsed nor as a whole in memory
        entity = AE(self._calling_ae)
        entity.connection_timeout, entity.acse_timeout = CONNECT_SECONDS, CONNECT_SECONDS
        longest = max(delivery.path.stat().st_size for delivery in deliveries)
        entity.dimse_timeout = self._answer_seconds + longest / SLOWEST
        entity.network_timeout = entity.dimse_timeout
        wanted = {pair: None for head in heads for pair in (head, (head[0], _fallback(head[1]))) if pair[1]}
        proposed = [build_context(sop_class, syntax) for sop_class, syntax in wanted]
        try:
            association = entity.associate(
                self._host, self._port, proposed, self._ae, evt_handlers=[(evt.EVT_CONN_OPEN, self._limit_waiting)]
            )
        except OSError as error:
            raise DownError(error.strerror or "the host is not known") from error
        none_is_taken = association.rejected_contexts and not association.accepted_contexts
        if not association.is_established and not none_is_taken:
            raise DownError("the association was rejected" if association.is_rejected else "no association")
        association.dimse = _answers(association)
        return association

    def _limit_waiting(self, event: Any) -> None:
        """A peer that reads no more must not hold up this thread for ever."""
        event.assoc.dul.socket.socket.settimeout(self._answer_seconds)

    def _store(self, association: Any, path: Path, sop_class: UID, syntax: UID) -> str:
        accepted = {(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in association.accepted_contexts}
        content: Any = path
        if (sop_class, syntax) not in accepted:
            fallback = _fallback(syntax)
            if (sop_class, fallback) not in accepted:
                return NOT_TAKEN
            content = _parsed(path)
        if not association.is_established:
            raise DownError("the association was ended")
        if not content:
            return NOT_ENCODED
        try:
            answer = association.send_c_store(content)
        except OSError:  # of our own disk
            raise
        except Exception as error:  # whatever is raised for an object that is damaged
            if not association.is_established:
                raise DownError("the association was ended") from error
            return NOT_ENCODED
        status = answer.get("Status")
        if status is None:
            raise DownError("no answer")
        if status in OUT_OF_RESOURCES:
            raise DownError(f"status {status:04X}, out of resources")
        return "" if status in TAKEN else f"status {status:04X}"


def _parsed(path: Path) -> Dataset | None:
    """An object that is to be encoded anew; None where it is damaged.

    Raises:
        OSError: our own disk fails.
    """
    try:
        return dcmread(path)
    except Exception as error:  # the parser raises whatever it stumbles over, OSError without a number as well
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return None


def _answers(association: Any) -> Any:
    """Waits for answers as long as there is a connection: pynetdicom misses one that ends between two messages."""
    from pynetdicom.dimse import DIMSEServiceProvider

    class Answers(DIMSEServiceProvider):
        def get_msg(self, block: bool = False) -> Any:
            end = time.monotonic() + (self.dimse_timeout or ANSWER_SECONDS)
            while True:
                try:
                    return self.msg_queue.get(block=block, timeout=CLOSED_SECONDS)
                except queue.Empty:
                    connected = self.dul.is_alive() and self.dul.state_machine.current_state != "Sta1"
                    if not (block and connected) or time.monotonic() > end:
                        return None, None

    return Answers(association)


def _fallback(syntax: UID) -> UID | None:
    """What an uncompressed object can be sent as where its syntax is not taken: every node takes this (PS3.5 10.1)."""
    return ImplicitVRLittleEndian if syntax in codecs.NATIVE and syntax.is_little_endian else None


def _file_meta(path: Path) -> tuple[UID, UID]:
    """Class and transfer syntax by the file head."""
    from pynetdicom.dsutils import split_dataset

    meta, _ = split_dataset(path)
    return UID(meta.MediaStorageSOPClassUID), UID(meta.TransferSyntaxUID)


def _instance(path: Path) -> str:
    """The SOP Instance UID of a file of the spool by its head, which holds digits and dots only."""
    from pynetdicom.dsutils import split_dataset

    meta, _ = split_dataset(path)
    uid = str(meta.MediaStorageSOPInstanceUID)
    return uid if re.fullmatch(r"[0-9.]{1,64}", uid) and uid.strip(".") else path.stem
