"""Which methods are measured: NAME is blind, NAME+level is told the true noise level."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xray_denoise import denoisers
from xray_denoise.denoisers import Denoised, Denoiser, Runtime
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.physics.estimate import estimate_level
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile, as_level
from xray_denoise.reports import methods

ESTIMATOR = "estimate"
"""The row of the classical estimator, in the table of noise levels."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the benchmark."""

    title: str
    """The name that tables show."""
    denoiser: Denoiser
    oracle: bool = False
    """Whether it is told the true noise level; otherwise it is blind."""
    fingerprint: str = ""
    """What else decides the result and its time: the hash of the weights, the device, the precision. Where it
    is empty the `repr` of the denoiser stands for it, which for a frozen dataclass names every parameter."""

    @property
    def identity(self) -> str:
        """Equal for entries whose results are interchangeable."""
        told = "told the level" if self.oracle else "blind"
        return f"{self.denoiser.name}, {told}, {self.fingerprint or repr(self.denoiser)}"

    @property
    def is_network(self) -> bool:
        """Whether it has weights."""
        return bool(getattr(self.denoiser, "version", ""))


@dataclass(frozen=True, slots=True)
class Absent:
    """A row that cannot be measured here."""

    title: str
    hint: str
    """How to install what it needs."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates the noise level classically and leaves the image as it is."""

    name: str = field(default=ESTIMATOR, init=False)

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | NoiseProfile | None = None) -> Denoised:
        """See `Denoiser`."""
        return Denoised(np.asarray(noisy, dtype=np.float32), as_level(level) or estimate_level(noisy))


def default_rows() -> list[str]:
    """Every row of Table II whose method is known here: the classical ones, then the networks with weights."""
    classical = denoisers.classical_names()
    return [*(row for row in methods.CLASSICAL_ROWS if methods.split(row)[0] in classical), *network_rows()]


def network_rows() -> list[str]:
    """Every network with weights, in the order of the tables."""
    networks = denoisers.network_names()
    known = [row for row in methods.NETWORK_ROWS if row in networks]
    return [*known, *(name for name in networks if name not in known)]


def figure_rows() -> list[str]:
    """What a figure has room for."""
    classical = denoisers.classical_names()
    able = [name for name in classical if not denoisers.missing(name)] + denoisers.network_names()
    first = [] if "bm3d" in able else ["tv+level"]
    return first + [row for row in methods.FIGURE_ROWS if row in able]


def named_rows(text: str, *, estimator: bool = False) -> list[str]:
    """The rows of `--methods A,B+level`.

    Args:
        text: what follows the option.
        estimator: whether the classical estimator makes sense as a row.

    Raises:
        UsageError: a row is named twice, or removes no noise.
        CannotRunError: a row needs a package that is not installed.
    """
    rows = [row.strip() for row in text.split(",")]
    if len({methods.title(row) for row in rows}) < len(rows):
        raise UsageError("a method is named twice", hint=f"choose from {', '.join(denoisers.names())}")
    if ESTIMATOR in rows and not estimator:
        raise UsageError(f"'{ESTIMATOR}' removes no noise", hint="it is for --table noise-level")
    for row in rows:
        pip = _missing(row)
        if pip:
            raise CannotRunError(f"'{row}' needs a package that is not installed", hint=pip)
    return rows


def make(rows: Iterable[str], runtime: Runtime) -> tuple[list[Entry], list[Absent]]:
    """The methods of `rows` ready to run, and those that lack a package.

    Raises:
        UsageError: no method of that name.
        CannotRunError: the device is missing, or the weights cannot be used.
    """
    entries, absent = [], []
    for row in rows:
        pip = _missing(row)
        if pip:
            absent.append(Absent(methods.title(row), pip))
        else:
            entries.append(_entry(row, runtime))
    return entries, absent


def _missing(row: str) -> str:
    return denoisers.missing(methods.split(row)[0])


def _entry(row: str, runtime: Runtime) -> Entry:
    name, told = methods.split(row)
    if name == ESTIMATOR:
        return Entry(methods.title(row), Estimator(), oracle=told)
    method = denoisers.get(name, runtime)
    version = getattr(method, "version", "")
    fingerprint = version and f"{version} {getattr(method, 'settings', '')}"
    return Entry(methods.title(row), method, oracle=told, fingerprint=fingerprint)


def device(entries: Sequence[Entry]) -> str:
    """Where the networks among `entries` run; classical methods run on the CPU."""
    found = {str(entry.denoiser.device) for entry in entries if hasattr(entry.denoiser, "device")}
    return ", ".join(sorted(found)) or "cpu"


def models(entries: Sequence[Entry]) -> str:
    """The networks among `entries`, the hashes of their weights, and how long they were trained."""
    found = []
    for entry in entries:
        if entry.is_network:
            training = getattr(entry.denoiser, "training", "")
            found.append(f"{entry.denoiser.name} {entry.fingerprint[:12]}" + (f" ({training})" if training else ""))
    return ", ".join(found)
