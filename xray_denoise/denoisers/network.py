"""Weights + device + precision + tiles = a denoiser.

An image is cut into windows of one fixed size, each with a halo as wide as the network sees, so that the result is
that of the whole image and memory does not grow with it.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise import weights
from xray_denoise.denoisers import Denoised, Runtime
from xray_denoise.denoisers.engine import Graphs, OpenVino, choose_engine
from xray_denoise.denoisers.tiles import windows
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.nets.blind import BlindNet, DenoisingNet
from xray_denoise.nets.level import WHITE
from xray_denoise.physics.levels import MID_GREY, Calibration, level_of, measured_level, scaled
from xray_denoise.physics.noise import NoiseLevel

WHOLE = 1024
"""An image with no longer side goes whole where no tile is asked for: most radiographs do."""
AUTO_TILE = 768
"""Side of the windows of a larger image; X-BDCNN then stays below 2 GiB at 4096x4096 on the CPU."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Arithmetic of the convolutions; the correction is added to the image in 32 bits whatever is chosen."""


def choose_device(wanted: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the first accelerator that is there.

    Raises:
        UsageError: no such kind of device.
        CannotRunError: this machine has no such device; there is no silent fallback.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = wanted.partition(":")
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in available or wanted.endswith(":") or not (number or "0").isdecimal():
        raise UsageError(f"no kind of device is called '{wanted}'", hint="use auto, cpu, cuda, cuda:N or mps")
    if int(number or 0) >= available[kind]:
        raise CannotRunError(
            f"this machine has no device '{wanted}'",
            hint="use --device auto or --device cpu; xray-denoise info lists the devices",
        )
    return torch.device(wanted)


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The arithmetic for `auto`, `fp32`, `bf16` or `fp16`; `auto` is bf16 on CUDA and fp32 elsewhere.

    Raises:
        UsageError: no such precision.
    """
    if wanted == "auto":
        wanted = "bf16" if device.type == "cuda" else "fp32"
    if wanted not in PRECISIONS:
        raise UsageError(f"no precision is called '{wanted}'", hint=f"use auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[wanted]


def load(card: weights.Card, runtime: Runtime) -> "NetworkDenoiser":
    """The network of a card, on the device that `runtime` names.

    Raises:
        UsageError: an option of `runtime` is none.
        CannotRunError: the device is missing, or the weights cannot be used.
    """
    device = choose_device(runtime.device)
    dtype = choose_precision(runtime.precision, device)
    if device.type == "cuda" and dtype == torch.float32:
        torch.backends.cudnn.allow_tf32 = False  # fp32 means 32 bits
    return NetworkDenoiser(
        net=weights.load(card),
        name=card.name,
        version=card.sha256,
        device=device,
        dtype=dtype,
        tile=runtime.tile,
        batch_size=runtime.batch_size,
        engine=choose_engine(runtime.engine, device, dtype),
        calibration=card.calibration,
        training=card.training,
    )


@dataclass(slots=True)
class NetworkDenoiser:
    """A network as a `Denoiser`; give one that works with noise levels the true one and it is non-blind."""

    net: DenoisingNet
    name: str
    version: str
    """Hash of the weights."""
    device: torch.device
    dtype: torch.dtype = torch.float32
    tile: int | None = None
    """Longest side of a window, pixels, its halo included; None chooses by the image."""
    halo: int = -1
    """Pixels around what is kept; -1 means the network's radius, with which tiles change nothing."""
    batch_size: int = 1
    engine: str = "torch"
    """What runs the network: `torch` or `openvino`."""
    calibration: Calibration | None = None
    """Of the level that is reported; None reports it as it is estimated."""
    training: str = ""
    """How long the network was trained, in words."""
    _graphs: Graphs = field(init=False, repr=False)

    @property
    def arithmetic(self) -> str:
        """The precision by the name that `--precision` takes."""
        return next(name for name, dtype in PRECISIONS.items() if dtype == self.dtype)

    @property
    def settings(self) -> str:
        """What decides the result and its time besides the weights."""
        calibrated = f", calibrated {self.calibration.factors}" if self.calibration else ""
        engine = f" by {self.engine}" if self.engine != "torch" else ""
        tiles = f"tile {self.tile or 'auto'}, batch {self.batch_size}"
        return f"{self.device} {self.arithmetic}{engine}, {tiles}{calibrated}"

    def __post_init__(self) -> None:
        if self.halo < 0:
            self.halo = self.net.radius
        if self.tile is not None and self.tile < self._smallest_tile:
            raise UsageError(
                f"a tile of {self.tile} pixels is smaller than what '{self.name}' sees around a pixel",
                hint=f"use --tile {self._smallest_tile} or more, or --tile auto",
            )
        if self.engine == "openvino":
            self._graphs = OpenVino(self.net, self.dtype, torch.get_num_threads())
        else:
            self.net = self.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._graphs = cast(Graphs, self.net)

    @torch.inference_mode()
    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels (see `Denoiser`).

        What lies outside 0..255 is shown to the network as 0 or 255, and gets the correction made there.

        Raises:
            UsageError: `level` is given to a network that takes none.
        """
        if level is not None and not isinstance(self.net, BlindNet):
            raise UsageError(
                f"'{self.name}' cannot be told a noise level", hint="leave the level out, or choose x-bdcnn"
            )
        height, width = noisy.shape
        noisy = np.asarray(noisy, dtype=np.float32)
        seen = torch.from_numpy(noisy / np.float32(WHITE)).clamp_(0, 1)[None, None]
        image = _extend(seen, self.net.stride)
        while True:
            tile = self._tile_for(image)
            try:
                given = self._levels_of(image, level, tile)
                restored, noise = self._restore(image, given, tile)
                break
            except torch.cuda.OutOfMemoryError:
                pass  # the tensors of the failed try are freed with the exception, before the next one
            self._shrink(max(tile))
        correction = restored[:height, :width] - seen[0, 0]
        denoised = np.asarray(noisy + correction.numpy() * np.float32(WHITE), dtype=np.float32)
        if noise is None:
            return Denoised(denoised)
        deviation = noise[:height, :width].numpy()
        if level is None:
            level, deviation = self._whole_level(seen[0, 0].numpy() * np.float32(WHITE), denoised, deviation)
        return Denoised(denoised, level, deviation)

    def _whole_level(
        self, seen: NDArray[np.float32], denoised: NDArray[np.float32], deviation: NDArray[np.float32]
    ) -> tuple[NoiseLevel, NDArray[np.float32]]:
        """The level of the whole image, calibrated, and the map of the noise on the scale of it."""
        level = measured_level(seen, denoised, deviation)
        level = scaled(level, self.calibration.factor(level) if self.calibration else 1.0)
        mapped = level_of(denoised, deviation).effective_sigma(MID_GREY)
        return level, deviation * np.float32(level.effective_sigma(MID_GREY) / mapped if mapped else 1.0)

    @property
    def _smallest_tile(self) -> int:
        """The halo on both sides, and something to keep between."""
        return 2 * self.halo + self.net.stride

    def _tile_for(self, image: Tensor) -> tuple[int, int]:
        """Height and width of the windows for an image: as many as needed, and then as small as they can be."""
        sides = (image.shape[2], image.shape[3])
        limit = self.tile or (WHOLE if max(sides) <= WHOLE else AUTO_TILE)
        height, width = (self._even_side(side, limit - limit % self.net.stride) for side in sides)
        return height, width

    def _even_side(self, length: int, limit: int) -> int:
        """Side, up to `limit` and a multiple of the stride, of the fewest equal windows along `length` pixels."""
        if length <= limit:
            return length
        overlap = 2 * self.halo
        count = math.ceil((length - overlap) / (limit - overlap))
        side = math.ceil((length + overlap * (count - 1)) / count)
        return side + -side % self.net.stride

    def _levels_of(self, image: Tensor, level: NoiseLevel | None, tile: tuple[int, int]) -> Tensor | None:
        """The level of the whole image, (1, 2, 1, 1): given, or the mean of the estimates.

        None where the network estimates it locally, or not at all.
        """
        if not isinstance(self.net, BlindNet):
            return None
        if level is not None:
            return self.net.encoding.encode(torch.tensor([level.eta]), torch.tensor([level.sigma])).to(self.device)
        if not self.net.global_level:
            return None
        total, pixels = torch.zeros(1, 2, 1, 1, dtype=torch.float64), 0
        for window in windows((image.shape[2], image.shape[3]), tile, self.halo):
            with self._arithmetic():
                maps = self._graphs.estimate(self._on_device(image[:, :, *window.seen])).float()
            rows, columns = window.inside
            factor = (window.seen[0].stop - window.seen[0].start) // maps.shape[2]
            kept = maps[..., _shrunk(rows, factor), _shrunk(columns, factor)]
            total += kept.cpu().double().sum(dim=(2, 3), keepdim=True)
            pixels += kept[0, 0].numel()
        return (total / pixels).float().to(self.device)

    def _restore(self, image: Tensor, given: Tensor | None, tile: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """The denoised image and the deviation of its noise, if that is known, both (H, W), on the CPU."""
        shape = (image.shape[2], image.shape[3])
        restored, deviation = torch.empty(shape), None
        tiles = list(windows(shape, tile, self.halo))
        for first in range(0, len(tiles), self.batch_size):
            batch = tiles[first : first + self.batch_size]
            noisy = self._on_device(torch.cat([image[:, :, *window.seen] for window in batch]))
            with self._arithmetic():
                clean, levels = self._run(noisy, given)
            for index, window in enumerate(batch):
                restored[window.kept] = clean[index, 0, *window.inside].float().cpu()
            if levels is None:
                continue
            deviation = torch.empty(shape) if deviation is None else deviation
            levels = levels.float().expand(-1, -1, *noisy.shape[2:])
            noise = self._deviation(clean.float(), levels)
            for index, window in enumerate(batch):
                deviation[window.kept] = noise[index, *window.inside].cpu()
        return restored, deviation

    def _run(self, noisy: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """One forward pass: the denoised windows, and the levels that were given or estimated."""
        if isinstance(self.net, BlindNet) and given is not None:
            levels = given.expand(len(noisy), -1, -1, -1)
            return self._graphs.restore(noisy, levels), levels
        restored, estimated = self._graphs(noisy)
        return restored, estimated

    def _deviation(self, clean: Tensor, levels: Tensor) -> Tensor:
        """Standard deviation of the noise at every pixel, grey levels: sqrt(g / eta + sigma^2), (B, H, W)."""
        inverse_eta, sigma = cast(BlindNet, self.net).encoding.decode(levels)
        return (clean[:, 0].clamp_min(0) * WHITE * inverse_eta + sigma.square()).sqrt()

    def _on_device(self, batch: Tensor) -> Tensor:
        return batch.to(self.device).contiguous(memory_format=torch.channels_last)

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.dtype == torch.float32 or self.engine == "openvino":
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _shrink(self, tile: int) -> None:
        """Halve the tile, from here on, after the device ran out of memory.

        Raises:
            CannotRunError: it is as small as it can be.
        """
        torch.cuda.empty_cache()
        if tile // 2 < self._smallest_tile:
            raise CannotRunError(
                f"{self.device} has too little free memory for a tile of {tile} pixels",
                hint="close what else runs on it, or use --device cpu",
            )
        self.tile, self.batch_size = tile // 2, 1


def _extend(image: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `stride`."""
    height, width = image.shape[2:]
    return F.pad(image, (0, -width % stride, 0, -height % stride), mode="replicate")


def _shrunk(span: slice, factor: int) -> slice:
    return slice(span.start // factor, span.stop // factor)
