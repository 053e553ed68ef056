"""The model card: what it says of the weights beside it, and which values it may have.

A card is Markdown behind TOML metadata between two lines `+++`. They name the network, its options, the SHA-256 of the
weights file, the noise it was trained for, and where it came from. A model that is part of another needs no weights of
its own: its card names the file (`file`) and the part of the network (`part`).
"""

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from xray_denoise.errors import CannotRunError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.physics.noise_fit import Calibration
from xray_denoise.scale import GREY_MAX

_FENCE = "+++"
MOST_CARD_BYTES = 1 << 20
MOST_TEXT, MOST_ENTRIES, MOST_OPTION = 16_384, 64, 4096
"""Characters of a line, entries of a list or table, numbers in the options of a network."""


@dataclass(frozen=True, slots=True)
class Card:
    """The metadata of a model card."""

    name: str
    """The name of the model, and of the card without its suffix .md."""
    path: Path
    """The weights file; the card lies beside it."""
    net: str
    """Architecture (`nets.NETS`)."""
    options: Mapping[str, Any]
    """Options of the architecture."""
    sha256: str
    """Of the weights file, hexadecimal."""
    eta: tuple[float, float]
    """Photons per grey level, range seen in training."""
    sigma: tuple[float, float]
    """Electronic noise, grey levels, range seen in training."""
    metadata: Mapping[str, Any]
    """All metadata, the above included."""

    @property
    def calibration(self) -> Calibration | None:
        """Of the noise level that the network estimates; None where it was not measured."""
        measured = self.metadata.get("level_calibration")
        if measured is None:
            return None
        return Calibration(tuple(measured["estimated"]), tuple(measured["factors"]))

    @property
    def training(self) -> str:
        """How long it was trained, as text; empty if the card does not say."""
        patches, side = self.metadata.get("patches"), self.metadata.get("patch_size")
        return f"{patches} patches of {side}x{side}" if patches and side else ""

    @property
    def part(self) -> str:
        """The part of the network in the weights file that the model is; empty if it is all of it."""
        return str(self.metadata.get("part", ""))


def read_card(path: Path) -> Card:
    """The card beside the weights file `path`, with every field checked.

    Raises:
        CannotRunError: it is missing, its metadata cannot be understood, or a field is not what it must be.
    """
    card = path.with_suffix(".md")
    try:
        if not card.is_file() or card.stat().st_size > MOST_CARD_BYTES:
            raise ValueError(f"it is no file of at most {MOST_CARD_BYTES >> 10} KiB")
        metadata = tomllib.loads(card.read_text(encoding="utf-8").split(f"{_FENCE}\n")[1])
        for name, wanted in _REQUIRED.items():
            _require(metadata.get(name), name, wanted)
        for name, wanted in _OPTIONAL.items():
            if name in metadata:
                _require(metadata[name], name, wanted)
        return Card(
            path.stem,
            path.with_name(metadata.get("file", path.name)),
            metadata["net"],
            metadata.get("options", {}),
            metadata["sha256"],
            (float(metadata["eta"][0]), float(metadata["eta"][1])),
            (float(metadata["sigma"][0]), float(metadata["sigma"][1])),
            metadata,
        )
    except (OSError, RecursionError, LookupError, TypeError, ValueError) as error:  # a TOML error is a ValueError
        raise CannotRunError(
            f"no usable model card at {{path}}: {error}",
            path=card,
            hint="a weights file needs the card it was made with",
        ) from error


def _require(value: object, name: str, wanted: "_Check") -> None:
    what, is_right = wanted
    if not is_right(value):
        raise ValueError(f"{name} must be {what}")


def _is_number(value: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether it is a number from `low` to `high`; neither a truth value nor NaN is one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and _is_number(value, low, high)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_TEXT and value.isprintable()


def _is_range(value: object, low: float, high: float) -> bool:
    in_order = isinstance(value, list) and len(value) == 2 and all(_is_number(end, low, high) for end in value)
    return in_order and isinstance(value, list) and value[0] <= value[1]


def _is_option(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= MOST_ENTRIES and all(_is_option(entry) for entry in value if not isinstance(entry, list))
    return isinstance(value, bool) or _is_number(value, -MOST_OPTION, MOST_OPTION) or _is_text(value)


def _are_options(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= MOST_ENTRIES and all(map(_is_option, value.values()))


def _is_golden(value: object) -> bool:
    return isinstance(value, dict) and all(_is_number(entry, 0, 200) for entry in value.values())


def _is_calibration(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    estimated, factors = value.get("estimated"), value.get("factors")
    if not isinstance(estimated, list) or not isinstance(factors, list):
        return False
    return (
        0 < len(estimated) == len(factors) <= MOST_ENTRIES
        and all(_is_number(one, 0, GREY_MAX) for one in estimated)
        and all(before < after for before, after in pairwise(estimated))
        and all(_is_number(one, 0.01, 100) for one in factors)
    )


_Check = tuple[str, Callable[[object], bool]]
_TEXT: _Check = (f"a line of at most {MOST_TEXT} characters", _is_text)
_COUNT: _Check = ("a whole number", lambda value: _is_whole(value, 0, 10**15))
_POSITIVE: _Check = ("a number, 0 or more", lambda value: _is_number(value, 0, 1e15))
_REQUIRED: dict[str, _Check] = {
    "net": _TEXT,
    "sha256": (
        "64 hexadecimal digits",
        lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None,
    ),
    "eta": ("two rising numbers above 0", lambda value: _is_range(value, 1e-6, math.inf)),
    "sigma": (f"two rising numbers from 0 to {GREY_MAX:g}", lambda value: _is_range(value, 0, GREY_MAX)),
}
_OPTIONAL: dict[str, _Check] = {
    "options": (f"a table of words, truth values and numbers up to {MOST_OPTION}", _are_options),
    **dict.fromkeys(("command", "data", "device", "file", "part", "precision", "version"), _TEXT),
    **dict.fromkeys(("steps", "patches"), _COUNT),
    "patch_size": ("a whole number up to 65536", lambda value: _is_whole(value, 1, 65536)),
    **dict.fromkeys(("seconds", "val_psnr", "val_level_error"), _POSITIVE),
    "golden": ("a table of decibels", _is_golden),
    "level_calibration": ("as many rising estimates as factors", _is_calibration),
}
"""Metadata that are checked; entries of other names are kept, and nothing is made of them."""


def prose_of(card: Card) -> str:
    """What the card says to people, Markdown."""
    return card.path.with_name(f"{card.name}.md").read_text(encoding="utf-8").split(f"{_FENCE}\n", 2)[2]


def write_card(path: Path, metadata: Mapping[str, Any], prose: str) -> Card:
    """Write the card of the weights file `path`; `metadata` has everything, sha256 included."""
    text = f"{_FENCE}\n{_toml(metadata)}{_FENCE}\n{prose.strip()}\n"
    write_bytes(text.encode(), path.with_suffix(".md"))
    return read_card(path)


def _toml(metadata: Mapping[str, Any]) -> str:
    """Flat metadata as TOML: plain entries first, then one [section] for each table but `options`."""
    plain = {key: value for key, value in metadata.items() if not isinstance(value, Mapping) or key == "options"}
    sections = {key: value for key, value in metadata.items() if key not in plain}
    lines = [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml_value(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml_value(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return json.dumps(value, ensure_ascii=False)
