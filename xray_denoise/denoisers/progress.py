"""Report progress within an image, tile by tile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Call `listener` with the share of the image that is done, 0..1, while this thread denoises."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(done: int, total: int) -> None:
    """Report that `done` of the `total` tiles of the image are denoised."""
    listener = _listener.get()
    if listener is not None:
        listener(done / total)
