"""Device, processes and precision of a training, by Lightning Fabric."""

import gc
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision

from xray_denoise.denoisers.devices import choose_device, has_fast_bf16
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.tasks.train_plan import Plan


def fabric_of(plan: Plan) -> Fabric:
    """The Fabric that runs a plan.

    Raises:
        CannotRunError: the device is missing, or cannot train.
        UsageError: several of one device, or no such precision.
    """
    wanted = plan.device
    if wanted == "auto":  # a Mac's GPU cannot draw Poisson noise
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = choose_device(wanted)
    if device.type == "mps":
        raise CannotRunError("training draws noise that this GPU cannot draw", hint="use cpu or cuda", option="device")
    if plan.devices > 1 and device.index is not None:
        raise UsageError(f"{wanted} is one device, not {plan.devices}", hint=f"choose {device.type}", option="device")
    if device.type == "cuda" and plan.devices > torch.cuda.device_count():
        raise CannotRunError(
            f"this machine has {torch.cuda.device_count()} GPUs, not {plan.devices}", hint="use fewer", option="devices"
        )
    precision = plan.precision
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    plugins: dict[str, Callable[[], Precision]] = {
        "fp32": Precision,
        "bf16": partial(_UnroundedImages, "bf16-mixed", device.type),
    }
    if precision not in plugins:
        raise UsageError(
            f"no precision is called '{precision}'", hint=f"use auto, {', '.join(plugins)}", option="precision"
        )
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", plan.devices))  # torchrun has started them already
    nodes = int(os.environ["WORLD_SIZE"]) // processes if "LOCAL_WORLD_SIZE" in os.environ else 1
    one = [device.index] if device.type == "cuda" and device.index is not None else 1
    _forget_fabric_settings()
    strategy = "ddp_find_unused_parameters_true" if plan.net == "profile-pair" else "ddp"  # a patch needs one of a pair
    return Fabric(
        accelerator=device.type,
        devices=processes if processes > 1 else one,
        num_nodes=nodes,
        strategy=strategy if processes * nodes > 1 else "auto",
        plugins=[plugins[precision]()],
    )


def _forget_fabric_settings() -> None:
    """Remove the settings that Fabric takes from the environment: they would overrule the plan."""
    for name in ("ACCELERATOR", "STRATEGY", "DEVICES", "NUM_NODES", "PRECISION"):
        os.environ.pop(f"LT_{name}", None)


class _UnroundedImages(MixedPrecision):
    """Mixed precision that leaves the images in 32 bits: near white, bfloat16 has steps of one grey level."""

    def convert_input(self, data: Any) -> Any:
        """`data` as it is; autocast rounds what may be rounded."""
        return data


def leave_process_group() -> None:
    """Leave the group of processes, and end its threads.

    A thread that still runs when Python ends may abort the process, and one that ends so has all of them killed.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        gc.collect()  # the threads are the group's, which the network is wrapped up with, in a cycle
