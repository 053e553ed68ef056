"""The provenance of a derived image, written into its file."""

from dataclasses import dataclass
from typing import ClassVar

from xray_denoise import __version__

USE = "Research use only, not for diagnosis."
HASH_PREFIX = 12
"""Hexadecimal digits of a model's hash that are enough to tell it apart by eye."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a derived image was made; equal source, model, hash and options give an equal object."""

    marker: ClassVar[str] = "denoised"
    """What the Series Description is extended by."""
    code: ClassVar[tuple[str, str] | None] = ("113087", "Smoothing")
    """Value and meaning of the derivation in DICOM's own terms, None where they have none."""

    model: str
    """Name of the model or method."""
    model_hash: str = ""
    """SHA-256 of its weights, hexadecimal; empty where it has none."""
    options: str = ""
    """Every option that changes the pixels, such as "strength 0.8", for people."""
    eta: float | None = None
    """Estimated photons per grey level, None where the model makes no estimate."""
    sigma: float | None = None
    """Estimated standard deviation of the electronic noise, grey levels, None as above."""

    noise: float | None = None
    """Root mean square over the image of the standard deviation of the estimated noise, grey levels, where the estimate
    is more than `eta` and `sigma` can tell."""
    correlation: float = 0.0
    """Mean correlation of that noise with the next pixel of the row and of the column."""

    settings: str = ""
    """The same at full precision, for the new identifiers; empty takes `options` for them."""

    notes: tuple[str, ...] = ()
    """What a user should know of this result."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What a new UID is derived from, besides the UID of the source."""
        return self.model, self.model_hash, self.settings or self.options

    @property
    def sentence(self) -> str:
        """The derivation as text: ASCII without backslashes, which are separators in DICOM."""
        parts = [f"Noise reduced by xray-denoise {__version__}, model {self.model}"]
        if self.model_hash:
            parts.append(f"weights {self.model_hash[:HASH_PREFIX]}")
        if self.options:
            parts.append(self.options)
        if self.noise is not None:
            parts.append(f"estimated noise {self.noise:.3g} grey levels with a correlation of {self.correlation:.2g}")
        if self.eta is not None:
            parts.append(f"estimated eta {self.eta:.3g} photons per grey level")
        if self.sigma is not None:
            parts.append(f"estimated sigma {self.sigma:.3g} grey levels")
        notes = f" Note: {'; '.join(self.notes)}." if self.notes else ""
        return _plain(", ".join(parts) + f".{notes} {USE}")


@dataclass(frozen=True, slots=True)
class SimulatedNoise:
    """How an image with simulated noise was made, or the unchanged copy of its source beside it."""

    marker: ClassVar[str] = "simulated noise"
    code: ClassVar[tuple[str, str] | None] = None
    model: ClassVar[str] = "simulated noise"

    noise: str = ""
    """The noise that was added and its seed, for people; empty for the copy, whose pixels are those of the source."""
    settings: str = ""
    """The same at full precision, for the new identifiers."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What a new UID is derived from, besides the UID of the source."""
        return self.model, "", self.settings

    @property
    def sentence(self) -> str:
        """The derivation as text: ASCII without backslashes, which are separators in DICOM."""
        if self.noise:
            return _plain(f"Simulated noise added by xray-denoise {__version__}: {self.noise}. {USE}")
        return _plain(f"Pixels copied by xray-denoise {__version__}, beside images with simulated noise. {USE}")


Provenance = Derivation | SimulatedNoise


def _plain(text: str) -> str:
    return text.replace("\\", "/").encode("ascii", "replace").decode("ascii")
