"""Run a network on CUDA: graphs that are replayed, and convolutions fused with what follows them.

A graph fixes the shapes of its tensors, and a GPU takes long to choose its kernels for a new shape; so only a shape
that comes back is captured, the last few of them are kept, and every other is computed launch by launch.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xray_denoise import nets
from xray_denoise.denoisers.engine import ByMethod
from xray_denoise.nets.blind import DenoisingNet

KEPT = 4
"""Graphs that are kept for each stream: two methods of a network on two sizes of windows."""
REMEMBERED = 256
"""Shapes that are remembered to have been seen once."""
WARM_UP = 2
"""Runs before a capture, in which the kernels are chosen."""
AS_CLOSE = 4.0
"""Fused convolutions must come as close to 32 bits as this many times what separate ones do."""

Results = tuple[Tensor, ...]
Call = Callable[..., Results]


class CudaGraphs(ByMethod):
    """`engine.Graphs` of a network on CUDA; each stream has captures of its own.

    What is returned is overwritten when the same method is called for the same shapes on the same stream again.
    """

    def __init__(
        self, net: DenoisingNet, capture: "Callable[[Call, Sequence[Tensor], Any], Call] | None" = None
    ) -> None:
        """Run `net`, which is on its device, channels last; `capture` is replaced in tests."""
        self._net = net
        self._capture = capture
        self._able = True
        self._captures: OrderedDict[tuple[object, ...], Call] = OrderedDict()
        self._seen: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._pools: dict[int, Any] = {}

    def forget(self) -> None:
        """Give the memory of all captures back."""
        self._captures.clear()
        self._seen.clear()
        self._pools.clear()

    def _run(self, method: str, *inputs: Tensor) -> Results:
        stream = _stream_of(inputs[0])
        key = (method, stream, *(one.shape for one in inputs))
        if key in self._captures:
            self._captures.move_to_end(key)
        elif key in self._seen and self._able:
            self._take(key, stream, method, inputs)
        _remember(self._seen, key, None, REMEMBERED)
        return self._captures.get(key, self._launched(method))(*inputs)

    def _take(self, key: tuple[object, ...], stream: int, method: str, inputs: Sequence[Tensor]) -> None:
        """Capture a method, if that is possible; where it is not, nothing is captured from here on."""
        if stream not in self._pools and inputs[0].is_cuda:
            self._pools[stream] = torch.cuda.graph_pool_handle()
        try:
            graph = (self._capture or captured)(self._launched(method), inputs, self._pools.get(stream))
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError:
            self._able = False
        else:
            _remember(self._captures, key, graph, KEPT)

    def _launched(self, method: str) -> Call:
        """A method that is computed launch by launch, with a tuple of results."""

        def call(*inputs: Tensor) -> Results:
            results = getattr(self._net, method)(*inputs)
            return tuple(one for one in results if one is not None) if isinstance(results, tuple) else (results,)

        return call


def captured(call: Call, inputs: Sequence[Tensor], pool: Any) -> Call:
    """`call` as a CUDA graph for inputs of these shapes, which are copied into it.

    Raises:
        RuntimeError: it cannot be captured.
        torch.cuda.OutOfMemoryError: there is too little memory.
    """
    static = [one.clone() for one in inputs]
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True  # the fastest kernels for this shape are worth looking for
    try:
        for _ in range(WARM_UP):
            call(*static)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            results = call(*static)
    finally:
        torch.backends.cudnn.benchmark = before

    def replay(*given: Tensor) -> Results:
        for mine, one in zip(static, given, strict=True):
            mine.copy_(one, non_blocking=True)
        graph.replay()
        return results

    return replay


class FusedConv(nn.Module):
    """A convolution, its bias and the ReLU behind it in one kernel, in 16 bits whatever comes in."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.padding = conv.kernel_size[0] // 2
        self.weight = nn.Parameter(conv.weight.detach().to(dtype), requires_grad=False)
        self.bias = nn.Parameter(_bias(conv).to(dtype), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        features = features.to(self.weight.dtype)
        if features.is_cuda:
            fused: Tensor = torch.cudnn_convolution_relu(
                features, self.weight, self.bias, (1, 1), (self.padding, self.padding), (1, 1), 1
            )
            return fused
        return F.conv2d(features, self.weight, self.bias, padding=self.padding).relu_()


@torch.no_grad()
def fused(net: DenoisingNet, dtype: torch.dtype) -> DenoisingNet:
    """A copy of `net` in which convolutions that a ReLU follows are fused with it, if that computes the same.

    The proof is a small image on the device of the network: in `dtype` the copy must come about as close to 32 bits
    as the network itself. Otherwise, or if the device cannot do it, the network is given back.
    """
    copy = nets.copy_of(net)
    for part in list(copy.modules()):
        if isinstance(part, nn.Sequential):
            _fuse_pairs(part, dtype)
    device = next(net.parameters()).device
    noisy = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0)).to(device)
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    exact = net(noisy)[0]
    try:
        with torch.autocast(device.type, dtype):
            apart, together = (float((one(noisy)[0] - exact).abs().max()) for one in (net, copy))
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError:
        return net
    return copy if together <= AS_CLOSE * apart else net


def _fuse_pairs(layers: nn.Sequential, dtype: torch.dtype) -> None:
    """Replace every convolution (`blind.conv`: stride 1, same size) that a ReLU follows, and drop the ReLU."""
    for index in range(len(layers) - 1):
        conv, after = layers[index], layers[index + 1]
        if isinstance(conv, nn.Conv2d) and isinstance(after, nn.ReLU):
            layers[index], layers[index + 1] = FusedConv(conv, dtype), nn.Identity()


def _bias(conv: nn.Conv2d) -> Tensor:
    return torch.zeros_like(conv.weight[:, 0, 0, 0]) if conv.bias is None else conv.bias.detach()


def _remember(kept: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)


def _stream_of(image: Tensor) -> int:
    return torch.cuda.current_stream(image.device).cuda_stream if image.is_cuda else 0
