"""The tables of the X-BDCNN paper and of noise levels, and `TABLES`, the registry of all tables."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from xray_denoise.bench import cases, paper
from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import Case, CleanImage
from xray_denoise.bench.detectors import DetectorTable
from xray_denoise.bench.harm import HarmTable
from xray_denoise.bench.metrics import METRICS, SECONDS
from xray_denoise.bench.pivot import image_means, mean, spread
from xray_denoise.bench.rows import Row
from xray_denoise.bench.speed import GrowthTable, SpeedTable
from xray_denoise.bench.table import Run, TableSpec
from xray_denoise.errors import UsageError
from xray_denoise.reports import plots
from xray_denoise.reports import tables as layout
from xray_denoise.reports.page import Plot
from xray_denoise.reports.tables import Column, Table

SHOWN = ("psnr", "snr", "ssim", "ssim_paper", SECONDS)
LEVEL_ERRORS = ("inverse_eta_error", "sigma_error", "total_error")
COMPARED = ("psnr", "ssim", "ssim_paper")
PLOTTED = 6
"""Methods in the plot; more lines could not be told apart."""


def _quoted(printed: Mapping[str, tuple[float | None, ...]]) -> dict[str, layout.Row]:
    """Rows of the paper, which calls methods as we do, but for what we say of them in parentheses."""
    titles = {name: registry.title(name).partition(" (")[0] for name in printed}
    return {name: layout.Row(f"{plots.PAPER}{titles[name]}", row, quoted=True) for name, row in printed.items()}


class Table2(TableSpec):
    """Means over images at each noise level, ours beside the paper's, and differences to the reference."""

    metrics = (*SHOWN, *LEVEL_ERRORS)
    notes = paper.NOTES
    plotted = "PSNR by noise level"
    pictures = True

    def layout(self, run: Run) -> list[Table]:
        """A table for each metric."""
        levels = cases.QUICK_LEVELS if run.quick else cases.TABLE_2
        cells, labels = [(level.eta, level.sigma) for level in levels], [cases.label(level) for level in levels]
        columns = (*(Column(*cell) for cell in cells), Column())
        groups = [*([one] for one in labels), labels]
        first, *others = (
            run.pivot(name, groups, columns, printed=_quoted(paper.table_2(name, cells))) for name in SHOWN
        )
        gaps = [("psnr", group) for group in groups]
        return [first, *run.gaps("Difference to X-BDCNN, PSNR, dB", gaps, columns), *others]

    def plot(self, run: Run) -> Plot:
        """PSNR of the methods with the highest means, and the paper's rows of the same methods."""
        table = self.layout(run)[0]
        ours = sorted((row for row in table.rows if not row.quoted), key=lambda row: -(row.values[-1] or 0.0))
        titles = {row.title for row in ours[:PLOTTED]}
        best = replace(table, rows=tuple(row for row in table.rows if row.title.removeprefix(plots.PAPER) in titles))
        caption = f"The {PLOTTED} methods with the highest mean. Solid: measured; dashed: printed in the paper."
        return Plot(self.plotted, plots.psnr_by_level(best), caption)


class Table1(TableSpec):
    """Means over patches of random noise level, ours beside the paper's, and differences to the reference."""

    metrics = SHOWN
    notes = (
        *(METRICS[name].definition for name in ("psnr", "snr")),
        *(f"{METRICS[name].title}: {METRICS[name].definition}" for name in ("ssim", "ssim_paper")),
        *paper.NOTES,
    )

    def cases(self, image: CleanImage, seed: int, quick: bool) -> Iterable[Case]:
        """Patches of the image."""
        return cases.in_patches(image, seed, cases.QUICK_PATCHES if quick else cases.PATCHES)

    def layout(self, run: Run) -> list[Table]:
        """All metrics side by side."""
        order = ("snr", "psnr", "ssim", "ssim_paper", SECONDS)
        ours = []
        for row in run.rows:
            values = [list(run.results.values(row.title, name).values()) for name in order]
            ours.append(layout.Row(row.title, tuple(map(mean, values)), spreads=tuple(map(spread, values))))
        printed = _quoted({name: (None, value, None, None, None) for name, value in paper.TABLE_1_PSNR.items()})
        text = (
            f"Patches of {cases.PATCH_SIZE}x{cases.PATCH_SIZE} pixels at random places of the images, each with a "
            f"random noise level: eta from {cases.PATCH_ETA[0]:g} to {cases.PATCH_ETA[1]:g}, sigma from "
            f"{cases.PATCH_SIGMA[0]:g} to {cases.PATCH_SIGMA[1]:g}. Patches darker than {cases.DARKEST_PATCH:g} grey "
            "levels in the mean are left out. In parentheses: standard deviation over the patches. Seconds: of one "
            "patch."
        )
        means = Table("Means over patches", text, tuple(map(_column, order)), run.beside(ours, printed), 2)
        gaps = [(name, None) for name in COMPARED]
        return [means, *run.gaps("Difference to X-BDCNN", gaps, tuple(map(_column, COMPARED)))]


class NoiseLevelTable(TableSpec):
    """Bias and mean error of each estimate of the noise level, over images."""

    metrics = LEVEL_ERRORS

    def rows(self) -> list[str]:
        """The networks, and the classical estimator."""
        return [*registry.of_set(registry.NETWORKS), registry.ESTIMATOR]

    def unsuited(self, row: Row) -> str:
        """Whether a method says which noise level it believes in is seen on a grey image.

        Raises:
            UsageError: the row is an oracle.
        """
        if row.oracle:
            raise UsageError(f"'{row.title}' has nothing to estimate", hint=f"leave out {registry.ORACLE}")
        found = row(Case(cases.PROBE, cases.MIDDLE).noisy(0), cases.MIDDLE)
        return "no estimate of the noise level" if found.level is None else ""

    def layout(self, run: Run) -> list[Table]:
        """Bias and error side by side."""
        columns, found = [], []
        for name in LEVEL_ERRORS:
            what, _, unit = METRICS[name].title.partition(", ")
            columns += [Column(title=f"{what} {kind}, {unit}", digits=2) for kind in ("bias", "error")]
        for row in run.rows:
            errors = [run.results.values(row.title, name) for name in LEVEL_ERRORS]
            sizes = [{where: abs(value) for where, value in one.items()} for one in errors]
            by_image = [image_means(one) for pair in zip(errors, sizes, strict=True) for one in pair]
            found.append(layout.Row(row.title, tuple(map(mean, by_image)), spreads=tuple(map(spread, by_image))))
        text = (
            "Over all images and noise levels. 1/eta: relative error of 1/eta, the part of the photons in the "
            "variance. sigma: error of the electronic noise in grey levels. total: relative error of "
            "sqrt(127.5/eta + sigma^2), the standard deviation of the noise at mid-grey, which is what a denoiser "
            "needs most. bias: mean with sign; error: mean without. In parentheses: standard deviation over the "
            "images of the mean of each image."
        )
        return [Table("Error of the estimated noise level", text, tuple(columns), tuple(found), 2)]


def _column(name: str) -> Column:
    return Column(title=SECONDS if name == SECONDS else METRICS[name].title, digits=METRICS[name].digits)


TABLES: Mapping[str, TableSpec] = {
    "2": Table2("Table II of the X-BDCNN paper"),
    "1": Table1("Table I of the X-BDCNN paper"),
    "noise-level": NoiseLevelTable("Noise level estimated from one image"),
    "detectors": DetectorTable("Detector noise on averaged images"),
    "detectors-whole": DetectorTable("Detector noise on whole images", whole=True),
    "detectors-curve": DetectorTable(
        "Detector noise that depends on the grey level, on averaged images", own_curve=True
    ),
    "harm": HarmTable("What methods take away, add or move besides noise"),
    "speed": SpeedTable("Speed of denoisers on one image"),
    "growth": GrowthTable("Time and memory over the size of the image"),
}
"""The tables by what follows `--table`."""
