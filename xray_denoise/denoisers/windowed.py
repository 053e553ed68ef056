"""A network as a `Denoiser`, window by window.

An image is cut into windows of one size, each with a halo as wide as the network sees, so that the result is that of
the whole image, and that the memory of the network does not grow with it.
"""

import abc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise.denoisers.base import Denoised, Denoiser
from xray_denoise.denoisers.devices import PRECISIONS
from xray_denoise.denoisers.tiles import even_side
from xray_denoise.errors import CannotRunError, UsageError, XrayDenoiseError
from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.physics.noise_fit import Calibration
from xray_denoise.physics.profile import Noise

WHOLE, WHOLE_ON_GPU = 1024, 2048
"""An image with no longer side goes whole where no tile is asked for: most radiographs do. Like the next one, this is
the side for a network of full size, and longer where all is computed on less (`DenoisingNet.shrink`)."""
AUTO_TILE, AUTO_TILE_ON_GPU = 768, 2048
"""Side of the windows of a larger image; networks then stay below 2 GiB at 4096x4096 on the CPU."""
LARGEST_ON_GPU = 2**26
"""Pixels; a larger image stays on the CPU, and its windows go to the GPU one by one."""
CPU = torch.device("cpu")


@dataclass(slots=True)
class NetworkDenoiser(Denoiser):
    """A network as a `Denoiser`, also during training: what blind networks and others share."""

    net: DenoisingNet
    name: str = "network"
    weights_sha256: str = ""
    where: torch.device = CPU
    dtype: torch.dtype = torch.float32
    tile: int | None = None
    """Longest side of a window, pixels, its halo included; None chooses by the image."""
    halo: int = -1
    """Pixels around what is kept; -1 means the network's radius, with which tiles change nothing."""
    batch_size: int = 1
    """Windows per forward pass."""
    training: str = ""
    calibration: Calibration | None = None
    """Of the level that is reported; None reports it as it is estimated."""
    part: str = ""

    def __post_init__(self) -> None:
        if self.halo < 0:
            self.halo = self.net.radius
        if self.tile is not None and self.tile < self._smallest_tile:
            raise UsageError(
                f"a tile of {self.tile} pixels is smaller than the receptive field of '{self.name}'",
                hint=f"use {self._smallest_tile} pixels or more, or leave it out",
                option="tile",
            )
        self.net = self.net.to(self.where, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def device(self) -> str:
        """See `Denoiser`."""
        return str(self.where)

    @property
    def arithmetic(self) -> str:
        """See `Denoiser`; one of `PRECISIONS`."""
        return next(name for name, dtype in PRECISIONS.items() if dtype == self.dtype)

    @property
    def settings(self) -> str:
        """See `Denoiser`."""
        return f"{self.device} {self.arithmetic}, tile {self.tile or 'auto'}, batch {self.batch_size}"

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels (see `Denoiser`).

        Raises:
            UsageError: `level` is given to a network that takes none.
            CannotRunError: the device has too little memory for the smallest window.
            MemoryError: the CPU has too little memory.
            XrayDenoiseError: the precision has too small a range for this image.
        """
        noisy = np.require(noisy, np.float32, ["C", "W"])
        return self._computed(lambda: self._denoised(noisy, level), (noisy.shape[0], noisy.shape[1]))

    @torch.inference_mode()
    def _computed(self, compute: Callable[[], Denoised], shape: tuple[int, int]) -> Denoised:
        """What `compute` gives for an image of a shape, with smaller windows where the memory is too small.

        Raises:
            CannotRunError, MemoryError, XrayDenoiseError: see `__call__`.
        """
        while True:
            try:
                found = compute()
                break
            except torch.cuda.OutOfMemoryError:
                pass  # the tensors of the failed try are freed with the exception, before the next one
            except RuntimeError as error:
                if "allocate memory" not in str(error):
                    raise
                raise MemoryError from error
            self._halve_tile(max(self.window_for(shape)))
        if not np.isfinite(found.removed).all():
            raise XrayDenoiseError(
                f"'{self.name}' produced NaN or infinity in {self.arithmetic}",
                hint="try 32-bit arithmetic; if that does not help, please report it",
                option="precision",
            )
        return found

    @abc.abstractmethod
    def _denoised(self, noisy: NDArray[np.float32], level: Noise | None) -> Denoised:
        """See `__call__`."""

    @property
    def _smallest_tile(self) -> int:
        """The halo on both sides, and one block to keep."""
        return 2 * self.halo + self.net.stride

    def window_for(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the windows for an image: the fewest possible, then the smallest of that number."""
        whole, auto = (WHOLE_ON_GPU, AUTO_TILE_ON_GPU) if self.where.type == "cuda" else (WHOLE, AUTO_TILE)
        shrink, stride = self.net.shrink, self.net.stride
        limit = self.tile or shrink * (whole if max(sides) <= whole * shrink else auto)
        height, width = (even_side(side, limit - limit % stride, self.halo, stride) for side in sides)
        return height, width

    def _place(self, noisy: NDArray[np.float32]) -> Tensor:
        """The image on the device where it is processed, (H, W)."""
        image = torch.from_numpy(noisy)
        return image.to(self.where) if noisy.size <= LARGEST_ON_GPU else image

    def _on_device(self, batch: list[Tensor]) -> Tensor:
        joined = torch.cat(batch) if len(batch) > 1 else batch[0]
        if self.where.type == "cuda" and not joined.is_cuda:
            joined = joined.pin_memory()
        return joined.to(self.where, non_blocking=True).contiguous(memory_format=torch.channels_last)

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.where.type, self.dtype)

    def _halve_tile(self, tile: int) -> None:
        """Use windows of half the side from here on, after the device ran out of memory.

        Raises:
            CannotRunError: they are as small as they can be.
        """
        torch.cuda.empty_cache()
        if tile // 2 < self._smallest_tile:
            raise CannotRunError(
                f"{self.device} has too little free memory for a tile of {tile} pixels",
                hint="close what else runs on it, or use the CPU",
                option="device",
            )
        self.tile, self.batch_size = tile // 2, 1
