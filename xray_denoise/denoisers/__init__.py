"""Denoisers, networks and classical methods with one base class: noisy grey levels in, removed grey levels out.

Torch is imported by `get` of a network only, not by `names()` or by classical methods.
"""

import ctypes
import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from xray_denoise import weights
from xray_denoise.denoisers.base import Denoised as Denoised
from xray_denoise.denoisers.base import Denoiser as Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.extras import install, is_installed

DEFAULT = "x-profile"
"""The network that `denoise` uses: for noise from none to that of the paper, white or correlated, in images of any size
(docs/decisions/0011)."""
AUTO = "auto"
"""Another name of `DEFAULT`."""

MOST_THREADS_PER_CORE = 16
"""More CPU threads than that are a slip of the keyboard."""

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""Parameters of mallopt(3), as malloc.h numbers them."""

BM3D = "bm3d"
"""The package, and the extra, that some methods need: its licence allows non-commercial use only."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a network is run; ignored by classical methods."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: str = "auto"
    """auto, fp32, bf16 or fp16."""
    tile: int | None = None
    """Side of a window, pixels; None chooses."""
    batch_size: int = 1
    """Windows per forward pass."""


def names() -> list[str]:
    """Every method that `get` knows, networks first."""
    return [*network_names(), *classical_names()]


def network_names() -> list[str]:
    """Names of the methods with weights."""
    return weights.names()


def classical_names() -> list[str]:
    """Names of the methods without weights."""
    return list(_classical())


def get(name: str, runtime: Runtime | None = None) -> Denoiser:
    """Make a method ready to use.

    Args:
        name: one of `names()`, `AUTO`, or the path of a weights file with its card beside it.
        runtime: device, precision and tiles of a network.

    Raises:
        UsageError: no method of that name.
        CannotRunError: the device is missing, or the weights cannot be used.
    """
    name = DEFAULT if name == AUTO else name
    classical = _classical().get(name)
    if classical is not None:
        return classical
    if not name.endswith(".safetensors") and name not in weights.names():
        raise UsageError(
            f"no model called '{name}'",
            hint=f"{_suggestion(name)}choose one of {', '.join(names())}",
            option="model",
        )
    from xray_denoise.denoisers.network import load

    return load(weights.find(name), runtime or Runtime())


def _suggestion(name: str) -> str:
    """The name that was probably meant, as the beginning of a hint; nothing where none is near."""
    near = difflib.get_close_matches(name, names(), 1)
    return f"did you mean '{near[0]}'? If not, " if near else ""


def missing(name: str) -> str:
    """The command that installs a package which a method needs and which is missing; empty if `name` can run.

    Nothing is imported for this.
    """
    return install(BM3D) if name.endswith(BM3D) and not is_installed(BM3D) else ""


def set_threads(count: int) -> None:
    """Let networks compute on `count` CPU threads.

    Raises:
        UsageError: there are none, or far more than cores.
    """
    most = MOST_THREADS_PER_CORE * (os.cpu_count() or 1)
    if not 1 <= count <= most:
        raise UsageError(
            f"this machine runs 1 to {most} threads, not {count}",
            hint=f"it has {os.cpu_count() or 1} cores; leave the threads out to use all of them",
            option="threads",
        )
    import torch

    torch.set_num_threads(count)


def keep_memory() -> None:
    """Let this process keep the memory that it frees, for what comes next; it may come to hold three quarters more.

    A layer of a network frees as much as the next one asks for. The C library of most Linux systems gives large blocks
    back, and the system zeroes them anew: a sixth of the time of `lite` in PyTorch. Elsewhere nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)  # the only one that is not made of pieces of 64 MiB, which are given back
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _classical() -> Mapping[str, Denoiser]:
    from xray_denoise.denoisers.bm3d import Bm3d
    from xray_denoise.denoisers.classical import Noisy, NonLocalMeans, TotalVariation
    from xray_denoise.denoisers.nlpca import NonLocalPca
    from xray_denoise.denoisers.vst import GAT_NLM, GAT_TV, IterativeStabilised, Stabilised

    methods: list[Denoiser] = [
        IterativeStabilised(Bm3d()),
        Stabilised(Bm3d()),
        Stabilised(GAT_NLM),
        Stabilised(GAT_TV),
        NonLocalPca(),
        Bm3d(),
        TotalVariation(),
        NonLocalMeans(),
        Noisy(),
    ]
    return {method.name: method for method in methods}
