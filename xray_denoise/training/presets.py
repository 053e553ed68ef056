"""Named training schedules: everything that decides how a network is trained, but not on what."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from xray_denoise.training import optimizers
from xray_denoise.training.detector import DetectorRange
from xray_denoise.training.loss import LossWeights
from xray_denoise.training.patches import NoiseRange, WideRange

CROPS_PER_EPOCH = 32
"""Patches that one image gives in one epoch (Yin et al., section III)."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a network is trained. Networks that are compared share one configuration."""

    steps: int
    """Length of the training, batches."""
    batch: int
    """Patches per step, over all processes."""
    patch: int = 128
    """Side of a patch, pixels."""
    lr: float = 1e-3
    """Highest learning rate."""
    optimizer: optimizers.Name = "adam"
    """What moves the weights."""
    decay: Literal["cosine", "drop"] = "cosine"
    """`cosine` falls smoothly to a hundredth; `drop` falls to a tenth at half of the training (the paper)."""
    warmup: int = 0
    """Steps over which the learning rate rises linearly from zero."""
    ema: float = 0.0
    """Decay per step of the running mean of the weights that is kept as the result; 0 keeps the last weights."""
    clip: float = math.inf
    """Highest norm of the gradient."""
    joint: bool = True
    """Whether the error of the image trains the level estimator too; if not, it learns from its own terms only."""
    noise: NoiseRange | WideRange | DetectorRange = field(default_factory=NoiseRange)
    loss: LossWeights = field(default_factory=LossWeights)
    lost: float = 0.0
    """Weight of what is lost of inserted details, for a network that is told the noise (`loss.decibel_loss`)."""

    def learning_rate(self, step: int, done: float) -> float:
        """Learning rate of step `step` (from 0) when the share `done` (0..1) of the training is over."""
        if self.decay == "drop":
            factor = 1.0 if done < 0.5 else 0.1
        else:
            factor = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        return self.lr * factor * min(1.0, (step + 1) / (self.warmup + 1))


PAPER_PATCHES = 320_000 * 7 // 10 * 40
"""Patches that the paper trains on: 70 % of 320 000 crops, 40 times."""

BALANCED = LossWeights(mse=1.0, ssim=0.001)
"""Near 40 dB both image terms are of one size; with the paper's weights SSIM is six hundred times the MSE, whose
part that SSIM hardly sees, slow drifts of brightness, is then learnt late."""

PRESETS: Mapping[str, TrainingConfig] = {
    "paper": TrainingConfig(steps=PAPER_PATCHES // 64, batch=64, decay="drop"),
    "standard": TrainingConfig(
        steps=PAPER_PATCHES // 64, batch=64, warmup=500, ema=0.9995, clip=1.0, joint=False, loss=BALANCED
    ),
    "fast": TrainingConfig(steps=20_000, batch=8, warmup=200, ema=0.999, clip=1.0, joint=False, loss=BALANCED),
    "brief": TrainingConfig(
        steps=6_000, batch=4, patch=64, warmup=200, ema=0.999, clip=1.0, joint=False, loss=BALANCED
    ),
}
"""`paper`: the schedule of Yin et al. `standard`: ours, as long, for a GPU. `fast`: ours, for a few CPU cores.
`brief`: half an hour of one core; many steps of few pixels bring a short training farthest."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is trained under one name: an architecture, and the terms of the loss that its authors give it."""

    net: str
    """Architecture (`nets.NETS`)."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the architecture besides the level encoding."""
    ssim: bool = False
    """Whether its loss has the SSIM term; the MSE is in every loss, the terms of levels wherever levels are."""
    levels: bool = False
    """Whether it estimates noise levels."""

    def loss(self, weights: LossWeights) -> LossWeights:
        """The configuration's weights, without the terms that this experiment does not have."""
        return weights if self.ssim else replace(weights, ssim=0.0)


EXPERIMENTS: Mapping[str, Experiment] = {
    "x-bdcnn": Experiment("x-bdcnn", ssim=True, levels=True),
    "x-bdcnn-no-nle": Experiment("x-bdcnn-no-nle", ssim=True),
    "x-bdcnn-no-ssim": Experiment("x-bdcnn", levels=True),
    "cbdnet": Experiment("cbdnet", levels=True),
    "dncnn": Experiment("dncnn", {"depth": 17}),
    "x-recnn": Experiment("x-recnn"),
    "skidnet": Experiment("skidnet"),
    "lite": Experiment("lite", ssim=True, levels=True),
    "profile-unet": Experiment("profile-unet"),
    "profile-pair": Experiment("profile-pair"),
}
"""Everything that `train` knows, by the name that it takes."""
