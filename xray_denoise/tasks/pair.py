"""Two models -> the default, which uses one for the noise of detectors and the other for strong white noise.

    python -m xray_denoise.tasks.pair DETECTORS WHITE TARGET HELD_OUT

DETECTORS is a profile-unet and WHITE a lite, by name or path; TARGET is the .safetensors file to write; HELD_OUT a
folder of radiographs that neither was trained on. The card says how the first was made, and names the second, whose own
card is written beside it: it needs no weights of its own any more.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from xray_denoise import nets, weights
from xray_denoise.errors import UsageError
from xray_denoise.tasks.evaluation import evaluate_for_card
from xray_denoise.training.detector import DetectorRange
from xray_denoise.training.images import GreyImages, held_out_images


def pair(detectors: weights.Card, white: weights.Card, target: Path, held_out: GreyImages) -> weights.Card:
    """Write the weights and the card of a `nets.profile_pair.ProfilePair`, and the card of `white` as a part of it.

    Args:
        detectors: a profile-unet, for the noise of detectors.
        white: a lite, for strong white noise.
        target: the .safetensors file.
        held_out: images to judge it by; see `evaluate_for_card`.

    Raises:
        UsageError: a model is of another architecture.
        CannotRunError: weights are missing or damaged.
    """
    for card, wanted in ((detectors, "profile-unet"), (white, "lite")):
        if card.net != wanted:
            raise UsageError(f"'{card.name}' is a {card.net}, not a {wanted}", hint=f"choose a {wanted}")
    net = nets.build("profile-pair", **detectors.options)
    for part, card in (("detectors", detectors), ("white", white)):
        net.get_submodule(part).load_state_dict(weights.load(card).state_dict())
    net.eval().requires_grad_(False)
    metadata: dict[str, Any] = {name: detectors.metadata[name] for name in detectors.metadata if name in COPIED}
    metadata = {"net": "profile-pair", "options": dict(detectors.options), **metadata}
    metadata |= {
        "white": white.name,
        "white_sha256": white.sha256,
        **evaluate_for_card(net, held_out, DetectorRange(), 0),
    }
    prose = f"# {target.stem}\n\n{detectors.name} for the noise of detectors, {white.name} for strong white noise.\n"
    white_prose = weights.prose_of(white)
    saved = weights.save(net, target, metadata, prose)
    within = {"file": target.name, "part": "white", "sha256": saved.sha256}
    weights.write_card(target.with_name(f"{white.name}.safetensors"), {**white.metadata, **within}, white_prose)
    return saved


COPIED = (
    "eta",
    "sigma",
    "command",
    "data",
    "steps",
    "patches",
    "patch_size",
    "seconds",
    "device",
    "precision",
    "version",
)
"""Entries of the metadata of DETECTORS that hold for the pair too."""


def main(arguments: list[str] | None = None) -> None:
    """Write the pair, and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("detectors", "white"):
        parser.add_argument(name)
    for name in ("target", "held_out"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args(arguments)
    card = pair(weights.find(given.detectors), weights.find(given.white), given.target, held_out_images(given.held_out))
    sys.stdout.write(f"{card.path}\n")


if __name__ == "__main__":
    main()
