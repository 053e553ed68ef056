"""Compressed frames: decode one codestream, encode one frame without loss.

What `codestream` has measured is what is decoded, by one library: imagecodecs, which contains libjpeg-turbo, CharLS and
OpenJPEG. RLE needs none.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from xray_denoise.errors import UnwritableFileError
from xray_denoise.extras import require
from xray_denoise.files import Compression
from xray_denoise.files.dicom import codestream
from xray_denoise.files.dicom.codestream import BadCodestreamError, Frame
from xray_denoise.files.dicom.layout import Layout

SYNTAXES: dict[Compression, UID] = {
    "none": ExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpegls": JPEGLSLossless,
    "j2k": JPEG2000Lossless,
}
"""How results can be compressed: all of it without loss."""
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
RLE_HEADER = 64

_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
_JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
_JPEG_2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
_LIBRARIES: dict[UID, str] = {
    **dict.fromkeys(_JPEG, "libjpeg-turbo"),
    **dict.fromkeys(_JPEG_LS, "CharLS"),
    **dict.fromkeys(_JPEG_2000, "OpenJPEG"),
    RLELossless: "xray-denoise",
}

END = 16
"""Bytes at the end of a JPEG scan that are changed to find out whether they are used: fewer may be padding."""
NOISE = tuple(bytes((number * step + 41) % 255 for number in range(4 * END)) for step in (73, 131, 197))
"""Other bytes, none of which begins a marker."""
LARGE = 1 << 26
"""Pixels of a frame that is decoded with one kind of noise only: each takes up to a second."""


def library(syntax: UID) -> str:
    """What decodes a compressed transfer syntax; empty where nothing does."""
    return _LIBRARIES.get(syntax, "")


def has_marks(syntax: UID) -> bool:
    """Whether every frame of a compressed transfer syntax begins with one of `codestream.STARTS`."""
    return syntax != RLELossless


def decoded(data: bytes, syntax: UID, layout: Layout) -> NDArray[Any]:
    """The stored values of one compressed frame, (rows, columns).

    Args:
        data: the fragments of the frame, one behind the other.
        syntax: a compressed transfer syntax that `library` knows.
        layout: what the file's head says of the frame; the codestream must agree, before room is made for it.

    Raises:
        BadCodestreamError: it is damaged, or of another size; the message is meant for users.
        Exception: whatever the library raises for a damaged codestream.
    """
    if syntax == RLELossless:
        return stored_values(_run_lengths_decoded(data, layout), layout)
    frame = codestream.jpeg_2000(data) if syntax in _JPEG_2000 else codestream.jpeg(data)
    if (frame.rows, frame.columns) != (layout.rows, layout.columns):
        raise BadCodestreamError(
            f"is {layout.rows}x{layout.columns} pixels, but compressed are {frame.rows}x{frame.columns}"
        )
    if frame.components != 1 or not 0 < frame.precision <= 16:
        raise BadCodestreamError(
            f"has a compressed frame of {frame.components} samples of {frame.precision} bits a pixel"
        )
    if (frame.process == codestream.LS_FRAME) != (syntax in _JPEG_LS):
        raise BadCodestreamError("has a compressed frame of another transfer syntax than its head says")
    if syntax in _JPEG and 8 * (len(frame.data) - frame.scan) < _codes(frame):
        raise BadCodestreamError("is truncated: the data of a compressed frame end before its pixels do")
    pixels = _samples(frame)
    if pixels.shape != (layout.rows, layout.columns):
        raise BadCodestreamError("has a compressed frame of another size than it says")
    if syntax in _JPEG:
        _refuse_wrong_end(frame, pixels)
    return saturated(pixels, frame, layout)


def _codes(frame: Frame) -> int:
    """The fewest bits that the scan of a JPEG frame can have: one for each pixel or, of blocks, two for each."""
    if frame.process == codestream.LOSSLESS_FRAME:
        return frame.rows * frame.columns
    return 2 * -(-frame.rows // 8) * -(-frame.columns // 8)


def _samples(frame: Frame) -> NDArray[Any]:
    import imagecodecs

    if frame.process == codestream.LS_FRAME:
        return np.asarray(imagecodecs.jpegls_decode(frame.data))
    if frame.process:
        return np.asarray(imagecodecs.jpeg8_decode(frame.data))
    return np.asarray(imagecodecs.jpeg2k_decode(frame.data, numthreads=1))


def _refuse_wrong_end(frame: Frame, pixels: NDArray[Any]) -> None:
    """Refuse a JPEG scan that ends before its pixels do, or after: of both, libjpeg only warns, and goes on.

    imagecodecs does not pass these warnings on. So the scan is decoded again with noise behind it, of which a sound one
    uses nothing, and with noise in the place of its last bytes, which a sound one uses. Flat images may have codes that
    nothing changes.
    """
    scan = frame.data[frame.scan : -len(codestream.JPEG_END)].rstrip(b"\xff")

    def is_changed_by(noise: bytes, end: int) -> bool:
        data = frame.data[: frame.scan] + scan[: len(scan) - end].rstrip(b"\xff") + noise + codestream.JPEG_END
        return not np.array_equal(_samples(replace(frame, data=data)), pixels)

    if is_changed_by(NOISE[0], 0):
        raise BadCodestreamError("is truncated: the data of a compressed frame end before its pixels do")
    telling = len(scan) > 4 * END and pixels.min() < pixels.max()
    if telling and not any(is_changed_by(noise, END) for noise in NOISE[: 1 if pixels.size > LARGE else None]):
        raise BadCodestreamError("has a damaged frame: its compressed data go on behind the last pixel")


def _run_lengths_decoded(data: bytes, layout: Layout) -> NDArray[Any]:
    """RLE (PS3.5 annex G): each byte of the words is a segment of its own, the highest first."""
    width, size = layout.allocated // 8, layout.rows * layout.columns
    header = np.frombuffer(data[:RLE_HEADER].ljust(RLE_HEADER, b"\0"), "<u4")
    if header[0] != width:
        raise BadCodestreamError(f"has a compressed frame of {header[0]} segments for words of {width} bytes")
    ends = [*(int(start) for start in header[2 : width + 1]), len(data)]
    words = np.empty((size, width), np.uint8)
    for number in range(width):
        segment = _unpacked(data[int(header[number + 1]) : ends[number]], size)
        if len(segment) < size:
            raise BadCodestreamError("is truncated: a compressed frame has too few pixels")
        words[:, width - 1 - number] = np.frombuffer(segment, np.uint8, size)
    return words.view(f"<u{width}").astype(f"u{width}").reshape(layout.rows, layout.columns)


def _unpacked(segment: bytes, size: int) -> bytearray:
    """The first `size` bytes of a segment: PackBits."""
    out, at, end = bytearray(), 0, len(segment)
    while at < end and len(out) < size:
        code = segment[at]
        if code < 128:
            out += segment[at + 1 : at + 2 + code]
            at += 2 + code
        else:
            if code > 128:
                out += segment[at + 1 : at + 2] * (257 - code)
            at += 2 if code > 128 else 1
    return out


def stored_values(words: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """The stored values in words: their low `layout.bits`, with the sign that these have (PS3.5 8.1.1).

    Args:
        words: integers of 8 or 16 bits in the byte order of this machine, signed or not.
        layout: Bits Allocated is the width of the result.
    """
    values = words.view(f"u{words.itemsize}").astype(f"u{layout.allocated // 8}")
    unused = np.array(layout.allocated - layout.bits, values.dtype)
    values <<= unused
    if layout.signed:
        values = values.view(f"i{values.itemsize}")
        unused = unused.astype(values.dtype)
    values >>= unused
    return values


def saturated(samples: NDArray[Any], frame: Frame, layout: Layout) -> NDArray[Any]:
    """The stored values in decoded samples.

    Samples of more bits than Bits Stored may exceed it, for lossy compression overshoots at edges: they are clipped.
    Where the samples have no sign but the stored values have one, they are its two's complement.
    """
    if frame.precision <= layout.bits or (layout.signed and not frame.signed):
        return stored_values(samples, layout)
    return samples.clip(*layout.limits).astype(f"{'i' if layout.signed else 'u'}{layout.allocated // 8}")


def require_encoder(compression: Compression) -> None:
    """Check before the work begins that results can be compressed.

    Raises:
        CannotRunError: the package that does it is not installed.
    """
    if compression == "jpegls":
        require("jpeg_ls", "dicom", f"the compression '{compression}'")


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
    allocated = 8 * stored.itemsize
    words = np.ascontiguousarray(stored).view(f"u{stored.itemsize}")
    if syntax == JPEGLSLossless:
        if bits in (8, 16):
            return _jpeg_ls(words)
        words = words & np.array(2**bits - 1, words.dtype)  # knows no sign: two's complement, cut to Bits Stored
    else:
        bits = allocated  # RLE compresses the bytes of the words, whatever they mean
    try:
        frame = get_encoder(syntax).encode(
            words,
            validate=False,
            rows=stored.shape[0],
            columns=stored.shape[1],
            number_of_frames=1,
            samples_per_pixel=1,
            bits_allocated=allocated,
            bits_stored=bits,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
        )
    except RuntimeError as error:
        raise UnwritableFileError(
            "a frame cannot be compressed: it is nothing but noise", hint="use j2k, or none", option="compression"
        ) from error
    return bytes(frame)


def _jpeg_ls(words: NDArray[Any]) -> bytes:
    """All bits of the words, as many as are allocated: DCMTK and GDCM refuse 8 bits in words of 16.

    Negative values keep their sign in the bits above Bits Stored, since pydicom takes all that are coded for the value.
    The output buffer has room for noise that grows when it is encoded.
    """
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
