"""Compressed pixels: which decoders are installed, and lossless encoding of single frames."""

import struct
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from xray_denoise.errors import CannotRunError, UnwritableFileError
from xray_denoise.files import Compression, jpeg_plugin

SYNTAXES: dict[Compression, UID] = {
    "none": ExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpegls": JPEGLSLossless,
    "j2k": JPEG2000Lossless,
}
"""What `--compress` writes: all of it without loss."""
JPEG_2000_START = b"\xff\x4f\xff\x51"
JP2_START = b"\0\0\0\x0cjP  "
"""A file format around a JPEG 2000 codestream, which some writers leave on."""
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""The markers of JPEG and JPEG-LS that a size follows."""
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
MOST_PADDING = 1024
"""Bytes that may follow the end of a JPEG stream; the standard allows one."""
PIP_LINE = "pip install 'xray-denoise[dicom]'"


PREFERRED = (jpeg_plugin.PLUGIN, "pydicom", "pyjpegls", "pylibjpeg", "pillow")
"""pydicom's plugins in the order in which they are tried. Not GDCM, which can abort the process, nor pylibjpeg's RLE,
which can panic, if there is another."""


@cache
def plugin(syntax: UID) -> str:
    """The plugin that decodes a transfer syntax here; empty where none is installed, or none is needed.

    Raises:
        NotImplementedError: nothing decodes this syntax, whatever is installed.
    """
    decoder = get_decoder(syntax)
    if decoder.is_native:
        return ""
    if syntax in jpeg_plugin.DECODER_DEPENDENCIES:
        decoder.add_plugin(jpeg_plugin.PLUGIN, (jpeg_plugin.__name__, "decode_frame"))
    there = decoder.available_plugins
    return next((name for name in (*PREFERRED, *there) if name in there), "")


def is_readable(syntax: UID) -> bool:
    """Whether pixels in this transfer syntax can be read here.

    Raises:
        NotImplementedError: they can be read nowhere.
    """
    return get_decoder(syntax).is_native or bool(plugin(syntax))


def decoded(pixels: Path | Dataset, syntax: UID) -> Iterator[NDArray[Any]]:
    """What the codec gives for each frame of an object; the sign is left to `stored_values`.

    Raises:
        RuntimeError: the plugin cannot read these frames, among much else for damaged files.
    """
    return iter_pixels(
        pixels,
        raw=True,
        decoding_plugin=plugin(syntax),
        apply_j2k_sign_correction=False,
        apply_jls_sign_correction=False,
    )


def claimed_size(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns in the head of a JPEG, JPEG-LS or JPEG 2000 codestream; None where it shows none, as RLE."""
    start = codestream.find(JPEG_2000_START) if codestream.startswith((JPEG_2000_START, JP2_START)) else -1
    if start >= 0 and len(codestream) >= start + 24:
        columns, rows, left, top = struct.unpack_from(">4L", codestream, start + 8)
        return rows - top, columns - left
    at = 2 if codestream.startswith(JPEG_START) else len(codestream)
    while at + 9 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker in FRAME_HEADERS:
            return struct.unpack_from(">HH", codestream, at + 5)
        at += 1 if marker == 0xFF else 2 + int.from_bytes(codestream[at + 2 : at + 4])
    return None


def is_cut_short(codestream: bytes) -> bool:
    """Whether a JPEG or JPEG-LS codestream lacks its end; other codecs find that out themselves.

    For a missing end libjpeg makes pixels up, and CharLS takes a quarter of a millisecond a pixel to give in.
    """
    return codestream.startswith(JPEG_START) and JPEG_END not in codestream[-MOST_PADDING:]


def stored_values(words: NDArray[Any], *, allocated: int, bits: int, signed: bool) -> NDArray[Any]:
    """The stored values in decoded words: their low `bits`, with the sign that these have.

    Codecs differ in the width of the words that they give and in whether they know of signs; PS3.5 8.1.1 does not.

    Args:
        words: integers of 8 or 16 bits in the byte order of this machine, signed or not.
        allocated: Bits Allocated, 8 or 16: the width of the result.
        bits: Bits Stored.
        signed: whether Pixel Representation is 1.
    """
    values = words.view(f"u{words.itemsize}").astype(f"u{allocated // 8}")
    unused = np.array(allocated - bits, values.dtype)
    values <<= unused
    if signed:
        values = values.view(f"i{values.itemsize}")
        unused = unused.astype(values.dtype)
    values >>= unused
    return values


def require_encoder(compression: Compression) -> None:
    """Find out before the work begins that results can be compressed.

    Raises:
        CannotRunError: the package that does it is not installed.
    """
    there = {
        "none": True,
        "rle": True,
        "jpegls": None not in (find_spec("jpeg_ls"), find_spec("imagecodecs")),
        "j2k": find_spec("imagecodecs") is not None,
    }
    if not there[compression]:
        raise CannotRunError(f"no encoder for --compress {compression} is installed", hint=PIP_LINE)


def encoded(stored: NDArray[Any], syntax: UID, *, bits: int) -> bytes:
    """One frame without loss.

    Args:
        stored: (rows, columns), words of 8 or 16 bits, signed or unsigned.
        syntax: a compressed one of `SYNTAXES`.
        bits: Bits Stored.

    Raises:
        UnwritableFileError: the encoder gives up; JPEG-LS does on tiny frames of nothing but noise.
    """
    if syntax == JPEG2000Lossless:
        return _jpeg_2000(stored, bits)
    words = np.ascontiguousarray(stored).view(f"u{stored.itemsize}")
    if syntax == JPEGLSLossless:
        words = words & np.array(2**bits - 1, words.dtype)  # knows no sign: two's complement, cut to Bits Stored
        if bits in (8, 16):
            return _jpeg_ls(words.astype(f"u{bits // 8}"))
    else:
        bits = 8 * stored.itemsize  # RLE compresses the bytes of the words, whatever they mean
    try:
        frame = get_encoder(syntax).encode(
            words,
            validate=False,
            rows=stored.shape[0],
            columns=stored.shape[1],
            number_of_frames=1,
            samples_per_pixel=1,
            bits_allocated=8 * stored.itemsize,
            bits_stored=bits,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
        )
    except RuntimeError as error:
        raise UnwritableFileError(
            "a frame cannot be compressed: it is nothing but noise", hint="use --compress j2k, or none"
        ) from error
    return bytes(frame)


def _jpeg_ls(words: NDArray[Any]) -> bytes:
    """All bits of the words; the output buffer has room for noise that grows when it is encoded."""
    import imagecodecs

    room = bytearray(2 * words.nbytes + 1024)
    return bytes(imagecodecs.jpegls_encode(words, out=room))


def _jpeg_2000(stored: NDArray[Any], bits: int) -> bytes:
    """A codestream without file format, as PS3.5 A.4.4 wants it."""
    import imagecodecs

    levels = min(6, min(stored.shape).bit_length())  # as many as the shorter side can be halved
    codestream = imagecodecs.jpeg2k_encode(
        stored, codecformat="J2K", bitspersample=bits, resolutions=levels, reversible=True
    )
    return bytes(codestream)
