"""Training that begins with the weights of a model: what is taken over from it, and which weights are kept.

A continued training may end worse than it began. So the weights that it begins with are validated, and the best ones
are kept on disk beside the checkpoint, where a training that is resumed finds them.
"""

import io
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xray_denoise import nets, weights
from xray_denoise.errors import TrainingError, UsageError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.training.detector import DetectorRange
from xray_denoise.training.patches import NoiseRange, WideRange
from xray_denoise.training.presets import EXPERIMENTS
from xray_denoise.training.validation import Validation

FILE_NAME = "best.pt"
TOLD = ("profile-unet", "profile-pair")
"""The architectures that are told the noise, and trained on that of detectors only."""


def experiment_of(card: weights.Card) -> str:
    """The name in `EXPERIMENTS` under which a model is trained on.

    Raises:
        UsageError: no system has its architecture.
    """
    if card.name in EXPERIMENTS and EXPERIMENTS[card.name].net == card.net:
        return card.name
    for name, experiment in EXPERIMENTS.items():
        if experiment.net == card.net:
            return name
    raise UsageError(
        f"a {card.net} cannot be trained",
        hint=f"choose from {', '.join(sorted({one.net for one in EXPERIMENTS.values()}))}",
        option="nets",
    )


def noise_of(net: str, card: weights.Card | None) -> NoiseRange | WideRange | DetectorRange:
    """The noise to train on unless another is asked for.

    Args:
        net: architecture.
        card: of the model that it begins with; None begins afresh.
    """
    if net in TOLD:
        return DetectorRange()
    if card is None:
        return NoiseRange()
    return WideRange() if math.isinf(card.eta[1]) else NoiseRange(card.eta, card.sigma)


def check_base(card: weights.Card, experiment: str, level: str | None) -> None:
    """Refuse to begin with a model that is not of the network that is to be trained.

    Args:
        card: the model's.
        experiment: what is to be trained.
        level: the encoding of noise levels that was asked for; None leaves it to the model.

    Raises:
        UsageError: the model is of another architecture, or of another encoding.
    """
    wanted = EXPERIMENTS[experiment].net
    if card.net != wanted:
        raise UsageError(
            f"'{card.name}' is a {card.net}, not a {wanted}", hint="leave the network out: it is taken from the model",
            option="nets",
        )  # fmt: skip
    has = card.options.get("level", "std")
    if level is not None and EXPERIMENTS[experiment].levels and has != level:
        raise UsageError(
            f"'{card.name}' encodes noise levels as '{has}', not as '{level}'", hint="leave the encoding out",
            option="level",
        )  # fmt: skip


@dataclass(slots=True)
class BestWeights:
    """The best weights so far, by the validation of the training."""

    base: weights.Card
    """The model that it began with."""
    held_out: str
    """Digest of the images that they are judged on."""
    path: Path
    start: float
    """PSNR of the model that it began with on the held-out images, dB."""
    psnr: float
    """The highest so far, dB."""
    step: int
    """After which it was reached; 0 is the start."""
    state: dict[str, Any]

    @classmethod
    def of(
        cls,
        net: DenoisingNet,
        base: weights.Card,
        run: Path,
        validate: Callable[[DenoisingNet], Validation],
        held_out: str,
    ) -> "BestWeights":
        """Those that an interrupted training has left in `run`, or those that it begins with, validated.

        Args:
            net: with the weights of `base`.
            base: the model to begin with.
            run: folder of the training.
            validate: judges a network on the held-out images.
            held_out: digest of these images.

        Raises:
            TrainingError: the file cannot be read, or belongs to another model or other images.
        """
        path = run / FILE_NAME
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            best = cls(base, held_out, path, kept["start"], kept["psnr"], kept["step"], kept["state"])
        except FileNotFoundError:
            psnr = validate(net).psnr
            best = cls(base, held_out, path, psnr, psnr, 0, _copied(net))
            best._write()
            return best
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, LookupError, TypeError) as error:
            raise TrainingError(
                "the best weights in {path} cannot be read", path=path, hint="choose another folder for the results",
                option="target",
            ) from error  # fmt: skip
        if kept.get("base") != base.sha256:
            raise TrainingError(
                f"the training in {{path}} did not start from this {base.name}", path=run,
                hint="continue with the model that it was started with, or choose another folder", option="init",
            )  # fmt: skip
        if kept.get("held_out") != held_out:
            raise TrainingError(
                "the training in {path} was judged on other held-out images, or on other noise", path=run,
                hint="continue with the images and the noise that it was started with, or choose another folder",
                option="val",
            )  # fmt: skip
        return best

    def offer(self, net: DenoisingNet, psnr: float, step: int) -> None:
        """Keep the weights of `net` if they are the best so far."""
        if psnr > self.psnr:
            self.psnr, self.step, self.state = psnr, step, _copied(net)
            self._write()

    def given_to(self, net: DenoisingNet) -> DenoisingNet:
        """A copy of `net`, on its device, with the best weights."""
        best = nets.copy_of(net)
        best.load_state_dict(self.state)
        return best

    @property
    def facts(self) -> dict[str, Any]:
        """Entries for the metadata of a card."""
        return {
            "base": self.base.name,
            "base_sha256": self.base.sha256,
            "base_psnr": round(self.start, 3),
            "best_psnr": round(self.psnr, 3),
            "best_step": self.step,
        }

    @property
    def verdict(self) -> str:
        """Whether training helped, as a sentence."""
        if not self.step:
            return f"training brought no improvement; these are the weights of {self.base.name} ({self.start:.2f} dB)"
        return (
            f"better than {self.base.name} by {self.psnr - self.start:.2f} dB on the held-out images "
            f"({self.start:.2f} to {self.psnr:.2f} dB at step {self.step})"
        )

    def _write(self) -> None:
        content = io.BytesIO()
        kept = {
            "base": self.base.sha256,
            "held_out": self.held_out,
            "start": self.start,
            "psnr": self.psnr,
            "step": self.step,
            "state": self.state,
        }
        torch.save(kept, content)
        write_bytes(content.getvalue(), self.path)


def _copied(net: DenoisingNet) -> dict[str, Any]:
    return {name: value.detach().to("cpu", copy=True) for name, value in net.state_dict().items()}
