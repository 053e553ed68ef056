"""How much of the device training uses: its multiply-adds against what the device reaches on plain matrices."""

import time

import torch

from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.nets.cost import multiply_adds_per_pixel

FORWARD_AND_BACKWARD = 3
"""A backward pass costs two forward passes: one for the inputs, one for the weights."""


def training_rate(net: DenoisingNet, patches_per_second: float, patch: int) -> float:
    """Floating-point operations per second of a training, two per multiply-add, convolutions only."""
    return patches_per_second * patch**2 * multiply_adds_per_pixel(net) * FORWARD_AND_BACKWARD * 2


def matrix_rate(device: torch.device, *, size: int = 8192, repeat: int = 20) -> float | None:
    """Floating-point operations per second of a bf16 product of two square matrices on CUDA; None elsewhere."""
    if device.type != "cuda":
        return None
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeat):
        left @ right
    torch.cuda.synchronize(device)
    return 2 * size**3 * repeat / (time.perf_counter() - start)
