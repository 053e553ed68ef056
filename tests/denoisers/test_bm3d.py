"""BM3D removes noise where it is installed, and says how to install it where it is not."""

import math
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise import denoisers
from xray_denoise.denoisers.bm3d import Bm3d
from xray_denoise.errors import CannotRunError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import NoiseProfile

LEVEL = NoiseLevel(0.6, 10.0)
BLUR = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 6.0
NEED_BM3D = ["bm3d", "gat-bm3d", "ivst-bm3d"]


@pytest.mark.parametrize("name", NEED_BM3D)
def test_without_the_package_there_are_two_lines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    assert denoisers.missing(name) == "pip install 'xray-denoise[bm3d]'"
    with pytest.raises(CannotRunError, match="needs the package 'bm3d'") as raised:
        denoisers.get(name)(np.full((32, 32), 70.0), LEVEL)
    assert raised.value.hint == "pip install 'xray-denoise[bm3d]'"


def test_other_methods_miss_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    assert {name for name in denoisers.names() if denoisers.missing(name)} == set(NEED_BM3D)


def test_asking_loads_nothing_heavy() -> None:
    code = (
        "import sys; from xray_denoise import denoisers\n"
        "for name in denoisers.classical_names(): denoisers.missing(name); denoisers.get(name)\n"
        "print({'bm3d', 'torch', 'skimage', 'scipy', 'pywt'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def exposure() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A clean and a noisy phantom."""
    pytest.importorskip("bm3d", reason="BM3D is an optional extra")
    clean = chest_phantom(64, rng=np.random.default_rng(0))
    return clean, add_noise(clean, LEVEL, np.random.default_rng(1))


def test_noise_is_removed(exposure: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    """From 23.40 dB to 32.87, 33.08 and 33.23 dB on this small phantom."""
    clean, noisy = exposure
    plain, stabilised, iterated = (psnr(denoisers.get(name)(noisy, LEVEL).image, clean) for name in NEED_BM3D)
    assert plain > psnr(noisy, clean) + 8
    assert stabilised > plain
    assert iterated > stabilised


def test_a_blind_run_finds_and_tells_its_level(exposure: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    clean, noisy = exposure
    blind = Bm3d()(noisy)
    assert blind.level is not None
    assert psnr(blind.image, clean) == pytest.approx(psnr(Bm3d()(noisy, LEVEL).image, clean), abs=0.3)


@pytest.mark.parametrize("shape", [(1, 9), (8, 8)])
def test_narrow_images_are_widened_for_the_package(shape: tuple[int, int]) -> None:
    """The package itself refuses the first and crashes on the second."""
    pytest.importorskip("bm3d", reason="BM3D is an optional extra")
    image = Bm3d()(np.random.default_rng(0).uniform(0, 255, shape), LEVEL).image
    assert image.shape == shape
    assert np.isfinite(image).all()


def test_one_image_always_gets_one_result(exposure: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    first, second = (Bm3d()(exposure[1], LEVEL).image for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", NEED_BM3D)
def test_an_image_without_noise_comes_back(name: str) -> None:
    pytest.importorskip("bm3d", reason="BM3D is an optional extra")
    flat = np.full((32, 32), 70.0, dtype=np.float32)
    np.testing.assert_array_equal(denoisers.get(name)(flat).image, flat)


def test_a_white_profile_is_a_level(exposure: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    """The transform of one deviation is the identity, up to the rounding of its table."""
    told = Bm3d()(exposure[1], NoiseProfile.white(15.0))
    level = Bm3d()(exposure[1], NoiseLevel(math.inf, 15.0))
    np.testing.assert_allclose(told.image, level.image, atol=1e-3)
    assert told.level is None
    assert told.noise_map is not None
    np.testing.assert_array_equal(told.noise_map, np.full((64, 64), 15.0, dtype=np.float32))


def test_telling_the_spectrum_and_the_deviation_pays(exposure: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    """The spectrum is worth 2.27 dB on this phantom and the deviation curve 0.46 dB more."""
    clean, _ = exposure
    profile = NoiseProfile(np.array([0.0, 255.0]), np.array([2.0, 14.0]), BLUR)
    noisy = clean + profile.draw(clean, np.random.default_rng(2))
    mean = float(np.sqrt((profile.deviation_at(clean) ** 2).mean()))
    level, spectrum, both = (
        psnr(Bm3d()(noisy, told).image, clean)
        for told in (NoiseLevel(math.inf, mean), NoiseProfile(np.array([127.5]), np.array([mean]), BLUR), profile)
    )
    assert level + 1 < spectrum
    assert spectrum + 0.2 < both


def test_numpy_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the package fails."""
    bm3d = pytest.importorskip("bm3d", reason="BM3D is an optional extra")
    before = hasattr(np, "trapz")

    def fail(*_: object) -> NDArray[np.float64]:
        assert hasattr(np, "trapz")
        raise MemoryError

    monkeypatch.setattr(bm3d, "bm3d", fail)
    with pytest.raises(MemoryError):
        Bm3d()(np.zeros((32, 32)), NoiseProfile(np.array([127.5]), np.array([4.0]), BLUR))
    assert hasattr(np, "trapz") == before


def test_images_narrower_than_the_kernel_are_widened() -> None:
    pytest.importorskip("bm3d", reason="BM3D is an optional extra")
    kernel = np.zeros((21, 21))
    kernel[9:12, 9:12] = BLUR
    image = Bm3d()(
        np.random.default_rng(0).uniform(0, 255, (8, 30)), NoiseProfile(np.array([127.5]), np.array([4.0]), kernel)
    ).image
    assert image.shape == (8, 30)
    assert np.isfinite(image).all()
