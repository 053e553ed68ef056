"""What every denoiser has, and that what it removes is what is missing from its image."""

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise import denoisers
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import Noise, NoiseProfile


class Halving(Denoiser):
    """Removes half of the image."""

    name = "halving"

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        profile = level if isinstance(level, NoiseProfile) else None
        return Denoised.of(noisy, noisy / 2, NoiseLevel(0.5, 3), profile=profile)


def test_a_method_has_defaults_for_all_but_its_name() -> None:
    method = Halving()
    assert (method.name, method.weights_sha256, method.device, method.arithmetic) == ("halving", "", "cpu", "fp32")
    assert (method.settings, method.training) == ("no settings", "")
    with pytest.raises(TypeError, match="abstract"):
        Denoiser()  # type: ignore[abstract]


def test_the_image_is_what_was_given_less_what_is_removed() -> None:
    noisy = np.arange(12, dtype=np.float64).reshape(3, 4)
    found = Halving()(noisy)
    assert found.removed.dtype == found.image.dtype == np.float32
    assert (found.removed == noisy / 2).all()
    assert (found.image == noisy - noisy / 2).all()
    assert found.noise == NoiseLevel(0.5, 3)
    profile = NoiseProfile.white(2.0)
    assert Halving()(noisy, profile).noise is profile, "a profile says more than a level"


@pytest.mark.parametrize("name", denoisers.classical_names())
def test_every_method_has_the_base_class(name: str) -> None:
    method = denoisers.get(name)
    assert isinstance(method, Denoiser)
    assert (method.name, method.weights_sha256) == (name, "")
