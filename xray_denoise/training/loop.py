"""The training loop: state in, state out, one step at a time, on any device and any number of processes.

Lightning Fabric owns the device, the precision and the processes. Every process draws the same whole batch from the
same generator and keeps its share, so that N processes compute what one would.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from xray_denoise.errors import TrainingError
from xray_denoise.nets.blind import BlindNet, DenoisingNet
from xray_denoise.training import checkpoint
from xray_denoise.training.detector import ToldBatch
from xray_denoise.training.loss import Loss, decibel_loss, denoising_loss
from xray_denoise.training.optimizers import optimizers
from xray_denoise.training.patches import Batch
from xray_denoise.training.presets import TrainingConfig
from xray_denoise.training.validation import Validation

REPORT_EVERY = 25
"""Steps between two rows of the history; the loss is looked at only then, so a GPU is not kept waiting."""

Tensors = tuple[Tensor, ...] | list[Tensor]

Drawn = TypeVar("Drawn", Batch, ToldBatch)

Row = dict[str, float]
"""One line of the history: mean loss terms since the last row, learning rate, progress and validation figures."""


class Source(Protocol):
    """Where batches come from (`patches.PatchSource`, `distillation.TaughtSource`, `detector.DetectorSource`)."""

    def draw(self, step: int, count: int, generator: torch.Generator) -> Batch | ToldBatch:
        """`count` patches for step `step`, from `generator`."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """When to stop, save and validate."""

    max_seconds: float = math.inf
    """Time of training steps over all resumed parts, validation not counted; the learning rate ends with it."""
    checkpoint_seconds: float = 60.0
    """Time between two checkpoints; 0 writes one after every row of the history."""
    report_seconds: float = 10.0
    """Longest time between two rows of the history on one process, however slow its steps."""
    pause_seconds: float = math.inf
    """Time after which this call saves its state and stops, the training unfinished; not part of the schedule."""
    validations: int = 20
    """Validations spread evenly over the training, the last at its end."""


class Training:
    """One training of one network: iterate over `rows()` to run it, then take `result`."""

    def __init__(
        self,
        net: DenoisingNet,
        source: Source,
        config: TrainingConfig,
        *,
        fabric: Fabric,
        run: Path,
        identity: dict[str, Any],
        seed: int,
        limits: Limits,
        validate: Callable[[DenoisingNet], Validation] | None = None,
    ) -> None:
        """Prepare a training, or take up the one whose checkpoint lies in `run`.

        Args:
            net: network with fresh (or given) weights; trained in place.
            source: draws batches on the device of `fabric`.
            config: how to train.
            fabric: launched; owns device, precision and processes.
            run: existing folder for the checkpoint.
            identity: what must agree with a checkpoint for the training to go on from it.
            seed: of the patches and their noise.
            limits: when to stop, save and validate.
            validate: called on the result so far, in the first process only.

        Raises:
            TrainingError: the batch cannot be shared evenly, or the checkpoint belongs to another training.
        """
        if config.batch % fabric.world_size:
            raise TrainingError(
                f"a batch of {config.batch} cannot be shared by {fabric.world_size} processes",
                hint="choose a multiple of the number of processes",
                option="batch_size",
            )
        self.config, self.limits, self.run = config, limits, run
        self.history: list[Row] = []
        self.step, self.seconds = 0, 0.0
        self.identity, self.device = identity, fabric.device
        self._fabric, self._source, self._validate = fabric, source, validate
        net = _of_all_processes(net, fabric)
        self._net = net.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._ema = AveragedModel(self._net, multi_avg_fn=self._average, use_buffers=True)
        self._generator = torch.Generator(fabric.device).manual_seed(seed)
        moving = optimizers(self._net, config.optimizer, config.lr)
        self._model, *self._optimizers = fabric.setup(self._net, *moving)
        self._resume()

    @property
    def result(self) -> DenoisingNet:
        """The network as it would be shipped now: the running mean of the weights where the schedule keeps one."""
        return cast(DenoisingNet, self._ema.module) if self.config.ema else self._net

    @property
    def done(self) -> float:
        """Share of the training that is over, 0..1, by steps or by time, whichever is further."""
        return min(1.0, max(self.step / self.config.steps, self.seconds / self.limits.max_seconds))

    def rows(self) -> Iterator[Row]:
        """Train to the end; yields a row of the history every `REPORT_EVERY` steps, or by the clock.

        Raises:
            TrainingError: the loss is no longer finite; the last good checkpoint stays.
        """
        self._model.train()
        clock, saved, sums, count = time.monotonic(), time.monotonic(), None, 0
        before, begun = self.done, clock
        while self.done < 1:
            terms = self._train_step()
            sums, count = terms if sums is None else sums + terms, count + 1
            self.step += 1
            if not self._row_is_due(clock):
                continue
            means = self._over_processes(sums / count).tolist()
            if not (all(map(math.isfinite, means)) and self._weights_are_finite()):
                raise TrainingError(
                    f"the loss or the weights are no longer finite at step {self.step}",
                    hint="go on from the last checkpoint with a lower learning rate, or in 32 bits",
                    option="lr",
                )
            now = time.monotonic()
            self.seconds = self._agree(self.seconds + now - clock)
            row = self._row(means, count * self.config.batch / (now - clock))
            sums, count = None, 0
            if self._validation_is_due(before):
                row |= self._validation()
            before = self.done
            self.history.append(row)
            paused = self._agree(time.monotonic() - begun) >= self.limits.pause_seconds
            if time.monotonic() - saved >= self.limits.checkpoint_seconds or self.done >= 1 or paused:
                self._save()
                saved = time.monotonic()
            yield row
            if paused:
                return
            clock = time.monotonic()

    def _train_step(self) -> Tensor:
        """One step; returns the loss and its four terms, detached, on the device."""
        rate = self.config.learning_rate(self.step, self.done)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        batch = self._source.draw(self.step, self.config.batch, self._generator)
        if isinstance(batch, ToldBatch):
            loss = self._told_loss(self._share(batch))
        else:
            loss = self._blind_loss(self._share(batch))
        self._fabric.backward(loss.total)
        if math.isfinite(self.config.clip):
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), self.config.clip)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.config.ema:
            self._ema.update_parameters(self._net)
        return _terms(loss)

    def _told_loss(self, batch: ToldBatch) -> Loss:
        """The loss of a network that is told the noise."""
        noisy, maps = (one.contiguous(memory_format=torch.channels_last) for one in (batch.noisy, batch.maps))
        restored = self._model(noisy, maps).float()
        return decibel_loss(restored, batch.target, batch.details, batch.deviation, self.config.lost)

    def _blind_loss(self, batch: Batch) -> Loss:
        """The loss of a network that estimates the noise itself, or does without."""
        true_levels = self._net.encoding.encode(batch.eta, batch.sigma) if isinstance(self._net, BlindNet) else None
        noisy = batch.noisy.contiguous(memory_format=torch.channels_last)
        restored, levels = self._model(noisy, joint=self.config.joint)
        levels = levels if levels is None else levels.float()
        return denoising_loss(restored.float(), levels, batch.target, true_levels, self.config.loss)

    def _share(self, batch: Drawn) -> Drawn:
        """The part of the whole batch that this process trains on."""
        share = self.config.batch // self._fabric.world_size
        mine = slice(self._fabric.global_rank * share, (self._fabric.global_rank + 1) * share)
        return type(batch)(*(getattr(batch, field.name)[mine] for field in dataclasses.fields(batch)))

    def _weights_are_finite(self) -> bool:
        """Whether the step that this row ends with has left numbers; its own loss was computed before it."""
        norms = torch._foreach_norm(list(self._net.parameters()))
        return bool(torch.stack(list(norms)).isfinite().all())

    def _average(self, means: Tensors, weights: Tensors, _count: Tensor | int) -> None:
        """Move the running mean: over few steps at first, so that it forgets the fresh weights quickly."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        if means[0].is_floating_point():
            torch._foreach_lerp_(means, weights, 1 - decay)
        else:  # the counters of batch normalisation
            torch._foreach_copy_(means, weights)

    def _row_is_due(self, since: float) -> bool:
        """Every `REPORT_EVERY` steps; one slow process reports by the clock too, several must stay in step."""
        if self.step % REPORT_EVERY == 0 or self.step >= self.config.steps:
            return True
        return self._fabric.world_size == 1 and time.monotonic() - since > self.limits.report_seconds

    def _row(self, means: list[float], rate: float) -> Row:
        loss, mse, structure, asymmetric, variation = means
        return {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "patches_per_second": round(rate, 2),
            "lr": self._optimizers[0].param_groups[0]["lr"],
            "loss": loss,
            "mse": mse,
            "one_minus_ssim": structure,
            "asymmetric": asymmetric,
            "tv": variation,
        }

    def _validation_is_due(self, before: float) -> bool:
        parts = self.limits.validations
        return self._validate is not None and (self.done >= 1 or int(self.done * parts) > int(before * parts))

    def _validation(self) -> Row:
        if self._validate is None or not self._fabric.is_global_zero:
            return {}
        outcome = self._validate(self.result)
        levels = {} if outcome.level_error is None else {"val_level_error": outcome.level_error}
        return {"val_psnr": outcome.psnr, **levels, **outcome.parts}

    def _over_processes(self, means: Tensor) -> Tensor:
        """The mean over all processes, so that they report, and stop at, the same loss."""
        return self._fabric.all_reduce(means) if self._fabric.world_size > 1 else means  # type: ignore[return-value]

    def _agree(self, seconds: float) -> float:
        """One clock for all processes, so that they end at the same step."""
        return float(self._fabric.broadcast(seconds)) if self._fabric.world_size > 1 else seconds

    def _save(self) -> None:
        if not self._fabric.is_global_zero:
            return
        state = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "net": self._net.state_dict(),
            "ema": self._ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "generator": self._generator.get_state(),
        }
        checkpoint.write(self.run, state)

    def _resume(self) -> None:
        state = checkpoint.read(self.run, self.identity)
        if state is None:
            return
        try:
            self._net.load_state_dict(state["net"])
        except RuntimeError as error:
            raise TrainingError(
                "the checkpoint in {path} has the weights of another network, as another version of this one has",
                path=self.run,
                hint="go on with the version that it was made by, or choose another folder",
                option="target",
            ) from error
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self._ema.load_state_dict(state["ema"])
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self._generator.set_state(state["generator"])


def _of_all_processes(net: DenoisingNet, fabric: Fabric) -> DenoisingNet:
    """The network with batch normalisation over the whole batch, however many processes share it.

    Raises:
        TrainingError: the CPU cannot share it.
    """
    if fabric.world_size == 1 or not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in net.modules()):
        return net
    if fabric.device.type != "cuda":
        raise TrainingError(
            "a network with batch normalisation is trained by one process on the CPU",
            hint="use one process",
            option="devices",
        )
    synced = torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
    return cast(DenoisingNet, synced)


def _terms(loss: Loss) -> Tensor:
    return torch.stack([loss.total, loss.mse, loss.ssim, loss.asymmetric, loss.tv]).detach()
