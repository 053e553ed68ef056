"""`--cluster`: denoise on the machines of a Ray cluster (an extra).

    paths -> an actor for each GPU or group of CPU cores: reads, denoises, writes by `batch.run_jobs` -> outcomes

The process that starts the run is the driver. It assigns paths to workers and receives outcomes (`dispatch`), never
pixels. Each worker writes a part of the manifest of its own; the driver merges the lines in the order of the plan.
"""

import os
import re
import secrets
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor as Pool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from xray_denoise import __version__, denoisers
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import CannotRunError, UnreadableFileError, UsageError, XrayDenoiseError
from xray_denoise.extras import require
from xray_denoise.files.atomic import remove_abandoned
from xray_denoise.files.folders import make_folder
from xray_denoise.physics.profile import Noise
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.dispatch import JOBS_PER_WORKER, MAX_DEATHS, Dispatch, WorkerLostError
from xray_denoise.tasks.jobs import Job
from xray_denoise.tasks.manifest import Entry, Manifest, entries_of, parts
from xray_denoise.tasks.options import Options
from xray_denoise.tasks.outcome import Outcome, failed

LOCAL, AUTO = "local", "auto"
"""Addresses: a cluster of this machine alone, started for the run; the cluster that this machine is a node of."""
CPU_GROUP = 4
"""Default number of CPU cores of a worker."""
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

COLOUR = re.compile(r"\x1b\[\d*m")
"""Escape sequences in messages of Ray."""

Loader = Callable[[], Denoiser]
Done = tuple[Outcome, tuple[Entry, ...]]
"""The outcome of a file, and its entries in the manifest."""
Given = TypeVar("Given")
Wanted = TypeVar("Wanted")


@dataclass(frozen=True, slots=True)
class DenoiserInfo:
    """Identifies a denoiser; it must be the same on all workers."""

    name: str
    weights_sha256: str
    arithmetic: str
    device: str
    settings: str
    training: str
    version: str = __version__


class RemoteDenoiser(Denoiser):
    """Placeholder for the denoiser of the workers: has its name and settings, and cannot denoise."""

    def __init__(self, info: DenoiserInfo) -> None:
        self._info = info

    @property
    def name(self) -> str:
        """See `Denoiser`."""
        return self._info.name

    @property
    def weights_sha256(self) -> str:
        """See `Denoiser`."""
        return self._info.weights_sha256

    @property
    def arithmetic(self) -> str:
        """See `Denoiser`."""
        return self._info.arithmetic

    @property
    def device(self) -> str:
        """See `Denoiser`."""
        return self._info.device

    @property
    def settings(self) -> str:
        """See `Denoiser`."""
        return self._info.settings

    @property
    def training(self) -> str:
        """See `Denoiser`."""
        return self._info.training

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Not available."""
        raise NotImplementedError


class SerialDenoiser(RemoteDenoiser):
    """Makes a denoiser safe to call from several threads: it computes in one thread, one image at a time."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__(info_of(denoiser))
        self._denoiser = denoiser
        self._thread = Pool(1, "denoise")

    def require(self, noise: Noise | None) -> None:
        """See `Denoiser`."""
        self._denoiser.require(noise)

    def noise_of_scene(self, frames: Sequence[NDArray[np.floating]]) -> Noise | None:
        """See `Denoiser`."""
        return self._thread.submit(self._denoiser.noise_of_scene, frames).result()

    def denoise_frame(
        self, frame: NDArray[np.floating], noise: Noise | None, others: Sequence[NDArray[np.floating]]
    ) -> Denoised:
        """See `Denoiser`."""
        return self._thread.submit(self._denoiser.denoise_frame, frame, noise, others).result()

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """See `Denoiser`."""
        return self._thread.submit(self._denoiser, noisy, level).result()


def info_of(denoiser: Denoiser) -> DenoiserInfo:
    """The attributes of a denoiser."""
    return DenoiserInfo(
        denoiser.name,
        denoiser.weights_sha256,
        denoiser.arithmetic,
        denoiser.device,
        denoiser.settings,
        denoiser.training,
    )


class RemoteWorker:
    """The Ray actor that processes files, in `JOBS_PER_WORKER` threads.

    Errors that a user can fix are returned, because Ray adds a traceback to exceptions.
    """

    def __init__(self, loader: Loader, noise: Noise | None, threads: int | None, folder: str) -> None:
        self._loader, self._noise, self._threads, self._folder = loader, noise, threads, folder
        self._denoiser: SerialDenoiser | None = None
        self._options: dict[str, Any] = {}
        self._manifest_folder, self._part = Path(), ""

    def load_model(self) -> DenoiserInfo | XrayDenoiseError:
        """Load the model."""
        try:
            if self._denoiser is None:
                denoisers.keep_memory()
                if self._threads is not None:
                    denoisers.set_threads(self._threads)
                denoiser = self._loader()
                denoiser.require(self._noise)
                self._denoiser = SerialDenoiser(denoiser)
            with suppress(OSError):  # not needed for absolute paths
                os.chdir(self._folder)
            return info_of(self._denoiser)
        except XrayDenoiseError as error:
            return error

    def start(self, options: dict[str, Any], folder: Path, part: str) -> DenoiserInfo | XrayDenoiseError:
        """Prepare for jobs.

        Args:
            options: arguments of `Options`, without denoiser, manifest and callbacks.
            folder: folder of the results; it exists.
            part: name of the worker's part of the manifest.
        """
        found = self.load_model()
        self._options, self._manifest_folder, self._part = options, folder, part
        if not folder.is_dir():
            return CannotRunError(
                f"the folder {{path}} is not there on the machine {os.uname().nodename}",
                path=folder,
                hint="every machine must see the same files by the same names: use a shared folder and absolute paths",
            )
        return found

    def denoise(self, job: Job, known: tuple[Entry, ...], ours: tuple[Entry, ...]) -> Done:
        """Denoise one file.

        Args:
            job: the file.
            known: entries of the manifest for its result.
            ours: entries for its result by workers of this run that died; a result that matches them is replaced.
        """
        manifest = Manifest(self._manifest_folder, self._part, known)
        options = Options(cast(Denoiser, self._denoiser), manifest=manifest, **self._options)
        if ours and _is_there(job, Manifest(self._manifest_folder, known=ours)):
            options = replace(options, existing="overwrite")
        (outcome,) = run_jobs([job], options)
        return outcome, tuple(manifest.of(job.target)[len(known) :])


def _is_there(job: Job, ours: Manifest) -> bool:
    """Whether all existing files of the result of a job were written by this run."""
    there = [path for path in (job.target, *job.maps()) if os.path.lexists(path)]
    return all(ours.is_ours(path) if path == job.target else ours.is_our_map(job.target, path) for path in there)


class Cluster:
    """A connection to a Ray cluster, and the model that its workers load.

    Args:
        address: `LOCAL`, `AUTO`, or HOST:PORT of the head of the cluster that this machine belongs to.
        loader: loads the model on a worker.
        noise: the noise that the denoiser will be given; None means blind.
        device: device of the model, as for `models.load`.
        threads: CPU cores of a worker; None for the default.
        is_network: whether the model can use a GPU.

    Raises:
        CannotRunError: Ray is not installed, there is no such cluster, or the model cannot be loaded on it.
        UsageError: the model does not exist, or does not accept this noise or device.
    """

    def __init__(
        self, address: str, loader: Loader, *, noise: Noise | None, device: str, threads: int | None, is_network: bool
    ) -> None:
        require("ray", "cluster", "a cluster")
        if device.startswith("cuda:"):
            raise UsageError("Ray chooses the GPU of each worker", hint="give cuda without a number", option="device")
        self.ray, self._ours = _connected(address)
        try:
            self.count, needs, cores = self._places(device, threads, is_network)
            self._actor = self.ray.remote(max_concurrency=JOBS_PER_WORKER, max_restarts=0, **needs)(RemoteWorker)
            self._arguments = (loader, noise, cores if is_network else None, str(Path.cwd()))
            self._spare: list[Any] = []
            self.denoiser = self._first_info()
        except BaseException:
            self.close()
            raise
        self.lost = 0
        """Number of workers that died during the last run."""

    def _places(self, device: str, threads: int | None, is_network: bool) -> tuple[int, dict[str, int], int]:
        """Number of workers, the resources that Ray reserves for each, and its number of CPU cores."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        with_gpu = [node for node in nodes if node.get("GPU")]
        if device == "cuda" or (device == "auto" and with_gpu and is_network):
            count = sum(int(node["GPU"]) for node in with_gpu)
            cores = threads or min((max(1, int(node.get("CPU", 1) // node["GPU"])) for node in with_gpu), default=1)
            needs = {"num_gpus": 1, "num_cpus": cores}
            what = "GPU"
        else:
            with_cpu = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
            cores = threads or min([CPU_GROUP, *with_cpu])
            count = sum(there // cores for there in with_cpu)
            needs = {"num_gpus": 0, "num_cpus": cores}
            what = f"{cores} CPU cores"
        if not count:
            raise CannotRunError(f"no node of the cluster has {what}", hint="choose the device or fewer threads")
        return count, needs, cores

    def new_actor(self) -> Any:
        """Request a worker; Ray places it when resources are free."""
        return self._actor.remote(*self._arguments)

    def kill(self, actor: Any) -> None:
        """Kill a worker."""
        self.ray.kill(actor)

    def _first_info(self) -> RemoteDenoiser:
        actor = self.new_actor()
        self._spare.append(actor)
        try:
            found = self.ray.get(actor.load_model.remote())
        except self.ray.exceptions.RayActorError as error:
            raise CannotRunError(
                f"a worker died before it was ready: {_reason(error)}",
                hint="check the logs of the cluster and the memory of its nodes",
            ) from error
        if isinstance(found, XrayDenoiseError):
            raise found
        return RemoteDenoiser(found)

    def run(self, jobs: Sequence[Job], options: Options) -> Generator[Outcome, None, None]:
        """Like `batch.run_jobs`: denoise every job; outcomes come in order.

        Args:
            jobs: of the plan.
            options: what is done to each, with `denoiser` of this object and a manifest.

        Raises:
            CannotRunError: workers die before they are ready, are not alike, or do not see the folder of the results.
        """
        manifest = cast(Manifest, options.manifest)
        make_folder(manifest.folder)
        run = f"ray-{secrets.token_hex(4)}"
        settings = {
            field.name: getattr(options, field.name)
            for field in fields(Options)
            if field.name not in ("denoiser", "manifest", "show", "on_progress")
        }
        numbers = iter(range(sys.maxsize))

        def new_worker() -> _RayWorker:
            actor = self._spare.pop() if self._spare else self.new_actor()
            return _RayWorker(self, actor, settings, manifest, run, next(numbers))

        given_up: list[Job] = []

        def give_up(job: Job, reason: str) -> Done:
            given_up.append(job)
            return failed(job, _killed(job, reason)), ()

        dispatch: Dispatch[Job, Done] = Dispatch(
            jobs,
            new_worker,
            min(self.count, max(1, len(jobs))),
            is_last=lambda done: options.stop_on_error and done[0].status == "failed",
            give_up=give_up,
        )

        def gathered(done: Done) -> Outcome:
            outcome, entries = done
            for entry in entries:
                manifest.gather(entry)
            return outcome

        try:
            yield from dispatch.outcomes(gathered)
        finally:
            self.lost = dispatch.lost
            if self.lost:
                remove_abandoned(job.target.parent for job in jobs)
            self.close()
        if not given_up:
            _remove_parts(manifest.folder, run)

    def close(self) -> None:
        """Release unused workers and, if it was started here, shut the cluster down."""
        for actor in self._spare:
            self.kill(actor)
        self._spare.clear()
        if self._ours:
            self.ray.shutdown()
            self._ours = False


def on_cluster(
    address: str,
    model: str | os.PathLike[str] | Denoiser,
    loader: Callable[[str | os.PathLike[str]], Denoiser],
    *,
    noise: Noise | None,
    device: str,
    threads: int | None,
) -> Cluster:
    """Connect to a cluster: see `Cluster`; `loader` loads a model by its name."""
    if isinstance(model, Denoiser):
        ready, is_network = model, bool(model.weights_sha256)
        return Cluster(
            address, lambda: ready, noise=noise, device=device, threads=threads, is_network=is_network
        )  # fmt: skip
    is_network = os.fspath(model) not in denoisers.classical_names()
    return Cluster(address, partial(loader, model), noise=noise, device=device, threads=threads, is_network=is_network)


class _RayWorker:
    """A worker of `dispatch`: an actor of Ray."""

    def __init__(
        self, cluster: Cluster, actor: Any, settings: dict[str, Any], manifest: Manifest, run: str, number: int
    ) -> None:
        self._cluster, self._actor, self._settings = cluster, actor, settings
        self._manifest, self._run, self._part = manifest, run, f"{run}-{number}"

    def start(self) -> Future[None]:
        """See `dispatch.Worker`."""
        return self._awaited(self._actor.start.remote(self._settings, self._manifest.folder, self._part), self._check)

    def submit(self, job: Job, *, again: bool) -> Future[Done]:
        """See `dispatch.Worker`."""
        known = tuple(self._manifest.of(job.target))
        ours = tuple(entries_of(job.target, self._manifest.folder, f"{self._run}-*")) if again else ()

        def keep_job(done: Done) -> Done:  # the driver has this object already
            return replace(done[0], job=job), done[1]

        return self._awaited(self._actor.denoise.remote(job, known, ours), keep_job)

    def stop(self) -> None:
        """See `dispatch.Worker`."""
        self._cluster.kill(self._actor)

    def _check(self, found: DenoiserInfo | XrayDenoiseError) -> None:
        if isinstance(found, XrayDenoiseError):
            raise found
        expected = info_of(self._cluster.denoiser)
        if found != expected:
            raise CannotRunError(
                f"the workers differ: {found} and {expected}",
                hint="install the same version and extras on all machines, or choose device, precision and engine",
            )

    def _awaited(self, reference: Any, then: Callable[[Given], Wanted]) -> Future[Wanted]:
        """The result of a call of the actor, passed through `then`, as a future."""
        wanted: Future[Wanted] = Future()
        exceptions = self._cluster.ray.exceptions

        def settle(given: Future[Given]) -> None:
            error = given.exception()
            try:
                if isinstance(error, exceptions.RayTaskError):
                    raise error  # a bug, not a machine that failed
                if isinstance(error, exceptions.RayError):
                    raise WorkerLostError(_reason(error)) from error
                if error is not None:
                    raise error
                wanted.set_result(then(given.result()))
            except Exception as failure:  # raised again by `Future.result`
                wanted.set_exception(failure)

        reference.future().add_done_callback(settle)
        return wanted


def _connected(address: str) -> tuple[Any, bool]:
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


def _reason(error: BaseException) -> str:
    """Why a worker died, in one line: the last line of an error in its constructor, else the first line."""
    lines = [line.strip() for line in COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if "creation task" in lines[0] else lines[0]


def _killed(job: Job, reason: str) -> XrayDenoiseError:
    return UnreadableFileError(
        f"{MAX_DEATHS} workers died while they denoised {{path}}: {reason}",
        path=job.source,
        hint="denoise it alone on one machine; it may need more memory than a worker has",
    )


def _remove_parts(folder: Path, run: str) -> None:
    """Remove the parts of a run after the manifest has all their lines."""
    for path in parts(folder, f"{run}-*"):
        path.unlink(missing_ok=True)
        with suppress(OSError):  # other runs have parts there
            path.parent.rmdir()
