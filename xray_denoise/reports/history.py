"""The history of a training as a picture."""

import io
import math
from collections.abc import Mapping, Sequence


def plot(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Loss, learning rate and validation PSNR against the step, as SVG.

    Args:
        rows: the history of `training.loop`; validation figures only in some of them.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    loss, quality = figure.subplots(2, 1, sharex=True)
    steps = [row["step"] for row in rows]
    loss.plot(steps, [row["loss"] for row in rows], color="tab:blue", linewidth=0.8)
    loss.set(yscale="log", ylabel="training loss (Eq. 8)")
    rate = loss.twinx()
    rate.plot(steps, [row["lr"] for row in rows], color="tab:grey", linewidth=0.8)
    rate.set_ylabel("learning rate", color="tab:grey")
    judged = [row for row in rows if math.isfinite(row.get("val_psnr", math.nan))]
    quality.plot([row["step"] for row in judged], [row["val_psnr"] for row in judged], "o-", color="tab:green")
    quality.set(xlabel="step", ylabel="PSNR on held-out images / dB")
    for axes in (loss, quality):
        axes.grid(alpha=0.3)
    picture = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(picture, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return picture.getvalue()
