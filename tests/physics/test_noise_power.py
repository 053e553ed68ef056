"""The noise power spectrum and the correlation of drawn noise are those of the kernel that it was drawn with."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise.physics.chain import light_spread
from xray_denoise.physics.flat_fields import FieldSeries
from xray_denoise.physics.noise_power import (
    CorrelationSum,
    NoisePower,
    PowerSum,
    Window,
    block_means,
    block_medians,
    detrended,
    region_side,
)
from xray_denoise.physics.profile import NoiseProfile

Values = NDArray[np.float64]

KERNEL = Path(__file__).resolve().parents[3] / "shared" / "real" / "noise_kernel_ge.npy"
SCINTILLATOR = light_spread(0.6, ratio=1.3)


def unit(kernel: Values) -> Values:
    return np.asarray(kernel / math.sqrt(float((kernel**2).sum())))


def torus_noise(kernel: Values, side: int, rng: np.random.Generator) -> Values:
    """Stationary noise of this kernel, joined at the rims: quick to draw."""
    transfer = np.fft.rfft2(unit(kernel), (side, side))
    return np.asarray(np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * transfer, (side, side)))


def truth(like: NoisePower, kernel: Values, variance: float) -> NoisePower:
    vertical, horizontal = like.pitch or (1.0, 1.0)
    power = np.abs(np.fft.fft2(unit(kernel), like.power.shape)) ** 2
    return replace(like, power=power * variance * vertical * horizontal)


@pytest.mark.slow
@pytest.mark.skipif(not KERNEL.exists(), reason="shared/real/noise_kernel_ge.npy is not here")
def test_flat_fields_with_a_measured_kernel_give_its_spectrum() -> None:
    """Within 5 % in each ring; heel effect and rounding included.

    Its power falls to a tenth within 0.04 cycles per pixel, where leakage of the window is at most 1.2 %.
    """
    kernel = np.load(KERNEL)
    rng = np.random.default_rng(0)
    series = FieldSeries(pitch=(0.1, 0.1))
    line = np.linspace(-1, 1, 1024)
    heel = 2000 * (1 + 0.1 * line[None] - 0.05 * line[:, None] ** 2)
    for _ in range(6):
        series.add(np.rint(heel + 20 * torus_noise(kernel, 1024, rng)).astype(np.uint16))
    found = series.result()
    assert found.power is not None
    assert found.power.power.shape == (256, 256)
    wanted = truth(found.power, kernel, 20**2 + 1 / 12)
    np.testing.assert_allclose(found.power.radial().power, wanted.radial().power, rtol=0.05)
    assert found.total.value == pytest.approx(20**2 + 1 / 12, abs=4 * found.total.error)
    lag = NoiseProfile(np.zeros(1), np.ones(1), unit(kernel)).correlation(0, 1)
    assert found.correlation.horizontal[1] == pytest.approx(lag, abs=0.01)


@pytest.mark.parametrize(("window", "kernel"), [("sine", SCINTILLATOR), ("none", np.ones((1, 1)))])
def test_curves_agree_with_the_truth_within_their_errors(window: Window, kernel: Values) -> None:
    """The mean squared deviation in standard errors of n rings or lines is 1, within four of its deviations.

    Without a window only white noise does not leak.
    """
    rng = np.random.default_rng(1)
    sums = PowerSum((384, 512), (0.2, 0.1), window)
    for _ in range(8):
        sums.add(detrended(3 * torus_noise(kernel, 512, rng)[:384]))
    found = sums.result()
    assert found is not None
    assert found.power.shape == (128, 128)
    wanted = truth(found, kernel, 9.0)
    for curve, exact in (
        (found.radial(), wanted.radial()),
        (found.horizontal(), wanted.horizontal()),
        (found.vertical(), wanted.vertical()),
    ):
        np.testing.assert_allclose(curve.frequency, exact.frequency)
        squares = ((curve.power - exact.power) / curve.error)[1:] ** 2  # the first one lost what detrending took
        correlated = 2 if window == "sine" else 1  # neighbours of a line
        assert squares.mean() == pytest.approx(1, abs=4 * math.sqrt(2 * correlated / len(squares)))
    assert found.horizontal().frequency.max() == pytest.approx(5, rel=0.02)
    assert found.vertical().frequency.max() == pytest.approx(2.5, rel=0.02)
    assert found.radial().frequency.max() < 2.5, "the lower Nyquist frequency"


def test_the_integral_over_all_frequencies_is_the_variance() -> None:
    rng = np.random.default_rng(2)
    sums = PowerSum((256, 256), (0.15, 0.1))
    noise = rng.normal(0, 5, (256, 256))
    sums.add(noise)
    found = sums.result()
    assert found is not None
    step = 1 / (found.power.shape[0] * 0.15) / (found.power.shape[1] * 0.1)
    assert found.power.sum() * step == pytest.approx(25, rel=5 * math.sqrt(2 * 2.25 / noise.size))


def test_the_kernel_of_a_measured_spectrum_gives_it_back() -> None:
    rng = np.random.default_rng(3)
    sums = PowerSum((512, 512), None)
    for _ in range(3):
        sums.add(torus_noise(SCINTILLATOR, 512, rng))
    found = sums.result()
    assert found is not None
    profiles = [NoiseProfile(np.zeros(1), np.ones(1), kernel) for kernel in (found.kernel(), unit(SCINTILLATOR))]
    np.testing.assert_allclose(profiles[0].band_powers(), profiles[1].band_powers(), rtol=0.04)


def test_left_out_pixels_do_not_lower_the_power() -> None:
    rng = np.random.default_rng(4)
    missing = np.zeros((256, 256), dtype=bool)
    missing[32:64, 32:64] = missing[160:176, 200:216] = True
    whole, holes = PowerSum((256, 256), None), PowerSum((256, 256), None)
    for _ in range(6):
        noise = rng.standard_normal((256, 256))
        whole.add(noise)
        holes.add(np.where(missing, 0, noise), missing)
    expected, found = whole.result(), holes.result()
    assert expected is not None
    assert found is not None
    assert found.power.mean() == pytest.approx(1, rel=5 * math.sqrt(4.5 / (6 * 256**2)))
    np.testing.assert_allclose(found.radial().power, expected.radial().power, rtol=0.1)
    holes = PowerSum((256, 256), None)
    holes.add(np.ones((256, 256)), np.ones((256, 256), dtype=bool))
    assert holes.result() is None


def test_correlation_at_lags() -> None:
    sums = CorrelationSum()
    noise = torus_noise(SCINTILLATOR, 512, np.random.default_rng(5))
    sums.add(noise)
    found, profile = sums.result(), NoiseProfile(np.zeros(1), np.ones(1), unit(SCINTILLATOR))
    for lag in range(6):
        assert found.horizontal[lag] == pytest.approx(profile.correlation(0, lag), abs=0.015)
        assert found.vertical[lag] == pytest.approx(profile.correlation(lag, 0), abs=0.015)
    assert found.horizontal[1] - found.vertical[1] > 0.05, "wider along rows"


@pytest.mark.parametrize("shape", [(40, 60), (2, 640), (1, 1)])
def test_detrending_takes_a_quadratic_and_nothing_else(shape: tuple[int, int]) -> None:
    y, x = (np.linspace(-1, 1, length) for length in shape)
    trend = 5 + 2 * x[None] - y[:, None] + 3 * x[None] ** 2 - 2 * x[None] * y[:, None] + y[:, None] ** 2
    np.testing.assert_allclose(detrended(trend), 0, atol=1e-12)
    noise = np.random.default_rng(6).standard_normal(shape)
    np.testing.assert_allclose(detrended(noise + trend), detrended(noise), atol=1e-12)
    if min(shape) > 2:
        assert detrended(noise + 5 * x[None] ** 3).std() > 1.15


@pytest.mark.parametrize(("shape", "side"), [((31, 900), 0), ((32, 32), 16), ((512, 511), 128), ((3000, 2400), 256)])
def test_regions_fit_twice(shape: tuple[int, int], side: int) -> None:
    assert region_side(shape) == side
    assert (PowerSum(shape, None).result() is None) or side


def test_blocks() -> None:
    values = np.arange(48.0).reshape(6, 8)
    values[0, 0] = 1000
    np.testing.assert_allclose(block_means(values[:, 4:], 3), [13, 37])
    assert block_medians(values, 3).shape == (4,)
    assert block_medians(values, 3)[0] == 10
