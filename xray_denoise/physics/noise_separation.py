"""Noise or texture: which part of what all blocks of an image have in common is noise of a detector.

Two signs tell:

    its spectrum                noise of a detector is flat towards low frequencies, texture rises as a power
    how alike the blocks are    noise outweighs texture at high frequencies; where texture is still as strong there, in
                                the median of the blocks, the least textured blocks are textured too

The second says how much is texture (`_noise_share`), the first which part of the spectrum that is (`separate`). Where
the blocks are alike at low frequencies too, as in the tissue of a breast, the second sign says nothing, and the
spectrum decides alone, as far as no plausible detector has it (`_certainty`). The second sign also tells which grey
levels give reliable estimates (`levels`): in a chest radiograph those of the lungs are too textured.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.block_spectra import Rings, rings_of
from xray_denoise.physics.noise_mixture import REFERENCE, Fit, blurred, curve_prior

Values = NDArray[np.float64]

UNLIKE = 0.8
"""Median texture over what is in common at the lowest frequencies, below which the blocks are alike there. Most
radiographs have more than 1; under strong noise whose light spreads far they have 0.1 and more, homogeneous tissue 0.05
to 0.07."""
MISFITS = (8.0, 20.0, 32.0, 41.0, 46.0)
"""By how much the squared misfit falls, in standard deviations squared, where texture is added to the spectrum of a
detector. White, selenium and processed noise have up to 13, light that spreads far in a scintillator has mostly 11 to
41, and homogeneous tissue 12 to 64."""
CERTAINTY, CERTAINTY_TISSUE = (0.0, 0.34, 0.36, 0.38, 1.0), (0.0, 0.34, 0.77, 0.94, 1.0)
"""How certain each of these makes it that there is texture: in most images, and where a further sign speaks for it."""
MUCH, ALIKE = (0.46, 0.52), (0.1, 0.07)
"""The further signs, from none to a full one: texture would hold more of the power than light that spreads far does, or
the blocks are more alike at the lowest frequencies than those of radiographs under any noise (see `UNLIKE`)."""
LEVEL_ERROR, TEXTURE_ERROR = 0.05, 0.7
"""Standard deviation of the log power at a grey level without texture, and how much more it is per unit of texture."""
GRID = 64
"""Side of the grid of frequencies that spectra are evaluated on."""


def separate(fit: Fit, rings: Rings) -> tuple[Values, float]:
    """Log power of the noise in each ring, and its share in what all blocks have in common.

    Of the pairs of a plausible noise and a power law that add up to the spectrum the one that comes nearest to the
    share which the likeness of the blocks tells.
    """
    noises, textures = _plausible_noises(rings.side), _plausible_textures(rings.side)
    ratio = np.concatenate([[0.0], np.exp(np.arange(-4.0, 9.1, 0.4))])
    added = np.log1p(textures[:, None] * ratio[:, None] / noises[:, None, None])
    model = np.log(noises)[:, None, None] + added
    precision = 1 / (0.15**2 + 1 / np.maximum(fit.information, 1.0))
    scale = math.log(np.exp(_radial(fit.spectrum, rings)).mean())
    rest = fit.spectrum - scale - model
    level = rest @ precision / precision.sum()
    misfit = rest**2 @ precision - level**2 * precision.sum()
    expected = math.log(_noise_share(fit.texture))
    best = np.unravel_index((misfit + ((level - expected) / 0.15) ** 2).argmin(), misfit.shape)
    share = float((np.exp(_radial(fit.spectrum - added[best], rings)) / math.exp(scale)).mean())
    excess = min((1 - math.exp(expected)) / max(1 - share, 1e-9), 1.0)  # the likeness of the blocks allows no more
    alike = excess * (1 - np.exp(-added[best]))
    nearest = np.unravel_index((misfit + ratio / 2).argmin(), misfit.shape)  # the least texture that explains as much
    held = 1 - float((np.exp(_radial(fit.spectrum - added[nearest], rings)) / math.exp(scale)).mean())
    certain = _certainty(float(misfit[..., 0].min() - misfit.min()), held, fit.unlike)
    left = 1 - (1 - certain) * alike - certain * (1 - np.exp(-added[nearest]))
    noise = fit.spectrum + np.log(np.maximum(left, 1e-6))
    return noise, float(min(np.exp(_radial(noise, rings) - scale).mean(), 1.0))


def _certainty(explained: float, held: float, unlike: float) -> float:
    """How certain it is, 0..1, that what no detector has is texture.

    Args:
        explained: by how much the squared misfit falls with texture; see `MISFITS`.
        held: share of the power that the texture would hold.
        unlike: see `UNLIKE`.
    """
    tissue = max(_ramp(held, *MUCH), _ramp(unlike, *ALIKE))
    mostly, of_tissue = (float(np.interp(explained, MISFITS, certain)) for certain in (CERTAINTY, CERTAINTY_TISSUE))
    return (mostly + tissue * (of_tissue - mostly)) / (1 + (unlike / UNLIKE) ** 2)


def _ramp(value: float, none: float, full: float) -> float:
    """0 at `none`, 1 at `full`, linear between, constant beyond."""
    return min(max((value - none) / (full - none), 0.0), 1.0)


def levels(fit: Fit) -> Values:
    """(K,), log power of the noise at each grey level: that of the fit, or less where the blocks are textured.

    Texture shared by all blocks of a grey level is counted as noise by the fit. Noise varies smoothly with the grey
    level, so that levels with little texture correct their neighbours, but only downwards: texture adds power. Where
    the deviation jumps between two grey levels, the higher one may come out too low.
    """
    precision = (LEVEL_ERROR + TEXTURE_ERROR * fit.textures) ** -2
    smooth = np.linalg.solve(curve_prior(fit.grey) + np.diag(precision), precision * fit.level)
    return np.asarray(np.minimum(fit.level, smooth))


def _noise_share(texture: float) -> float:
    """How much of what all blocks have in common is noise, 0..1.

    Args:
        texture: median over blocks of texture over what is in common, at the highest frequencies.
    """
    return 1 / (1 + 5 * texture + 12 * texture**4)


@cache
def _plausible_noises(side: int) -> Values:
    """(N, J), spectra that detectors have, of mean 1: light spread in a scintillator, white electronics, sharpening."""
    centre = rings_of(side).centre
    radius = _grid()[0]
    blurs = [(blur, white) for blur in (0.4, 0.6, 0.8, 1.0, 1.25, 1.5) for white in (0.05, 0.1, 0.2, 0.35)]
    sharpenings = [(0.0, 1.0)] + [(gain, size) for size in (1.0, 2.0) for gain in (0.7, 1.5)] + [(2.5, 1.0)]
    spectra = []
    for blur, white in [(0.0, 1.0), *blurs]:
        quanta = blurred(radius, blur).mean()
        for gain, size in sharpenings:
            at, everywhere = (
                (white + (1 - white) * blurred(frequency, blur) / quanta)
                * (1 + gain * (1 - np.sqrt(blurred(frequency, size)))) ** 2
                for frequency in (centre, radius)
            )
            spectra.append(at / everywhere.mean())
    return np.array(spectra)


@cache
def _plausible_textures(side: int) -> Values:
    """(T, J), spectra of texture, 1 near 1 / 8 cycles per pixel: powers of the frequency, blurred."""
    centre = rings_of(side).centre
    laws = [(exponent, blur) for exponent in (2.0, 2.5, 3.0, 3.5, 4.0) for blur in (0.0, 0.4, 0.8, 1.2)]
    spectra = np.array([centre**-exponent * blurred(centre, blur) for exponent, blur in laws])
    reference = centre.searchsorted(REFERENCE)
    return np.asarray(spectra / spectra[:, reference : reference + 1])


@cache
def _grid() -> tuple[Values, Values]:
    """(GRID, GRID) each: radius in cycles per pixel, and angle from the axis of columns, of `numpy.fft.fft2`."""
    frequency = abs(np.fft.fftfreq(GRID))
    return np.hypot(frequency[:, None], frequency), np.arctan2(frequency[:, None], frequency)


def _radial(spectrum: Values, rings: Rings) -> Values:
    """(GRID, GRID), a log spectrum that is known in the rings, the same in all directions."""
    return np.asarray(np.interp(_grid()[0], rings.centre, spectrum))


def plane(spectrum: Values, angular: Values, rings: Rings) -> Values:
    """(GRID, GRID), power of the noise at each frequency of `numpy.fft.fft2`."""
    radius, angle = _grid()
    round_off = np.minimum(radius / rings.centre[0], 1.0) ** 2  # no direction at frequency 0
    second, fourth = (np.interp(radius, rings.centre, angular[:, i]) * round_off for i in range(2))
    around = np.linspace(0, math.pi / 2, 33)
    waves = np.exp(angular @ np.stack([np.cos(2 * around), np.cos(4 * around)]))
    level = np.log(np.trapezoid(waves, around, axis=1) / (math.pi / 2))  # of the ring, which the waves must not change
    mean = _radial(spectrum - level, rings)
    return np.asarray(np.exp(mean + second * np.cos(2 * angle) + fourth * np.cos(4 * angle)))
