"""The imaging chain of a digital X-ray detector: from the noise-free radiograph to one exposure of it.

    s = T^-1(g)                                    linear exposure, digital numbers (DN)
    q = s / K                                      photons per pixel
    n = K h * (Poisson(q) - q) + e w + p s c       quantum, electronic and structural noise, DN
    f = g + R U (T(s + n) - T(s))                  look-up table, edge enhancement, resampling
    f clipped to [0, 255] and rounded to a number of bits

g is the noise-free finished radiograph and f the exposure in grey levels (0..255 spans the image). K is the gain in DN
per photon, h the light spread of the scintillator (it sums to 1), w white noise of deviation 1, e the electronic noise
in DN, c a fixed pattern of deviation 1 that is the same in every exposure, p its amplitude relative to the signal;
`*` is a convolution. The scintillator blurs the noise of the quanta, not that of the electronics. Its variance is

    var(s) = e^2 + k s + (p s)^2,    k = K sum(h^2)

To first order the deviation in the finished image is |T'(s)| sqrt(var(s)), and the spectrum of each of the three
parts is multiplied by the transfer functions of h, c, U and R: `Chain.profile`.

References:
    L. R. Borges et al., "Method for simulating dose reduction in digital mammography using the Anscombe
        transformation", Med. Phys. 43 (2016) 2704; "Method for simulating dose reduction in digital breast
        tomosynthesis", IEEE Trans. Med. Imaging 36 (2017) 2331: electronic, quantum and structural variance.
    IEC 62220-1-1:2015: linear exposure, noise power spectrum.
    Phys. Med. Biol. 65 (2020) 225035: computed radiography needs the quadratic term.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.lookup_table import LookUpTable
from xray_denoise.physics.profile import NoiseProfile, Values, kernel_of
from xray_denoise.scale import GREY_MAX, MID_GREY

PROFILE_KNOTS = 35
"""Grey levels at which a computed profile knows its deviation: every 7.5, mid-grey among them."""
SPECTRUM_SIDE = 256
"""Side of the grid on which spectra are computed, pixels."""
WIDEST_SPREAD = 63
"""Largest side of a light spread or a grain, pixels."""
WIDEST_MASK = 10.0
"""Largest deviation of the Gaussian of an edge enhancement, pixels."""
MOST_PHOTONS = 1e18
"""Above it numpy draws no Poisson numbers."""


def light_spread(core: float, tail: float = 0.0, reach: float = 5.0, ratio: float = 1.0) -> Values:
    """A spread of light in a scintillator: a Gaussian and a wide exponential tail; (S, S), sums to 1.

        h = (1 - tail) gaussian(r / core) + tail exp(-r / reach),   both normalised

    Args:
        core: standard deviation of the Gaussian, pixels, > 0.
        tail: share of the light in the tail, 0..1.
        reach: decay length of the tail, pixels, > 0.
        ratio: width along rows over width along columns.
    """
    half = WIDEST_SPREAD // 2 if tail else min(WIDEST_SPREAD // 2, math.ceil(5 * core))
    line = np.arange(-half, half + 1)
    radius = np.hypot(line[:, None] * math.sqrt(ratio), line[None] / math.sqrt(ratio))
    near, far = np.exp(-(radius**2) / (2 * core**2)), np.exp(-radius / reach)
    return np.asarray((1 - tail) * near / near.sum() + tail * far / far.sum())


def point() -> Values:
    """A spread that leaves an image as it is."""
    return np.ones((1, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """One detector, its exposure and what is done to its images afterwards.

    Raises:
        ValueError: a number is out of range, or a spread is no spread.
    """

    table: LookUpTable = field(default_factory=LookUpTable)
    gain: float = 1.0
    """K, DN per photon, >= 0; 0 means no quantum noise."""
    spread: Values = field(default_factory=point)
    """h, (S, T), odd sides, >= 0: the light of one photon over the pixels; scaled to sum to 1."""
    electronics: float = 0.0
    """e, standard deviation of the electronic noise, DN, >= 0; always white."""
    structure: float = 0.0
    """p, standard deviation of the fixed pattern relative to the exposure, 0..1."""
    grain: Values = field(default_factory=point)
    """(S, T), odd sides, >= 0: what the white pattern is blurred with, any scale."""
    pattern_seed: int = 0
    """Of the fixed pattern: detectors of one seed have one pattern, at each image size."""
    sharpening: float = 0.0
    """Gain a of the edge enhancement U = 1 + a (1 - Gaussian), an unsharp mask; 0..10."""
    sharpening_width: float = 2.0
    """Standard deviation of that Gaussian, pixels of the detector, above 0, at most 10."""
    resampling: float = 1.0
    """Pixels of the image per pixel of the detector, along each axis, 0.25..4."""
    bits: int | None = None
    """Bits that the result is rounded to, 8..16; None leaves it as it is."""

    def __post_init__(self) -> None:
        for name in ("spread", "grain"):
            object.__setattr__(self, name, _normalised(getattr(self, name), name))
        if not (0 <= self.gain < math.inf and 0 <= self.electronics < math.inf and 0 <= self.structure <= 1):
            raise ValueError("gain, electronics and structure of a chain must be finite, >= 0, structure at most 1")
        if self.gain and self.table.full / self.gain > MOST_PHOTONS:
            raise ValueError(f"a chain counts at most {MOST_PHOTONS:g} photons per pixel; a gain of 0 means no noise")
        if not (0 <= self.sharpening <= 10 and 0 < self.sharpening_width <= WIDEST_MASK):
            raise ValueError("an edge enhancement has a gain of 0..10 and a width above 0, at most 10 pixels")
        if not 0.25 <= self.resampling <= 4:
            raise ValueError(f"a chain resamples by 0.25 to 4, not {self.resampling}")
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise ValueError(f"a radiograph has 8 to 16 bits, got {self.bits}")

    def variances(self, exposure: NDArray[np.floating]) -> Values:
        """(3, ...), quantum, electronic and structural variance at linear exposures, DN squared.

        Their sum is var(s) = k s + e^2 + (p s)^2 with k = K sum(h^2).
        """
        signal = np.asarray(exposure, dtype=np.float64)
        quantum = self.gain * float((self.spread**2).sum()) * signal
        return np.stack([quantum, np.full_like(signal, self.electronics**2), (self.structure * signal) ** 2])

    def expose(self, clean: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one exposure.

        `clean` is what the whole chain would give without noise, so edge enhancement and resampling act on the noise
        only and the result keeps shape and anatomy of `clean`.

        Args:
            clean: noise-free image, (H, W), grey levels 0..255.
            rng: the only source of randomness, save for the fixed pattern, which depends on `pattern_seed`.

        Returns:
            Noisy image, (H, W), grey levels in [0, 255], rounded where `bits` says so.

        Raises:
            ValueError: `clean` is not 2-D, or a pixel is not finite or outside 0..255.
        """
        image: Values = np.asarray(clean, dtype=np.float64)
        if image.ndim != 2 or not image.size or not ((image >= 0) & (image <= GREY_MAX)).all():  # also catches NaN
            raise ValueError("a noise-free image must be 2-D with grey levels of 0 to 255")
        mask = self._mask()
        reach = _reach(1 / self.resampling)
        pad = mask.shape[0] // 2 + (0 if self.resampling == 1 else reach)
        signal = self.table.exposure(self._on_detector(image, pad))
        change = self.table.grey(signal + self._noise(signal, rng)) - self.table.grey(signal)
        noisy = image + self._on_image(_convolved(change, mask), image.shape, reach)
        noisy = np.clip(noisy, 0.0, GREY_MAX)
        if self.bits is not None:
            step = GREY_MAX / (2**self.bits - 1)
            noisy = np.rint(noisy / step) * step
        return noisy.astype(np.float32)

    def profile(self, spectrum_at: float = MID_GREY) -> NoiseProfile:
        """The noise that `expose` gives, to first order.

            d(g)^2 = T'(s)^2 (k s E_h + e^2 E_1 + p^2 s^2 E_c),   s = T^-1(g)
            P(u) ~ |U(u)|^2 (k s |H(u)|^2 + e^2 + p^2 s^2 |C(u)|^2)

        H and C are the transfer functions of h and c for kernels of unit energy, U that of the edge enhancement, E the
        mean of |U|^2 |H|^2, |U|^2 and |U|^2 |C|^2 over frequencies. Resampling changes P and E once more; they are
        means over the positions that new pixels have between old ones. Saturation is not counted. Where the noise is
        stronger than the exposure itself, T' is taken where they are equal.

        The mix of quantum, electronic and structural noise depends on the exposure, so the spectrum does, too.

        Args:
            spectrum_at: grey level at which the spectrum is that of the chain, 0..255.
        """
        grey = np.linspace(0.0, GREY_MAX, PROFILE_KNOTS)
        signal = self.table.exposure(grey)
        parts = self.variances(signal)
        slope = self.table.slope(np.maximum(signal, np.sqrt(parts.sum(axis=0))).clip(self.table.full * 1e-9))
        deviation = slope * np.sqrt(np.tensordot(self.energies(), parts, axes=1))
        power = np.tensordot(self.variances(self.table.exposure(np.array(spectrum_at))), self._powers(), axes=1)
        profile = NoiseProfile(grey, deviation, kernel_of(power) if power.any() else point())
        return profile if self.bits is None else profile.rounded(self.bits, spectrum_at)

    def energies(self) -> Values:
        """(3,), by what edge enhancement and resampling multiply quantum, electronic and structural variance."""
        return np.asarray(self._powers().mean(axis=(1, 2)))

    def _powers(self) -> Values:
        """(3, N, N), power spectra in the finished image of quantum, electronic and structural noise of variance 1."""
        side = SPECTRUM_SIDE
        shapes = [self.spread / _norm(self.spread), point(), self.grain / _norm(self.grain)]
        mask = np.abs(np.fft.fft2(self._mask(), (side, side))) ** 2
        powers = np.stack([np.abs(np.fft.fft2(shape, (side, side))) ** 2 * mask for shape in shapes])
        return powers if self.resampling == 1 else np.stack([_resampled(power, self.resampling) for power in powers])

    def _mask(self) -> Values:
        """The kernel of the edge enhancement, (S, S)."""
        if not self.sharpening:
            return point()
        half = math.ceil(4 * self.sharpening_width)
        line = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * self.sharpening_width**2))
        kernel = -self.sharpening * np.outer(line, line) / line.sum() ** 2
        kernel[half, half] += 1 + self.sharpening
        return np.asarray(kernel)

    def _noise(self, signal: Values, rng: np.random.Generator) -> Values:
        """n, DN, same shape as the linear exposure."""
        noise = np.zeros(signal.shape)
        if self.gain:
            photons = np.pad(signal, [(side // 2,) * 2 for side in self.spread.shape], mode="edge") / self.gain
            noise += self.gain * _convolved(rng.poisson(photons) - photons, self.spread)
        if self.electronics:
            noise += self.electronics * rng.standard_normal(signal.shape)
        if self.structure:
            noise += self.structure * signal * self._pattern(signal.shape)
        return noise

    def _pattern(self, shape: tuple[int, ...]) -> Values:
        """c, the fixed pattern of this detector, deviation 1."""
        rng = np.random.default_rng(self.pattern_seed)
        white = rng.standard_normal([length + side - 1 for length, side in zip(shape, self.grain.shape, strict=True)])
        return _convolved(white, self.grain / _norm(self.grain))

    def _on_detector(self, clean: Values, pad: int) -> Values:
        """The image on the grid of the detector, `pad` pixels larger at each side."""
        if self.resampling == 1:
            return np.pad(clean, pad, mode="edge")
        across = [
            _weights(
                (np.arange(-pad, math.ceil(length / self.resampling) + pad) + 0.5) * self.resampling - 0.5,
                length,
                _reach(self.resampling),
            )
            for length in clean.shape
        ]
        return np.asarray(across[0] @ clean @ across[1].T)

    def _on_image(self, change: Values, shape: tuple[int, ...], pad: int) -> Values:
        """An image on the grid of the detector, `pad` pixels larger at each side, on the grid of the result."""
        if self.resampling == 1:
            return change
        across = [
            _weights((np.arange(length) + 0.5) / self.resampling - 0.5 + pad, change.shape[axis], pad)
            for axis, length in enumerate(shape)
        ]
        return np.asarray(across[0] @ change @ across[1].T)


def _normalised(kernel: Any, name: str) -> Values:
    """A read-only copy that sums to 1, or ValueError."""
    spread = np.array(kernel, dtype=np.float64)
    if spread.ndim != 2 or not all(side % 2 and side <= WIDEST_SPREAD for side in spread.shape):
        raise ValueError(f"the {name} of a chain must be 2-D, with odd sides of at most {WIDEST_SPREAD} pixels")
    if not (np.isfinite(spread).all() and (spread >= 0).all() and spread.sum() > 0):
        raise ValueError(f"the {name} of a chain must be finite, nowhere below 0, and not 0 everywhere")
    spread /= spread.sum()
    spread.setflags(write=False)
    return spread


def _norm(kernel: Values) -> float:
    return math.sqrt(float((kernel**2).sum()))


def _convolved(image: Values, kernel: Values) -> Values:
    """The part of the convolution that no rim disturbs: smaller by the side of the kernel less 1."""
    from scipy.signal import fftconvolve

    return np.asarray(image * kernel[0, 0] if kernel.size == 1 else fftconvolve(image, kernel, mode="valid"))


def _reach(stride: float) -> int:
    """Half the foot of the triangle that interpolates at steps of `stride` pixels, whole so that weights sum to 1."""
    return max(1, round(stride))


def _weights(positions: NDArray[np.floating], length: int, reach: int) -> Any:
    """Sparse (len(positions), length): linear interpolation, averaged where it shrinks; beyond the rim, the rim."""
    from scipy.sparse import csr_array

    below = np.floor(positions).astype(int)[:, None] + np.arange(1 - reach, reach + 1)[None]
    weight = np.maximum(0.0, 1 - np.abs(positions[:, None] - below) / reach) / reach
    rows = np.repeat(np.arange(positions.size), 2 * reach)
    place = (rows, below.clip(0, length - 1).ravel())
    return csr_array((weight.ravel(), place), shape=(positions.size, length))


def _resampled(power: Values, factor: float) -> Values:
    """The power spectrum of an image (N, N) after the interpolation by `factor`, (N, N).

    The covariance at a lag of d new pixels is the mean of w(i)^T R w(i + d) along each axis, where w(i) are the weights
    of new pixel i and R is the covariance of the old ones; it is summed over frequencies.
    """
    side = power.shape[0]
    reach = _reach(1 / factor)
    positions = (np.arange(side) + 0.5) / factor - 0.5 + reach
    weights = _weights(positions, math.ceil(side / factor) + 2 * reach + 1, reach)
    waves = np.exp(2j * np.pi / side * np.outer(np.arange(weights.shape[1]), np.arange(side)))
    passed = weights @ waves
    most = min(side // 2 - 1, int(factor * (side // 2 - 2 * reach)))  # lags that do not reach around the spectrum
    ahead = [(passed[: side - lag].conj() * passed[lag:]).mean(axis=0) for lag in range(most + 1)]
    transfer = np.array([ahead[abs(lag)] if lag >= 0 else ahead[-lag].conj() for lag in range(-most, most + 1)])
    covariance = np.zeros((side, side))
    first = side // 2 - most
    within = slice(first, first + 2 * most + 1)
    covariance[within, within] = (transfer @ power @ transfer.T).real / side**2
    return np.asarray(np.fft.fft2(np.fft.ifftshift(covariance)).real.clip(0))
