"""The noise of one kind of exposure: its standard deviation against grey level, and its power spectrum.

    f = g + d(g) * (white noise convolved with a kernel of unit energy)

g is the noise-free image and f the exposure in grey levels (0..255 spans the image); d is the standard deviation of
the noise. To first order this describes any finished radiograph: look-up tables bend d, and scintillators, sharpening
and resampling shape the spectrum. `NoiseLevel` is the special case of white noise whose variance is a line;
`physics.detectors` computes the profile of a detector. One spectrum stands for all grey levels. Saturation at 0 and 255
is not part of a profile.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xray_denoise.physics import profile_json
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.scale import GREY_MAX, MID_GREY

Values = NDArray[np.float64]

BANDS = ((0.06, 0.125), (0.125, 0.25), (0.25, 0.375), (0.375, 0.71))
"""The radial bands that summarise a spectrum, cycles per pixel; the last reaches the corner."""
KNOTS = 33
"""Grey levels, evenly from black to white, that summarise how the deviation depends on the grey level."""
GRID = 64
"""Side of the grid of frequencies that bands are averaged over."""
WIDEST_KERNEL = 255
"""Largest side of a kernel, pixels."""
MOST_LEVELS = 4096
"""Largest number of grey levels at which a profile may know its deviation."""
LARGEST_LEVEL = 1e6
"""Largest grey level (of either sign) and deviation in a profile."""
WIDEST = 2000.0
"""Largest value range of a profile in units of that of an image of floats, whose limits are not known."""
KERNEL_LOSS = 1e-6
"""Share of the energy of a kernel that may be cut off with its outer parts, unless its side is given."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseProfile:
    """How noisy an exposure is, and how its noise is correlated.

    The arrays are copied and cannot be written to.

    Raises:
        ValueError: grey levels that do not ascend, a deviation that is negative, more than 4096 of them, one of
            more than 1e6 or not finite, a kernel whose sides are not odd or whose squares do not sum to 1, or stored
            values at black and white that do not differ by 1e-6 to 1e12.
    """

    grey: Values
    """(K,), grey levels, ascending: where the deviation is known. K is 1..4096."""
    deviation: Values
    """(K,), standard deviation of the noise there, grey levels, >= 0."""
    kernel: Values
    """(S, T), S and T odd and at most 255: what white noise is convolved with. Its squares sum to 1, within 0.1 %;
    [[1.0]] leaves noise white."""
    black_white: tuple[float, float] | None = None
    """Stored values at grey levels 0 and 255, of which the first is the higher one in inverted images (MONOCHROME1);
    None where grey levels have no stored values."""

    def __post_init__(self) -> None:
        for name in ("grey", "deviation", "kernel"):
            values = np.array(getattr(self, name), dtype=np.float64)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.grey.ndim != 1 or not self.grey.size or self.grey.shape != self.deviation.shape:
            raise ValueError("a profile needs one deviation for each of its grey levels")
        if self.grey.size > MOST_LEVELS:
            raise ValueError(f"a profile has at most {MOST_LEVELS} grey levels, got {self.grey.size}")
        if not (np.abs(self.grey) <= LARGEST_LEVEL).all() or (np.diff(self.grey) <= 0).any():  # also catches NaN
            raise ValueError(f"the grey levels of a profile must ascend and lie within +-{LARGEST_LEVEL:g}")
        if not ((self.deviation >= 0) & (self.deviation <= LARGEST_LEVEL)).all():
            raise ValueError(f"the deviations of a profile must be 0 to {LARGEST_LEVEL:g} grey levels")
        sides = self.kernel.shape
        if self.kernel.ndim != 2 or not all(side % 2 and side <= WIDEST_KERNEL for side in sides):
            raise ValueError(f"the kernel of a profile must be 2-D, with odd sides of at most {WIDEST_KERNEL} pixels")
        if not math.isclose(_energy(self.kernel), 1.0, rel_tol=1e-3):
            raise ValueError("the squares of the kernel of a profile must sum to 1")
        if self.black_white is not None:
            black, white = map(float, self.black_white)
            if not 1e-6 <= abs(white - black) <= 1e12:  # also catches NaN
                raise ValueError("the stored values at black and white of a profile must differ by 1e-6 to 1e12")
            object.__setattr__(self, "black_white", (black, white))

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
        if abs(rows) >= self.kernel.shape[0] or abs(columns) >= self.kernel.shape[1]:
            return 0.0
        overlap = [
            (slice(max(lag, 0), side + min(lag, 0)), slice(max(-lag, 0), side + min(-lag, 0)))
            for lag, side in zip((rows, columns), self.kernel.shape, strict=True)
        ]
        one, other = (self.kernel[overlap[0][i], overlap[1][i]] for i in (0, 1))
        return float((one * other).sum()) / _energy(self.kernel)

    def nearest_level(self) -> NoiseLevel:
        """The white noise whose variance, a line over the grey levels, is nearest to this one's (relative errors)."""
        from scipy.optimize import nnls

        grey = np.linspace(0.0, GREY_MAX, KNOTS)
        variance = np.maximum(self.deviation_at(grey) ** 2, 1e-12)
        (slope, offset), _ = nnls(np.column_stack([grey, np.ones_like(grey)]) / variance[:, None], np.ones_like(grey))
        rises = slope * GREY_MAX > 1e-9 * offset  # of a variance that is even, rounding leaves a slope of 1e-18
        return NoiseLevel(1 / slope if rises else math.inf, math.sqrt(offset))

    def scaled(self, factor: float) -> "NoiseProfile":
        """The same noise, `factor` times as strong."""
        return replace(self, deviation=self.deviation * factor)

    def between(self, black_white: tuple[float, float], limits: tuple[float, float] | None = None) -> "NoiseProfile":
        """The same noise over the grey levels of an image with another value range or polarity.

        A profile without stored values is the same for every image.

        Args:
            black_white: stored values of the image at grey levels 0 and 255, which differ.
            limits: lowest and highest stored value that the image can hold; None for floats.

        Raises:
            ValueError: the profile is for other stored values: the limits hold less than half of those that it knows,
                or without limits its range is more than 2000 times as wide as the value range of the image.
        """
        if self.black_white is None or self.black_white == black_white:
            return self
        width, given = abs(self.black_white[1] - self.black_white[0]), abs(black_white[1] - black_white[0])
        low, high = self.stored_range
        held = min(high, limits[1]) - max(low, limits[0]) if limits else high - low
        if held < (high - low) / 2 or (limits is None and width > WIDEST * given):
            raise ValueError(f"it is for stored values from {low:.6g} to {high:.6g}")
        grey, deviation = self._over(black_white, self.grey), (self.deviation * (width / given)).clip(max=LARGEST_LEVEL)
        if grey[0] > grey[-1]:
            grey, deviation = grey[::-1], deviation[::-1]
        first, last = grey[[0, -1]].clip(-GREY_MAX, 2 * GREY_MAX)  # few pixels lie outside the value range
        knots = np.unique(np.concatenate([[first], grey[(grey > first) & (grey < last)], [last]]))
        return NoiseProfile(knots, np.sqrt(np.interp(knots, grey, deviation**2)), self.kernel, black_white)

    @property
    def stored_range(self) -> tuple[float, float]:
        """Lowest and highest stored value at which the deviation is known; elsewhere it is extrapolated.

        Unlimited for a profile without stored values.
        """
        if self.black_white is None:
            return -math.inf, math.inf
        black, white = self.black_white
        low, high = sorted(black + float(grey) * (white - black) / GREY_MAX for grey in self.grey[[0, -1]])
        return low, high

    def _over(self, black_white: tuple[float, float], grey: Values) -> Values:
        """Grey levels that stand for the same stored values in an image with another black and white."""
        black, white = self.black_white or black_white
        stored = black + grey * ((white - black) / GREY_MAX)
        return np.asarray((stored - black_white[0]) * (GREY_MAX / (black_white[1] - black_white[0])))

    def rounded(self, bits: int, spectrum_at: float = MID_GREY) -> "NoiseProfile":
        """The noise after rounding to `bits` bits, 8..16, which adds white noise of a variance of step^2 / 12.

        The step is 255 / (2^bits - 1) grey levels. The sum holds where the deviation is at least 0.4 steps; rounding
        hides weaker noise.

        Args:
            bits: 8..16.
            spectrum_at: grey level for which the spectra of both are mixed.

        Raises:
            ValueError: `bits` is not 8..16.
        """
        if not 8 <= bits <= 16:
            raise ValueError(f"a radiograph has 8 to 16 bits, got {bits}")
        return self.rounded_to(GREY_MAX / (2**bits - 1), spectrum_at)

    def rounded_to(self, step: float, spectrum_at: float = MID_GREY) -> "NoiseProfile":
        """The noise after rounding to multiples of `step`, grey levels, > 0; see `rounded`."""
        added = step**2 / 12
        deviation = np.sqrt(self.deviation**2 + added)
        if self.kernel.size == 1:
            return replace(self, deviation=deviation)
        side = max(GRID, 2 * max(self.kernel.shape))
        power = float(self.deviation_at(spectrum_at)) ** 2 * self.spectrum((side, side)) + added
        return replace(self, deviation=deviation, kernel=kernel_of(power))

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
        """A small JSON text with units, which `from_json` reads back exactly; a line for each row of the kernel."""
        return profile_json.to_text(self.grey, self.deviation, self.kernel, self.black_white)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The profile that `to_json` wrote.

        Raises:
            ValueError: not a profile; says what is wrong.
        """
        return cls(*profile_json.from_text(text))


def _energy(kernel: Values) -> float:
    return float((kernel**2).sum())


def band_means(power: Values) -> Values:
    """(4,), mean of a power spectrum (layout of `numpy.fft.fft2`, sides of at least 16) in each of `BANDS`."""
    frequency = np.hypot(np.fft.fftfreq(power.shape[0])[:, None], np.fft.fftfreq(power.shape[1])[None])
    return np.array([power[inside].mean() for inside in in_bands(frequency)])


def band_areas() -> Values:
    """(4,), shares of all frequencies that lie in each of `BANDS`; the lowest frequencies lie in none."""
    frequency = np.fft.fftfreq(GRID)
    return np.asarray(in_bands(np.hypot(frequency[:, None], frequency)).mean(axis=(1, 2)))


def in_bands(frequency: Values) -> NDArray[np.bool_]:
    """(4, ...), whether radial frequencies, cycles per pixel, lie in each of `BANDS`."""
    return np.stack([(frequency >= low) & (frequency < high) for low, high in BANDS])


def kernel_of(power: Values, side: int | None = None) -> Values:
    """The symmetric kernel of unit energy that shapes white noise as `power` says.

    Args:
        power: power spectrum, layout of `numpy.fft.fft2`, symmetric, >= 0, any scale.
        side: of the kernel, odd, pixels, less than the sides of `power`; a spectrum with finer detail than 1 / side is
            smoothed. By default the least side that loses no more than a millionth of the energy.
    """
    kernel = np.fft.fftshift(np.fft.ifft2(np.sqrt(np.maximum(power, 0.0))).real)
    rows, columns = (length // 2 for length in power.shape)
    widest = (min(*power.shape, WIDEST_KERNEL + 1) - 1) // 2
    enough = (1 - KERNEL_LOSS) * _energy(kernel)
    for half in range(widest + 1) if side is None else [side // 2]:
        cut = kernel[rows - half : rows + half + 1, columns - half : columns + half + 1]
        if _energy(cut) >= enough:
            break
    return np.asarray(cut / np.sqrt(_energy(cut)))


Noise = NoiseLevel | NoiseProfile
"""What can be told of the noise of an image."""


def as_level(noise: Noise | None) -> NoiseLevel | None:
    """What a method for white noise can be told of `noise`."""
    return noise.nearest_level() if isinstance(noise, NoiseProfile) else noise
