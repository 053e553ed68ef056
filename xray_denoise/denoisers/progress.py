"""Tell whoever waits how much of an image is denoised, tile by tile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Let `listener` hear of what is denoised in this thread: the share of the image that is done, 0..1."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(done: int, total: int) -> None:
    """Say that `done` of the `total` tiles of the image are denoised."""
    listener = _listener.get()
    if listener is not None:
        listener(done / total)
