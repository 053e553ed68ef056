"""Judge weights on held-out images again, and put the figures into the heads of their cards.

    python docs/appraise_weights.py FOLDER WEIGHTS...

FOLDER holds the validation radiographs, WEIGHTS are .safetensors files with their cards. `train` does the same at its
end; this is for weights that were made before a figure was asked for. The prose of a card stays as it is.
"""

import sys
from pathlib import Path

from xray_denoise import weights
from xray_denoise.tasks.appraisal import appraised
from xray_denoise.training.images import training_images
from xray_denoise.training.patches import NoiseRange, WideRange


def main(folder: Path, files: list[Path]) -> None:
    """Appraise each of `files` on the radiographs of `folder`."""
    _, held_out = training_images(folder, folder)
    for file in files:
        card = weights.find(str(file))
        noise = WideRange() if card.eta[1] == float("inf") else NoiseRange(card.eta, card.sigma)
        figures = appraised(weights.load(card), held_out, noise, seed=0)
        prose = file.with_suffix(".md").read_text(encoding="utf-8").split("+++\n", 2)[2]
        weights.write_card(file, {**card.head, **figures}, prose)
        print(file, figures, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
