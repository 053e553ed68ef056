"""`serve`: receive, denoise, forward, until somebody says stop."""

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xray_denoise import __version__
from xray_denoise.denoisers import AUTO, Denoiser
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.extras import require
from xray_denoise.files.folders import true_path
from xray_denoise.node.journal import Journal
from xray_denoise.node.rules import Rules, Treatment, read_rules
from xray_denoise.tasks.models import load
from xray_denoise.tasks.remarks import Strength, check_strength

if TYPE_CHECKING:
    from xray_denoise.node.destinations import Destination
    from xray_denoise.node.spool import Spool
    from xray_denoise.node.worker import Worker

STOP_SECONDS = 30.0
"""For what is being denoised or sent when the node is told to stop; what takes longer waits for the next start."""
LOOK_SECONDS = 1.0
"""Between two looks whether all threads are alive: a node that takes objects and does nothing with them must end."""
FORGET_SECONDS = 3600.0
"""Between two looks for what can be forgotten."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What `serve` is told.

    Raises:
        UsageError: a value is out of its range.
    """

    to: Sequence[str]
    """Destinations: AE@HOST:PORT, a URL, or a folder."""
    spool: Path
    ae_title: str = "XRAYDENOISE"
    port: int = 11112
    """0 has the system choose."""
    bind: str = "127.0.0.1"
    allow: Sequence[str] = ()
    """AE or AE@HOST; everybody where it is empty."""
    tls: tuple[Path, Path] | None = None
    """Certificate and key."""
    tls_authority: Path | None = None
    """Who must have signed the certificates of peers."""
    rules: Path | None = None
    model: str = AUTO
    strength: Strength = 1.0
    device: str = "auto"
    forward_originals: bool = False
    metrics: int | None = None
    """Port of the metrics, None for none."""
    max_object_bytes: int = 2**30
    keep_free_bytes: int = 2**29

    def __post_init__(self) -> None:
        check_strength(self.strength)
        for option, port in (("port", self.port), ("metrics", self.metrics or 0)):
            if not 0 <= port < 65536:
                raise UsageError(f"there is no port {port}", hint="choose 1 to 65535", option=option)
        if self.tls_authority is not None and self.tls is None:
            raise UsageError("an authority is for TLS", hint="give a certificate and a key too", option="tls")


def serve(options: NodeOptions, emit: Callable[[str], None], stop: threading.Event) -> bool:
    """Run a node until `stop` is set.

    Args:
        options: what it is to do.
        emit: is given each line of the log, without its end, by any thread.
        stop: ends it.

    Returns:
        Whether all threads have ended; what one that has not was at is done again at the next start.

    Raises:
        UsageError: the options or the rules contradict themselves.
        CannotRunError: a package, a model, or a port is missing, the spool is in use, or a thread has died.
    """
    for package in ("pynetdicom", "dicomweb_client", "prometheus_client"):
        require(package, "serve", "a DICOM node")
    from xray_denoise.node import receiver
    from xray_denoise.node.access import Allowed, is_ae_title, tls_context
    from xray_denoise.node.forwarder import Forwarder
    from xray_denoise.node.metrics import Metrics
    from xray_denoise.node.spool import Spool
    from xray_denoise.node.worker import Worker

    receiver.silence()
    if not is_ae_title(options.ae_title):
        raise UsageError(f"'{options.ae_title}' is no AE title", hint="1 to 16 characters", option="ae_title")
    allowed = [Allowed.parse(text) for text in options.allow]
    tls = None if options.tls is None else tls_context(*options.tls, options.tls_authority)
    rules, places = _addressed(options)
    models = {name: load(name, device=options.device) for name in sorted(rules.models)}
    journal = Journal(emit)
    with ExitStack() as at_the_end:
        spool = Spool(options.spool, _settings(rules, models, options))
        at_the_end.callback(spool.close)
        metrics = Metrics(spool)
        metrics_port = None
        if options.metrics is not None:
            server, metrics_port = metrics.serve(options.bind, options.metrics)
            at_the_end.callback(server.server_close)
            at_the_end.callback(server.shutdown)
        listener = receiver.Receiver(
            spool,
            journal,
            metrics,
            ae_title=options.ae_title,
            allowed=allowed,
            max_object_bytes=options.max_object_bytes,
            keep_free_bytes=options.keep_free_bytes,
            by_sender=rules.ask_sender,
        )
        port = listener.start(options.bind, options.port, tls)
        at_the_end.callback(listener.stop)
        journal.tell(
            "started",
            version=__version__,
            ae_title=options.ae_title,
            host=options.bind,
            port=port,
            metrics_port=metrics_port,
            tls=tls is not None,
            models={name: model.weights_sha256 for name, model in models.items()},
            destinations=[place.name for place in places],
            waiting=spool.counts()["received"],
        )
        for name in sorted(spool.waiting_deliveries().keys() - {place.name for place in places}):
            journal.tell("no such destination", destination=name)
        worker = Worker(
            spool,
            journal,
            metrics,
            rules=rules,
            models=models,
            forward_originals=options.forward_originals,
            stop=stop,
        )
        threads = [worker, *(Forwarder(place, spool, journal, metrics, stop) for place in places)]
        for thread in threads:
            thread.start()
        forget = time.monotonic() + FORGET_SECONDS
        while not stop.wait(LOOK_SECONDS) and all(thread.is_alive() for thread in threads):
            if time.monotonic() >= forget:
                forget += FORGET_SECONDS
                with suppress(sqlite3.Error):  # the disk is full; there is time
                    spool.forget()
        listener.stop()
        if not stop.is_set():
            raise CannotRunError("a thread of the node has died", hint="its log tells why; start it again")
        return _ended(threads, worker, spool, journal)


def _addressed(options: NodeOptions) -> tuple[Rules, list["Destination"]]:
    """The rules, and the destinations that they name.

    Raises:
        UsageError: a destination is none, or there is none at all.
    """
    from xray_denoise.node.destinations import Folder, parse

    default = Treatment("denoise", options.model, options.strength, tuple(options.to))
    rules = Rules((), default) if options.rules is None else read_rules(options.rules, default)
    places = {text: parse(text, options.ae_title) for one in rules.treatments for text in one.destinations}
    if not all(one.destinations for one in rules.treatments):
        raise UsageError("there is no destination", hint="say where results go", option="to")
    spool = true_path(options.spool)
    if any(true_path(place.folder).is_relative_to(spool) for place in places.values() if isinstance(place, Folder)):
        raise UsageError("results cannot go into the spool, which removes what it does not know",
                         hint="choose another folder", option="to")  # fmt: skip
    renamed = rules.renamed({text: place.name for text, place in places.items()})
    return renamed, list({place.name: place for place in places.values()}.values())


def _ended(threads: Sequence[threading.Thread], worker: "Worker", spool: "Spool", journal: Journal) -> bool:
    """Wait for the threads, but not for long, and have what one is still at begun again; returns whether all ended."""
    spool.wake()
    end = time.monotonic() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    at_work = worker.at_work
    if at_work is not None:
        spool.put_back(at_work)
    journal.tell("stopped", unfinished=at_work and at_work.name, waiting=spool.counts()["received"])
    return not any(thread.is_alive() for thread in threads)


def _settings(rules: Rules, models: dict[str, Denoiser], options: NodeOptions) -> str:
    """Stands for all that decides what becomes of an object."""
    hashes = {name: (model.name, model.weights_sha256, model.arithmetic) for name, model in models.items()}
    facts = [repr(rules), hashes, options.forward_originals, __version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
