"""Judge weights on held-out images again, and put the figures into the heads of their cards.

    python docs/appraise_weights.py [--levels] FOLDER WEIGHTS...

With --levels only the figures on noise levels are made anew. FOLDER holds the validation radiographs, WEIGHTS are
.safetensors files with their cards. `train` does the same at its end; this is for weights that were made before a
figure was asked for. The prose of a card stays as it is.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xray_denoise import weights
from xray_denoise.tasks.appraisal import appraised, levels_of
from xray_denoise.training.images import training_images
from xray_denoise.training.patches import NoiseRange, WideRange


def main(folder: Path, files: list[Path], *, only_levels: bool) -> None:
    """Appraise each of `files` on the radiographs of `folder`."""
    appraise: Callable[..., dict[str, Any]] = levels_of if only_levels else appraised
    _, held_out = training_images(folder, folder)
    for file in files:
        card = weights.find(str(file))
        noise = WideRange() if card.eta[1] == float("inf") else NoiseRange(card.eta, card.sigma)
        figures = appraise(weights.load(card), held_out, noise, seed=0)
        prose = file.with_suffix(".md").read_text(encoding="utf-8").split("+++\n", 2)[2]
        weights.write_card(file, {**card.head, **figures}, prose)
        print(file, figures, flush=True)


if __name__ == "__main__":
    names = [Path(name) for name in sys.argv[1:] if name != "--levels"]
    main(names[0], names[1:], only_levels="--levels" in sys.argv)
