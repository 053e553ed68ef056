"""The outcome of one file."""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoised
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, XrayDenoiseError
from xray_denoise.physics.profile import Noise
from xray_denoise.physics.uncertainty import UncertaintyTable
from xray_denoise.radiograph import Radiograph
from xray_denoise.scale import GREY_MAX
from xray_denoise.tasks.jobs import Job
from xray_denoise.tasks.remarks import Remarks

HELD_BYTES = 2**26
"""Of maps in memory: those of more, such as of many frames, wait on the disk."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one file."""

    job: Job
    status: Literal["written", "skipped", "failed"]
    failure: XrayDenoiseError | None = None
    """What went wrong, of a file that failed."""
    noise: Noise | None = None
    """Noise of the first frame that is not blank, estimated or given."""
    noise_stored: float | None = None
    """Its standard deviation at mid-grey in stored values of the source."""
    noise_over_image: float | None = None
    """Root mean square of its standard deviation over the pixels of this frame, padding left out, grey levels: to be
    compared with what was removed."""
    noise_gain: tuple[float, float] | None = None
    """How many times as strong the noise is in a place as its grey level tells: a twentieth of the measured blocks of
    this frame is below the first number, another above the second. None where the grey level tells it all."""
    remarks: Remarks | None = None
    """Whether what was removed from this frame looks like noise, and the strength that was used; of a file that was
    written."""
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
    finished: datetime = field(default_factory=lambda: datetime.now().astimezone(), compare=False)
    """When the file was done; it may be reported later, after the next file."""

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
        """What went wrong; empty on success."""
        return str(self.failure) if self.failure else ""

    @property
    def hint(self) -> str:
        """What to do about it."""
        return self.failure.hint if self.failure else ""


@dataclass(frozen=True, slots=True)
class Change:
    """One frame before and after."""

    before: Radiograph
    after: Radiograph
    result: Denoised
    seconds: float

    @property
    def pixels(self) -> int:
        """Number of pixels without padding."""
        padding = self.before.padding
        return self.before.stored.size - (0 if padding is None else int(padding.sum()))

    @property
    def squares(self) -> float:
        """Sum of the squares of what was removed, stored values."""
        difference = np.subtract(self.after.stored, self.before.stored, dtype=np.float64).ravel()
        return float(difference @ difference)

    @property
    def unit(self) -> float:
        """Stored values in a grey level."""
        low, high = self.before.value_range
        return (high - low) / GREY_MAX

    @property
    def removed_grey(self) -> float:
        """Root mean square of what was removed, grey levels, padding left out."""
        return math.sqrt(self.squares / max(self.pixels, 1)) / self.unit


class Maps:
    """Maps of the frames of a file until they are written: in memory, or in a nameless file if large."""

    def __init__(self, folder: Path) -> None:
        """Keep them in `folder`, which must exist by the time of the first map."""
        self._stream = tempfile.SpooledTemporaryFile(HELD_BYTES, dir=str(folder))  # noqa: SIM115 - closed by `close`
        self._shapes: list[tuple[int, ...]] = []

    def add(self, one: NDArray[np.float32]) -> None:
        """Keep the map of one more frame, (H, W)."""
        self._stream.write(np.ascontiguousarray(one).tobytes())
        self._shapes.append(one.shape)

    def __len__(self) -> int:
        return len(self._shapes)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        self._stream.seek(0)
        for shape in self._shapes:
            yield np.frombuffer(self._stream.read(4 * math.prod(shape)), np.float32).reshape(shape)

    def close(self) -> None:
        """Delete them; their number stays known."""
        self._stream.close()


@dataclass(slots=True)
class Tally:
    """Sums over the frames of a file."""

    maps: Maps | None = None
    """Takes their noise maps; None where none are wanted."""
    half_widths: Maps | None = None
    """Takes the half widths of their intervals, stored values, 0 in padding; None where none are wanted."""
    uncertainty: UncertaintyTable | None = None
    """Of the model, where those are wanted."""
    caveats_of: Callable[[Radiograph], Iterable[str]] | None = None
    """What the user should know of a frame, besides how it was denoised."""
    caveats: dict[str, None] = field(default_factory=dict)
    """Of all frames, each once, in their order; pages of a TIFF file may differ."""
    frames: int = 0
    pixels: int = 0
    """Without padding."""
    squares: float = 0.0
    """Of the change, stored values."""
    grey_squares: float = 0.0
    """Of the change, grey levels; each frame has a value range of its own."""
    seconds: float = 0.0

    def counted(self, changes: Iterable[Change]) -> Iterator[Radiograph]:
        """Pass on the changed frames."""
        header: object = None
        for change in changes:
            if self.caveats_of and (self.frames == 0 or change.after.header is not header):
                header = change.after.header
                self.caveats.update(dict.fromkeys(self.caveats_of(change.after)))
            padding, squares = change.before.padding, change.squares
            self.frames += 1
            self.pixels += change.pixels
            self.squares += squares
            self.grey_squares += squares / change.unit**2
            self.seconds += change.seconds
            if self.maps is not None and change.result.noise_map is not None:
                self.maps.add(change.result.noise_map)
            estimate = change.result.estimate
            if self.half_widths is not None and self.uncertainty is not None and estimate is not None:
                width = self.uncertainty.half_width(change.result.image, estimate)
                width *= np.float32(change.unit)
                self.half_widths.add(width if padding is None else np.where(padding, np.float32(0), width))
            yield change.after

    @property
    def removed_stored(self) -> float:
        """Root mean square of the change, stored values."""
        return math.sqrt(self.squares / max(self.pixels, 1))

    @property
    def removed_grey(self) -> float:
        """Root mean square of the change, grey levels."""
        return math.sqrt(self.grey_squares / max(self.pixels, 1))


def failed(job: Job, error: XrayDenoiseError | OSError | MemoryError) -> Outcome:
    """The outcome of a file that failed."""
    return Outcome(job, "failed", _explained(job, error))


def _explained(job: Job, error: XrayDenoiseError | OSError | MemoryError) -> XrayDenoiseError:
    if isinstance(error, XrayDenoiseError):
        return error
    if isinstance(error, MemoryError):
        return UnreadableFileError(
            "not enough memory to denoise {path}", path=job.source, hint="try smaller tiles", option="tile"
        )
    return UnwritableFileError(
        f"{{path}}: {error.strerror or type(error).__name__}",
        path=error.filename or job.target,
        hint="check the names, the permissions and the space on the disk",
    )
