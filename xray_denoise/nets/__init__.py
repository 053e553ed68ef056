"""The networks: `nn.Module` only, tensors in and tensors out, images as grey level / 255."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from xray_denoise.nets.blind import BlindNet
from xray_denoise.nets.lite import Lite
from xray_denoise.nets.xbdcnn import XBDCNN

NETS: Mapping[str, Callable[..., BlindNet]] = {"x-bdcnn": XBDCNN, "lite": Lite}
"""Every architecture by the name that cards and `train --net` use."""


def build(name: str, **options: Any) -> BlindNet:
    """Make the network `name` with fresh weights from torch's global generator.

    Raises:
        KeyError: no such architecture.
        TypeError: the architecture has no such option.
    """
    return NETS[name](**options)


def copy_of(net: BlindNet) -> BlindNet:
    """An independent network with the same weights."""
    return copy.deepcopy(net)
