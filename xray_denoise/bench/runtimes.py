"""The engines and precisions that networks are timed with on this machine."""

import platform
from dataclasses import replace
from pathlib import Path

import torch

from xray_denoise.bench.rows import Absent
from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.devices import PRECISIONS, choose_device, choose_precision
from xray_denoise.denoisers.engine import ENGINES, choose_engine
from xray_denoise.errors import CannotRunError, UsageError

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux describes the processor."""


def runtimes(wanted: Runtime, *, every: bool, shrink: int = 1) -> tuple[list[Runtime], list[Absent]]:
    """The engines and precisions that a network is run by, and the engines that are not installed.

    Args:
        wanted: what is named in it must be possible.
        every: whether `auto` stands for all that are possible, or for what it chooses.
        shrink: of the network (`nets.DenoisingNet`).

    Raises:
        UsageError: no such device, precision or engine.
        CannotRunError: it is not there, or not installed.
    """
    device = choose_device(wanted.device)
    precisions = native_precisions(device)
    if wanted.precision != "auto" or not every:
        chosen = choose_precision(wanted.precision, device)
        precisions = [name for name, dtype in PRECISIONS.items() if dtype == chosen]
    by_name = wanted.engine != "auto" or not every
    found, absent = [], {}
    for engine in [wanted.engine] if by_name else [engine for engine in ENGINES if engine != "auto"]:
        for precision in precisions:
            try:
                chosen_engine = choose_engine(engine, device, PRECISIONS[precision], shrink)
                found.append(replace(wanted, device=str(device), engine=chosen_engine, precision=precision))
            except (UsageError, CannotRunError) as error:
                if by_name:
                    raise
                if isinstance(error, CannotRunError):  # else it does not work on this device or in this precision
                    absent[engine] = Absent(f"networks by {engine}", error.hint)
    return found, list(absent.values())


def native_precisions(device: torch.device) -> list[str]:
    """Those that a device has instructions for."""
    if device.type == "cuda":
        return ["fp32", "bf16", "fp16"]
    return ["fp32", "bf16"] if device.type == "cpu" and native_bf16() else ["fp32"]


def native_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor has instructions for bf16; no where the system does not say."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(_read(cpuinfo).split())


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The name of the processor, as far as the system says."""
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
