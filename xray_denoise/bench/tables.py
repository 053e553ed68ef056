"""The tables of quality: which cases each is made of, which metrics it needs, and how it is laid out.

    clean image -> cases -> rows -> records -> pivot -> tables

`TABLES` is the registry. A table is added by one entry there: `cases` yields `Case(image, noise, name)` of a clean
image, where the noise is a `NoiseLevel` or a `NoiseProfile`; `metrics` names what is measured (metrics.py); `layout`
makes tables of the records, mostly by `Results.means` and `Results.gaps`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xray_denoise.bench import cases, detectors, paper
from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import Case, CleanImage
from xray_denoise.bench.metrics import METRICS, SECONDS
from xray_denoise.bench.pivot import Cells, Results, image_means, mean, spread
from xray_denoise.bench.rows import Absent, Row
from xray_denoise.errors import UsageError
from xray_denoise.files.profiles import read_profile
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.reports import tables as layout
from xray_denoise.reports.tables import Column, Table
from xray_denoise.scale import GREY_MAX, MID_GREY

SHOWN = ("psnr", "snr", "ssim", "ssim_paper", SECONDS)
LEVEL_ERRORS = ("inverse_eta_error", "sigma_error", "total_error")
COMPARED = ("psnr", "ssim", "ssim_paper")
PROBE_SIZE = 64
"""Side of the image that shows whether a method estimates the noise level, pixels."""

NOTE_INCOMPLETE = "The run is not complete: a mean covers the images measured so far, and not every mean the same ones."
NOTE_SPREADS = (
    "Numbers in parentheses are standard deviations, in Table II over the images; where there is no room for them "
    "they are in the files for tables."
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a table is made of."""

    results: Results
    rows: Sequence[Row]
    images: int = 0
    """How many images stand behind the numbers."""
    quick: bool = False
    complete: bool = True
    """Whether every row has every case."""
    absent: Sequence[Absent] = ()

    def not_installed(self, columns: int) -> list[layout.Row]:
        """Empty rows for the methods that lack a package."""
        return [layout.Row(f"{row.title}: not installed", (None,) * columns) for row in self.absent]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table of quality."""

    title: str
    rows: Callable[[], list[str]]
    """Its rows where the user names none."""
    cases: Callable[[CleanImage, int, bool], Iterable[Case]]
    """Of an image, with the seed of the run, for a full or a quick run."""
    per_image: Callable[[bool], int]
    """How many cases an image has, in a full or a quick run."""
    metrics: tuple[str, ...]
    layout: Callable[[Run], list[Table]]
    notes: tuple[str, ...] = ()
    cuts: str = ""
    """What a quick run leaves out."""
    suits: Callable[[Row], bool] = lambda _: True
    """Whether a row makes sense in it."""
    unsuited: str = ""
    """Why the other rows are left out."""
    noise_table: detectors.DetectorTable | None = None
    """What a table of detector noise is made of."""


def _levels(quick: bool) -> tuple[NoiseLevel, ...]:
    return cases.QUICK_LEVELS if quick else cases.TABLE_2


def _table_2(run: Run) -> list[Table]:
    """Means over images at each noise level, ours beside the paper's, and differences to the reference."""
    levels = _levels(run.quick)
    columns = (*(Column(float(level.eta), float(level.sigma)) for level in levels), Column())
    groups = [*([cases.label(level)] for level in levels), [cases.label(level) for level in levels]]
    cells = [(float(level.eta), float(level.sigma)) for level in levels]
    tables = []
    for name in SHOWN:
        metric = METRICS[name]
        ours = {row: run.results.means(row.title, name, groups) for row in run.rows}
        found = _beside_the_paper(ours, paper.table_2(name, cells))
        if name == "psnr":
            found += run.not_installed(len(columns))
        tables.append(Table(metric.title, metric.definition, columns, tuple(found), metric.digits))
    gaps = [_gaps(run, row, ("psnr",), groups) for row in run.rows]
    return [tables[0], *_gap_table(run, "Difference to X-BDCNN, PSNR, dB", columns, gaps), *tables[1:]]


def _table_1(run: Run) -> list[Table]:
    """Means over patches of random noise level, ours beside the paper's, and differences to the reference."""
    order = ("snr", "psnr", "ssim", "ssim_paper", SECONDS)
    ours = {}
    for row in run.rows:
        values = [list(run.results.values(row.title, name).values()) for name in order]
        ours[row] = Cells(tuple(map(mean, values)), tuple(map(spread, values)))
    quoted = {name: (None, value, None, None, None) for name, value in paper.TABLE_1_PSNR.items()}
    text = (
        f"Patches of {cases.PATCH_SIZE}x{cases.PATCH_SIZE} pixels at random places of the images, each with a random "
        f"noise level: eta from {cases.PATCH_ETA[0]:g} to {cases.PATCH_ETA[1]:g}, sigma from {cases.PATCH_SIGMA[0]:g} "
        f"to {cases.PATCH_SIGMA[1]:g}. Patches darker than {cases.DARKEST_PATCH:g} grey levels in the mean are left "
        "out. In parentheses: standard deviation over the patches. Seconds: of one patch."
    )
    found = (*_beside_the_paper(ours, quoted), *run.not_installed(len(order)))
    means = Table("Means over patches", text, tuple(map(_column, order)), found, 2)
    gaps = [_gaps(run, row, COMPARED, [None]) for row in run.rows]
    return [means, *_gap_table(run, "Difference to X-BDCNN", tuple(map(_column, COMPARED)), gaps)]


def _noise_level(run: Run) -> list[Table]:
    """Bias and mean error of each estimate of the noise level, over images."""
    columns, found = [], []
    for name in LEVEL_ERRORS:
        what, _, unit = METRICS[name].title.partition(", ")
        columns += [Column(title=f"{what} {kind}, {unit}", digits=2) for kind in ("bias", "error")]
    for row in run.rows:
        values, spreads = [], []
        for name in LEVEL_ERRORS:
            errors = run.results.values(row.title, name)
            for signed in (errors, {where: abs(value) for where, value in errors.items()}):
                by_image = image_means(signed)
                values.append(mean(by_image))
                spreads.append(spread(by_image))
        found.append(layout.Row(row.title, tuple(values), spreads=tuple(spreads)))
    text = (
        "Over all images and noise levels. 1/eta: relative error of 1/eta, the part of the photons in the variance. "
        "sigma: error of the electronic noise in grey levels. total: relative error of sqrt(127.5/eta + sigma^2), the "
        "standard deviation of the noise at mid-grey, which is what a denoiser needs most. bias: mean with sign; "
        "error: mean without. In parentheses: standard deviation over the images of the mean of each image."
    )
    return [Table("Error of the estimated noise level", text, tuple(columns), tuple(found), 2)]


def _column(name: str) -> Column:
    return Column(title=SECONDS if name == SECONDS else METRICS[name].title, digits=METRICS[name].digits)


def _beside_the_paper(ours: Mapping[Row, Cells], printed: Mapping[str, tuple[float | None, ...]]) -> list[layout.Row]:
    """Our rows, the paper's row below the first of ours of the same method, and the paper's other rows."""
    left = {name: layout.Row(f"paper: {paper.TITLES[name]}", row, quoted=True) for name, row in printed.items()}
    found = []
    for row, cells in ours.items():
        found.append(layout.Row(row.title, cells.values, spreads=cells.spreads))
        if row.name in left:
            found.append(left.pop(row.name))
    return [*found, *left.values()]


def _gaps(run: Run, row: Row, metrics: Sequence[str], columns: Sequence[Sequence[str] | None]) -> layout.Row | None:
    """Differences of a row to the reference, the columns of each metric side by side."""
    joined = Cells()
    for name in metrics:
        cells = run.results.gaps(row.title, registry.title(registry.REFERENCE), name, columns)
        if cells is None:
            return None
        joined += cells
    return layout.Row(row.title, joined.values, margins=joined.margins)


def _gap_table(run: Run, title: str, columns: tuple[Column, ...], gaps: list[layout.Row | None]) -> list[Table]:
    found = tuple(row for row in gaps if row)
    text = (
        f"The method's value minus that of X-BDCNN on the same noisy images: mean over n = {run.images} images ± half "
        "of its 95 % interval, t s / sqrt(n), which covers 0 where the two cannot be told apart. What belongs to one "
        "image is averaged first."
    )
    return [Table(title, text, columns, found, 2)] if found else []


def estimates_level(row: Row) -> bool:
    """Whether a method says which noise level it believes in, seen on a small grey image.

    Raises:
        UsageError: the row is an oracle.
    """
    if row.oracle:
        raise UsageError(f"'{row.title}' has nothing to estimate", hint=f"leave out {registry.ORACLE}")
    grey = np.full((PROBE_SIZE, PROBE_SIZE), GREY_MAX / 2)
    return row.denoiser(add_noise(grey, cases.MIDDLE, np.random.default_rng(0))).level is not None


_DEFINITIONS = tuple(f"{METRICS[name].title}: {METRICS[name].definition}" for name in ("ssim", "ssim_paper"))


def detector_table(title: str, table: detectors.DetectorTable) -> TableSpec:
    """A table of detector noise."""
    return TableSpec(
        title,
        lambda: list(detectors.ROWS),
        table.cases,
        table.per_image,
        detectors.METRICS_USED,
        table.layout,
        cuts=f"all but {len(detectors.QUICK_SPECTRA)} spectra at {len(detectors.QUICK_DEVIATIONS)} deviations",
        noise_table=table,
    )


def with_profile(spec: TableSpec, path: Path) -> TableSpec:
    """A table of detector noise with one more spectrum, called after the file.

    Raises:
        UsageError: the table is another one, or the profile has no noise at mid-grey.
        UnreadableFileError: the file holds no noise profile.
    """
    if spec.noise_table is None:
        raise UsageError("--profile is for tables of detector noise", hint="add --table detectors, or leave it out")
    profile = read_profile(path)
    if not float(profile.deviation_at(MID_GREY)) > 0:
        raise UsageError(f"{path.name} has no noise at mid-grey to be scaled", hint="choose another profile")
    return detector_table(spec.title, replace(spec.noise_table, measured=((path.stem, profile),)))


TABLES: Mapping[str, TableSpec] = {
    "2": TableSpec(
        "Table II of the X-BDCNN paper",
        lambda: registry.of_set(registry.PAPER),
        lambda image, _, quick: cases.at_levels(image, _levels(quick)),
        lambda quick: len(_levels(quick)),
        (*SHOWN, *LEVEL_ERRORS),
        _table_2,
        paper.NOTES,
        f"{len(cases.TABLE_2) - len(cases.QUICK_LEVELS)} of the {len(cases.TABLE_2)} noise levels",
    ),
    "1": TableSpec(
        "Table I of the X-BDCNN paper",
        lambda: registry.of_set(registry.PAPER),
        lambda image, seed, quick: cases.in_patches(image, seed, cases.QUICK_PATCHES if quick else cases.PATCHES),
        lambda quick: cases.QUICK_PATCHES if quick else cases.PATCHES,
        SHOWN,
        _table_1,
        (METRICS["psnr"].definition, METRICS["snr"].definition, *_DEFINITIONS, *paper.NOTES),
        f"{cases.PATCHES - cases.QUICK_PATCHES} of the {cases.PATCHES} patches of each image",
    ),
    "noise-level": TableSpec(
        "Noise level estimated from one image",
        lambda: [*registry.of_set(registry.NETWORKS), registry.ESTIMATOR],
        lambda image, _, quick: cases.at_levels(image, _levels(quick)),
        lambda quick: len(_levels(quick)),
        LEVEL_ERRORS,
        _noise_level,
        (),
        f"{len(cases.TABLE_2) - len(cases.QUICK_LEVELS)} of the {len(cases.TABLE_2)} noise levels",
        estimates_level,
        "no estimate of the noise level",
    ),
    "detectors": detector_table("Detector noise on averaged images", detectors.DetectorTable()),
    "detectors-whole": detector_table("Detector noise on whole images", detectors.DetectorTable(whole=True)),
    "detectors-curve": detector_table(
        "Detector noise that depends on the grey level, on averaged images", detectors.DetectorTable(own_curve=True)
    ),
}
"""The tables by what follows `--table`."""


def report(spec: TableSpec, run: Run, facts: Sequence[tuple[str, str]]) -> layout.Report:
    """The table of a run, with notes on what is missing."""
    title = f"Quick run on crops of few images, laid out as: {spec.title}" if run.quick else spec.title
    tables = spec.layout(run)
    notes = [] if run.complete else [NOTE_INCOMPLETE]
    notes += spec.notes
    if spec.notes and any(row.spreads for table in tables for row in table.rows):
        notes.append(NOTE_SPREADS)
    for hint in dict.fromkeys(row.hint for row in run.absent):
        names = ", ".join(row.title for row in run.absent if row.hint == hint)
        notes.append(f"Not installed: {names}. To measure them: {hint}")
    return layout.Report(title, tuple(facts), tuple(tables), tuple(notes))
