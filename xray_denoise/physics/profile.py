"""The noise of one kind of exposure: its standard deviation against grey level, and its power spectrum.

    f = g + d(g) * (white noise convolved with a kernel of unit energy)

g is the noise-free image and f the exposure in grey levels (0..255 spans the image); d is the standard deviation of
the noise. To first order this describes any finished radiograph: look-up tables bend d, and scintillators, sharpening
and resampling shape the spectrum. `NoiseLevel` is the special case of white noise whose variance is a line.
"""

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xray_denoise.physics.noise import GREY_MAX, NoiseLevel

Values = NDArray[np.float64]

FORMAT = "xray-denoise noise profile, version 1"
MID_GREY = 127.5
"""Where one number stands for the whole curve, grey levels."""
BANDS = (0.06, 0.125, 0.25, 0.375, 0.71)
"""Edges of the four radial bands that summarise a spectrum, cycles per pixel; the last reaches the corner."""
GRID = 64
"""Side of the grid of frequencies that bands are averaged over."""
WIDEST_KERNEL = 255
"""Largest side of a kernel, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseProfile:
    """How noisy an exposure is, and how its noise is correlated.

    Raises:
        ValueError: grey levels that do not ascend, a deviation that is negative or not finite, or a kernel whose
            sides are not odd or whose squares do not sum to 1.
    """

    grey: Values
    """(K,), grey levels, ascending: where the deviation is known. K is at least 1."""
    deviation: Values
    """(K,), standard deviation of the noise there, grey levels, >= 0."""
    kernel: Values
    """(S, T), S and T odd: what white noise is convolved with. Its squares sum to 1; [[1.0]] leaves noise white."""

    def __post_init__(self) -> None:
        for name in ("grey", "deviation", "kernel"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        if self.grey.ndim != 1 or not self.grey.size or self.grey.shape != self.deviation.shape:
            raise ValueError("a profile needs one deviation for each of its grey levels")
        if not np.isfinite(self.grey).all() or (np.diff(self.grey) <= 0).any():
            raise ValueError("the grey levels of a profile must be finite and ascend")
        if not np.isfinite(self.deviation).all() or (self.deviation < 0).any():
            raise ValueError("the deviations of a profile must be finite and at least 0 grey levels")
        sides = self.kernel.shape
        if self.kernel.ndim != 2 or not all(side % 2 and side <= WIDEST_KERNEL for side in sides):
            raise ValueError(f"the kernel of a profile must be 2-D, with odd sides of at most {WIDEST_KERNEL} pixels")
        if not math.isclose(float((self.kernel**2).sum()), 1.0, rel_tol=1e-3):  # also catches NaN
            raise ValueError("the squares of the kernel of a profile must sum to 1")

    @classmethod
    def white(cls, deviation: float) -> Self:
        """White noise of one standard deviation, grey levels, at every grey level."""
        return cls(np.array([MID_GREY]), np.array([deviation]), np.ones((1, 1)))

    @classmethod
    def of_level(cls, level: NoiseLevel) -> Self:
        """White noise of variance g / eta + sigma^2."""
        ends = np.array([0.0, GREY_MAX])
        return cls(ends, np.sqrt(level.variance(ends)), np.ones((1, 1)))

    def deviation_at(self, grey: ArrayLike) -> Values:
        """Standard deviation of the noise at grey levels, same shape: linear in the variance between the known ones.

        Below the first and above the last known grey level it stays what it is there.
        """
        return np.sqrt(np.interp(np.asarray(grey, dtype=np.float64), self.grey, self.deviation**2))

    def spectrum(self, shape: tuple[int, int]) -> Values:
        """Power at each frequency of `numpy.fft.fft2` of an image of `shape`, relative to white noise: its mean is 1.

        Raises:
            ValueError: the kernel is larger than the image.
        """
        if self.kernel.shape[0] > shape[0] or self.kernel.shape[1] > shape[1]:
            raise ValueError(f"a kernel of {self.kernel.shape} pixels has no spectrum on {shape}")
        power = np.abs(np.fft.fft2(self.kernel, shape)) ** 2
        return np.asarray(power / power.mean())

    def band_powers(self) -> Values:
        """(4,), mean power in each of `BANDS` relative to white noise."""
        sides = [max(GRID, side + 1) for side in self.kernel.shape]
        return band_means(self.spectrum((sides[0], sides[1])))

    def correlation(self, rows: int, columns: int) -> float:
        """Correlation of the noise of two pixels that are so many rows and columns apart, -1..1."""
        lag = np.roll(np.pad(self.kernel, ((abs(rows),) * 2, (abs(columns),) * 2)), (rows, columns), axis=(0, 1))
        return float((lag * np.pad(self.kernel, ((abs(rows),) * 2, (abs(columns),) * 2))).sum())

    def scaled(self, factor: float) -> "NoiseProfile":
        """The same noise, `factor` times as strong."""
        return NoiseProfile(self.grey, self.deviation * factor, self.kernel)

    def rounded(self, bits: int) -> "NoiseProfile":
        """The noise after rounding to `bits` bits, 8..16: white noise of step^2 / 12 is added.

        That holds where the deviation is at least 0.4 steps of 255 / (2^bits - 1) grey levels. The spectrum is that at
        mid-grey.

        Raises:
            ValueError: `bits` is not 8..16.
        """
        if not 8 <= bits <= 16:
            raise ValueError(f"a radiograph has 8 to 16 bits, got {bits}")
        added = (GREY_MAX / (2**bits - 1)) ** 2 / 12
        deviation = np.sqrt(self.deviation**2 + added)
        if self.kernel.size == 1:
            return NoiseProfile(self.grey, deviation, self.kernel)
        sides = [2 * side + 1 for side in self.kernel.shape]
        power = float(self.deviation_at(MID_GREY)) ** 2 * self.spectrum((sides[0], sides[1])) + added
        return NoiseProfile(self.grey, deviation, kernel_of(power, max(self.kernel.shape)))

    def draw(self, clean: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
        """Noise for `clean`, (H, W), grey levels, to be added to it.

        Args:
            clean: noise-free image, (H, W), grey levels.
            rng: the only source of randomness.
        """
        return np.asarray(self.deviation_at(clean) * self.unit_noise(clean.shape, rng), dtype=np.float32)

    def unit_noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> Values:
        """Noise of this spectrum with a standard deviation of 1, (H, W); no pixel knows of the opposite rim."""
        from scipy.signal import fftconvolve

        rows, columns = (side - 1 for side in self.kernel.shape)
        white = rng.standard_normal((shape[0] + rows, shape[1] + columns))
        if self.kernel.size == 1:
            return np.asarray(white)
        return np.asarray(fftconvolve(white, self.kernel, mode="valid"))

    def to_json(self) -> str:
        """A small JSON text with units, read by `from_json`."""
        content = {
            "format": FORMAT,
            "grey": {"unit": "grey level, 0 to 255 over the value range", "values": self.grey.tolist()},
            "deviation": {"unit": "grey level", "values": self.deviation.tolist()},
            "kernel": {"unit": "pixel; its squares sum to 1", "values": self.kernel.tolist()},
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The profile that `to_json` wrote.

        Raises:
            ValueError: not a profile; says what is wrong.
        """
        try:
            content: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("not JSON") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"not a noise profile: 'format' must be '{FORMAT}'")
        try:
            parts = [np.asarray(content[name]["values"], dtype=np.float64) for name in ("grey", "deviation", "kernel")]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("'grey', 'deviation' and 'kernel' must each have 'values' that are numbers") from error
        return cls(*parts)


def band_means(power: Values) -> Values:
    """(4,), mean of a power spectrum (layout of `numpy.fft.fft2`) in each of `BANDS`."""
    frequency = np.hypot(np.fft.fftfreq(power.shape[0])[:, None], np.fft.fftfreq(power.shape[1])[None])
    return np.array([power[(frequency >= low) & (frequency < high)].mean() for low, high in itertools.pairwise(BANDS)])


def kernel_of(power: Values, side: int) -> Values:
    """The symmetric kernel of unit energy that shapes white noise as `power` says.

    Args:
        power: power spectrum, layout of `numpy.fft.fft2`, symmetric, >= 0, any scale.
        side: of the kernel, odd, pixels; a spectrum with finer detail than 1 / side is smoothed.
    """
    kernel = np.fft.fftshift(np.fft.ifft2(np.sqrt(np.maximum(power, 0.0))).real)
    rows, columns = (length // 2 for length in power.shape)
    half = side // 2
    kernel = kernel[rows - half : rows + half + 1, columns - half : columns + half + 1]
    return np.asarray(kernel / np.sqrt((kernel**2).sum()))
