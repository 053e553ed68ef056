"""A run of `denoise`: the plan, its preview, and its outcomes with what is kept of them, the report and the log.

jobs -> `batch.run_jobs`, or the machines of a cluster -> outcome -> report, log, caller
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from typing import Literal

from xray_denoise.errors import XrayDenoiseError
from xray_denoise.files.atomic import remove_abandoned
from xray_denoise.tasks import denoise_log
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.cluster import Cluster
from xray_denoise.tasks.decision import examine
from xray_denoise.tasks.denoise_log import OutcomeLog
from xray_denoise.tasks.denoise_report import DenoiseReport
from xray_denoise.tasks.jobs import Job, LeftAlone
from xray_denoise.tasks.options import Options
from xray_denoise.tasks.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would do with one file, as far as known without denoising it."""

    job: Job
    action: Literal["write", "replace", "skip", "fail"]
    failure: XrayDenoiseError | None = None
    """Why it would fail."""


class Batch(Iterator[Outcome]):
    """A run of `denoise_files`: iterate over it to denoise, one file after another.

    Nothing is written before the first outcome is asked for.
    """

    def __init__(
        self,
        jobs: list[Job],
        left_alone: list[LeftAlone],
        options: Options,
        report: DenoiseReport | None,
        log: OutcomeLog | None,
        *,
        cluster: Cluster | None = None,
        alone: bool = True,
    ) -> None:
        self.jobs = jobs
        """Every file and its result, in order."""
        self.left_alone = left_alone
        """What lies in the input folders and is not denoised."""
        self.options = options
        self.report = report
        self.log = log
        self.cluster = cluster
        """Where it runs; None is this process."""
        self._alone = alone
        self.on_progress: Callable[[float], None] | None = None
        """Called while an image is denoised, tile by tile, with the number of files that are done, such as 2.5."""
        self._outcomes = self._run()
        self._told = 0

    @property
    def model(self) -> str:
        """Name of the method, as text."""
        return self.options.denoiser.name

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda:0" and so on."""
        return self.options.denoiser.device

    @property
    def settings(self) -> str:
        """Settings that affect results and time besides the weights, as text."""
        return self.options.denoiser.settings

    def preview(self) -> Iterator[Planned]:
        """What would be done with each file; nothing is written."""
        for job in self.jobs:
            try:
                yield Planned(job, examine(job, self.options)[1])
            except XrayDenoiseError as error:
                yield Planned(job, "fail", error)

    def __next__(self) -> Outcome:
        return next(self._outcomes)

    def close(self) -> None:
        """Start no further file; files being written are finished."""
        self._outcomes.close()
        if self.cluster is not None:
            self.cluster.close()

    def interrupted(self) -> Iterator[Outcome]:
        """After a KeyboardInterrupt between two outcomes: finish what is being written, and give its outcomes."""
        with suppress(KeyboardInterrupt):
            yield self._outcomes.throw(KeyboardInterrupt())
            yield from self._outcomes

    def _run(self) -> Generator[Outcome, None, None]:
        options = self.options
        if self.report:
            self.report.prepare()
            options = replace(options, show=self.report.show)
        if self.on_progress:
            numbers, heard = {job: number for number, job in enumerate(self.jobs)}, self.on_progress
            options = replace(options, on_progress=lambda job, share: heard(numbers[job] + share))
        with ExitStack() as at_the_end:  # however it comes, Ctrl-C included; the last of these is done first
            if self.log:
                self.log.open()
                at_the_end.callback(self.log.close)
                for found in self.left_alone:
                    self.log.add(denoise_log.left_alone(found))
            if self.report:
                at_the_end.callback(self.report.write, self.options, self.device)
            if self._alone:  # other shards may be at work in these folders, where locks may not be seen
                remove_abandoned(job.target.parent for job in self.jobs)
            run = run_jobs if self.cluster is None else self.cluster.run
            running = at_the_end.enter_context(closing(run(self.jobs, options)))
            try:
                for outcome in running:
                    yield self._noted(outcome)
            except KeyboardInterrupt as interruption:
                with suppress(KeyboardInterrupt):
                    yield self._noted(running.throw(interruption))
                    for outcome in running:
                        yield self._noted(outcome)
                raise

    def _noted(self, outcome: Outcome) -> Outcome:
        self._told += 1
        outcome = replace(outcome, number=self._told)
        if self.report:
            self.report.add(outcome)
        if self.log:
            self.log.add(denoise_log.record(outcome, self.device), outcome.finished)
        return outcome
