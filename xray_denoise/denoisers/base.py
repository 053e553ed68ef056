"""The base class of denoisers: noisy grey levels in, removed grey levels out."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.local_gain import LocalGain
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.noise_estimate import ProfileEstimate
from xray_denoise.physics.profile import Noise, NoiseProfile


@dataclass(frozen=True, slots=True, eq=False)
class Denoised:
    """The result of a denoiser for one image."""

    noisy: NDArray[np.float32]
    """(H, W), the image that was given, grey levels."""
    removed: NDArray[np.float32]
    """(H, W), what is to be subtracted from it, grey levels."""
    level: NoiseLevel | None = None
    """The noise level that was removed: given or estimated; None where the method has no such notion."""
    noise_map: NDArray[np.float32] | None = None
    """(H, W), standard deviation of the noise that the method believes in at each pixel, grey levels."""
    estimate: ProfileEstimate | None = None
    """The noise that was removed as a profile, estimated (with a local gain where there is one) or given; None where
    the method has no such notion."""
    left: NDArray[np.float32] | None = None
    """(H, W), share of what the method would have removed that it left because it may be structure, below 1; None where
    it left none of it."""
    frames: int = 1
    """Frames of the scene that were averaged where nothing moves."""

    @classmethod
    def of(
        cls,
        noisy: NDArray[np.floating],
        image: NDArray[np.floating],
        level: NoiseLevel | None = None,
        noise_map: NDArray[np.float32] | None = None,
        profile: NoiseProfile | ProfileEstimate | None = None,
    ) -> Self:
        """Make one from the denoised image, (H, W), grey levels; a profile that is no estimate is taken for certain."""
        estimate = ProfileEstimate(profile, 1.0) if isinstance(profile, NoiseProfile) else profile
        grey = np.asarray(noisy, dtype=np.float32)
        return cls(grey, grey - np.asarray(image, dtype=np.float32), level, noise_map, estimate)

    @property
    def image(self) -> NDArray[np.float32]:
        """(H, W), the denoised image, grey levels, not clipped."""
        return self.noisy - self.removed

    @property
    def profile(self) -> NoiseProfile | None:
        """Deviation against grey level and spectrum of the noise that was removed; see `estimate`."""
        return None if self.estimate is None else self.estimate.profile

    @property
    def gain(self) -> LocalGain | None:
        """How many times as strong the noise was found in a place as the profile says; None where that says it all."""
        return None if self.estimate is None else self.estimate.gain

    @property
    def noise(self) -> Noise | None:
        """The noise that was removed: its profile, or else its level."""
        return self.profile or self.level


class Denoiser(abc.ABC):
    """A method with its parameters set, ready for any number of images.

    The attributes have defaults that hold for a method without weights.
    """

    __slots__ = ()

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name of the method: in options, tables and files."""

    @abc.abstractmethod
    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Denoise a 2-D image in grey levels.

        Args:
            noisy: (H, W), grey levels, any H and W of at least 1.
            level: the true noise where it is known; None means blind. Methods for white noise take the level that is
                nearest to a profile.

        Raises:
            UsageError: this method does not accept it.
        """

    def require(self, noise: Noise | None) -> None:  # noqa: B027 - most methods take any
        """Check before the first image whether the method accepts this noise; None means blind.

        Raises:
            UsageError: it cannot.
        """

    def noise_of_scene(self, frames: Sequence[NDArray[np.floating]]) -> Noise | None:  # noqa: ARG002
        """The noise of several frames of one scene, if the method can estimate it from them together; else None.

        Args:
            frames: (H, W) each, grey levels, in the order in which they were taken.
        """
        return None

    def denoise_frame(
        self,
        frame: NDArray[np.floating],
        noise: Noise | None,
        others: Sequence[NDArray[np.floating]],  # noqa: ARG002 - most methods denoise a frame on its own
    ) -> Denoised:
        """Denoise a frame of a run together with its neighbours, if the method can; else on its own.

        Args:
            frame: (H, W), grey levels.
            noise: the true noise, or that of the scene; None means blind.
            others: frames before and after it, on the same scale; at the ends of a run there are fewer on one side.

        Raises:
            UsageError: this method does not accept the noise.
        """
        return self(frame, noise)

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights, hexadecimal; empty for a method without."""
        return ""

    @property
    def part(self) -> str:
        """The part of the network in the weights that it is; empty if it is all of it."""
        return ""

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda:0" and so on."""
        return "cpu"

    @property
    def arithmetic(self) -> str:
        """The precision that it computes in."""
        return "fp32"

    @property
    def settings(self) -> str:
        """Settings that affect results and time besides the weights, as text."""
        return "no settings"

    @property
    def training(self) -> str:
        """How long the network was trained, as text; empty if unknown or not trained."""
        return ""
