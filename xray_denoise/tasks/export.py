"""`export`: write a model as one ONNX file for images of any size, and check that it computes the same.

weights -> the network in grey levels -> ONNX -> ONNX Runtime on test images, compared with PyTorch -> file
"""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from xray_denoise import __version__, weights
from xray_denoise.errors import CannotRunError, UnwritableFileError
from xray_denoise.extras import require
from xray_denoise.files.atomic import write_bytes
from xray_denoise.nets.blind import BlindNet, DenoisingNet
from xray_denoise.nets.level_encoding import noise_variance
from xray_denoise.nets.profile_unet import BANDS, ToldNet, noise_maps
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import KNOTS
from xray_denoise.scale import GREY_MAX

INPUT, DENOISED, NOISE = "noisy", "denoised", "noise"
"""Names of the tensors of the file: (B, 1, H, W) each, grey levels; `noise` is its standard deviation."""
VARIANCE, POWERS = "variance", "powers"
"""Names of what a network that is told the noise takes besides: (B, 33), grey levels squared at 33 grey levels evenly
from 0 to 255, and (B, 4), power in the four bands of `physics.profile.BANDS` relative to white noise."""
PARITY = 0.02
"""Grey levels that ONNX Runtime may differ from PyTorch by."""
LARGEST, MOST = 1 << 16, 1 << 10
"""Longest side and largest batch that the file speaks of; any that memory allows will do."""
PROOFS = ((1, 64, 96), (2, 144, 80), (1, 256, 256))
"""Batch, height and width of the test images."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    bytes: int
    stride: int
    """Height and width of an image must be multiples of it."""
    difference: float
    """Largest difference of the test images from PyTorch's, grey levels."""


class InGreyLevels(nn.Module):
    """A network with grey levels as input, and grey levels and the standard deviation of their noise as output.

    As in `denoisers.blind`, the network sees 0..255 and its correction is added to the image as it is. The noise is
    the network's own estimate, before the calibration in the card; networks that estimate none give the image only.
    """

    def __init__(self, net: DenoisingNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, noisy: Tensor) -> tuple[Tensor, ...]:
        """(B, 1, H, W) -> the denoised image, (B, 1, H, W), and its noise, (B, 1, H, W)."""
        seen = (noisy / GREY_MAX).clamp(0, 1)
        restored, levels = self.net(seen)
        denoised = noisy + (restored - seen) * GREY_MAX
        if levels is None or not isinstance(self.net, BlindNet):
            return (denoised,)
        inverse_eta, sigma = self.net.encoding.decode(levels)
        return denoised, noise_variance(denoised, inverse_eta[:, None], sigma[:, None]).sqrt()


class ToldInGreyLevels(nn.Module):
    """A network that is told the noise, as others use it; grey levels in and out."""

    def __init__(self, net: ToldNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, noisy: Tensor, variance: Tensor, powers: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, H, W), (B, 33) and (B, 4) -> the denoised image and the noise that was told, (B, 1, H, W) each."""
        seen = noisy / GREY_MAX
        maps = noise_maps(seen, variance / GREY_MAX**2, powers)
        return self.net(seen, maps) * GREY_MAX, maps[:, :1] * GREY_MAX


def export(model: str, target: Path) -> Exported:
    """Write a model as ONNX, and compare what ONNX Runtime makes of it with PyTorch before the file has its name.

    Args:
        model: a name, or the path of a weights file with its card beside it.
        target: the .onnx file; must not exist.

    Raises:
        CannotRunError: no such model, a package is missing, or the results differ by more than `PARITY`.
        UnwritableFileError: the file exists, or cannot be written.
    """
    if target.exists():
        raise UnwritableFileError("{path} exists already", path=target, hint="choose another name", option="target")
    card = weights.find(model)
    net = weights.load(card)
    shown = (ToldInGreyLevels(net) if isinstance(net, ToldNet) else InGreyLevels(net)).eval()
    content = _onnx(shown, net.stride, card)
    difference = _difference(content, shown)
    if not difference <= PARITY:
        raise CannotRunError(
            f"the exported '{card.name}' differs by {difference:.3g} grey levels from PyTorch",
            hint="try other versions of torch, onnxscript and onnxruntime",
        )
    write_bytes(content, target)
    return Exported(target, len(content), net.stride, difference)


def _onnx(shown: nn.Module, stride: int, card: weights.Card) -> bytes:
    """The file, with what a reader must know of it as metadata."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "onnx", "the export")
    sides = {axis: stride * Dim(name, min=2, max=LARGEST // stride) for axis, name in ((2, "rows"), (3, "columns"))}
    example = (torch.zeros(2, 1, 8 * stride, 10 * stride), *_told(shown, 2))
    batch = Dim("batch", min=1, max=MOST)
    shapes = [{0: batch, **sides}, *({0: batch} for _ in example[1:])]
    outputs = [DENOISED, NOISE][: len(shown(*example))]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells what else it could export
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its own parts; the comparison judges the result
        program: Any = torch.onnx.export(
            shown,
            example,
            dynamo=True,
            dynamic_shapes=tuple(shapes),
            input_names=[INPUT, VARIANCE, POWERS][: len(example)],
            output_names=outputs,
            verbose=False,
        )
    said = {
        "model": card.name,
        "sha256": card.sha256,
        "scale": "grey levels, 0 is black and 255 white",
        "sides": f"multiples of {stride}",
        "use": "research use only, not a medical device",
    }
    proto = program.model_proto
    proto.producer_name, proto.producer_version = "xray-denoise", __version__
    for key, value in said.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    content: bytes = proto.SerializeToString()
    return content


@torch.inference_mode()
def _difference(content: bytes, shown: nn.Module) -> float:
    """Largest difference between ONNX Runtime and PyTorch over noisy phantoms of several sizes, grey levels."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    differences = []
    for batch, rows, columns in PROOFS:
        clean = np.stack([chest_phantom(256, rng=rng)[:rows, :columns] for _ in range(batch)])[:, None]
        noisy = add_noise(clean, NoiseLevel(0.6, 10.0), rng)
        told = _told(shown, batch)
        wanted = shown(torch.from_numpy(noisy), *told)
        names = (INPUT, VARIANCE, POWERS)
        found = session.run(None, dict(zip(names, (noisy, *(one.numpy() for one in told)), strict=False)))
        differences += [np.abs(one - other.numpy()).max() for one, other in zip(found, wanted, strict=True)]
    return float(np.max(differences))


def _told(shown: nn.Module, batch: int) -> tuple[Tensor, ...]:
    """Noise of the level of the proofs, white, for a network that is told it; nothing for others."""
    if not isinstance(shown, ToldInGreyLevels):
        return ()
    variance = torch.linspace(0, GREY_MAX, KNOTS) / 0.6 + 100
    return variance.expand(batch, -1).contiguous(), torch.ones(batch, BANDS)
