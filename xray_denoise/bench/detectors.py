"""Table of detector noise: how much of it each method removes, for every deviation and spectrum.

    f = g + d(g) * (white noise convolved with a kernel)          `NoiseProfile.draw`

The images stay in floating point: nothing is clipped or rounded. The noise of an image in a cell depends on the seed,
the clean pixels and the profile only. By default the deviation d is the same at every grey level, so that a row says
what the spectrum alone does; with `own_curve` it is the detector's own curve, scaled to the deviation at mid-grey.

A result is the mean squared error over all pixels, so that gain = 10 log10(MSE of the noisy image / MSE), dB.
BM3D takes 40 s a megapixel, so every result is a line of a JSON-lines file, found again by all that decides it.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoised
from xray_denoise.physics.chain import detector_profile
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import MID_GREY, NoiseProfile

DEVIATIONS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviations of the noise at mid-grey, grey levels."""
SPECTRA = ("white", "selenium", "csi", "processed")
"""Detectors of `physics.chain` whose spectra are drawn."""
QUICK_DEVIATIONS, QUICK_SPECTRA = (1.0, 4.0), ("white", "csi")
CLEAN = "clean"
"""Spectrum of the cell without noise."""


class ToldDenoiser(Protocol):
    """A `Denoiser` that may be told a profile."""

    def __call__(self, noisy: NDArray[np.floating], level: NoiseProfile | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; None means blind."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the table."""

    title: str
    version: str
    """What has to change where results are no longer comparable: a package's version, the hash of weights."""
    denoise: Callable[[NDArray[np.float32], NoiseProfile], Denoised]
    """Of the noisy image and its true profile."""

    @classmethod
    def blind(cls, title: str, version: str, denoiser: Callable[[NDArray[np.floating]], Denoised]) -> Self:
        """A denoiser that is told nothing."""
        return cls(title, version, lambda noisy, _: denoiser(noisy))

    @classmethod
    def told(cls, title: str, version: str, denoiser: ToldDenoiser) -> Self:
        """A denoiser that is told deviation and spectrum."""
        return cls(title, version, denoiser)

    @classmethod
    def told_white(cls, title: str, version: str, denoiser: ToldDenoiser) -> Self:
        """A denoiser that is told the deviation, and takes the noise for white."""
        return cls(
            title,
            version,
            lambda noisy, profile: denoiser(noisy, NoiseProfile(profile.grey, profile.deviation, np.ones((1, 1)))),
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """One noise."""

    spectrum: str
    deviation: float
    """At mid-grey, grey levels."""
    profile: NoiseProfile

    @property
    def digest(self) -> str:
        """Hash of the profile."""
        return hashlib.sha256(self.profile.to_json().encode()).hexdigest()[:16]

    def noisy(self, clean: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
        """Draw the noise of `clean`, (H, W), grey levels; equal arguments give equal images."""
        text = f"{seed} {digest_of(clean)} {self.digest}"
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()))
        return np.asarray(clean + self.profile.draw(clean, rng), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Key:
    """What decides a result."""

    method: str
    version: str
    image_sha256: str
    profile_sha256: str
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One method on one image in one cell."""

    method: str
    image: str
    spectrum: str
    deviation: float
    """Of the cell, at mid-grey, grey levels."""
    noisy_mse: float
    """Mean squared error of the noisy image, grey levels squared."""
    mse: float
    """Of the result."""
    shift: float
    """Mean of result - noisy, grey levels."""
    found_deviation: float | None
    """Relative error of the estimated deviation at mid-grey; None where the method estimates none."""
    found_bands: tuple[float, ...] | None
    """Error of the estimated power in the bands of a profile, dB; likewise."""
    seconds: float

    @property
    def gain(self) -> float:
        """PSNR gained over the noisy image, dB; where there was no noise, the PSNR."""
        if self.mse == 0:
            return math.inf
        return 10 * math.log10((self.noisy_mse or 255.0**2) / self.mse)


def detector_noise(name: str, *, own_curve: bool = False) -> Callable[[float], NoiseProfile]:
    """Noise of a named detector against its deviation at mid-grey, grey levels."""
    return lambda deviation: _flat(detector_profile(name, deviation), deviation, own_curve)


def profile_noise(profile: NoiseProfile, *, own_curve: bool = False) -> Callable[[float], NoiseProfile]:
    """Noise of a measured profile, scaled to a deviation at mid-grey, grey levels."""
    factor = 1 / float(profile.deviation_at(MID_GREY))
    return lambda deviation: _flat(profile.scaled(factor * deviation), deviation, own_curve)


def _flat(profile: NoiseProfile, deviation: float, own_curve: bool) -> NoiseProfile:
    return profile if own_curve else NoiseProfile(np.array([MID_GREY]), np.array([deviation]), profile.kernel)


def cells(
    spectra: Iterable[tuple[str, Callable[[float], NoiseProfile]]],
    deviations: Sequence[float] = DEVIATIONS,
    *,
    clean: bool = True,
) -> list[Cell]:
    """Every spectrum at every deviation, with the cell without noise first where `clean` is set."""
    first = [Cell(CLEAN, 0.0, NoiseProfile.white(0.0))] if clean else []
    return first + [Cell(name, deviation, noise(deviation)) for name, noise in spectra for deviation in deviations]


def averaged(grey: NDArray[np.floating]) -> NDArray[np.float32]:
    """Means of 2x2 pixels in floating point: half the size, and half of the noise that a radiograph holds itself."""
    even = np.asarray(grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2], dtype=np.float64)
    return ((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4).astype(np.float32)


def digest_of(image: NDArray[np.floating]) -> str:
    """Hash of shape and pixels."""
    pixels = np.ascontiguousarray(image, dtype="<f4")
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


class Log:
    """Outcomes in a JSON-lines file, each appended as it comes; a last line that was cut off is measured anew.

    Args:
        path: the file; None keeps nothing beyond this object.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[Key, Outcome] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
                values = json.loads(line)
                if values["found_bands"] is not None:
                    values["found_bands"] = tuple(values["found_bands"])
                key = Key(**{field.name: values[field.name] for field in fields(Key)})
                self._known[key] = Outcome(**{field.name: values[field.name] for field in fields(Outcome)})

    def get(self, key: Key) -> Outcome | None:
        """The outcome of `key`, if it is known."""
        return self._known.get(key)

    def add(self, key: Key, outcome: Outcome) -> None:
        """Keep one more."""
        self._known[key] = outcome
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(key) | asdict(outcome)) + "\n")


def measure(
    images: Iterable[tuple[str, NDArray[np.float32]]],
    noises: Sequence[Cell],
    methods: Sequence[Method],
    log: Log,
    seed: int = 0,
) -> Iterator[Outcome]:
    """Every method on every image in every cell, image by image; what the log knows is not computed again.

    Args:
        images: names, and noise-free images, (H, W), grey levels.
        noises: the cells.
        methods: the rows.
        log: gets every outcome.
        seed: of the noise.
    """
    for name, clean in images:
        digest = digest_of(clean)
        for cell in noises:
            for method in methods:
                key = Key(method.title, method.version, digest, cell.digest, seed)
                outcome = log.get(key)
                if outcome is None:
                    outcome = _measured(method, name, clean, cell, seed)
                    log.add(key, outcome)
                yield outcome


def _measured(method: Method, name: str, clean: NDArray[np.float32], cell: Cell, seed: int) -> Outcome:
    noisy = cell.noisy(clean, seed)
    start = time.perf_counter()
    denoised = method.denoise(noisy, cell.profile)
    seconds = time.perf_counter() - start
    truth = clean.astype(np.float64)
    found = level_error(denoised.level, cell.profile)
    return Outcome(
        method.title,
        name,
        cell.spectrum,
        cell.deviation,
        noisy_mse=float(((noisy - truth) ** 2).mean()),
        mse=float(((denoised.image - truth) ** 2).mean()),
        shift=float((denoised.image.astype(np.float64) - noisy).mean()),
        found_deviation=found[0],
        found_bands=found[1],
        seconds=seconds,
    )


def level_error(
    found: NoiseLevel | NoiseProfile | None, true: NoiseProfile
) -> tuple[float | None, tuple[float, ...] | None]:
    """Relative error of the deviation at mid-grey, and the errors of the band powers in dB; None where there is none.

    A `NoiseLevel` says nothing about the spectrum.
    """
    deviation = float(true.deviation_at(MID_GREY))
    if found is None or deviation == 0:
        return None, None
    if isinstance(found, NoiseLevel):
        return found.effective_sigma(MID_GREY) / deviation - 1, None
    bands = 10 * np.log10(np.maximum(found.band_powers(), 1e-9) / np.maximum(true.band_powers(), 1e-9))
    return float(found.deviation_at(MID_GREY)) / deviation - 1, tuple(map(float, bands))


@dataclass(frozen=True, slots=True)
class CellMeans:
    """One method in one cell, over the images."""

    method: str
    spectrum: str
    deviation: float
    gain: float
    """Mean PSNR gain, dB; the mean PSNR where there is no noise."""
    shift: float
    """Mean shift, grey levels."""
    found_deviation: float | None
    """Median size of the relative error of the deviation at mid-grey; None where the method estimates none."""
    found_bands: float | None
    """Median size of the error of a band power, dB; likewise."""


def means(outcomes: Iterable[Outcome]) -> list[CellMeans]:
    """The table: every method in every cell, in the order in which they come."""
    grouped: dict[tuple[str, str, float], list[Outcome]] = {}
    for one in outcomes:
        grouped.setdefault((one.method, one.spectrum, one.deviation), []).append(one)
    table = []
    for where, group in grouped.items():
        deviations = [abs(one.found_deviation) for one in group if one.found_deviation is not None]
        bands = [abs(band) for one in group for band in one.found_bands or ()]
        table.append(
            CellMeans(
                *where,
                gain=float(np.mean([one.gain for one in group])),
                shift=float(np.mean([one.shift for one in group])),
                found_deviation=float(np.median(deviations)) if deviations else None,
                found_bands=float(np.median(bands)) if bands else None,
            )
        )
    return table
