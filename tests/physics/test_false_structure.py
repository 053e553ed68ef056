"""A detector of false structure finds what was planted, and nothing in noise."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from xray_denoise.physics.false_structure import blobs, lines

NOISE = np.random.default_rng(0).standard_normal((256, 256))


@pytest.mark.parametrize("blur", [0.0, 1.0, 3.0])
def test_noise_has_no_structure_white_or_correlated(blur: float) -> None:
    noise = gaussian_filter(NOISE, blur) if blur else NOISE
    assert blobs(100 + noise, 0.0) + lines(100 + noise, 0.0) <= 1


def test_planted_specks_are_counted() -> None:
    """Nine blobs of a deviation of 1 pixel, far above noise that was smoothed away."""
    image = 0.05 * gaussian_filter(NOISE, 2.0)
    for row in (60, 128, 200):
        for column in (60, 128, 200):
            image[row, column] += 2 * np.pi
    assert blobs(gaussian_filter(image, 1.0), 0.25) == 9
    assert blobs(gaussian_filter(image, 1.0), 1.5) == 0, "too faint to count"


def test_a_planted_line_is_found_and_is_one() -> None:
    image = 0.05 * gaussian_filter(NOISE, 2.0)
    image[128, 110:146] += 1.0
    found = gaussian_filter(image, 1.0)
    assert 1 <= lines(found, 0.25) <= 4
    assert lines(gaussian_filter(NOISE, 2.0) * 0.05, 0.25) == 0
