"""What a model card says about its weights: how good they are, how they err, and a result for the tests to repeat."""

from typing import Any

import numpy as np
import torch

from xray_denoise import nets
from xray_denoise.denoisers.network import kind_of
from xray_denoise.nets.blind import BlindNet, DenoisingNet
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics import metrics
from xray_denoise.physics.framing import middle
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.noise_fit import Calibration
from xray_denoise.scale import MID_GREY
from xray_denoise.training.detector import DetectorRange
from xray_denoise.training.images import GreyImages
from xray_denoise.training.patches import NoiseRange, WideRange
from xray_denoise.training.validation import ValidationSet

GOLDEN_SIZE, GOLDEN_LEVEL = 256, NoiseLevel(0.6, 10)
"""The phantom (seed 0) and its noise (seed 0) on which a card states a result for the tests to repeat."""
CALIBRATION_SIZE, CALIBRATIONS = 512, 2
"""Middle of each held-out image that the level is calibrated on, pixels a side, and the levels drawn for each."""


def evaluate_for_card(
    net: DenoisingNet, held_out: GreyImages, noise: NoiseRange | WideRange | DetectorRange, seed: int
) -> dict[str, Any]:
    """Entries for the metadata of a card.

    `val_psnr` is that of whole images under the noise of Table II, by the path of `denoise`: blind. A network for the
    noise of detectors also has `val_weak` and `val_strong`, those of its training, where it is told the truth.

    Args:
        net: as it will be shipped; stays on its device.
        held_out: images of patients that it was not trained on; without any only the golden result is given.
        noise: what it was trained for.
        seed: of the noise.
    """
    metadata: dict[str, Any] = {}
    if held_out:
        metadata["val_psnr"] = round(ValidationSet.blind(held_out, seed)(net).psnr, 3)
        if isinstance(noise, DetectorRange):
            told = ValidationSet.told(held_out, seed)(net)
            metadata |= {name: round(value, 3) for name, value in told.parts.items()}
        elif isinstance(net, BlindNet):
            metadata |= levels_of(net, held_out, noise, seed)
    return metadata | {"golden": golden_of(net)}


def golden_of(net: DenoisingNet) -> dict[str, float]:
    """PSNR before and after denoising a fixed noisy phantom on the CPU, dB: what `tests/test_weights.py` repeats."""
    clean = np.rint(chest_phantom(GOLDEN_SIZE, rng=np.random.default_rng(0)))
    noisy = add_noise(clean, GOLDEN_LEVEL, np.random.default_rng(0))
    denoised = kind_of(net)(_rounded(net))(noisy)
    return {
        "noisy_db": round(metrics.psnr(noisy, clean), 3),
        "denoised_db": round(metrics.psnr(denoised.image, clean), 3),
    }


def levels_of(net: BlindNet, images: GreyImages, noise: NoiseRange | WideRange, seed: int) -> dict[str, Any]:
    """Entries on the level estimate, measured at random levels of the range that `net` was trained for.

    `val_level_error` is the mean relative error of the standard deviation of the noise at mid-grey, absolute value,
    before the calibration in `level_calibration`.
    """
    rng = np.random.default_rng((seed, 1))
    device = next(net.parameters()).device
    denoiser = kind_of(net)(nets.copy_of(net).eval(), where=device)
    estimated, true = [], []
    for image in images:
        clean = image[middle(image.shape, CALIBRATION_SIZE)]
        for _ in range(CALIBRATIONS):
            level = _drawn(noise, rng)
            denoised = denoiser(add_noise(clean, level, rng))
            if denoised.level is not None:
                estimated.append(denoised.level.effective_sigma(MID_GREY))
                true.append(level.effective_sigma(MID_GREY))
    metadata: dict[str, Any] = {"val_level_error": round(float(np.mean(np.abs(np.divide(estimated, true) - 1))), 4)}
    for knots in range(min(4, len(true)), 0, -1):  # a fresh network may estimate alike everywhere
        measured = Calibration.of(np.array(estimated), np.array(true), knots=knots)
        rounded = [round(value, 3) for value in measured.estimated]
        if all(np.diff(rounded) > 0) and 0.01 < min(measured.factors) <= max(measured.factors) < 100:
            factors = [round(value, 4) for value in measured.factors]
            return metadata | {"level_calibration": {"estimated": rounded, "factors": factors}}
    return metadata


def _drawn(noise: NoiseRange | WideRange, rng: np.random.Generator) -> NoiseLevel:
    sigma = rng.uniform(*noise.sigma)
    if isinstance(noise, WideRange):
        return NoiseLevel(1 / max(rng.uniform(*noise.inverse_eta), 1e-3), sigma)
    return NoiseLevel(rng.uniform(*noise.eta), sigma)


def _rounded(net: DenoisingNet) -> DenoisingNet:
    """A copy on the CPU whose weights are rounded as the file rounds them."""
    copy = nets.copy_of(net).to("cpu").float().eval()
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.copy_(parameter.half().float())
    return copy
