"""Draw docs/images/before-after.png: a noisy phantom, what `denoise` makes of it, and the noise-free phantom.

    python docs/draw_before_after.py [MODEL]

The files are made by the command line itself, in a temporary folder; below each whole image its middle at full size.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

TARGET = Path(__file__).parent / "images" / "before-after.png"
PANEL = 420
"""Side of one panel, pixels."""
CORNER = (330, 560)
"""Row and column of the detail: hilar vessels beside the heart."""


def main() -> None:
    """Run `synth` and `denoise`, and put their results side by side."""
    model = ["--model", sys.argv[1]] if len(sys.argv) > 1 else []
    tool = str(Path(sys.executable).with_name("xray-denoise"))
    with tempfile.TemporaryDirectory() as folder:
        for line in (["synth", "--eta", "0.6", "--sigma", "10"],
                     ["denoise", "phantom-0_eta0.6_sigma10_noisy.png", "-o", "denoised.png", *model]):  # fmt: skip
            subprocess.run([tool, *line], cwd=folder, check=True)
        names = ("phantom-0_eta0.6_sigma10_noisy.png", "denoised.png", "phantom-0_clean.png")
        images = [Image.open(Path(folder) / name) for name in names]
        row, column = CORNER
        whole = np.hstack([image.resize((PANEL, PANEL), Image.Resampling.BOX) for image in images])
        detail = np.hstack([np.asarray(image)[row : row + PANEL, column : column + PANEL] for image in images])
        Image.fromarray(np.vstack([whole, detail])).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
