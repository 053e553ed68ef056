"""The frames of a run with their neighbours in time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from xray_denoise.physics.frame_average import RADIUS
from xray_denoise.radiograph import Radiograph

Frame = TypeVar("Frame")


def with_neighbours(
    frames: Iterable[Radiograph], radius: int = RADIUS
) -> Iterator[tuple[Radiograph, list[Radiograph]]]:
    """Each frame and those up to `radius` before and after it; the first and last ones have fewer.

    At most 2 radius + 1 frames are in memory.
    """
    coming = iter(frames)
    after = deque(islice(coming, radius + 1))
    before: deque[Radiograph] = deque(maxlen=radius)
    while after:
        frame = after.popleft()
        yield frame, [*before, *after]
        before.append(frame)
        after.extend(islice(coming, 1))


def value_range_of_scene(opening: Sequence[Radiograph]) -> tuple[float, float]:
    """The widest value range among the first frames of a scene, since the very first may be blank or dim."""
    return max((frame.value_range for frame in opening), key=lambda ends: ends[1] - ends[0])


def released(opening: list[Radiograph], others: Iterator[Radiograph]) -> Iterator[Radiograph]:
    """All frames of a file; none is kept once the next one is asked for."""
    while opening:
        yield opening.pop(0)
    yield from others


def until_exposed(frames: Iterable[Frame], radiograph_of: Callable[[Frame], Radiograph]) -> list[Frame]:
    """The first frames up to one that is not blank, or all of them; a blank one has the same value everywhere."""
    opening = []
    for frame in frames:
        opening.append(frame)
        stored = radiograph_of(frame).stored
        if stored.min() < stored.max():
            break
    return opening
