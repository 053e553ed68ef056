"""Work through jobs in three stages that overlap: read the next ones, and write the last ones, meanwhile."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor as Pool
from typing import Generic, TypeVar

AHEAD = 2
"""Jobs read before, and written after, those that are worked on; more where more threads read and write."""
MOST_THREADS = 8
"""Threads that read, and as many that write, where work is faster than one of each."""
ROOM = 2
"""Items that wait in a `Feed`."""

Job = TypeVar("Job")
Source = TypeVar("Source")
Outcome = TypeVar("Outcome")
Item = TypeVar("Item")


def overlapped(
    jobs: Iterable[Job],
    read: Callable[[Job], Source],
    work: Callable[[Job, Future[Source], Pool], Future[Outcome]],
    *,
    at_once: int,
    is_last: Callable[[Outcome], bool],
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every job, in their order, each as soon as it is there.

    After Ctrl-C what is being written is finished, and its outcomes are yielded before the interrupt goes on.

    Args:
        jobs: what is to be done.
        read: called in a thread of its own, some jobs ahead.
        work: given a job, what was read for it (or the exception), and the threads that write; hands those the rest.
        at_once: how many threads work with profit; with 1 it is the caller's.
        is_last: whether nothing new is begun after this outcome.
    """
    threads = 1 if at_once == 1 else min(MOST_THREADS, os.cpu_count() or 1)
    ahead = max(AHEAD, threads + at_once)
    waiting = deque(jobs)
    reading: deque[tuple[Job, Future[Source]]] = deque()
    writing: deque[Future[Future[Outcome]]] = deque()
    with Pool(threads, "read") as reader, Pool(threads, "write") as writer, Pool(at_once, "work") as others:
        begin = _now if at_once == 1 else others.submit
        try:
            while waiting or reading or writing:
                while waiting and len(reading) < ahead:
                    job = waiting.popleft()
                    reading.append((job, reader.submit(read, job)))
                if reading:
                    writing.append(begin(work, *reading.popleft(), writer))
                while writing and (
                    len(writing) > ahead or not reading or (writing[0].done() and writing[0].result().done())
                ):
                    outcome = writing[0].result().result()
                    writing.popleft()
                    yield outcome
                    if is_last(outcome):
                        waiting.clear()
                        reading.clear()
        except KeyboardInterrupt:
            yield from (future.result().result() for future in writing)
            raise
        finally:
            reader.shutdown(cancel_futures=True)
            others.shutdown(cancel_futures=True)


def _now(
    work: Callable[[Job, Future[Source], Pool], Future[Outcome]], job: Job, source: Future[Source], writer: Pool
) -> Future[Future[Outcome]]:
    """Do it in this thread, as an executor would in another one."""
    done: Future[Future[Outcome]] = Future()
    done.set_result(work(job, source, writer))
    return done


class AbandonedError(Exception):
    """The thread that fills a feed stopped for a reason of its own; it has the traceback."""


class Feed(Generic[Item]):
    """Items on their way from the thread that makes them to the one that uses them; at most `ROOM` of them wait."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._error: BaseException | None = None
        self._filled = self._closed = False
        self._changed = threading.Condition()

    def fill(self, items: Iterable[Item], *, passed_on: tuple[type[BaseException], ...] = ()) -> None:
        """Hand over all items; returns early where nobody takes them any more.

        Args:
            items: made one by one.
            passed_on: exceptions that are raised where the items are used. Others are raised here, and end the feed
                with an `AbandonedError`.
        """
        error: BaseException | None = AbandonedError()
        try:
            for item in items:
                if not self._put(item):
                    break
            error = None
        except passed_on as failure:
            error = failure
        finally:
            with self._changed:
                self._filled, self._error = True, error
                self._changed.notify_all()

    def _put(self, item: Item) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < ROOM or self._closed)
            self._items.append(item)
            self._changed.notify_all()
            return not self._closed

    def taken(self) -> Generator[Item, None, None]:
        """The items in their order; closing this generator ends the feed."""
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: bool(self._items) or self._filled)
                    if not self._items:
                        if self._error is not None:
                            raise self._error
                        return
                    item = self._items.popleft()
                    self._changed.notify_all()
                yield item
        finally:
            with self._changed:
                self._closed = True
                self._items.clear()
                self._changed.notify_all()
