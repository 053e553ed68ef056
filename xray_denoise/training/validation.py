"""How good a network is on images it is not trained on: noise that is drawn once, removed as `denoise` removes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers.network import kind_of
from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.physics import metrics
from xray_denoise.physics.framing import middle
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import Noise, NoiseProfile
from xray_denoise.scale import MID_GREY
from xray_denoise.training.patches import NoiseRange, WideRange

LEVELS = (NoiseLevel(0.4, 15), NoiseLevel(0.6, 10), NoiseLevel(0.8, 5))
"""The worst, the middle and the best cell of Table II; the images take turns."""
SMALLEST = 64
"""Least side of an image that is shown to a network that is told the noise, pixels."""
MIDDLE = 512
"""Side of the middle of an image that is shown under strong noise to a network that is told the noise, or brightened,
pixels."""
NARROWED = 8
"""How much narrower the grey levels of an image are that is brightened."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Means over the validation images."""

    psnr: float
    """dB, of the denoised images; the mean of `parts`, where there are any."""
    level_error: float | None
    """Relative error of the estimated standard deviation of the noise at mid-grey, absolute value, before any
    calibration; None where the network estimates no level."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Further figures by the name of their column in the history."""


@dataclass(frozen=True, slots=True)
class Case:
    """A noise-free image and a noisy one, (H, W), grey levels."""

    clean: NDArray[np.floating] | NDArray[np.uint8]
    noisy: NDArray[np.float32]
    noise: Noise
    part: str = ""
    """Column of the history that has the mean PSNR of cases like this one; empty for cases that the network is not told
    the noise of."""


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Noise-free images with noise drawn once, so every call sees the same pixels."""

    cases: tuple[Case, ...]

    @classmethod
    def blind(cls, images: Sequence[NDArray[np.uint8]], seed: int = 0, levels: Sequence[NoiseLevel] = LEVELS) -> Self:
        """Whole images under white noise.

        Args:
            images: (H, W), 8-bit grey.
            seed: of the noise.
            levels: of the noise; the images take turns.
        """
        cases = []
        for index, image in enumerate(images):
            level = levels[index % len(levels)]
            cases.append(Case(image, add_noise(image, level, np.random.default_rng((seed, index))), level))
        return cls(tuple(cases))

    @classmethod
    def told(
        cls,
        images: Sequence[NDArray[np.uint8]],
        seed: int = 0,
        *,
        weak: bool = True,
        strong: bool = True,
        measured: NoiseProfile | None = None,
    ) -> Self:
        """Images averaged 2x2 under weak noise of detectors, and their middles under that of the paper.

        The network is told the truth.

        Args:
            images: (H, W), 8-bit grey, with sides of at least `SMALLEST`.
            seed: of the noise.
            weak: whether there are images under the noise of detectors.
            strong: whether there are images under the noise of the paper.
            measured: the weak noise, in place of `DETECTOR_NOISES`.
        """
        cases = []
        for index, image in enumerate(images):
            rng = np.random.default_rng((seed, index))
            height, width = (side // 32 * 32 for side in image.shape)
            halves = image[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3), dtype=np.float32)
            std, kernel = DETECTOR_NOISES[index % len(DETECTOR_NOISES)]
            profile = measured or NoiseProfile(np.array([0.0]), np.array([std]), kernel)
            noise = profile.draw(halves, rng)
            if weak:
                cases.append(Case(halves, halves + noise, profile, "val_weak"))
            level = LEVELS[index % len(LEVELS)]
            shown = image[middle((height, width), MIDDLE, 16)].astype(np.float32)
            if strong:
                cases.append(Case(shown, add_noise(shown, level, rng), level, "val_strong"))
        return cls(tuple(cases))

    def __len__(self) -> int:
        return len(self.cases)

    def __call__(self, net: DenoisingNet) -> Validation:
        """Denoise every image with `net` on the device that it is on, in 32-bit floats."""
        was_training = net.training
        denoise = kind_of(net)(net.eval(), where=next(net.parameters()).device)
        decibels: dict[str, list[float]] = {}
        errors = []
        for case in self.cases:
            found = denoise(case.noisy, case.noise if case.part else None)
            decibels.setdefault(case.part, []).append(metrics.psnr(found.image, case.clean))
            if found.level is not None and found.profile is None:
                true = case.noise.deviation_at(MID_GREY)
                errors.append(abs(float(found.level.deviation_at(MID_GREY) / true) - 1))
        net.train(was_training)
        means = {part: float(np.mean(values)) for part, values in decibels.items()}
        parts = {part: mean for part, mean in means.items() if part}
        return Validation(float(np.mean(list(means.values()))), float(np.mean(errors)) if errors else None, parts)


def levels_for(noise: NoiseRange | WideRange) -> tuple[NoiseLevel, ...]:
    """Three noise levels to validate a training on: `LEVELS`, or for a range of the user's the middles of its thirds.

    The first is the strongest: the third of fewest photons with that of most electronic noise.
    """
    usual = NoiseRange()
    if isinstance(noise, WideRange) or (noise.eta, noise.sigma) == (usual.eta, usual.sigma):
        return LEVELS
    (fewest, most), (least, highest) = noise.eta, noise.sigma
    return tuple(
        NoiseLevel(fewest + part * (most - fewest), highest - part * (highest - least))
        for part in (1 / 6, 1 / 2, 5 / 6)
    )


def brightened(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of an image, narrowed towards white as the patches of `train --bright` are.

    Args:
        image: (H, W), 8-bit grey.
    """
    height, width = image.shape
    return 255 - (255 - image[middle((height, width), MIDDLE, 1)]) // NARROWED


def gaussian_kernel(width: float, gain: float = 0.0) -> NDArray[np.float64]:
    """Kernel of unit energy, 11x11: a Gaussian of a standard deviation of `width` pixels, sharpened by `gain`."""
    offsets = np.arange(-5.0, 6.0)

    def gaussian(deviation: float) -> NDArray[np.float64]:
        line = np.exp(-(offsets**2) / (2 * deviation**2))
        return np.asarray(np.outer(line, line) / line.sum() ** 2)

    kernel = (1 + gain) * gaussian(width) - gain * gaussian(2 * width)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()))


DETECTOR_NOISES = (
    (1.0, np.ones((1, 1))),
    (2.0, gaussian_kernel(0.8)),
    (4.0, gaussian_kernel(0.9, 1.5)),
    (3.0, np.ones((1, 1))),
)
"""Weak noise of detectors to validate on, white, blurred, sharpened and white: standard deviation in grey levels,
kernel; the images take turns."""
