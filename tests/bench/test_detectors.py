"""Cells of detector noise: drawn as they say, measured once, and read again."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from xray_denoise.bench.detectors import (
    CLEAN,
    QUICK_DEVIATIONS,
    QUICK_SPECTRA,
    Log,
    Method,
    averaged,
    cells,
    detector_noise,
    level_error,
    means,
    measure,
    profile_noise,
)

from xray_denoise.denoisers import Denoised
from xray_denoise.denoisers.classical import Noisy
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.phantom import chest_phantom
from xray_denoise.physics.profile import NoiseProfile

Image = NDArray[np.float32]
BLUR = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 6.0


@pytest.fixture(scope="module")
def phantom() -> Image:
    return chest_phantom(256, rng=np.random.default_rng(0)).astype(np.float32)


def quick() -> list[tuple[str, object]]:
    return [(name, detector_noise(name)) for name in QUICK_SPECTRA]


@pytest.mark.parametrize("own_curve", [False, True])
def test_noise_has_the_deviation_of_its_cell(own_curve: bool) -> None:
    """On a flat field of mid-grey; correlated noise has fewer independent pixels, so five times 1 % is allowed."""
    flat = np.full((256, 256), 127.5, dtype=np.float32)
    measured = NoiseProfile(np.array([0.0, 255.0]), np.array([1.0, 3.0]), BLUR)
    spectra = [
        ("csi", detector_noise("csi", own_curve=own_curve)),
        ("own", profile_noise(measured, own_curve=own_curve)),
    ]
    for cell in cells(spectra, (1.0, 8.0), clean=False):
        noise = cell.noisy(flat, 0) - flat
        assert noise.std() == pytest.approx(cell.deviation, rel=0.05), cell.spectrum
        dark, bright = cell.profile.deviation_at([20.0, 230.0])
        assert bool(bright / dark > 1.5) is own_curve


def test_nothing_is_clipped_or_rounded() -> None:
    black = np.zeros((64, 64), dtype=np.float32)
    (cell,) = cells([("white", detector_noise("white"))], (4.0,), clean=False)
    assert cell.noisy(black, 0).min() < -8


def test_noise_depends_on_seed_image_and_profile_alone(phantom: Image) -> None:
    first, second = cells(quick(), QUICK_DEVIATIONS, clean=False)[:2]
    np.testing.assert_array_equal(first.noisy(phantom, 0), first.noisy(phantom.copy(), 0))
    noise = [
        cell.noisy(image, seed) - image
        for cell, image, seed in (
            (first, phantom, 0),
            (first, phantom, 1),
            (second, phantom, 0),
            (first, phantom + 1, 0),
        )
    ]
    for other in noise[1:]:
        assert abs(np.corrcoef(noise[0].ravel(), other.ravel())[0, 1]) < 5 / 256


def test_the_quick_table_of_doing_nothing(phantom: Image) -> None:
    methods = [Method.blind("noisy", "1", Noisy())]
    outcomes = list(measure([("phantom", phantom)], cells(quick(), QUICK_DEVIATIONS), methods, Log()))
    assert [(one.spectrum, one.deviation) for one in outcomes] == [
        (CLEAN, 0),
        ("white", 1),
        ("white", 4),
        ("csi", 1),
        ("csi", 4),
    ]
    assert outcomes[0].gain == math.inf
    assert all(one.gain == pytest.approx(0, abs=1e-6) for one in outcomes[1:])
    assert all(one.noisy_mse == pytest.approx(one.deviation**2, rel=0.1) for one in outcomes[1:])


class Told:
    """Knows the clean image, takes a share of the noise away, and remembers what it was told."""

    def __init__(self, clean: Image) -> None:
        self.clean = clean
        self.told: list[NoiseProfile | None] = []

    def __call__(self, noisy: NDArray[np.floating], level: NoiseProfile | None = None) -> Denoised:
        self.told.append(level)
        return Denoised(np.asarray(0.1 * noisy + 0.9 * self.clean + 0.25, dtype=np.float32), NoiseLevel(math.inf, 1.2))


def test_gain_shift_and_level_are_measured(phantom: Image) -> None:
    """A tenth of the noise is left, 20 dB, less what a shift of a quarter adds to the error."""
    denoiser = Told(phantom)
    methods = [Method.told("told", "1", denoiser), Method.told_white("white", "1", denoiser)]
    (cell,) = cells([("csi", detector_noise("csi"))], (1.0,), clean=False)
    told, white = measure([("phantom", phantom)], [cell], methods, Log())
    assert told.gain == pytest.approx(10 * math.log10(1 / (0.01 + 0.25**2)), abs=0.2)
    assert told.shift == pytest.approx(0.25, abs=0.05)
    assert told.found_deviation == pytest.approx(0.2)
    assert told.found_bands is None
    assert white.mse == told.mse
    first, second = denoiser.told
    assert first is cell.profile
    assert second is not None
    assert second.kernel.shape == (1, 1)
    np.testing.assert_array_equal(second.deviation, cell.profile.deviation)


def test_the_table_has_means_over_images(phantom: Image) -> None:
    """The other image is off by a quarter everywhere; what was found is off by 20 % in both."""
    methods = [Method.told("told", "1", Told(phantom))]
    (cell,) = cells([("white", detector_noise("white"))], (1.0,), clean=False)
    outcomes = list(measure([("a", phantom), ("b", phantom + 0.25)], [cell], methods, Log()))
    (row,) = means(outcomes)
    assert (row.method, row.spectrum, row.deviation) == ("told", "white", 1.0)
    assert row.gain == pytest.approx((outcomes[0].gain + outcomes[1].gain) / 2)
    assert row.shift == pytest.approx((outcomes[0].shift + outcomes[1].shift) / 2)
    assert row.found_deviation == pytest.approx(0.2)
    assert row.found_bands is None


def test_an_estimated_profile_is_compared_band_by_band() -> None:
    true = NoiseProfile(np.array([127.5]), np.array([2.0]), BLUR)
    deviation, bands = level_error(true.scaled(1.1), true)
    assert deviation == pytest.approx(0.1)
    np.testing.assert_allclose(bands or (), 0, atol=1e-9)
    _, bands = level_error(NoiseProfile.white(2.0), true)
    np.testing.assert_allclose(bands or (), -10 * np.log10(true.band_powers()), atol=1e-9)
    assert level_error(None, true) == (None, None)
    assert level_error(true, NoiseProfile.white(0.0)) == (None, None)


def test_what_the_log_knows_is_not_computed_again(phantom: Image, tmp_path: Path) -> None:
    path, noises = tmp_path / "log.jsonl", cells([("white", detector_noise("white"))], (1.0,), clean=False)

    def refuse(_: NDArray[np.floating]) -> Denoised:
        raise AssertionError("computed again")

    images = [("phantom", phantom)]
    first = list(measure(images, noises, [Method.blind("noisy", "1", Noisy())], Log(path)))
    with path.open("a") as file:
        file.write('{"method": "noi')
    assert list(measure(images, noises, [Method.blind("noisy", "1", refuse)], Log(path))) == first
    for changed in (Method.blind("noisy", "2", refuse), Method.blind("other", "1", refuse)):
        with pytest.raises(AssertionError, match="computed again"):
            list(measure(images, noises, [changed], Log(path)))
    with pytest.raises(AssertionError, match="computed again"):
        list(measure(images, noises, [Method.blind("noisy", "1", refuse)], Log(path), seed=1))


def test_averaging_halves_noise_and_size(phantom: Image) -> None:
    noisy = phantom + np.random.default_rng(0).standard_normal(phantom.shape).astype(np.float32)
    half = averaged(noisy) - averaged(phantom)
    assert half.shape == (128, 128)
    assert half.std() == pytest.approx(0.5, rel=5 * (0.5 / half.size) ** 0.5)
    assert averaged(np.arange(15.0).reshape(3, 5)).shape == (1, 2)
