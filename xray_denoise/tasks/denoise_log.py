"""Outcomes for programs: one JSON object for each file, for `--json` and for a log on disk.

The object of a file that was denoised has, besides paths and status:

    size                     rows, columns and frames
    noise_deviation          standard deviation of the noise at mid-grey, grey levels
    noise_deviation_stored   the same in stored values
    eta, sigma               photons per grey level ("inf" where no photon noise was found), and grey levels
    removed_grey, _stored    root mean square of the change, in grey levels and in stored values
    strength                 share of the predicted change that was made, 0..1
    removed_share            change over deviation of the noise
    edge_ratio, _correlation whether what was removed looks like noise along edges (`physics.removed`)

What is unknown is null: all of these for a file that failed, the noise for a method that estimates none.
"""

import json
import stat
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from xray_denoise.errors import ExistingFileError, UnwritableFileError, UsageError
from xray_denoise.files.folders import make_folder, same_file
from xray_denoise.physics.profile import as_level
from xray_denoise.tasks import noise_words
from xray_denoise.tasks.jobs import Job, LeftAlone
from xray_denoise.tasks.options import Existing
from xray_denoise.tasks.outcome import Outcome
from xray_denoise.tasks.remarks import NUMBERS

Record = dict[str, Any]

ROUGHLY = 6
"""Digits of measurements."""


def record(outcome: Outcome, device: str) -> Record:
    """The outcome of a file, as values for JSON.

    Args:
        outcome: of the file.
        device: where it was denoised.
    """
    noise, failure = outcome.noise, outcome.failure
    level = as_level(noise)
    shape = outcome.shape
    return {
        "number": outcome.number,
        "source": str(outcome.job.source),
        "target": str(outcome.job.target),
        "status": outcome.status,
        "error": outcome.error or None,
        "error_kind": failure.kind if failure else None,
        "hint": outcome.hint or None,
        "notes": list(outcome.notes),
        "model": outcome.model or None,
        "model_sha256": outcome.weights_sha256 or None,
        "device": device if outcome.model else None,
        "size": {"rows": shape[0], "columns": shape[1], "frames": outcome.frames} if shape else None,
        "noise_deviation": _rounded(noise_words.deviation_at_mid_grey(noise)) if noise else None,
        "noise_deviation_stored": _rounded(outcome.noise_stored),
        "noise_over_image": _rounded(outcome.noise_over_image),
        "noise_correlation": _rounded(noise_words.correlation(noise)) if noise else None,
        "noise_gain": [_rounded(one) for one in outcome.noise_gain] if outcome.noise_gain else None,
        "eta": noise_words.json_number(_rounded(level.eta)) if level else None,
        "sigma": _rounded(level.sigma) if level else None,
        "removed_grey": _rounded(outcome.removed_grey),
        "removed_stored": _rounded(outcome.removed_stored),
        **dict.fromkeys(NUMBERS),
        **{name: _rounded(value) for name, value in (outcome.remarks.numbers if outcome.remarks else {}).items()},
        "seconds": round(outcome.seconds, 4),
    }


def left_alone(found: LeftAlone) -> Record:
    """The record of a file in an input folder that is not denoised."""
    return {"source": str(found.path), "status": "left alone", "reason": found.reason}


def _rounded(value: Any) -> Any:
    return None if value is None else float(f"{value:.{ROUGHLY}g}")


class OutcomeLog:
    """A file of JSON lines that has every outcome, from the moment it is reported.

    Raises:
        UsageError: the file is an input, a result or no plain file.
        ExistingFileError: it is there already, and `existing` says that this is an error.
    """

    def __init__(self, target: Path, jobs: Iterable[Job], existing: Existing) -> None:
        self.target = target
        self._existing = existing
        self._stream: IO[str] | None = None
        self._failure: OSError | None = None
        for job in jobs:
            if any(same_file(target, path) for path in (job.source, job.target, *job.maps())):
                raise UsageError(
                    "the log {path} is an input or a result", path=target, hint="choose another name", option="log"
                )
        with suppress(OSError, ValueError):
            if not stat.S_ISREG(target.stat().st_mode):
                raise UsageError(
                    "the log {path} is not a plain file", path=target, hint="choose another name", option="log"
                )
            if existing == "error":
                raise ExistingFileError(
                    "the log {path} exists already",
                    path=target,
                    hint="choose another name, or how existing files are treated",
                    option="existing",
                )

    def open(self) -> None:
        """Begin the log, or continue it where results are skipped.

        Raises:
            UnwritableFileError: the disk refuses.
        """
        make_folder(self.target.parent)
        mode = {"error": "x", "skip": "a", "overwrite": "w"}[self._existing]
        try:
            self._stream = self.target.open(mode, encoding="utf-8", errors="backslashreplace")
        except (OSError, ValueError) as error:
            raise _unwritable(self.target, error) from error

    def add(self, entry: Record, finished: datetime | None = None) -> None:
        """Add a line. A disk that is full costs the log, not the images: `close` tells.

        Args:
            entry: its content.
            finished: the time in it; by default the present.
        """
        if self._stream is None or self._failure is not None:
            return
        time = (finished or datetime.now().astimezone()).isoformat(timespec="seconds")
        try:
            self._stream.write(json.dumps({**entry, "time": time}) + "\n")
            self._stream.flush()
        except OSError as error:
            self._failure = error

    def close(self) -> None:
        """End the log.

        Raises:
            UnwritableFileError: lines are missing.
        """
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
        if self._failure is not None:
            raise _unwritable(self.target, self._failure) from self._failure


def _unwritable(target: Path, error: OSError | ValueError) -> UnwritableFileError:
    reason = getattr(error, "strerror", None) or "no file can have this name"
    return UnwritableFileError(
        f"cannot write the log {{path}}: {reason}",
        path=target,
        hint="check the name, the permissions of the folder and the space on the disk",
        option="log",
    )
