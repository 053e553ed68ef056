"""One method in one process: time and memory of its calls, and the peak rate of the machine.

torch is imported where a network runs, so that the memory of a classical method is without it.
"""

import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from xray_denoise.bench.cases import MIDDLE, Case
from xray_denoise.bench.fresh_process import in_fresh_process, peak_memory
from xray_denoise.bench.metrics import SECONDS, Values
from xray_denoise.bench.rows import Row
from xray_denoise.physics.metrics import psnr

if TYPE_CHECKING:
    from xray_denoise.denoisers.windowed import NetworkDenoiser

T = TypeVar("T")

LONG_ENOUGH, MOST_CALLS = 0.5, 100
"""A method is called again until this many seconds are over, at most so often."""
CPU_SIZES, GPU_SIZES, PEAK_REPEAT = (2048, 256), (8192, 1024), 5
"""Side of the matrices and of the image that the machine's rate is measured on, and how often."""
WARMUP_SIZE = 64
"""Side of the crop that a method is called on first, pixels: too small to decide the peak of memory."""
MEMORY, DEVICE_MEMORY = "peak_memory", "device_memory"
"""Values of a record: the most MiB that the process had resident, and that it had allocated on a CUDA device."""
PIXELS, MULTIPLY_ADDS, PEAK_RATE = "pixels", "multiply_adds", "peak_rate"
"""Values of a record: of the image; multiply-adds of one call (convolutions only, every pixel counted once); and those
that the machine reaches in a second in the same precision."""


def apart(warmup: int, row: Row, case: Case, noisy: NDArray[np.float32]) -> Values:
    """Measure a row in a fresh process; see `measure`."""
    return in_fresh_process(partial(measure, row, noisy, case.image.grey, warmup, whole=not case.side))


def measure(
    row: Row, noisy: NDArray[np.float32], clean: NDArray[np.float32], warmup: int = 1, *, whole: bool = True
) -> Values:
    """Measure a row in this process on an image.

    There are `warmup` calls before the clock starts: of a network on the image, or on one window where it is cut into
    several, of a classical method on a corner of it. PSNR and the rate of the machine are measured where the image is
    `whole`, and has not been brought to another size.
    """
    denoiser = row.denoiser
    network = cast("NetworkDenoiser", denoiser) if row.is_network else None
    height, width = network.window_for(noisy.shape) if network else (WARMUP_SIZE, WARMUP_SIZE)
    for _ in range(warmup):
        row(noisy[:height, :width], MIDDLE)
    seconds, image = median_time(lambda: row(noisy, MIDDLE).image, MOST_CALLS, LONG_ENOUGH)
    values: Values = {SECONDS: seconds, MEMORY: peak_memory(), PIXELS: noisy.size}
    values["psnr"] = psnr(image, clean) if whole else None
    if denoiser.device.startswith("cuda"):
        import torch

        values[DEVICE_MEMORY] = torch.cuda.max_memory_allocated(denoiser.device) / 2**20
    if network and whole:
        from xray_denoise.nets.cost import multiply_adds_per_pixel

        values[MULTIPLY_ADDS] = multiply_adds_per_pixel(network.net) * noisy.size
        values[PEAK_RATE] = peak_rate(denoiser.device, row.precision or "fp32")
    return values


def median_time(call: Callable[[], T], most: int, enough: float = math.inf) -> tuple[float, T]:
    """The median time of calls in seconds, and the last result: `most` calls, or fewer that take `enough` seconds."""
    durations: list[float] = []
    while len(durations) < most and sum(durations) < enough:
        start = time.perf_counter()
        result = call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations), result


def peak_rate(device: str, precision: str) -> float:
    """Peak multiply-adds per second of the machine: torch's matrix product or convolution, whichever is faster."""
    import torch

    from xray_denoise.denoisers.devices import PRECISIONS
    from xray_denoise.training.throughput import convolution_rate, matrix_rate

    place, dtype = torch.device(device), PRECISIONS[precision]
    matrix, image = CPU_SIZES if place.type == "cpu" else GPU_SIZES
    of_matrices = matrix_rate(place, dtype, size=matrix, repeat=PEAK_REPEAT)
    return max(of_matrices, convolution_rate(place, dtype, size=image, repeat=PEAK_REPEAT)) / 2
