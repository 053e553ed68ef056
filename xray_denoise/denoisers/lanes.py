"""How images get to where they are worked on, and back."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Lane(Protocol):
    """The way of one thread's images; `launching` encloses what is computed, but never what waits for it."""

    def launching(self) -> AbstractContextManager[None]:
        """Within it one thread launches work; results need not be there when it ends."""
        ...

    def sent(self, image: NDArray[np.float32]) -> Tensor:
        """An image where it is worked on; call it while `launching`."""
        ...

    def fetched(self, *images: Tensor) -> list[Tensor]:
        """Images on the CPU, whole after `wait`; call it while `launching`."""
        ...

    def wait(self) -> None:
        """Until all that this thread has launched is done."""
        ...


class CpuLane:
    """Nothing has to be copied, and nothing is ever under way."""

    def launching(self) -> AbstractContextManager[None]:
        """See `Lane`."""
        return nullcontext()

    def sent(self, image: NDArray[np.float32]) -> Tensor:
        """See `Lane`."""
        return torch.from_numpy(image)

    def fetched(self, *images: Tensor) -> list[Tensor]:
        """See `Lane`."""
        return list(images)

    def wait(self) -> None:
        """See `Lane`."""


class CudaLane:
    """A stream for each thread, so that the copies of one run while another computes; copies are of pinned memory.

    Results stay in pinned memory, which torch uses again when nobody holds them any more.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._own = threading.local()
        self._lock = threading.Lock()

    @contextmanager
    def launching(self) -> Iterator[None]:
        """See `Lane`; a second thread waits here, since a graph is captured while no other thread launches."""
        if not hasattr(self._own, "stream"):
            self._own.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        with self._lock, torch.cuda.stream(self._own.stream):
            yield

    def sent(self, image: NDArray[np.float32]) -> Tensor:
        """See `Lane`."""
        pinned = torch.empty(image.shape, pin_memory=True).copy_(torch.from_numpy(image))
        return pinned.to(self._device, non_blocking=True)

    def fetched(self, *images: Tensor) -> list[Tensor]:
        """See `Lane`."""
        copies = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in images]
        return [copy.copy_(one, non_blocking=True) for copy, one in zip(copies, images, strict=True)]

    def wait(self) -> None:
        """See `Lane`."""
        self._own.stream.synchronize()
