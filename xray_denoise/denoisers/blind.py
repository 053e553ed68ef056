"""Networks that estimate the noise level themselves, and networks that do not use one."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise.denoisers import progress
from xray_denoise.denoisers.base import Denoised
from xray_denoise.denoisers.pixels import (
    apply_correction,
    noise_deviation,
    noise_statistics,
    pad_to_multiple,
    to_network_scale,
)
from xray_denoise.denoisers.tiles import windows
from xray_denoise.denoisers.windowed import NetworkDenoiser
from xray_denoise.errors import UsageError
from xray_denoise.nets.blind import BlindNet
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.noise_fit import NoiseStatistics, scaled
from xray_denoise.physics.profile import Noise, as_level


@dataclass(slots=True)
class BlindDenoiser(NetworkDenoiser):
    """A blind network. With a given noise level, a network that uses levels is non-blind."""

    @property
    def settings(self) -> str:
        """See `Denoiser`."""
        calibrated = f", calibrated {self.calibration.factors}" if self.calibration else ""
        return f"{NetworkDenoiser.settings.fget(self)}{calibrated}"  # type: ignore[attr-defined]

    def require(self, noise: Noise | None) -> None:
        """See `Denoiser`; a network without levels accepts none."""
        if noise is not None and not isinstance(self.net, BlindNet):
            raise UsageError(
                f"'{self.name}' accepts no noise level",
                hint="leave the noise out, or choose x-profile",
                option="profile_or_level",
            )

    def _denoised(self, noisy: NDArray[np.float32], level: Noise | None) -> Denoised:
        """Values outside 0..255 are clipped for the network and get the correction computed at 0 or 255."""
        self.require(level)
        level = as_level(level)
        height, width = noisy.shape
        image = self._place(noisy)
        seen = to_network_scale(image)
        whole = pad_to_multiple(seen[None, None], self.net.stride)
        tile = self.window_for((whole.shape[2], whole.shape[3]))
        restored, deviation = self._restore(whole, self._encoded(level), tile)
        denoised = apply_correction(image, seen, restored[:height, :width])
        if deviation is None or not bool(denoised.isfinite().all()):
            return Denoised(noisy, (image - denoised).cpu().numpy())
        deviation = deviation[:height, :width]
        if level is None:
            statistics = NoiseStatistics(*noise_statistics(seen, denoised, deviation).tolist())
            factor = self.calibration.factor(statistics.level) if self.calibration else 1.0
            level = scaled(statistics.level, factor)
            deviation.mul_(float(np.float32(factor * statistics.scale)))
        return Denoised(noisy, (image - denoised).cpu().numpy(), level, deviation.cpu().numpy())

    def _encoded(self, level: NoiseLevel | None) -> Tensor | None:
        """A given level in the encoding of the network, (1, 2, 1, 1)."""
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
                clean, levels = self._run(self._on_device([image[:, :, *window.input] for window in batch]), given)
            clean = clean[:, 0].float()
            noise = None if levels is None else noise_deviation(clean, levels, cast(BlindNet, self.net).encoding)
            progress.tell(first + len(batch), len(tiles))
            if len(tiles) == 1:  # nothing to put together
                return clean[0].to(image.device), None if noise is None else noise[0].to(image.device)
            for index, window in enumerate(batch):
                restored[window.output] = clean[index, *window.crop].to(image.device)
            if noise is None:
                continue
            deviation = torch.empty(shape, device=image.device) if deviation is None else deviation
            for index, window in enumerate(batch):
                deviation[window.output] = noise[index, *window.crop].to(image.device)
        return restored, deviation

    def _run(self, noisy: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """One forward pass: the denoised windows, and the levels that were given or estimated."""
        if isinstance(self.net, BlindNet) and given is not None:
            levels = given.expand(len(noisy), -1, -1, -1)
            return self.net.restore(noisy, levels), levels
        restored, estimated = self.net(noisy)
        return restored, estimated
