"""The processor of this machine, and the precisions it has instructions for."""

import os
import platform
from pathlib import Path

import torch

from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.devices import PRECISIONS, choose_device, choose_precision

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux describes the processor."""


def precisions(wanted: Runtime, *, every: bool) -> list[str]:
    """The precisions that networks are timed in: with `every`, `auto` means all that the device has instructions for.

    Raises:
        UsageError: no such device or precision.
        CannotRunError: the device is not there.
    """
    device = choose_device(wanted.device)
    chosen = choose_precision(wanted.precision, device)
    if wanted.precision == "auto" and every:
        return native_precisions(device)
    return [name for name, dtype in PRECISIONS.items() if dtype == chosen]


def native_precisions(device: torch.device) -> list[str]:
    """Those that a device has instructions for."""
    if device.type == "cuda":
        return ["fp32", "bf16", "fp16"]
    return ["fp32", "bf16"] if device.type == "cpu" and native_bf16() else ["fp32"]


def native_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor has instructions for bf16; False if unknown."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(_read(cpuinfo).split())


def machine(wanted: str, threads: int | None) -> str:
    """Processor, cores, and the device of networks: a card, or so many threads or, for None, all."""
    device = str(choose_device(wanted))
    if device.startswith("cuda"):
        device += f", {torch.cuda.get_device_name(device)}"
    threading = f", {threads or torch.get_num_threads()} threads" if device == "cpu" else ""
    return f"{processor()}, {os.cpu_count()} cores; networks on {device}{threading}"


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The name of the processor, if known."""
    lines = _read(cpuinfo).splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _read(cpuinfo: Path) -> str:
    return cpuinfo.read_text(encoding="ascii", errors="replace") if cpuinfo.exists() else ""
