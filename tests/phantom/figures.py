"""How near phantoms come to radiographs: the table of docs/phantom.md, and its figure.

    python -m tests.phantom.figures FOLDER [--phantoms 24] [-o FIGURE.png]

FOLDER holds clean radiographs. Only their spectra and figures are written.
"""

import argparse
import io
import math
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise.bench.cases import MIDDLE, CleanImage, image_set
from xray_denoise.files.atomic import write_bytes
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.noise import add_noise
from xray_denoise.reports.plots import COLOURS, new_figure, style
from xray_denoise.scale import GREY_MAX

SLOPE_BAND = (4, 256)
"""Cycles per image over which the slope of the power spectrum is fitted."""
NLM_SIZE = 512
"""Side of the middle that NLM is judged on, pixels."""
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
    x, y = np.array(points).T
    return float(np.polyfit(x, y, 1)[0])


def nlm_gain(clean: NDArray[np.floating], seed: int = 0) -> float:
    """PSNR of NLM's result less that of the noisy image, dB, on the middle of `clean` at eta 0.6, sigma 10."""
    from skimage.restoration import denoise_nl_means

    clean = CleanImage("", np.asarray(clean, dtype=np.float32)).centre(NLM_SIZE).grey
    noisy = add_noise(clean, MIDDLE, np.random.default_rng(seed))
    s = MIDDLE.effective_sigma(float(clean.mean()))
    denoised = denoise_nl_means(noisy, fast_mode=True, patch_size=5, patch_distance=6, sigma=s, h=0.8 * s)
    return psnr(denoised, clean) - psnr(noisy, clean)


def figures(grey: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """The four numbers of `FIGURES` for one image in grey levels."""
    square = float(np.mean(grey.astype(np.float64) ** 2))
    return float(grey.mean()), 10 * math.log10(GREY_MAX**2 / square), spectral_slope(grey), nlm_gain(grey)


def table(columns: dict[str, list[tuple[float, float, float, float]]]) -> str:
    """Least, mean, most and standard deviation of the figures of each set as the rows of a Markdown table."""
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for index, name in enumerate(FIGURES):
        cells = []
        for rows in columns.values():
            values = np.array([row[index] for row in rows])
            spread = f"{values.min():.2f} .. {values.mean():.2f} .. {values.max():.2f} (sd {values.std():.2f})"
            cells.append(spread.replace("-", "\N{MINUS SIGN}"))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(sets: dict[str, list[NDArray[np.float32]]]) -> bytes:
    """Three images of the last set beside the power spectra of all: mean and range, as PNG."""
    with style():
        figure = new_figure(15, 4.1)
        *pictures, spectra = figure.subplots(1, 4)
        for axes, image in zip(pictures, list(sets.values())[-1], strict=False):
            axes.imshow(image, cmap="gray", vmin=0, vmax=GREY_MAX)
            axes.set_axis_off()
        for colour, (name, images) in zip(COLOURS, sets.items(), strict=False):
            power = np.array([power_spectrum(image)[1] for image in images])
            k = np.arange(1, power.shape[1] + 1)
            spectra.loglog(k, np.exp(np.log(power).mean(axis=0)), color=colour, label=name)
            spectra.fill_between(k, power.min(axis=0), power.max(axis=0), color=colour, alpha=0.2, lw=0)
        spectra.set(xlabel="cycles per image", ylabel="power, grey levels squared", title="radial power spectrum")
        spectra.legend()
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Print the table, and draw the figure where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--phantoms", type=int, default=24, help="how many phantoms, seeds 0, 1, ...")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args(arguments)
    radiographs = [image.grey for image in image_set(given.folder).open()]
    phantoms = [chest_phantom(1024, rng=np.random.default_rng(seed)) for seed in range(given.phantoms)]
    sets = {f"{len(radiographs)} radiographs": radiographs, f"{len(phantoms)} phantoms": phantoms}
    sys.stdout.write(table({name: [figures(image) for image in images] for name, images in sets.items()}))
    if given.output:
        write_bytes(draw(sets), given.output)


if __name__ == "__main__":
    main()
