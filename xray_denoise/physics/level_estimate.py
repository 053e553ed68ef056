"""Estimate the noise level of one exposure without a network.

    diagonal details of an orthonormal wavelet     noise and hardly any anatomy, the variance of the noise
    blocks                                         mean grey level m, mean square v of the details, roughness
    the smoother blocks, pooled by m               pairs (m, v), v the median over blocks
    undo saturation                                what a detector cuts off at 0 and 255 lowers v and moves m
    v = g / eta + sigma^2                          weighted robust line, no negative coefficient; what the grey
                                                   levels leave undecided is shared by photons and electronics

All in grey levels (0..255 spans the image). Roughness is the variance of the smooth coefficients in a block:
they are orthogonal to the details, so that in white noise choosing smooth blocks does not choose weak noise.

A median of means of k squares of normal numbers lies below the mean by (1 - 2 / (9 k))^3 (Wilson and Hilferty),
which is divided out; a block with an edge moves it by one rank only.

References:
    Foi, Trimeche, Katkovnik, Egiazarian, Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data, IEEE Transactions on Image Processing 17, 2008 (pairs, and the line).
    Foi, Clipped noisy images: heteroskedastic modeling and practical denoising, Signal Processing 89, 2009.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.scale import GREY_MAX

Values = NDArray[np.float64]

WAVELET, MARGIN = "db3", 2
"""Three vanishing moments: anatomy leaves 0.6 grey level in the diagonal details of a radiograph. The outermost
coefficients, this many at each side, are made of mirrored pixels."""
BLOCK, SMALL_BLOCK, FEW = 8, 4, 400
"""Side of a block in coefficients, each two pixels apart; the smaller where there are fewer than so many blocks."""
POOLED, MOST_PAIRS = 24, 64
"""Blocks per pair, at least, and pairs, at most."""
SMOOTHEST = 0.75
"""Share of the blocks of a pair that is kept, the smoothest."""
UNSATURATED = 1.1
"""Pairs whose standard deviation saturation has lowered by more than this factor are not fitted."""
STEPS = 40
"""Alternations of undoing saturation and fitting; the level has settled to 0.1 % after 20."""


def estimate_level(noisy: NDArray[np.floating]) -> NoiseLevel:
    """Estimate photons per grey level and electronic noise from one exposure.

    In an image too small or too flat to tell photons from electronics each is given half of the variance, so
    that the sum is right near its grey levels; below 12 pixels of height or width all is given to the electronics.
    An image without noise gets (inf, 0). An image that holds values below 0 or above 255 is taken as not saturated
    at that end. The noise is taken for white: a detector or a resampling that blurs it makes the estimate too small.

    Args:
        noisy: (H, W), grey levels, any H and W of at least 1.

    Returns:
        The level; on 24 chest radiographs with eta 0.4..0.8 and sigma 5..15 the standard deviation at mid-grey is
        right within 1 % (docs/noise.md has the numbers).
    """
    image = np.asarray(noisy, dtype=np.float64)
    if min(image.shape) < 2 * (SMALL_BLOCK + MARGIN):
        return NoiseLevel(math.inf, _deviation_of_differences(image))
    pairs = _pairs(image)
    if not pairs.mean.size:
        return NoiseLevel(math.inf, 0.0)
    line = _fit(pairs, Saturation.of(image))
    return NoiseLevel(1 / line.slope if line.slope > 0 else math.inf, math.sqrt(line.offset))


@dataclass(frozen=True, slots=True)
class Saturation:
    """Where a detector cuts values off, grey levels."""

    low: float
    high: float

    @classmethod
    def of(cls, image: NDArray[np.floating]) -> "Saturation":
        """The ends 0 and 255, those that no value of `image` is beyond."""
        never = 1e6
        return cls(0.0 if image.min() >= 0 else -never, GREY_MAX if image.max() <= GREY_MAX else never)

    def moments(self, grey: Values, deviation: Values) -> tuple[Values, Values]:
        """Mean and standard deviation, grey levels, of Normal(grey, deviation^2) after saturation."""
        from scipy.special import ndtr

        low, high = (self.low - grey) / deviation, (self.high - grey) / deviation
        below, above = ndtr(low), ndtr(-high)
        at_low, at_high = (np.exp(-(end**2) / 2) / math.sqrt(2 * math.pi) for end in (low, high))
        first = low * below + high * above + at_low - at_high
        second = low**2 * below + high**2 * above + (1 - below - above) + low * at_low - high * at_high
        return grey + deviation * first, deviation * np.sqrt(np.maximum(second - first**2, 1e-12))


@dataclass(frozen=True, slots=True)
class Line:
    """Variance against grey level."""

    slope: float
    """1 / eta, grey levels per photon, >= 0."""
    offset: float
    """sigma^2, grey levels squared, >= 0."""

    def variance(self, grey: Values) -> Values:
        """At each grey level, grey levels squared, not quite 0."""
        return np.asarray(np.maximum(self.slope * grey + self.offset, 1e-12))


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is seen in pools of smooth blocks that are alike in brightness, one number per pool."""

    mean: Values
    """Grey levels."""
    variance: Values
    """Of the noise, after saturation, grey levels squared."""
    error: float
    """Relative standard error of a variance if the noise is normal: that of a median of k squares."""


def _pairs(image: Values) -> Pairs:
    """Pool the blocks of an image; those without any detail are padding or wholly saturated, and left out."""
    from pywt import dwt2

    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    smooth, (_, _, detail) = dwt2(even, WAVELET, mode="symmetric")
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    smooth, detail = smooth[inner] / 2, detail[inner]
    side = BLOCK if detail.size >= FEW * BLOCK**2 else SMALL_BLOCK
    smooth, detail = _blocks(smooth, side), _blocks(detail, side)
    power = (detail**2).mean(axis=1)
    noisy = power > (1e-6 * max(abs(image).max(), 1e-6)) ** 2
    mean, rough, power = smooth[noisy].mean(axis=1), smooth[noisy].var(axis=1), power[noisy]
    pools = np.array_split(np.argsort(mean, kind="stable"), min(max(mean.size // POOLED, 1), MOST_PAIRS))
    kept = [pool[rough[pool] <= np.quantile(rough[pool], SMOOTHEST)] for pool in pools if pool.size]
    below_mean = (1 - 2 / (9 * side**2)) ** 3
    return Pairs(
        np.array([mean[pool].mean() for pool in kept]),
        np.array([np.median(power[pool]) / below_mean for pool in kept]),
        error=math.sqrt(math.pi / 2 * 2 * max(len(kept), 1) / max(sum(map(len, kept)) * side**2, 1)),
    )


def _blocks(values: Values, side: int) -> Values:
    """Whole blocks of side x side values, one per row; what is left over at the end of an axis is dropped."""
    rows, cols = (length // side for length in values.shape)
    whole = values[: rows * side, : cols * side].reshape(rows, side, cols, side)
    return whole.swapaxes(1, 2).reshape(rows * cols, side * side)


def _fit(pairs: Pairs, saturation: Saturation) -> Line:
    """The line of the noise before saturation, from means and variances after it."""
    grey, line = pairs.mean, Line(0.0, float(np.median(pairs.variance)))
    for _ in range(STEPS):
        deviation = np.sqrt(line.variance(grey))
        seen_mean, seen_deviation = saturation.moments(grey, deviation)
        lowered = deviation / seen_deviation
        fitted = lowered <= max(UNSATURATED, lowered.min())
        line = _robust_line(grey[fitted], (pairs.variance * lowered**2)[fitted], line, pairs.error)
        grey = np.clip(grey + pairs.mean - seen_mean, saturation.low, saturation.high)
    return line


def _robust_line(grey: Values, variance: Values, last: Line, error: float) -> Line:
    """One step of least squares on relative residuals with Cauchy weights, no negative coefficient.

    Before the data the share of the photons in the variance is one half, give or take one half: this decides
    where the grey levels are too much alike, and nothing where they are not.
    """
    expected = last.variance(grey)
    residual = variance / expected - 1
    scale = max(float(np.median(abs(residual))) / 0.6745, error)
    weight = 1 / (1 + (residual / (2 * scale)) ** 2) / expected**2
    total = weight.sum()
    centre, level = float((weight * grey).sum() / total), float((weight * variance).sum() / total)
    if centre <= 0 or level <= 0:
        return Line(0.0, level)
    usual = level / centre / 2
    precision = float((weight * (grey - centre) ** 2).sum()) / scale**2
    rise = float((weight * (grey - centre) * variance).sum()) / scale**2
    slope = max((rise + 1 / usual) / (precision + 1 / usual**2), 0.0)
    if slope * centre <= level:
        return Line(slope, level - slope * centre)
    return Line(float((weight * grey * variance).sum() / (weight * grey**2).sum()), 0.0)


def _deviation_of_differences(image: Values) -> float:
    """Robust standard deviation of the noise of a narrow image: of the differences along its longer axis."""
    differences = np.diff(image, axis=int(np.argmax(image.shape)))
    return float(np.median(abs(differences))) / 0.6745 / math.sqrt(2) if differences.size else 0.0
