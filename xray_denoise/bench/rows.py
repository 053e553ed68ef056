"""The methods of a benchmark, and how they are run.

A row is written NAME (blind: the method estimates the noise itself) or NAME+level (oracle: it is given the true noise).
A model in the weights folder that has no line in `KNOWN` is measured under its own name by `--methods all`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from xray_denoise import denoisers
from xray_denoise.denoisers import AUTO, Denoised, Denoiser, Runtime
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.physics.level_estimate import estimate_level
from xray_denoise.physics.profile import Noise, as_level

ORACLE = "+level"
"""Follows the name of a method that is given the true noise level."""
ALL, PAPER, NETWORKS, SPEED, GROWTH, FIGURE = "all", "paper", "networks", "speed", "growth", "figure"
"""Sets of rows. `PAPER` is Table II as the paper has it and the default model of `denoise`."""
ESTIMATOR = "estimate"
"""The row of the classical noise estimator, in the table of noise levels only."""
REFERENCE = "x-bdcnn"
"""The row that the others are compared with in quality."""


@dataclass(frozen=True, slots=True)
class Known:
    """A method in tables: its `title`, and the `sets` of rows that it belongs to.

    In a full table it has a row for each of `rows`: what follows its name there. A quick run leaves out a `slow` one:
    its oracle row in tables of quality, every row in tables of speed.
    """

    name: str
    title: str
    sets: tuple[str, ...] = ()
    rows: tuple[str, ...] = ("",)
    slow: bool = False


KNOWN = (
    Known("noisy", "noisy", (PAPER, SPEED)),
    Known("tv", "TV", (SPEED,), (ORACLE,)),
    Known("nlm", "NLM", (SPEED,), (ORACLE,)),
    Known("gat-tv", "GAT + TV", rows=(ORACLE,)),
    Known("gat-nlm", "GAT + NLM", rows=(ORACLE,)),
    Known("nl-pca", "Poisson NL-PCA", rows=(ORACLE,), slow=True),
    Known("bm3d", "BM3D", (SPEED, FIGURE), ("", ORACLE), slow=True),
    Known("gat-bm3d", "GAT + BM3D", (SPEED,), ("", ORACLE), slow=True),
    Known("ivst-bm3d", "Iterative VST", rows=(ORACLE,), slow=True),
    Known("dncnn", "DnCNN", (PAPER, NETWORKS, SPEED, FIGURE)),
    Known("x-recnn", "X-ReCNN (reconstructed)", (PAPER, NETWORKS, SPEED, FIGURE)),
    Known("skidnet", "SkiDNet (second-hand)", (NETWORKS,)),
    Known("cbdnet", "CBDNet", (NETWORKS,)),
    Known("x-bdcnn-no-nle", "X-BDCNN without NLE", (NETWORKS,)),
    Known("x-bdcnn-no-ssim", "X-BDCNN without SSIM", (NETWORKS,)),
    Known("x-bdcnn", "X-BDCNN", (PAPER, NETWORKS, SPEED, GROWTH, FIGURE)),
    Known("lite", "lite", (NETWORKS, SPEED, GROWTH)),
    Known(AUTO, "default of denoise", (PAPER, SPEED, GROWTH), ()),
    Known(ESTIMATOR, "classical estimator", rows=()),
)
"""Every method that tables know, in the order of their rows."""
BY_NAME = {known.name: known for known in KNOWN}


@dataclass(frozen=True)
class Row:
    """One row of a table: a method, by the `name` that `--model` takes, and how it is run.

    `make` loads it, and can be pickled, so that another process can call it. An `oracle` is given the true noise. A
    network whose speed is measured has a `precision` (fp32, bf16 or fp16) and the hash of its `weights`.
    """

    title: str
    name: str
    make: Callable[[], Denoiser]
    oracle: bool = False
    precision: str = ""
    weights: str = ""

    @cached_property
    def denoiser(self) -> Denoiser:
        """The method, loaded on first use."""
        return self.make()

    def __call__(self, noisy: NDArray[np.floating], noise: Noise) -> Denoised:
        """Denoise an image, (H, W), grey levels, whose true noise is `noise`.

        Raises:
            UsageError: the method does not accept such a noise.
        """
        return self.denoiser(noisy, noise if self.oracle else None)

    @property
    def identity(self) -> str:
        """Equal for rows whose results are interchangeable; what runs in another process is not loaded here."""
        if self.precision:
            return f"{self.title} {self.weights}"
        method, sha256 = self.denoiser, self.denoiser.weights_sha256
        parameters = f"{sha256} {method.settings}" if sha256 else repr(method)
        return f"{method.name}, {'oracle' if self.oracle else 'blind'}, {parameters}"

    @property
    def is_network(self) -> bool:
        """Whether it has weights."""
        return bool(self.denoiser.weights_sha256)


@dataclass(frozen=True, slots=True)
class Estimator(Denoiser):
    """Estimates the noise level classically and leaves the image as it is."""

    name: str = field(default=ESTIMATOR, init=False)

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """See `Denoiser`."""
        return Denoised.of(noisy, noisy, as_level(level) or estimate_level(noisy))


def split(row: str) -> tuple[Known, bool]:
    """The method of a row, under its own name if tables do not know it, and whether the row is an oracle."""
    name = row.removesuffix(ORACLE)
    return BY_NAME.get(name, Known(name, name)), name != row


def title(row: str) -> str:
    """The title of a row in tables."""
    method, oracle = split(row)
    return method.title + (" (true level)" if oracle else "")


def of_set(wanted: str) -> list[str]:
    """The rows of a set, as far as their methods are known here; `ALL` and `NETWORKS` take new models too."""
    networks = denoisers.network_names()
    available = [*networks, *denoisers.classical_names(), AUTO]
    found = [
        known.name + suffix
        for known in KNOWN
        if known.name in available and wanted in (ALL, *known.sets)
        for suffix in (known.rows if wanted == ALL else ("",))
    ]
    return found + [name for name in networks if wanted in (ALL, NETWORKS) and name not in BY_NAME]


def named(text: str, *, estimator: bool = False) -> list[str]:
    """The rows of `A,B+level`, or every row for `all`; with `estimator`, the classical noise estimator may be one.

    Raises:
        UsageError: a row is named twice, or removes no noise.
        CannotRunError: a row needs a package that is not installed.
    """
    if text.strip() == ALL:
        return of_set(ALL)
    rows = [row.strip() for row in text.split(",")]
    if len({title(row) for row in rows}) < len(rows):
        raise UsageError("a method is named twice", hint=f"choose from {', '.join(denoisers.names())}")
    if ESTIMATOR in rows and not estimator:
        raise UsageError(f"'{ESTIMATOR}' removes no noise", hint="use it in the table noise-level", option="table")
    for row in rows:
        if pip := denoisers.missing(split(row)[0].name):
            raise CannotRunError(f"'{row}' needs a package that is not installed", hint=pip)
    return rows


def make(rows: Iterable[str], runtime: Runtime) -> tuple[list[Row], dict[str, str]]:
    """The rows ready to run, and the titles of those that lack a package, with the command that installs it.

    Raises:
        UsageError: no method of that name.
        CannotRunError: the device is missing, or the weights cannot be used.
    """
    found: list[Row] = []
    absent: dict[str, str] = {}
    for row in rows:
        name, oracle = row.removesuffix(ORACLE), row.endswith(ORACLE)
        if pip := denoisers.missing(name):
            absent[title(row)] = pip
            continue
        opened: Callable[[], Denoiser] = Estimator if name == ESTIMATOR else partial(denoisers.get, name, runtime)
        found.append(Row(title(row), name, opened, oracle))
        _ = found[-1].denoiser  # loaded here, so that what is wrong is reported before anything is measured
    return found, absent
