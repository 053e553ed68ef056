"""Networks that are told the noise, by the caller or by an estimate from the whole image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_denoise.denoisers import progress
from xray_denoise.denoisers.base import Denoised
from xray_denoise.denoisers.bias import without_bias
from xray_denoise.denoisers.deviation import typical_deviation
from xray_denoise.denoisers.pixels import pad_to_multiple
from xray_denoise.denoisers.structure import left_beside_structure
from xray_denoise.denoisers.tiles import windows
from xray_denoise.denoisers.windowed import NetworkDenoiser
from xray_denoise.nets.profile_unet import noise_maps
from xray_denoise.physics.frame_average import FrameAverage, average_frames
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.noise_estimate import ProfileEstimate, estimate_profile, estimate_scene_profile
from xray_denoise.physics.profile import KNOTS, Noise, NoiseProfile
from xray_denoise.scale import GREY_MAX


@dataclass(slots=True)
class ToldDenoiser(NetworkDenoiser):
    """A network that is told the noise: by the caller, or by the pooled estimate of the whole image.

    Of the frames of a scene the noise is estimated once, from what changes between the first ones.

    whole image -> profile -> deviation at 33 grey levels, power in four bands -> each window: noise maps -> network
                   local gain of the noise, where there is one                 ->

    The local gain, and the share of the noise that averaging leaves, multiply the deviation of the noise maps.
    """

    def noise_of_scene(self, frames: Sequence[NDArray[np.floating]]) -> Noise | None:
        """See `Denoiser`."""
        found = estimate_scene_profile(frames) if len(frames) > 1 else None
        return None if found is None else found.profile

    def denoise_frame(
        self, frame: NDArray[np.floating], noise: Noise | None, others: Sequence[NDArray[np.floating]]
    ) -> Denoised:
        """See `Denoiser`: averaged where nothing moves, then denoised with the noise that is left there."""
        if not others or noise is None:  # noise that one frame tells of may be texture, which is not averaged away
            return self(frame, noise)
        profile = _known(frame, noise).profile
        average = average_frames(frame, others, profile)

        def compute() -> Denoised:
            image, _ = self._restored(average.image, profile, average=average)
            deviation = profile.deviation_at(image).astype(np.float32)
            return Denoised.of(frame, image, _level_of(noise, profile), deviation, profile)

        return replace(self._computed(compute, (frame.shape[0], frame.shape[1])), frames=1 + len(others))

    def _denoised(self, noisy: NDArray[np.float32], level: Noise | None) -> Denoised:
        found = _known(noisy, level)
        profile = found.profile
        gain = None if found.gain is None else found.gain.over((noisy.shape[0], noisy.shape[1]))
        image, left = self._restored(noisy, profile, gain, estimated=level is None)
        deviation = profile.deviation_at(image).astype(np.float32)
        if gain is not None:
            deviation *= gain
        return replace(Denoised.of(noisy, image, _level_of(level, profile), deviation, found), left=left)

    def _restored(
        self,
        noisy: NDArray[np.float32],
        profile: NoiseProfile,
        gain: NDArray[np.float32] | None = None,
        average: FrameAverage | None = None,
        *,
        estimated: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """(H, W), the image without its noise, and `Denoised.left`.

        Args:
            noisy: (H, W), an image or an average of frames, grey levels.
            profile: the noise of an image, or of each frame.
            gain: (H, W), deviation of the noise over that of the profile; None is 1.
            average: what averaging did to the noise of frames, instead.
            estimated: whether the profile was estimated from this image, so that it may count texture as noise.

        An image that is the same everywhere, such as a blank frame of a run, holds no noise and is left as it is.
        """
        if noisy.min() == noisy.max():
            return noisy, None
        height, width = noisy.shape
        whole = pad_to_multiple(self._place(noisy)[None, None], self.net.stride)
        relative = gain if average is None else np.sqrt(average.share)
        factors = None if relative is None else pad_to_multiple(self._place(relative)[None, None], self.net.stride)
        shape = (whole.shape[2], whole.shape[3])
        told = [one.to(self.where) for one in told_of(profile)]
        typical = torch.tensor([typical_deviation(noisy, profile, relative)], device=self.where) / GREY_MAX
        restored = torch.empty(shape, device=whole.device)
        tiles = list(windows(shape, self.window_for(shape), self.halo))
        for first in range(0, len(tiles), self.batch_size):
            batch = tiles[first : first + self.batch_size]
            seen = self._on_device([whole[:, :, *window.input] for window in batch]) / GREY_MAX
            maps = noise_maps(seen, *(one.expand(len(seen), -1) for one in told))
            if factors is not None:
                maps = scaled(maps, self._on_device([factors[:, :, *window.input] for window in batch]), average)
            with self._arithmetic():
                clean = self.net(seen, maps, typical.expand(len(seen)))
            progress.tell(first + len(batch), len(tiles))
            for index, window in enumerate(batch):
                restored[window.output] = clean[index, 0, *window.crop].to(whole.device) * GREY_MAX
        image = restored[:height, :width].cpu().numpy()
        left = left_beside_structure(noisy, image, profile, gain) if estimated else None
        if left is not None:
            image += left * (noisy - image)
        return without_bias(noisy, image, profile, gain), left


def scaled(maps: Tensor, relative: Tensor, average: FrameAverage | None = None) -> Tensor:
    """The `noise_maps` of windows, (B, 1 + BANDS, H, W), where the deviation is so many times that of the profile.

    `relative`, (B, 1, H, W), is that of the windows. In an average of frames its square is the share of the variance
    that is left; between 1 and the least share the spectrum changes with it.
    """
    deviation, powers = maps[:, :1] * relative, maps[:, 1:]
    if average is not None:
        left = torch.from_numpy(np.log(np.maximum(average.powers, 1e-3))).to(maps)[None, :, None, None]
        averaged = ((1 - relative**2) / max(1 - average.least, 1e-3)).clamp(0, 1)
        powers = torch.lerp(powers, left.expand_as(powers), averaged)
    return torch.cat([deviation, powers], 1)


def _known(noisy: NDArray[np.floating], noise: Noise | None) -> ProfileEstimate:
    """The noise that was given, or else the estimate from the image."""
    if noise is None:
        return estimate_profile(noisy)
    return ProfileEstimate(NoiseProfile.of_level(noise) if isinstance(noise, NoiseLevel) else noise, 1.0)


def _level_of(noise: Noise | None, profile: NoiseProfile) -> NoiseLevel:
    """The level that was given, or else the one that is nearest to the profile."""
    return noise if isinstance(noise, NoiseLevel) else profile.nearest_level()


def told_of(profile: NoiseProfile) -> tuple[Tensor, Tensor]:
    """What `nets.profile_unet.noise_maps` takes of a profile: (1, KNOTS) and (1, BANDS), 32-bit floats."""
    variance = (profile.deviation_at(np.linspace(0, GREY_MAX, KNOTS)) / GREY_MAX) ** 2
    powers = np.maximum(profile.band_powers(), 1e-3)
    return torch.from_numpy(variance).float()[None], torch.from_numpy(powers).float()[None]
