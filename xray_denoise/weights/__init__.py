"""Models on disk: a safetensors file and its model card (`card.py`), which decides how the file is loaded.

    find(name) -> Card -> load (hash, shapes) -> network            network -> save -> Card

The loader obeys the card and refuses a file whose hash differs. Adding a model is adding these two files to the folder.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xray_denoise.errors import CannotRunError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.physics.uncertainty import UncertaintyTable
from xray_denoise.weights.card import MOST_CARD_BYTES, Card, prose_of, read_card, write_card

if TYPE_CHECKING:
    from xray_denoise.nets.blind import DenoisingNet

__all__ = [
    "Card",
    "file_of",
    "find",
    "folder",
    "load",
    "names",
    "prose_of",
    "read_card",
    "save",
    "uncertainty",
    "uncertainty_path",
    "write_card",
]

MOST_WEIGHTS_BYTES = 1 << 30


def folder() -> Path:
    """The folder of the weights that come with the package: in the wheel, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "weights_data"
    return installed if installed.is_dir() else package.parent / "weights"


def names() -> list[str]:
    """Names of all models in the weights folder, sorted."""
    return sorted(path.stem for path in folder().glob("*.md"))


def file_of(model: str) -> Path:
    """Where the weights of a model lie: of a name, in the folder of the package; of a .safetensors file, itself."""
    return Path(model) if model.endswith(".safetensors") else folder() / f"{model}.safetensors"


def find(model: str) -> Card:
    """The card of a model that is installed, or of a weights file anywhere.

    Args:
        model: a name from `names()`, or the path of a .safetensors file with its card beside it.

    Raises:
        CannotRunError: no such model, no card, or a card that cannot be understood.
    """
    path = file_of(model)
    if not path.is_file() and not path.with_suffix(".md").is_file():
        raise CannotRunError("no weights at {path}", path=path, hint=f"choose one of {', '.join(names())}")
    return read_card(path)


def uncertainty_path(where: Path, model: str) -> Path:
    """Where the calibration of the intervals of a model lies: beside its card, which is in the folder `where`."""
    return where / f"{model}.uncertainty.json"


def uncertainty(sha256: str, part: str, model: str, path: Path) -> UncertaintyTable:
    """The calibration of the intervals of a model, if it was made with the very same network.

    Args:
        sha256: of the weights, hexadecimal; empty for a method without.
        part: of the network in them that the model is; empty if it is all of it.
        model: its name, for messages.
        path: the table.

    Raises:
        CannotRunError: there is none, it was made with other weights or another part of them, or it cannot be read.
    """
    known = ", ".join(_calibrated()) or "no model"
    hint = f"{known} has intervals; python -m xray_denoise.bench.uncertainty calibrate {model} FOLDER makes them"
    if not sha256 or not path.is_file():
        raise CannotRunError(f"'{model}' has no calibrated uncertainty", hint=hint, option="save_uncertainty")
    try:
        if path.stat().st_size > MOST_CARD_BYTES:
            raise ValueError("too large")
        table = UncertaintyTable.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CannotRunError(f"{{path}} is no calibration: {error}", path=path, hint=hint) from error
    if (table.weights_sha256, table.part) != (sha256, part):
        other = "other weights" if table.weights_sha256 != sha256 else "another part of the weights"
        raise CannotRunError(
            f"the uncertainty of '{model}' was calibrated with {other}", hint=hint, option="save_uncertainty"
        )
    return table


def _calibrated() -> list[str]:
    """Names of the models that have intervals."""
    return [name for name in names() if uncertainty_path(folder(), name).is_file()]


def load(card: Card) -> "DenoisingNet":
    """The network that a card describes, on the CPU, in 32-bit floats, ready for inference.

    Raises:
        CannotRunError: the file is not the one that the card speaks of, or does not fit the network.
    """
    import safetensors.torch
    import torch

    from xray_denoise import nets

    try:
        if card.path.stat().st_size > MOST_WEIGHTS_BYTES:
            raise CannotRunError(
                "{path} is larger than any network",
                path=card.path,
                hint="take the file that belongs to the card",
            )
        data = card.path.read_bytes()
    except OSError as error:
        raise CannotRunError(
            f"cannot read {{path}}: {error.strerror}", path=card.path, hint="check its permissions"
        ) from error
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise CannotRunError(
            "{path} is not the file that its card describes (its SHA-256 differs)",
            path=card.path,
            hint="install xray-denoise again, or take the weights file that belongs to the card",
        )
    try:
        tensors = safetensors.torch.load(data)
        if card.part:
            start = f"{card.part}."
            tensors = {key.removeprefix(start): one for key, one in tensors.items() if key.startswith(start)}
        with torch.device("meta"):  # finds out how large the network would be without making room for it
            size = sum(tensor.numel() for tensor in nets.build(card.net, **card.options).state_dict().values())
        if size != sum(tensor.numel() for tensor in tensors.values()):
            raise ValueError(f"it would have {size} weights")
        net = nets.build(card.net, **card.options)
        net.load_state_dict(tensors)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise _unfitting(card, error) from error
    except safetensors.SafetensorError as error:
        raise _unfitting(card, error) from error
    return net.eval().requires_grad_(False)


def _unfitting(card: Card, error: Exception) -> CannotRunError:
    return CannotRunError(
        f"{{path}} does not fit the network '{card.net}' of this version: {str(error)[:500]}",
        path=card.path,
        hint="update xray-denoise, or take weights made for this version",
    )


def save(net: "DenoisingNet", path: Path, metadata: Mapping[str, Any], prose: str) -> Card:
    """Write weights as 16-bit floats (running means as they are), and their card.

    Args:
        net: the network; copied to the CPU.
        path: the .safetensors file; the card is written beside it.
        metadata: all metadata of the card except sha256; values are text, numbers, lists, or tables of those.
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
    full_metadata = {**metadata, "sha256": hashlib.sha256(data).hexdigest()}
    write_bytes(data, path)
    return write_card(path, full_metadata, prose)
