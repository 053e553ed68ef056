"""The frames of a run: which show one scene with the same noise, and their neighbours in time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoiser
from xray_denoise.physics.frame_average import RADIUS
from xray_denoise.physics.profile import Noise
from xray_denoise.physics.scenes import Scene, leading, overview
from xray_denoise.radiograph import Radiograph

READ_AHEAD = 4
"""Frames that the noise of a scene is estimated from; as many of a file are read before it is denoised."""
SCENES = 4
"""Scenes that are remembered, in case that one of them is shown again."""


class OnScale(Protocol):
    """A frame with its grey levels; a `Radiograph` is one."""

    @property
    def value_range(self) -> tuple[float, float]:
        """Values at grey levels 0 and 255."""

    @property
    def grey(self) -> NDArray[np.float32]:
        """(H, W), grey levels."""

    def with_value_range(self, lo: float, hi: float, /) -> Self:
        """The same frame with other values at grey levels 0 and 255."""


Frame = TypeVar("Frame")
Scaled = TypeVar("Scaled", bound=OnScale)
Estimate = Callable[[Sequence[Scaled]], Noise | None]
"""The noise of frames of one scene, None where they do not tell it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shot(Generic[Scaled]):
    """A scene, and the scale that its noise is given on."""

    scene: Scene
    value_range: tuple[float, float]

    def shows(self, frame: Scaled) -> bool:
        """Whether a frame belongs to the scene."""
        return self.scene.shows(overview(self.scaled(frame).grey))

    def scaled(self, frame: Scaled) -> Scaled:
        """A frame on this scale."""
        return frame.with_value_range(*self.value_range)


def in_scenes(
    frames: Iterable[Scaled],
    denoiser: Denoiser,
    given: Callable[[Scaled], Noise | None] | None = None,
    *,
    averaged: bool = False,
) -> Iterator[tuple[Scaled, Noise | None, list[Scaled]]]:
    """Each frame, the noise of its scene, and the frames around it that it may be averaged with.

    The noise is estimated from the first frames of a scene, at most `READ_AHEAD`, and used for as long as the scene is
    shown with this noise, and when it is shown again. All its frames get the widest value range of the first ones,
    since the very first may be blank or dim. A frame that shows what no neighbour shows, or with other noise, keeps its
    own value range; it comes without other frames and, unless the noise is given, with None.

    Args:
        frames: of a file or a stack.
        denoiser: estimates the noise of scenes.
        given: tells the noise over the grey levels of a frame, where the user knows it; None has it estimated.
        averaged: whether each comes with up to `RADIUS` frames before and after it that show its scene.
    """
    if given is not None and not averaged:
        yield from ((frame, given(frame), []) for frame in frames)
        return

    def estimate(alike: Sequence[Scaled]) -> Noise | None:
        return given(alike[0]) if given else denoiser.noise_of_scene([frame.grey for frame in alike])

    for (frame, shot), around in with_neighbours(_with_shots(frames, estimate), RADIUS if averaged else 0):
        if shot is None:
            yield frame, given(frame) if given else None, []
        else:
            yield frame, shot.scene.noise, [other for other, of_other in around if of_other is shot]


def _with_shots(frames: Iterable[Scaled], estimate: Estimate[Scaled]) -> Iterator[tuple[Scaled, _Shot[Scaled] | None]]:
    """Each frame on the scale of the scene that it shows; none is kept once the next one is asked for."""
    coming, alone = iter(frames), 0  # how many frames are passed on without asking for their noise
    waiting: deque[Scaled] = deque()
    known: deque[_Shot[Scaled]] = deque(maxlen=SCENES)  # the one that was shown last is the first
    while waiting or (waiting := deque(islice(coming, 1))):
        shot = next((one for one in known if one.shows(waiting[0])), None)
        if shot is not None:
            known.remove(shot)
        elif not alone:
            waiting.extend(islice(coming, READ_AHEAD - len(waiting)))
            shot, alone = _begun(waiting, estimate)
        if shot is not None:
            known.appendleft(shot)
        frame, alone = waiting.popleft(), max(alone - 1, 0)
        yield (frame if shot is None else shot.scaled(frame)), shot


def _begun(opening: Sequence[Scaled], estimate: Estimate[Scaled]) -> tuple[_Shot[Scaled] | None, int]:
    """The scene that begins with the first of some frames; None where it has no other frame, or tells no noise.

    The second result is how many frames, from the first, have no scene then.
    """
    if len(opening) < 2:
        return None, 1
    scale = _widest(opening)
    places = leading([overview(frame.with_value_range(*scale).grey) for frame in opening])
    if len(places) < 2:
        return None, 1
    scale = _widest([opening[place] for place in places])
    members = [opening[place].with_value_range(*scale) for place in places]
    overviews = [overview(frame.grey) for frame in members]
    noise = estimate(members)
    if noise is None:
        return None, 1 if sum(not one.is_blank for one in overviews) < 2 else places[-1] + 1
    return _Shot(Scene(noise, overviews), scale), 0


def _widest(frames: Sequence[OnScale]) -> tuple[float, float]:
    """The widest value range of some frames."""
    return max((frame.value_range for frame in frames), key=lambda ends: ends[1] - ends[0])


def with_neighbours(frames: Iterable[Frame], radius: int = RADIUS) -> Iterator[tuple[Frame, list[Frame]]]:
    """Each frame and those up to `radius` before and after it; the first and last ones have fewer.

    At most 2 radius + 1 frames are in memory.
    """
    coming = iter(frames)
    after = deque(islice(coming, radius + 1))
    before: deque[Frame] = deque(maxlen=radius)
    while after:
        frame = after.popleft()
        yield frame, [*before, *after]
        before.append(frame)
        after.extend(islice(coming, 1))


def until_exposed(frames: Iterable[Frame], radiograph_of: Callable[[Frame], Radiograph]) -> list[Frame]:
    """The first frames up to one that is not blank, or all of them; a blank one has the same value everywhere."""
    opening = []
    for frame in frames:
        opening.append(frame)
        if not radiograph_of(frame).is_blank:
            break
    return opening
