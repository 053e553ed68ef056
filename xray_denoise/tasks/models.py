"""`models` lists what can denoise, `load` makes one ready for use."""

import os
from typing import Literal

from xray_denoise import denoisers
from xray_denoise.denoisers import Denoiser, Runtime
from xray_denoise.errors import UsageError
from xray_denoise.extras import require

Device = str
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def models() -> list[str]:
    """Names of all models and classical methods, networks first.

    Examples:
        >>> import xray_denoise as xd
        >>> "lite" in xd.models(), "tv" in xd.models()
        (True, True)
    """
    return denoisers.names()


def load(
    name_or_path: str | os.PathLike[str] = denoisers.AUTO,
    *,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    batch_size: int = 1,
) -> Denoiser:
    """Load a model once, to use it many times.

    Args:
        name_or_path: a name of `models()`, "auto", or a .safetensors file with its card beside it.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps"; there is no silent fallback.
        precision: arithmetic of the network: "auto", "fp32", "bf16" or "fp16".
        tile: side of the tiles in pixels; None chooses it by the image.
        batch_size: tiles in a pass.

    Returns:
        A denoiser for `denoise`, `denoise_file` and `denoise_files`. It can also be called with a 2-D image in grey
        levels (0..255 over the value range), and the noise if that is known.

    Raises:
        UsageError: there is no such model, or it does not run on this device.
        CannotRunError: the device, a package or readable weights are missing.

    Examples:
        >>> import numpy, xray_denoise as xd
        >>> denoiser = xd.load("tv")
        >>> denoiser(numpy.full((16, 16), 90.0, numpy.float32)).image.shape
        (16, 16)
    """
    name = os.fspath(name_or_path)
    if tile is not None and tile < 1:
        raise UsageError(f"a tile has at least one pixel, not {tile}", hint="for example 512", option="tile")
    if batch_size < 1:
        raise UsageError(f"a pass takes at least one tile, not {batch_size}", hint="for example 4", option="batch_size")
    if denoisers.missing(name):
        require(denoisers.BM3D, denoisers.BM3D, f"'{name}'")
    denoiser = denoisers.get(name, Runtime(device, precision, tile, batch_size))
    if not denoiser.weights_sha256:
        _refuse_for_classical(denoiser.name, device, precision, tile, batch_size)
    return denoiser


def _refuse_for_classical(name: str, device: Device, precision: Precision, tile: int | None, batch_size: int) -> None:
    """Refuse options for networks: a classical method computes in 32 bits or more, on the whole image."""
    if device not in ("auto", "cpu"):
        raise UsageError(
            f"'{name}' runs on the CPU only", hint="leave the device out, or choose a network", option="device"
        )
    given = {
        "precision": precision not in ("auto", "fp32"),
        "tile": tile is not None,
        "batch_size": batch_size != 1,
    }
    for option, is_set in given.items():
        if is_set:
            raise UsageError(
                f"'{name}' is not a network, so the option '{option}' does not apply",
                hint="leave it out, or choose a network",
                option=option,
            )
