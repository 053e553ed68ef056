"""Weights on disk: a safetensors file and its model card, whose head decides how the file is loaded.

A card is Markdown behind a TOML head between two lines `+++`. The head names the network, its options, the
SHA-256 of the weights file, the noise it was trained for, and where it came from; the loader obeys it and
refuses a file whose hash differs. Adding a model is adding these two files to the folder.
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xray_denoise.errors import CannotRunError
from xray_denoise.files.extras import write_bytes
from xray_denoise.physics.levels import Calibration

if TYPE_CHECKING:
    from xray_denoise.nets.blind import DenoisingNet

_FENCE = "+++"


@dataclass(frozen=True, slots=True)
class Card:
    """The head of a model card."""

    path: Path
    """The weights file; the card lies beside it with the suffix .md."""
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
    head: Mapping[str, Any]
    """Everything that the head says, the above included."""

    @property
    def calibration(self) -> Calibration | None:
        """Of the noise level that the network estimates; None where it was not measured."""
        measured = self.head.get("level_calibration")
        if measured is None:
            return None
        return Calibration(tuple(measured["estimated"]), tuple(measured["factors"]))

    @property
    def training(self) -> str:
        """How long it was trained, in words; empty where the card does not say."""
        patches, side = self.head.get("patches"), self.head.get("patch_size")
        return f"{patches} patches of {side}x{side}" if patches and side else ""

    @property
    def name(self) -> str:
        """The name that `--model` takes."""
        return self.path.stem


def folder() -> Path:
    """Where the weights that come with the package lie: inside the wheel, or at the top of a checkout."""
    package = Path(__file__).parent
    installed = package / "weights_data"
    return installed if installed.is_dir() else package.parent / "weights"


def names() -> list[str]:
    """Names of all models in the weights folder, sorted."""
    return sorted(path.stem for path in folder().glob("*.safetensors"))


def find(model: str) -> Card:
    """The card of a model that is installed, or of a weights file anywhere.

    Args:
        model: a name from `names()`, or the path of a .safetensors file with its card beside it.

    Raises:
        CannotRunError: no such model, no card, or a card that cannot be understood.
    """
    path = Path(model) if model.endswith(".safetensors") else folder() / f"{model}.safetensors"
    if not path.is_file():
        raise CannotRunError(f"no weights at {path}", hint=f"choose one of {', '.join(names())}")
    return read_card(path)


def read_card(path: Path) -> Card:
    """The card beside the weights file `path`.

    Raises:
        CannotRunError: it is missing or its head cannot be understood.
    """
    card = path.with_suffix(".md")
    try:
        head = tomllib.loads(card.read_text(encoding="utf-8").split(f"{_FENCE}\n")[1])
        return Card(
            path,
            head["net"],
            head.get("options", {}),
            head["sha256"],
            (float(head["eta"][0]), float(head["eta"][1])),
            (float(head["sigma"][0]), float(head["sigma"][1])),
            head,
        )
    except (
        OSError,
        UnicodeDecodeError,
        tomllib.TOMLDecodeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise CannotRunError(
            f"no usable model card at {card}: {error}", hint="a weights file needs the card it was made with"
        ) from error


def load(card: Card) -> "DenoisingNet":
    """The network that a card describes, on the CPU, in 32-bit floats, ready for inference.

    Raises:
        CannotRunError: the file is not the one that the card speaks of, or does not fit the network.
    """
    import safetensors.torch

    from xray_denoise import nets

    try:
        data = card.path.read_bytes()
    except OSError as error:
        raise CannotRunError(f"cannot read {card.path}: {error.strerror}", hint="check its permissions") from error
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise CannotRunError(
            f"{card.path} is not the file that its card describes (its SHA-256 differs)",
            hint="install xray-denoise again, or take the weights file that belongs to the card",
        )
    try:
        net = nets.build(card.net, **card.options)
        net.load_state_dict(safetensors.torch.load(data))
    except (KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise CannotRunError(
            f"{card.path} does not fit the network '{card.net}' of this version: {error}",
            hint="update xray-denoise, or take weights made for this version",
        ) from error
    return net.eval().requires_grad_(False)


def save(net: "DenoisingNet", path: Path, head: Mapping[str, Any], prose: str) -> Card:
    """Write weights as 16-bit floats (running means as they are), and their card.

    Args:
        net: the network; copied to the CPU.
        path: the .safetensors file; the card is written beside it.
        head: entries of the card's head except sha256; values are text, numbers, lists, or tables of those.
        prose: Markdown for people.

    Returns:
        The card as `read_card` sees it.
    """
    import safetensors.torch
    import torch

    halved = {name for name, _ in net.named_parameters()}  # running means keep their range, counters are whole
    tensors = {
        key: value.detach().to("cpu", torch.float16 if key in halved else value.dtype).contiguous()
        for key, value in net.state_dict().items()
    }
    data = safetensors.torch.save(tensors)
    full_head = {**head, "sha256": hashlib.sha256(data).hexdigest()}
    write_bytes(data, path)
    return write_card(path, full_head, prose)


def write_card(path: Path, head: Mapping[str, Any], prose: str) -> Card:
    """Write the card of the weights file `path`; `head` has everything, sha256 included."""
    text = f"{_FENCE}\n{_toml(head)}{_FENCE}\n{prose.strip()}\n"
    write_bytes(text.encode(), path.with_suffix(".md"))
    return read_card(path)


def _toml(head: Mapping[str, Any]) -> str:
    """A flat head as TOML: plain entries first, then one [section] for each table but `options`."""
    plain = {key: value for key, value in head.items() if not isinstance(value, Mapping) or key == "options"}
    sections = {key: value for key, value in head.items() if key not in plain}
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
