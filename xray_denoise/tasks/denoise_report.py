"""The page of a `denoise` run: every file in a table, the first of them in pictures.

    DenoiseReport(target, jobs) -> prepare -> show (each file that is written), add (each outcome) -> write

The names of files may tell who a patient is, so images go by number unless names are wanted; nothing from the header
of a DICOM file is shown.
"""

import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from xray_denoise.errors import UnwritableFileError, UsageError
from xray_denoise.files import extras
from xray_denoise.files.folders import make_folder, true_path
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.radiograph import Radiograph
from xray_denoise.reports import page
from xray_denoise.tasks.denoise import Existing, Options, Outcome
from xray_denoise.tasks.jobs import Job

PICTURED = 20
"""Files that are shown as pictures, the first that are written: a page of 20 takes 40 to 90 MB, about as much as a
browser opens at once; the table lists all files."""
SUFFIXES = (".html", ".htm")
SHORT = 3
"""Letters of a name that may be a word of the message too: it counts as a name behind the word folder only."""


class DenoiseReport:
    """What the page will tell, gathered while the run goes on; memory holds at most `PICTURED` encoded pictures.

    Raises:
        UsageError: the page would not be one, or would take the place of an input or a result.
        UnwritableFileError: it is there already, and `existing` says that this is an error.
    """

    def __init__(self, target: Path, jobs: Sequence[Job], existing: Existing = "error", *, names: bool = False) -> None:
        if target.suffix.lower() not in SUFFIXES:
            raise UsageError(f"a report is an HTML page, not {target}", hint="end its name in .html")
        for job in jobs:
            if any(_same(target, path) for path in (job.source, job.target, job.noise_map)):
                raise UsageError(f"the report {target} is an input or a result too", hint="choose another name for it")
        if target.is_dir():
            raise UsageError(f"the report {target} is a folder", hint="name a file inside it")
        if target.exists() and existing == "error":
            raise UnwritableFileError(
                f"{target} exists already", hint="use --existing skip or overwrite, or another --report"
            )
        self.target = target
        self.skipped = target.exists() and existing == "skip"
        """Whether the page that is there already stays, and none is made."""
        self._numbers = {job: number for number, job in enumerate(jobs, 1)}
        self._names = names
        self._pictures: dict[Job, page.Picture] = {}
        self._free = threading.Semaphore(PICTURED)
        self._sizes: dict[Job, str] = {}
        self._outcomes: dict[Job, Outcome] = {}

    def prepare(self) -> None:
        """Find out before the first file whether the page can be made.

        Raises:
            CannotRunError: a package is missing.
            UnwritableFileError: there is no folder for it and none can be made.
        """
        page.require()
        make_folder(self.target.parent)

    def show(self, outcome: Outcome, before: Radiograph, after: Radiograph) -> None:
        """Picture a file that was written, in any thread. Where memory is too short for that, it is only listed."""
        rows, columns = before.stored.shape
        self._sizes[outcome.job] = f"{columns} x {rows}"
        if self._free.acquire(blocking=False):
            title, facts = self._title(outcome.job), self._facts(outcome)
            with suppress(MemoryError):
                comparison = page.Comparison(title, before.grey, after.grey, facts)
                self._pictures[outcome.job] = page.encode(comparison)

    def add(self, outcome: Outcome) -> None:
        """List a file, whatever became of it."""
        self._outcomes[outcome.job] = outcome

    def write(self, options: Options, device: str) -> None:
        """Write the page, whole or not at all.

        Args:
            options: what was done to every file.
            device: where; empty for a classical method.

        Raises:
            UnwritableFileError: the disk refuses.
        """
        statuses = [outcome.status for outcome in self._outcomes.values()]
        counts = {status: statuses.count(status) for status in ("written", "skipped", "failed")}
        counts["not begun"] = len(self._numbers) - len(statuses)
        facts = [
            ("Model", getattr(options.denoiser, "title", options.denoiser.name)),
            *([("Weights, SHA-256", options.model_hash[:12])] if options.model_hash else []),
            ("Device", device or "cpu"),
            ("Settings", options.description),
            ("Files", ", ".join(f"{count} {status}" for status, count in counts.items() if count)),
            ("Made", f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}"),
        ]
        content = page.html(
            "Denoising report",
            facts=facts,
            comparisons=[self._pictures[job] for job in self._numbers if job in self._pictures],
            listings=[self._listing()],
            notes=self._notes(counts["written"]),
        )
        extras.write_bytes(content, self.target)

    def _notes(self, written: int) -> list[str]:
        notes = ["A denoiser can remove faint structure with the noise: look for it in the residuals."]
        if self._pictures:
            notes.append("The pictures are the pixels of the files, with any text that is burned into them.")
        if len(self._pictures) < written:
            notes.append(
                f"{len(self._pictures)} of {written} images are pictured, to keep the page small; all are listed."
            )
        return notes

    def _listing(self) -> page.Listing:
        columns = ["Image", "Status", "Size, pixels", "eta", "sigma", "Seconds", "Remarks"]
        rows = []
        for job, number in self._numbers.items():
            outcome = self._outcomes.get(job)
            row = [str(number), "not begun", "", "", "", "", ""]
            if outcome is not None:
                seconds = f"{outcome.seconds:.2f}" if outcome.status == "written" else ""
                remarks = "; ".join(filter(None, (self._anonymous(outcome), *outcome.caveats)))
                row[1:] = [outcome.status, self._sizes.get(job, ""), *_level(outcome.level), seconds, remarks]
            if self._names:
                row.insert(1, job.source.name)
            rows.append(tuple(row))
        if self._names:
            columns.insert(1, "File")
        caption = (
            "eta: detected photons per grey level; sigma: electronic noise, grey levels; of the first frame, estimated "
            "unless given. Seconds: of denoising alone."
        )
        return page.Listing("Files", tuple(columns), tuple(rows), caption)

    def _title(self, job: Job) -> str:
        name = f": {job.source.name}" if self._names else ""
        return f"Image {self._numbers[job]}{name}"

    def _facts(self, outcome: Outcome) -> tuple[tuple[str, str], ...]:
        eta, sigma = _level(outcome.level)
        facts = (
            ("eta, photons per grey level", eta),
            ("sigma, grey levels", sigma),
            ("Size, pixels", self._sizes[outcome.job]),
            ("Seconds", f"{outcome.seconds:.2f}"),
        )
        return tuple((name, value) for name, value in facts if value)

    def _anonymous(self, outcome: Outcome) -> str:
        """The first line of an error, without names of files and folders unless they are wanted."""
        text = outcome.error.partition("\n")[0]
        if self._names:
            return text
        job = outcome.job
        for path in (job.noise_map, job.target, job.source):
            for name in (str(path.absolute()), str(path)):
                text = re.sub(rf"(?<![\w./-]){re.escape(name)}(?!\w)", "the file", text)
        names = {part for path in (job.source, job.target) for part in (*path.absolute().parts[1:], path.stem)}
        words = {name if len(name) > SHORT else f"folder {name}" for name in names}
        if os.sep in text or any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words):
            return "The message may name files and is left out here."
        return text


def _level(level: NoiseLevel | None) -> tuple[str, str]:
    return (f"{level.eta:.3g}", f"{level.sigma:.3g}") if level else ("", "")


def _same(first: Path, second: Path) -> bool:
    try:
        return true_path(first) == true_path(second) or first.samefile(second)
    except (OSError, ValueError):  # one of them is not there, or no file can have this name
        return False
