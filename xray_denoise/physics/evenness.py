"""Is noise removed evenly, where nobody knows the noise-free image? From the images before and after.

Noise is the same all over a radiograph, structure is not. So in places without structure a method should remove about
the same share everywhere: the deviation of what was removed over the deviation of all that is finer than two pixels,
block by block. A share far above 1 means that more than noise was removed, a share near 0 that noise was left.

In a run of a still scene the noise is what changes from frame to frame, and structure is what the mean of all frames
shows: the noise should go, and the gradients of the mean should stay.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.repeated_frames import common_change

Values = NDArray[np.float64]

BLOCK = 32
"""Side of a block, pixels."""
BLUR = 2.0
"""Deviation of the Gaussian that parts structure from noise, pixels."""
SMOOTHEST = 1 / 3
"""Share of the blocks that is looked at."""
PERCENTILES = (10, 50, 90)


def shares_removed(
    before: NDArray[np.floating], after: NDArray[np.floating], valid: NDArray[np.bool_] | None = None
) -> Values:
    """Deviation removed over deviation finer than `BLUR`, in each of the smoothest blocks.

    The smoothest third of the blocks has the least root mean square gradient after the blur. Blocks with a pixel at
    either end of the range of the image, which may be saturated or beside the beam, and blocks in which nothing is
    finer than the blur are left out.

    Args:
        before: (H, W), grey levels.
        after: the same image denoised.
        valid: (H, W), False for padding; a block with any of it is left out.

    Returns:
        (K,), 0 where nothing was removed; empty where the image has no block.
    """
    from scipy.ndimage import gaussian_filter

    if min(before.shape) < BLOCK:
        return np.empty(0)
    image = np.asarray(before, dtype=np.float64)
    smooth = gaussian_filter(image, BLUR)
    gradient = blocks(sum(axis**2 for axis in np.gradient(smooth))).mean(axis=1)
    fine, removed = (blocks(difference).std(axis=1) for difference in (image - smooth, image - after))
    inner = (image > image.min()) & (image < image.max())
    kept = (fine > 1e-6) & blocks(inner if valid is None else inner & valid).all(axis=1)
    order = np.argsort(gradient[kept], kind="stable")
    chosen = order[: int(np.ceil(len(order) * SMOOTHEST))]
    return np.asarray(removed[kept][chosen] / fine[kept][chosen])


@dataclass(frozen=True, slots=True)
class StillScene:
    """What a method does to a run of frames."""

    noise_before: float
    """Temporal deviation of the noise in still blocks, root mean square, grey levels."""
    noise_after: float
    gradient_kept: float
    """Energy of the gradients of the mean over frames, after over before."""


def still_scene(before: NDArray[np.floating], after: NDArray[np.floating]) -> StillScene:
    """Temporal noise of still blocks before and after, and what is left of the gradients of the mean over frames.

    The temporal deviation is that of the differences between successive frames over sqrt(2), so that slow changes do
    not count. The difference is taken without the line in the grey level that most blocks follow, and without the mean
    of each block, so that changes of the exposure do not count either (`repeated_frames`). Still is the third of the
    blocks whose blurred frames change least; blocks with a pixel that is ever at either end of the range are left out.

    Args:
        before: (T, H, W), grey levels, at least two frames.
        after: the same frames denoised.
    """
    from scipy.ndimage import gaussian_filter

    inner = (before.min(axis=0) > before.min()) & (before.max(axis=0) < before.max())
    kept = np.flatnonzero(blocks(inner).all(axis=1))
    motion = sum(
        blocks(gaussian_filter(np.asarray(later, np.float64) - former, 2 * BLUR) ** 2)[kept].mean(axis=1)
        for former, later in itertools.pairwise(before)
    )
    still = kept[np.argsort(motion, kind="stable")[: int(np.ceil(len(kept) * SMOOTHEST))]]

    def noise(frames: NDArray[np.floating]) -> float:
        variances = [blocks(_change(*pair))[still].var(axis=1).mean() for pair in itertools.pairwise(frames)]
        return float(np.sqrt(np.mean(variances) / 2))

    energy = [
        float(sum((axis**2).sum() for axis in np.gradient(frames.mean(axis=0, dtype=np.float64))))
        for frames in (before, after)
    ]
    return StillScene(noise(before), noise(after), energy[1] / energy[0])


def _change(former: NDArray[np.floating], later: NDArray[np.floating]) -> NDArray[np.float64]:
    """(H, W), the difference of two frames without that of their exposures."""
    middle, difference = (np.asarray(later, dtype=np.float64) + former) / 2, np.asarray(later, np.float64) - former
    offset, slope = common_change(blocks(middle).mean(axis=1), blocks(difference).mean(axis=1))
    return np.asarray(difference - offset - slope * middle)


def blocks(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Whole blocks of `BLOCK` x `BLOCK` pixels of (H, W), one per row of the result; what is left over is dropped."""
    rows, columns = (length // BLOCK for length in values.shape)
    whole = values[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return whole.swapaxes(1, 2).reshape(rows * columns, BLOCK * BLOCK)
