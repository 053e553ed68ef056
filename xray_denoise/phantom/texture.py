"""Random textures with a given power spectrum that are the same texture at every number of pixels."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

REFERENCE_SIDE = 1024
"""Side in pixels of the film on which a texture has standard deviation 1."""


def random_texture(
    side: int, spectrum: Callable[[NDArray[np.float32]], NDArray[np.float32]], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a periodic Gaussian texture, (side, side), mean 0.

    The Fourier coefficients are drawn octave by octave, so a smaller side gives the same texture without the
    frequencies it cannot hold.

    Args:
        side: pixels along the film, at least 2.
        spectrum: power density over frequency in cycles per film (> 0); only its shape matters.
        rng: the only source of randomness.

    Returns:
        The texture; its variance is 1 on a film of `REFERENCE_SIDE` pixels, less on a smaller one.
    """
    from scipy.fft import irfft2

    rings = np.arange(1, REFERENCE_SIDE // 2, dtype=np.float32)
    power = float((2 * np.pi * rings * spectrum(rings)).sum())
    highest = (side - 1) // 2
    spectral = np.zeros((side, side // 2 + 1), dtype=np.complex64)
    seeds = rng.integers(2**63, size=32)  # one generator per octave, whether it is used or not
    low = 1
    for seed in seeds:
        if low > highest:
            break
        high = 2 * low - 1  # this octave holds low..high cycles per film along its faster axis
        octave = np.random.default_rng(seed)
        drawn = octave.standard_normal((2, 2 * high + 1, high + 1), dtype=np.float32)
        kept = min(high, highest)
        ky, kx = np.arange(-kept, kept + 1), np.arange(kept + 1)
        k = np.hypot(ky[:, None], kx[None, :]).astype(np.float32)
        ring = np.maximum(abs(ky)[:, None], kx[None, :]) >= low
        amplitude = np.where(ring, np.sqrt(spectrum(np.maximum(k, 1)) / (2 * power)), 0).astype(np.float32)
        part = drawn[:, high - kept : high + kept + 1, : kept + 1]
        block = amplitude * (part[0] + 1j * part[1])
        spectral[: kept + 1, : kept + 1] += block[kept:]
        spectral[side - kept :, : kept + 1] += block[:kept]
        low = high + 1
    frequency = np.fft.fftfreq(side)[:, None] + np.fft.rfftfreq(side)[None, :]
    spectral *= np.exp(1j * np.pi * frequency).astype(np.complex64)  # pixels are sampled at their middle
    return np.asarray(irfft2(spectral, s=(side, side), norm="forward", overwrite_x=True), dtype=np.float32)


def power_law(exponent: float, lowest: float, highest: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Spectrum k^-exponent, flattened below `lowest` and rolled off above `highest` cycles per film."""

    def density(k: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.exp(-((k / highest) ** 2)) / (1 + (k / lowest) ** 2) ** (exponent / 2), dtype=np.float32)

    return density
