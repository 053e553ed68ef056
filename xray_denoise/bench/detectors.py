"""Tables of detector noise: how much of it each method removes, for every deviation and spectrum.

    f = g + d(g) * (white noise convolved with a kernel)          `NoiseProfile.draw`

The images stay in floating point: nothing is clipped or rounded, and they are averaged 2x2 unless `whole` is set,
because radiographs hold noise themselves. By default the deviation d is the same at every grey level, so that a table
says what the spectrum alone does; with `own_curve` it is the detector's own curve through the deviation at mid-grey.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise.bench import rows as registry
from xray_denoise.bench.cases import Case, CleanImage
from xray_denoise.bench.metrics import BANDS_FOUND, METRICS
from xray_denoise.bench.pivot import mean
from xray_denoise.bench.table import Run, TableSpec
from xray_denoise.denoisers import AUTO
from xray_denoise.errors import UsageError
from xray_denoise.files.profiles import read_profile
from xray_denoise.physics.detectors import detector_profile
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.reports.curves import Line, Panel, panels
from xray_denoise.reports.page import Plot
from xray_denoise.reports.tables import Column, Row, Table
from xray_denoise.scale import MID_GREY

DEVIATIONS, QUICK_DEVIATIONS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0), (1.0, 4.0)
"""Standard deviations of the noise at mid-grey, grey levels."""
SPECTRA, QUICK_SPECTRA = ("white", "selenium", "csi", "processed"), ("white", "csi")
"""Those of `physics.detectors` whose noise is drawn."""
COMPARED = (1.0, 8.0)
"""Lowest and highest deviation at which methods are compared with the reference."""
NOISY = registry.title("noisy")
CLEAN = "clean"
"""Label of the case without noise."""
REFERENCE = "bm3d" + registry.ORACLE
"""The row that the others are compared with. Told a profile, BM3D uses deviation and spectrum, methods for white noise
the deviation alone."""


@dataclass(frozen=True)
class DetectorTable(TableSpec):
    """Gains of each spectrum, the same against the reference, then shift, estimates, and what has no noise."""

    plotted = "PSNR gain by deviation of the noise"
    metrics = ("gain", "shift", "deviation_error", *BANDS_FOUND, "exact_psnr", "seconds")

    whole: bool = False
    """Leave images as they are instead of averaging 2x2."""
    own_curve: bool = False
    """Let the deviation depend on the grey level as it does for the detector."""
    measured: tuple[tuple[str, NoiseProfile], ...] = ()
    """Names and profiles of further detectors, each scaled to the deviations."""

    def rows(self) -> list[str]:
        """The default, and the best of the classical methods, blind and told."""
        return ["noisy", "nlm", "gat-bm3d", "gat-bm3d" + registry.ORACLE, REFERENCE, AUTO]

    def noises(self, quick: bool = False) -> list[tuple[str, float, NoiseProfile]]:
        """Spectrum, deviation and profile of every case with noise."""
        made: list[tuple[str, Callable[[float], NoiseProfile]]] = [
            (name, partial(detector_profile, name)) for name in (QUICK_SPECTRA if quick else SPECTRA)
        ]
        made += [(name, partial(_scaled, profile)) for name, profile in self.measured]
        deviations = QUICK_DEVIATIONS if quick else DEVIATIONS
        return [
            (
                name,
                one,
                of(one) if self.own_curve else NoiseProfile(np.array([MID_GREY]), np.array([one]), of(one).kernel),
            )
            for name, of in made
            for one in deviations
        ]

    def cases(self, image: CleanImage, _seed: int, quick: bool) -> Iterator[Case]:
        """The image without noise, then with each; a quick run does not average its small images."""
        clean = replace(image, grey=image.grey if self.whole or quick else averaged(image.grey))
        yield Case(clean, NoiseProfile.white(0.0), CLEAN)
        for name, deviation, profile in self.noises(quick):
            yield Case(clean, profile, _label(name, deviation))

    def layout(self, run: Run) -> list[Table]:
        """One table for each spectrum and metric; see the class."""
        known = [(name, deviation) for name, deviation, _ in self.noises(run.quick)]
        spectra = list(dict.fromkeys(name for name, _ in known))
        deviations = list(dict.fromkeys(deviation for _, deviation in known))
        tables = [self._means(run, "gain", f"PSNR gain, {name}", [name], deviations) for name in spectra]
        tables += _against_reference(run, spectra, [one for one in deviations if COMPARED[0] <= one <= COMPARED[1]])
        tables.append(self._means(run, "shift", METRICS["shift"].title, spectra, deviations))
        for metrics in (("deviation_error",), BANDS_FOUND):
            shown = METRICS[metrics[0]]
            groups = [[_label(name, one) for name in spectra] for one in deviations]
            found = tuple(Row(row.title, _sizes(run, row.title, metrics, groups)) for row in run.rows)
            if any(value is not None for row in found for value in row.values):
                text = f"{shown.definition} The median of its size over images and spectra."
                tables.append(Table(shown.title, text, tuple(map(_column, deviations)), found, shown.digits))
        clean = run.pivot("exact_psnr", [[CLEAN]], [_column(0.0)])
        return [*tables, replace(clean, title="PSNR without noise, dB", definition=self._text("exact_psnr"))]

    def plot(self, run: Run) -> Plot:
        """Mean gain against deviation, a panel for each spectrum."""
        known = [(name, deviation) for name, deviation, _ in self.noises(run.quick)]
        shown = []
        for spectrum in dict.fromkeys(name for name, _ in known):
            deviations = [deviation for name, deviation in known if name == spectrum]
            labels = [[_label(spectrum, one)] for one in deviations]
            gains = {row.title: run.results.means(row.title, "gain", labels).values for row in run.rows}
            lines = tuple(
                Line(title, np.array(deviations), np.array([math.nan if one is None else one for one in values]))
                for title, values in gains.items()
                if title != NOISY
            )
            shown.append(Panel(spectrum, "deviation of the noise, grey levels", "PSNR gain, dB", lines, log_x=True))
        return Plot(self.plotted, panels(shown))

    def _means(self, run: Run, metric: str, title: str, spectra: Sequence[str], deviations: Sequence[float]) -> Table:
        groups = [[_label(name, one) for name in spectra] for one in deviations]
        columns = (*map(_column, deviations), Column())
        found = run.pivot(metric, [*groups, [one for group in groups for one in group]], columns)
        return replace(found, title=title, definition=self._text(metric))

    def _text(self, metric: str) -> str:
        curve = "that of the detector, given at mid-grey" if self.own_curve else "the same at every grey level"
        return f"{METRICS[metric].definition} Columns: deviation of the noise in grey levels, {curve}."


def with_profile(spec: TableSpec, path: Path) -> DetectorTable:
    """A table with one more spectrum, that of a file of a noise profile; it is called after the file.

    Raises:
        UsageError: it is no table of detector noise, or the profile has no noise.
        UnreadableFileError: the file holds no noise profile.
    """
    if not isinstance(spec, DetectorTable):
        hint = "ask for the table detectors, or leave them out"
        raise UsageError("profiles are for tables of detector noise", hint=hint, option="table")
    profile = read_profile(path)
    if not float(profile.deviation_at(MID_GREY)) > 0:
        hint = "choose another profile"
        raise UsageError("{path} has no noise at mid-grey to be scaled", path=path, hint=hint)
    return replace(spec, measured=((path.stem, profile),))


def averaged(grey: NDArray[np.floating]) -> NDArray[np.float32]:
    """Means of 2x2 pixels in floating point: half the size, and half of the noise that a radiograph holds itself."""
    even = np.asarray(grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2], dtype=np.float64)
    return ((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4).astype(np.float32)


def even(deviation: float, kernel: NDArray[np.float64]) -> NoiseProfile:
    """Noise of the spectrum of a kernel with the same deviation at every grey level."""
    return NoiseProfile(np.array([MID_GREY]), np.array([deviation]), kernel)


def _scaled(profile: NoiseProfile, deviation: float) -> NoiseProfile:
    """Noise of a measured profile with another deviation at mid-grey."""
    return profile.scaled(deviation / float(profile.deviation_at(MID_GREY)))


def _label(spectrum: str, deviation: float) -> str:
    return f"{spectrum} {deviation:g}"


def _column(deviation: float) -> Column:
    return Column(title=f"{deviation:g}")


def _sizes(run: Run, row: str, metrics: Sequence[str], groups: Sequence[Sequence[str]]) -> tuple[float | None, ...]:
    """Median of the size of metrics, one column for each group of noises."""
    found = []
    for noises in groups:
        values = [abs(value) for metric in metrics for value in run.results.values(row, metric, noises).values()]
        found.append(statistics.median(values) if values else None)
    return tuple(found)


def _against_reference(run: Run, spectra: Sequence[str], deviations: Sequence[float]) -> list[Table]:
    """Mean gain over that of the reference for each spectrum, over all cells, and in the cell where it is least."""
    reference, found = registry.title(REFERENCE), []
    for row in (row for row in run.rows if row.title != reference):
        gaps = [
            [mean(run.results.differences(row.title, reference, "gain", [_label(name, one)])) for one in deviations]
            for name in spectra
        ]
        known = [[gap for gap in line if gap is not None] for line in gaps]
        if all(len(line) == len(deviations) for line in known):
            cells = [gap for line in known for gap in line]
            found.append(Row(row.title, (*map(mean, known), mean(cells), min(cells))))
    text = (
        f"Gain of the method less that of {reference} on the same noisy images, dB, over deviations from "
        f"{deviations[0]:g} to {deviations[-1]:g} grey levels: mean for each spectrum, over all cells, and in the cell "
        "where it is least."
    )
    columns = (*(Column(title=name) for name in spectra), Column(), Column(title="lowest, cell"))
    return [Table(f"PSNR gain against {reference}, dB", text, columns, tuple(found), 2)] if found else []
