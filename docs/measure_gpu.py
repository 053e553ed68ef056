"""Measure all that is promised of a GPU in one go: network, accuracy, host, folder and memory.

    python docs/measure_gpu.py [FOLDER] [--model NAME] [--device cuda|cpu] [--quick]

FOLDER holds clean radiographs for the loss of accuracy and for the folder that is denoised; without it phantoms are
used. `--quick` takes tiny images, to try the script itself; `--device cpu` measures what a CPU has of it.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xray_denoise import __version__, denoisers, files
from xray_denoise.denoisers import Denoised, Runtime
from xray_denoise.denoisers.cuda import CudaGraphs, fused
from xray_denoise.denoisers.network import NetworkDenoiser
from xray_denoise.files.folders import radiographs_in
from xray_denoise.nets.blind import BlindNet
from xray_denoise.nets.cost import multiply_adds_per_pixel
from xray_denoise.nets.level import LevelEncoding
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.phantom import chest_phantom
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks.batch import Options, run_jobs
from xray_denoise.tasks.jobs import plan_jobs
from xray_denoise.tasks.manifest import Manifest

Image = NDArray[np.float32]
LEVELS = (NoiseLevel(0.4, 15.0), NoiseLevel(0.6, 10.0), NoiseLevel(1.9, 2.0))
MATMUL = 8192
"""Side of the matrices whose product tells how fast the device can be."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and on how much."""

    device: torch.device
    model: str
    size: int = 1024
    repeats: int = 50
    phantoms: int = 4
    count: int = 200
    """Files of the folder."""
    sizes: tuple[int, ...] = (1024, 2048, 4096)
    matmul: int = MATMUL

    @property
    def on_gpu(self) -> bool:
        """Whether there is anything to wait for."""
        return self.device.type == "cuda"

    def denoiser(self, precision: str = "auto") -> NetworkDenoiser:
        """The model on the device, run by torch."""
        made = denoisers.get(self.model, Runtime(str(self.device), precision, engine="torch"))
        if not isinstance(made, NetworkDenoiser):
            raise SystemExit(f"{self.model} is no network")
        return made

    def seconds(self, work: Callable[[], object], repeats: int | None = None) -> float:
        """Of one call: the median of five runs of `repeats` calls each, after one run that does not count."""
        repeats = repeats or self.repeats
        runs = []
        for _ in range(6 if self.on_gpu else 2):
            self.wait()
            start = time.perf_counter()
            for _ in range(repeats):
                work()
            self.wait()
            runs.append((time.perf_counter() - start) / repeats)
        return statistics.median(runs[1:])

    def wait(self) -> None:
        """Until the device is done."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)


def network_times(plan: Plan) -> Iterator[str]:
    """Milliseconds of the bare network, beside what its multiply-adds would take at the speed of a matrix product."""
    exact = plan.denoiser("fp32")
    work = 2 * multiply_adds_per_pixel(exact.net) * plan.size**2
    noisy = torch.rand(1, 1, plan.size, plan.size).to(plan.device).contiguous(memory_format=torch.channels_last)
    for precision in ("fp32", "bf16", "fp16"):
        denoise = plan.denoiser(precision)
        matrix = torch.rand(plan.matmul, plan.matmul, device=plan.device).to(denoise.dtype)
        speed = 2 * plan.matmul**3 / plan.seconds(lambda one=matrix: one @ one, 1)
        yield f"{precision}: matrix product {speed / 1e12:.3g} TFLOP/s, floor {1e3 * work / speed:.3g} ms"
        plain = denoise.net
        joined = plain if precision == "fp32" else fused(plain, denoise.dtype)
        ways: dict[str, Callable[..., object]] = {"launched": plain}
        if joined is not plain:
            ways["launched, fused"] = joined
        elif precision != "fp32":
            yield f"{precision}: fused convolutions do not compute the same here, and are not used"
        if plan.on_gpu:
            ways["graph"] = CudaGraphs(plain)
            ways["graph, fused"] = CudaGraphs(joined)
            ways["compiled"] = torch.compile(plain)
        for name, way in ways.items():
            with torch.inference_mode(), denoise._arithmetic():
                try:
                    took = plan.seconds(lambda way=way: way(noisy))
                except RuntimeError as error:
                    yield f"{precision}, {name}: {type(error).__name__}"
                    continue
            uncaptured = isinstance(way, CudaGraphs) and not way._able
            yield f"{precision}, {name}: {1e3 * took:.3g} ms" + (" (could not be captured)" if uncaptured else "")


def losses(plan: Plan, clean: Sequence[Image]) -> Iterator[str]:
    """PSNR that 16 bits lose against 32."""
    rng = np.random.default_rng(0)
    noisy = [(image, add_noise(image, level, rng)) for image in clean for level in LEVELS]
    quality = {}
    for precision in ("fp32", "bf16", "fp16"):
        denoise = plan.denoiser(precision)
        quality[precision] = np.array([psnr(denoise(image).image, truth) for truth, image in noisy])
    for precision in ("bf16", "fp16"):
        lost = quality["fp32"] - quality[precision]
        yield (
            f"{precision} against fp32 ({quality['fp32'].mean():.2f} dB, {len(lost)} images): "
            f"loses {lost.mean():.4f} dB, at most {lost.max():.4f}"
        )


def calls(plan: Plan) -> Iterator[str]:
    """Milliseconds of a whole call, from an array to an array, by one thread and by two."""
    denoise = plan.denoiser()
    noisy = add_noise(chest_phantom(plan.size, rng=np.random.default_rng(0)), LEVELS[1], np.random.default_rng(1))
    alone = plan.seconds(lambda: denoise(noisy))
    yield f"{denoise.settings}: {1e3 * alone:.3g} ms a call"

    if denoise.at_once > 1:
        with ThreadPoolExecutor(denoise.at_once) as pool:
            many = plan.seconds(lambda: list(pool.map(denoise, [noisy] * plan.repeats)), 1) / plan.repeats
        yield f"two threads: {1e3 * many:.3g} ms a call"
    host = NetworkDenoiser(Identity(), "identity", "", plan.device, denoise.dtype)
    yield f"of it without the network: {1e3 * plan.seconds(lambda: host(noisy)):.3g} ms"


class Identity(BlindNet):
    """No network: what a call costs besides one."""

    stride, radius = 4, 0
    encoding = LevelEncoding.STD

    def estimate(self, noisy: torch.Tensor) -> torch.Tensor:
        """A constant level."""
        return torch.full_like(noisy, 0.05).expand(-1, 2, -1, -1)

    def restore(self, noisy: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """The image."""
        return noisy


class Untouched:
    """A denoiser that does nothing, as often at once as the real one."""

    name = "untouched"

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        """See `Denoiser`."""
        return Denoised(np.asarray(noisy, dtype=np.float32), level)


def folder_rates(plan: Plan, clean: Sequence[Image]) -> Iterator[str]:
    """Files a second: decoders alone, decoders and encoders, and everything."""
    denoise = plan.denoiser()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "in"
        source.mkdir()
        for number in range(plan.count):
            rng = np.random.default_rng(number)
            noisy = add_noise(clean[number % len(clean)], LEVELS[number % len(LEVELS)], rng)
            files.write(Radiograph.from_grey(noisy, bits=8), source / f"{number:04}.png")
        paths = sorted(source.iterdir())
        with ThreadPoolExecutor(8 if plan.on_gpu else 1) as pool:
            start = time.perf_counter()
            for _ in pool.map(lambda path: files.read(path).grey, paths):
                pass
            decoding = len(paths) / (time.perf_counter() - start)
        yield f"decoders alone: {decoding:.3g} files/s"
        for name, method in (("without denoising", Untouched(denoise.at_once)), (plan.model, denoise)):
            target = Path(temporary) / name
            jobs, _ = plan_jobs([str(source)], target)
            options = Options(method, manifest=Manifest(target))
            list(run_jobs(jobs[: len(jobs) // 4], options))  # threads, kernels and graphs are there after that
            rest = jobs[len(jobs) // 4 :]
            start = time.perf_counter()
            statuses = [outcome.status for outcome in run_jobs(rest, options)]
            rate = len(rest) / (time.perf_counter() - start)
            failed = f", {statuses.count('failed')} failed" if "failed" in statuses else ""
            yield f"{name}: {rate:.3g} files/s, {rate / decoding:.0%} of the decoders{failed}"


def memory(plan: Plan) -> Iterator[str]:
    """MiB at most, of the GPU or of the process, for images of growing size."""
    denoise = plan.denoiser()
    for size in plan.sizes:
        noisy = np.random.default_rng(0).uniform(0, 255, (size, size)).astype(np.float32)
        if plan.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(plan.device)
        for _ in range(3):  # the third call replays a graph
            denoise(noisy)
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        told = f"{size}x{size}: {resident:.0f} MiB resident"
        if plan.on_gpu:
            told += f", on the GPU {torch.cuda.max_memory_allocated(plan.device) / 2**20:.0f} MiB in tensors"
            told += f", {torch.cuda.max_memory_reserved(plan.device) / 2**20:.0f} MiB reserved"
        yield told


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print as it goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--model", default=denoisers.FULL)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(arguments)
    plan = Plan(torch.device(given.device), given.model)
    if given.quick:
        plan = Plan(plan.device, plan.model, 64, 1, 1, 8, (64, 128), 64)
    name = torch.cuda.get_device_name(plan.device) if plan.on_gpu else "CPU"
    print(f"xray-denoise {__version__}, torch {torch.__version__}, {name}, {plan.model}, {plan.size}x{plan.size}")
    paths = radiographs_in(given.folder) if given.folder else []
    clean = [files.read(path).grey.clip(0, 255) for path in paths]
    clean = clean or [chest_phantom(plan.size, rng=np.random.default_rng(seed)) for seed in range(plan.phantoms)]
    parts: dict[str, Iterator[str]] = {
        "network": network_times(plan),
        "accuracy": losses(plan, clean),
        "one call": calls(plan),
        "folder": folder_rates(plan, clean),
        "memory": memory(plan),
    }
    for title, lines in parts.items():
        print(f"\n{title}")
        for line in lines:
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
