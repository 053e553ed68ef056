"""Whatever a file claims, refusing it is cheap: memory and processor time are measured in a process of its own."""

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.synthetic_dicom import Sample, dataset, write

MEASURED = """
import sys, time
from pathlib import Path
import imagecodecs, pydicom, tifffile
from PIL import Image
imagecodecs.jpeg8_decode, imagecodecs.jpegls_decode, imagecodecs.jpeg2k_decode
from xray_denoise import files
from xray_denoise.bench.fresh_process import peak_memory
from xray_denoise.files import raster
from xray_denoise.files.dicom import read
from xray_denoise.errors import UnreadableFileError
Image.init()
before, start = peak_memory(), time.process_time()
try:
    for _ in files.read_frames(Path(sys.argv[1])):
        pass
    word = "read"
except UnreadableFileError:
    word = "refused"
print(word, round((peak_memory() - before) * 2**20), time.process_time() - start)
"""
"""Prints what became of a file, the growth of the peak memory in bytes, and seconds of processor time."""
SECONDS, BYTES_PER_PIXEL = 5, 17
HEAD_BYTES = 80 << 20
"""For what is no pixels: 16 MiB of the file, 16 MiB of other elements, chunks or tags, and copies of them."""
HUGE, TINY = (13_000, 13_000), (24, 21)
LARGE = (4000, 4000)


def cost(path: Path) -> tuple[str, int, float]:
    """What became of a file, bytes and seconds."""
    ran = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    word, grown, seconds = ran.stdout.split()
    return word, int(grown), float(seconds)


def claim(path: Path, shape: tuple[int, int], syntax: str, stream: bytes, bits: int = 16) -> None:
    """A DICOM file whose head claims `shape` of a codestream."""
    sample = Sample("CR", bits=bits, allocated=8 if bits == 8 else 16)
    ds = dataset(sample)
    ds.Rows, ds.Columns = shape
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    dcmwrite(path, ds, enforce_file_format=True)


def _deflated(path: Path, shape: tuple[int, int], inflated: int) -> None:
    """A deflated data set of zeros behind a head that claims `shape`."""
    write(path, Sample("CR", syntax=DeflatedExplicitVRLittleEndian), Rows=shape[0], Columns=shape[1])
    whole = path.read_bytes()
    at = whole.index(b"1.2.840.10008.1.2.1.99") + 22
    at = 144 + struct.unpack_from("<L", whole, 140)[0]
    body = zlib.decompress(whole[at:], -15)
    pixels = body.index(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(whole[:at] + _zeros(inflated, body[: pixels + 8] + struct.pack("<L", inflated), -15))


def _zeros(size: int, before: bytes = b"", window: int = 15) -> bytes:
    deflater = zlib.compressobj(1, zlib.DEFLATED, window)
    return b"".join(
        (deflater.compress(before), *(deflater.compress(bytes(1 << 20)) for _ in range(size >> 20)), deflater.flush())
    )


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(path: Path, shape: tuple[int, int], *chunks: bytes, colour: int = 0, depth: int = 8) -> None:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", shape[1], shape[0], depth, colour, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + _chunk(b"IEND", b""))


def _tiff(path: Path, shape: tuple[int, int], data: bytes, **changes: int) -> None:
    """A TIFF of one compressed strip; `changes` are other values of tags, by `tagN`."""
    tags = {256: shape[1], 257: shape[0], 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: shape[0], 279: len(data)}
    tags |= {int(key[3:]): value for key, value in changes.items()}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    data += b"\0" * (len(data) % 2)
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + table + bytes(4)
    )


def _many_strips(path: Path) -> None:
    """Three million strips, all in one place, of a tiny image."""
    count = 3_000_000
    tags = {256: 21, 257: 24, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1}
    entries = [(tag, 4, 1, value) for tag, value in tags.items()] + [(tag, 4, count, 8) for tag in (273, 279)]
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8 + 4 * count) + b"\x08\0\0\0" * count + struct.pack("<H", 9) + table + bytes(4)
    )


def _flat(shape: tuple[int, int], dtype: type = np.uint16) -> np.ndarray:
    image = np.zeros(shape, dtype)
    image[0, 0] = image[-1, -1] = 9
    return image


def _lossless(path: Path, *, behind: bytes) -> None:
    stream = bytes(imagecodecs.jpeg8_encode(_flat(LARGE), lossless=True, predictor=1, bitspersample=12))
    claim(path, LARGE, JPEGLosslessSV1, stream[:-2] + behind + stream[-2:], bits=12)


def _extended(path: Path) -> None:
    stream = bytes(imagecodecs.jpeg8_encode(_flat(LARGE), bitspersample=12))
    claim(path, LARGE, JPEGExtended12Bit, stream[: len(stream) * 9 // 10] + stream[-2:], bits=12)


def _baseline(path: Path) -> None:
    stream = bytes(imagecodecs.jpeg8_encode(_flat(LARGE, np.uint8)))
    claim(path, LARGE, JPEGBaseline8Bit, stream[: len(stream) * 9 // 10] + stream[-2:], bits=8)


def _jpeg_ls(path: Path) -> None:
    stream = bytes(imagecodecs.jpegls_encode(_flat(LARGE)))
    claim(path, LARGE, JPEGLSLossless, stream[: len(stream) * 9 // 10] + stream[-2:])


def _tiles(path: Path, syntax: str) -> None:
    """One sound tile, and a head that claims tens of thousands."""
    frame = np.random.default_rng(0).integers(0, 4096, (60, 60), np.uint16)
    if syntax == HTJ2K:
        stream = bytes(imagecodecs.htj2k_encode(frame, reversible=True))
    else:
        stream = bytes(imagecodecs.jpeg2k_encode(frame, codecformat="J2K", reversible=True))
    claim(path, HUGE, syntax, stream[:8] + struct.pack(">8L", *HUGE, 0, 0, 60, 60, 0, 0) + stream[40:])


def _runs(path: Path, code: bytes) -> None:
    half = len(code * (2 << 20))
    head = struct.pack("<16L", 2, 64, 64 + half, *[0] * 13)
    claim(path, HUGE, RLELossless, head + code * (4 << 20))


REFUSED: dict[str, tuple[str, tuple[int, int], Callable[[Path], None]]] = {
    "deflated, tiny claim": (".dcm", TINY, lambda path: _deflated(path, TINY, 200 << 20)),
    "deflated, huge claim": (".dcm", HUGE, lambda path: _deflated(path, HUGE, 200 << 20)),
    "deflated, huge claim, larger": (".dcm", HUGE, lambda path: _deflated(path, HUGE, 400 << 20)),
    "jpeg lossless, data behind": (".dcm", LARGE, lambda path: _lossless(path, behind=bytes(range(1, 250)) * 8)),
    "jpeg extended, data missing": (".dcm", LARGE, _extended),
    "jpeg baseline, data missing": (".dcm", LARGE, _baseline),
    "jpeg-ls, data missing": (".dcm", LARGE, _jpeg_ls),
    "jpeg 2000, tiles missing": (".dcm", HUGE, lambda path: _tiles(path, JPEG2000Lossless)),
    "htj2k, tiles missing": (".dcm", HUGE, lambda path: _tiles(path, HTJ2K)),
    "rle that does nothing": (".dcm", HUGE, lambda path: _runs(path, b"\x80\x80")),
    "rle of single pixels": (".dcm", HUGE, lambda path: _runs(path, b"\0\1")),
    "png, rows missing": (".png", HUGE, lambda path: _png(path, HUGE, _chunk(b"IDAT", _zeros(100 << 20)))),
    "png, transparent": (".png", LARGE, lambda path: _png(path, LARGE, _chunk(b"IDAT", _zeros(64 << 20)), colour=6)),
    "png, profile": (".png", TINY, lambda path: _png(path, TINY, _chunk(b"iCCP", b"a\0\0" + _zeros(200 << 20)))),
    "png, long chunk": (".png", TINY, lambda path: _png(path, TINY, _chunk(b"aaAa", bytes(16_000_000)))),
    "tiff, deflated, huge": (".tif", HUGE, lambda path: _tiff(path, HUGE, _zeros(100 << 20))),
    "tiff, deflated, tiny": (".tif", TINY, lambda path: _tiff(path, TINY, _zeros(200 << 20))),
    "tiff, Zstandard, tiny": (
        ".tif",
        TINY,
        lambda path: _tiff(path, TINY, imagecodecs.zstd_encode(bytes(200 << 20)), tag259=50000),
    ),
    "tiff of strips": (".tif", TINY, _many_strips),
}


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
@pytest.mark.parametrize("name", REFUSED)
def test_refusing_costs_no_more_than_pixels(tmp_path: Path, name: str) -> None:
    suffix, shape, make = REFUSED[name]
    path = tmp_path / f"a{suffix}"
    make(path)
    assert path.stat().st_size <= 17_000_000
    word, grown, seconds = cost(path)
    assert word == "refused"
    assert grown < BYTES_PER_PIXEL * shape[0] * shape[1] + HEAD_BYTES
    assert seconds < SECONDS


def _sound(path: Path) -> bytes:
    if path.suffix == ".dcm":
        return write(path, Sample("CR")).read_bytes()
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image.convert("RGB" if path.suffix == ".webp" else "L").save(path)
    return path.read_bytes()


def _private(path: Path, length: int) -> None:
    whole = _sound(path)
    at = whole.index(struct.pack("<HH", 0x0010, 0x0010), 132)
    path.write_bytes(whole[:at] + struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, length) + whole[at:])


def _text_chunk(path: Path) -> None:
    whole = _sound(path)
    path.write_bytes(whole[:33] + struct.pack(">L", 2**31 - 1) + b"tEXt")


def _description(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8), bigtiff=True, description="x" * 100, metadata=None)
    whole = path.read_bytes()
    at = whole.index(struct.pack("<HHQ", 270, 2, 101)) + 4
    path.write_bytes(whole[:at] + struct.pack("<Q", 2**33) + whole[at + 8 :])


SPARSE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a DICOM preamble": (".dcm", lambda path: path.write_bytes(bytes(128) + b"DICM")),
    "a sound DICOM file": (".dcm", lambda path: path.write_bytes(_sound(path))),
    "an element of 4 GiB": (".dcm", lambda path: _private(path, 0xFFFFFFF0)),
    "a chunk of 2 GiB": (".png", _text_chunk),
    "a WebP file": (".webp", lambda path: path.write_bytes(_sound(path))),
    "a tag of 8 GiB": (".tif", _description),
}


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
@pytest.mark.parametrize("size", [60 << 30, 8 << 40])
@pytest.mark.parametrize("name", SPARSE)
def test_a_sparse_file_costs_nothing(tmp_path: Path, name: str, size: int) -> None:
    suffix, make = SPARSE[name]
    path = tmp_path / f"a{suffix}"
    make(path)
    try:
        os.truncate(path, size)
    except OSError:
        pytest.skip("no sparse files of this size on this disk")
    word, grown, seconds = cost(path)
    assert word == "refused"
    assert grown < 80 << 20
    assert seconds < 1


def test_a_sound_png_may_have_anything_behind_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_sound(path))
    try:
        os.truncate(path, 60 << 30)
    except OSError:
        pytest.skip("no sparse files of this size on this disk")
    word, _, seconds = cost(path)
    assert (word, seconds < 1) == ("read", True)
