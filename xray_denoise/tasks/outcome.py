"""What became of one file."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoised
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, XrayDenoiseError
from xray_denoise.physics.profile import Noise
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks.jobs import Job


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    job: Job
    status: Literal["written", "skipped", "failed"]
    failure: XrayDenoiseError | None = None
    """What went wrong, of a file that failed."""
    noise: Noise | None = None
    """Noise of the first frame, estimated or given."""
    notes: tuple[str, ...] = ()
    """What the user should know before trusting the result."""
    model: str = ""
    """What denoised it; empty where nothing did."""
    weights_sha256: str = ""
    shape: tuple[int, int] | None = None
    """Rows and columns of the first frame."""
    frames: int = 0
    removed_grey: float | None = None
    """Root mean square of the change that was made, grey levels, padding left out."""
    removed_stored: float | None = None
    """The same in stored values of the source."""
    seconds: float = 0.0
    """Time of denoising alone."""
    number: int = 0
    """Place in the plan, from 1."""

    @property
    def source(self) -> Path:
        """The file that was read."""
        return self.job.source

    @property
    def target(self) -> Path:
        """The file that was written, or would have been."""
        return self.job.target

    @property
    def error(self) -> str:
        """What went wrong; empty where nothing did."""
        return str(self.failure) if self.failure else ""

    @property
    def hint(self) -> str:
        """What to do about it."""
        return self.failure.hint if self.failure else ""


@dataclass(frozen=True, slots=True)
class Change:
    """One frame as it was and as it is written."""

    before: Radiograph
    after: Radiograph
    result: Denoised
    seconds: float


@dataclass(slots=True)
class Tally:
    """What is counted over the frames of a file."""

    keeps_maps: bool
    frames: int = 0
    pixels: int = 0
    """Without padding."""
    squares: float = 0.0
    """Of the change, stored values."""
    seconds: float = 0.0
    maps: list[NDArray[np.float32]] = field(default_factory=list)

    def counted(self, changes: Iterable[Change]) -> Iterator[Radiograph]:
        """Pass on the changed frames."""
        for change in changes:
            difference = np.subtract(change.after.stored, change.before.stored, dtype=np.float64).ravel()
            padding = change.before.padding
            self.frames += 1
            self.pixels += difference.size - (0 if padding is None else int(padding.sum()))
            self.squares += float(difference @ difference)
            self.seconds += change.seconds
            if self.keeps_maps and change.result.noise_map is not None:
                self.maps.append(change.result.noise_map)
            yield change.after

    @property
    def removed_stored(self) -> float:
        """Root mean square of the change, stored values."""
        return math.sqrt(self.squares / max(self.pixels, 1))


def failed(job: Job, error: XrayDenoiseError | OSError | MemoryError) -> Outcome:
    """The outcome of a file that failed."""
    return Outcome(job, "failed", _explained(job, error))


def _explained(job: Job, error: XrayDenoiseError | OSError | MemoryError) -> XrayDenoiseError:
    if isinstance(error, XrayDenoiseError):
        return error
    if isinstance(error, MemoryError):
        return UnreadableFileError(
            "there is too little memory for {path}", path=job.source, hint="try smaller tiles", option="tile"
        )
    return UnwritableFileError(
        f"{{path}}: {error.strerror or type(error).__name__}",
        path=error.filename or job.target,
        hint="check the names, the permissions and the space on the disk",
    )
