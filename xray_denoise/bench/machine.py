"""The processor of this machine, and the precisions that networks are timed in."""

import os
import platform
from pathlib import Path

import torch

from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.devices import PRECISIONS, choose_device, choose_precision, has_fast_bf16

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux describes the processor."""


def precisions(wanted: Runtime, *, every: bool) -> list[str]:
    """The precisions that networks are timed in: with `every`, `auto` means all that the device is made for.

    Raises:
        UsageError: no such device or precision.
        CannotRunError: the device is not there.
    """
    device = choose_device(wanted.device)
    chosen = choose_precision(wanted.precision, device)
    if wanted.precision == "auto" and every:
        return list(PRECISIONS)[: 3 if device.type == "cuda" else 1 + has_fast_bf16(device)]
    return [name for name, dtype in PRECISIONS.items() if dtype == chosen]


def machine(wanted: str, threads: int | None) -> str:
    """Processor, cores, and the device of networks: a card, or so many threads or, for None, all."""
    device = str(choose_device(wanted))
    if device.startswith("cuda"):
        device += f", {torch.cuda.get_device_name(device)}"
    threading = f", {threads or torch.get_num_threads()} threads" if device == "cpu" else ""
    return f"{processor()}, {os.cpu_count()} cores; networks on {device}{threading}"


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The name of the processor, if known."""
    lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
