"""Measure how near phantoms come to radiographs; print the table of docs/phantom.md and draw its figure.

    python docs/measure_phantom.py DATA

DATA is the folder that holds val/, the validation images. Only their spectra and figures are written.
"""

import argparse
import math
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import GREY_MAX, NoiseLevel, add_noise
from xray_denoise.physics.phantom import chest_phantom

LEVEL = NoiseLevel(eta=0.6, sigma=10.0)
"""The noise at which NLM is judged."""
SLOPE_BAND = (4, 256)
"""Cycles per image over which the slope of the power spectrum is fitted."""
FIGURES = (
    "mean grey level",
    "10 log10(255^2 / mean g^2), dB",
    "slope of the power spectrum",
    "PSNR gain of NLM, dB",
)


def power_spectrum(grey: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radial power spectrum of the central square of an image, under a Hann window.

    Returns:
        Frequencies 1, 2, ... n // 2 in cycles per n pixels, and the mean power there in grey levels squared;
        white noise of variance v has power v.
    """
    n = min(grey.shape)
    top, left = (grey.shape[0] - n) // 2, (grey.shape[1] - n) // 2
    square = grey[top : top + n, left : left + n].astype(np.float64)
    window = np.outer(np.hanning(n), np.hanning(n))
    window /= np.sqrt((window**2).mean())
    power = np.abs(np.fft.fft2((square - square.mean()) * window)) ** 2 / n**2
    k = np.fft.fftfreq(n, 1 / n)
    ring = np.hypot(k[:, None], k[None, :]).round().astype(int)
    mean = np.bincount(ring.ravel(), power.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    return np.arange(1, n // 2 + 1, dtype=np.float64), mean[1 : n // 2 + 1]


def spectral_slope(grey: NDArray[np.floating]) -> float:
    """Exponent of the radial power spectrum: the line through 24 log-spaced bands of `SLOPE_BAND`."""
    k, power = power_spectrum(grey)
    edges = np.geomspace(*SLOPE_BAND, 25)
    bands = [(k >= low) & (k < high) for low, high in pairwise(edges)]
    points = [(np.log10(k[band].mean()), np.log10(power[band].mean())) for band in bands if band.any()]
    return float(np.polyfit(*np.array(points).T, 1)[0])


def nlm_gain(clean: NDArray[np.floating], seed: int = 0) -> float:
    """PSNR of NLM's result less that of the noisy image, dB, on the central 512x512 pixels at `LEVEL`."""
    from skimage.restoration import denoise_nl_means

    top, left = ((n - 512) // 2 if n > 512 else 0 for n in clean.shape)
    clean = clean[top : top + 512, left : left + 512]
    noisy = add_noise(clean, LEVEL, np.random.default_rng(seed))
    s = LEVEL.effective_sigma(float(clean.mean()))
    denoised = denoise_nl_means(noisy, fast_mode=True, patch_size=5, patch_distance=6, sigma=s, h=0.8 * s)
    return psnr(denoised, clean) - psnr(noisy, clean)


def figures(grey: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """The four numbers of `FIGURES` for one image in grey levels."""
    square = float(np.mean(grey.astype(np.float64) ** 2))
    return float(grey.mean()), 10 * math.log10(GREY_MAX**2 / square), spectral_slope(grey), nlm_gain(grey)


def read_folder(folder: Path) -> list[NDArray[np.float32]]:
    """All WebP and PNG images of `folder` in grey levels."""
    import imageio.v3 as iio

    images = []
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".webp", ".png"}):
        pixels = iio.imread(path)
        images.append((pixels[..., 0] if pixels.ndim == 3 else pixels).astype(np.float32))
    return images


def table(columns: dict[str, list[tuple[float, float, float, float]]]) -> str:
    """The figures of each set as the rows of a Markdown table."""
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for index, name in enumerate(FIGURES):
        cells = []
        for rows in columns.values():
            values = np.array([row[index] for row in rows])
            spread = f"{values.min():.2f} .. {values.mean():.2f} .. {values.max():.2f} (sd {values.std():.2f})"
            cells.append(spread.replace("-", "\N{MINUS SIGN}"))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(path: Path, radiographs: list[NDArray[np.float32]], phantoms: list[NDArray[np.float32]]) -> None:
    """Three phantoms beside the power spectra of both sets: mean and range."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 4, figsize=(15, 4.1), layout="constrained")
    for axis, phantom, seed in zip(axes, phantoms, range(3), strict=False):
        small = phantom.reshape(512, phantom.shape[0] // 512, 512, -1).mean(axis=(1, 3))
        axis.imshow(small, cmap="gray", vmin=0, vmax=GREY_MAX)
        axis.set_title(f"phantom, seed {seed}")
        axis.axis("off")
    for images, name, colour in ((radiographs, "validation images", "C0"), (phantoms, "phantoms", "C1")):
        spectra = np.array([power_spectrum(image)[1] for image in images])
        k = np.arange(1, spectra.shape[1] + 1)
        axes[3].loglog(k, np.exp(np.log(spectra).mean(axis=0)), color=colour, label=f"{name} ({len(images)})")
        axes[3].fill_between(k, spectra.min(axis=0), spectra.max(axis=0), color=colour, alpha=0.2, lw=0)
    axes[3].set(xlabel="cycles per image", ylabel="power, grey levels squared", title="radial power spectrum")
    axes[3].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=100, metadata={"Software": None}, pil_kwargs={"optimize": True})
    plt.close(fig)


def main() -> None:
    """Measure both sets and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that holds val/")
    parser.add_argument("--phantoms", type=int, default=24, help="how many phantoms, seeds 0, 1, ...")
    parser.add_argument("--figure", type=Path, default=Path(__file__).with_name("images") / "phantom.png")
    options = parser.parse_args()
    radiographs = read_folder(options.data / "val")
    phantoms = [chest_phantom(1024, rng=np.random.default_rng(seed)) for seed in range(options.phantoms)]
    columns = {
        f"{len(images)} {name}": [figures(image) for image in images]
        for name, images in (("validation images", radiographs), ("phantoms", phantoms))
    }
    sys.stdout.write(table(columns))
    draw(options.figure, radiographs, phantoms)


if __name__ == "__main__":
    main()
