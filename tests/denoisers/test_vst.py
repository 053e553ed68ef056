"""The transform lets a denoiser for white noise do better, and adds nothing of its own."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.denoisers.classical import NonLocalMeans, TotalVariation
from xray_denoise.denoisers.vst import GAT_NLM, GAT_TV, IterativeStabilised, Stabilised
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise

LEVEL = NoiseLevel(0.6, 10.0)


class Witness(Denoiser):
    """Averages the whole image, and remembers what it was shown."""

    name = "mean"

    def __init__(self) -> None:
        self.seen: list[tuple[NDArray[np.floating], NoiseLevel | None]] = []

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        self.seen.append((noisy, level))
        return Denoised.of(noisy, np.full(noisy.shape, noisy.mean(), np.float32), level)


@pytest.mark.parametrize("level", [LEVEL, NoiseLevel(0.4, 0.0), NoiseLevel(math.inf, 12.0)], ids=str)
@pytest.mark.parametrize("grey", [40.0, 120.0, 230.0])
def test_the_inner_method_sees_white_noise_of_the_level_it_is_told(level: NoiseLevel, grey: float) -> None:
    """A flat field: the variance may err by 5 standard errors and by the transform's 1 %."""
    inner, n = Witness(), 400 * 400
    denoised = Stabilised(inner)(
        add_noise(np.full((400, 400), grey), level, np.random.default_rng(0), clip=False), level
    )
    (shown, told), *_ = inner.seen
    assert told is not None
    assert math.isinf(told.eta)
    assert shown.std() == pytest.approx(told.sigma, rel=0.01 + 5 * (0.5 / n) ** 0.5)
    error = 5 * float(level.variance(np.array(grey)) / n) ** 0.5
    assert denoised.image.mean() == pytest.approx(grey, abs=0.05 + error), "unbiased, as the inverse is"


def test_black_and_white_keep_their_places() -> None:
    inner = Witness()
    Stabilised(inner)(np.array([[0.0, 255.0]]), LEVEL)
    np.testing.assert_allclose(inner.seen[0][0], [[0, 255]], atol=1e-9)


@pytest.mark.parametrize(("level", "power"), [(NoiseLevel(0.6, 0.0), 0.5), (NoiseLevel(math.inf, 10.0), 0.0)])
def test_each_round_is_told_what_it_sees_or_more(level: NoiseLevel, power: float) -> None:
    """The mean that a round gives back is free of noise, so that the next mixture has lambda of the deviation of f:
    what it is told for electronics, and sqrt(lambda) of what it is told for photons."""
    inner = Witness()
    noisy = add_noise(np.full((400, 400), 120.0), level, np.random.default_rng(0), clip=False)
    IterativeStabilised(inner)(noisy, level)
    assert len(inner.seen) == 4
    for share, (shown, told) in zip((1, 0.75, 0.5, 0.25), inner.seen, strict=True):
        assert told is not None
        assert shown.std() == pytest.approx(share**power * told.sigma, rel=0.015)


@pytest.mark.parametrize(("plain", "inner"), [(TotalVariation(), GAT_TV), (NonLocalMeans(), GAT_NLM)])
def test_stabilising_pays(plain: Denoiser, inner: Denoiser) -> None:
    """0.2 and 0.4 dB on this phantom at a level where photons and electronics matter alike."""
    clean = chest_phantom(256, rng=np.random.default_rng(0))
    noisy = add_noise(clean, LEVEL, np.random.default_rng(1))
    assert psnr(Stabilised(inner)(noisy, LEVEL).image, clean) > psnr(plain(noisy, LEVEL).image, clean) + 0.1


def test_the_result_tells_the_noise_at_every_pixel() -> None:
    noisy = add_noise(chest_phantom(64, rng=np.random.default_rng(0)), LEVEL, np.random.default_rng(1))
    told, blind = Stabilised(GAT_TV)(noisy, LEVEL), Stabilised(GAT_TV)(noisy)
    assert told.level == LEVEL
    assert blind.level not in (None, LEVEL)
    assert told.noise_map is not None
    np.testing.assert_allclose(told.noise_map, np.sqrt(told.image / 0.6 + 100), rtol=1e-5)
    assert abs(told.image - blind.image).mean() < 2


def test_names_say_what_is_inside() -> None:
    assert (Stabilised(GAT_TV).name, IterativeStabilised(GAT_NLM).name) == ("gat-tv", "ivst-nlm")
