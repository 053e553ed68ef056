"""Does what was removed look like noise? From the noisy image, what was removed, and the noise that was found.

Noise knows nothing of the image. So what was removed should be as strong as the noise, as strong along edges as in
smooth places, and uncorrelated with the edges:

    n, r              noisy image and what was removed from it; n - r is the denoised image
    s                 n - r after a Gaussian blur of `BLUR` pixels
    u = r / d         d: deviation of the noise at the mean grey level of a block

    share             RMS of u over all blocks
    edge share        RMS of u over the tenth of the blocks with the greatest mean square gradient of s
    edge ratio        edge share over RMS of u in the third of the blocks with the least
    edge correlation  sum(r h) / sqrt(sum(r^2) sum(h^2)) over the same tenth, h = n - r - s

A method that takes the noise and nothing else has a share and an edge ratio of at most 1 and a correlation near 0. One
that blurs edges removes there what it leaves less of, so that r and h are alike. A method that leaves noise along edges
has a ratio below 1, which is no fault. What was lost altogether, and does not show in n - r, does not show here either.
Noise that was left on purpose is like what was removed: n - r is taken without it.
In an even field the strongest gradients are those of noise that is left, which is like the noise that was removed: so
ratio and correlation say nothing there (`Removed.has_edges`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.evenness import SMOOTHEST, blocks
from xray_denoise.physics.local_gain import LocalGain
from xray_denoise.physics.profile import Noise

BLUR = 3.0
"""Deviation of the Gaussian that parts edges from what is finer, pixels; it is cut off at three deviations."""
EDGES = 0.1
"""Share of the blocks that have the strongest gradients."""
FEWEST_BLOCKS = 20
"""With fewer blocks nothing is said."""
LEAST_CONTRAST = 10.0
"""Mean square gradient of the edges over that of the smoothest blocks, below which there are no edges: even fields and
ramps under noise have 1 to 4, radiographs and phantoms more than 70."""
LEAST_DEVIATION = 0.05
"""Noise that is weaker counts as this strong, grey levels: nobody sees it, and any change would be far above it."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed from an image, against its noise; see the module."""

    share: float
    """Root mean square over the deviation of the noise, >= 0."""
    edge_share: float
    """The same in the blocks with the strongest gradients."""
    edge_ratio: float
    """`edge_share` over the same in the smoothest blocks; infinite where nothing was removed from those."""
    edge_correlation: float
    """With the denoised image less its blur, in the blocks with the strongest gradients, -1..1."""
    edge_contrast: float
    """Mean square gradient of these blocks over that of the smoothest ones; infinite where those have none."""

    @property
    def has_edges(self) -> bool:
        """Whether the blocks with the strongest gradients hold edges, and not what is left of the noise."""
        return self.edge_contrast >= LEAST_CONTRAST


def appraise(
    noisy: NDArray[np.floating],
    removed: NDArray[np.floating],
    noise: Noise,
    valid: NDArray[np.bool_] | None = None,
    gain: LocalGain | None = None,
    left: NDArray[np.floating] | None = None,
) -> Removed | None:
    """Compare what was removed with the noise, in blocks of 32x32 pixels.

    Blocks are left out that hold a pixel at either end of the range of the image, which may be saturated, or one that
    is not valid, and blocks of one value.

    Args:
        noisy: (H, W), grey levels.
        removed: (H, W), what was subtracted from it.
        noise: the noise of the image, as it was found or is known.
        valid: (H, W), False for padding.
        gain: how many times as strong the noise is in a place, where the noise does not say it all.
        left: (H, W), share of what would have been removed that was left on purpose, below 1. It is like what was
            removed, which is no sign of lost structure: so edges are sought, and the correlation is computed, in the
            image without it.

    Returns:
        None where fewer than 20 blocks are left, or nothing was removed at all.
    """
    from scipy.ndimage import gaussian_filter

    image, taken = (np.asarray(one, dtype=np.float32) for one in (noisy, removed))
    inner = (image > image.min()) & (image < image.max())
    seen = blocks(image)
    kept = blocks(inner if valid is None else inner & valid).all(axis=1)
    kept &= seen.max(axis=1, initial=-np.inf) > seen.min(axis=1, initial=np.inf)
    if kept.sum() < FEWEST_BLOCKS:
        return None
    denoised = image - (taken if left is None else taken / (1 - left))
    smooth = gaussian_filter(denoised, BLUR, truncate=3.0)
    down, along = np.gradient(smooth)
    gradient = blocks(down * down + along * along)[kept].mean(axis=1, dtype=np.float64)
    order = np.argsort(gradient, kind="stable")
    smoothest, edges = order[: int(len(order) * SMOOTHEST)], order[-max(int(len(order) * EDGES), 1) :]
    part = blocks(taken)[kept]
    energy = np.einsum("ij,ij->i", part, part, dtype=np.float64)
    deviation = noise.deviation_at(blocks(denoised)[kept].mean(axis=1))
    if gain is not None:
        deviation = deviation * blocks(gain.over((image.shape[0], image.shape[1])))[kept].mean(axis=1)
    deviation = np.maximum(deviation, LEAST_DEVIATION)
    strength = energy / part.shape[1] / deviation**2
    if not strength.any():
        return None
    fine = blocks(denoised - smooth)[kept][edges].astype(np.float64)
    product = np.sqrt((fine**2).sum() * energy[edges].sum())
    whole, edge, even = (float(np.sqrt(strength[some].mean())) for some in (order, edges, smoothest))
    steep, flat = float(gradient[edges].mean()), float(gradient[smoothest].mean())
    return Removed(
        whole,
        edge,
        edge / even if even else float("inf"),
        float((fine * part[edges]).sum() / product) if product else 0.0,
        steep / flat if flat else float("inf"),
    )
