"""Run a network on the CPU by OpenVINO: PyTorch's numbers in less time or memory (an extra).

The graph is taken from the PyTorch network when it is first called, for images of any size.
"""

import sys
import warnings
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from xray_denoise.errors import UsageError
from xray_denoise.extras import is_installed, require
from xray_denoise.nets.blind import BlindNet, DenoisingNet

ENGINES = ("auto", "torch", "openvino")
HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}
"""OpenVINO's names of the arithmetic; without one it would take 16 bits wherever the processor has them."""


class Backend(Protocol):
    """The ways of calling a network, told the level or not; networks without levels have the last only."""

    def restore(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """(B, 1, H, W) and levels -> (B, 1, H, W)."""
        ...

    def __call__(self, noisy: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 1, H, W) -> (B, 1, H, W), and levels."""
        ...


def choose_engine(wanted: str, device: torch.device, dtype: torch.dtype, shrink: int = 1) -> str:
    """`torch` or `openvino` for `auto` or a name.

    `auto` takes OpenVINO on the CPU where it is installed, but in 32 bits not for networks that compute on less than
    the whole size (`DenoisingNet.shrink` above 1): PyTorch is as fast with them and starts half a second sooner.

    Raises:
        UsageError: no such engine, or it cannot do what is asked for.
        CannotRunError: it is not installed.
    """
    if wanted not in ENGINES:
        raise UsageError(f"no engine is called '{wanted}'", hint=f"use {', '.join(ENGINES)}", option="engine")
    able = device.type == "cpu" and dtype in HINTS
    there = is_installed("openvino")
    if wanted == "auto":
        as_fast = shrink > 1 and dtype == torch.float32  # in 16 bits PyTorch takes ten times as long on most processors
        return "openvino" if able and there and not as_fast else "torch"
    if wanted == "openvino" and not able:
        raise UsageError(
            "OpenVINO runs on the CPU here, in fp32 or bf16", hint="use torch, or run on the CPU", option="engine"
        )
    if wanted == "openvino":
        require("openvino", "openvino", "this engine")
    return wanted


class OpenVino:
    """A network as a `Backend`; each of its methods is compiled when it is first called."""

    def __init__(self, net: DenoisingNet, dtype: torch.dtype, threads: int) -> None:
        self._net = net
        self._settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": HINTS[dtype]}
        self._compiled: dict[str, Any] = {}

    def restore(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """See `Backend`."""
        return self._run("restore", noisy, levels)[0]

    def __call__(self, noisy: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Backend`."""
        restored, *levels = self._run("forward", noisy)
        return restored, levels[0] if levels else None

    def _run(self, method: str, *inputs: Tensor) -> list[Tensor]:
        """What the method gives, without results that are None."""
        if method not in self._compiled:
            self._compiled[method] = self._compile(method, inputs)
        arrays = [one.float().contiguous().numpy() for one in inputs]
        found = self._compiled[method](arrays, share_inputs=True)
        return [torch.from_numpy(found[index]) for index in range(len(found))]

    def _compile(self, method: str, inputs: tuple[Tensor, ...]) -> Any:
        # the converter reports its use over the network unless this package is missing
        sys.modules.setdefault("openvino_telemetry", cast(Any, None))
        import openvino

        examples = tuple(torch.zeros(1, one.shape[1], *(min(side, 64) for side in one.shape[2:])) for one in inputs)
        shapes = [openvino.PartialShape([-1, one.shape[1], -1, -1]) for one in inputs]
        with warnings.catch_warnings(), torch.inference_mode(mode=False), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing warns of what it leaves out; tests compare the results
            # unchecked: to compare the trace with the network loads torch.distributed, seconds of every start
            traced = torch.jit.trace(_Method(self._net, method), examples, check_trace=False)  # type: ignore[no-untyped-call]
            graph = openvino.convert_model(traced, example_input=examples, input=shapes)
        return openvino.Core().compile_model(graph, "CPU", self._settings)


class _Method(nn.Module):
    """One method of a network as a module, without results that are None."""

    def __init__(self, net: DenoisingNet, method: str) -> None:
        super().__init__()
        self.net, self.method = net, method

    def forward(self, *inputs: Tensor) -> Any:
        if self.method == "forward" and not isinstance(self.net, BlindNet):
            return self.net(*inputs)[0]
        return getattr(self.net, self.method)(*inputs)
