"""What is measured of a result. A metric is added here: a `measure` function gives its value, `METRICS` describes it.

A measure may give several values at once, by their names; None where the method has no such notion.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from xray_denoise.bench.cases import Case
from xray_denoise.denoisers import Denoised
from xray_denoise.physics import metrics
from xray_denoise.physics.noise import GREY_MAX, NoiseLevel
from xray_denoise.physics.profile import as_level

Values = dict[str, float | None]
Measure = Callable[[Denoised, Case], Values]
SECONDS = "seconds"
"""The metric that the run itself takes: wall time of one call, after a warm-up."""


def image_quality(denoised: Denoised, case: Case) -> Values:
    """PSNR, SNR and both kinds of SSIM against the clean image."""
    return asdict(metrics.quality(denoised.image, case.image.grey))


def level_errors(denoised: Denoised, case: Case) -> Values:
    """The estimated noise level, and how far it lies above the true one."""
    found, true = denoised.level or as_level(denoised.profile), case.noise
    names = ("eta", "sigma", "inverse_eta_error", "sigma_error", "total_error")
    if found is None or not isinstance(true, NoiseLevel):
        return dict.fromkeys(names)
    middle = GREY_MAX / 2
    total = 100 * (found.effective_sigma(middle) / true.effective_sigma(middle) - 1)
    return dict(
        zip(
            names,
            (found.eta, found.sigma, 100 * (true.eta / found.eta - 1), found.sigma - true.sigma, total),
            strict=True,
        )
    )


@dataclass(frozen=True, slots=True)
class Metric:
    """How tables show a value: title and, after a comma, its unit; what it is; and digits behind the decimal point."""

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
        "SSIM (paper)",
        "The paper's variant: 7x7 uniform window, sample covariance, a data range of twice white.",
        4,
    ),
    SECONDS: Metric(
        "Seconds per image", "Wall time of one call, after a warm-up; reading is not counted.", 3, measure=None
    ),
    "inverse_eta_error": Metric(
        "1/eta, %", "Relative error of 1/eta, the part of the photons in the variance.", 2, level_errors
    ),
    "sigma_error": Metric("sigma, grey", "Error of the electronic noise in grey levels.", 2, level_errors),
    "total_error": Metric(
        "total, %", "Relative error of sqrt(127.5/eta + sigma^2), the noise at mid-grey.", 2, level_errors
    ),
}
"""Every metric by its name, which is that of the value in records."""
