"""Patches with a teacher's answers: large patches are answered once, then cut into many small ones.

A teacher costs several times what its student does. What it makes of a noisy patch stays right however that patch is
turned and cut, so each lesson is used again before the next one is asked for.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from xray_denoise.training.patches import Batch, PatchSource, squares

TAUGHT = 0.75
"""How far the target lies from the clean patch towards what the teacher makes of the noisy one. What neither can know
is no part of the teacher's answer, so its gradient is quieter; the rest keeps the student from the teacher's habits."""
SIDE = 2
"""Side of a large patch, in patches."""

Teacher = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""(B, 1, H, W) -> the denoised image, (B, 1, H, W), and levels that nobody looks at."""


class TaughtSource:
    """A `PatchSource` of which a teacher answers one lesson after the other, each for a given number of steps.

    Lesson n depends on `seed` and n alone, so a training that is resumed gets the lesson that it had.

    Args:
        source: draws the large patches, `SIDE` times as long as those that are given out.
        teacher: a trained network, on the device of `source`.
        patch: side of the patches that are given out, pixels.
        seed: of the lessons.
        lesson: large patches in a lesson.
        reuse: how many times a lesson's pixels are given out.
        answered: large patches that the teacher is shown at once.
    """

    def __init__(
        self,
        source: PatchSource,
        teacher: Teacher,
        patch: int,
        *,
        seed: int,
        lesson: int = 256,
        reuse: int = 8,
        answered: int = 4,
    ) -> None:
        self._source, self._teacher, self._patch, self._seed = source, teacher, patch, seed
        self._lesson, self._answered = lesson, answered
        self._given = lesson * reuse * (source.patch // patch) ** 2
        self._held: tuple[int, Batch] | None = None

    def draw(self, step: int, count: int, generator: torch.Generator) -> Batch:
        """`count` patches for step `step`, cut out of its lesson and turned as `generator` chooses."""
        index = step * count // self._given
        if self._held is None or self._held[0] != index:
            self._held = index, self._taught(index)
        pool, side = self._held[1], self._source.patch
        sides = torch.full((self._lesson,), side, device=self._source.device)
        chosen, places = squares(count, self._patch, sides, sides, generator)
        noisy, clean, target = (
            one.flatten()[(chosen * side**2)[:, None, None] + places][:, None]
            for one in (pool.noisy, pool.clean, pool.target)
        )
        return Batch(noisy, clean, target, pool.eta[chosen], pool.sigma[chosen])

    @torch.inference_mode()
    def _taught(self, index: int) -> Batch:
        """Lesson `index`: large patches, their targets between truth and the teacher's answer."""
        generator = torch.Generator(self._source.device).manual_seed((self._seed << 32) + index)
        parts = []
        for first in range(0, self._lesson, self._answered):
            batch = self._source.draw(index, min(self._answered, self._lesson - first), generator)
            answer = self._teacher(batch.noisy)[0].float().clamp(0, 1)
            parts.append(dataclasses.replace(batch, target=batch.clean.lerp(answer, TAUGHT)))
        columns = zip(*((one.noisy, one.clean, one.target, one.eta, one.sigma) for one in parts), strict=True)
        return Batch(*(torch.cat(column) for column in columns))
