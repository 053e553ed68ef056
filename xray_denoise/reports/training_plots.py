"""Plots of the history of one training, and of the learning curves of several."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray_denoise.reports.plots import COLOURS, as_svg, looks_of, new_figure, plain, style
from xray_denoise.reports.tables import Row


class History(NamedTuple):
    """PSNR of a network on validation images, dB, against the patches that it had seen, ascending."""

    title: str
    patches: Sequence[float]
    psnr: Sequence[float]


def training_history(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Loss, learning rate and validation PSNR against the step, as SVG.

    Args:
        rows: the history of `training.loop`; validation figures only in some of them.
    """
    with style():
        figure = new_figure(8, 6)
        loss, quality = figure.subplots(2, 1, sharex=True)
        steps = [row["step"] for row in rows]
        loss.plot(steps, [row["loss"] for row in rows], color=COLOURS[0], linewidth=0.8)
        loss.set(yscale="log", ylabel="training loss (Eq. 8)")
        rate = loss.twinx()
        rate.plot(steps, [row["lr"] for row in rows], color=COLOURS[-1], linewidth=0.8)
        rate.set_ylabel("learning rate")
        judged = [row for row in rows if math.isfinite(row.get("val_psnr", math.nan))]
        quality.plot([row["step"] for row in judged], [row["val_psnr"] for row in judged], "o-", color=COLOURS[2])
        quality.set(xlabel="step", ylabel="PSNR on held-out images, dB")
        return as_svg(figure)


def learning_curves(histories: Sequence[History], target: float) -> bytes:
    """PSNR on validation images against patches seen, and power laws extrapolated to `target` patches, as SVG.

    Extrapolations are dashed, and labelled as such with the range of PSNR that they end in; see `extrapolated`.
    """
    looks = looks_of([Row(one.title, ()) for one in histories])
    with style():
        figure = new_figure(8, 6.5)
        axes = figure.add_subplot()
        for one in histories:
            colour, marker = looks[one.title]
            axes.plot(one.patches, one.psnr, color=colour, marker=marker, markersize=3, label=plain(one.title))
            if len(one.patches) and one.patches[-1] < target:
                ahead = np.geomspace(one.patches[-1], target, 50)
                laws = extrapolated(one, ahead)
                if laws is not None:
                    low, high = laws
                    label = f"{one.title}, extrapolated: {low[-1]:.1f} to {high[-1]:.1f} dB"
                    axes.plot(ahead, low, color=colour, linestyle="--", linewidth=1, label=plain(label))
                    axes.plot(ahead, high, color=colour, linestyle="--", linewidth=1)
                    axes.fill_between(ahead, low, high, color=colour, alpha=0.1, linewidth=0)
        axes.set(xscale="log", xlabel="training patches", ylabel="PSNR on validation images, dB")
        axes.set_title("dashed: extrapolation by power laws of the error, not measured", size=10, loc="left")
        if histories:
            figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return as_svg(figure)


def extrapolated(
    history: History, patches: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """PSNR in dB at more patches, by two power laws of the error e = 10^(-PSNR / 20), fitted to the later half.

    e = floor + scale * patches^-exponent is fitted by least squares with an exponent of 0.05 to 2, floor and scale at
    least 0; the same without a floor, which ends higher, by least squares of the logarithms. Neither knows that the
    learning rate falls towards the end of a training, which steepens the end of its curve.

    Returns:
        The lower and the higher PSNR, (N,) each; None for fewer than four values in the later half (by the logarithm of
        the patches).
    """
    from scipy.optimize import nnls

    seen = np.asarray(history.patches, dtype=np.float64)
    error = 10 ** (-np.asarray(history.psnr, dtype=np.float64) / 20)
    late = seen >= np.sqrt(seen[0] * seen[-1]) if seen.size else np.zeros(0, dtype=bool)
    if late.sum() < 4:
        return None
    known, error = seen[late] / seen[-1], error[late]
    fits = []
    for exponent in np.linspace(0.05, 2, 79):
        (floor, scale), residual = nnls(np.column_stack([np.ones_like(known), known**-exponent]), error)
        fits.append((residual, floor, scale, exponent))
    _, floor, scale, exponent = min(fits)
    slope, level = np.polyfit(np.log(known), np.log(error), 1)
    ahead = patches / seen[-1]
    laws = (-20 * np.log10(floor + scale * ahead**-exponent), -20 / np.log(10) * (level + slope * np.log(ahead)))
    return np.minimum(*laws), np.maximum(*laws)
