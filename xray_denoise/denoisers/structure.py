"""Spare fine structure: beside it, a part of what a network removes is structure.

    x, r            restored image, and what was removed
    g               deviation of the gradient of x around a pixel, in standard deviations of the noise per pixel
    x + l w(g) r    l: share that is put back under this noise, w: 0 in smooth places and on even slopes, 1 beside
                    structure

The squared error is least with `sum(r n) / sum(r^2)` of what the network removes, where n is the true noise: in smooth
places about all of it, beside structure less under weak noise (docs/decisions/0024).
"""

import math

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers.deviation import prevailing_deviation
from xray_denoise.physics.profile import NoiseProfile

FINE = 1.0
"""Deviation of the Gaussian under which gradients are taken, pixels."""
AROUND = 9
"""Side of the square over which their deviation is taken, pixels."""
UNEVEN = (0.4, 0.8)
"""Deviation of the gradient up to which a place counts as smooth, and from which as structure, standard deviations of
the noise per pixel."""
PUT_BACK = 0.3
"""Share of what was removed that is put back beside structure at most."""
WEAK = (1.0, 8.0)
"""Deviation of the noise up to which that much is put back, and from which nothing is, grey levels."""


def left_beside_structure(
    noisy: NDArray[np.float32],
    restored: NDArray[np.float32],
    profile: NoiseProfile,
    gain: NDArray[np.float32] | None = None,
) -> NDArray[np.float32] | None:
    """(H, W), the share of what was removed that is to be put back, `l w(g)`; None where it is 0 everywhere.

    Args:
        noisy: (H, W), grey levels.
        restored: likewise.
        profile: the noise that was removed.
        gain: (H, W), its deviation over that of the profile; None is 1.
    """
    deviation = prevailing_deviation(noisy, profile, gain)
    share = share_put_back(deviation)
    if not share:
        return None
    low, high = (math.log(one * deviation) for one in UNEVEN)
    weight = (np.log(np.maximum(_unevenness(restored), 1e-6)) - low) / (high - low)
    return np.asarray(share * weight.clip(0, 1), dtype=np.float32)


def share_put_back(deviation: float) -> float:
    """Share of what was removed that is put back beside structure, under noise of this deviation in grey levels."""
    if deviation <= 0:
        return 0.0
    weakest, strongest = WEAK
    return PUT_BACK * min(max(math.log(strongest / deviation) / math.log(strongest / weakest), 0.0), 1.0)


def _unevenness(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W), deviation of the gradient around each pixel, grey levels per pixel: 0 on an even slope."""
    from scipy.ndimage import gaussian_filter, uniform_filter

    variance = np.zeros_like(image)
    for order in ((1, 0), (0, 1)):
        gradient = gaussian_filter(image, FINE, order=order)
        variance += uniform_filter(gradient**2, AROUND) - uniform_filter(gradient, AROUND) ** 2
    return np.asarray(np.sqrt(np.maximum(variance, 0)), dtype=np.float32)
