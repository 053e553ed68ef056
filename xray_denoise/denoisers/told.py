"""Networks that are told the noise, by the caller or by an estimate from the whole image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise.denoisers import progress
from xray_denoise.denoisers.base import Denoised
from xray_denoise.denoisers.bias import without_bias
from xray_denoise.denoisers.pixels import pad_to_multiple
from xray_denoise.denoisers.tiles import windows
from xray_denoise.denoisers.windowed import NetworkDenoiser
from xray_denoise.nets.profile_unet import noise_maps
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.noise_estimate import estimate_profile, estimate_scene_profile
from xray_denoise.physics.profile import KNOTS, Noise, NoiseProfile
from xray_denoise.scale import GREY_MAX

EVERY = 4
"""Of the rows and columns that tell how strong the noise of the whole image is."""


@dataclass(slots=True)
class ToldDenoiser(NetworkDenoiser):
    """A network that is told the noise: by the caller, or by the pooled estimate of the whole image.

    Of a run of frames the noise is estimated once, from what changes between the first ones.

    whole image -> profile -> deviation at 33 grey levels, power in four bands -> each window: noise maps -> network
    """

    def noise_of_scene(self, frames: Sequence[NDArray[np.floating]]) -> Noise | None:
        """See `Denoiser`."""
        found = estimate_scene_profile(frames) if len(frames) > 1 else None
        return None if found is None else found.profile

    def _denoised(self, noisy: NDArray[np.float32], level: Noise | None) -> Denoised:
        profile = NoiseProfile.of_level(level) if isinstance(level, NoiseLevel) else level
        profile = profile or estimate_profile(noisy).profile
        height, width = noisy.shape
        whole = pad_to_multiple(self._place(noisy)[None, None], self.net.stride)
        shape = (whole.shape[2], whole.shape[3])
        told = [one.to(self.where) for one in told_of(profile)]
        typical = torch.tensor([typical_deviation(noisy, profile)], device=self.where) / GREY_MAX
        restored = torch.empty(shape, device=whole.device)
        tiles = list(windows(shape, self.window_for(shape), self.halo))
        for first in range(0, len(tiles), self.batch_size):
            batch = tiles[first : first + self.batch_size]
            seen = self._on_device([whole[:, :, *window.input] for window in batch]) / GREY_MAX
            maps = noise_maps(seen, *(one.expand(len(seen), -1) for one in told))
            with self._arithmetic():
                clean = self.net(seen, maps, typical.expand(len(seen)))
            progress.tell(first + len(batch), len(tiles))
            for index, window in enumerate(batch):
                restored[window.output] = clean[index, 0, *window.crop].to(whole.device) * GREY_MAX
        image = without_bias(noisy, restored[:height, :width].cpu().numpy(), profile)
        shown = level if isinstance(level, NoiseLevel) else profile.nearest_level()
        return Denoised.of(noisy, image, shown, profile.deviation_at(image).astype(np.float32), profile)


def typical_deviation(noisy: NDArray[np.float32], profile: NoiseProfile) -> float:
    """Root mean square of the standard deviation of the noise over an image, grey levels."""
    return float(np.sqrt((profile.deviation_at(noisy[::EVERY, ::EVERY]) ** 2).mean()))


def told_of(profile: NoiseProfile) -> tuple[Tensor, Tensor]:
    """What `nets.profile_unet.noise_maps` takes of a profile: (1, KNOTS) and (1, BANDS), 32-bit floats."""
    variance = (profile.deviation_at(np.linspace(0, GREY_MAX, KNOTS)) / GREY_MAX) ** 2
    powers = np.maximum(profile.band_powers(), 1e-3)
    return torch.from_numpy(variance).float()[None], torch.from_numpy(powers).float()[None]
