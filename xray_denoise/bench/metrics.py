"""The metrics. To add one, write a `measure` function for its value, and describe it in `METRICS`.

A measure may give several values at once, by their names; None where the method has no such notion.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from xray_denoise.bench.cases import Case
from xray_denoise.denoisers import Denoised
from xray_denoise.physics import metrics
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile, as_level
from xray_denoise.scale import GREY_MAX, MID_GREY

Values = dict[str, float | None]
"""What is measured, by the names of metrics; None where the method has no such value."""
Measure = Callable[[Denoised, Case, NDArray[np.float32]], Values]
"""Of a result, its case, and the noisy image."""
SECONDS = "seconds"
"""The metric that the run itself takes: wall time of one call, after a warm-up."""
TINY = 1e-9
"""Power of a band relative to white noise; less is taken for as much."""


def image_quality(denoised: Denoised, case: Case, _noisy: NDArray[np.float32]) -> Values:
    """PSNR, SNR and both kinds of SSIM against the clean image."""
    return asdict(metrics.quality(denoised.image, case.image.grey))


def level_errors(denoised: Denoised, case: Case, _noisy: NDArray[np.float32]) -> Values:
    """The estimated noise level, and how far it lies above the true one."""
    found, true = denoised.level or as_level(denoised.profile), case.noise
    if found is None or not isinstance(true, NoiseLevel):
        return dict.fromkeys(("eta", "sigma", "inverse_eta_error", "sigma_error", "total_error"))
    return {
        "eta": found.eta,
        "sigma": found.sigma,
        "inverse_eta_error": 100 * (true.eta / found.eta - 1),
        "sigma_error": found.sigma - true.sigma,
        "total_error": 100 * (found.effective_sigma(GREY_MAX / 2) / true.effective_sigma(GREY_MAX / 2) - 1),
    }


BANDS_FOUND = ("band_1_error", "band_2_error", "band_3_error", "band_4_error")
"""Metrics of the bands of a profile, from low to high frequencies."""


def without_clipping(denoised: Denoised, case: Case, noisy: NDArray[np.float32]) -> Values:
    """PSNR and its gain over the noisy image, and how far the mean moved, of values of any size."""
    clean, image = case.image.grey.astype(np.float64), denoised.image.astype(np.float64)
    before, after = (float(np.mean((one - clean) ** 2)) for one in (noisy, image))
    psnr = 10 * math.log10(GREY_MAX**2 / after) if after else math.inf
    gain = 10 * math.log10(before / after) if before and after else math.inf if before else None
    return {"exact_psnr": psnr, "gain": gain, "shift": float(np.mean(image - noisy))}


def profile_errors(denoised: Denoised, case: Case, _noisy: NDArray[np.float32]) -> Values:
    """How far the estimated deviation at mid-grey, and the powers of the bands, lie above the true ones.

    A method that says nothing about the spectrum has no error of bands.
    """
    errors: Values = dict.fromkeys(("deviation_error", *BANDS_FOUND))
    true = case.noise if isinstance(case.noise, NoiseProfile) else NoiseProfile.of_level(case.noise)
    deviation = float(true.deviation_at(MID_GREY))
    if deviation == 0:
        return errors
    if denoised.noise is not None:
        errors["deviation_error"] = 100 * (float(denoised.noise.deviation_at(MID_GREY)) / deviation - 1)
    if denoised.profile is not None:
        ratios = np.maximum(denoised.profile.band_powers(), TINY) / np.maximum(true.band_powers(), TINY)
        errors |= dict(zip(BANDS_FOUND, map(float, 10 * np.log10(ratios)), strict=True))
    return errors


@dataclass(frozen=True, slots=True)
class Metric:
    """How tables show a value: title and, after a comma, unit; definition; digits after the decimal point."""

    title: str
    definition: str
    digits: int
    measure: Measure | None = image_quality
    """What gives the value; None where the run itself takes it."""


METRICS: Mapping[str, Metric] = {
    "psnr": Metric("PSNR, dB", "PSNR = 10 log10(255^2 / MSE), the estimate clipped to [0, 255].", 2),
    "snr": Metric("SNR, dB", "SNR = 10 log10(mean(g^2) / MSE), g the clean image: PSNR minus a constant per image.", 2),
    "ssim": Metric("SSIM", "Wang 2004: Gaussian window of sigma 1.5, no sample covariance, data range 255.", 4),
    "ssim_paper": Metric(
        "SSIM (paper)", "The paper's variant: 7x7 uniform window, sample covariance, a data range of twice white.", 4
    ),
    SECONDS: Metric("Seconds per image", "Wall time of one call, after a warm-up; reading is not counted.", 3, None),
    "inverse_eta_error": Metric(
        "1/eta, %", "Relative error of 1/eta, the part of the photons in the variance.", 2, level_errors
    ),
    "sigma_error": Metric("sigma, grey", "Error of the electronic noise in grey levels.", 2, level_errors),
    "total_error": Metric(
        "total, %", "Relative error of sqrt(127.5/eta + sigma^2), the noise at mid-grey.", 2, level_errors
    ),
    "exact_psnr": Metric("PSNR, dB", "PSNR = 10 log10(255^2 / MSE), the estimate not clipped.", 2, without_clipping),
    "gain": Metric(
        "PSNR gain, dB", "10 log10(MSE of the noisy image / MSE of the result), nothing clipped.", 2, without_clipping
    ),
    "shift": Metric("Mean shift, grey", "Mean of the result less that of the noisy image.", 3, without_clipping),
    "deviation_error": Metric(
        "Error of the deviation, %",
        "Relative error of the estimated deviation of the noise at mid-grey.",
        1,
        profile_errors,
    ),
    **dict.fromkeys(
        BANDS_FOUND,
        Metric(
            "Error of band powers, dB",
            "Error of the estimated power of the noise in four bands of frequencies, relative to white noise.",
            2,
            profile_errors,
        ),
    ),
}
"""Every metric by its name, which is that of the value in records."""
