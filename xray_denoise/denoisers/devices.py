"""Which device a network runs on, and in which arithmetic."""

import torch

from xray_denoise.errors import CannotRunError, UsageError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Arithmetic of the convolutions; the correction is added to the image in 32 bits whatever is chosen."""


def choose_device(wanted: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the first accelerator that is there.

    Raises:
        UsageError: no such kind of device.
        CannotRunError: this machine has no such device; there is no silent fallback.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = wanted.partition(":")
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in available or wanted.endswith(":") or not (number or "0").isdecimal():
        raise UsageError(
            f"no kind of device is called '{wanted}'", hint="use auto, cpu, cuda, cuda:N or mps", option="device"
        )
    if int(number or 0) >= available[kind]:
        raise CannotRunError(
            f"this machine has no device '{wanted}'",
            hint="use auto or cpu",
            option="device",
        )
    return torch.device(wanted)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 takes less time than 32 bits: on CUDA, and on processors with AMX.

    AVX-512 alone does not make it faster: 42 against 70 GMAC/s for a 3x3 convolution of 64 channels on one core.
    """
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return device.type == "cuda" or (device.type == "cpu" and bool(has_amx()))


def choose_precision(wanted: str, device: torch.device, *, bf16: bool = False) -> torch.dtype:
    """The arithmetic for `auto`, `fp32`, `bf16` or `fp16`.

    `auto` is fp16 on CUDA and fp32 elsewhere; with `bf16`, for a network that was made for it, bfloat16 where that is
    fast (`has_fast_bf16`).

    fp16 is as fast as bf16 and rounds eight times finer: it loses 0.001 dB where bf16 loses 0.02. No feature of our
    networks comes near its limit of 65504; what does is told (`NetworkDenoiser`).

    Raises:
        UsageError: no such precision.
    """
    if wanted == "auto" and bf16:
        wanted = "bf16" if has_fast_bf16(device) else "fp32"
    elif wanted == "auto":
        wanted = "fp16" if device.type == "cuda" else "fp32"
    if wanted not in PRECISIONS:
        raise UsageError(
            f"no precision is called '{wanted}'", hint=f"use auto, {', '.join(PRECISIONS)}", option="precision"
        )
    return PRECISIONS[wanted]
