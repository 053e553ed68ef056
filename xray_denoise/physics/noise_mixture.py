"""What the blocks of an image have in common, and what texture each has of its own.

    power of a block in ring j  ~  (v(m) S_j + a C_j) chi^2        v(m): noise, one smooth curve of the grey level m
                                                                   S_j: its spectrum, one for the image
                                                                   a C_j: texture of the block, a power of the frequency

Each block has its own a >= 0 and its own exponent (`TEXTURES`), which are summed over with a prior that is learnt from
the image; v and S maximise the likelihood (expectation maximisation with Fisher's scoring). Texture is not exactly
normal and not exactly a power, so that it has fewer degrees of freedom than noise has (`MISFIT`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.block_spectra import BlockSpectra, Rings

Values = NDArray[np.float64]

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
LOWEST, HIGHEST = 3, 3
"""Rings of the lowest and of the highest frequencies."""
REFERENCE = 0.12
"""Where the strength of a texture is told, cycles per pixel: in the ring at or above."""
ROUNDS = 22
"""Rounds of expectation maximisation at most."""


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
    textures: Values
    """(K,), the same median over the blocks of each class."""
    unlike: float
    """The same at the lowest frequencies: how much the blocks differ there."""
    angular: Values
    """(J, 2), coefficients of cos 2 and cos 4 times the angle in the log power."""
    blocks: NDArray[np.intp]
    """(B,), which blocks were explained."""
    gradient: Values
    """(B,), of the log likelihood by the log power of the noise in each of these blocks."""
    certainty: Values
    """(B,), Fisher's information on it."""


def fit(spectra: BlockSpectra, rounds: int = ROUNDS) -> Fit | None:
    """Explain the blocks by what they have in common and by a texture of their own. None if they have no power.

    Fewer `rounds` of expectation maximisation take less time and explain less well.
    """
    rings = spectra.rings
    power = spectra.ring_power
    seen = with_power(power)
    if seen.sum() < FEWEST_BLOCKS:
        return None
    unit = float(np.median(power[seen]))
    members = _classes(
        spectra.mean, np.log(np.where(seen[:, None], power, 1.0)) @ (rings.freedom / rings.freedom.sum()), seen
    )
    mixture = Mixture.of([np.asarray(power[chosen] / unit) for chosen in members], rings)
    grey = np.array([spectra.mean[chosen].mean() for chosen in members])
    level, spectrum = mixture.start()
    curve, shape = curve_prior(grey), _spectrum_prior(rings.centre)
    prior = np.zeros((grey.size + spectrum.size,) * 2)
    prior[: grey.size, : grey.size], prior[grey.size :, grey.size :] = curve, shape
    weights = mixture.first_weights()
    for _ in range(rounds):
        seen_round = mixture.expect(level, spectrum, weights)
        weights = mixture.weights(seen_round.states)
        step = _step(seen_round, prior, np.concatenate([level, spectrum]))
        level, spectrum = level + step[: grey.size], spectrum + step[grey.size :]
        if abs(step).max() < 0.01:
            break
    angular = _angular(spectra, members, seen_round, np.exp(level[:, None] + spectrum) * unit)
    high = seen_round.texture[:, -HIGHEST:]
    texture = float(np.median(high, axis=0).min())
    of_class = np.split(high, np.cumsum([len(some) for some in members])[:-1])
    textures = np.array([np.median(some, axis=0).min() for some in of_class])
    unlike = float(np.median(seen_round.texture[:, :LOWEST].mean(axis=1)))
    information = seen_round.information.sum(axis=0)
    return Fit(
        grey,
        level + math.log(unit),
        spectrum,
        information,
        texture,
        textures,
        unlike,
        angular,
        np.concatenate(members),
        seen_round.of_block[0],
        seen_round.of_block[1],
    )


def with_power(power: Values) -> NDArray[np.bool_]:
    """(B,), whether a block has more than rounding errors in each ring, of (B, J)."""
    return np.asarray(power.min(axis=1) > 1e-12 * max(float(power.max()), 1e-12))


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
    of_block: Values
    """(2, B), gradient and information as above of each block, over all rings."""


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
        shape = texture_shapes(rings)
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

        gradient, information, textures, noises, of_block = [], [], [], [], []
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
            steepness = shape * share
            of_block.append(
                [
                    (likely * (some @ (steepness / mean).T - steepness.sum(axis=1))).sum(axis=1),
                    likely @ (steepness * share).sum(axis=1),
                ]
            )
        return Expectation(
            np.array(gradient),
            np.array(information),
            states,
            np.concatenate(textures),
            np.concatenate(noises),
            np.concatenate(of_block, axis=1),
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


def curve_prior(grey: Values) -> Values:
    """(K, K), precision of the log power against grey level: smooth over the range of the classes."""
    span = max(float(np.ptp(grey)), 1e-9) / 3
    at = np.maximum.accumulate(grey / span + 1e-3 * np.arange(grey.size))
    return smoothness(at, second=0.7, first=np.full(max(grey.size - 1, 0), 1.5))


def _spectrum_prior(centre: Values) -> Values:
    """(J, J), precision of the log power against the octaves of frequency: flat at low frequencies."""
    octaves = np.log2(centre)
    flat = np.interp(centre[:-1], [0.06, 0.09, 0.13, 0.15], [0.2, 0.35, 0.7, 4.0])
    return smoothness(octaves, second=8.0, first=flat)


def smoothness(at: Values, second: float, first: Values) -> Values:
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


def texture_shapes(rings: Rings) -> Values:
    """(len(TEXTURES), J), power of textures in each ring."""
    radius = np.maximum(rings.radius, 1e-3)
    return np.array([rings.weight @ (radius**-exponent * blurred(radius, blur)) for exponent, blur in TEXTURES])


def blurred(frequency: Values, deviation: float) -> Values:
    """Power that a Gaussian blur of so many pixels leaves of a frequency."""
    return np.asarray(np.exp(-4 * (math.pi * deviation * frequency) ** 2))


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
    smooth = smoothness(octaves, second=8.0, first=np.full(octaves.size - 1, 2.0)) + np.eye(octaves.size)
    waves = [np.linalg.solve(smooth + np.diag(precision[:, i]), precision[:, i] * found[:, i]) for i in range(2)]
    return np.asarray(np.clip(np.stack(waves, axis=1), -1.5, 1.5))
