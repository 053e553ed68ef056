"""Rules: what becomes of an object, by what its head says and by who sent it.

    [[rule]]                       # the first rule that fits decides; no rule fits: the defaults of the node
    modality = ["CR", "DX"]        # (0008,0060)
    body_part = "CHEST"            # (0018,0015)
    station = "ROOM*"              # (0008,1010)
    calling_ae = "XR1"             # the sender
    action = "denoise"             # or "pass": forwarded unchanged
    model = "x-profile"
    strength = 0.8                 # or "auto"
    to = ["PACS@10.0.0.5:104"]

A condition is a text or a list of texts, of which one must fit: upper and lower case alike, `*` and `?` as in file
names. A rule without a condition fits everything.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from xray_denoise.errors import UnreadableFileError, UsageError
from xray_denoise.tasks.remarks import Strength, check_strength

CONDITIONS = ("modality", "body_part", "station", "calling_ae")
ACTIONS = ("denoise", "pass")


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules ask of an object; empty where its head does not say."""

    modality: str = ""
    body_part: str = ""
    station: str = ""
    calling_ae: str = ""


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of an object."""

    action: Literal["denoise", "pass"]
    model: str
    strength: Strength
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    conditions: tuple[tuple[str, tuple[str, ...]], ...]
    """Fields of `Facts`, and the patterns of which one must fit, in capitals."""
    treatment: Treatment

    def fits(self, facts: Facts) -> bool:
        """Whether all conditions hold."""
        return all(
            any(fnmatchcase(getattr(facts, name).upper(), pattern) for pattern in patterns)
            for name, patterns in self.conditions
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules in their order, and what holds where none fits."""

    rules: tuple[Rule, ...]
    default: Treatment

    def treatment(self, facts: Facts) -> Treatment:
        """What becomes of an object: what the first rule says that fits."""
        return next((rule.treatment for rule in self.rules if rule.fits(facts)), self.default)

    @property
    def ask_sender(self) -> bool:
        """Whether it matters who has sent an object."""
        return any(name == "calling_ae" for rule in self.rules for name, _ in rule.conditions)

    @property
    def models(self) -> set[str]:
        """All models that denoise."""
        return {one.model for one in self.treatments if one.action == "denoise"}

    def renamed(self, names: Mapping[str, str]) -> "Rules":
        """The same with other names of destinations."""

        def rename(treatment: Treatment) -> Treatment:
            return replace(treatment, destinations=tuple(dict.fromkeys(names[text] for text in treatment.destinations)))

        rules = tuple(replace(rule, treatment=rename(rule.treatment)) for rule in self.rules)
        return Rules(rules, rename(self.default) if self.default.destinations else self.default)

    @property
    def treatments(self) -> list[Treatment]:
        """All that can become of one."""
        return [*(rule.treatment for rule in self.rules), self.default]


def read_rules(path: Path, default: Treatment) -> Rules:
    """Read a file of rules.

    Args:
        path: TOML with `[[rule]]` tables.
        default: for what a rule leaves out, and where no rule fits.

    Raises:
        UnreadableFileError: it cannot be read, or is no TOML.
        UsageError: a rule has an unknown key or a value that it cannot have.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnreadableFileError(
            f"cannot read the rules {{path}}: {reason}", path=path, hint="docs/serve.md has an example", option="rules"
        ) from error
    tables = content.pop("rule", [])
    if content or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise _wrong(path, "it holds [[rule]] tables and nothing else")
    return Rules(tuple(_rule(table, number, path, default) for number, table in enumerate(tables, 1)), default)


def _rule(table: dict[str, Any], number: int, path: Path, default: Treatment) -> Rule:
    unknown = set(table) - {*CONDITIONS, "action", "model", "strength", "to"}
    if unknown:
        raise _wrong(path, f"rule {number} has an unknown key '{min(unknown)}'")
    conditions = tuple((name, _texts(table, name, number, path)) for name in CONDITIONS if name in table)
    treatment = default
    if "action" in table:
        if table["action"] not in ACTIONS:
            raise _wrong(path, f"the action of rule {number} is neither denoise nor pass")
        treatment = replace(treatment, action=table["action"])
    if "model" in table:
        if not isinstance(table["model"], str):
            raise _wrong(path, f"the model of rule {number} is no name")
        treatment = replace(treatment, model=table["model"])
    if "strength" in table:
        treatment = replace(treatment, strength=_strength(table["strength"], number, path))
    if "to" in table:
        treatment = replace(treatment, destinations=_texts(table, "to", number, path, upper=False))
    return Rule(conditions, treatment)


def _strength(value: Any, number: int, path: Path) -> Strength:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(path, f"the strength of rule {number} is neither a number nor auto")
    try:
        check_strength(float(value))
    except UsageError as error:
        raise _wrong(path, f"rule {number}: {error}") from error
    return float(value)


def _texts(table: dict[str, Any], name: str, number: int, path: Path, *, upper: bool = True) -> tuple[str, ...]:
    value = table[name]
    texts: Sequence[Any] = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise _wrong(path, f"'{name}' of rule {number} is neither a text nor a list of texts")
    return tuple(text.upper() if upper else text for text in texts)


def _wrong(path: Path, what: str) -> UsageError:
    return UsageError(f"the rules {{path}}: {what}", path=path, hint="docs/serve.md has an example", option="rules")
