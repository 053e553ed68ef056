"""The MTF of drawn edges of known blur."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf

from xray_denoise.physics.edge_response import NoEdgeError, edge_response, transfer

Values = NDArray[np.float64]

SUBPIXELS = (np.arange(7) - 3) / 7


def edge(angle: float, blur: float, shape: tuple[int, int] = (200, 120), noise: float = 0.0, seed: int = 0) -> Values:
    """An upright edge between 1000 and 9000, blurred by a Gaussian, averaged over the area of each pixel."""
    y, x = np.arange(shape[0])[:, None] - shape[0] / 2, np.arange(shape[1])[None] - shape[1] / 2 - 0.3
    slant = math.radians(angle)
    step = np.zeros(shape)
    for down in SUBPIXELS:
        for across in SUBPIXELS:
            distance = (x + across - math.tan(slant) * (y + down)) * math.cos(slant)
            step += 0.5 * (1 + erf(distance / (blur * math.sqrt(2))))
    return 1000 + 8000 * step / SUBPIXELS.size**2 + noise * np.random.default_rng(seed).standard_normal(shape)


def mtf(frequency: Values, angle: float, blur: float) -> Values:
    """Of the blur and of a square pixel, across the edge."""
    slant = math.radians(angle)
    aperture = np.sinc(frequency * math.cos(slant)) * np.sinc(frequency * math.sin(slant))
    return np.asarray(np.exp(-2 * (math.pi * blur * frequency) ** 2) * aperture)


@pytest.mark.parametrize("angle", [1.5, 3.0, 5.0, -2.0, 12.0])
@pytest.mark.parametrize("blur", [0.4, 1.5])
def test_a_known_blur_gives_its_mtf(angle: float, blur: float) -> None:
    found = edge_response(edge(angle, blur))
    assert found.angle == pytest.approx(angle, abs=0.01)
    assert found.direction == "horizontal"
    assert found.contrast == pytest.approx(8000, rel=1e-3)
    np.testing.assert_allclose(found.mtf, mtf(found.frequency, angle, blur), atol=0.003)


@pytest.mark.parametrize("blur", [0.5, 1.0])
def test_noise_of_half_a_percent_costs_less_than_two_percent(blur: float) -> None:
    found = edge_response(edge(2.0, blur, (400, 120), noise=40.0))
    np.testing.assert_allclose(found.mtf, mtf(found.frequency, 2.0, blur), atol=0.02)
    assert found.noise == pytest.approx(40, rel=0.1)
    assert (found.error[1:] < 0.01).all()


def test_errors_are_the_spread_of_repetitions() -> None:
    """Mean error over frequencies and 8 draws; each is the deviation of 8 parts, known to 25 %."""
    found = [edge_response(edge(3.0, 0.8, noise=60.0, seed=seed)) for seed in range(8)]
    spread = np.std([one.mtf for one in found], axis=0, ddof=1)[5:].mean()
    assert spread == pytest.approx(np.mean([one.error[5:].mean() for one in found]), rel=0.5)


def test_a_lying_edge_and_either_polarity_are_the_same() -> None:
    image = edge(2.5, 0.8)
    upright, lying, reversed_ = edge_response(image), edge_response(image.T), edge_response(10000 - image)
    assert lying.direction == "vertical"
    np.testing.assert_allclose(lying.mtf, upright.mtf)
    np.testing.assert_allclose(reversed_.mtf, upright.mtf)
    assert (np.diff(reversed_.edge_spread) > -1e-3).all(), "it rises from 0 to 1"


def test_a_wide_tail_of_glare_lowers_the_low_frequencies() -> None:
    """A tenth of the light spreads over 6 pixels: half of the drop is reached at 0.03 cycles per pixel."""
    sharp, glare = edge(3.0, 0.6), edge(3.0, 6.0)
    found = edge_response(0.9 * sharp + 0.1 * glare)
    expected = 0.9 * mtf(found.frequency, 3.0, 0.6) + 0.1 * mtf(found.frequency, 3.0, 6.0)
    np.testing.assert_allclose(found.mtf, expected, atol=0.01)


def test_where_the_mtf_falls_to_a_level() -> None:
    found = edge_response(edge(3.0, 1.0))
    truth = mtf(np.array([found.frequency_at(0.5)]), 3.0, 1.0)
    assert truth[0] == pytest.approx(0.5, abs=0.005)
    assert math.isnan(found.frequency_at(-0.1))


def test_a_step_has_the_mtf_of_its_bin() -> None:
    step = (np.arange(400) >= 200).astype(float)
    np.testing.assert_allclose(transfer(step, np.array([0, 0.5])), 1 / np.sinc(np.array([0, 0.5]) / 8) ** 2)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.random.default_rng(0).normal(1000, 10, (200, 200)), "straight edge"),
        (edge(0.05, 1.0), "not slanted"),
        (edge(25.0, 1.0), "more than 15"),
        (edge(3.0, 1.0)[:10], "at least 16"),
        (edge(3.0, 1.0)[:, 52:68], "leaves the image"),
        (edge(3.0, 1.0, noise=1500.0), "noise|straight"),
        (np.full((64, 64), 7.0), "straight edge|noise|slanted|leaves"),
    ],
)
def test_what_is_no_edge_is_refused(image: Values, message: str) -> None:
    with pytest.raises(NoEdgeError, match=message):
        edge_response(image)
