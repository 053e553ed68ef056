"""Load a network: weights, device, precision and tiles make a denoiser."""

import torch

from xray_denoise import weights
from xray_denoise.denoisers import Runtime
from xray_denoise.denoisers.blind import BlindDenoiser
from xray_denoise.denoisers.devices import choose_device, choose_precision
from xray_denoise.denoisers.told import ToldDenoiser
from xray_denoise.denoisers.windowed import NetworkDenoiser
from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.nets.profile_unet import ToldNet


def load(card: weights.Card, runtime: Runtime) -> NetworkDenoiser:
    """The network of a card, on the device that `runtime` names.

    Raises:
        UsageError: an option of `runtime` is none.
        CannotRunError: the device is missing, or the weights cannot be used.
    """
    device = choose_device(runtime.device)
    net = weights.load(card)
    dtype = choose_precision(runtime.precision, device, bf16=isinstance(net, ToldNet))
    if device.type == "cuda" and dtype == torch.float32:
        torch.backends.cudnn.allow_tf32 = False  # fp32 means 32 bits
    return kind_of(net)(
        net,
        card.name,
        card.sha256,
        device,
        dtype,
        runtime.tile,
        batch_size=runtime.batch_size,
        training=card.training,
        calibration=card.calibration,
        part=card.part,
    )


def kind_of(net: DenoisingNet) -> type[NetworkDenoiser]:
    """The class of denoisers for this kind of network; also used during training."""
    return ToldDenoiser if isinstance(net, ToldNet) else BlindDenoiser
