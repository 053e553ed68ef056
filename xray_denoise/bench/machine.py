"""The processor of this machine, and the precisions it has instructions for."""

import platform
from pathlib import Path

import torch

from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.devices import PRECISIONS, choose_device, choose_precision

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux describes the processor."""


def precisions(wanted: Runtime, *, every: bool) -> list[str]:
    """The precisions that networks are timed in.

    Args:
        wanted: what is named in it must be possible.
        every: whether `auto` stands for all that the device has instructions for, or for what it chooses.

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


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The name of the processor, if known."""
    lines = _read(cpuinfo).splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _read(cpuinfo: Path) -> str:
    try:
        return cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def device_name(device: str) -> str:
    """A device as `--device` takes it and, of a CUDA device, the name of the card."""
    return f"{device}, {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else device
