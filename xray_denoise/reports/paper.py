"""What the X-BDCNN paper prints, for the rows beside ours.

Yin, Qi, Cai, Li, X-Ray Image Enhancement Using Blind Denoising Neural Networks. Means over its ten
ChestX-ray8 radiographs of 1024x1024 pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType

from xray_denoise.reports.tables import Column, Report, Row, Table

CELLS = tuple((eta, sigma) for eta in (0.4, 0.6, 0.8) for sigma in (5.0, 10.0, 15.0))
"""The nine noise levels of Table II: eta in photons per grey level, sigma in grey levels."""

TABLE_2_PSNR = MappingProxyType(
    {
        "noisy": (22.5162, 21.7703, 20.7651, 24.0733, 23.0213, 21.7165, 25.1555, 23.8439, 22.2952),
        "dncnn": (39.5037, 39.1050, 38.5502, 40.1841, 39.6908, 39.0246, 40.6018, 40.0154, 39.2669),
        "x-recnn": (36.9640, 36.5160, 35.6645, 37.6373, 37.1694, 36.3036, 37.9762, 37.4960, 36.6005),
        "x-bdcnn": (40.1925, 39.8214, 39.3198, 40.8287, 40.3547, 39.7464, 41.2326, 40.6748, 39.9653),
    }
)
"""PSNR in dB by the name of the denoiser, in the order of `CELLS`, the swapped columns put right."""

TITLES = MappingProxyType({"noisy": "noisy", "dncnn": "DnCNN", "x-recnn": "X-ReCNN", "x-bdcnn": "X-BDCNN"})
"""How the paper calls them, by the name of the denoiser."""

SNR_MINUS_PSNR = -4.2829
"""Mean of 10 log10(mean(g^2) / 255^2) over the paper's ten radiographs, dB."""

NOTE_SWAPPED = (
    "In the paper's rows of CNNs the columns SNR and PSNR are swapped (an SNR above the PSNR is impossible "
    "with these definitions); they are shown un-swapped here."
)
NOTE_IMAGES = (
    "The paper's rows were measured on its own ten radiographs: compare with them only where the two noisy rows agree."
)
NOTE_INCOMPLETE = "The run is not complete: a mean covers the images measured so far, and not every mean the same ones."
NOTE_SSIM = (
    "The paper's SSIM is computed with a data range twice too large, which inflates it; "
    "'SSIM (paper)' is its variant, 'SSIM' the standard one."
)

QUANTITIES = MappingProxyType(
    {
        "psnr": ("PSNR, dB", "PSNR = 10 log10(255^2 / MSE), the estimate clipped to [0, 255].", 2),
        "snr": (
            "SNR, dB",
            "SNR = 10 log10(mean(g^2) / MSE), g the clean image: PSNR minus a constant per image.",
            2,
        ),
        "ssim": ("SSIM", "Wang 2004: Gaussian window of sigma 1.5, no sample covariance, data range 255.", 4),
        "ssim_paper": (
            "SSIM (paper)",
            "The paper's variant: 7x7 uniform window, sample covariance, a data range of twice white.",
            4,
        ),
        "seconds": (
            "Seconds per image",
            "Wall time of one call, after a warm-up; reading is not counted.",
            3,
        ),
    }
)
"""What is reported, by the name of the measure: title, definition, digits shown."""


@dataclass(frozen=True, slots=True)
class Method:
    """The means of one method over the images."""

    title: str
    name: str
    """Of the denoiser; the paper's row of this name is shown below."""
    means: Mapping[str, tuple[float | None, ...]]
    """By the keys of `QUANTITIES`, one per noise level; None where nothing was measured."""


def table_2(
    methods: Sequence[Method],
    cells: Sequence[tuple[float, float]],
    facts: Sequence[tuple[str, str]],
    *,
    complete: bool = True,
) -> Report:
    """Lay out our means beside the paper's Table II, the paper's rows below ours of the same method.

    Args:
        methods: our rows.
        cells: (eta, sigma) of each column; the paper's value is missing where it has no such level.
        facts: what was run on what.
        complete: whether each of our means covers the same images.
    """
    columns = (*(Column(*cell) for cell in cells), Column())
    tables = []
    for quantity, (title, definition, digits) in QUANTITIES.items():
        rows = []
        for method in methods:
            rows.append(_row(method.title, method.means[quantity]))
            rows += _paper_rows([method.name], quantity, cells)
        rows += _paper_rows([name for name in TITLES if name not in {m.name for m in methods}], quantity, cells)
        tables.append(Table(title, definition, columns, tuple(rows), digits))
    notes = [NOTE_SWAPPED, NOTE_IMAGES, NOTE_SSIM]
    if not complete:
        notes.insert(0, NOTE_INCOMPLETE)
    return Report("Table II of the X-BDCNN paper", tuple(facts), tuple(tables), tuple(notes))


def _paper_rows(names: Sequence[str], quantity: str, cells: Sequence[tuple[float, float]]) -> list[Row]:
    offset = {"psnr": 0.0, "snr": SNR_MINUS_PSNR}.get(quantity)
    if offset is None:
        return []
    rows = []
    for name in (name for name in names if name in TABLE_2_PSNR):
        printed = dict(zip(CELLS, TABLE_2_PSNR[name], strict=True))
        values = tuple(printed[cell] + offset if cell in printed else None for cell in cells)
        rows.append(_row(f"paper: {TITLES[name]}", values, quoted=True))
    return rows


def _row(title: str, values: Sequence[float | None], *, quoted: bool = False) -> Row:
    known = [value for value in values if value is not None]
    mean = fmean(known) if known and len(known) == len(values) else None
    return Row(title, (*values, mean), quoted)
