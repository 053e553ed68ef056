"""Hand jobs to workers that may die, and give their outcomes in the order of the jobs.

    jobs -> at most `IN_FLIGHT` on each worker -> outcomes

Nothing here knows where workers run; `cluster` has those of Ray. A worker that dies is replaced. Its jobs are begun
again, each on a worker that does nothing else meanwhile, so that a job that kills workers is found out.
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

IN_FLIGHT = 3
"""Jobs on a worker: while one is denoised, another is read, and another is written."""
WINDOW = 32
"""Jobs for each worker between the first that has no outcome and the last that was begun. So many outcomes wait at
most, so that they can be given in order."""
LIVES = 3
"""A job that was on so many workers when they died is given up."""
FALSE_STARTS = 5
"""So many workers in a row may die before they are ready."""
PATIENCE = 600.0
"""Seconds without any worker after which a run is given up: nodes may be coming."""

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")
Told = TypeVar("Told")
Job_contra = TypeVar("Job_contra", contravariant=True)


class WorkerLostError(Exception):
    """A worker died; the text says how."""


class Worker(Protocol[Job_contra, Outcome]):
    """Something that does jobs; its futures fail with `WorkerLostError` once it is dead."""

    def start(self) -> Future[None]:
        """Get ready."""
        ...

    def submit(self, job: Job_contra, *, again: bool) -> Future[Outcome]:
        """Begin a job; `again` says that a worker died while it did this one."""
        ...

    def stop(self) -> None:
        """Let it go, whatever it does."""
        ...


@dataclass(slots=True, eq=False)
class _Seat(Generic[Job, Outcome]):
    """A worker and what it does."""

    worker: Worker[Job, Outcome]
    ready: bool = False
    alone: bool = False
    """Whether its one job must be its only one."""
    busy: dict[int, Future[Outcome]] = field(default_factory=dict)
    """Its jobs by their places in the plan."""


class Dispatch(Generic[Job, Outcome]):
    """One run over jobs.

    Args:
        jobs: what is to be done.
        hire: makes a worker.
        count: how many workers there are at a time.
        is_last: tells of an outcome whether no other job is begun after it.
        give_up: the outcome of a job that killed `LIVES` workers, and how the last of them died.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        hire: Callable[[], Worker[Job, Outcome]],
        count: int,
        *,
        is_last: Callable[[Outcome], bool],
        give_up: Callable[[Job, str], Outcome],
    ) -> None:
        self.lost = 0
        """Workers that died."""
        self._fresh: Iterator[tuple[int, Job]] = enumerate(jobs)
        self._count, self._hire, self._is_last, self._give_up = count, hire, is_last, give_up
        self._seats: list[_Seat[Job, Outcome]] = []
        self._running: dict[int, Job] = {}
        """Every job that was begun and has no outcome."""
        self._again: list[int] = []
        """A heap of those of them that wait for another worker."""
        self._deaths: Counter[int] = Counter()
        self._done: dict[int, Outcome] = {}
        """Outcomes that wait for earlier ones."""
        self._begun = self._told = self._false_starts = 0
        self._exhausted = self._hurried = False
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        """What has happened, to be noted in the thread that runs this."""

    def outcomes(self, told: Callable[[Outcome], Told]) -> Generator[Told, None, None]:
        """What `told` makes of the outcome of every job, in their order.

        After Ctrl-C, and when this generator is closed, what was begun is finished; after Ctrl-C its outcomes are given
        before the interrupt goes on.

        Raises:
            CannotRunError: workers die before they are ready, or there is none for `PATIENCE` seconds.
        """
        try:
            for _ in range(self._count):
                self._take_on()
            self._assign()
            while self._running or not self._exhausted:
                self._handle()
                self._assign()
                while self._told in self._done:
                    outcome = told(self._done[self._told])
                    del self._done[self._told]
                    self._told += 1
                    yield outcome
        except KeyboardInterrupt:
            self._finish()
            yield from (told(self._done.pop(place)) for place in sorted(self._done))
            raise
        finally:
            try:
                self._finish()
            finally:
                for seat in self._seats:
                    seat.worker.stop()

    def _take_on(self) -> None:
        seat = _Seat(self._hire())
        self._seats.append(seat)
        seat.worker.start().add_done_callback(lambda done: self._events.put(partial(self._on_start, seat, done)))

    def _assign(self) -> None:
        """Give every worker that has room a job."""
        free = [seat for seat in self._seats if len(seat.busy) < IN_FLIGHT and seat.ready and not seat.alone]
        free.sort(key=lambda seat: len(seat.busy))
        while self._again and free and not free[0].busy:
            seat = free.pop(0)
            seat.alone = True
            self._begin(seat, heapq.heappop(self._again))
        free = free[len(self._again) :]  # the others get nothing until they are idle, and may be alone with a job
        for load in range(IN_FLIGHT):
            for seat in free:
                if len(seat.busy) == load and not self._begin_fresh(seat):
                    return

    def _begin_fresh(self, seat: _Seat[Job, Outcome]) -> bool:
        if self._exhausted or self._begun - self._told >= WINDOW * self._count:
            return False
        try:
            place, job = next(self._fresh)
        except StopIteration:
            self._exhausted = True
            return False
        self._begun += 1
        self._running[place] = job
        self._begin(seat, place)
        return True

    def _begin(self, seat: _Seat[Job, Outcome], place: int) -> None:
        seat.busy[place] = future = seat.worker.submit(self._running[place], again=place in self._deaths)
        future.add_done_callback(lambda done: self._events.put(partial(self._on_job, seat, place, done)))

    def _handle(self) -> None:
        """Wait until something happens, and note it."""
        ready = any(seat.ready for seat in self._seats)
        try:
            note = self._events.get(timeout=None if ready else PATIENCE)
        except Empty:
            raise CannotRunError(
                f"no worker was ready for {PATIENCE / 60:g} minutes", hint="look whether the nodes are up and free"
            ) from None
        note()

    def _on_start(self, seat: _Seat[Job, Outcome], future: Future[None]) -> None:
        try:
            future.result()
        except WorkerLostError as error:
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS:
                raise CannotRunError(
                    f"{self._false_starts} workers in a row died before they were ready: {error}",
                    hint="look at the logs of the cluster, and at the memory of its nodes",
                ) from error
            self._replace(seat)
            return
        self._false_starts = 0
        seat.ready = True

    def _on_job(self, seat: _Seat[Job, Outcome], place: int, future: Future[Outcome]) -> None:
        if place not in seat.busy:
            return
        try:
            self._settle(place, future.result())
        except WorkerLostError as error:
            self._replace(seat)
            self._deaths[place] += 1
            if self._deaths[place] < LIVES:
                heapq.heappush(self._again, place)
            else:
                self._settle(place, self._give_up(self._running[place], str(error)))
        finally:
            seat.alone = False
            seat.busy.pop(place, None)

    def _replace(self, seat: _Seat[Job, Outcome]) -> None:
        """Hire another worker for one that died; its other jobs will tell themselves."""
        if seat not in self._seats:
            return
        self.lost += 1
        self._seats.remove(seat)
        seat.worker.stop()
        if not self._hurried:
            self._take_on()

    def _settle(self, place: int, outcome: Outcome) -> None:
        self._running.pop(place, None)
        self._deaths.pop(place, None)
        self._done[place] = outcome
        if self._is_last(outcome):
            self._exhausted = True

    def _finish(self) -> None:
        """Wait for what workers do, but begin nothing; the second time, and after a second Ctrl-C, not even that.

        The first Ctrl-C may have come while an event was taken, so the jobs themselves are looked at.
        """
        if self._hurried:
            return
        self._hurried = self._exhausted = True
        left = [(seat, place, future) for seat in self._seats for place, future in seat.busy.items()]
        wait(future for _, _, future in left)
        for seat, place, future in left:
            self._on_job(seat, place, future)
