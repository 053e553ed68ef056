"""What one process of `bench --speed` does: load one method, warm it up, call it, and tell time and memory.

noisy.npy -> denoiser -> seconds, memory, PSNR against clean.npy
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoiser
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.tasks.bench.alone import peak_memory
from xray_denoise.tasks.bench.run import WARMUP_SIZE

NOISY, CLEAN = "noisy.npy", "clean.npy"
"""Files of float32 arrays (H, W), grey levels."""
LONG_ENOUGH, MOST_CALLS = 0.5, 100
"""A method is called again until this many seconds are over, at most so often."""
PEAK = "peak"
"""The row that the machine's rate of multiply-adds comes from."""
CPU_SIZES, GPU_SIZES, PEAK_REPEAT = (2048, 256), (8192, 1024), 5
"""Side of the matrices and of the image that the rate is measured on, and how often."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One row: a method and how it is run."""

    title: str
    name: str
    """Of the method."""
    open: Callable[[], Denoiser]
    """Makes it ready; can be pickled."""
    told: bool = False
    """Whether it is told the true noise level."""
    engine: str = ""
    """What runs a network; empty for a classical method."""
    precision: str = ""
    """Of a network: fp32, bf16 or fp16."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process saw."""

    title: str
    """Of the subject."""
    pixels: int
    """Of the image."""
    seconds: float
    """Median time of a call."""
    engine: str = ""
    precision: str = ""
    peak_memory: float | None = None
    """The most memory that the process had resident, MiB."""
    device_memory: float | None = None
    """The most memory that it had allocated on a CUDA device, MiB."""
    psnr: float | None = None
    """Of the result, dB."""
    multiply_adds: float | None = None
    """Of a call of a network, convolutions only, every pixel counted once."""
    side: int | None = None
    """What the image was mirrored or cut to, pixels."""
    round: int = 0
    failure: str = ""
    """Why there is no result; the numbers mean nothing then."""

    @property
    def row(self) -> str:
        """Tells the samples of one round apart."""
        return row_of(self.title, self.side)


@dataclass(frozen=True, slots=True)
class Visit:
    """One method in one process."""

    subject: Subject
    folder: Path
    """Holds the images."""
    level: NoiseLevel
    """The true one."""
    warmup: int = 1
    """Calls before the clock starts: of a network on the image, or on one window where it is cut into several, of a
    classical method on a corner of it."""
    side: int | None = None
    """Mirror or cut the image to this many pixels a side first; its result is not judged then."""

    @property
    def title(self) -> str:
        """Of the subject."""
        return self.subject.title

    def __call__(self) -> Sample:
        """Measure; run it `alone`."""
        noisy = np.load(self.folder / NOISY)
        if self.side is not None:
            noisy = sized(noisy, self.side)
        denoiser = self.subject.open()
        level = self.level if self.subject.told else None
        corner = self._corner(noisy, denoiser)
        for _ in range(self.warmup):
            denoiser(corner, level)
        seconds, image = _timed(lambda: denoiser(noisy, level).image)
        return Sample(
            self.subject.title,
            noisy.size,
            seconds,
            self.subject.engine,
            self.subject.precision,
            peak_memory(),
            _device_memory(denoiser),
            psnr(image, np.load(self.folder / CLEAN)) if self.side is None else None,
            self._multiply_adds(denoiser, noisy.size),
            self.side,
        )

    def _corner(self, noisy: NDArray[np.float32], denoiser: Denoiser) -> NDArray[np.float32]:
        """What the method is warmed up on: never so large that it would decide the peak of memory."""
        window_for = getattr(denoiser, "window_for", lambda _: (WARMUP_SIZE, WARMUP_SIZE))
        height, width = window_for(noisy.shape)
        return noisy[:height, :width]

    def _multiply_adds(self, denoiser: Denoiser, pixels: int) -> float | None:
        net = getattr(denoiser, "net", None)
        if net is None:
            return None
        from xray_denoise.nets.cost import multiply_adds_per_pixel

        return multiply_adds_per_pixel(net) * pixels


@dataclass(frozen=True, slots=True)
class Peak:
    """How fast the machine multiplies and adds: torch's product of matrices or its convolution, the faster one."""

    device: str
    precision: str
    threads: int | None = None
    """On the CPU; None takes all cores."""
    side: int | None = field(default=None, init=False)
    """Of an image, of which there is none."""

    @property
    def title(self) -> str:
        """Of its row."""
        return f"{PEAK}, {self.precision}"

    def __call__(self) -> Sample:
        """Measure; run it `alone`. The sample has one second and its multiply-adds."""
        import torch

        from xray_denoise.denoisers.devices import PRECISIONS
        from xray_denoise.training.throughput import convolution_rate, matrix_rate

        if self.threads:
            torch.set_num_threads(self.threads)
        device, dtype = torch.device(self.device), PRECISIONS[self.precision]
        matrix, image = CPU_SIZES if device.type == "cpu" else GPU_SIZES
        rate = max(
            matrix_rate(device, dtype, size=matrix, repeat=PEAK_REPEAT),
            convolution_rate(device, dtype, size=image, repeat=PEAK_REPEAT),
        )
        return Sample(self.title, 0, 1.0, "torch", self.precision, multiply_adds=rate / 2)


Work = Visit | Peak
"""What one process does."""


def failed(work: Work, why: str) -> Sample:
    """Stands for the sample of a process that failed."""
    return Sample(work.title, (work.side or 0) ** 2, 0.0, side=work.side, failure=why)


def row_of(title: str, side: int | None) -> str:
    """A row and, where there are several, the size of the image."""
    return title if side is None else f"{title}, {side}x{side} pixels"


def sized(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The corner of an image, or the image and its mirror images side by side: (side, side)."""
    more = [(0, max(side - length, 0)) for length in image.shape]
    return np.ascontiguousarray(np.pad(image[:side, :side], more, mode="symmetric"))


def _timed(call: Callable[[], NDArray[np.float32]]) -> tuple[float, NDArray[np.float32]]:
    """The median time of calls in seconds, one at least, and the last result."""
    durations: list[float] = []
    first = time.perf_counter()
    while True:
        start = time.perf_counter()
        image = call()
        end = time.perf_counter()
        durations.append(end - start)
        if end - first >= LONG_ENOUGH or len(durations) == MOST_CALLS:
            return statistics.median(durations), image


def _device_memory(denoiser: Denoiser) -> float | None:
    device = getattr(denoiser, "device", None)
    if device is None or device.type != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20
