"""Small structures to be inserted into images: what a denoiser must not take away.

Each is a square image of the structure alone, on a background of 0. The peak is 1 but for the texture, whose root mean
square is 1 in its middle. Sizes are those of findings in radiographs of 0.1 to 0.2 mm a pixel: a small nodule, a line
such as a fracture or a catheter, a cluster of microcalcifications, and the texture of trabecular bone.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SIDE = 48
"""Of a structure with its surroundings, pixels."""
OVERSAMPLED = 8
"""Points a side of a pixel over which the edge of a disc is averaged."""
DOTS = ((-7, -3), (-5, 6), (-1, 0), (0, -8), (2, 8), (5, -4), (7, 3))
"""Places of the dots of a cluster from its middle, rows and columns, pixels."""


def disc(diameter: float, side: int = SIDE) -> Values:
    """A disc in the middle of a square; its edge pixels have the share that it covers.

    Args:
        diameter: pixels.
        side: of the square, pixels.
    """
    fine = (np.arange(side * OVERSAMPLED) + 0.5) / OVERSAMPLED - side / 2
    inside = fine[:, None] ** 2 + fine[None] ** 2 <= diameter**2 / 4
    return np.asarray(inside.reshape(side, OVERSAMPLED, side, OVERSAMPLED).mean(axis=(1, 3)))


def line() -> Values:
    """A line of 26 pixels, 2 wide between its half heights, at 30 degrees."""
    across = np.arange(SIDE) - (SIDE - 1) / 2
    rows, columns = across[:, None], across[None]
    along = columns * np.cos(np.pi / 6) + rows * np.sin(np.pi / 6)
    aside = rows * np.cos(np.pi / 6) - columns * np.sin(np.pi / 6)
    return np.asarray(np.exp(-(aside**2) / (2 * 0.85**2)) / (1 + np.exp((np.abs(along) - 13) * 2)))


def dots() -> Values:
    """A cluster of seven dots, each with a full width at half maximum of 2 pixels."""
    cluster = np.zeros((SIDE, SIDE))
    for row, column in DOTS:
        across = [np.arange(SIDE) - SIDE // 2 - place for place in (row, column)]
        cluster += np.exp(-(across[0][:, None] ** 2 + across[1][None] ** 2) / (2 * 0.85**2))
    return np.asarray(cluster / cluster.max())


def trabeculae() -> Values:
    """Random texture between 3 and 12 pixels a period under a window of 30 pixels; always the same."""
    from scipy.ndimage import gaussian_filter

    white = np.random.default_rng(0).standard_normal((SIDE, SIDE))
    texture = gaussian_filter(white, 1.0) - gaussian_filter(white, 2.0)
    across = np.arange(SIDE) - (SIDE - 1) / 2
    distance = np.hypot(across[:, None], across[None])
    return np.asarray(texture / texture.std() / (1 + np.exp((distance - 15) / 1.5)))


LESIONS: Mapping[str, Callable[[], Values]] = {
    "disc": lambda: disc(8.0),
    "line": line,
    "dots": dots,
    "texture": trabeculae,
}
"""The structures by name."""
