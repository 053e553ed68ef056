"""Connect to a Ray cluster, or start one on this machine; neither reports its use to anybody."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from xray_denoise.errors import CannotRunError

LOCAL = "local"
"""The address of a cluster of this machine alone, started for the run. The other addresses are those of `ray.init`."""
OBJECT_STORE = 80 * 2**20
"""Bytes of Ray's shared memory on `local`: close to the least that Ray accepts, because nothing large is sent."""
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
"""Environment while Ray is imported and started: no usage reports, no warning of a future change, and no messages of
Ray on standard output, where it prints pages of log when a node dies."""
LOCAL_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_worker_niceness": "0",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}
"""The same for `local`. With the first, all processes of Ray listen on loopback only. With the second, workers run at
the priority of this process. The proxy, which does not exist, keeps Ray's head from asking the metadata services of
cloud providers where it runs, which it does even if usage reports are off."""


def connected(address: str) -> tuple[Any, bool]:
    """Ray, connected to a cluster, and whether this function made the connection.

    Raises:
        CannotRunError: there is no such cluster.
    """
    with _environment({**RAY_ENVIRONMENT, **(LOCAL_ENVIRONMENT if address == LOCAL else {})}):
        ray: Any = import_module("ray")
        if ray.is_initialized():
            return ray, False
        more = {"include_dashboard": False, "object_store_memory": OBJECT_STORE} if address == LOCAL else {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **more)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
            raise CannotRunError(
                f"cannot reach the Ray cluster '{address}': {str(error).splitlines()[0]}",
                hint="start it, make this machine a node of it, and set the same variables as there (docs/cluster.md)",
                option="cluster",
            ) from error
    return ray, True


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
