"""What a network costs: parameters, and multiply-adds per pixel."""

from typing import Any

import torch
from torch import Tensor, nn

from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.nets.profile_unet import BANDS, ToldNet


def parameters(net: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(parameter.numel() for parameter in net.parameters())


def multiply_adds_per_pixel(net: DenoisingNet, size: int = 64) -> float:
    """Multiply-adds of the convolutions of one forward pass, per pixel of the image.

    Counted on a `size` x `size` image (a multiple of the stride), zero padding counted as if it were image. A network
    that is told the noise is told of none.
    """
    total = 0

    def count(module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.ConvTranspose2d):  # stride = kernel size: one product per output pixel and input
            total += output[0].numel() * module.in_channels

    hooks = [module.register_forward_hook(count) for module in net.modules()]
    was_training = net.training
    net.eval()  # running means of batch normalisation stay as they are
    try:
        with torch.no_grad():
            device = next(net.parameters()).device
            maps = [torch.zeros(1, 1 + BANDS, size, size, device=device)] if isinstance(net, ToldNet) else []
            net(torch.zeros(1, 1, size, size, device=device), *maps)
    finally:
        for hook in hooks:
            hook.remove()
        net.train(was_training)
    return total / size**2
