"""Reading: what is in the file comes out, and what is no radiograph is refused in words."""

import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

import xray_denoise as xd
from tests.synthetic_dicom import (
    PATIENT,
    SYNTAXES,
    Sample,
    dataset,
    embed_overlay,
    pixels,
    samples,
    save,
    write,
)
from xray_denoise import files
from xray_denoise.errors import UnreadableFileError, XrayDenoiseError
from xray_denoise.files.dicom import guard


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dicom")


@given(samples(frames=1), st.integers(0, 1000))
def test_stored_values_and_layout_are_those_of_the_file(folder: Path, sample: Sample, seed: int) -> None:
    stored = pixels(sample, seed)
    radiograph = files.read(write(folder / "any.dcm", sample, stored))
    assert radiograph.stored.dtype == sample.dtype
    assert np.array_equal(radiograph.stored, stored[0])
    assert (radiograph.bits, radiograph.signed, radiograph.inverted) == (
        sample.bits,
        sample.signed,
        sample.inverted,
    )
    ends = [end for end in (sample.padding, sample.padding_limit) if end is not None]
    assert radiograph.padding_range == ((min(ends), max(ends)) if ends else None)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_frames_come_one_by_one_and_share_one_header(tmp_path: Path, syntax: str) -> None:
    sample = Sample("XA", frames=3, syntax=syntax)
    path = write(tmp_path / "cine.dcm", sample)
    frames = list(files.read_frames(path))
    assert np.array_equal(np.stack([frame.stored for frame in frames]), pixels(sample))
    assert len({id(frame.header) for frame in frames}) == 1


@pytest.mark.parametrize("vr", ["OB", "OW"])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("shape", [(24, 20), (13, 21), (1, 1)])
def test_big_endian_bytes_are_swapped_in_words_and_nowhere_else(
    tmp_path: Path, shape: tuple[int, int], frames: int, vr: str
) -> None:
    sample = Sample("XA", bits=8, allocated=8, frames=frames, shape=shape, syntax=ExplicitVRBigEndian)
    ds = dataset(sample)
    ds["PixelData"].VR = vr
    path = save(tmp_path / "a.dcm", ds, sample.syntax)
    read = list(files.read_frames(path))
    assert np.array_equal(np.stack([frame.stored for frame in read]), pixels(sample))
    assert np.array_equal(pydicom.dcmread(path).pixel_array.reshape(pixels(sample).shape), pixels(sample))
    files.write(read, tmp_path / "b.dcm", derivation=files.Derivation("test"))
    derived = pydicom.dcmread(tmp_path / "b.dcm")
    assert np.array_equal(derived.pixel_array.reshape(pixels(sample).shape), pixels(sample))


def test_the_header_of_a_large_file_does_not_hold_its_pixels(tmp_path: Path) -> None:
    sample = Sample("XA", frames=3, shape=(500, 500))
    frames = files.read_frames(write(tmp_path / "cine.dcm", sample))
    header = next(frames).header
    assert isinstance(header, Dataset)
    assert "PixelData" not in header


def test_read_refuses_a_file_of_several_images(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="more than one image"):
        files.read(write(tmp_path / "cine.dcm", Sample("RF", frames=2)))


def test_the_value_range_is_the_robust_range_without_padding_or_what_the_user_says(tmp_path: Path) -> None:
    stored = np.arange(400, 904).reshape(1, 24, 21)
    stored[0, :5, :4] = 4000
    path = write(tmp_path / "a.dcm", Sample(padding=4000), stored.astype("u2"))
    assert files.read(path).value_range == (404, 903)
    assert files.read(path, value_range=(10, 20)).value_range == (10, 20)


@pytest.mark.parametrize(("signed", "wrong", "right"), [(True, 63536, -2000), (False, -2000, 63536)])
def test_a_padding_value_of_the_wrong_sign_is_understood(tmp_path: Path, signed: bool, wrong: int, right: int) -> None:
    ds = dataset(Sample(bits=16, signed=signed))
    ds.add_new(0x00280120, "US" if signed else "SS", wrong)
    assert files.read(save(tmp_path / "a.dcm", ds)).padding_range == (right, right)


def test_overlay_bits_do_not_reach_the_pixels_and_survive_in_the_header(tmp_path: Path) -> None:
    sample = Sample(bits=12)
    mask = np.random.default_rng(0).random(sample.shape) < 0.5
    ds = dataset(sample)
    embed_overlay(ds, mask, bit=14)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        radiograph = files.read(save(tmp_path / "a.dcm", ds, syntax))
        assert np.array_equal(radiograph.stored, pixels(sample)[0])
        assert isinstance(radiograph.header, Dataset)
        assert np.array_equal(radiograph.header.overlay_array(0x6000).astype(bool), mask)


def _colour(ds: Dataset) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0


def _palette(ds: Dataset) -> None:
    ds.PhotometricInterpretation = "PALETTE COLOR"


def _float(ds: Dataset) -> None:
    del ds.PixelData
    ds.FloatPixelData = b"\0" * 24 * 21 * 4


def _without_pixels(ds: Dataset) -> None:
    del ds.PixelData


def _enhanced(ds: Dataset) -> None:
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1.1"


def _ct(ds: Dataset) -> None:
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


def _truncated(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[:500]


def _high_bit(ds: Dataset) -> None:
    ds.HighBit = 15


def _four_bits(ds: Dataset) -> None:
    ds.BitsStored, ds.HighBit = 4, 3


def _no_instance(ds: Dataset) -> None:
    ds.SOPInstanceUID = ""


def _no_rows(ds: Dataset) -> None:
    ds.Rows = 0


def _rows_missing(ds: Dataset) -> None:
    del ds.Rows


def _bad_overlay(ds: Dataset) -> None:
    embed_overlay(ds, np.zeros((24, 21), bool), bit=14)
    ds[0x60000010].value = 12


def _overlay_in_frames(ds: Dataset) -> None:
    embed_overlay(ds, np.zeros((24, 21), bool), bit=14)
    ds.NumberOfFrames = "2"
    ds.PixelData += ds.PixelData


def _wide_words(ds: Dataset) -> None:
    ds.BitsAllocated, ds.PixelData = 32, ds.PixelData * 2


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_colour, r"colour image \(RGB\)"),
        (_palette, "PALETTE COLOR"),
        (_float, "floating-point pixels"),
        (_without_pixels, "no pixels"),
        (_enhanced, "enhanced multi-frame"),
        (_ct, r"not a radiograph \(CT Image Storage\)"),
        (_truncated, "truncated: 500 of 1008 bytes"),
        (_high_bit, "highest bit 15"),
        (_four_bits, "stores 4 bits"),
        (_no_instance, "no SOP Instance UID"),
        (_no_rows, "0x21 pixels"),
        (_rows_missing, "no Rows"),
        (_bad_overlay, "overlay in bit 14"),
        (_overlay_in_frames, "overlay in bit 14"),
        (_wide_words, "words of 32"),
    ],
)
def test_what_is_no_grey_radiograph_is_refused(tmp_path: Path, spoil: Callable[[Dataset], None], reason: str) -> None:
    ds = dataset(Sample())
    spoil(ds)
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    with pytest.raises(UnreadableFileError, match=reason) as caught:
        files.read(save(tmp_path / "bad.dcm", ds) if ds.SOPInstanceUID else _save_nameless(tmp_path, ds))
    assert caught.value.hint
    assert PATIENT not in str(caught.value)


def _save_nameless(tmp_path: Path, ds: Dataset) -> Path:
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.preamble = b"\0" * 128
    ds.save_as(tmp_path / "nameless.dcm")
    return tmp_path / "nameless.dcm"


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.dcm", Sample("XA", frames=3, shape=(500, 500))).read_bytes()
    path = tmp_path / "cut.dcm"
    for length in (140, 300, 900, len(whole) - 200_000, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableFileError):
            list(files.read_frames(path))


@pytest.mark.parametrize("said", ["1", "3"])
def test_a_wrong_number_of_frames_is_refused(tmp_path: Path, said: str) -> None:
    ds = pydicom.dcmread(write(tmp_path / "a.dcm", Sample("XA", frames=2, syntax=RLELossless)))
    ds.NumberOfFrames = said
    ds.save_as(tmp_path / "b.dcm")
    with pytest.raises(UnreadableFileError, match=f"holds 2 frames where its head says {said}"):
        list(files.read_frames(tmp_path / "b.dcm"))


def test_uncompressed_frames_that_the_head_does_not_know_are_not_lost(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="holds 3 frames where its head says 1"):
        files.read(write(tmp_path / "a.dcm", Sample("XA", frames=3), NumberOfFrames=None))
    padded = dataset(Sample("XA"))
    padded.PixelData += b"\0" * 100
    assert np.array_equal(files.read(save(tmp_path / "b.dcm", padded)).stored, pixels(Sample("XA"))[0])


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("syntax", SYNTAXES[:-1])
def test_the_byte_of_padding_is_no_frame_of_one_pixel(tmp_path: Path, syntax: str, frames: int) -> None:
    sample = Sample("XA", bits=8, allocated=8, frames=frames, shape=(1, 1), syntax=syntax)
    read = [frame.stored for frame in files.read_frames(write(tmp_path / "a.dcm", sample))]
    assert np.array_equal(np.stack(read), pixels(sample))
    with pytest.raises(UnreadableFileError, match=f"where its head says {frames}"):
        list(files.read_frames(write(tmp_path / "b.dcm", sample, pixels(replace(sample, frames=frames + 2)))))


@pytest.mark.parametrize("shape", [(24, 21), (900, 900)])
def test_compressed_pixels_in_an_uncompressed_syntax_are_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    ds = dataset(Sample("CR", shape=shape))
    whole = save(tmp_path / "a.dcm", ds).read_bytes()
    fragments = pydicom.encaps.encapsulate([ds.PixelData]) + bytes.fromhex("feffdde000000000")
    head = whole[: whole.find(b"\xe0\x7f\x10\0OW") + 8]
    (tmp_path / "a.dcm").write_bytes(head + b"\xff\xff\xff\xff" + fragments)
    with pytest.raises(UnreadableFileError, match="compressed pixels"):
        files.read(tmp_path / "a.dcm")


def test_a_syntax_without_decoder_is_named(tmp_path: Path) -> None:
    ds = dataset(Sample())
    ds.PixelData = pydicom.encaps.encapsulate([b"\0\0\1\xb3"])
    ds["PixelData"].VR = "OB"
    path = save(tmp_path / "a.dcm", ds, pydicom.uid.MPEG2MPML)
    with pytest.raises(UnreadableFileError, match=r"MPEG2.*\(1\.2\.840\.10008\.1\.2\.4\.100\)") as caught:
        files.read(path)
    assert "Explicit VR Little Endian" in caught.value.hint


def _renamed(path: Path, syntax: str, said: str | None) -> Path:
    """The same file, whose head says another transfer syntax, or none."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[140:144], "little")
    meta = pydicom.filereader.read_file_meta_info(path)
    del meta.FileMetaInformationGroupLength
    if said is None:
        del meta.TransferSyntaxUID
    else:
        meta.TransferSyntaxUID = pydicom.uid.UID(said)
    stream = pydicom.filebase.DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    pydicom.filewriter.write_dataset(stream, meta)
    head = struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(stream.getvalue()))
    path.write_bytes(whole[:132] + head + stream.getvalue() + whole[144 + length :])
    return path


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(("bits", "allocated"), [(8, 8), (8, 16), (12, 16), (16, 16)])
@pytest.mark.parametrize("said", [None, "", ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_first_element_shows_the_encoding_whatever_the_head_says(
    tmp_path: Path, syntax: str, said: str | None, bits: int, allocated: int, frames: int
) -> None:
    sample = Sample("XA", bits=bits, allocated=allocated, signed=bits == 12, frames=frames, syntax=syntax)
    path = _renamed(write(tmp_path / "a.dcm", sample), syntax, said)
    read = list(files.read_frames(path))
    assert np.array_equal(np.stack([frame.stored for frame in read]), pixels(sample))
    files.write(read, tmp_path / "b.dcm", derivation=files.Derivation("test"))
    derived = pydicom.dcmread(tmp_path / "b.dcm")
    assert np.array_equal(derived.pixel_array.reshape(pixels(sample).shape), pixels(sample))
    assert derived.XRayTubeCurrent == 10
    assert derived.FrameIncrementPointer == 0x00181063 if frames > 1 else True


def test_the_pixels_are_those_of_pydicom_where_the_head_is_wrong(tmp_path: Path) -> None:
    path = _renamed(write(tmp_path / "a.dcm", Sample("CR")), ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    with pytest.warns(UserWarning, match="Expected implicit VR"):
        theirs = pydicom.dcmread(path).pixel_array
    assert np.array_equal(files.read(path).stored, theirs)


@pytest.mark.parametrize("bit", [0, 1, 11, 16, 20])
def test_the_head_of_an_overlay_that_is_gone_is_no_overlay(tmp_path: Path, bit: int) -> None:
    ds = dataset(Sample("CR"))
    embed_overlay(ds, np.zeros((24, 21), bool), bit=15)
    ds[0x60000102].value = bit
    radiograph = files.read(save(tmp_path / "a.dcm", ds))
    assert np.array_equal(radiograph.stored, pixels(Sample())[0])
    files.write(radiograph, tmp_path / "b.dcm", derivation=files.Derivation("test"))
    assert pydicom.dcmread(tmp_path / "b.dcm")[0x60000102].value == bit


@pytest.mark.parametrize("value", [b"A1", b"1.5 ", b"1\\2 ", b"99999999999 ", b"-5", b"    "])
def test_a_series_number_that_is_none_costs_the_number_only(tmp_path: Path, value: bytes) -> None:
    source = write(tmp_path / "a.dcm", Sample("CR"))
    element = struct.pack("<HH2sH", 0x0020, 0x0011, b"IS", 2) + b"3 "
    assert element in source.read_bytes()
    replaced = struct.pack("<HH2sH", 0x0020, 0x0011, b"IS", len(value)) + value
    source.write_bytes(source.read_bytes().replace(element, replaced))
    files.write(files.read(source), tmp_path / "b.dcm", derivation=files.Derivation("test"))
    derived = pydicom.dcmread(tmp_path / "b.dcm")
    assert derived.SeriesNumber in (995, 1000, 2**31 - 1)
    assert np.array_equal(derived.pixel_array, pixels(Sample())[0])


def test_missing_samples_per_pixel_are_one(tmp_path: Path) -> None:
    radiograph = files.read(write(tmp_path / "a.dcm", Sample("CR"), SamplesPerPixel=None))
    assert np.array_equal(radiograph.stored, pixels(Sample())[0])
    assert any("Samples per Pixel" in caveat for caveat in files.caveats(radiograph))
    files.write(radiograph, tmp_path / "b.dcm", derivation=files.Derivation("test"))
    assert pydicom.dcmread(tmp_path / "b.dcm").SamplesPerPixel == 1


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"])
def test_an_attribute_that_is_missing_is_named(tmp_path: Path, keyword: str) -> None:
    path = write(tmp_path / "a.dcm", Sample("CR"), **{keyword: None})
    name = pydicom.datadict.dictionary_description(keyword)
    with pytest.raises(UnreadableFileError, match=rf"{name} \(0028,01?[0-9]{{2,4}}\)"):
        files.read(path)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("with_meta", [False, True])
def test_a_file_without_preamble_is_read(tmp_path: Path, syntax: str, with_meta: bool) -> None:
    whole = write(tmp_path / "whole.dcm", Sample("CR", syntax=syntax)).read_bytes()
    meta_length = 12 + int.from_bytes(whole[140:144], "little")
    bare = tmp_path / "bare"
    bare.write_bytes(whole[132:] if with_meta else whole[132 + meta_length :])
    assert files.sniff(bare) == "dicom"
    assert files.is_radiograph(bare)
    radiograph = files.read(bare)
    assert np.array_equal(radiograph.stored, pixels(Sample())[0])
    files.write(radiograph, tmp_path / "b.dcm", derivation=files.Derivation("test"))
    assert np.array_equal(files.read(tmp_path / "b.dcm").stored, pixels(Sample())[0])
    assert pydicom.dcmread(tmp_path / "b.dcm").PatientID == "PID-4711"


def test_a_report_without_preamble_is_passed_over(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.dcm", Sample("CR"), SOPClassUID=pydicom.uid.BasicTextSRStorage).read_bytes()
    (tmp_path / "bare").write_bytes(whole[132:])
    assert not files.is_radiograph(tmp_path / "bare")


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.dcm", Sample("CR"), Rows=60000, Columns=60000)
    with pytest.raises(UnreadableFileError, match="more than 178956970"):
        files.read(path)
    path = write(tmp_path / "b.dcm", Sample("CR", shape=(512, 512), syntax=DeflatedExplicitVRLittleEndian))
    assert files.read(path).stored.shape == (512, 512)
    blank = np.zeros((1, 1024, 1024), np.uint16)
    long = write(tmp_path / "c.dcm", Sample("CR", shape=(1024, 1024), syntax=DeflatedExplicitVRLittleEndian), blank)
    long.write_bytes(long.read_bytes() + b"\0")
    assert files.read(long).stored.shape == (1024, 1024), "a byte of padding behind the deflated data"
    monkeypatch.setattr(guard, "MOST_INFLATED_HEAD", 100_000)
    assert files.read(path).stored.shape == (512, 512), "the pixels need more"
    with pytest.raises(UnreadableFileError, match="far more than its pixels need"):
        files.read(write(tmp_path / "d.dcm", Sample("CR", syntax=DeflatedExplicitVRLittleEndian), blank, Rows=9))
    monkeypatch.setattr(guard, "MOST_INFLATED_BYTES", 500_000)
    with pytest.raises(UnreadableFileError, match="inflates to more than 0 MiB"):
        files.read(path)


SEQUENCE = struct.pack("<HH2sHL", 0x0008, 0x1032, b"SQ", 0, 0xFFFFFFFF)
IMPLICIT_SEQUENCE = struct.pack("<HHL", 0x0008, 0x1032, 0xFFFFFFFF)
ENDLESS = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 200_000


@pytest.mark.parametrize(
    ("syntax", "opening"),
    [
        (ExplicitVRLittleEndian, SEQUENCE),
        (ImplicitVRLittleEndian, IMPLICIT_SEQUENCE),
        (ImplicitVRLittleEndian, struct.pack("<HHL", 0x0008, 0x1032, len(ENDLESS))),
        (ExplicitVRLittleEndian, struct.pack("<HH2sHL", 0x0008, 0x1032, b"SQ", 0, len(ENDLESS))),
        (ExplicitVRLittleEndian, struct.pack("<HH2sHL", 0x0008, 0x1032, b"UN", 0, 0xFFFFFFFF)),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_sequences_of_very_many_items_are_refused_at_once(
    tmp_path: Path, syntax: str, opening: bytes, bare: bool
) -> None:
    whole = write(tmp_path / "a.dcm", Sample("CR", syntax=syntax)).read_bytes()
    at = whole.find(struct.pack("<HH", 0x0008, 0x103E))
    start = 132 + 12 + int.from_bytes(whole[140:144], "little") if bare else 0
    (tmp_path / "a.dcm").write_bytes(whole[start:at] + opening + ENDLESS + whole[at:])
    begun = time.process_time()
    with pytest.raises(UnreadableFileError, match="far more elements"):
        files.read(tmp_path / "a.dcm")
    assert files.is_radiograph(tmp_path / "a.dcm")
    assert time.process_time() - begun < 5


def _empty_items(count: int) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, 0) * count


def _icon(dataset_bytes: bytes) -> bytes:
    """An Icon Image Sequence whose item holds pixels first."""
    pixels = struct.pack("<HH2sHLHHHH", 0x7FE0, 0x0010, b"OW", 0, 8, 1, 2, 3, 4)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + pixels + dataset_bytes
    return struct.pack("<HH2sHL", 0x0088, 0x0200, b"SQ", 0, 0xFFFFFFFF) + item


SECRET = struct.pack("<HH2sHL", 0x0099, 0x1010, b"SQ", 0, 0xFFFFFFFF)
KNOWN_LENGTH = struct.pack("<HH2sHL", 0x0088, 0x0200, b"SQ", 0, 8 * 400_000)


@pytest.mark.parametrize(
    ("flood", "before"),
    [
        (_icon(SECRET + _empty_items(400_000)), (0x7FE0, 0x0010)),
        (KNOWN_LENGTH + _empty_items(400_000), (0x7FE0, 0x0010)),
        (struct.pack("<HHL", 0, 0, 0) * 400_000, (0x0008, 0x0005)),
        (
            struct.pack("<HHL", 0, 0, 0) + struct.pack("<HH2sH", 8, 8, b"CS", 0) * 400_000,
            (0x0008, 0x0005),
        ),
        (struct.pack("<HH2sH", 8, 8, b"CS", 0) * 400_000, None),
        (SECRET + _empty_items(400_000), None),
        (b"\0" * 3_200_000, None),
    ],
    ids=["icon", "known length", "group 0", "behind it", "behind the pixels", "items behind the pixels", "zeros"],
)
def test_elements_are_counted_wherever_they_stand(tmp_path: Path, flood: bytes, before: tuple[int, int] | None) -> None:
    whole = write(tmp_path / "a.dcm", Sample("CR")).read_bytes()
    at = len(whole) if before is None else whole.find(struct.pack("<HH", *before), 132)
    (tmp_path / "a.dcm").write_bytes(whole[:at] + flood + whole[at:])
    begun = time.process_time()
    with pytest.raises(UnreadableFileError, match="far more elements"):
        files.read(tmp_path / "a.dcm")
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("nested", [False, True])
def test_a_character_set_of_thousands_of_names_is_refused(tmp_path: Path, nested: bool) -> None:
    names = struct.pack("<HH2sH", 0x0008, 0x0005, b"CS", 0xFFFE) + b"A\\" * 0x7FFF
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(names)) + names
    flood = struct.pack("<HH2sHL", 0x0088, 0x0200, b"SQ", 0, 100 * len(item)) + item * 100 if nested else names
    whole = write(tmp_path / "a.dcm", Sample("CR")).read_bytes()
    at = whole.find(struct.pack("<HH", 0x7FE0, 0x0010) if nested else struct.pack("<HH2s", 0x0008, 0x0005, b"CS"))
    (tmp_path / "a.dcm").write_bytes(whole[:at] + flood + whole[at:])
    begun = time.process_time()
    if nested:
        files.read(tmp_path / "a.dcm")  # nobody looks into it
    else:
        with pytest.raises(UnreadableFileError):
            files.read(tmp_path / "a.dcm")
    assert time.process_time() - begun < 5


def test_the_fragments_of_an_icon_are_no_elements(tmp_path: Path) -> None:
    """A compressed value within a sequence, whose bytes look like many empty elements."""
    ds = dataset(Sample("CR"))
    icon = Dataset()
    icon.add_new(0x7FE00010, "OB", pydicom.encaps.encapsulate([struct.pack("<HH2sH", 8, 8, b"CS", 0) * 150_000]))
    icon["PixelData"].is_undefined_length = True
    ds.private_block(0x0009, "ACME DEVICE").add_new(0x07, "SQ", [icon])
    other = Dataset()
    other.add_new(0x00091008, "OB", icon.PixelData)
    other[0x00091008].is_undefined_length = True
    ds.private_block(0x0009, "ACME DEVICE").add_new(0x08, "SQ", [other])
    assert np.array_equal(files.read(save(tmp_path / "a.dcm", ds)).stored, pixels(Sample())[0])


def test_the_private_objects_of_a_manufacturer_are_passed_over(tmp_path: Path) -> None:
    private = write(tmp_path / "a.dcm", Sample("CR"), SOPClassUID="1.3.12.2.1107.5.9.1")
    assert not files.is_radiograph(private)
    assert files.is_radiograph(write(tmp_path / "b.dcm", Sample("CR"), SOPClassUID="1.2.840.10008.5.1.4.1.1.999"))


@pytest.mark.parametrize("keyword", ["SOPClassUID", "PhotometricInterpretation"])
def test_no_value_of_a_damaged_file_is_told(tmp_path: Path, keyword: str) -> None:
    """A wrong length may have moved anything into the place of what is wrong."""
    whole = write(tmp_path / "b.dcm", Sample("CR")).read_bytes()
    value = str(pydicom.dcmread(tmp_path / "b.dcm")[keyword].value).encode()
    path = tmp_path / "a.dcm"
    path.write_bytes(whole.replace(value, b"DOE^JANE".ljust(len(value))))
    with pytest.raises(UnreadableFileError) as caught:
        files.read(path)
    assert "DOE" not in f"{caught.value} {caught.value.hint}"
    path.write_bytes(whole.replace(b"1.2.840.10008.1.2.1\0", b"DOE^JANE            ", 1))
    with pytest.raises(UnreadableFileError) as caught:
        files.read(path)
    assert "DOE" not in f"{caught.value} {caught.value.hint}"


def test_an_unknown_syntax_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", dataset(Sample()), ExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0", 1))
    with pytest.raises(UnreadableFileError, match=r"1\.2\.840\.10008\.1\.2\.9"):
        files.read(path)


def _bundled() -> list[Any]:
    root = Path(pydicom.data.__file__).parent
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc")]
    return [pytest.param(path, id=str(path.relative_to(root))) for path in paths]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", _bundled())
def test_each_file_of_pydicom_is_read_and_derived_or_refused_in_words(tmp_path: Path, path: Path) -> None:
    files.is_radiograph(path)
    try:
        frames = list(files.read_frames(path))
        files.write(frames, tmp_path / "derived.dcm", derivation=files.Derivation("test"))
    except XrayDenoiseError as error:
        frames, refusal = [], error.hint
    else:
        refusal = ""
    if refusal:
        return
    again = list(files.read_frames(tmp_path / "derived.dcm"))
    assert frames
    assert all(np.array_equal(one.stored, other.stored) for one, other in zip(frames, again, strict=True))


@pytest.mark.parametrize("caveat", ["BurnedInAnnotation", "LossyImageCompression"])
def test_caveats_are_told(tmp_path: Path, caveat: str) -> None:
    assert files.caveats(files.read(write(tmp_path / "a.dcm", Sample()))) == ()
    value = {"BurnedInAnnotation": "YES", "LossyImageCompression": "01"}[caveat]
    assert len(files.caveats(files.read(write(tmp_path / "b.dcm", Sample(), **{caveat: value})))) == 1


@pytest.mark.parametrize("keyword", ["RescaleIntercept", "RescaleSlope", "WindowCenter", "BurnedInAnnotation"])
def test_damaged_values_cost_the_notes_and_no_other_file(tmp_path: Path, keyword: str) -> None:
    """A result of stored values is written by then, so an error would end the whole batch."""
    ds = dataset(Sample("DX"))
    setattr(ds, keyword, "7" * 8)
    data = save(tmp_path / "plain.dcm", ds).read_bytes()
    value = b"\xff" * 8 if keyword != "BurnedInAnnotation" else b"\\" * 8
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(data.replace(b"7" * 8, value))
    write(tmp_path / "in" / "b.dcm", Sample("DX"))
    for render in ("stored", "display"):
        outcomes = list(
            xd.denoise_files(tmp_path / "in", tmp_path / render, model="noisy", file_format="png", render=render)
        )
        assert outcomes[1].status == "written"
        if outcomes[0].status == "failed":
            assert render == "display"
            assert "damaged" in outcomes[0].error
    (notes,) = (one.notes for one in xd.denoise_files(tmp_path / "in" / "a.dcm", tmp_path, model="noisy"))
    assert ("some of its attributes are damaged" in notes[0]) == keyword.startswith("Rescale")


@pytest.mark.parametrize(
    "keyword", ["TransferSyntaxUID", "SOPClassUID", "SOPInstanceUID", "ImageType", "SeriesDescription", "WindowCenter"]
)
@pytest.mark.parametrize("private", ["keep", "drop"])
def test_a_value_of_very_many_parts_is_cheap(tmp_path: Path, keyword: str, private: Any) -> None:
    """Of 60 000 identifiers pydicom complains one by one."""
    ds = dataset(Sample("DX"))
    for number in range(10):
        ds.private_block(0x0011, f"MANY {number}", create=True).add_new(1, "UN", b"\\" * 400_000)
    source = save(tmp_path / "a.dcm", ds)
    data = source.read_bytes()
    tag = struct.pack("<HH", *divmod(pydicom.datadict.tag_for_keyword(keyword) or 0, 1 << 16))
    at = data.index(tag, 132)
    length = struct.unpack_from("<H", data, at + 6)[0]
    value = (b"1.2\\" if keyword.endswith("UID") else b"1\\") * 15_000
    grown = data[: at + 6] + struct.pack("<H", len(value)) + value + data[at + 8 + length :]
    if keyword == "TransferSyntaxUID":
        grown = (
            grown[:140] + struct.pack("<L", struct.unpack_from("<L", grown, 140)[0] + len(value) - length) + grown[144:]
        )
    source.write_bytes(grown)
    start = time.process_time()
    (outcome,) = xd.denoise_files(source, tmp_path / "b.dcm", model="noisy", private=private)
    assert outcome.status == ("written" if keyword in ("SeriesDescription", "WindowCenter") else "failed")
    assert time.process_time() - start < 3


def test_an_overlay_behind_a_compression_is_refused(tmp_path: Path) -> None:
    ds = dataset(Sample())
    embed_overlay(ds, np.zeros((24, 21), bool), bit=14)
    with pytest.raises(UnreadableFileError, match="overlay in bit 14"):
        files.read(save(tmp_path / "a.dcm", ds, RLELossless))
