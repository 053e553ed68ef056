"""Compressed DICOM pixels: what encoders write comes back bit by bit, whatever the depth and the sign."""

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.synthetic_dicom import Sample, dataset, pixels, samples, save, write
from xray_denoise import files
from xray_denoise.errors import CannotRunError, UnreadableFileError, UnwritableFileError
from xray_denoise.files import codecs

DERIVATION = files.Derivation("x-bdcnn", "abc", "strength 1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codecs")


def compressed(path: Path, sample: Sample, syntax: str, frames: list[bytes]) -> Path:
    """A file whose frames some other encoder has made."""
    ds = dataset(sample)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    dcmwrite(path, ds, enforce_file_format=True)
    return path


def words(frame: NDArray[Any], bits: int) -> NDArray[Any]:
    """Two's complement in the low `bits`, as codecs without a sign are given it."""
    unsigned = frame.view(f"u{frame.itemsize}")
    return unsigned & np.array(2**bits - 1, unsigned.dtype)


@pytest.mark.parametrize("compression", ["rle", "jpegls", "j2k"])
@given(sample=samples())
def test_compressed_results_are_bit_identical(folder: Path, compression: files.Compression, sample: Sample) -> None:
    source = write(folder / "a.dcm", sample)
    unchanged = (frame.with_grey(frame.grey) for frame in files.read_frames(source))
    try:
        files.write(unchanged, folder / "b.dcm", derivation=DERIVATION, compression=compression)
    except UnwritableFileError:
        assert compression == "jpegls"
        assert sample.bits == 14, "10 and 12 bits of noise fit into the words of 16"
        return
    again = list(files.read_frames(folder / "b.dcm"))
    assert np.array_equal(np.stack([frame.stored for frame in again]), pixels(sample))
    assert again[0].stored.dtype == sample.dtype
    derived = pydicom.dcmread(folder / "b.dcm")
    assert derived.file_meta.TransferSyntaxUID == codecs.SYNTAXES[compression]
    assert (0x7FE1, 0x0010) in derived, "what comes behind the pixels"


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1])
def test_lossless_jpeg_is_read(tmp_path: Path, syntax: str, bits: int, signed: bool) -> None:
    sample = Sample("XA", bits=bits, signed=signed, frames=3)
    frames = []
    for frame in pixels(sample):
        plain = words(frame, bits)
        plain = plain.astype(np.uint8) if bits == 8 else plain
        predictor = 1 if syntax == JPEGLosslessSV1 else 4
        frames.append(imagecodecs.jpeg8_encode(plain, lossless=True, predictor=predictor, bitspersample=bits))
    path = compressed(tmp_path / "a.dcm", sample, syntax, frames)
    read = list(files.read_frames(path))
    assert np.array_equal(np.stack([frame.stored for frame in read]), pixels(sample))
    assert read[0].stored.dtype == sample.dtype


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL])
@pytest.mark.parametrize("bits", [8, 16])
def test_high_throughput_jpeg_2000_is_read(tmp_path: Path, syntax: str, bits: int) -> None:
    sample = Sample(bits=bits, allocated=bits, shape=(64, 80))
    frame = imagecodecs.htj2k_encode(pixels(sample)[0], reversible=True)
    assert np.array_equal(files.read(compressed(tmp_path / "a.dcm", sample, syntax, [frame])).stored, pixels(sample)[0])


def test_jpeg_2000_that_lost_the_sign_is_read(tmp_path: Path) -> None:
    """Some encoders store the two's complement of a signed image as unsigned samples."""
    sample = Sample(bits=12, signed=True, shape=(64, 80))
    codestream = imagecodecs.jpeg2k_encode(words(pixels(sample)[0], 12), codecformat="J2K", bitspersample=12)
    path = compressed(tmp_path / "a.dcm", sample, JPEG2000Lossless, [codestream])
    assert np.array_equal(files.read(path).stored, pixels(sample)[0])


def test_jpeg_of_12_bits_is_read_and_remembered_as_lossy(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:64, :80]
    smooth = (2000 + 1500 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.uint16)
    sample = Sample("CR", shape=(64, 80))
    frame = imagecodecs.jpeg8_encode(smooth, level=95, bitspersample=12)
    path = compressed(tmp_path / "a.dcm", sample, JPEGExtended12Bit, [frame])
    radiograph = files.read(path)
    assert abs(radiograph.stored.astype(int) - smooth).max() < 20
    files.write(radiograph, tmp_path / "b.dcm", derivation=DERIVATION)
    assert pydicom.dcmread(tmp_path / "b.dcm").LossyImageCompression == "01"


@pytest.mark.parametrize("process", ["+e1", "+el", "+ee"])
def test_dcmtk_and_we_decode_alike(tmp_path: Path, process: str) -> None:
    encoder, decoder = shutil.which("dcmcjpeg"), shutil.which("dcmdjpeg")
    if encoder is None or decoder is None:
        pytest.skip("dcmcjpeg is not installed (Debian package dcmtk)")
    write(tmp_path / "a.dcm", Sample("CR", shape=(64, 80)))
    subprocess.run([encoder, process, tmp_path / "a.dcm", tmp_path / "b.dcm"], check=True)
    subprocess.run([decoder, tmp_path / "b.dcm", tmp_path / "c.dcm"], check=True)
    assert np.array_equal(files.read(tmp_path / "b.dcm").stored, pydicom.dcmread(tmp_path / "c.dcm").pixel_array)


@pytest.mark.parametrize("compression", ["rle", "jpegls", "j2k"])
def test_dcmtk_reads_the_head_of_a_compressed_result(tmp_path: Path, compression: files.Compression) -> None:
    dump = shutil.which("dcmdump")
    if dump is None:
        pytest.skip("dcmdump is not installed (Debian package dcmtk)")
    frames = files.read_frames(write(tmp_path / "a.dcm", Sample("XA", frames=2)))
    files.write(frames, tmp_path / "b.dcm", derivation=DERIVATION, compression=compression)
    said = subprocess.run([dump, tmp_path / "b.dcm"], capture_output=True, check=True)
    assert b"PixelSequence" in said.stdout
    assert not said.stderr


@pytest.mark.parametrize("compression", ["jpegls", "j2k"])
def test_a_missing_encoder_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: files.Compression
) -> None:
    monkeypatch.setattr(codecs, "find_spec", lambda _: None)
    radiograph = files.read(write(tmp_path / "a.dcm", Sample()))
    with pytest.raises(CannotRunError, match=compression) as caught:
        files.write(radiograph, tmp_path / "b.dcm", derivation=DERIVATION, compression=compression)
    assert "xray-denoise[dicom]" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


def test_a_damaged_frame_is_an_error_in_words(tmp_path: Path) -> None:
    codestream = codecs.encoded(pixels(Sample())[0], JPEGLSLossless, bits=12)
    for cut in (2, 10, 40, len(codestream) // 2):
        path = compressed(tmp_path / "a.dcm", Sample(), JPEGLSLossless, [codestream[:cut]])
        with pytest.raises(UnreadableFileError):
            files.read(path)


def test_a_frame_that_was_cut_is_refused_at_once(tmp_path: Path) -> None:
    """libjpeg would make up what is missing, and CharLS would take 15 s for these pixels."""
    sample = Sample("CR", shape=(200, 300))
    frame = pixels(sample)[0] // 8
    eight = replace(sample, bits=8, allocated=8)
    for syntax, kind, stream in (
        (JPEGLossless, sample, imagecodecs.jpeg8_encode(frame, lossless=True, predictor=4, bitspersample=12)),
        (JPEGLosslessSV1, sample, imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1, bitspersample=12)),
        (JPEGExtended12Bit, sample, imagecodecs.jpeg8_encode(frame, bitspersample=12)),
        (JPEGBaseline8Bit, eight, imagecodecs.jpeg8_encode((frame >> 1).astype(np.uint8))),
        (JPEGLSLossless, sample, codecs.encoded(frame, JPEGLSLossless, bits=12)),
        (JPEG2000Lossless, sample, codecs.encoded(frame, JPEG2000Lossless, bits=12)),
        (HTJ2KLossless, sample, imagecodecs.htj2k_encode(frame, reversible=True)),
        (RLELossless, sample, codecs.encoded(frame, RLELossless, bits=12)),
    ):
        files.read(compressed(tmp_path / "a.dcm", kind, syntax, [stream]))
        for share in (0.3, 0.9, 0.99):
            cut = compressed(tmp_path / "a.dcm", kind, syntax, [stream[: int(share * len(stream))]])
            start = time.monotonic()
            with pytest.raises(UnreadableFileError):
                files.read(cut)
            assert time.monotonic() - start < 5, syntax


def test_a_codestream_that_claims_another_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    sample = Sample("CR", shape=(64, 80))
    frame = pixels(sample)[0]
    streams = {
        JPEGLSLossless: codecs.encoded(frame, JPEGLSLossless, bits=12),
        JPEG2000Lossless: codecs.encoded(frame, JPEG2000Lossless, bits=12),
        JPEGLosslessSV1: imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1, bitspersample=12),
        HTJ2KLossless: imagecodecs.htj2k_encode(frame, reversible=True),
    }
    for syntax, stream in streams.items():
        assert codecs.claimed_size(stream) == (64, 80)
        path = compressed(tmp_path / "a.dcm", replace(sample, shape=(64, 81)), syntax, [stream])
        with pytest.raises(UnreadableFileError, match="64x81 pixels, but compressed are 64x80"):
            files.read(path)


def test_runs_that_look_like_the_start_of_jpeg_2000_are_runs(tmp_path: Path) -> None:
    """The bytes FF 4F FF 51 mean two 4F and two 51 in RLE: noisy images are full of such."""
    sample = Sample("CR", bits=8, allocated=8, shape=(24, 20))
    stored = np.tile(np.array([0x4F, 0x4F, 0x51, 0x51], np.uint8), 120).reshape(1, 24, 20)
    path = write(tmp_path / "a.dcm", replace(sample, syntax=RLELossless), stored)
    assert codecs.JPEG_2000_START in path.read_bytes()
    assert np.array_equal(files.read(path).stored, stored[0])


def test_too_few_frames_leave_no_compressed_file(tmp_path: Path) -> None:
    frames = list(files.read_frames(write(tmp_path / "a.dcm", Sample("XA", frames=3))))
    with pytest.raises(ValueError, match="expected 3 frames"):
        files.write(frames[:2], tmp_path / "b.dcm", derivation=DERIVATION, compression="rle")
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


def test_private_groups_are_dropped_at_every_depth_when_asked(tmp_path: Path) -> None:
    ds = dataset(Sample())
    item = pydicom.Dataset()
    item.CodeValue = "1"
    item.private_block(0x0011, "ACME", create=True).add_new(0x01, "LO", "hidden")
    ds.ProcedureCodeSequence = [item]
    source = save(tmp_path / "a.dcm", ds)
    for private, expected in (("keep", True), ("drop", False)):
        files.write(files.read(source), tmp_path / f"{private}.dcm", derivation=DERIVATION, private=private)
        derived = pydicom.dcmread(tmp_path / f"{private}.dcm")
        found = [element for element in derived.iterall() if element.tag.is_private]
        assert bool(found) is expected
        assert (b"hidden" in (tmp_path / f"{private}.dcm").read_bytes()) is expected
    assert np.array_equal(files.read(tmp_path / "drop.dcm").stored, pixels(Sample())[0])
