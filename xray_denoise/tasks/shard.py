"""`--shard K/N`: one of N parts of a plan, for queues that start a program N times."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath

from xray_denoise.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the files in a folder, by a hash of their names: any `count` of them are disjoint and complete."""

    number: int
    """1 to `count`."""
    count: int

    @classmethod
    def of(cls, text: str) -> "Shard":
        """What "K/N" says.

        Raises:
            UsageError: it says nothing, or K is not from 1 to N.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise UsageError(f"a shard is K/N with K from 1 to N, not '{text}'", hint="for example 1/8", option="shard")
        return cls(int(number), int(count))

    @property
    def name(self) -> str:
        """Of its part of the manifest."""
        return f"{self.number}-of-{self.count}"

    def holds(self, name: PurePath) -> bool:
        """Whether a file belongs to it: by the first 64 bits of SHA-256 of its name, relative to the input folder.

        The name alone decides, on every machine and in every run, whatever else lies in the folder.
        """
        digest = sha256(os.fsencode(name.as_posix())).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


def name_below(source: Path, inputs: Iterable[Path]) -> Path:
    """The name of a file relative to the input folder in which it was found; of an input that is a file, its own."""
    return next(
        Path(source.name) if one == source else source.relative_to(one)
        for one in inputs
        if one == source or source.is_relative_to(one)
    )
