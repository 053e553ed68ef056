"""How far a denoised pixel may be from the true value: intervals in the manner of split conformal prediction.

    score        e = |g - x| / d(x)        g: noise-free image, x: denoised, d: deviation of the estimated noise
    half width   w = d(x) q(d, c, s, k)    q: quantile of the scores of images with known g

    c            power of the noise from 0.125 to 0.25 cycles per pixel, dB relative to white: the more there is, the
                 more the noise is correlated, and the harder to remove
    s            confidence of the estimate: where it is low, texture of the image may have been taken for noise
    k            class of the pixel: mean gradient of x around it over d, by `GRADIENTS`

For each class apart (Mondrian), q is linear between nodes of log2 d, c and s, and its values there are a quantile
regression of the scores: the share of pixels with e <= q is `COVERAGE`, not only over all calibration images, but also
weighted by how near an image is to any node. So images like those of the calibration have g within x +- w in that
share of the pixels of a class. It does not hold for structure that was lost altogether, which leaves nothing in x to
tell it by, nor for images of another kind. The pixels of an image depend on each other, so that single images differ
from that share, and the guarantee of conformal prediction for finite samples does not hold.

References:
    Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, Springer 2005 (Mondrian conformal prediction).
    Gibbs, Cherian, Candes, Conformal prediction with conditional guarantees, J. R. Stat. Soc. B 87, 2025 (regression).
    Koenker, Bassett, Regression quantiles, Econometrica 46, 1978.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.noise_estimate import ProfileEstimate
from xray_denoise.scale import MID_GREY

Values = NDArray[np.float64]

FORMAT = "xray-denoise uncertainty, version 3"
COVERAGE = 0.9
BLUR, AROUND = 1.0, 2.0
"""Deviations of the Gaussians before the gradient is taken, and over which its mean is taken, pixels."""
GRADIENTS = (0.06, 0.12, 0.25, 0.5, 1.0, 2.0)
"""Deviations of the noise per pixel that part the classes, from smooth to edge."""
LEVELS = (-1.0, -0.6, -0.3, 0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
"""Nodes, log2 of the deviation in grey levels: 0.5 to 16. Beyond them the table stays what it is at the ends."""
COLOURED = 1
"""Index of the band of `profile.BANDS` that tells how correlated noise is."""
COLOURS = (-0.6, 0.0, 0.5, 1.1, 1.7, 2.4, 3.0, 5.0)
"""Nodes, dB."""
CONFIDENCES = (0.7, 0.85, 0.95)
"""Nodes."""
SHAPE = (len(LEVELS), len(COLOURS), len(CONFIDENCES), len(GRADIENTS) + 1)
"""Of a table: nodes, and classes of pixels."""
FEWEST = 10
"""Scores that a quantile takes: of nine, 90 % are all."""
TYPICAL, LOWEST, LOWER = 100, 0.02, 0.7
"""Of the images with so many pixels in a class, this quantile of their single factors; no node has less than this share
of it."""
STIFFNESS = 1e-5
"""Loss for the square of the step between neighbouring nodes: it decides where few images are."""
OPTIONS = {"ftol": 1e-12, "gtol": 1e-7}
"""Of the optimizer. With a hundredth of them nine factors in ten change by less than 0.2 %."""
LEAST_DEVIATION = 0.05
"""Weaker noise counts as this strong, grey levels."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One calibration image, denoised: where it lies in the table, and a sample of its pixels."""

    level: float
    """log2 of the deviation at mid-grey."""
    colour: float
    """dB."""
    confidence: float
    """Of the estimate of the noise, 0..1."""
    classes: NDArray[np.intp]
    """(N,), of pixels."""
    scores: Values
    """(N,)."""


@dataclass(frozen=True, slots=True, eq=False)
class UncertaintyTable:
    """The calibration of one set of weights.

    Raises:
        ValueError: factors of another shape, or one that is not finite and positive.
    """

    weights_sha256: str
    """Of the weights that it was measured with, hexadecimal."""
    factors: Values
    """`SHAPE`, half width over deviation at each node, for each class."""
    part: str = ""
    """The part of the network in the weights, empty for all of it."""

    def __post_init__(self) -> None:
        if self.factors.shape != SHAPE:
            raise ValueError(f"a table of uncertainty of the shape {self.factors.shape}")
        if not (np.isfinite(self.factors) & (self.factors > 0)).all():
            raise ValueError("the factors of uncertainty must be positive")

    @classmethod
    def calibrated(cls, images: Sequence[Scored], weights_sha256: str, part: str = "") -> Self:
        """The table of images whose noise-free versions are known; a node that none is near is like its neighbours.

        Raises:
            ValueError: fewer than `FEWEST` pixels in a class.
        """
        near = np.array([_node_weights(one.level, one.colour, one.confidence) for one in images])
        factors = [
            _regressed(near, [np.sort(one.scores[one.classes == kind]) for one in images])
            for kind in range(len(GRADIENTS) + 1)
        ]
        return cls(weights_sha256, np.stack(factors, axis=1).reshape(SHAPE), part)

    def half_width(self, denoised: NDArray[np.floating], noise: ProfileEstimate) -> NDArray[np.float32]:
        """(H, W), half widths in grey levels of the intervals around a denoised image, (H, W), grey levels.

        `noise` is the noise that was found in it.
        """
        deviation = _deviation(denoised, noise)
        factor = _node_weights(*place_of(noise)) @ self.factors.reshape(-1, SHAPE[-1])
        return np.asarray(deviation * factor[classes_of(denoised, deviation)], dtype=np.float32)

    def to_json(self) -> str:
        """A small JSON text, which `from_json` reads back to four digits."""
        parts: dict[str, Any] = {
            "format": FORMAT,
            "weights_sha256": self.weights_sha256,
            "part": self.part,
            "coverage": COVERAGE,
            "levels": LEVELS,
            "colours": COLOURS,
            "confidences": CONFIDENCES,
            "gradients": GRADIENTS,
        }
        rows = [
            json.dumps([[[float(f"{one:.4g}") for one in row] for row in colour] for colour in level])
            for level in self.factors
        ]
        head = ",\n".join(f'"{name}": {json.dumps(value)}' for name, value in parts.items())
        return f'{{\n{head},\n"factors": [\n  ' + ",\n  ".join(rows) + "\n]\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The table that `to_json` wrote.

        Raises:
            ValueError: not such a table.
        """
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"not a table of uncertainty: 'format' must be '{FORMAT}'")
        nodes = {"levels": LEVELS, "colours": COLOURS, "confidences": CONFIDENCES, "gradients": GRADIENTS}
        if any(content.get(name) != list(wanted) for name, wanted in nodes.items()):
            raise ValueError("a table of uncertainty with other nodes")
        factors = np.asarray(content.get("factors"), dtype=np.float64)
        return cls(str(content.get("weights_sha256")), factors, str(content.get("part")))


def scored(
    clean: NDArray[np.floating],
    denoised: NDArray[np.floating],
    noise: ProfileEstimate,
    rng: np.random.Generator,
    count: int,
) -> Scored:
    """Scores of `count` random pixels of an image whose noise-free version, (H, W), grey levels, is known."""
    deviation = _deviation(denoised, noise)
    kinds = classes_of(denoised, deviation).ravel()
    scores = (np.abs(np.subtract(clean, denoised, dtype=np.float64)) / deviation).ravel()
    chosen = rng.choice(scores.size, min(count, scores.size), replace=False)
    return Scored(*place_of(noise), kinds[chosen], scores[chosen])


def gradient(denoised: NDArray[np.floating]) -> NDArray[np.float32]:
    """(H, W), size of the gradient after the blur, grey levels per pixel."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.asarray(denoised, dtype=np.float32), BLUR)
    if min(smooth.shape) < 2:
        return np.zeros_like(smooth)
    return np.asarray(np.hypot(*np.gradient(smooth)), dtype=np.float32)


def classes_of(denoised: NDArray[np.floating], deviation: Values) -> NDArray[np.intp]:
    """(H, W), class of each pixel, 0 is the smoothest."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(np.digitize(gaussian_filter(gradient(denoised), AROUND) / deviation, GRADIENTS))


def place_of(noise: ProfileEstimate) -> tuple[float, float, float]:
    """log2 of the deviation at mid-grey, power in the band `COLOURED`, dB relative to white, and confidence."""
    deviation = max(float(noise.profile.deviation_at(MID_GREY)), LEAST_DEVIATION)
    power = float(noise.profile.band_powers()[COLOURED])
    return math.log2(deviation), 10 * math.log10(max(power, 1e-3)), noise.confidence


def _deviation(denoised: NDArray[np.floating], noise: ProfileEstimate) -> Values:
    deviation = noise.profile.deviation_at(denoised)
    if noise.gain is not None:
        deviation = deviation * noise.gain.over((deviation.shape[0], deviation.shape[1]))
    return np.maximum(deviation, LEAST_DEVIATION)


def _node_weights(level: float, colour: float, confidence: float) -> Values:
    """(nodes,), weights of the nodes: neighbours along each axis share 1, and the ends reach to infinity."""
    across = np.outer(_hat(level, LEVELS), _hat(colour, COLOURS)).ravel()
    return np.outer(across, _hat(confidence, CONFIDENCES)).ravel()


def _hat(value: float, nodes: Sequence[float]) -> Values:
    return np.array([np.interp(value, nodes, row) for row in np.eye(len(nodes))])


def _regressed(near: Values, scores: Sequence[Values]) -> Values:
    """(nodes,), the factors of one class: those of least pinball loss, C (e - q)+ + (1 - C) (q - e)+.

    Args:
        near: (images, nodes), weights of the nodes for every image.
        scores: of the pixels of every image, ascending.
    """
    from scipy.optimize import minimize

    counts = np.array([one.size for one in scores])
    together = np.concatenate(scores)
    if together.size < FEWEST:
        raise ValueError("too few images to calibrate with")
    sums = [np.concatenate(([0.0], np.cumsum(one))) for one in scores]
    nodes = np.eye(near.shape[1]).reshape(*SHAPE[:-1], -1)
    steps = np.concatenate([np.diff(nodes, axis=axis).reshape(-1, near.shape[1]) for axis in range(3)])

    def loss(factors: Values) -> tuple[float, Values]:
        reached, rough = near @ factors, steps @ factors
        held = np.array([np.searchsorted(one, q) for one, q in zip(scores, reached, strict=True)])
        sum_held = sum(one[number] for one, number in zip(sums, held, strict=True))
        value = COVERAGE * (together.sum() - counts @ reached) - sum_held + held @ reached
        slope = near.T @ (held - COVERAGE * counts)
        return (
            float(value / together.size + STIFFNESS * rough @ rough),
            slope / together.size + 2 * STIFFNESS * (steps.T @ rough),
        )

    share = counts / together.size
    single = np.array([np.quantile(one, COVERAGE) if one.size else 0.0 for one in scores])
    start = np.linalg.solve(near.T * share @ near + STIFFNESS * steps.T @ steps, near.T @ (share * single))
    enough = single[counts >= min(TYPICAL, counts.max())]
    least = LOWER * float(np.quantile(enough, LOWEST))  # where few images are near a node, the loss says little
    bounds = [(least, None)] * start.size
    found = minimize(loss, start.clip(least), jac=True, method="L-BFGS-B", bounds=bounds, options=OPTIONS)
    return np.asarray(found.x, dtype=np.float64)
