"""Variance-stabilising transform of any noise profile: the noise gets one standard deviation at every grey level.

    T(f) = s * integral of 1 / d(g) from 0 to f          s = 255 / integral of 1 / d(g) from 0 to 255

d(g) is the standard deviation of the noise at grey level g; s is the standard deviation that T(f) has to first order,
and T(0) = 0, T(255) = 255. `anscombe` is the same for photons and electronics, where the integral has a closed form.

T bends, so that the mean of T(f) is not T of the mean. `back` therefore inverts E[T(g + d(g) n)], n standard normal,
computed by quadrature, as the exact unbiased inverse of the Anscombe transform does.

References:
    Bartlett, The use of transformations, Biometrics 3, 1947 (the integral).
    Makitalo, Foi, Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise, IEEE
    Transactions on Image Processing 22, 2013 (the exact unbiased inverse).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.scale import GREY_MAX

Values = NDArray[np.float64]

KNOTS = 4096
"""Grey levels that the transform is tabulated at; linear between them."""
NODES = 32
"""Of the Gauss-Hermite quadrature."""
WEAKEST = 0.05
"""Lower deviations are taken for this share of the largest: without noise the integral would not be finite."""


@dataclass(frozen=True, slots=True)
class Stabiliser:
    """The transform of one profile, tabulated."""

    deviation: float
    """Standard deviation of the noise after `forward`, at every grey level; 0 where the profile has no noise."""
    grey: Values
    """(K,), grey levels, ascending."""
    transformed: Values
    """(K,), T at each of them."""
    expected: Values
    """(K,), E[T(f)] where the noise-free grey level is each of them."""

    @classmethod
    def of(cls, profile: NoiseProfile, lowest: float = 0.0, highest: float = GREY_MAX) -> Self:
        """Tabulate the transform from the lower of 0 and `lowest` to the higher of 255 and `highest`, grey levels.

        Beyond, the deviation is taken to stay what it is at that end.
        """
        grey = np.linspace(min(lowest, 0.0), max(highest, GREY_MAX), KNOTS)
        deviation = profile.deviation_at(grey)
        if not deviation.any():
            return cls(0.0, grey, grey, grey)
        deviation = np.maximum(deviation, WEAKEST * deviation.max())
        step = np.diff(grey)
        transformed = np.concatenate([[0.0], np.cumsum(step * (1 / deviation[1:] + 1 / deviation[:-1]) / 2)])
        black, white = np.interp([0.0, GREY_MAX], grey, transformed)
        stretch = GREY_MAX / (white - black)
        transformed = (transformed - black) * stretch
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        seen = grey[:, None] + deviation[:, None] * nodes
        expected = _extended(seen, grey, transformed) @ (weights / weights.sum())
        return cls(float(stretch), grey, transformed, np.maximum.accumulate(expected))

    def forward(self, noisy: NDArray[np.floating]) -> Values:
        """T of grey levels, any shape."""
        return _extended(np.asarray(noisy, dtype=np.float64), self.grey, self.transformed)

    def back(self, stabilised: NDArray[np.floating]) -> Values:
        """Grey levels whose noisy versions have these values as mean of T, any shape."""
        return _extended(np.asarray(stabilised, dtype=np.float64), self.expected, self.grey)


def _extended(values: Values, known: Values, result: Values) -> Values:
    """Interpolate linearly, and go on beyond the ends with the slope of the last quarter of a percent."""
    inner = np.interp(values, known, result)
    few = len(known) // 400
    low = (result[few] - result[0]) / (known[few] - known[0])
    high = (result[-1] - result[-1 - few]) / (known[-1] - known[-1 - few])
    below, above = np.minimum(values - known[0], 0.0), np.maximum(values - known[-1], 0.0)
    return np.asarray(inner + low * below + high * above)
