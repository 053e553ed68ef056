"""Random numbers of a batch, one for each of its patches."""

import math

import torch
from torch import Tensor


class Draw:
    """Random numbers of a batch from one generator."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(B, *shape)."""
        unit = torch.rand(self.count, *shape, generator=self.generator, device=self.generator.device)
        return low + (high - low) * unit

    def log_uniform(self, low: float, high: float) -> Tensor:
        """(B,)."""
        return self.uniform(math.log(low), math.log(high)).exp()

    def exponential(self, mean: float) -> Tensor:
        """(B,)."""
        return -mean * (1 - self.uniform(0, 1)).clamp_min(1e-6).log()

    def normal(self, deviation: float, *shape: int) -> Tensor:
        """(B, *shape)."""
        return deviation * torch.randn(self.count, *shape, generator=self.generator, device=self.generator.device)

    def share(self, share: float) -> Tensor:
        """(B,), true with the probability `share`."""
        return self.uniform(0, 1) < share
