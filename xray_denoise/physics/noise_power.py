"""Noise power spectrum and correlation of flat fields, after IEC 62220-1-1.

    NPS(u, v) = dx dy / (M sum_xy w(x, y)^2) sum_m |sum_xy w(x, y) r_m(x, y) exp(-2 pi i (u x + v y))|^2
    NNPS(u, v) = NPS(u, v) / s^2

r is the image less a two-dimensional polynomial of second order that is fitted to all of it; its M regions of N x N
pixels overlap by half. dx and dy are the pixel pitch, s is the signal. The standard has no window (w = 1). Where power
falls steeply, as it does with the wide tail of a scintillator, leakage from low frequencies then adds several percent
to others; so w = sin(pi (x + 1/2) / N) sin(pi (y + 1/2) / N) is the default. Its squares sum to 1 over half-overlapping
regions, so that all pixels count alike. With the pitch in mm the NNPS is in mm^2 against
cycles per mm; without it, both are per pixel (dx = dy = 1), and white noise of variance v has the power v. The integral
of the NPS over all frequencies is the variance.

References:
    IEC 62220-1-1:2015, "Medical electrical equipment - Characteristics of digital X-ray imaging devices - Part 1-1:
        Determination of the detective quantum efficiency": noise power spectrum.
    J. T. Dobbins et al., "Intercomparison of methods for image quality characterization. II. Noise power spectrum",
        Med. Phys. 33 (2006) 1466.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.profile import kernel_of

Values = NDArray[np.float64]
Window = Literal["sine", "none"]

LARGEST_REGION, SMALLEST_REGION = 256, 16
"""Side of a region, pixels: that of IEC 62220-1-1, and the least that a small image is divided into."""
AXIS_LINES = 7
"""Lines on each side of an axis that are averaged, for regions of 256; the axis itself is left out."""
RADIAL_BIN = 4
"""Width of a ring, frequency steps of a region."""
LAGS = 16
"""Lags of a correlation, 0 among them."""
MOST_UNUSABLE = 0.25
"""Share of a region that may be missing."""
KERNEL_SIDE = 35
"""Side of the kernel of a measured spectrum, pixels."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A number and how sure it is."""

    value: float
    error: float
    """Standard error, same unit; NaN where it is not known."""


@dataclass(frozen=True, slots=True)
class PowerCurve:
    """Power against frequency; arrays of one shape (K,)."""

    frequency: Values
    """Cycles per mm, or per pixel where the pitch is not known."""
    power: Values
    """Unit of the spectrum that it was taken from."""
    error: Values
    """Standard error of the power: that of averaged periodograms of Gaussian noise."""


@dataclass(frozen=True, slots=True, eq=False)
class NoisePower:
    """A noise power spectrum, NPS."""

    power: Values
    """(N, N), layout of `numpy.fft.fft2`; squares of the image's unit times mm^2 (or pixels)."""
    pitch: tuple[float, float] | None
    """Distance of rows and of columns, mm; None where it is not known."""
    regions: int
    """Regions in all images together."""
    averages: float
    """Independent periodograms that the average is worth: overlapping regions count less than once each."""
    window: Window = "sine"

    def normalised(self, signal: float) -> "NoisePower":
        """NNPS = NPS / signal^2, mm^2 (or pixels).

        Args:
            signal: mean of the linear image, above the value without exposure.
        """
        return NoisePower(self.power / signal**2, self.pitch, self.regions, self.averages, self.window)

    @property
    def frequencies(self) -> tuple[Values, Values]:
        """Vertical (N, 1) and horizontal (1, N) frequencies, cycles per mm (or per pixel)."""
        vertical, horizontal = self.pitch or (1.0, 1.0)
        step = np.fft.fftfreq(self.power.shape[0])
        return np.asarray(step[:, None] / vertical), np.asarray(step[None] / horizontal)

    def radial(self) -> PowerCurve:
        """Mean on rings of equal frequency, up to the lower of both Nyquist frequencies, without u = v = 0."""
        vertical, horizontal = self.frequencies
        radius = np.hypot(vertical, horizontal)
        largest = max(self.pitch or (1.0, 1.0))
        step = RADIAL_BIN / (self.power.shape[0] * largest)
        ring = np.floor(radius / step).astype(int)
        kept = (radius > 0) & (radius < 0.5 / largest)
        count = np.bincount(ring[kept])
        filled = count > 0
        sums = [np.bincount(ring[kept], weights=values[kept])[filled] for values in (radius, self.power)]
        frequency, power = (one / count[filled] for one in sums)
        return PowerCurve(frequency, power, power * self._spread**2 * np.sqrt(2 / (count[filled] * self.averages)))

    def horizontal(self) -> PowerCurve:
        """Mean of 7 lines on each side of the horizontal axis (fewer in small regions), without the axis itself."""
        return self._along(self.power, self.frequencies[1].ravel())

    def vertical(self) -> PowerCurve:
        """The same along the vertical axis."""
        return self._along(self.power.T, self.frequencies[0].ravel())

    def _along(self, power: Values, frequency: Values) -> PowerCurve:
        side = power.shape[0]
        lines = max(1, round(AXIS_LINES * side / LARGEST_REGION))
        mean = np.concatenate([power[1 : lines + 1], power[-lines:]]).mean(axis=0)[1 : side // 2]
        error = mean * self._spread / math.sqrt(2 * lines * self.averages)
        return PowerCurve(frequency[1 : side // 2], mean, error)

    @property
    def _spread(self) -> float:
        """By what the error of a mean over frequencies of an axis exceeds that of independent ones.

        Neighbouring frequencies correlate under a window, and in regions that share half of their pixels. A mean over
        all frequencies has the variance of 2 / n independent regions along an axis, one frequency that of 6/5 / n with
        the sine and 3/2 / n without.
        """
        return math.sqrt(5 / 3 if self.window == "sine" else 4 / 3)

    def kernel(self) -> Values:
        """(S, S), the symmetric kernel of unit energy that gives white noise this spectrum, S at most 35.

        The mean, which detrending took, is filled with what surrounds it.
        """
        filled = self.power.copy()
        filled[0, 0] = np.mean([filled[0, 1], filled[1, 0], filled[1, 1], filled[1, -1]])
        side = min(KERNEL_SIDE, filled.shape[0] - 1)
        return kernel_of(filled, side if side % 2 else side - 1)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlation of the noise of two pixels by their distance, -1..1; the first value of each is 1."""

    horizontal: Values
    """At lags of 0, 1, 2... columns."""
    vertical: Values
    """At lags of 0, 1, 2... rows."""


class PowerSum:
    """Collects periodograms of detrended images of one size.

    Args:
        shape: of the images.
        pitch: distance of rows and of columns, mm, where it is known.
        window: "sine", or "none" as IEC 62220-1-1 has it.
    """

    def __init__(self, shape: tuple[int, ...], pitch: tuple[float, float] | None, window: Window = "sine") -> None:
        self.side = region_side(shape)
        """Of a region, pixels; 0 where the images are too small for a spectrum."""
        self.pitch = pitch
        self.window: Window = window
        line = (
            np.sin(np.pi * (np.arange(self.side) + 0.5) / max(self.side, 1)) if window == "sine" else np.ones(self.side)
        )
        self._window = np.outer(line, line)
        self._sum = np.zeros((self.side, self.side))
        self._energy = 0.0
        self._regions = 0
        self._images = 0
        self._share = 0.0

    def add(self, residual: Values, unusable: NDArray[np.bool_] | None = None) -> None:
        """Add one image.

        Args:
            residual: (H, W), of zero mean.
            unusable: (H, W), pixels that are taken for 0; a region with more than a quarter of them is left out, and
                the power is divided by the window of those that are left.
        """
        if not self.side:
            return
        side, half = self.side, self.side // 2
        used = 0
        energy = self._window**2
        tops, lefts = (range(0, length - side + 1, half) for length in residual.shape)
        for top in tops:
            strip = np.lib.stride_tricks.sliding_window_view(residual[top : top + side], (side, side))[0, ::half]
            if unusable is not None:
                mask = np.lib.stride_tricks.sliding_window_view(unusable[top : top + side], (side, side))[0, ::half]
                kept = mask.mean(axis=(1, 2)) <= MOST_UNUSABLE
                strip = np.where(mask[kept], 0.0, strip[kept])
                self._energy += float((~mask[kept] * energy).sum())
            else:
                self._energy += len(strip) * float(energy.sum())
            if len(strip):
                self._sum += (np.abs(np.fft.fft2(strip * self._window)) ** 2).sum(axis=0)
                used += len(strip)
        self._regions += used
        self._images += bool(used)
        self._share += used / (len(tops) * len(lefts))
        self._single = _overlapping(len(tops), self.window) * _overlapping(len(lefts), self.window)

    def result(self, *, scale: float = 1.0, images: float | None = None) -> NoisePower | None:
        """The mean of all, times `scale`; None where there was no region.

        Args:
            scale: 0.5 for differences of two exposures.
            images: independent images that they are worth; by default all of them.
        """
        if not self._regions:
            return None
        vertical, horizontal = self.pitch or (1.0, 1.0)
        power = self._sum * (scale * vertical * horizontal / self._energy)
        worth = self._share * (1.0 if images is None else images / self._images)
        return NoisePower(power, self.pitch, self._regions, max(1.0, self._single * worth), self.window)


def _overlapping(count: int, window: Window) -> float:
    """Independent periodograms that `count` regions in a line are worth.

    Those of two neighbours correlate by (sum_x w(x) w(x + N/2) / sum_x w(x)^2)^2: 1/4, or 1/pi^2 with the sine.
    """
    return count**2 / (count + 2 * (count - 1) * (1 / math.pi**2 if window == "sine" else 0.25))


def region_side(shape: tuple[int, ...]) -> int:
    """Side of the regions of an image: 256, or the largest power of 2 that fits at least twice; 0 below 32 pixels."""
    fits = min(shape) // 2
    if fits < SMALLEST_REGION:
        return 0
    return int(min(LARGEST_REGION, 2 ** int(math.log2(fits))))


class CorrelationSum:
    """Collects products of detrended images with themselves at a distance."""

    def __init__(self) -> None:
        self._sums = np.zeros((2, LAGS))
        self._counts = np.zeros((2, LAGS))

    def add(self, residual: Values) -> None:
        """Add one image, (H, W), of zero mean; pixels that are exactly 0 do not count."""
        known = residual != 0
        whole = bool(known.all())
        for axis, (values, mask) in enumerate(((residual, known), (residual.T, known.T))):
            for lag in range(min(LAGS, values.shape[1])):
                one, other = values[:, lag:], values[:, : values.shape[1] - lag]
                self._sums[axis, lag] += np.einsum("ij,ij->", one, other)
                self._counts[axis, lag] += (
                    one.size if whole else np.count_nonzero(mask[:, lag:] & mask[:, : values.shape[1] - lag])
                )

    def result(self) -> Correlation:
        """Correlations, at the lags that fit into the images."""
        means = self._sums / np.maximum(self._counts, 1)
        variance = max(float(means[0, 0]), 1e-300)
        lines = [mean[count > 0] / variance for mean, count in zip(means, self._counts, strict=True)]
        return Correlation(lines[0], lines[1])


def detrended(image: NDArray[np.floating]) -> Values:
    """The image less the two-dimensional polynomial of second order that is nearest to it, (H, W).

    The polynomial has the terms 1, x, y, x^2, x y and y^2 (IEC 62220-1-1).
    """
    values: Values = np.asarray(image, dtype=np.float64)
    bases = [_polynomials(length) for length in values.shape]
    coefficients = bases[0].T @ values @ bases[1]
    order = np.add.outer(np.arange(coefficients.shape[0]), np.arange(coefficients.shape[1]))
    coefficients[order > 2] = 0
    return np.asarray(values - bases[0] @ coefficients @ bases[1].T)


def _polynomials(length: int) -> Values:
    """(length, at most 3), orthonormal polynomials of order 0, 1 and 2."""
    line = np.linspace(-1, 1, length) if length > 1 else np.zeros(1)
    return np.asarray(np.linalg.qr(np.vander(line, min(3, length), increasing=True))[0])


def block_means(values: Values, side: int) -> Values:
    """(B,), means of blocks of `side` x `side` pixels, or across all of a narrower image; the rest is cut."""
    return np.asarray(_blocks(values, side).mean(axis=1))


def block_medians(values: Values, side: int) -> Values:
    """(B,), medians of the same blocks."""
    return np.asarray(np.median(_blocks(values, side), axis=1))


def _blocks(values: Values, side: int) -> Values:
    """(B, pixels), row after row of blocks."""
    rows, columns = (min(side, length) for length in values.shape)
    cut = values[: values.shape[0] // rows * rows, : values.shape[1] // columns * columns]
    blocks = cut.reshape(cut.shape[0] // rows, rows, cut.shape[1] // columns, columns)
    return np.asarray(blocks.swapaxes(1, 2).reshape(-1, rows * columns))
