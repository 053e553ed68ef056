"""Process jobs in three overlapping stages: the next are read and the last are written meanwhile."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor as Pool
from typing import Generic, TypeVar

AHEAD = 2
"""Jobs read before, and written after, the one that is worked on."""
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
    is_last: Callable[[Outcome], bool],
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every job in order, each as soon as it is available.

    After Ctrl-C what is being written is finished, and its outcomes are yielded before the interrupt goes on.

    Args:
        jobs: what is to be done.
        read: called in a thread of its own, up to `AHEAD` jobs before `work`.
        work: called in the caller's thread with a job, the future of what was read for it, and the thread that writes;
            returns the future of the outcome.
        is_last: tells of an outcome whether no other job is begun after it.
    """
    waiting = deque(jobs)
    reading: deque[tuple[Job, Future[Source]]] = deque()
    writing: deque[Future[Outcome]] = deque()
    with Pool(1, "read") as reader, Pool(1, "write") as writer:
        try:
            while waiting or reading or writing:
                while waiting and len(reading) < AHEAD:
                    job = waiting.popleft()
                    reading.append((job, reader.submit(read, job)))
                if reading:
                    writing.append(work(*reading.popleft(), writer))
                while writing and (len(writing) > AHEAD or not reading or writing[0].done()):
                    outcome = writing[0].result()
                    writing.popleft()
                    yield outcome
                    if is_last(outcome):
                        waiting.clear()
                        reading.clear()
        except KeyboardInterrupt:
            yield from (future.result() for future in writing)
            raise
        finally:
            reader.shutdown(cancel_futures=True)


class AbandonedError(Exception):
    """The thread that fills a feed stopped for a reason of its own; it has the traceback."""


class Feed(Generic[Item]):
    """A bounded queue of items from one thread to another; at most `ROOM` of them wait."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._error: BaseException | None = None
        self._filled = self._closed = False
        self._changed = threading.Condition()

    def fill(self, items: Iterable[Item], *, passed_on: tuple[type[BaseException], ...] = ()) -> None:
        """Put in all items; returns early if the consumer has stopped.

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
