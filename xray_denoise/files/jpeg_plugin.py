"""A decoder plugin for pydicom: JPEG of 12 bits (process 4) and lossless JPEG (process 14; PS3.5 A.4.1, A.4.2).

pydicom itself reads the first with no plugin, and the second with GDCM only, which ends the whole process on some
damaged files.
"""

from importlib.util import find_spec
from typing import Any

from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

PLUGIN = "imagecodecs"
_NEEDS = ("numpy", "imagecodecs>=2024.1")
DECODER_DEPENDENCIES = {JPEGExtended12Bit: _NEEDS, JPEGLossless: _NEEDS, JPEGLosslessSV1: _NEEDS}


def is_available(uid: str) -> bool:
    """Whether this plugin can decode the transfer syntax here."""
    return uid in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def decode_frame(src: bytes, runner: Any) -> bytes:
    """The pixels of one frame, in words of 8 bits or of 16.

    Args:
        src: a JPEG stream.
        runner: pydicom's `DecodeRunner`.
    """
    import imagecodecs

    pixels = imagecodecs.jpeg8_decode(src)
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    return bytes(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
