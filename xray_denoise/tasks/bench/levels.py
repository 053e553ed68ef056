"""How well the noise level is estimated: networks beside the classical estimator."""

from collections.abc import Callable, Sequence

import numpy as np

from xray_denoise.physics.noise import GREY_MAX, NoiseLevel, add_noise
from xray_denoise.reports.paper import Run
from xray_denoise.reports.tables import Column, Report, Row, Table
from xray_denoise.tasks.bench.log import Measurement
from xray_denoise.tasks.bench.rows import Entry
from xray_denoise.tasks.bench.summary import Results, image_means, mean, spread

PROBE_SIZE = 64
"""Side of the image that shows whether a method has a notion of the noise level, pixels."""

DEFINITION = (
    "Over all images and noise levels. 1/eta: relative error of 1/eta, the part of the photons in the variance. "
    "sigma: error of the electronic noise in grey levels. total: relative error of sqrt(127.5/eta + sigma^2), the "
    "standard deviation of the noise at mid-grey, which is what a denoiser needs most. bias: mean with sign; error: "
    "mean without. In parentheses: standard deviation over the images of the mean of each image."
)


def _part_of_photons(one: Measurement, level: NoiseLevel) -> float:
    return 100 * (one.eta / level.eta - 1)


def _electronics(one: Measurement, level: NoiseLevel) -> float:
    return level.sigma - one.sigma


def _total(one: Measurement, level: NoiseLevel) -> float:
    middle = GREY_MAX / 2
    return 100 * (level.effective_sigma(middle) / NoiseLevel(one.eta, one.sigma).effective_sigma(middle) - 1)


ERRORS: tuple[tuple[str, str, Callable[[Measurement, NoiseLevel], float]], ...] = (
    ("1/eta", "%", _part_of_photons),
    ("sigma", "grey", _electronics),
    ("total", "%", _total),
)
"""Name, unit and how far the estimate lies above the truth."""


def has_level(entry: Entry) -> bool:
    """Whether a method says which noise level it believes in, seen on a small grey image."""
    grey = np.full((PROBE_SIZE, PROBE_SIZE), GREY_MAX / 2)
    return entry.denoiser(add_noise(grey, NoiseLevel(0.6, 10.0), np.random.default_rng(0))).level is not None


def noise_level(results: Results, entries: Sequence[Entry], run: Run) -> Report:
    """Bias and mean error of each estimate.

    Args:
        results: what was measured.
        entries: the rows, blind ones.
        run: what the head of the report says.
    """
    columns = tuple(
        Column(title=f"{name} {kind}, {unit}", digits=2) for name, unit, _ in ERRORS for kind in ("bias", "error")
    )
    rows = [_row(results, entry.title) for entry in entries]
    table = Table("Error of the estimated noise level", DEFINITION, columns, tuple(rows), 2)
    notes = () if run.complete else ("The run is not complete: the means cover what was measured so far.",)
    return Report("Noise level estimated from one image", run.facts, (table,), notes)


def _row(results: Results, title: str) -> Row:
    means, spreads = [], []
    for _, _, error in ERRORS:
        errors = {where: error(one, one.level) for where, one in results.of(title).items() if one.level}
        for signed in (True, False):
            by_image = image_means({where: value if signed else abs(value) for where, value in errors.items()})
            means.append(mean(by_image))
            spreads.append(spread(by_image))
    return Row(title, tuple(means), spreads=tuple(spreads))
