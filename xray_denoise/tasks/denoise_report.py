"""The HTML page of a `denoise` run: all files in a table, and the most changed ones in pictures.

    DenoiseReport(target, jobs) -> prepare -> show (each file that is written), add (each outcome) -> write

The names of files may tell who a patient is, so images go by the number that the command line gives them unless names
are wanted; nothing from the header of a DICOM file is shown.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xray_denoise import files
from xray_denoise.errors import ExistingFileError, UnreadableFileError, UsageError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.files.folders import make_folder, same_file
from xray_denoise.physics.profile import as_level
from xray_denoise.radiograph import Radiograph
from xray_denoise.reports import page
from xray_denoise.tasks.jobs import Job
from xray_denoise.tasks.options import Existing, Options
from xray_denoise.tasks.outcome import Outcome

PICTURED = 20
"""Files that are shown as pictures, the most changed ones: a page of 20 takes 40 to 90 MB, about as much as a browser
opens at once; the table lists all files."""
SUFFIXES = (".html", ".htm")


class DenoiseReport:
    """Collects the content of the page during a run; at most `PICTURED` encoded pictures are in memory.

    Raises:
        UsageError: the page would not be one, or would take the place of an input or a result.
        ExistingFileError: the page exists, and `existing` is "error".
    """

    def __init__(self, target: Path, jobs: Sequence[Job], existing: Existing = "error", *, names: bool = False) -> None:
        if target.suffix.lower() not in SUFFIXES:
            raise UsageError(
                "a report is an HTML page, not {path}", path=target, hint="end its name in .html", option="report"
            )
        for job in jobs:
            if any(same_file(target, path) for path in (job.source, job.target, *job.maps())):
                raise UsageError(
                    "the report {path} is an input or a result too",
                    path=target,
                    hint="choose another name for it",
                    option="report",
                )
        if target.is_dir():
            raise UsageError(
                "the report {path} is a folder", path=target, hint="name a file inside it", option="report"
            )
        if os.path.lexists(target) and existing == "error":  # a link to nothing takes the name, too
            raise ExistingFileError(
                "{path} exists already",
                path=target,
                hint="choose another name for the report, or how existing files are treated",
                option="existing",
            )
        self.target = target
        self._existing = existing
        self.skipped = os.path.lexists(target) and existing == "skip"
        """Whether an existing page is kept and none is made."""
        self._numbers = {job: number for number, job in enumerate(jobs, 1)}
        self._names = names
        self._pictures: dict[Job, page.Picture] = {}
        self._removed: dict[Job, float] = {}
        """Of the files that are pictured, grey levels."""
        self._lock = threading.Lock()
        self._outcomes: dict[Job, Outcome] = {}

    def require(self) -> None:
        """Check before the first file whether the page can be made.

        Raises:
            CannotRunError: a package is missing.
        """
        page.require()

    def prepare(self) -> None:
        """Make the folder of the page.

        Raises:
            UnwritableFileError: the disk refuses.
        """
        make_folder(self.target.parent)

    def show(self, outcome: Outcome, before: Radiograph, after: Radiograph) -> None:
        """Show a written file on the page if few others changed more; may be called in any thread.

        Where memory is too short for that, it is only listed.
        """
        job, removed = outcome.job, outcome.removed_grey or 0.0
        with self._lock:
            if len(self._removed) >= PICTURED:
                least = min(self._removed, key=self._removed.__getitem__)
                if removed <= self._removed[least]:
                    return
                del self._removed[least]
                self._pictures.pop(least, None)
            self._removed[job] = removed
        with suppress(MemoryError):
            displayed = _displayed(before, after)
            facts = (*self._facts(outcome), *([("Shown in", "the window of the file")] if displayed else []))
            picture = page.encode(
                page.Comparison(self._title(job), before.grey, after.grey, facts, displayed=displayed)
            )
            with self._lock:
                if job in self._removed:
                    self._pictures[job] = picture

    def add(self, outcome: Outcome) -> None:
        """List a file, whether it was written, skipped or failed."""
        self._outcomes[outcome.job] = outcome

    def write(self, options: Options, device: str) -> None:
        """Write the page, whole or not at all.

        Args:
            options: what was done to every file.
            device: where.

        Raises:
            UnwritableFileError: the disk refuses, or a file has taken the name meanwhile.
        """
        statuses = [outcome.status for outcome in self._outcomes.values()]
        counts = {status: statuses.count(status) for status in ("written", "skipped", "failed")}
        counts["not begun"] = len(self._numbers) - len(statuses)
        weights = options.denoiser.weights_sha256
        facts = [
            ("Model", options.denoiser.name),
            *([("Weights, SHA-256", weights[:12])] if weights else []),
            ("Device", device),
            ("Settings", options.description),
            ("Files", ", ".join(f"{count} {status}" for status, count in counts.items() if count)),
            ("Made", f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}"),
        ]
        most_changed = sorted(self._pictures, key=lambda job: (-self._removed[job], self._numbers[job]))
        content = page.html(
            "Denoising report",
            facts=facts,
            comparisons=[self._pictures[job] for job in most_changed],
            listings=[self._listing()],
            notes=self._notes(counts["written"]),
        )
        write_bytes(content, self.target, replace=self._existing == "overwrite")

    def _notes(self, written: int) -> list[str]:
        notes = ["A denoiser can remove faint structure with the noise: look for it in the residuals."]
        if self._pictures:
            notes.append("The pictures are the pixels of the files, with any text that is burned into them.")
        if len(self._pictures) < written:
            notes.append(
                f"{len(self._pictures)} of {written} images are pictured, those that were changed most, to keep the "
                "page small; all are listed."
            )
        return notes

    def _listing(self) -> page.Listing:
        columns = ["Image", "Status", "Size, pixels", "Noise", "Removed", "eta", "sigma", "Seconds", "Remarks"]
        rows = []
        for job, number in self._numbers.items():
            outcome = self._outcomes.get(job)
            row = [str(number), "not begun", *[""] * (len(columns) - 2)]
            if outcome is not None:
                seconds = f"{outcome.seconds:.2f}" if outcome.status == "written" else ""
                remarks = "; ".join(filter(None, (self._anonymous(outcome), *outcome.notes)))
                row[1:] = [outcome.status, _size(outcome), *_strengths(outcome), *_level(outcome), seconds, remarks]
            if self._names:
                row.insert(1, job.source.name)
            rows.append(tuple(row))
        if self._names:
            columns.insert(1, "File")
        caption = (
            "Image: the number that the command line gives the file. Noise: root mean square of its standard "
            "deviation over the pixels. Removed: root mean square of the change. Both are in grey levels. eta: "
            "detected photons per grey level. sigma: electronic noise, grey levels. Both are those of the first frame "
            "that is not blank, estimated unless given. Seconds: of denoising alone."
        )
        return page.Listing("Files", tuple(columns), tuple(rows), caption)

    def _title(self, job: Job) -> str:
        name = f": {job.source.name}" if self._names else ""
        return f"Image {self._numbers[job]}{name}"

    def _facts(self, outcome: Outcome) -> tuple[tuple[str, str], ...]:
        noise, removed = _strengths(outcome)
        eta, sigma = _level(outcome)
        facts = (
            ("Noise, grey levels RMS", noise),
            ("Removed, grey levels RMS", removed),
            ("Removed over noise", _share(outcome)),
            ("Notes", "; ".join(outcome.notes)),
            ("eta, photons per grey level", eta),
            ("sigma, grey levels", sigma),
            ("Size, pixels", _size(outcome)),
            ("Seconds", f"{outcome.seconds:.2f}"),
        )
        return tuple((name, value) for name, value in facts if value)

    def _anonymous(self, outcome: Outcome) -> str:
        """The first line of an error, without names of files and folders unless they are wanted."""
        if outcome.failure is None or self._names:
            return outcome.error.partition("\n")[0]
        text, job = outcome.failure.anonymous.partition("\n")[0], outcome.job
        if os.sep in text or job.source.name in text or job.target.name in text:  # of an error that has no `path`
            return "The message may name files and is left out here."
        return text


def _displayed(before: Radiograph, after: Radiograph) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Both images in the window of their file; None where it has none, or a damaged one."""
    try:
        first, last = files.displayed(before), files.displayed(after)
    except UnreadableFileError:
        return None
    return None if first is None or last is None else (first, last)


def _size(outcome: Outcome) -> str:
    if outcome.shape is None:
        return ""
    rows, columns = outcome.shape
    return f"{columns} x {rows}" + (f", {outcome.frames} frames" if outcome.frames > 1 else "")


def _strengths(outcome: Outcome) -> tuple[str, str]:
    """The noise that was found and the change that was made, as text."""
    noise = "" if outcome.noise_over_image is None else f"{outcome.noise_over_image:.3g}"
    return noise, "" if outcome.removed_grey is None else f"{outcome.removed_grey:.3g}"


def _share(outcome: Outcome) -> str:
    share = outcome.remarks and outcome.remarks.share
    return "" if share is None else f"{share:.2f}"


def _level(outcome: Outcome) -> tuple[str, str]:
    level = as_level(outcome.noise)
    return (f"{level.eta:.3g}", f"{level.sigma:.3g}") if level else ("", "")
