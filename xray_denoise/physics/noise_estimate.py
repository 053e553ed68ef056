"""Estimate the noise profile of one exposure without a network: deviation against grey level, and spectrum.

Noise is the same all over an exposure and structure is not. Power is therefore measured in many small blocks
(`block_spectra`) and explained by a mixture:

    power of a block in ring j  ~  (v(m) S_j + a C_j) chi^2        v(m): noise, one smooth curve of the grey level m
                                                                   S_j: its spectrum, one for the image
                                                                   a C_j: texture of the block, a power of the frequency

Each block has its own a >= 0 and its own exponent (`TEXTURES`), which are summed over with a prior that is learnt from
the image; v and S maximise the likelihood (expectation maximisation with Fisher's scoring). Texture is not exactly
normal and not exactly a power, so that it has fewer degrees of freedom than noise has (`MISFIT`).

What is alike in all blocks may still be texture. Two signs tell:

    its spectrum                noise of a detector is flat towards low frequencies, texture rises as a power
    how alike the blocks are    noise outweighs texture at high frequencies; where texture is still as strong there, in
                                the median of the blocks, the least textured blocks are textured too

The second says how much of v is texture (`_noise_share`), the first which part of the spectrum that is (`_separate`).
Where the blocks are alike at low frequencies too, as in the clutter of a breast, the second sign says nothing, and
the spectrum decides alone, as far as no plausible detector has it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.block_spectra import MOST_BLOCKS, BlockSpectra, Rings, block_spectra, joined, rings_of
from xray_denoise.physics.estimate import Saturation, estimate_level
from xray_denoise.physics.profile import LARGEST_LEVEL, NoiseProfile, kernel_of
from xray_denoise.scale import GREY_MAX

Values = NDArray[np.float64]

COARSE, CHANGED = 32, 0.5
"""Side of the blocks whose means tell whether two frames show the same, pixels, and how much these means may differ:
standard deviation of their differences relative to that of themselves."""
FEWEST_BLOCKS = 20
"""With fewer the estimate is the one of `estimate_level`."""
CLASSES, CLASS_BLOCKS = 12, 60
"""Classes of grey level at most, and blocks in a class at least."""
NOT_ROUGHER = 2.5
"""Blocks whose log power lies further above that of the smoothest seventh of their class are left out."""
TEXTURES = tuple((exponent, blur) for exponent in (2.0, 3.0, 4.0) for blur in (0.0, 0.5, 1.1))
"""Exponents of the power of texture against frequency, and standard deviations of the blur on top, pixels."""
STRENGTHS, STRENGTH_SPREAD = 0.7, 2.5
"""Logarithmic distance of neighbouring strengths of texture, and how many such steps their prior is smoothed over."""
MISFIT = 0.35
"""Relative error of a power law in a ring."""
LOWEST = 3
"""Rings of the lowest frequencies."""
UNLIKE = 0.8
"""Median texture over what is in common at the lowest frequencies, below which the blocks are alike there; radiographs
have 2 and more even under strong noise, homogeneous clutter less than 0.2."""
IMPLAUSIBLE = 25.0
"""Squared misfit of all spectra of detectors, in standard deviations, that speaks for texture as much as against it."""
REFERENCE = 0.12
"""Where the strength of a texture is told, cycles per pixel: in the ring at or above."""
ROUNDS = 22
"""Rounds of expectation maximisation at most."""
ENDS, REACH = 4, 0.25
"""The curve goes on as at so many grey levels of each end, for this part of its range; beyond it is constant."""
GRID = 64
"""Side of the grid of frequencies that spectra are evaluated on."""
KERNEL_SIDE, KERNEL_ENERGY = 31, 0.9998
"""Side of the kernel at most, pixels, and the energy that a smaller kernel must hold."""


@dataclass(frozen=True, slots=True)
class ProfileEstimate:
    """The noise that was found in one exposure."""

    profile: NoiseProfile
    confidence: float
    """0..1: the share of noise in what all blocks have in common; the rest was taken for texture. 0 also where the
    image is too small or too flat for a spectrum."""


def estimate_profile(image: NDArray[np.floating], most_blocks: int = MOST_BLOCKS) -> ProfileEstimate:
    """Estimate deviation against grey level, and spectrum, of the noise of one exposure.

    Structure is kept out of the estimate; in doubt it is the smaller one. Padding, shutters and saturated areas do not
    count. In an image of less than about 48x48 pixels the noise is taken for white and the confidence is 0.

    Args:
        image: (H, W), finite grey levels, any H and W of at least 1.
        most_blocks: of the image that are looked at; fewer take less time and tell less.

    Returns:
        The profile, with a kernel of at most 31x31 pixels and never larger than the image, and the confidence.
    """
    grey = np.asarray(image, dtype=np.float64)
    return _estimate(block_spectra(grey, most_blocks), grey.shape) or _too_little(grey)


def estimate_scene_profile(
    frames: Sequence[NDArray[np.floating]], most_blocks: int = MOST_BLOCKS
) -> ProfileEstimate | None:
    """Estimate the noise of the frames of one scene from what changes between them.

    Structure that stays where it is cancels in the difference of two frames, so that it cannot be taken for noise. What
    moves is kept out of the estimate as structure is by `estimate_profile`. A fixed pattern of the detector cancels
    too.

    Args:
        frames: at least two, (H, W) each and alike, finite grey levels, in the order in which they were taken.
        most_blocks: of all frames together that are looked at.

    Returns:
        The profile as `estimate_profile` gives it; None where the frames show different things, differ in size, or are
        too small.
    """
    greys = [np.asarray(frame, dtype=np.float64) for frame in frames]
    pairs = [(one, two) for one, two in pairwise(greys) if _is_one_scene(one, two)]
    if len(pairs) < len(greys) - 1 or not pairs:
        return None
    spectra = [block_spectra(one, most_blocks // len(pairs), two) for one, two in pairs]
    return _estimate(joined(spectra), greys[0].shape, alike=True)


def _is_one_scene(one: Values, two: Values) -> bool:
    """Whether two frames show the same: their coarse structure differs less than it varies within them."""
    if one.shape != two.shape or min(one.shape) < COARSE:
        return False
    rows, columns = (length // COARSE for length in one.shape)
    coarse = [
        frame[: rows * COARSE, : columns * COARSE].reshape(rows, COARSE, columns, COARSE).mean(axis=(1, 3))
        for frame in (one, two)
    ]
    return bool((coarse[0] - coarse[1]).std() <= CHANGED * min(frame.std() for frame in coarse))


def _estimate(spectra: BlockSpectra, shape: tuple[int, ...], *, alike: bool = False) -> ProfileEstimate | None:
    """The profile that blocks of images of a shape tell of; None where they are too few or have no power.

    With `alike` all that the blocks have in common is noise.
    """
    if len(spectra.mean) < FEWEST_BLOCKS:
        return None
    fit = _fit(spectra)
    if fit is None:
        return None
    spectrum, share = (fit.spectrum, 1.0) if alike else _separate(fit, spectra.rings)
    power = _plane(spectrum, fit.angular * share, spectra.rings)
    level = power.mean()
    greys, deviation = _unsaturated(fit.grey, np.sqrt(np.exp(fit.level) * level), spectra)
    side = min(KERNEL_SIDE, *(length - 1 + length % 2 for length in shape))
    profile = NoiseProfile(greys, deviation, _trimmed(kernel_of(power / level, side)))
    return ProfileEstimate(profile, share)


def _too_little(image: Values) -> ProfileEstimate:
    """White noise as `estimate_level` finds it, not stronger than the image allows."""
    ends = np.array([0.0, GREY_MAX])
    most = min(2 * float(image.std()), LARGEST_LEVEL)
    deviation = np.minimum(np.sqrt(estimate_level(image).variance(ends)), most)
    return ProfileEstimate(NoiseProfile(ends, deviation, np.ones((1, 1))), 0.0)


@dataclass(frozen=True, slots=True)
class Fit:
    """What all blocks have in common: power exp(level + spectrum) in a class and a ring."""

    grey: Values
    """(K,), mean grey level of the classes, ascending."""
    level: Values
    """(K,), log power."""
    spectrum: Values
    """(J,), log power relative to `level`."""
    information: Values
    """(J,), Fisher's information on `spectrum`."""
    texture: float
    """Median over blocks of texture over what is in common, at the highest frequencies."""
    unlike: float
    """The same at the lowest frequencies: how much the blocks differ there."""
    angular: Values
    """(J, 2), coefficients of cos 2 and cos 4 times the angle in the log power."""


def _fit(spectra: BlockSpectra) -> Fit | None:
    """Explain the blocks by what they have in common and by a texture of their own. None if they have no power."""
    rings = spectra.rings
    power: Values = (spectra.power @ rings.weight.T.astype(np.float32)).astype(np.float64)
    seen = power.min(axis=1) > 1e-12 * max(float(power.max()), 1e-12)
    if seen.sum() < FEWEST_BLOCKS:
        return None
    unit = float(np.median(power[seen]))
    members = _classes(
        spectra.mean, np.log(np.where(seen[:, None], power, 1.0)) @ (rings.freedom / rings.freedom.sum()), seen
    )
    mixture = Mixture.of([np.asarray(power[chosen] / unit) for chosen in members], rings)
    grey = np.array([spectra.mean[chosen].mean() for chosen in members])
    level, spectrum = mixture.start()
    curve, shape = _curve_prior(grey), _spectrum_prior(rings.centre)
    prior = np.zeros((grey.size + spectrum.size,) * 2)
    prior[: grey.size, : grey.size], prior[grey.size :, grey.size :] = curve, shape
    weights = mixture.first_weights()
    for _ in range(ROUNDS):
        seen_round = mixture.expect(level, spectrum, weights)
        weights = mixture.weights(seen_round.states)
        step = _step(seen_round, prior, np.concatenate([level, spectrum]))
        level, spectrum = level + step[: grey.size], spectrum + step[grey.size :]
        if abs(step).max() < 0.01:
            break
    angular = _angular(spectra, members, seen_round, np.exp(level[:, None] + spectrum) * unit)
    texture = float(np.median(seen_round.texture, axis=0)[-3:].min())
    unlike = float(np.median(seen_round.texture[:, :LOWEST].mean(axis=1)))
    return Fit(grey, level + math.log(unit), spectrum, seen_round.information.sum(axis=0), texture, unlike, angular)


def _classes(mean: Values, rough: Values, seen: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The blocks of each class of grey level, all but the rough ones.

    The classes are a compromise between equally many blocks and equal ranges of grey level.
    """
    order = np.argsort(mean, kind="stable")
    order = order[seen[order]]
    grey, count = mean[order], order.size
    along = np.arange(count) / count + (grey - grey[0]) / max(float(np.ptp(grey)), 1e-9)
    number = min(CLASSES, max(count // CLASS_BLOCKS, 1))
    ends = np.searchsorted(along, np.linspace(0, along[-1], number + 1)[1:-1])
    classes = [some for some in np.split(order, ends) if some.size >= min(CLASS_BLOCKS // 2, count)]
    return [some[rough[some] <= np.quantile(rough[some], 0.15) + NOT_ROUGHER] for some in classes]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation step."""

    gradient: Values
    """(K, J), of the log likelihood by the log power of the noise."""
    information: Values
    """(K, J), Fisher's information on it."""
    states: Values
    """(T,), how many blocks are in each state of texture."""
    texture: Values
    """(B, J), expected texture of each block over the noise."""
    noise: Values
    """(B, J), expected square of the share of the noise in each block."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Blocks, and the states of texture that each of them may be in."""

    power: list[Values]
    """For each class (B_k, J)."""
    freedom: Values
    """(J,)."""
    state: Values
    """(T, J), power of the texture; that of the first state is nothing."""
    strengths: int
    """T = 1 + len(TEXTURES) * strengths."""

    @classmethod
    def of(cls, power: list[Values], rings: Rings) -> "Mixture":
        """States that span the texture of these blocks."""
        reference = int(rings.centre.searchsorted(REFERENCE))
        shape = _texture_shapes(rings)
        shape = shape / shape[:, reference : reference + 1]
        common = [np.quantile(some[:, reference], 0.15) for some in power]
        lowest = math.log(np.quantile(common, 0.2)) - 2.5
        highest = math.log(np.quantile(np.concatenate(power)[:, reference], 0.98))
        strengths = np.exp(np.arange(lowest, max(highest, lowest + 2) + STRENGTHS, STRENGTHS))
        states = (shape[:, None] * strengths[:, None]).reshape(-1, rings.centre.size)
        nothing = np.full((1, rings.centre.size), 1e-12)
        return cls(power, rings.freedom, np.concatenate([nothing, states]), strengths.size)

    def start(self) -> tuple[Values, Values]:
        """A first guess of level, (K,), and spectrum, (J,), rather too strong than too weak."""
        common = np.log(np.array([np.quantile(some, 0.35, axis=0) for some in self.power]))
        level = common[:, common.shape[1] // 2 :].mean(axis=1)
        spectrum = np.median(common - level[:, None], axis=0)
        centre = math.log(np.exp(spectrum).mean())
        return level + centre, spectrum - centre

    def first_weights(self) -> Values:
        """(T,), prior probabilities of the states before anything is known."""
        weights = np.full(len(self.state), 0.4 / (len(self.state) - 1))
        weights[0] = 0.6
        return weights

    def weights(self, states: Values) -> Values:
        """(T,), prior probabilities of the states, learnt from how many blocks are in each; strengths are smoothed."""
        from scipy.ndimage import gaussian_filter1d

        rows = states[1:].reshape(-1, self.strengths)
        smooth = gaussian_filter1d(rows, STRENGTH_SPREAD, axis=1, mode="nearest") + 0.02
        weights = np.concatenate([states[:1] + 0.02, smooth.ravel()])
        return np.asarray(weights / weights.sum())

    def expect(self, level: Values, spectrum: Values, weights: Values) -> Expectation:
        """Which states the blocks are in, and what that says about the noise."""
        from scipy.special import gammaln

        gradient, information, textures, noises = [], [], [], []
        states = np.zeros(len(self.state))
        for some, class_level in zip(self.power, level, strict=True):
            noise = np.exp(class_level + spectrum)
            mean = noise + self.state
            share = noise / mean
            shape = 1 / (2 / self.freedom + MISFIT**2 * (1 - share) ** 2)
            constant = (shape * np.log(shape / mean) - gammaln(shape)).sum(axis=1) + np.log(weights)
            likely = np.log(some) @ (shape - 1).T - some @ (shape / mean).T + constant
            likely = np.exp(likely - likely.max(axis=1, keepdims=True))
            likely /= likely.sum(axis=1, keepdims=True)
            held = likely.sum(axis=0)[:, None]
            states += held[:, 0]
            gradient.append((shape * share * (likely.T @ some / mean - held)).sum(axis=0))
            information.append((shape * share**2 * held).sum(axis=0))
            textures.append(likely @ (self.state / noise))
            noises.append(likely @ share**2)
        return Expectation(
            np.array(gradient), np.array(information), states, np.concatenate(textures), np.concatenate(noises)
        )


def _step(seen: Expectation, prior: Values, now: Values) -> Values:
    """A step of Fisher's scoring for (level, spectrum), bounded."""
    classes, rings = seen.information.shape
    information = prior + 0.01 * np.eye(classes + rings)
    information[:classes, :classes] += np.diag(seen.information.sum(axis=1))
    information[classes:, classes:] += (
        np.diag(seen.information.sum(axis=0)) + 1 / rings
    )  # holds the mean of the spectrum
    information[:classes, classes:] += seen.information
    information[classes:, :classes] += seen.information.T
    gradient = np.concatenate([seen.gradient.sum(axis=1), seen.gradient.sum(axis=0)]) - prior @ now
    step = np.linalg.solve(information, gradient)
    largest = float(abs(step).max())
    return np.asarray(step * (1.2 / max(largest, 1.0) if largest > 0.05 else 1.0))


def _curve_prior(grey: Values) -> Values:
    """(K, K), precision of the log power against grey level: smooth over the range of the classes."""
    span = max(float(np.ptp(grey)), 1e-9) / 3
    at = np.maximum.accumulate(grey / span + 1e-3 * np.arange(grey.size))
    return _smoothness(at, second=0.7, first=np.full(max(grey.size - 1, 0), 1.5))


def _spectrum_prior(centre: Values) -> Values:
    """(J, J), precision of the log power against the octaves of frequency: flat at low frequencies."""
    octaves = np.log2(centre)
    flat = np.interp(centre[:-1], [0.06, 0.09, 0.13, 0.15], [0.2, 0.35, 0.7, 4.0])
    return _smoothness(octaves, second=8.0, first=flat)


def _smoothness(at: Values, second: float, first: Values) -> Values:
    """Precision of a curve with values at `at`: standard deviations of its second and first derivatives."""
    rows = []
    for i, gap in enumerate(np.diff(at)):
        row = np.zeros(at.size)
        row[i], row[i + 1] = -1 / gap, 1 / gap
        rows.append(row * math.sqrt(gap) / first[i])
    for i in range(1, at.size - 1):
        before, after = at[i] - at[i - 1], at[i + 1] - at[i]
        row = np.zeros(at.size)
        row[i - 1], row[i], row[i + 1] = 1 / before, -1 / before - 1 / after, 1 / after
        rows.append(row * 2 / (before + after) * math.sqrt((before + after) / 2) / second)
    return np.asarray(np.array(rows).T @ np.array(rows)) if rows else np.zeros((at.size, at.size))


def _texture_shapes(rings: Rings) -> Values:
    """(len(TEXTURES), J), power of textures in each ring."""
    radius = np.maximum(rings.radius, 1e-3)
    return np.array([rings.weight @ (radius**-exponent * _blurred(radius, blur)) for exponent, blur in TEXTURES])


def _blurred(frequency: Values, deviation: float) -> Values:
    """Power that a Gaussian blur of so many pixels leaves of a frequency."""
    return np.asarray(np.exp(-4 * (math.pi * deviation * frequency) ** 2))


def _noise_share(texture: float) -> float:
    """How much of what all blocks have in common is noise, 0..1.

    Args:
        texture: median over blocks of texture over what is in common, at the highest frequencies.
    """
    return 1 / (1 + 5 * texture + 12 * texture**4)


def _separate(fit: Fit, rings: Rings) -> tuple[Values, float]:
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
    doubt = np.clip((float(misfit[..., 0].min() - misfit.min()) - IMPLAUSIBLE) / 6, -30, 30)
    certain = 1 / (1 + math.exp(-doubt)) / (1 + (fit.unlike / UNLIKE) ** 2)
    left = 1 - (1 - certain) * alike - certain * (1 - np.exp(-added[nearest]))
    noise = fit.spectrum + np.log(np.maximum(left, 1e-6))
    return noise, float(min(np.exp(_radial(noise, rings) - scale).mean(), 1.0))


@cache
def _plausible_noises(side: int) -> Values:
    """(N, J), spectra that detectors have, of mean 1: light spread in a scintillator, white electronics, sharpening."""
    centre = rings_of(side).centre
    radius = _grid()[0]
    blurs = [(blur, white) for blur in (0.4, 0.6, 0.8, 1.0, 1.25, 1.5) for white in (0.05, 0.1, 0.2, 0.35)]
    sharpenings = [(0.0, 1.0)] + [(gain, size) for size in (1.0, 2.0) for gain in (0.7, 1.5)] + [(2.5, 1.0)]
    spectra = []
    for blur, white in [(0.0, 1.0), *blurs]:
        quanta = _blurred(radius, blur).mean()
        for gain, size in sharpenings:
            at, everywhere = (
                (white + (1 - white) * _blurred(frequency, blur) / quanta)
                * (1 + gain * (1 - np.sqrt(_blurred(frequency, size)))) ** 2
                for frequency in (centre, radius)
            )
            spectra.append(at / everywhere.mean())
    return np.array(spectra)


@cache
def _plausible_textures(side: int) -> Values:
    """(T, J), spectra of texture, 1 near 1 / 8 cycles per pixel: powers of the frequency, blurred."""
    centre = rings_of(side).centre
    laws = [(exponent, blur) for exponent in (2.0, 2.5, 3.0, 3.5, 4.0) for blur in (0.0, 0.4, 0.8, 1.2)]
    spectra = np.array([centre**-exponent * _blurred(centre, blur) for exponent, blur in laws])
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


def _plane(spectrum: Values, angular: Values, rings: Rings) -> Values:
    """(GRID, GRID), power of the noise at each frequency of `numpy.fft.fft2`."""
    radius, angle = _grid()
    round_off = np.minimum(radius / rings.centre[0], 1.0) ** 2  # no direction at frequency 0
    second, fourth = (np.interp(radius, rings.centre, angular[:, i]) * round_off for i in range(2))
    around = np.linspace(0, math.pi / 2, 33)
    waves = np.exp(angular @ np.stack([np.cos(2 * around), np.cos(4 * around)]))
    level = np.log(np.trapezoid(waves, around, axis=1) / (math.pi / 2))  # of the ring, which the waves must not change
    mean = _radial(spectrum - level, rings)
    return np.asarray(np.exp(mean + second * np.cos(2 * angle) + fourth * np.cos(4 * angle)))


def _angular(spectra: BlockSpectra, members: list[NDArray[np.intp]], seen: Expectation, common: Values) -> Values:
    """(J, 2), coefficients of cos 2 and cos 4 times the angle in the log power of the noise.

    Blocks count by the square of the share of the noise in them; what is uncertain is shrunk towards 0.
    """
    rings = spectra.rings
    blocks = np.concatenate(members)
    level = np.repeat(common, [some.size for some in members], axis=0)
    trend = np.log(common).mean(axis=0)
    radial = np.exp(np.interp(rings.radius, rings.centre, trend - trend[-1]))
    found, precision = np.zeros((2, rings.centre.size, 2))
    for ring, share in enumerate(rings.weight):
        inside = share > 0
        weight = seen.noise[:, ring]
        total = max(float(weight.sum()), 1e-9)
        power = (weight / level[:, ring]) @ spectra.power[np.ix_(blocks, inside)] / radial[inside]
        angle = rings.angle[inside]
        basis = np.stack([np.ones(angle.size), np.cos(2 * angle), np.cos(4 * angle)], axis=1)
        covariance = np.linalg.pinv((basis * share[inside, None]).T @ basis, rcond=1e-4)
        waves = covariance @ ((basis * share[inside, None]).T @ np.log(np.maximum(power, 1e-12)))
        found[ring] = waves[1:] * float((weight**2).sum()) / total
        precision[ring] = total * rings.freedom[ring] / 2 / np.maximum(np.diag(covariance)[1:], 1e-6)
    octaves = np.log2(rings.centre)
    smooth = _smoothness(octaves, second=8.0, first=np.full(octaves.size - 1, 2.0)) + np.eye(octaves.size)
    waves = [np.linalg.solve(smooth + np.diag(precision[:, i]), precision[:, i] * found[:, i]) for i in range(2)]
    return np.asarray(np.clip(np.stack(waves, axis=1), -1.5, 1.5))


def _unsaturated(grey: Values, deviation: Values, spectra: BlockSpectra) -> tuple[Values, Values]:
    """Grey levels that ascend and deviations of the noise before saturation, from those after it."""
    far = 1e3 * (float(deviation.max()) + float(abs(grey).max()) + 1)
    saturation = Saturation(max(spectra.low, -far), min(spectra.high, far))
    before, level = grey, np.maximum(deviation, 1e-9)
    for _ in range(30):
        mean, seen = saturation.moments(before, level)
        before, level = before + grey - mean, level * np.clip(deviation / np.maximum(seen, 1e-12), 0.5, 1.5)
        before = before.clip(saturation.low, saturation.high)
    ascending = np.concatenate([[True], np.diff(before) > 1e-9 * far])
    return _extended(before[ascending], level[ascending])


def _extended(grey: Values, deviation: Values) -> tuple[Values, Values]:
    """One more grey level at both ends, where the logarithm of the deviation goes on as it does near that end."""
    if grey.size < ENDS:
        return grey, deviation
    reach = REACH * float(np.ptp(grey))
    ends = []
    for some, outwards in ((slice(None, ENDS), -reach), (slice(-ENDS, None), reach)):
        rise = float(np.polyfit(grey[some], np.log(deviation[some]), 1)[0]) * outwards
        ends.append(math.exp(np.clip(rise, -0.5, 0.5)))
    greys = np.concatenate([[grey[0] - reach], grey, [grey[-1] + reach]])
    return greys, np.concatenate([[deviation[0] * ends[0]], deviation, [deviation[-1] * ends[1]]])


def _trimmed(kernel: Values) -> Values:
    """The middle of a kernel that holds nearly all of its energy, of unit energy."""
    middle = kernel.shape[0] // 2
    for half in range(middle + 1):
        inner = kernel[middle - half : middle + half + 1, middle - half : middle + half + 1]
        energy = float((inner**2).sum())
        if energy >= KERNEL_ENERGY:
            break
    return np.asarray(inner / math.sqrt(energy))
