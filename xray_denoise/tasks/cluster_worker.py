"""A worker of a cluster: the Ray actor that reads, denoises and writes files, and the denoisers on both ends."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor as Pool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from xray_denoise import __version__, denoisers
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import CannotRunError, XrayDenoiseError
from xray_denoise.physics.profile import Noise
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.jobs import Job
from xray_denoise.tasks.manifest import Entry, Manifest
from xray_denoise.tasks.options import Options
from xray_denoise.tasks.outcome import Outcome

Loader = Callable[[], Denoiser]
Done = tuple[Outcome, tuple[Entry, ...]]
"""The outcome of a file, and its entries in the manifest."""


@dataclass(frozen=True, slots=True)
class DenoiserInfo:
    """Identifies a denoiser; it must be the same on all workers."""

    name: str
    weights_sha256: str
    arithmetic: str
    device: str
    settings: str
    training: str
    part: str = ""
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
    def part(self) -> str:
        """See `Denoiser`."""
        return self._info.part

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
        denoiser.part,
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
