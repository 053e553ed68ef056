"""A real Ray cluster of two nodes on this machine does what one process does, whatever dies in between."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from xray_denoise import denoise_files
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.extras import is_installed
from xray_denoise.physics.profile import Noise
from xray_denoise.tasks import cluster, denoise_log
from xray_denoise.tasks.cluster import ALONE, SETTINGS, RemoteWorker
from xray_denoise.tasks.jobs import MANIFEST_NAME, PARTS_NAME, plan_jobs
from xray_denoise.tasks.manifest import entries_of

DEADLY = 250
"""Grey level of an image that kills the process that denoises it."""


class Lower(Denoiser):
    """Takes ten grey levels off, in its own time; some images kill it."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    @property
    def name(self) -> str:
        return "lower"

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        time.sleep(self.seconds)
        if noisy.max() == DEADLY and "RAY_JOB_ID" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return Denoised.of(noisy, noisy - 10)


def pictures(folder: Path, count: int) -> Path:
    """A folder of small pictures, one of them broken."""
    (folder / "sub").mkdir(parents=True)
    for number in range(count):
        image = np.random.default_rng(number).integers(30, 200, (16, 24)).astype(np.uint8)
        Image.fromarray(image).save(folder / ("sub" if number % 3 else "") / f"{number:03d}.png")
    (folder / "050-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def told(outcome: Any, into: Path) -> dict[str, Any]:
    """What a log says of an outcome, but for the time it took and the name of the folder."""
    record = denoise_log.record(outcome, "cpu")
    return json.loads(json.dumps({**record, "seconds": 0}).replace(str(into), "OUT"))


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """Two nodes of one core each; the test process is connected to them."""
    if not is_installed("ray"):
        pytest.skip("Ray is not installed: pip install 'xray-denoise[cluster]'")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, **ALONE, "RAY_health_check_period_ms": "500"}.items():
            patch.setenv(name, value)
        import ray
        from ray import cloudpickle
        from ray.cluster_utils import Cluster

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import it

        bare = {"num_cpus": 1, "object_store_memory": cluster.OBJECT_STORE, "include_log_monitor": False}
        nodes = Cluster(initialize_head=True, head_node_args={**bare, "include_dashboard": False, "no_monitor": True})
        try:
            nodes.second = nodes.add_node(**bare)
            ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
            yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()


def test_a_killed_node_costs_nothing_but_time(tmp_path: Path, two_nodes: Any) -> None:
    source = pictures(tmp_path / "in", 80)
    one, two = tmp_path / "one", tmp_path / "two"
    expected = [told(outcome, one) for outcome in denoise_files(source, one, model=Lower())]
    batch = denoise_files(source, two, model=Lower(0.1), cluster="auto", threads=1)
    assert batch.cluster is not None
    assert batch.cluster.count == 2
    outcomes = []
    for outcome in batch:
        outcomes.append(told(outcome, two))
        if len(outcomes) == 12:
            two_nodes.remove_node(two_nodes.second, allow_graceful=False)
    assert batch.cluster.lost >= 1
    assert outcomes == expected
    assert tree(two) == tree(one), "results and manifest, and nothing else"

    again = denoise_files(source, two, model=Lower(), existing="skip", cluster="auto", threads=1)
    assert [planned.action for planned in again.preview()].count("skip") == 80
    assert again.cluster is not None
    assert again.cluster.count == 1
    assert [outcome.status for outcome in again].count("skipped") == 80
    assert tree(two) == tree(one)
