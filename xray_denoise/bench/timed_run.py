"""One method in one process: time and memory of its calls, and the peak rate of the machine."""

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
from xray_denoise.bench.rows import Row
from xray_denoise.denoisers.devices import PRECISIONS
from xray_denoise.physics.metrics import psnr

if TYPE_CHECKING:
    from xray_denoise.denoisers.windowed import NetworkDenoiser

LONG_ENOUGH, MOST_CALLS = 0.5, 100
"""A method is called again until this many seconds are over, at most so often."""
CPU_SIZES, GPU_SIZES, PEAK_REPEAT = (2048, 256), (8192, 1024), 5
"""Side of the matrices and of the image that the machine's rate is measured on, and how often."""
SMALL = 64
"""Side of the corner that a classical method is warmed up on, pixels."""
MEMORY, DEVICE_MEMORY = "peak_memory", "device_memory"
"""Values of a record: the most MiB that the process had resident, and that it had allocated on a CUDA device."""
PIXELS, MULTIPLY_ADDS, PEAK_RATE = "pixels", "multiply_adds", "peak_rate"
"""Values of a record: of the image; multiply-adds of one call (convolutions only, every pixel counted once); and those
that the machine reaches in a second in the same precision."""
NOISY, CLEAN = "noisy.npy", "clean.npy"
"""Files of float32 arrays (H, W), grey levels."""


@dataclass(frozen=True, slots=True)
class TimedRun:
    """One row in one process, which finds `NOISY` and `CLEAN` in `folder`.

    There are `warmup` calls before the clock starts: of a network on the image, or on one window where it is cut into
    several, of a classical method on a corner of it. PSNR and the rate of the machine are measured where the image is
    `whole`, and has not been brought to another size.
    """

    row: Row
    folder: Path
    warmup: int = 1
    whole: bool = True

    def __call__(self) -> dict[str, float | None]:
        """Measure; to be called in a fresh process."""
        noisy = np.load(self.folder / NOISY)
        denoiser = self.row.denoiser
        network = cast("NetworkDenoiser", denoiser) if self.row.is_network else None
        height, width = network.window_for(noisy.shape) if network else (SMALL, SMALL)
        # never so large that it would decide the peak of memory
        for _ in range(self.warmup):
            self.row(noisy[:height, :width], MIDDLE)
        seconds, image = _timed(lambda: self.row(noisy, MIDDLE).image)
        values: dict[str, float | None] = {SECONDS: seconds, MEMORY: peak_memory(), PIXELS: noisy.size}
        values["psnr"] = psnr(image, np.load(self.folder / CLEAN)) if self.whole else None
        if denoiser.device.startswith("cuda"):
            import torch

            values[DEVICE_MEMORY] = torch.cuda.max_memory_allocated(denoiser.device) / 2**20
        if network and self.whole:
            from xray_denoise.nets.cost import multiply_adds_per_pixel

            values[MULTIPLY_ADDS] = multiply_adds_per_pixel(network.net) * noisy.size
            values[PEAK_RATE] = peak_rate(denoiser.device, self.row.precision or "fp32")
        return values


def peak_rate(device: str, precision: str) -> float:
    """Peak multiply-adds per second of the machine: torch's matrix product or convolution, whichever is faster."""
    import torch

    from xray_denoise.training.throughput import convolution_rate, matrix_rate

    place, dtype = torch.device(device), PRECISIONS[precision]
    matrix, image = CPU_SIZES if place.type == "cpu" else GPU_SIZES
    rates = (
        matrix_rate(place, dtype, size=matrix, repeat=PEAK_REPEAT),
        convolution_rate(place, dtype, size=image, repeat=PEAK_REPEAT),
    )
    return max(rates) / 2


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
