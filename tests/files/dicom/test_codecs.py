"""Compressed DICOM pixels: what encoders write comes back bit by bit, whatever the depth and the sign."""

import shutil
import struct
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
    JPEG2000,
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

from tests.synthetic_dicom import Sample, dataset, pixels, samples, save, write
from xray_denoise import files
from xray_denoise.errors import CannotRunError, UnreadableFileError, UnwritableFileError
from xray_denoise.files.dicom import codecs, codestream

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


@pytest.mark.parametrize("compression", ["jpegls"])
def test_a_missing_encoder_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: files.Compression
) -> None:
    monkeypatch.setattr("xray_denoise.extras.find_spec", lambda _: None)
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
            for end in (b"", codestream.JPEG_END):
                if end and syntax == RLELossless:
                    continue
                part = stream[: int(share * len(stream))] + end
                start = time.process_time()
                with pytest.raises(UnreadableFileError):
                    files.read(compressed(tmp_path / "a.dcm", kind, syntax, [part]))
                assert time.process_time() - start < 5, syntax


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
        path = compressed(tmp_path / "a.dcm", replace(sample, shape=(64, 81)), syntax, [stream])
        with pytest.raises(UnreadableFileError, match="64x81 pixels, but compressed are 64x80"):
            files.read(path)


def _jpeg(frame: NDArray[Any], bits: int = 12, *, lossless: bool = True) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(frame, level=98, lossless=lossless, predictor=1, bitspersample=bits))


JUNK = b"\0\0\0"


@pytest.mark.parametrize("junk", [JUNK, b"\1\2", b"\0" * 500, b"\xff\0", b"\xff\xff\0\xff\xd0"])
def test_junk_before_the_size_hides_no_other_size(tmp_path: Path, junk: bytes) -> None:
    """For libjpeg skips it: a decoder would make room for 30000x30000 pixels."""
    whole = _jpeg(pixels(Sample("CR", shape=(64, 80)))[0])
    at = whole.find(b"\xff\xc3")
    huge = whole[: at + 5] + struct.pack(">HH", 30000, 30000) + whole[at + 9 :]
    for stream, wanted in ((whole[:at] + junk + whole[at:], True), (huge[:at] + junk + huge[at:], False)):
        path = compressed(tmp_path / "a.dcm", Sample("CR", shape=(64, 80)), JPEGLosslessSV1, [stream])
        if wanted:
            assert np.array_equal(files.read(path).stored, pixels(Sample("CR", shape=(64, 80)))[0])
        else:
            with pytest.raises(UnreadableFileError, match="compressed are 30000x30000"):
                files.read(path)


def test_a_segment_of_jpeg_ls_changes_no_size(tmp_path: Path) -> None:
    sample = Sample("CR", shape=(64, 80))
    whole = codecs.encoded(pixels(sample)[0] // 8, JPEGLSLossless, bits=12)
    at = whole.find(b"\xff\xda")
    oversize = b"\xff\xf8" + struct.pack(">HBBLL", 12, 4, 4, 30000, 30000)
    path = compressed(tmp_path / "a.dcm", sample, JPEGLSLossless, [whole[:at] + oversize + whole[at:]])
    with pytest.raises(UnreadableFileError, match="two sizes"):
        files.read(path)


def _boxed(inner: bytes, *before: bytes) -> bytes:
    """A JP2 file (T.800 annex I) with other boxes before its codestream."""
    return b"".join((codestream.JP2_START, b"\r\n\x87\n", *before, _box(b"jp2c", inner)))


def _box(kind: bytes, value: bytes) -> bytes:
    return struct.pack(">L4s", 8 + len(value), kind) + value


def test_a_decoy_box_hides_no_other_size(tmp_path: Path) -> None:
    sample = Sample("CR", shape=(64, 80))
    small = codecs.encoded(pixels(sample)[0], JPEG2000Lossless, bits=12)
    large = small[:8] + struct.pack(">8L", 30000, 30000, 0, 0, 30000, 30000, 0, 0) + small[40:]
    for stream, wanted in (
        (_boxed(small), True),
        (_boxed(small, _box(b"free", large)), True),
        (_boxed(large, _box(b"free", small)), False),
        (_boxed(large, _box(b"uuid", codestream.JPEG_2000_START + small[4:])), False),
    ):
        path = compressed(tmp_path / "a.dcm", sample, JPEG2000Lossless, [stream])
        if wanted:
            assert np.array_equal(files.read(path).stored, pixels(sample)[0])
        else:
            with pytest.raises(UnreadableFileError, match="compressed are 30000x30000"):
                files.read(path)


def test_a_jpeg_2000_frame_of_far_too_many_parts_is_refused(tmp_path: Path) -> None:
    sample = Sample("CR", shape=(640, 800))
    small = codecs.encoded(pixels(sample)[0], JPEG2000Lossless, bits=12)
    coding = small.find(b"\xff\x52")
    for change in (
        small[:24] + struct.pack(">2L", 1, 1) + small[32:],
        small[: coding + 10] + b"\0\0" + small[coding + 12 :],
        small[: coding + 2] + b"\0\x12\1" + small[coding + 5 : coding + 14] + b"\0" * 6 + small[coding + 14 :],
        small[: coding + 2]
        + b"\0\x12\1"
        + small[coding + 5 : coding + 6]
        + b"\xff\xff"
        + small[coding + 8 : coding + 14]
        + b"\x66" * 6
        + small[coding + 14 :],
    ):
        path = compressed(tmp_path / "a.dcm", sample, JPEG2000Lossless, [change])
        with pytest.raises(UnreadableFileError, match=r"tiles|too many parts"):
            files.read(path)


def _tiled(frame: NDArray[Any], tile: int) -> bytes:
    """A JPEG 2000 codestream without loss, put together from those of its square tiles."""
    head, body = b"", b""
    for number, (top, left) in enumerate(np.ndindex(frame.shape[0] // tile, frame.shape[1] // tile)):
        part = frame[top * tile :, left * tile :][:tile, :tile]
        one = imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(part), codecformat="J2K", bitspersample=16, resolutions=3, reversible=True
        )
        at = one.find(b"\xff\x90")
        head = head or one[:8] + struct.pack(">8L", *frame.shape[::-1], 0, 0, tile, tile, 0, 0) + one[40:at]
        body += one[at : at + 4] + struct.pack(">H", number) + one[at + 6 : -2]
    return head + body + codestream.JPEG_END


def _tile_parts(codestream: bytes) -> list[tuple[int, int]]:
    """Where each tile-part begins and ends."""
    found, at = [], codestream.find(b"\xff\x90")
    while codestream[at : at + 2] == b"\xff\x90":
        found.append((at, at + struct.unpack_from(">L", codestream, at + 6)[0]))
        at = found[-1][1]
    return found


@pytest.mark.parametrize("boxed", [False, True])
def test_a_jpeg_2000_frame_that_lacks_tiles_is_refused(tmp_path: Path, boxed: bool) -> None:
    """OpenJPEG takes them for grey, also where 9 kB claim 13000x13000 pixels."""
    sample = Sample("CR", bits=16, shape=(120, 120))
    frame = pixels(sample)[0]
    whole = _tiled(frame, 40)
    parts = _tile_parts(whole)
    assert len(parts) == 9

    def read(codestream: bytes, shape: tuple[int, int] = sample.shape) -> NDArray[Any]:
        stream = _boxed(codestream) if boxed else codestream
        return files.read(
            compressed(tmp_path / "a.dcm", replace(sample, shape=shape), JPEG2000Lossless, [stream])
        ).stored

    assert np.array_equal(read(whole), frame)
    (start, end), last = parts[4], parts[-1][0]
    open_end = whole[: last + 6] + b"\0\0\0\0" + whole[last + 10 :]
    assert np.array_equal(read(open_end), frame), "the last length may be 0"
    more = whole[: start + 10] + b"\1\2" + whole[start + 12 :]
    empty = whole[: start + 6] + struct.pack(">L", 14) + whole[start + 10 : start + 14] + whole[end:]
    again = whole[: start + 4] + b"\0\1" + whole[start + 6 :]
    longer = whole[: start + 6] + struct.pack(">L", len(whole)) + whole[start + 10 :]
    for stream in (
        whole[:start] + whole[end:],
        whole[:last] + codestream.JPEG_END,
        more,
        empty,
        again,
        longer,
        open_end[:-10],
        *(whole[: int(share * len(whole))] for share in (0.3, 0.9, 0.999)),
    ):
        with pytest.raises(UnreadableFileError, match=r"is truncated: a compressed frame (holds \d of 9|lacks)"):
            read(stream)
    huge = whole[:8] + struct.pack(">8L", 13000, 13000, 0, 0, 40, 40, 0, 0) + whole[40:]
    for stream in (huge, huge[:24] + struct.pack(">2L", 60, 60) + huge[32:]):
        with pytest.raises(UnreadableFileError, match=r"9 of \d+ tiles|tiles, far too many"):
            read(stream, (13000, 13000))


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("signed", [False, True])
def test_lossy_overshoot_saturates(tmp_path: Path, bits: int, signed: bool) -> None:
    """The codestream has 16 bits, of which the stored values use fewer: white must not become black."""
    sample = Sample("CR", bits=bits, signed=signed, shape=(64, 80))
    low, high = sample.limits
    edges = np.where((np.indices((64, 80)).sum(0) // 7) % 2, high, low).astype(sample.dtype)
    level = round(20 * np.log10(65535 / (0.05 * (high - low))))  # PSNR in dB: errors of a twentieth of the range
    stream = bytes(imagecodecs.jpeg2k_encode(edges, codecformat="J2K", level=level, bitspersample=16))
    raw = imagecodecs.jpeg2k_decode(stream)
    assert raw.min() < low or raw.max() > high, "it overshoots"
    path = compressed(tmp_path / "a.dcm", sample, JPEG2000, [stream])
    assert np.array_equal(files.read(path).stored, np.clip(raw, low, high))


def test_lossy_overshoot_of_jpeg_saturates(tmp_path: Path) -> None:
    sample = Sample("CR", bits=10, shape=(64, 80))
    edges = np.where((np.indices((64, 80)).sum(0) // 7) % 2, 1023, 0).astype(np.uint16)
    stream = bytes(imagecodecs.jpeg8_encode(edges, level=50, bitspersample=12))
    raw = imagecodecs.jpeg8_decode(stream)
    assert raw.max() > 1023
    path = compressed(tmp_path / "a.dcm", sample, JPEGExtended12Bit, [stream])
    assert np.array_equal(files.read(path).stored, raw.clip(0, 1023))


def test_near_lossless_overshoot_saturates(tmp_path: Path) -> None:
    sample = Sample("CR", bits=10, shape=(64, 80))
    noise = np.random.default_rng(0).integers(1000, 1024, (64, 80), np.uint16)
    stream = bytes(imagecodecs.jpegls_encode(noise, level=7))
    raw = imagecodecs.jpegls_decode(stream)
    assert raw.max() > 1023
    path = compressed(tmp_path / "a.dcm", sample, JPEGLSNearLossless, [stream])
    assert np.array_equal(files.read(path).stored, raw.clip(0, 1023))


@pytest.mark.parametrize("padding", [1, 15, 2000, 100_000])
@pytest.mark.parametrize("what", [b"\0", b"\xff", b"\x20"])
def test_padding_behind_the_end_is_no_matter(tmp_path: Path, padding: int, what: bytes) -> None:
    sample = Sample("CR", shape=(64, 80))
    frame = pixels(sample)[0]
    for syntax, stream in (
        (JPEGLosslessSV1, _jpeg(frame)),
        (JPEGLSLossless, codecs.encoded(frame // 8, JPEGLSLossless, bits=12)),
        (JPEG2000Lossless, codecs.encoded(frame, JPEG2000Lossless, bits=12)),
        (RLELossless, codecs.encoded(frame, RLELossless, bits=12)),
    ):
        path = compressed(tmp_path / "a.dcm", sample, syntax, [stream + padding * what])
        assert np.array_equal(files.read(path).stored, frame // 8 if syntax == JPEGLSLossless else frame)


def test_a_flat_or_tiny_frame_of_jpeg_is_no_damage(tmp_path: Path) -> None:
    for shape in ((1, 1), (1, 9), (9, 1), (5, 5), (8, 8), (64, 80), (300, 20)):
        for value in (0, 77, 255):
            frame = np.full(shape, value, np.uint8)
            sample = Sample("CR", bits=8, allocated=8, shape=shape)
            for syntax, lossless in ((JPEGLosslessSV1, True), (JPEGBaseline8Bit, False)):
                path = compressed(tmp_path / "a.dcm", sample, syntax, [_jpeg(frame, 8, lossless=lossless)])
                assert np.array_equal(files.read(path).stored, frame)


def test_a_lost_sector_inside_a_jpeg_frame_is_refused(tmp_path: Path) -> None:
    """The codes of other bytes are of other lengths: the data end too early or late, of which libjpeg only warns."""
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[:200, :300]
    smooth = (2000 + 1500 * np.sin(rows / 9) * np.cos(columns / 7) + random.normal(0, 20, (200, 300))).astype(np.uint16)
    for syntax, stream in ((JPEGLosslessSV1, _jpeg(smooth)), (JPEGExtended12Bit, _jpeg(smooth, lossless=False))):
        refused = 0
        for _ in range(40):
            damaged = bytearray(stream)
            at = int(random.integers(len(stream) // 3, 2 * len(stream) // 3))
            damaged[at : at + 512] = random.choice([0, 0x11, 0xA7], 512).astype(np.uint8).tobytes()
            try:
                files.read(compressed(tmp_path / "a.dcm", Sample("CR", shape=(200, 300)), syntax, [bytes(damaged)]))
            except UnreadableFileError:
                refused += 1
        assert refused > 30, syntax


def _encapsulated(path: Path, sample: Sample, table: bytes, fragments: list[bytes], tail: bytes = b"") -> Path:
    """Pixel Data of any structure, in JPEG lossless."""
    whole = compressed(path, sample, JPEGLosslessSV1, [b"\xff\xd8\xff\xd9"]).read_bytes()
    at = whole.find(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OB")) + 12
    items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in (table, *fragments))
    path.write_bytes(whole[:at] + items + tail)
    return path


DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def _padded(stream: bytes) -> bytes:
    return stream + b"\0" * (len(stream) % 2)


def _longs(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}L", *numbers)


@pytest.mark.parametrize("frames", [1, 3])
def test_frames_are_found_whatever_the_table_says(tmp_path: Path, frames: int) -> None:
    sample = Sample("XA", frames=frames, shape=(64, 80))
    streams = [_padded(_jpeg(frame)) for frame in pixels(sample)]
    starts = np.cumsum([0, *(8 + len(one) for one in streams[:-1])])
    halves = [half for one in streams for half in (one[:1000], one[1000:])]
    half_starts = np.cumsum([0, *(16 + len(one) for one in streams[:-1])])
    for table, fragments, tail in (
        (b"", streams, DELIMITER),
        (_longs(*starts), streams, DELIMITER),
        (_longs(*starts + 1200), streams, DELIMITER),
        (_longs(*[0] * frames), streams, DELIMITER),
        (_longs(0), streams, DELIMITER),
        (_longs(*range(frames)), streams, DELIMITER),
        (b"", streams, b""),
        (b"", streams, struct.pack("<HH2sHL", 0x7FE1, 0x1001, b"OB", 0, 0)),
        (b"", [*streams, b""], DELIMITER),
        (b"", [b"", *streams], DELIMITER),
        (b"", halves, DELIMITER),
        (b"", [*halves, b""], DELIMITER),
        (_longs(*half_starts), halves, DELIMITER),
        (_longs(*half_starts + 5000), halves, DELIMITER),
        (_longs(*[0] * frames), halves, DELIMITER),
        (_longs(*starts), halves, DELIMITER),
    ):
        path = _encapsulated(tmp_path / "a.dcm", sample, table, fragments, tail)
        read = [frame.stored for frame in files.read_frames(path)]
        assert np.array_equal(np.stack(read), pixels(sample)), (table, len(fragments), tail)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_an_extended_offset_table_changes_no_pixel(tmp_path: Path, twice: bool, split: bool) -> None:
    sample = Sample("XA", frames=3, shape=(64, 80))
    streams = [_padded(_jpeg(frame)) for frame in pixels(sample)]
    fragments = [half for one in streams for half in (one[:1000], one[1000:])] if split else streams
    starts = np.cumsum([0, *((16 if split else 8) + len(one) for one in streams[:-1])])
    path = _encapsulated(tmp_path / "a.dcm", sample, b"", fragments, DELIMITER)
    whole = path.read_bytes()
    at = whole.find(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OB"))
    offsets = struct.pack("<3Q", *([0, 0, 0] if twice else starts))
    lengths = struct.pack("<3Q", *(len(one) + 8 * split for one in streams))
    tables = b"".join(
        struct.pack("<HH2sHL", 0x7FE0, element, b"OV", 0, 24) + value for element, value in ((1, offsets), (2, lengths))
    )
    path.write_bytes(whole[:at] + tables + whole[at:])
    read = [frame.stored for frame in files.read_frames(path)]
    assert np.array_equal(np.stack(read), pixels(sample))


def test_fragments_that_make_another_number_of_frames_are_refused(tmp_path: Path) -> None:
    sample = Sample("XA", frames=3, shape=(64, 80))
    streams = [_padded(_jpeg(frame)) for frame in pixels(sample)]
    for number, fragments in ((2, streams[:2]), (4, [*streams, streams[0]])):
        path = _encapsulated(tmp_path / "a.dcm", sample, b"", fragments, DELIMITER)
        with pytest.raises(UnreadableFileError, match=f"holds {number} frames where its head says 3"):
            list(files.read_frames(path))
    path = _encapsulated(tmp_path / "a.dcm", replace(sample, frames=1), b"", [streams[0] + streams[1]], DELIMITER)
    with pytest.raises(UnreadableFileError, match="two images"):
        files.read(path)
    whole = _encapsulated(tmp_path / "a.dcm", sample, b"", streams, DELIMITER).read_bytes()
    for cut in (10, 1000, len(streams[2]) + 20, len(streams[2]) + len(streams[1])):
        (tmp_path / "a.dcm").write_bytes(whole[:-cut])
        with pytest.raises(UnreadableFileError, match=r"truncated|holds 2 frames"):
            list(files.read_frames(tmp_path / "a.dcm"))


@pytest.mark.parametrize("compression", ["rle", "jpegls", "j2k"])
@pytest.mark.parametrize("signed", [False, True])
def test_other_readers_open_8_bits_in_words_of_16(tmp_path: Path, compression: files.Compression, signed: bool) -> None:
    sample = Sample("CR", bits=8, allocated=16, signed=signed, shape=(61, 77))
    radiograph = files.read(write(tmp_path / "a.dcm", sample))
    files.write(radiograph, tmp_path / "b.dcm", derivation=DERIVATION, compression=compression)
    assert np.array_equal(files.read(tmp_path / "b.dcm").stored, pixels(sample)[0])
    assert np.array_equal(pydicom.dcmread(tmp_path / "b.dcm").pixel_array, pixels(sample)[0])
    program = shutil.which({"rle": "dcmdrle", "jpegls": "dcmdjpls"}.get(compression, ""))
    if program is None:
        pytest.skip("DCMTK (Debian package dcmtk) does not decode it, or is not installed")
    subprocess.run([program, tmp_path / "b.dcm", tmp_path / "c.dcm"], check=True)
    theirs = pydicom.dcmread(tmp_path / "c.dcm")
    assert np.array_equal(theirs.pixel_array, pixels(sample)[0])


def test_runs_that_look_like_the_start_of_jpeg_2000_are_runs(tmp_path: Path) -> None:
    """The bytes FF 4F FF 51 mean two 4F and two 51 in RLE: noisy images are full of such."""
    sample = Sample("CR", bits=8, allocated=8, shape=(24, 20))
    stored = np.tile(np.array([0x4F, 0x4F, 0x51, 0x51], np.uint8), 120).reshape(1, 24, 20)
    path = write(tmp_path / "a.dcm", replace(sample, syntax=RLELossless), stored)
    assert codestream.JPEG_2000_START in path.read_bytes()
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


def _private_item(syntax: str) -> bytes:
    """An item with one private element among public ones, as `syntax` encodes it."""
    order, implicit = ">" if syntax == ExplicitVRBigEndian else "<", syntax == ImplicitVRLittleEndian
    content = b""
    for tag, vr, value in (
        (0x00080100, b"SH", b"T1"),
        (0x00110010, b"LO", b"ACME"),
        (0x00111001, b"LO", b"hidden"),
        (0x00280010, b"US", struct.pack(f"{order}H", 77)),
    ):
        length = struct.pack(f"{order}L", len(value)) if implicit else vr + struct.pack(f"{order}H", len(value))
        content += struct.pack(f"{order}HH", *divmod(tag, 1 << 16)) + length + value
    return struct.pack(f"{order}HHL", 0xFFFE, 0xE000, len(content)) + content


@pytest.mark.filterwarnings("ignore:VR lookup failed")
@pytest.mark.parametrize("tag", [0x00189999, 0x00081032], ids=["unknown", "known"])
@pytest.mark.parametrize("inner", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_private_elements_in_unknown_ones_are_dropped(tmp_path: Path, syntax: str, inner: str, tag: int) -> None:
    if syntax == ImplicitVRLittleEndian and tag == 0x00081032:
        inner = syntax  # has no UN: what is known to be a sequence is encoded as such
    ds = dataset(Sample("CR"))
    del ds[0x00091001:0x00091003], ds[0x00090010]  # so that only the item has private elements
    ds.add_new(0x00187777, "UN", _private_item(inner))
    source = save(tmp_path / "a.dcm", ds, syntax)
    order = ">HH" if syntax == ExplicitVRBigEndian else "<HH"
    renamed = (struct.pack(order, *divmod(one, 1 << 16)) for one in (0x00187777, tag))
    source.write_bytes(source.read_bytes().replace(*renamed))
    files.write(files.read(source), tmp_path / "keep.dcm", derivation=DERIVATION)
    files.write(files.read(source), tmp_path / "drop.dcm", derivation=DERIVATION, private="drop")
    assert b"hidden" in (tmp_path / "keep.dcm").read_bytes()
    assert b"hidden" not in (tmp_path / "drop.dcm").read_bytes()
    (item,) = pydicom.dcmread(tmp_path / "drop.dcm")[tag].value
    assert (item.CodeValue, item.Rows, len(item)) == ("T1", 77, 2)
    if tag == 0x00081032 and syntax != ExplicitVRLittleEndian:
        assert pydicom.dcmread(tmp_path / "keep.dcm")[tag].value[0].Rows == 77


@pytest.mark.parametrize("compression", ["rle", "jpegls", "j2k"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_frames_of_nothing_but_noise_may_grow(tmp_path: Path, bits: int, compression: files.Compression) -> None:
    sample = Sample("CR", bits=bits, allocated=8 if bits == 8 else 16, shape=(200, 300))
    radiograph = files.read(write(tmp_path / "a.dcm", sample))
    files.write(radiograph, tmp_path / "b.dcm", derivation=DERIVATION, compression=compression)
    assert np.array_equal(files.read(tmp_path / "b.dcm").stored, radiograph.stored)
