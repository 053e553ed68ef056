"""GDCM and DCMTK find the same frames and the same pixels, however Pixel Data is encapsulated."""

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.files.dicom.test_codecs import DELIMITER, _encapsulated, _jpeg, _longs, _padded, compressed
from tests.synthetic_dicom import CLASSES, Sample, pixels, write
from xray_denoise import files
from xray_denoise.files.dicom import codecs

Reader = Callable[[Path], NDArray[Any]]
DERIVATION = files.Derivation("x-bdcnn", "abc", "strength 1")


def gdcm(path: Path) -> NDArray[Any]:
    """What GDCM decodes."""
    return _converted(path, "gdcmconv", "--raw", package="libgdcm-tools")


def dcmtk(path: Path) -> NDArray[Any]:
    """What DCMTK decodes of JPEG."""
    return _converted(path, "dcmdjpeg", package="dcmtk")


def _converted(path: Path, name: str, *options: str, package: str) -> NDArray[Any]:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    target = path.with_suffix(f".{name}.dcm")
    subprocess.run([program, *options, path, target], check=True, capture_output=True)
    return pydicom.dcmread(target).pixel_array


def ours(path: Path) -> NDArray[Any]:
    """What we decode, without an axis of frames where there is one frame."""
    return np.stack([frame.stored for frame in files.read_frames(path)]).squeeze()


SAMPLE = Sample("XA", frames=3, shape=(64, 80))
STREAMS = [_padded(_jpeg(frame)) for frame in pixels(SAMPLE)]
STARTS = np.cumsum([0, *(8 + len(one) for one in STREAMS[:-1])])
HALVES = [half for one in STREAMS for half in (one[:1000], one[1000:])]
HALF_STARTS = np.cumsum([0, *(16 + len(one) for one in STREAMS[:-1])])


def _extended(path: Path, offsets: list[int], fragments: list[bytes]) -> Path:
    """Behind an empty Basic Offset Table, with an Extended one."""
    whole = _encapsulated(path, SAMPLE, b"", fragments, DELIMITER).read_bytes()
    at = whole.find(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OB"))
    lengths = [len(one) for one in STREAMS]
    tables = b"".join(
        struct.pack("<HH2sHL3Q", 0x7FE0, element, b"OV", 0, 24, *values)
        for element, values in ((1, offsets), (2, lengths))
    )
    path.write_bytes(whole[:at] + tables + whole[at:])
    return path


STRUCTURES: dict[str, Callable[[Path], Path]] = {
    "no table": lambda path: _encapsulated(path, SAMPLE, b"", STREAMS, DELIMITER),
    "a table": lambda path: _encapsulated(path, SAMPLE, _longs(*STARTS), STREAMS, DELIMITER),
    "of zeros": lambda path: _encapsulated(path, SAMPLE, _longs(0, 0, 0), STREAMS, DELIMITER),
    "of one entry": lambda path: _encapsulated(path, SAMPLE, _longs(0), STREAMS, DELIMITER),
    "absolute": lambda path: _encapsulated(path, SAMPLE, _longs(*STARTS + 1200), STREAMS, DELIMITER),
    "empty last fragment": lambda path: _encapsulated(path, SAMPLE, _longs(*STARTS), [*STREAMS, b""], DELIMITER),
    "no delimiter": lambda path: _encapsulated(path, SAMPLE, _longs(*STARTS), STREAMS),
    "padding": lambda path: _encapsulated(path, SAMPLE, b"", [one + bytes(2000) for one in STREAMS], DELIMITER),
    "two fragments a frame": lambda path: _encapsulated(path, SAMPLE, _longs(*HALF_STARTS), HALVES, DELIMITER),
    "extended table": lambda path: _extended(path, [int(one) for one in STARTS], STREAMS),
    "wrong extended table": lambda path: _extended(path, [0, 0, 0], STREAMS),
}
GIVE_UP = {("empty last fragment", gdcm), ("no delimiter", dcmtk)}


@pytest.mark.parametrize(
    ("name", "reader"), [(one, by) for one in STRUCTURES for by in (gdcm, dcmtk) if (one, by) not in GIVE_UP]
)
def test_frames_are_those_of_other_readers(tmp_path: Path, name: str, reader: Reader) -> None:
    path = STRUCTURES[name](tmp_path / "a.dcm")
    assert np.array_equal(ours(path), pixels(SAMPLE))
    assert np.array_equal(ours(path), reader(path))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_gdcm_decodes_every_lossless_syntax_alike(tmp_path: Path, syntax: str, bits: int, signed: bool) -> None:
    sample = Sample("CR", bits=bits, allocated=8 if bits == 8 else 16, signed=signed, shape=(64, 80))
    frame = pixels(sample)[0] // 8
    words = frame.view(f"u{frame.itemsize}") & np.array(2**bits - 1, f"u{frame.itemsize}")
    if syntax == JPEGLosslessSV1:
        stream = bytes(imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=bits))
    else:
        stream = codecs.encoded(frame, pydicom.uid.UID(syntax), bits=bits)
    path = compressed(tmp_path / "a.dcm", sample, syntax, [stream])
    assert np.array_equal(ours(path), frame)
    assert np.array_equal(gdcm(path), frame)


@pytest.mark.parametrize(("syntax", "bits"), [(JPEGBaseline8Bit, 8), (JPEGExtended12Bit, 12)])
def test_gdcm_decodes_lossy_jpeg_alike(tmp_path: Path, syntax: str, bits: int) -> None:
    sample = Sample("CR", bits=bits, allocated=8 if bits == 8 else 16, shape=(64, 80))
    smooth = np.rint((np.sin(np.mgrid[:64, :80] / 9).sum(0) + 2) / 4 * (2**bits - 1)).astype(sample.dtype)
    path = compressed(tmp_path / "a.dcm", sample, syntax, [_jpeg(smooth, bits, lossless=False)])
    assert abs(ours(path).astype(int) - gdcm(path)).max() <= 1, "inverse transforms round differently"


@pytest.mark.parametrize("compression", ["none", "rle", "jpegls", "j2k"])
@pytest.mark.parametrize("modality", sorted(CLASSES))
def test_gdcm_reads_results_of_every_class(tmp_path: Path, modality: str, compression: files.Compression) -> None:
    source = write(tmp_path / "a.dcm", Sample(modality, shape=(64, 80)), pixels(Sample(modality, shape=(64, 80))) // 8)
    files.write(files.read(source), tmp_path / "b.dcm", derivation=DERIVATION, compression=compression)
    assert np.array_equal(gdcm(tmp_path / "b.dcm"), files.read(source).stored)


def test_htj2k_is_what_openjph_decodes(tmp_path: Path) -> None:
    """Neither GDCM nor DCMTK know it; the encoder's own decoder does."""
    sample = Sample("CR", shape=(64, 80))
    stream = bytes(imagecodecs.htj2k_encode(pixels(sample)[0], reversible=True))
    path = compressed(tmp_path / "a.dcm", sample, HTJ2KLossless, [stream])
    assert np.array_equal(ours(path), imagecodecs.htj2k_decode(stream))
