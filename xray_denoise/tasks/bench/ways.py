"""The engines and precisions that networks are timed with on this machine."""

import platform
from dataclasses import replace
from pathlib import Path

import torch

from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.devices import PRECISIONS, choose_device, choose_precision
from xray_denoise.denoisers.engine import ENGINES, choose_engine
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.tasks.bench.rows import Absent

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux describes the processor."""


def ways(runtime: Runtime, *, every: bool, shrink: int = 1) -> tuple[list[Runtime], list[Absent]]:
    """The engines and precisions that a network is run by, and the engines that are not installed.

    What was asked for by name must be possible; of the rest every one that is, or the one that `auto` chooses for a
    network of this `shrink` (`nets.DenoisingNet`).
    """
    device = choose_device(runtime.device)
    if runtime.precision != "auto" or not every:
        chosen = choose_precision(runtime.precision, device)
        precisions = [name for name, dtype in PRECISIONS.items() if dtype == chosen]
    else:
        precisions = sensible_precisions(device)
    by_name = runtime.engine != "auto" or not every
    found: list[Runtime] = []
    absent: dict[str, Absent] = {}
    for engine in [runtime.engine] if by_name else [engine for engine in ENGINES if engine != "auto"]:
        for precision in precisions:
            try:
                chosen_engine = choose_engine(engine, device, PRECISIONS[precision], shrink)
            except UsageError:  # not on this device, or not in this precision
                if by_name:
                    raise
            except CannotRunError as error:
                if by_name:
                    raise
                absent[engine] = Absent(f"networks by {engine}", error.hint)
            else:
                found.append(replace(runtime, device=str(device), engine=chosen_engine, precision=precision))
    return found, list(absent.values())


def sensible_precisions(device: torch.device) -> list[str]:
    """Those that a device is made for."""
    if device.type == "cuda":
        return ["fp32", "bf16", "fp16"]
    return ["fp32", "bf16"] if device.type == "cpu" and native_bf16() else ["fp32"]


def native_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor multiplies numbers of 16 bits (bf16) itself; no where the system does not tell."""
    try:
        words = set(cpuinfo.read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The name of the processor, as far as the system tells."""
    try:
        lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """A device as `--device` takes it and, of a CUDA device, what is printed on it."""
    return f"{device}, {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else device
