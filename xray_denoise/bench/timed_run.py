"""What one process of `bench --speed` does: load a method, warm it up, call it, and report its time and memory."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from xray_denoise.bench.cases import MIDDLE
from xray_denoise.bench.fresh_process import peak_memory
from xray_denoise.bench.metrics import SECONDS
from xray_denoise.bench.quality import WARMUP_SIZE
from xray_denoise.bench.rows import Row
from xray_denoise.physics.metrics import psnr

if TYPE_CHECKING:
    from xray_denoise.denoisers.windowed import NetworkDenoiser

NOISY, CLEAN = "noisy.npy", "clean.npy"
"""Files of float32 arrays (H, W), grey levels."""
LONG_ENOUGH, MOST_CALLS = 0.5, 100
"""A method is called again until this many seconds are over, at most so often."""
CPU_SIZES, GPU_SIZES, PEAK_REPEAT = (2048, 256), (8192, 1024), 5
"""Side of the matrices and of the image that the machine's rate is measured on, and how often."""
MEMORY, DEVICE_MEMORY, MULTIPLY_ADDS = "peak_memory", "device_memory", "multiply_adds"
"""Values of a record besides `SECONDS` and psnr: the most MiB that the process had resident, the most MiB that it had
allocated on a CUDA device, and multiply-adds of one call (convolutions only, every pixel counted once)."""


@dataclass(frozen=True, slots=True)
class TimedRun:
    """One row in one process, which finds `NOISY` and `CLEAN` in `folder`.

    There are `warmup` calls before the clock starts: of a network on the image, or on one window where it is cut into
    several, of a classical method on a corner of it. With a `side` the image is mirrored or cut to so many pixels a
    side first, and PSNR is not measured.
    """

    row: Row
    folder: Path
    warmup: int = 1
    side: int | None = None

    @property
    def title(self) -> str:
        """Of the row."""
        return self.row.title

    def __call__(self) -> dict[str, float | None]:
        """Measure; to be called in a fresh process."""
        noisy = np.load(self.folder / NOISY)
        noisy = noisy if self.side is None else resized(noisy, self.side)
        denoiser = self.row.denoiser
        network = cast("NetworkDenoiser", denoiser) if self.row.is_network else None
        height, width = network.window_for(noisy.shape) if network else (WARMUP_SIZE, WARMUP_SIZE)
        # never so large that it would decide the peak of memory
        for _ in range(self.warmup):
            self.row(noisy[:height, :width], MIDDLE)
        seconds, image = _timed(lambda: self.row(noisy, MIDDLE).image)
        values: dict[str, float | None] = {SECONDS: seconds, MEMORY: peak_memory()}
        values["psnr"] = psnr(image, np.load(self.folder / CLEAN)) if self.side is None else None
        if denoiser.device.startswith("cuda"):
            import torch

            values[DEVICE_MEMORY] = torch.cuda.max_memory_allocated(denoiser.device) / 2**20
        if network:
            from xray_denoise.nets.cost import multiply_adds_per_pixel

            values[MULTIPLY_ADDS] = multiply_adds_per_pixel(network.net) * noisy.size
        return values


@dataclass(frozen=True, slots=True)
class PeakRate:
    """The multiply-adds a second that a machine reaches: by torch's product of matrices or convolution, the faster."""

    device: str
    precision: str
    threads: int | None = None
    side: int | None = None

    @property
    def title(self) -> str:
        """Of its row."""
        return peak_title(self.precision)

    def __call__(self) -> dict[str, float | None]:
        """Measure; to be called in a fresh process."""
        import torch

        from xray_denoise.denoisers.devices import PRECISIONS
        from xray_denoise.training.throughput import convolution_rate, matrix_rate

        if self.threads:
            torch.set_num_threads(self.threads)
        device, dtype = torch.device(self.device), PRECISIONS[self.precision]
        matrix, image = CPU_SIZES if device.type == "cpu" else GPU_SIZES
        rates = (
            matrix_rate(device, dtype, size=matrix, repeat=PEAK_REPEAT),
            convolution_rate(device, dtype, size=image, repeat=PEAK_REPEAT),
        )
        return {SECONDS: 1.0, MULTIPLY_ADDS: max(rates) / 2}


def peak_title(precision: str) -> str:
    """The row of a `PeakRate`."""
    return f"peak, {precision}"


def image_name(side: int | None) -> str:
    """The name of the image in records, by the size that it is brought to."""
    return "image" if side is None else f"{side}x{side} pixels"


def resized(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
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
