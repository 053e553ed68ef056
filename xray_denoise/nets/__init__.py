"""The networks: `nn.Module` only, tensors in and tensors out, images as grey level / 255."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from xray_denoise.nets.blind import DenoisingNet
from xray_denoise.nets.dncnn import DnCNN
from xray_denoise.nets.lite import Lite
from xray_denoise.nets.profile_pair import ProfilePair
from xray_denoise.nets.profile_unet import ProfileUNet
from xray_denoise.nets.skidnet import SkiDNet
from xray_denoise.nets.xbdcnn import XBDCNN, WithoutLevels, cbdnet
from xray_denoise.nets.xrecnn import XReCNN

NETS: Mapping[str, Callable[..., DenoisingNet]] = {
    "x-bdcnn": XBDCNN,
    "x-bdcnn-no-nle": WithoutLevels,
    "cbdnet": cbdnet,
    "dncnn": DnCNN,
    "x-recnn": XReCNN,
    "skidnet": SkiDNet,
    "lite": Lite,
    "profile-unet": ProfileUNet,
    "profile-pair": ProfilePair,
}
"""Every architecture by the name that cards and `train --net` use."""


def build(name: str, **options: Any) -> DenoisingNet:
    """Make the network `name` with fresh weights from torch's global generator.

    Raises:
        KeyError: no such architecture.
        TypeError: the architecture has no such option.
    """
    return NETS[name](**options)


def copy_of(net: DenoisingNet) -> DenoisingNet:
    """An independent network with the same weights."""
    return copy.deepcopy(net)
