"""How much of a device a network uses: its multiply-adds against what the device reaches on plain operations."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.nets.cost import multiply_adds_per_pixel

FORWARD_AND_BACKWARD = 3
"""A backward pass costs two forward passes: one for the inputs, one for the weights."""
CHANNELS = 64
"""Of the convolution that a device is measured with: those of X-BDCNN and DnCNN."""


def training_rate(net: DenoisingNet, patches_per_second: float, patch: int) -> float:
    """Floating-point operations per second of a training, two per multiply-add, convolutions only."""
    return patches_per_second * patch**2 * multiply_adds_per_pixel(net) * FORWARD_AND_BACKWARD * 2


def matrix_rate(
    device: torch.device, dtype: torch.dtype = torch.bfloat16, *, size: int = 8192, repeat: int = 20
) -> float:
    """Floating-point operations per second, two per multiply-add, of a product of two square matrices.

    Args:
        device: where; on a CPU as many threads as torch is set to.
        dtype: arithmetic.
        size: side of the matrices; a GPU needs 8192 to reach its rate, a CPU 2048.
        repeat: products that are timed, after three that are not.
    """
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return _rate(lambda: left @ right, 2 * size**3, device, repeat)


@torch.inference_mode()
def convolution_rate(
    device: torch.device, dtype: torch.dtype = torch.bfloat16, *, size: int = 1024, repeat: int = 20
) -> float:
    """Floating-point operations per second of a 3x3 convolution of 64 channels to 64, inside its image.

    Args:
        device: as above.
        dtype: arithmetic.
        size: side of the image, pixels; a CPU needs 256 to reach its rate.
        repeat: as above.
    """
    layer = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, bias=False)
    layer = layer.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.randn(1, CHANNELS, size, size, device=device, dtype=dtype)
    image = image.contiguous(memory_format=torch.channels_last)
    return _rate(lambda: layer(image), 2 * (size - 2) ** 2 * 9 * CHANNELS**2, device, repeat)


def _rate(call: Callable[[], Tensor], operations: int, device: torch.device, repeat: int) -> float:
    """`operations` per call, a second."""
    for _ in range(3):
        call()
    _finish(device)
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    _finish(device)
    return operations * repeat / (time.perf_counter() - start)


def _finish(device: torch.device) -> None:
    """Wait for an accelerator, which works on while Python goes ahead."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
