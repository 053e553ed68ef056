"""Weights + device + precision + tiles = a denoiser.

An image is cut into windows of one size, each with a halo as wide as the network sees, so that the result is that of
the whole image and memory does not grow with it. Two kinds of networks are run so: blind ones, which estimate the
noise level themselves or do without (`BlindDenoiser`), and those that are told it (`ToldDenoiser`).
"""

import abc
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise import weights
from xray_denoise.denoisers import Runtime, progress
from xray_denoise.denoisers.base import Denoised, Denoiser
from xray_denoise.denoisers.devices import PRECISIONS, choose_device, choose_precision
from xray_denoise.denoisers.engine import Graphs, OpenVino, choose_engine
from xray_denoise.denoisers.pixels import as_seen, corrected, extended, level_sums, noise_deviation, without_bias
from xray_denoise.denoisers.tiles import even_side, windows
from xray_denoise.errors import CannotRunError, UsageError, XrayDenoiseError
from xray_denoise.nets.blind import BlindNet, DenoisingNet
from xray_denoise.nets.profile_unet import ProfileUNet, noise_maps
from xray_denoise.physics.levels import Calibration, Sums, scaled
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.noise_estimate import estimate_profile
from xray_denoise.physics.profile import KNOTS, Noise, NoiseProfile, as_level
from xray_denoise.scale import GREY_MAX

WHOLE, WHOLE_ON_GPU = 1024, 2048
"""An image with no longer side goes whole where no tile is asked for: most radiographs do. Like the next one, this is
the side for a network of full size, and longer where all is computed on less (`DenoisingNet.shrink`)."""
AUTO_TILE, AUTO_TILE_ON_GPU = 768, 2048
"""Side of the windows of a larger image; networks then stay below 2 GiB at 4096x4096 on the CPU."""
LARGEST_ON_GPU = 2**26
"""Pixels; a larger image stays on the CPU, and its windows go to the GPU one by one."""
CPU = torch.device("cpu")


def load(card: weights.Card, runtime: Runtime) -> "NetworkDenoiser":
    """The network of a card, on the device that `runtime` names.

    Raises:
        UsageError: an option of `runtime` is none.
        CannotRunError: the device is missing, or the weights cannot be used.
    """
    device = choose_device(runtime.device)
    net = weights.load(card)
    dtype = choose_precision(runtime.precision, device, bf16=isinstance(net, ProfileUNet))
    if device.type == "cuda" and dtype == torch.float32:
        torch.backends.cudnn.allow_tf32 = False  # fp32 means 32 bits
    return kind_of(net)(
        net,
        card.name,
        card.sha256,
        device,
        dtype,
        runtime.tile,
        batch_size=runtime.batch_size,
        engine=engine_for(net, runtime.engine, device, dtype),
        training=card.training,
        calibration=card.calibration,
    )


def kind_of(net: DenoisingNet) -> "type[NetworkDenoiser]":
    """The class that runs networks like this one, trained or being trained."""
    return ToldDenoiser if isinstance(net, ProfileUNet) else BlindDenoiser


def engine_for(net: DenoisingNet, wanted: str, device: torch.device, dtype: torch.dtype = torch.float32) -> str:
    """What runs a network: see `choose_engine`.

    Raises:
        UsageError: it cannot be run by the engine that is asked for.
        CannotRunError: that engine is not installed.
    """
    if not isinstance(net, ProfileUNet):
        return choose_engine(wanted, device, dtype, net.shrink)
    if wanted == "openvino":
        raise UsageError("this network runs by PyTorch only", hint="let the engine be chosen", option="engine")
    return choose_engine("torch", device, dtype)


@dataclass(slots=True)
class NetworkDenoiser(Denoiser):
    """A network as a `Denoiser`, be it one whose training still runs: what both kinds share."""

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
    engine: str = "torch"
    """What runs the network: `torch` or `openvino`."""
    training: str = ""
    calibration: Calibration | None = None
    """Of the level that is reported; None reports it as it is estimated."""

    def __post_init__(self) -> None:
        if self.halo < 0:
            self.halo = self.net.radius
        if self.tile is not None and self.tile < self._smallest_tile:
            raise UsageError(
                f"a tile of {self.tile} pixels is smaller than what '{self.name}' sees around a pixel",
                hint=f"use {self._smallest_tile} pixels or more, or let the image decide",
                option="tile",
            )
        if self.engine == "torch":
            self.net = self.net.to(self.where, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def device(self) -> str:
        """See `Denoiser`."""
        return str(self.where)

    @property
    def arithmetic(self) -> str:
        """See `Denoiser`; the precision is one of `PRECISIONS`, the engine is told if it is not torch."""
        precision = next(name for name, dtype in PRECISIONS.items() if dtype == self.dtype)
        return precision if self.engine == "torch" else f"{precision} by {self.engine}"

    @property
    def settings(self) -> str:
        """See `Denoiser`."""
        return f"{self.device} {self.arithmetic}, tile {self.tile or 'auto'}, batch {self.batch_size}"

    @torch.inference_mode()
    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels (see `Denoiser`).

        Raises:
            UsageError: `level` is given to a network that takes none.
            CannotRunError: the device has too little memory for the smallest window.
            XrayDenoiseError: the precision has too small a range for this image.
        """
        noisy = np.require(noisy, np.float32, ["C", "W"])
        while True:
            try:
                found = self._denoised(noisy, level)
                break
            except torch.cuda.OutOfMemoryError:
                pass  # the tensors of the failed try are freed with the exception, before the next one
            self._halve_tile(max(self.window_for((noisy.shape[0], noisy.shape[1]))))
        if not np.isfinite(found.removed).all():
            raise XrayDenoiseError(
                f"'{self.name}' gives values in {self.arithmetic} that are not numbers",
                hint="try 32-bit arithmetic; if that does not help, please report it",
                option="precision",
            )
        return found

    @abc.abstractmethod
    def _denoised(self, noisy: NDArray[np.float32], level: Noise | None) -> Denoised:
        """See `__call__`."""

    @property
    def _smallest_tile(self) -> int:
        """The halo on both sides, and something to keep between."""
        return 2 * self.halo + self.net.stride

    def window_for(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the windows for an image: as many as needed, and then as small as they can be."""
        whole, auto = (WHOLE_ON_GPU, AUTO_TILE_ON_GPU) if self.where.type == "cuda" else (WHOLE, AUTO_TILE)
        shrink, stride = self.net.shrink, self.net.stride
        limit = self.tile or shrink * (whole if max(sides) <= whole * shrink else auto)
        height, width = (even_side(side, limit - limit % stride, self.halo, stride) for side in sides)
        return height, width

    def _place(self, noisy: NDArray[np.float32]) -> Tensor:
        """The image on the device where its pixels are worked on, (H, W)."""
        image = torch.from_numpy(noisy)
        return image.to(self.where) if noisy.size <= LARGEST_ON_GPU else image

    def _on_device(self, batch: list[Tensor]) -> Tensor:
        joined = torch.cat(batch) if len(batch) > 1 else batch[0]
        if self.where.type == "cuda" and not joined.is_cuda:
            joined = joined.pin_memory()
        return joined.to(self.where, non_blocking=True).contiguous(memory_format=torch.channels_last)

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.dtype == torch.float32 or self.engine == "openvino":
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


@dataclass(slots=True)
class BlindDenoiser(NetworkDenoiser):
    """A blind network; give one that works with noise levels the true one and it is non-blind."""

    _graphs: Graphs = field(init=False, repr=False)

    def __post_init__(self) -> None:
        NetworkDenoiser.__post_init__(self)
        if self.engine == "openvino":
            self._graphs = OpenVino(self.net, self.dtype, torch.get_num_threads())
        else:
            self._graphs = cast(Graphs, self.net)

    @property
    def settings(self) -> str:
        """See `Denoiser`."""
        calibrated = f", calibrated {self.calibration.factors}" if self.calibration else ""
        return f"{NetworkDenoiser.settings.fget(self)}{calibrated}"  # type: ignore[attr-defined]

    def _denoised(self, noisy: NDArray[np.float32], level: Noise | None) -> Denoised:
        """What lies outside 0..255 is shown to the network as 0 or 255, and gets the correction made there."""
        level = as_level(level)
        if level is not None and not isinstance(self.net, BlindNet):
            raise UsageError(
                f"'{self.name}' cannot be told a noise level", hint="leave the level out, or choose x-bdcnn"
            )
        height, width = noisy.shape
        image = self._place(noisy)
        seen = as_seen(image)
        whole = extended(seen[None, None], self.net.stride)
        tile = self.window_for((whole.shape[2], whole.shape[3]))
        restored, deviation = self._restore(whole, self._encoded(level), tile)
        denoised = corrected(image, seen, restored[:height, :width])
        if deviation is None or not bool(denoised.isfinite().all()):
            return Denoised(noisy, (image - denoised).cpu().numpy())
        deviation = deviation[:height, :width]
        if level is None:
            sums = Sums(*level_sums(seen, denoised, deviation).tolist())
            factor = self.calibration.factor(sums.measured) if self.calibration else 1.0
            level = scaled(sums.measured, factor)
            deviation.mul_(float(np.float32(factor * sums.strength)))
        return Denoised(noisy, (image - denoised).cpu().numpy(), level, deviation.cpu().numpy())

    def _encoded(self, level: NoiseLevel | None) -> Tensor | None:
        """A given level as the network wants it, (1, 2, 1, 1)."""
        if level is None or not isinstance(self.net, BlindNet):
            return None
        return self.net.encoding.encode(torch.tensor([level.eta]), torch.tensor([level.sigma])).to(self.where)

    def _restore(self, image: Tensor, given: Tensor | None, tile: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """The denoised image and the deviation of its noise, if that is known, both (H, W), where `image` is."""
        shape = (image.shape[2], image.shape[3])
        restored, deviation = torch.empty(shape, device=image.device), None
        tiles = list(windows(shape, tile, self.halo))
        for first in range(0, len(tiles), self.batch_size):
            batch = tiles[first : first + self.batch_size]
            with self._arithmetic():
                clean, levels = self._run(self._on_device([image[:, :, *window.seen] for window in batch]), given)
            clean = clean[:, 0].float()
            noise = None if levels is None else noise_deviation(clean, levels, cast(BlindNet, self.net).encoding)
            progress.tell(first + len(batch), len(tiles))
            if len(tiles) == 1:  # nothing to put together
                return clean[0].to(image.device), None if noise is None else noise[0].to(image.device)
            for index, window in enumerate(batch):
                restored[window.kept] = clean[index, *window.inside].to(image.device)
            if noise is None:
                continue
            deviation = torch.empty(shape, device=image.device) if deviation is None else deviation
            for index, window in enumerate(batch):
                deviation[window.kept] = noise[index, *window.inside].to(image.device)
        return restored, deviation

    def _run(self, noisy: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """One forward pass: the denoised windows, and the levels that were given or estimated."""
        if isinstance(self.net, BlindNet) and given is not None:
            levels = given.expand(len(noisy), -1, -1, -1)
            return self._graphs.restore(noisy, levels), levels
        restored, estimated = self._graphs(noisy)
        return restored, estimated


@dataclass(slots=True)
class ToldDenoiser(NetworkDenoiser):
    """A network that is told the noise: by the caller, or by the pooled estimate of the whole image.

    whole image -> profile -> deviation at 33 grey levels, power in four bands -> each window: noise maps -> network
    """

    def _denoised(self, noisy: NDArray[np.float32], level: Noise | None) -> Denoised:
        profile = NoiseProfile.of_level(level) if isinstance(level, NoiseLevel) else level
        profile = profile or estimate_profile(noisy).profile
        height, width = noisy.shape
        whole = extended(self._place(noisy)[None, None], self.net.stride)
        shape = (whole.shape[2], whole.shape[3])
        told = [one.to(self.where) for one in told_of(profile)]
        restored = torch.empty(shape, device=whole.device)
        tiles = list(windows(shape, self.window_for(shape), self.halo))
        for first in range(0, len(tiles), self.batch_size):
            batch = tiles[first : first + self.batch_size]
            seen = self._on_device([whole[:, :, *window.seen] for window in batch]) / GREY_MAX
            maps = noise_maps(seen, *(one.expand(len(seen), -1) for one in told))
            with self._arithmetic():
                clean = self.net(seen, maps)
            progress.tell(first + len(batch), len(tiles))
            for index, window in enumerate(batch):
                restored[window.kept] = clean[index, 0, *window.inside].to(whole.device) * GREY_MAX
        image = without_bias(noisy, restored[:height, :width].cpu().numpy(), profile)
        shown = level if isinstance(level, NoiseLevel) else profile.nearest_level()
        return Denoised.of(noisy, image, shown, profile.deviation_at(image).astype(np.float32), profile)


def told_of(profile: NoiseProfile) -> tuple[Tensor, Tensor]:
    """What `nets.profile_unet.noise_maps` takes of a profile: (1, KNOTS) and (1, BANDS), 32-bit floats."""
    variance = (profile.deviation_at(np.linspace(0, GREY_MAX, KNOTS)) / GREY_MAX) ** 2
    powers = np.maximum(profile.band_powers(), 1e-3)
    return torch.from_numpy(variance).float()[None], torch.from_numpy(powers).float()[None]
