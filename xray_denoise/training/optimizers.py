"""How weights follow their gradients: Adam, or Muon for the kernels of hidden layers."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

Name = Literal["adam", "muon"]

FEWEST_CHANNELS = 16
"""Kernels with at least as many inputs and outputs are matrices enough for Muon; Adam takes the rest."""
STEPS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Five steps of this polynomial bring every singular value from (0, 1] near 1, as steeply as can be from below."""
LIKE_ADAM = 0.2
"""Root mean square of an update at learning rate 1: what Adam's is about, so that one rate suits both."""


def optimizers(net: nn.Module, name: Name, lr: float) -> list[torch.optim.Optimizer]:
    """What moves the weights of `net`: each of them is in one optimizer."""
    kernels = [one for one in net.parameters() if name == "muon" and _is_hidden_kernel(one)]
    others = [one for one in net.parameters() if not (name == "muon" and _is_hidden_kernel(one))]
    return [*([Muon(kernels, lr)] if kernels else []), torch.optim.Adam(others, lr=lr)]


def _is_hidden_kernel(weights: Tensor) -> bool:
    return weights.ndim == 4 and min(weights.shape[:2]) >= FEWEST_CHANNELS


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal: no direction of a layer learns faster than another.

    A kernel is the matrix from the pixels it sees to its channels. torch.optim has a Muon for weights that are matrices
    already.

    Args:
        kernels: weights of convolutions, (outputs, inputs, height, width), or transposed ones, (inputs, outputs, ...).
        lr: learning rate, of the size that suits Adam.
        momentum: share of the mean gradient that a step keeps, 0..1; the step looks ahead by as much (Nesterov).

    Reference:
        Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the size of the step is that of
        Liu et al., "Muon is scalable for LLM training", 2025.
    """

    def __init__(self, kernels: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(kernels, {"lr": lr, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step along the gradients; `closure` is not called, as one step is one look."""
        if closure is not None:
            raise ValueError("this optimizer evaluates nothing again")
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is not None:
                    self._move(kernel, kernel.grad, group)
        return None

    def _move(self, kernel: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[kernel]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(kernel)
        mean = state["mean"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(mean, group["momentum"]).flatten(1)
        size = LIKE_ADAM * math.sqrt(max(ahead.shape))
        kernel.add_(orthogonal(ahead).view(kernel.shape), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are all 1 (they end between 0.7 and 1.2; a zero matrix stays)."""
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.mT if tall else matrix
    found: Tensor = wide / (wide.norm() + 1e-12)
    first, third, fifth = QUINTIC
    for _ in range(STEPS):
        square = found @ found.mT
        found = first * found + (third * square + fifth * square @ square) @ found
    return (found.mT if tall else found).contiguous()
