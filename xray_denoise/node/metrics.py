"""Figures of a node for Prometheus, by its client library."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from xray_denoise.errors import CannotRunError
from xray_denoise.node.spool import Spool

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)
"""Upper ends of the classes of durations."""
PREFIX = "xray_denoise_"


class Metrics:
    """Counters, and gauges that ask the spool when they are read."""

    def __init__(self, spool: Spool) -> None:
        disable_created_metrics()
        self.registry = registry = CollectorRegistry()
        self.received = Counter(f"{PREFIX}received", "Objects answered with Success", ["again"], registry=registry)
        self.refused = Counter(f"{PREFIX}refused", "Associations and objects refused", ["reason"], registry=registry)
        self.denoised = Counter(f"{PREFIX}denoised", "Objects denoised", ["model"], registry=registry)
        self.passed = Counter(f"{PREFIX}passed", "Objects passed on by a rule", registry=registry)
        self.set_aside = Counter(f"{PREFIX}set_aside", "Objects kept aside", ["kind"], registry=registry)
        self.delivered = Counter(f"{PREFIX}delivered", "Objects delivered", ["destination"], registry=registry)
        self.failed = Counter(f"{PREFIX}failed", "Tries to deliver that failed", ["destination"], registry=registry)
        self.retried = Counter(f"{PREFIX}retried", "Tries to denoise that failed and are repeated", registry=registry)
        self.seconds = Histogram(
            f"{PREFIX}denoise_seconds", "Time to denoise an object", registry=registry, buckets=SECONDS
        )
        registry.register(_SpoolCollector(spool))
        ProcessCollector(registry=registry)

    def serve(self, address: str, port: int) -> "tuple[WSGIServer, int]":
        """Answer HTTP requests at an address; returns the server and its port.

        Raises:
            CannotRunError: the port is taken, or the address is not one of this machine.
        """
        try:
            server, _ = start_http_server(port, address, self.registry)
        except OSError as error:
            raise CannotRunError(
                f"cannot listen on port {port} for the metrics: {error.strerror}",
                hint="choose another",
                option="metrics",
            ) from error
        return server, server.server_port


class _SpoolCollector(Collector):
    """What waits in the spool, at the time of asking."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(f"{PREFIX}objects", "Objects in the spool by state", labels=["state"])
        for state, count in self._spool.counts().items():
            states.add_metric([state], count)
        yield states
        waiting = GaugeMetricFamily(f"{PREFIX}waiting", "Objects that a destination lacks", labels=["destination"])
        first = GaugeMetricFamily(
            f"{PREFIX}waiting_since_seconds", "Arrival of the first of these, Unix time", labels=["destination"]
        )
        for destination, (count, received) in self._spool.waiting_deliveries().items():
            waiting.add_metric([destination], count)
            first.add_metric([destination], received)
        yield waiting
        yield first
        yield GaugeMetricFamily(f"{PREFIX}free_bytes", "Room on the disk of the spool", value=self._spool.free_bytes)
