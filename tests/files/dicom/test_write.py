"""The derived DICOM image, line by line of docs/dicom.md: what changes, and that nothing else does."""

import shutil
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from tests.synthetic_dicom import (
    Sample,
    add_overlay,
    code,
    dataset,
    element_bytes,
    embed_overlay,
    pixels,
    samples,
    save,
    write,
)
from xray_denoise import __version__, files
from xray_denoise.errors import UnwritableFileError, UsageError
from xray_denoise.files import Derivation
from xray_denoise.files.derivation import SimulatedNoise
from xray_denoise.files.dicom.write import write_object

NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
DERIVATION = Derivation("x-bdcnn", "9f2c" * 16, "strength 0.8", eta=0.62, sigma=10.1)
CHANGED = {
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ImageType",
    "DerivationDescription",
    "DerivationCodeSequence",
    "SourceImageSequence",
    "ContributingEquipmentSequence",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "ContentDate",
    "ContentTime",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "IconImageSequence",
    "PixelData",
}
"""The change table; the rest is preserved byte for byte."""


def derive(source: Path, target: Path, derivation: Derivation = DERIVATION, **options: Any) -> Dataset:
    """Brighten `source` by ten grey levels and read what is then in the file."""
    frames = (frame.with_grey(frame.grey + 10) for frame in files.read_frames(source))
    files.write(frames, target, derivation=derivation, now=NOW, **options)
    return pydicom.dcmread(target)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("derive")


@pytest.fixture
def derived(tmp_path: Path) -> Dataset:
    return derive(write(tmp_path / "source.dcm", Sample()), tmp_path / "derived.dcm")


def test_identifiers_are_new_and_the_study_is_not(derived: Dataset) -> None:
    assert derived.SOPInstanceUID != "1.2.3.4.1"
    assert derived.SOPInstanceUID.startswith("2.25.")
    assert derived.SOPInstanceUID.is_valid
    assert derived.SeriesInstanceUID not in ("1.2.3.4.3", derived.SOPInstanceUID)
    assert derived.SeriesInstanceUID.is_valid
    assert derived.StudyInstanceUID == "1.2.3.4.2"
    assert derived.file_meta.MediaStorageSOPInstanceUID == derived.SOPInstanceUID
    assert derived.file_meta.MediaStorageSOPClassUID == derived.SOPClassUID


def test_a_repeated_run_makes_the_same_object_and_other_options_another(tmp_path: Path) -> None:
    source = write(tmp_path / "source.dcm", Sample())
    first = derive(source, tmp_path / "1.dcm")
    derive(source, tmp_path / "2.dcm")
    assert (tmp_path / "1.dcm").read_bytes() == (tmp_path / "2.dcm").read_bytes()
    others = [
        Derivation("x-bdcnn", "9f2c" * 16, "strength 0.7"),
        Derivation("x-bdcnn", "0000" * 16, "strength 0.8"),
        Derivation("gat-bm3d", "", "strength 0.8"),
    ]
    names = {first.SOPInstanceUID} | {derive(source, tmp_path / "o.dcm", one).SOPInstanceUID for one in others}
    assert len(names) == 1 + len(others)


def test_the_estimate_is_no_part_of_the_identity(tmp_path: Path) -> None:
    source = write(tmp_path / "source.dcm", Sample())
    estimates = [Derivation("m", "h", "o", eta=eta) for eta in (0.5, 0.6)]
    assert len({derive(source, tmp_path / "o.dcm", one).SOPInstanceUID for one in estimates}) == 1


def test_images_of_one_series_land_in_one_new_series(tmp_path: Path) -> None:
    derived = [
        derive(write(tmp_path / f"{number}.dcm", Sample(), SOPInstanceUID=f"1.2.3.{number}"), tmp_path / "o.dcm")
        for number in (1, 2)
    ]
    assert derived[0].SeriesInstanceUID == derived[1].SeriesInstanceUID
    assert derived[0].SOPInstanceUID != derived[1].SOPInstanceUID
    other = derive(write(tmp_path / "3.dcm", Sample(), SeriesInstanceUID="1.2.9"), tmp_path / "o.dcm")
    assert other.SeriesInstanceUID != derived[0].SeriesInstanceUID


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("Chest p.a.", "Chest p.a. [denoised]"),
        ("x" * 64, "x" * 53 + " [denoised]"),
        ("", "[denoised]"),
        (None, "[denoised]"),
    ],
)
def test_the_series_is_marked(tmp_path: Path, description: str | None, expected: str) -> None:
    source = write(tmp_path / "a.dcm", Sample(), SeriesDescription=description)
    derived = derive(source, tmp_path / "b.dcm")
    assert derived.SeriesDescription == expected
    assert derived.SeriesNumber == 1003


def test_a_japanese_description_survives_in_its_character_set(tmp_path: Path) -> None:
    source = write(tmp_path / "a.dcm", Sample(), SpecificCharacterSet=["", "ISO 2022 IR 87"], SeriesDescription="胸部")
    assert derive(source, tmp_path / "b.dcm").SeriesDescription == "胸部 [denoised]"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (b"ISO_IR 13 ", "ｷｮｳ PA  ".encode("shift_jis")),
        (b"ISO_IR 192", b"Br\xfcst  "),
        (b"ISO_IR 999", b"Br\xfcst  "),
        (b"          ", b"Br\xfcst  "),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_texts_that_cannot_be_written_again_stay_as_they_are(
    tmp_path: Path, declared: bytes, text: bytes, syntax: str
) -> None:
    """Half-width katakana beside ASCII, and bytes that the declared character set does not know."""
    length = len(text)
    view = code("1", "L", "3333333 "[:length])
    changes = {"SeriesDescription": "1111111 "[:length], "DerivationDescription": "2222222 "[:length]}
    others = {"PatientName": "4444444 "[:length], "ImageComments": "5555555 "[:length], "ViewCodeSequence": [view]}
    source = write(tmp_path / "a.dcm", Sample(syntax=syntax), **changes, **others)
    data = source.read_bytes().replace(b"ISO_IR 100", declared)
    for digit in range(1, 6):
        placeholder = (str(digit) * 7 + " ")[:length].encode()
        assert data.count(placeholder) == 1
        data = data.replace(placeholder, text)
    source.write_bytes(data)
    derive(source, tmp_path / "b.dcm")
    written = (tmp_path / "b.dcm").read_bytes()
    assert written.count(text.rstrip()) == 5
    assert text.rstrip() + b" [denoised]" in written
    assert text.rstrip() + b" | Noise reduced by" in written


@pytest.mark.parametrize(
    ("modality", "before", "after"),
    [
        ("DX", ["ORIGINAL", "PRIMARY", ""], ["DERIVED", "PRIMARY", ""]),
        ("DX", ["ORIGINAL", "PRIMARY"], ["DERIVED", "PRIMARY", ""]),
        ("MG", ["ORIGINAL", "PRIMARY", "", "RIGHT"], ["DERIVED", "PRIMARY", "", "RIGHT"]),
        ("CR", ["ORIGINAL", "PRIMARY"], ["DERIVED", "PRIMARY"]),
        ("XA", ["ORIGINAL", "PRIMARY", "SINGLE PLANE"], ["DERIVED", "PRIMARY", "SINGLE PLANE"]),
        ("CR", None, ["DERIVED", "SECONDARY"]),
        ("CR", "ORIGINAL", ["DERIVED", "SECONDARY"]),
    ],
)
def test_the_image_type_begins_with_derived(
    tmp_path: Path, modality: str, before: list[str] | None, after: list[str]
) -> None:
    source = write(tmp_path / "a.dcm", Sample(modality), ImageType=before)
    assert list(derive(source, tmp_path / "b.dcm").ImageType) == after


def test_the_description_says_how_it_was_made(tmp_path: Path) -> None:
    derived = derive(write(tmp_path / "a.dcm", Sample()), tmp_path / "b.dcm")
    told = derived.DerivationDescription
    parts = [
        "xray-denoise " + __version__,
        "x-bdcnn",
        "9f2c9f2c9f2c",
        "strength 0.8",
        "eta 0.62",
        "sigma 10.1",
    ]
    for part in [*parts, "Research use"]:
        assert part in told
    derived = derive(write(tmp_path / "a.dcm", Sample(), DerivationDescription="cropped"), tmp_path / "b.dcm")
    assert derived.DerivationDescription == f"cropped | {told}"
    derived = derive(write(tmp_path / "a.dcm", Sample(), DerivationDescription="y" * 1024), tmp_path / "b.dcm")
    assert derived.DerivationDescription.endswith(f"yyy | {told}")
    assert len(derived.DerivationDescription) == 1024


def test_the_derivation_code_is_added_to_earlier_ones(tmp_path: Path) -> None:
    earlier = [code("113085", "DCM", "Spatial resampling")]
    derived = derive(write(tmp_path / "a.dcm", Sample(), DerivationCodeSequence=earlier), tmp_path / "b.dcm")
    assert [item.CodeValue for item in derived.DerivationCodeSequence] == ["113085", "113087"]
    last = derived.DerivationCodeSequence[-1]
    assert (last.CodingSchemeDesignator, last.CodeMeaning) == ("DCM", "Smoothing")


def test_the_source_image_is_named_for_its_purpose(derived: Dataset) -> None:
    (item,) = derived.SourceImageSequence
    assert item.ReferencedSOPClassUID == derived.SOPClassUID
    assert item.ReferencedSOPInstanceUID == "1.2.3.4.1"
    assert item.SpatialLocationsPreserved == "YES"
    (purpose,) = item.PurposeOfReferenceCodeSequence
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")
    assert purpose.CodeMeaning == "Source image for image processing operation"


def test_the_software_is_added_to_the_contributing_equipment(tmp_path: Path) -> None:
    earlier = Dataset()
    earlier.Manufacturer = "ACME"
    earlier.PurposeOfReferenceCodeSequence = [code("109101", "DCM", "Acquisition Equipment")]
    source = write(tmp_path / "a.dcm", Sample(), ContributingEquipmentSequence=[earlier])
    first, second = derive(source, tmp_path / "b.dcm").ContributingEquipmentSequence
    assert first.Manufacturer == "ACME"
    assert (second.Manufacturer, second.ManufacturerModelName) == ("xray-denoise", "x-bdcnn")
    assert second.SoftwareVersions == __version__
    assert second.ContributionDateTime == "20240506070809.123456+0000"
    assert second.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


def test_who_denoises_a_result_again_is_told(tmp_path: Path) -> None:
    noise = SimulatedNoise("white noise, seed 0")
    noisy = write(tmp_path / "a.dcm", Sample())
    for step, (derivation, told) in enumerate(
        [
            (noise, ()),
            (DERIVATION, ("it was denoised by xray-denoise already, with x-bdcnn",)),
            (Derivation("nlm"), ("it was denoised by xray-denoise already, with nlm",)),
            (noise, ("it was denoised by xray-denoise already, with nlm",)),
        ]
    ):
        derived = tmp_path / f"{step}.dcm"
        files.write(files.read_frames(noisy), derived, derivation=derivation, now=NOW)
        assert files.caveats(files.read(derived)) == told
        noisy = derived


def test_the_times_are_now_in_the_time_zone_of_the_file(tmp_path: Path) -> None:
    derived = derive(write(tmp_path / "a.dcm", Sample()), tmp_path / "b.dcm")
    assert (derived.ContentDate, derived.ContentTime) == ("20240506", "070809.123456")
    assert (derived.InstanceCreationDate, derived.InstanceCreationTime) == ("20240506", "070809.123456")
    derived = derive(write(tmp_path / "a.dcm", Sample(), TimezoneOffsetFromUTC="-0830"), tmp_path / "b.dcm")
    assert (derived.ContentDate, derived.ContentTime) == ("20240505", "223809.123456")


def test_what_was_true_of_the_old_pixels_only_is_gone(tmp_path: Path) -> None:
    ds = dataset(Sample())
    icon = Dataset()
    icon.Rows = 4
    ds.IconImageSequence = [icon]
    ds.MACParametersSequence = [Dataset()]
    ds.DigitalSignaturesSequence = [Dataset()]
    ds.HistogramSequence = [Dataset()]
    ds.SmallestImagePixelValueInPlane = ds.LargestImagePixelValueInPlane = 7
    derived = derive(save(tmp_path / "a.dcm", ds), tmp_path / "b.dcm")
    stale = [
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
        "SmallestImagePixelValueInPlane",
        "LargestImagePixelValueInPlane",
        "HistogramSequence",
        "IconImageSequence",
        "MACParametersSequence",
    ]
    for keyword in [*stale, "DigitalSignaturesSequence"]:
        assert keyword in ds
        assert keyword not in derived


@pytest.mark.parametrize("number", ["3", "2147483600"])
def test_the_series_number_stays_a_valid_integer_string(tmp_path: Path, number: str) -> None:
    derived = derive(write(tmp_path / "a.dcm", Sample(), SeriesNumber=number), tmp_path / "b.dcm")
    assert int(number) < derived.SeriesNumber <= 2**31 - 1


ODD = {
    "RescaleSlope": " 1.000",
    "WindowCenter": ["+2048.0", "1e3"],
    "WindowWidth": ["4096", "500"],
    "VOILUTFunction": "SIGMOID",
    "LossyImageCompressionRatio": "7.30",
    "FrameOfReferenceUID": "1.2.3.4.9",
    "PixelAspectRatio": ["1", "1"],
    "ImageComments": "été",
}
"""Values that a careless copy would tidy up."""


@pytest.mark.parametrize("modality", ["CR", "DX", "MG", "XA", "OT"])
def test_all_else_is_preserved_byte_for_byte(tmp_path: Path, modality: str) -> None:
    ds = dataset(Sample(modality, padding=7, padding_limit=9))
    for keyword, value in ODD.items():
        setattr(ds, keyword, value)
    add_overlay(ds, np.eye(24, 21, dtype=bool))
    source = save(tmp_path / "a.dcm", ds)
    derive(source, tmp_path / "b.dcm")
    before, after = raw_elements(source), raw_elements(tmp_path / "b.dcm")
    assert set(after) - CHANGED == set(before) - CHANGED
    assert {"0009,1002", "7FE1,1001", "6000,3000"} <= set(after)
    for name in set(before) - CHANGED:
        assert after[name] == before[name], name


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_all_else_is_preserved_from_every_syntax(tmp_path: Path, syntax: str) -> None:
    sample = Sample("XA", frames=2, syntax=syntax)
    ds = dataset(sample)
    add_overlay(ds, np.eye(24, 21, dtype=bool))
    before = element_bytes(ds)
    source = save(tmp_path / "a.dcm", ds, syntax)
    derived = derive(source, tmp_path / "b.dcm")
    assert derived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    after = element_bytes(derived)
    changed = {str(pydicom.tag.Tag(keyword)) for keyword in CHANGED}
    assert set(after) - changed == set(before) - changed
    for tag in set(before) - changed:
        if syntax == ImplicitVRLittleEndian and pydicom.tag.Tag(tag.strip("()").replace(",", "")).is_private:
            assert after[tag][-10:] == before[tag][-10:], tag  # its value, now of unknown representation
        else:
            assert after[tag] == before[tag], tag


def raw_elements(path: Path) -> dict[str, bytes]:
    """The bytes of every element as they lie in the file, by keyword or tag."""
    found = {}
    ds = pydicom.dcmread(path)
    for tag in sorted(ds.keys()):
        element = ds.get_item(tag)
        repeated = tag.is_private or tag.group == 0x6000
        name = f"{tag.group:04X},{tag.element:04X}" if repeated else pydicom.datadict.keyword_for_tag(tag)
        if isinstance(element, RawDataElement):
            found[name] = str(element.VR).encode() + element.value
        else:
            found[name] = element_bytes(Dataset({tag: element}))[str(tag)]
    return found


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("decoded", [False, True])
def test_the_source_and_its_header_are_not_touched(tmp_path: Path, syntax: str, decoded: bool) -> None:
    ds = dataset(Sample())
    ds.DerivationCodeSequence = [code("113085", "DCM", "Spatial resampling")]
    embed_overlay(ds, np.eye(24, 21, dtype=bool), bit=15)
    source = save(tmp_path / "a.dcm", ds, syntax)
    original = source.read_bytes()
    radiograph = files.read(source)
    assert isinstance(radiograph.header, Dataset)
    before = element_bytes(radiograph.header if decoded else files.read(source).header)
    for target in ("b.dcm", "c.dcm"):
        files.write(radiograph, tmp_path / target, derivation=DERIVATION, now=NOW)
    assert source.read_bytes() == original
    assert (tmp_path / "b.dcm").read_bytes() == (tmp_path / "c.dcm").read_bytes()
    assert element_bytes(radiograph.header) == before


def test_once_lossy_always_lossy(tmp_path: Path) -> None:
    source = write(tmp_path / "a.dcm", Sample(), LossyImageCompression="01", LossyImageCompressionRatio="12")
    derived = derive(source, tmp_path / "b.dcm")
    assert (derived.LossyImageCompression, derived.LossyImageCompressionRatio) == ("01", 12)


def test_a_lossy_syntax_is_remembered_where_the_source_forgot_to_say_so(tmp_path: Path) -> None:
    image = BytesIO()
    stored = np.full((24, 21), 100, np.uint8)
    Image.fromarray(stored).save(image, "JPEG", quality=100)
    ds = dataset(Sample("CR", bits=8, allocated=8), stored[None])
    del ds.LossyImageCompression
    ds.PixelData = pydicom.encaps.encapsulate([image.getvalue()])
    source = save(tmp_path / "a.dcm", ds, JPEGBaseline8Bit)
    assert np.array_equal(files.read(source).stored, stored)
    assert derive(source, tmp_path / "b.dcm").LossyImageCompression == "01"


@given(samples())
def test_an_unchanged_image_is_written_back_bit_identical(folder: Path, sample: Sample) -> None:
    unchanged = (frame.with_grey(frame.grey) for frame in files.read_frames(write(folder / "a.dcm", sample)))
    files.write(unchanged, folder / "b.dcm", derivation=DERIVATION)
    derived = pydicom.dcmread(folder / "b.dcm")
    assert np.array_equal(derived.pixel_array.reshape(-1, *sample.shape), pixels(sample))
    again = list(files.read_frames(folder / "b.dcm"))
    assert np.array_equal(np.stack([frame.stored for frame in again]), pixels(sample))


def test_brighter_grey_is_brighter_on_the_screen_in_both_polarities(tmp_path: Path) -> None:
    stored = np.full((1, 24, 21), 2000, np.uint16)
    for inverted, direction in ((False, 1), (True, -1)):
        source = write(tmp_path / "a.dcm", Sample(inverted=inverted), stored)
        radiograph = files.read(source, value_range=(0, 4095))
        files.write(radiograph.with_grey(radiograph.grey + 10), tmp_path / "b.dcm", derivation=DERIVATION)
        change = pydicom.dcmread(tmp_path / "b.dcm").pixel_array.astype(int) - 2000
        assert (change == direction * 161).all()  # 10 * 4095 / 255 = 160.6


def test_moved_overlay_bits_reach_the_derived_file(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((24, 21)) < 0.5
    ds = dataset(Sample())
    embed_overlay(ds, mask, bit=15)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian):
        derived = derive(save(tmp_path / "a.dcm", ds, syntax), tmp_path / "b.dcm")
        assert np.array_equal(derived.overlay_array(0x6000).astype(bool), mask)
        assert derived[0x60000102].value == 0
        assert derived.pixel_array.max() < 4096


def test_a_large_private_element_is_carried_over(tmp_path: Path) -> None:
    ds = dataset(Sample())
    blob = np.random.default_rng(0).bytes(1_500_000)
    ds.private_block(0x0009, "ACME DEVICE").add_new(0x05, "OB", blob)
    derived = derive(save(tmp_path / "a.dcm", ds), tmp_path / "b.dcm")
    assert derived[0x00091005].value == blob


def test_too_few_frames_leave_no_file(tmp_path: Path) -> None:
    frames = list(files.read_frames(write(tmp_path / "a.dcm", Sample("XA", frames=3))))
    with pytest.raises(ValueError, match="bytes of pixels"):
        files.write(frames[:2], tmp_path / "b.dcm", derivation=DERIVATION)
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


def test_a_dicom_image_needs_a_derivation_and_keeps_its_bits(tmp_path: Path) -> None:
    radiograph = files.read(write(tmp_path / "a.dcm", Sample()))
    with pytest.raises(ValueError, match="needs a derivation"):
        files.write(radiograph, tmp_path / "b.dcm")
    with pytest.raises(UsageError, match="keeps the bits"):
        files.write(radiograph, tmp_path / "b.dcm", derivation=DERIVATION, bits=16)


def test_more_pixels_than_the_format_can_hold_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as stream, pytest.raises(UnwritableFileError, match="do not fit"):
        write_object(stream, (b"", b""), [], length=2**32)


@pytest.mark.parametrize("modality", ["CR", "DX", "MG", "XA", "RF", "OT"])
@pytest.mark.parametrize("inverted", [False, True])
def test_dciodvfy_finds_nothing_that_the_source_has_not(tmp_path: Path, modality: str, inverted: bool) -> None:
    frames = 2 if modality in ("XA", "RF") else 1
    source = write(tmp_path / "a.dcm", Sample(modality, inverted=inverted, frames=frames))
    derive(source, tmp_path / "b.dcm")
    assert complaints(tmp_path / "b.dcm") <= complaints(source)


def complaints(path: Path) -> set[str]:
    """What dciodvfy says."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    checked = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return set((checked.stdout + checked.stderr).splitlines())


def test_the_head_of_the_file_is_new(tmp_path: Path) -> None:
    """Nothing of the preamble and the head of the source is left: a TIFF may hide in the first."""
    source = write(tmp_path / "a.dcm", Sample())
    ds = pydicom.dcmread(source)
    ds.preamble = b"II*\0 hidden".ljust(128, b"x")
    ds.file_meta.SourceApplicationEntityTitle = "WARD7"
    ds.file_meta.PrivateInformationCreatorUID, ds.file_meta.PrivateInformation = "1.2.3", b"secret"
    ds.save_as(source)
    head = pydicom.dcmread(source)
    assert head.preamble.startswith(b"II*")
    derived = derive(source, tmp_path / "b.dcm")
    assert pydicom.dcmread(tmp_path / "b.dcm").preamble == bytes(128)
    assert {element.keyword for element in derived.file_meta} == {
        "FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName",
    }  # fmt: skip
    for word in (b"hidden", b"WARD7", b"secret"):
        assert word in source.read_bytes()
        assert word not in (tmp_path / "b.dcm").read_bytes()
