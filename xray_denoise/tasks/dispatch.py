"""Assign jobs to workers that may fail, and yield the outcomes in the order of the jobs.

    jobs -> at most `JOBS_PER_WORKER` on each worker -> outcomes

This module does not depend on Ray; `cluster` implements the workers. A worker that dies is replaced, and its jobs are
retried. A retried job gets a worker to itself, so that a job that kills its worker is identified.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from xray_denoise.errors import CannotRunError

JOBS_PER_WORKER = 3
"""Jobs assigned to a worker at a time: one is denoised while another is read and another is written."""
WINDOW = 32
"""Jobs per worker between the first without an outcome and the last that was started: the most outcomes that are
buffered to yield them in order."""
MAX_DEATHS = 3
"""A job fails when this many workers died while they processed it."""
MAX_FAILED_STARTS = 5
"""The run ends when this many workers in a row die before they are ready."""
START_TIMEOUT = 600.0
"""Seconds without any ready worker after which the run ends; nodes may take minutes to join."""

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")
Told = TypeVar("Told")
Job_contra = TypeVar("Job_contra", contravariant=True)


class WorkerLostError(Exception):
    """A worker died; the message gives the reason."""


class Worker(Protocol[Job_contra, Outcome]):
    """Processes jobs; its futures raise `WorkerLostError` when it dies."""

    def start(self) -> Future[None]:
        """Start; the future is done when the worker is ready."""
        ...

    def submit(self, job: Job_contra, *, again: bool) -> Future[Outcome]:
        """Start a job; `again` is true if a worker died while it processed this job."""
        ...

    def stop(self) -> None:
        """Kill the worker, even if it is busy."""
        ...


@dataclass(slots=True, eq=False)
class _Slot(Generic[Job, Outcome]):
    """A worker and its jobs."""

    worker: Worker[Job, Outcome]
    ready: bool = False
    alone: bool = False
    """Whether it processes a retried job and must get no other."""
    busy: dict[int, Future[Outcome]] = field(default_factory=dict)
    """Futures of its jobs, by the index of the job."""


class Dispatch(Generic[Job, Outcome]):
    """One run over a list of jobs.

    Args:
        jobs: the jobs.
        new_worker: creates a worker.
        count: number of workers at a time.
        is_last: whether no job is started after this outcome.
        give_up: makes the outcome of a job that killed `MAX_DEATHS` workers, from the job and the last reason.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        new_worker: Callable[[], Worker[Job, Outcome]],
        count: int,
        *,
        is_last: Callable[[Outcome], bool],
        give_up: Callable[[Job, str], Outcome],
    ) -> None:
        self.lost = 0
        """Number of workers that died."""
        self._fresh: Iterator[tuple[int, Job]] = enumerate(jobs)
        self._count, self._new_worker, self._is_last, self._give_up = count, new_worker, is_last, give_up
        self._slots: list[_Slot[Job, Outcome]] = []
        self._running: dict[int, Job] = {}
        """Jobs that were started and have no outcome."""
        self._again: list[int] = []
        """Heap of the indices of jobs that wait for a retry."""
        self._deaths: Counter[int] = Counter()
        self._done: dict[int, Outcome] = {}
        """Outcomes that were not yielded yet, by index."""
        self._begun = self._yielded = self._failed_starts = 0
        self._exhausted = self._stopping = False
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        """Callbacks, to be run in the thread that iterates over `outcomes`."""

    def outcomes(self, deliver: Callable[[Outcome], Told]) -> Generator[Told, None, None]:
        """Yield the outcome of every job, passed through `deliver`, in the order of the jobs.

        After Ctrl-C, and when the generator is closed, running jobs are finished. After Ctrl-C their outcomes are
        yielded before the interrupt is raised again.

        Raises:
            CannotRunError: workers die before they are ready, or none is ready for `START_TIMEOUT` seconds.
        """
        try:
            for _ in range(self._count):
                self._add_worker()
            self._assign()
            while self._running or not self._exhausted:
                self._handle()
                self._assign()
                while self._yielded in self._done:
                    outcome = deliver(self._done[self._yielded])
                    del self._done[self._yielded]
                    self._yielded += 1
                    yield outcome
        except KeyboardInterrupt:
            self._finish()
            yield from (deliver(self._done.pop(place)) for place in sorted(self._done))
            raise
        finally:
            try:
                self._finish()
            finally:
                for slot in self._slots:
                    slot.worker.stop()

    def _add_worker(self) -> None:
        slot = _Slot(self._new_worker())
        self._slots.append(slot)
        slot.worker.start().add_done_callback(lambda done: self._events.put(partial(self._on_start, slot, done)))

    def _assign(self) -> None:
        """Assign jobs to all workers that can take one."""
        free = [slot for slot in self._slots if len(slot.busy) < JOBS_PER_WORKER and slot.ready and not slot.alone]
        free.sort(key=lambda slot: len(slot.busy))
        while self._again and free and not free[0].busy:
            slot = free.pop(0)
            slot.alone = True
            self._begin(slot, heapq.heappop(self._again))
        free = free[len(self._again) :]  # reserved: they get no new job until they are idle and can take a retry
        for load in range(JOBS_PER_WORKER):
            for slot in free:
                if len(slot.busy) == load and not self._begin_fresh(slot):
                    return

    def _begin_fresh(self, slot: _Slot[Job, Outcome]) -> bool:
        if self._exhausted or self._begun - self._yielded >= WINDOW * self._count:
            return False
        try:
            place, job = next(self._fresh)
        except StopIteration:
            self._exhausted = True
            return False
        self._begun += 1
        self._running[place] = job
        self._begin(slot, place)
        return True

    def _begin(self, slot: _Slot[Job, Outcome], place: int) -> None:
        slot.busy[place] = future = slot.worker.submit(self._running[place], again=place in self._deaths)
        future.add_done_callback(lambda done: self._events.put(partial(self._on_job, slot, place, done)))

    def _handle(self) -> None:
        """Wait for an event and process it."""
        ready = any(slot.ready for slot in self._slots)
        try:
            note = self._events.get(timeout=None if ready else START_TIMEOUT)
        except Empty:
            raise CannotRunError(
                f"no worker was ready for {START_TIMEOUT / 60:g} minutes",
                hint="check whether the nodes are up and have free resources",
            ) from None
        note()

    def _on_start(self, slot: _Slot[Job, Outcome], future: Future[None]) -> None:
        try:
            future.result()
        except WorkerLostError as error:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise CannotRunError(
                    f"{self._failed_starts} workers in a row died before they were ready: {error}",
                    hint="check the logs of the cluster and the memory of its nodes",
                ) from error
            self._replace(slot)
            return
        self._failed_starts = 0
        slot.ready = True

    def _on_job(self, slot: _Slot[Job, Outcome], place: int, future: Future[Outcome]) -> None:
        if place not in slot.busy:
            return
        try:
            self._settle(place, future.result())
        except WorkerLostError as error:
            self._replace(slot)
            self._deaths[place] += 1
            if self._deaths[place] < MAX_DEATHS:
                heapq.heappush(self._again, place)
            else:
                self._settle(place, self._give_up(self._running[place], str(error)))
        finally:
            slot.alone = False
            slot.busy.pop(place, None)

    def _replace(self, slot: _Slot[Job, Outcome]) -> None:
        """Replace a worker that died; the futures of its other jobs fail on their own."""
        if slot not in self._slots:
            return
        self.lost += 1
        self._slots.remove(slot)
        slot.worker.stop()
        if not self._stopping:
            self._add_worker()

    def _settle(self, place: int, outcome: Outcome) -> None:
        self._running.pop(place, None)
        self._deaths.pop(place, None)
        self._done[place] = outcome
        if self._is_last(outcome):
            self._exhausted = True

    def _finish(self) -> None:
        """Wait for running jobs without starting new ones. Does nothing if called again, as after a second Ctrl-C.

        A Ctrl-C may have discarded an event that was just taken from the queue, so the futures are checked directly.
        """
        if self._stopping:
            return
        self._stopping = self._exhausted = True
        left = [(slot, place, future) for slot in self._slots for place, future in slot.busy.items()]
        wait(future for _, _, future in left)
        for slot, place, future in left:
            self._on_job(slot, place, future)
