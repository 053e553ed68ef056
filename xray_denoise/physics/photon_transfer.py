"""Photon transfer: variance against signal, and its electronic, quantum and structural part.

    var(s) = e^2 + k s + (p s)^2

s is the linear signal above the value without exposure and var(s) the variance of the pixels, both in stored values: e
is the electronic noise, k the variance per signal of the quanta, p the amplitude of what is proportional to the signal
(fixed pattern, gain variations, the grain of a plate). For detectors that do not blur, k is the gain: stored values per
quantum; blur makes it smaller.

References:
    J. R. Janesick, "Photon Transfer", SPIE Press 2007.
    L. R. Borges et al., Med. Phys. 43 (2016) 2704: electronic, quantum and structural variance in mammography.
    N. W. Marshall, "A comparison between objective and subjective image quality measurements for a full field digital
        mammography system", Phys. Med. Biol. 51 (2006) 2441: the same quadratic in dose.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xray_denoise.physics.noise_power import Measured

Values = NDArray[np.float64]

PASSES = 4
"""Fits, each weighted by the errors that the one before predicts."""
DISTINCT = 1.02
"""Signals count as different if their ratio is larger."""


@dataclass(frozen=True, slots=True)
class PhotonTransfer:
    """The fit of variance against signal; every part is at least 0.

    An error is that of the fit without this limit. It takes the points for independent, so that for `structural` it is
    too small where all points share one fixed pattern.
    """

    electronic: Measured
    """e^2, stored values squared."""
    quantum: Measured
    """k, stored values."""
    structural: Measured
    """p^2, relative to the signal squared."""
    chi_square: float
    """Sum of the squared residuals over the squared errors of the points."""
    degrees: int
    """Points less 3: what `chi_square` should be near to."""

    def variance(self, signal: ArrayLike) -> Values:
        """e^2 + k s + (p s)^2, stored values squared, same shape as `signal`."""
        s = np.asarray(signal, dtype=np.float64)
        return np.asarray(self.electronic.value + self.quantum.value * s + self.structural.value * s**2)

    @property
    def electronic_deviation(self) -> Measured:
        """e, stored values."""
        return _root(self.electronic)

    @property
    def structural_amplitude(self) -> Measured:
        """p, relative to the signal."""
        return _root(self.structural)

    def quantum_limited(self) -> tuple[float, float]:
        """Signals between which the quanta have the largest of the three parts, e^2 / k and k / p^2; stored values."""
        if not self.quantum.value:
            return math.inf, 0.0
        low = self.electronic.value / self.quantum.value
        return low, self.quantum.value / self.structural.value if self.structural.value else math.inf


def _root(square: Measured) -> Measured:
    """The root of a measured square; its error is not known where the square is 0."""
    root = math.sqrt(square.value)
    return Measured(root, square.error / (2 * root) if root else math.nan)


def fit(signal: ArrayLike, variance: ArrayLike, error: ArrayLike) -> PhotonTransfer:
    """Fit e^2 + k s + (p s)^2 by weighted least squares with no part below 0.

    The weights are 1 / error^2; from the second pass on the relative errors are applied to the fitted variances, since
    points that happen to be low would have too small an error otherwise.

    Args:
        signal: (K,), stored values above that without exposure, >= 0; at least three different ones.
        variance: (K,), stored values squared, > 0.
        error: (K,), standard error of the variance, > 0.

    Raises:
        ValueError: fewer than three different signals, or a number out of range.
    """
    from scipy.optimize import nnls

    s, v, sigma = (np.asarray(values, dtype=np.float64).ravel() for values in (signal, variance, error))
    if not (s.shape == v.shape == sigma.shape) or not (np.isfinite(s).all() and (s >= 0).all()):
        raise ValueError("a fit needs signals of at least 0, with a variance and an error for each")
    if not ((v > 0) & np.isfinite(v) & (sigma > 0) & np.isfinite(sigma)).all():
        raise ValueError("variances and their errors must be above 0")
    if _distinct(s) < 3:
        raise ValueError(f"three parts need at least three different signals, got {_distinct(s)}")
    top = s.max()
    basis = np.vander(s / top, 3, increasing=True)
    relative, expected = sigma / v, v
    for _ in range(PASSES):
        weight = 1 / (relative * expected)
        parts, _ = nnls(basis * weight[:, None], v * weight)
        expected = np.maximum(basis @ parts, v.min() * 1e-3)
    weight = 1 / (relative * expected)
    inverse = np.linalg.inv((basis * weight[:, None]).T @ (basis * weight[:, None]))
    errors = np.sqrt(np.diag(inverse))
    measured = [
        Measured(float(part / top**power), float(one / top**power))
        for power, (part, one) in enumerate(zip(parts, errors, strict=True))
    ]
    chi_square = float((((v - basis @ parts) * weight) ** 2).sum())
    return PhotonTransfer(measured[0], measured[1], measured[2], chi_square, s.size - 3)


def _distinct(signal: Values) -> int:
    """How many different signals there are, within 2 %."""
    ordered = np.sort(signal)
    return 1 + int((ordered[1:] > np.maximum(ordered[:-1] * DISTINCT, 1e-9)).sum())
