"""The noise that `synth` adds: of a level that is drawn, of a detector, or of any profile."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise.errors import UsageError
from xray_denoise.files.profiles import read_profile
from xray_denoise.physics import detectors
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.scale import GREY_MAX, MID_GREY

Range = tuple[float, float]
Grey = NDArray[np.float32]
UNITS = {"eta": " photons per grey level", "sigma": " grey levels", "deviation": " grey levels at mid-grey"}
Seed = tuple[int, int]
"""The seed that the user gave, and a number that depends on the pixels of an own image (0 for a phantom), so that two
images of one seed have different noise."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One noisy image before it is written."""

    noisy: Grey
    """(H, W), grey levels."""
    numbers: dict[str, str | float]
    """What the noise was, for the manifest."""
    stem: str
    """What the noise was, for the name of the file; the seed is added where the subject has none in its name."""
    profile: NoiseProfile | None = None
    """Of the noise before rounding, where it is to be written, too."""


@dataclass(frozen=True, slots=True)
class LevelNoise:
    """White noise as the paper models it, of a level that is drawn for each image."""

    eta: Range
    """Photons per grey level, drawn uniformly between both, > 0."""
    sigma: Range
    """Electronic noise, grey levels, drawn uniformly between both, >= 0."""

    def draw(self, clean: Grey, seed: Seed) -> Drawn:
        """Draw an exposure of `clean`."""
        rng = np.random.default_rng(seed)
        level = NoiseLevel(rng.uniform(*self.eta), rng.uniform(*self.sigma))
        numbers: dict[str, str | float] = {"eta": level.eta, "sigma": level.sigma}
        return Drawn(add_noise(clean, level, rng), numbers, f"eta{level.eta:.4g}_sigma{level.sigma:.4g}")


@dataclass(frozen=True, slots=True)
class DetectorNoise:
    """The noise of a named detector."""

    name: str
    """One of `physics.detectors.DETECTORS`."""
    deviation: float
    """At mid-grey and before rounding, grey levels, 0..50."""

    def draw(self, clean: Grey, seed: Seed) -> Drawn:
        """Draw an exposure of `clean`."""
        detector = detectors.detector(self.name, self.deviation)
        noisy = detector.expose(clean.clip(0, GREY_MAX), np.random.default_rng(seed))
        return _drawn(noisy, self.name, self.deviation, detector.profile())


@dataclass(frozen=True, slots=True)
class ProfileNoise:
    """Noise of any profile."""

    name: str
    """For file names and the manifest."""
    profile: NoiseProfile

    def draw(self, clean: Grey, seed: Seed) -> Drawn:
        """Add noise to `clean`."""
        noisy = clean + self.profile.draw(clean, np.random.default_rng(seed))
        deviation = float(self.profile.deviation_at(MID_GREY))
        return _drawn(noisy, self.name, deviation, self.profile)


Noise = LevelNoise | DetectorNoise | ProfileNoise


def _drawn(noisy: Grey, name: str, deviation: float, profile: NoiseProfile) -> Drawn:
    numbers: dict[str, str | float] = {"detector": name, "deviation": deviation}
    return Drawn(noisy, numbers, f"{name}_std{deviation:.4g}", profile)


def in_words(numbers: Mapping[str, str | float], *, units: bool = False) -> str:
    """What the noise of an exposure was, for people: "eta 0.6, sigma 10", with `units` or without."""
    return ", ".join(
        f"{name} {value:g}{UNITS[name] * units}" if isinstance(value, float) else f"{name} {value}"
        for name, value in numbers.items()
    )


def profile_noise(path: Path, deviation: float | None) -> ProfileNoise:
    """The noise of a profile in a file.

    Args:
        path: of the profile.
        deviation: at mid-grey, grey levels, to which it is scaled; None leaves it as it is.

    Raises:
        UnreadableFileError: the file is missing, or no profile.
        UsageError: a profile without noise at mid-grey is to be scaled.
    """
    profile = read_profile(path)
    if deviation is not None:
        found = float(profile.deviation_at(MID_GREY))
        if not found:
            raise UsageError(
                "{path} has no noise at mid-grey that could be scaled", path=path, hint="leave out the deviation"
            )
        profile = profile.scaled(deviation / found)
    return ProfileNoise(path.stem, profile)
