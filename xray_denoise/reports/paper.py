"""What the X-BDCNN paper prints, for the rows beside ours.

Yin, Qi, Cai, Li, X-Ray Image Enhancement Using Blind Denoising Neural Networks. Means over its ten
ChestX-ray8 radiographs of 1024x1024 pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

TABLE_1_PSNR = MappingProxyType(
    {
        "noisy": 24.19,
        "bm3d": 34.59,
        "x-recnn": 38.49,
        "dncnn": 40.38,
        "x-bdcnn-no-nle": 40.96,
        "x-bdcnn-no-ssim": 41.00,
        "x-bdcnn": 41.11,
    }
)
"""PSNR in dB by the name of the denoiser: patches of random noise level; the swapped columns put right."""

TITLES = MappingProxyType(
    {
        "noisy": "noisy",
        "bm3d": "BM3D",
        "dncnn": "DnCNN",
        "x-recnn": "X-ReCNN",
        "x-bdcnn-no-nle": "X-BDCNN without NLE",
        "x-bdcnn-no-ssim": "X-BDCNN without SSIM",
        "x-bdcnn": "X-BDCNN",
    }
)
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

NOTE_SPREADS = (
    "Numbers in parentheses are standard deviations, in Table II over the images; where there is no room for them "
    "they are in the files for tables."
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
class Figures:
    """The numbers of one method in one table."""

    values: tuple[float | None, ...]
    """One per column; None where nothing was measured."""
    spreads: tuple[float | None, ...] = ()
    """Their standard deviations, or nothing."""
    margins: tuple[float | None, ...] = ()
    """Half of their 95 % intervals, or nothing."""


@dataclass(frozen=True, slots=True)
class Method:
    """What was measured of one method."""

    title: str
    name: str
    """Of the denoiser; the paper's row of this name is shown below."""
    figures: Mapping[str, Figures]
    """By the keys of `QUANTITIES`: Table II has one number per noise level and their mean, Table I one number."""
    gaps: Mapping[str, Figures] = field(default_factory=dict)
    """How far it lies above the reference; by quantity, as above. Empty for the reference itself."""


@dataclass(frozen=True, slots=True)
class Run:
    """What holds for a whole table."""

    facts: tuple[tuple[str, str], ...]
    """What was run on what."""
    images: int = 0
    """How many images stand behind the numbers."""
    complete: bool = True
    """Whether each of our means covers the same images."""
    absent: tuple[tuple[str, str], ...] = ()
    """Title of each method that lacks a package, and how to install it."""


def table_2(methods: Sequence[Method], cells: Sequence[tuple[float, float]], run: Run) -> Report:
    """Lay out our means beside the paper's Table II, the paper's rows below ours of the same method.

    Args:
        methods: our rows.
        cells: (eta, sigma) of each column; the paper's value is missing where it has no such level.
        run: what the numbers come from.
    """
    columns = (*(Column(*cell) for cell in cells), Column())
    tables = []
    for quantity, (title, definition, digits) in QUANTITIES.items():
        printed = {name: _printed(name, quantity, cells) for name in TABLE_2_PSNR}
        rows = _rows(methods, quantity, {name: row for name, row in printed.items() if row})
        if quantity == "psnr":
            rows += [Row(f"{title}: not installed", (None,) * len(columns)) for title, _ in run.absent]
        tables.append(Table(title, definition, columns, tuple(rows), digits))
    gaps = [_row(method.title, method.gaps["psnr"]) for method in methods if method.gaps]
    if gaps:
        tables.insert(1, Table("Difference to X-BDCNN, PSNR, dB", _gap_text(run.images), columns, tuple(gaps), 2))
    return _report("Table II of the X-BDCNN paper", tables, run)


def table_1(methods: Sequence[Method], patches: str, run: Run) -> Report:
    """Lay out our means beside the paper's Table I.

    Args:
        methods: our rows.
        patches: how the patches were made, one sentence.
        run: what the numbers come from.
    """
    order = ("snr", "psnr", "ssim", "ssim_paper", "seconds")
    rows = [Row(f"{title}: not installed", (None,) * len(order)) for title, _ in run.absent]
    quoted = {name: (None, value, None, None, None) for name, value in TABLE_1_PSNR.items()}
    joined = [Method(method.title, method.name, {"all": _joined(method.figures, order)}) for method in methods]
    rows = _rows(joined, "all", quoted) + rows
    text = f"{patches} In parentheses: standard deviation over the patches. Seconds: of one patch."
    tables = [Table("Means over patches", text, tuple(map(_column, order)), tuple(rows), 2)]
    compared = ("psnr", "ssim", "ssim_paper")
    gaps = [_row(method.title, _joined(method.gaps, compared)) for method in methods if method.gaps]
    if gaps:
        columns = tuple(map(_column, compared))
        tables.append(Table("Difference to X-BDCNN", _gap_text(run.images), columns, tuple(gaps), 2))
    notes = [f"{QUANTITIES[name][0]}: {QUANTITIES[name][1]}" for name in ("ssim", "ssim_paper")]
    return _report("Table I of the X-BDCNN paper", tables, run, [QUANTITIES["psnr"][1], QUANTITIES["snr"][1], *notes])


def _gap_text(images: int) -> str:
    return (
        f"The method's value minus that of X-BDCNN on the same noisy images: mean over n = {images} images ± half of "
        "its 95 % interval, t s / sqrt(n), with s the standard deviation of the n differences (divisor n - 1) and t "
        "the 97.5 % quantile of Student's distribution with n - 1 degrees of freedom. What belongs to one image is "
        "averaged first."
    )


def _report(title: str, tables: Sequence[Table], run: Run, definitions: Sequence[str] = ()) -> Report:
    notes = [*definitions, NOTE_SWAPPED, NOTE_IMAGES, NOTE_SSIM]
    if not run.complete:
        notes.insert(0, NOTE_INCOMPLETE)
    if any(row.spreads for table in tables for row in table.rows):
        notes.append(NOTE_SPREADS)
    for hint in dict.fromkeys(hint for _, hint in run.absent):
        names = ", ".join(name for name, other in run.absent if other == hint)
        notes.append(f"Not installed: {names}. To measure them: {hint}")
    return Report(title, run.facts, tuple(tables), tuple(notes))


def _rows(methods: Sequence[Method], quantity: str, quoted: Mapping[str, Sequence[float | None]]) -> list[Row]:
    """Our rows, the paper's row below the first of ours that has its name, and the paper's other rows."""
    left = {name: Row(f"paper: {TITLES[name]}", tuple(values), quoted=True) for name, values in quoted.items()}
    rows = []
    for method in methods:
        rows.append(_row(method.title, method.figures[quantity]))
        if method.name in left:
            rows.append(left.pop(method.name))
    return [*rows, *left.values()]


def _row(title: str, figures: Figures) -> Row:
    return Row(title, figures.values, spreads=figures.spreads, margins=figures.margins)


def _printed(name: str, quantity: str, cells: Sequence[tuple[float, float]]) -> tuple[float | None, ...]:
    """The paper's row of Table II and its mean; nothing where it prints no such quantity."""
    offset = {"psnr": 0.0, "snr": SNR_MINUS_PSNR}.get(quantity)
    if offset is None:
        return ()
    known = dict(zip(CELLS, TABLE_2_PSNR[name], strict=True))
    values = [known[cell] + offset for cell in cells if cell in known]
    mean = fmean(values) if len(values) == len(cells) else None
    return (*(known[cell] + offset if cell in known else None for cell in cells), mean)


def _column(quantity: str) -> Column:
    title, _, digits = QUANTITIES[quantity]
    return Column(title="seconds" if quantity == "seconds" else title, digits=digits)


def _joined(figures: Mapping[str, Figures], order: Sequence[str]) -> Figures:
    """The single numbers of several quantities, side by side."""
    parts = [figures[quantity] for quantity in order]
    return Figures(
        tuple(value for part in parts for value in part.values),
        tuple(value for part in parts for value in part.spreads),
        tuple(value for part in parts for value in part.margins),
    )
