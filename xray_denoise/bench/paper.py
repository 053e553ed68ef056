"""Figures printed in the X-BDCNN paper, for comparison.

Yin, Qi, Cai, Li, X-Ray Image Enhancement Using Blind Denoising Neural Networks. Means over its ten
ChestX-ray8 radiographs of 1024x1024 pixels.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

CELLS = tuple((eta, sigma) for eta in (0.4, 0.6, 0.8) for sigma in (5.0, 10.0, 15.0))
"""The nine noise levels of Table II: eta in photons per grey level, sigma in grey levels."""

TABLE_2_PSNR: Mapping[str, tuple[float, ...]] = {
    "noisy": (22.5162, 21.7703, 20.7651, 24.0733, 23.0213, 21.7165, 25.1555, 23.8439, 22.2952),
    "dncnn": (39.5037, 39.1050, 38.5502, 40.1841, 39.6908, 39.0246, 40.6018, 40.0154, 39.2669),
    "x-recnn": (36.9640, 36.5160, 35.6645, 37.6373, 37.1694, 36.3036, 37.9762, 37.4960, 36.6005),
    "x-bdcnn": (40.1925, 39.8214, 39.3198, 40.8287, 40.3547, 39.7464, 41.2326, 40.6748, 39.9653),
}
"""PSNR in dB by the name of the method, in the order of `CELLS`, the swapped columns put right."""

TABLE_1_PSNR: Mapping[str, float] = {
    "noisy": 24.19,
    "bm3d": 34.59,
    "x-recnn": 38.49,
    "dncnn": 40.38,
    "x-bdcnn-no-nle": 40.96,
    "x-bdcnn-no-ssim": 41.00,
    "x-bdcnn": 41.11,
}
"""PSNR in dB by the name of the method: patches of random noise level; the swapped columns put right."""

SNR_MINUS_PSNR = -4.2829
"""Mean of 10 log10(mean(g^2) / 255^2) over the paper's ten radiographs, dB."""

NOTES = (
    (
        "In the paper's rows of CNNs the columns SNR and PSNR are swapped (an SNR above the PSNR is impossible "
        "with these definitions); they are shown un-swapped here."
    ),
    "The paper's rows were measured on its own ten radiographs: compare with them only where the two noisy rows agree.",
    (
        "The paper's SSIM is computed with a data range twice too large, which inflates it; "
        "'SSIM (paper)' is its variant, 'SSIM' the standard one."
    ),
)
"""For readers of a table with its figures."""


def table_2(metric: str, cells: Sequence[tuple[float, float]]) -> dict[str, tuple[float, ...]]:
    """The paper's rows of Table II by the name of the method, the mean last; none where it prints no such metric."""
    offset = {"psnr": 0.0, "snr": SNR_MINUS_PSNR}.get(metric)
    if offset is None:
        return {}
    rows = {name: [printed[CELLS.index(cell)] + offset for cell in cells] for name, printed in TABLE_2_PSNR.items()}
    return {name: (*values, fmean(values)) for name, values in rows.items()}
