"""A picture of a DICOM image shows what a viewer shows."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.synthetic_dicom import SYNTAXES, Sample, dataset, save, write
from xray_denoise import files
from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.files.dicom.render import window

RAMP = np.arange(504, dtype=np.uint16).reshape(1, 24, 21) * 8


def picture(source: Path, **options: Any) -> np.ndarray[Any, Any]:
    target = source.with_suffix(".png")
    files.write(files.read(source), target, **options)
    return files.read(target).stored.astype(int)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(2048, 4096), (1000.5, 700), (0, 1), (3000, 2)])
@pytest.mark.parametrize("signed", [False, True])
def test_windows_agree_with_pydicom(function: str, center: float, width: float, signed: bool) -> None:
    ds = Dataset()
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = center, width, function
    ds.BitsStored, ds.PixelRepresentation, ds.PhotometricInterpretation = 12, int(signed), "MONOCHROME2"
    values = np.arange(4096) - (2048 if signed else 0)
    low = values.min()
    with np.errstate(over="ignore"):  # pydicom's own sigmoid overflows where it is 0
        expected = (apply_windowing(values, ds) - low) / 4095
    assert window(values, center, width, function) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_window_decides_and_bits_spread_it(tmp_path: Path, bits: int) -> None:
    source = write(tmp_path / "a.dcm", Sample(), RAMP, WindowCenter="2000.5", WindowWidth="1001")
    shown = picture(source, bits=bits)
    expected = ((RAMP[0] - 2000.0) / 1000 + 0.5).clip(0, 1) * (2**bits - 1)
    assert np.abs(shown - expected).max() <= 0.5


def test_the_first_of_several_windows_is_shown(tmp_path: Path) -> None:
    one = write(tmp_path / "a.dcm", Sample(), RAMP, WindowCenter="1000", WindowWidth="500")
    two = write(tmp_path / "b.dcm", Sample(), RAMP, WindowCenter=["1000", "9"], WindowWidth=["500", "9"])
    assert np.array_equal(picture(one), picture(two))


def test_monochrome1_is_turned_over_once(tmp_path: Path) -> None:
    plain = picture(write(tmp_path / "a.dcm", Sample(), RAMP))
    for modality in ("CR", "DX"):  # DX also says INVERSE, which means the same thing
        inverted = picture(write(tmp_path / "b.dcm", Sample(modality, inverted=True), RAMP))
        assert np.array_equal(inverted, 255 - plain)


def test_the_rescale_slope_comes_before_the_window(tmp_path: Path) -> None:
    changes = {
        "RescaleSlope": "-0.5",
        "RescaleIntercept": "100",
        "WindowCenter": "-900",
        "WindowWidth": "1000",
    }
    shown = picture(write(tmp_path / "a.dcm", Sample(), RAMP, **changes))
    expected = ((100 - 0.5 * RAMP[0] + 900.5) / 999 + 0.5).clip(0, 1) * 255
    assert np.abs(shown - expected).max() <= 0.5


@pytest.mark.parametrize("missing", [{"WindowCenter": None, "WindowWidth": None}, {"WindowWidth": "0"}])
def test_without_a_window_the_robust_range_is_shown(tmp_path: Path, missing: dict[str, Any]) -> None:
    stored = RAMP + 100
    stored[0, :5, :4] = 0
    source = write(tmp_path / "a.dcm", Sample(padding=0), stored, **missing)
    shown = picture(source)
    free = stored[0] != 0
    assert (shown[~free] == 0).all()
    assert (shown[free].min(), shown[free].max()) == (0, 255)
    down = picture(write(tmp_path / "a.dcm", Sample(padding=0), stored, **missing, RescaleSlope="-1"))
    assert np.array_equal(down[free], 255 - shown[free])


def test_padding_is_black_in_both_polarities(tmp_path: Path) -> None:
    for inverted in (False, True):
        sample = Sample(inverted=inverted, padding=0)
        stored = RAMP + 1
        stored[0, :5, :4] = 0
        assert (picture(write(tmp_path / "a.dcm", sample, stored))[:5, :4] == 0).all()


def _lut(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = entries
    return item


def test_a_voi_lut_is_shown_before_a_window(tmp_path: Path) -> None:
    entries = (np.linspace(0, 1, 4096) ** 2 * 65535).astype(int)
    ds = dataset(Sample(), RAMP)
    ds.VOILUTSequence = [_lut(entries.tolist(), 0, 16)]
    ds.VOILUTSequence[0]["LUTDescriptor"].VR = "US"
    ds.VOILUTSequence[0]["LUTData"].VR = "US"
    shown = picture(save(tmp_path / "a.dcm", ds))
    assert np.abs(shown - entries[RAMP[0]] / 65535 * 255).max() <= 0.5


def test_a_modality_lut_comes_first(tmp_path: Path) -> None:
    entries = np.arange(4096)[::-1]
    ds = dataset(Sample("CR"), RAMP)
    item = _lut(entries.tolist(), 0, 16)
    item.ModalityLUTType = "US"
    ds.ModalityLUTSequence = [item]
    for keyword in ("LUTDescriptor", "LUTData"):
        ds.ModalityLUTSequence[0][keyword].VR = "US"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    shown = picture(save(tmp_path / "a.dcm", ds))
    assert np.abs(shown - (4095 - RAMP[0]) / 4095 * 255).max() <= 0.5


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_luts_in_words_of_any_byte_order(tmp_path: Path, syntax: str) -> None:
    """Twelve bits, a signed first value, and two chained tables."""
    stored = RAMP.astype(np.int16) - 2048
    ds = dataset(Sample("CR", signed=True), stored)
    ds.ModalityLUTSequence, ds.VOILUTSequence = [Dataset()], [Dataset()]
    for (item,), vr, first in ((ds.ModalityLUTSequence, "SS", -2048), (ds.VOILUTSequence, "US", 0)):
        item.add_new("LUTDescriptor", vr, [4096, first, 12])
        item.add_new("LUTData", "OW", np.arange(4096)[::-1].astype("<u2").tobytes())
    shown = picture(save(tmp_path / "a.dcm", ds, syntax))
    assert np.abs(shown - RAMP[0] / 4095 * 255).max() <= 0.5


def test_a_lut_of_bytes_and_one_of_65536_entries(tmp_path: Path) -> None:
    for entries, bits, data in (
        (256, 8, np.arange(256)[::-1].astype("u1").tobytes()),
        (0, 16, (65535 - np.minimum(257 * np.arange(65536), 65535)).astype("<u2").tobytes()),
    ):
        ds = dataset(Sample("CR", bits=8, allocated=8), (RAMP // 16).astype(np.uint8))
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [entries, 0, bits])
        item.add_new("LUTData", "OW", data)
        ds.VOILUTSequence = [item]
        shown = picture(save(tmp_path / "a.dcm", ds))
        assert np.abs(shown.astype(int) - (255 - RAMP[0] // 16)).max() <= 1


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        (one, value)
        for one in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept")
        for value in ("nan", "inf")
    ],
)
def test_numbers_that_are_none_are_damage(tmp_path: Path, keyword: str, value: str) -> None:
    ds = dataset(Sample(), RAMP)
    setattr(ds, keyword, "77777")
    source = save(tmp_path / "a.dcm", ds)
    source.write_bytes(source.read_bytes().replace(b"77777", value.encode().ljust(5)))
    with pytest.raises(UnreadableFileError, match="damaged"):
        picture(source)


def test_the_first_value_of_a_lut_is_signed_where_values_can_be_negative(tmp_path: Path) -> None:
    """Also where none of this image is."""
    ds = dataset(Sample("CR"), RAMP)
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", "-1024", "US"
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [8192, 0x10000 - 1024, 13])
    item.add_new("LUTData", "OW", np.arange(8192).astype("<u2").tobytes())
    ds.VOILUTSequence = [item]
    ds.PixelData = (RAMP // 2 + 1024).astype("<u2").tobytes()
    shown = picture(save(tmp_path / "a.dcm", ds))
    assert np.abs(shown - (RAMP[0] // 2 + 1024) / 8191 * 255).max() <= 0.5


CURVE = np.linspace(0, 1, 4096) ** 2


def _words(descriptor: list[int], entries: np.ndarray[Any, Any]) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize(
    ("item", "noted"),
    [
        (_words([4096, 0, 12], CURVE * 4095), ""),
        (_words([4096, 0, 12], CURVE[:4000] * 4095), "has 4000 entries where it says 4096"),
        (_words([4096, 0, 12], CURVE[:3000] * 4095), "has 3000 entries where it says 4096"),
        (_words([1000, 0, 12], CURVE * 4095), "has 4096 entries where it says 1000"),
        (_words([4096, 0, 12], np.tile(CURVE * 4095, 2)), "has 8192 entries where it says 4096"),
        (_words([4096, 0, 0], CURVE * 4095), ""),
        (_words([4096, 0, 17], CURVE * 65535), ""),
        (_words([4096, 0, 12], CURVE[:0]), "is empty or damaged"),
        (_words([4096, 0], CURVE), "is empty or damaged"),
    ],
)
def test_a_lut_that_contradicts_itself_is_shown_as_by_dcmtk_and_noted(
    tmp_path: Path, item: Dataset, noted: str, keyword: str
) -> None:
    ds = dataset(Sample("CR"), RAMP)
    setattr(ds, keyword, [item])
    if keyword == "VOILUTSequence" and "is empty" not in noted:
        del ds.WindowCenter
    source = save(tmp_path / "a.dcm", ds)
    if len(item.LUTDescriptor) == 3:
        theirs = dcmtk_picture(source, "+Wl" if keyword == "VOILUTSequence" and "is empty" not in noted else "+Wi")
        assert abs(picture(source) - theirs).max() <= 1
    assert [noted in caveat for caveat in files.caveats(files.read(source))] == [True] * bool(noted)


def test_a_short_voi_lut_gives_way_to_the_window(tmp_path: Path) -> None:
    ds = dataset(Sample("CR"), RAMP)
    ds.VOILUTSequence = [_words([4096, 0, 12], CURVE[:4000] * 4095)]
    source = save(tmp_path / "a.dcm", ds)
    assert abs(picture(source) - dcmtk_picture(source)).max() <= 1
    assert "pictures of it use the window" in files.caveats(files.read(source))[0]


def test_a_voi_lut_of_fewer_bits_than_it_says_is_obeyed_and_noted(tmp_path: Path) -> None:
    ds = dataset(Sample("CR"), RAMP)
    ds.VOILUTSequence = [_words([4096, 0, 16], CURVE * 4095)]
    source = save(tmp_path / "a.dcm", ds)
    assert picture(source).max() == 15
    assert abs(picture(source) - dcmtk_picture(source, "+Wl")).max() <= 1
    assert "pictures of it are dark" in files.caveats(files.read(source))[0]


@pytest.mark.parametrize("modality", ["CR", "DX", "MG", "XA", "RF", "OT"])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    "modality_transformation",
    [
        {},
        {"RescaleSlope": "0.5", "RescaleIntercept": "100"},
        {"RescaleSlope": "-1", "RescaleIntercept": "4095"},
        {"RescaleSlope": "0", "RescaleIntercept": "100"},
        {"RescaleSlope": "2"},
        {"ModalityLUTSequence": [_words([4096, 0, 12], CURVE * 4095)]},
    ],
    ids=["none", "rescale", "negative", "slope 0", "no intercept", "LUT"],
)
def test_dcmtk_shows_every_class_alike(
    tmp_path: Path, modality: str, inverted: bool, modality_transformation: dict[str, Any]
) -> None:
    """XA and RF images have no modality transformation for display (PS3.4 N.2), a slope of 0 is none."""
    ds = dataset(Sample(modality, inverted=inverted), RAMP)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        if keyword in ds:
            delattr(ds, keyword)
    for keyword, value in modality_transformation.items():
        setattr(ds, keyword, value)
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    source = save(tmp_path / "a.dcm", ds)
    assert abs(picture(source) - dcmtk_picture(source)).max() <= 1
    noted = modality_transformation.get("RescaleSlope") == "0" and modality not in ("XA", "RF")
    assert len(files.caveats(files.read(source))) == noted


def test_stored_values_are_written_as_they_are(tmp_path: Path) -> None:
    source = write(tmp_path / "a.dcm", Sample(inverted=True), RAMP)
    assert np.array_equal(picture(source, render="stored"), RAMP[0])
    with pytest.raises(UnwritableFileError, match="above 255"):
        picture(source, render="stored", bits=8)
    small = write(tmp_path / "b.dcm", Sample(bits=8, allocated=8), (RAMP // 16).astype(np.uint8))
    files.write(files.read(small), tmp_path / "b.png", render="stored")
    assert files.read(tmp_path / "b.png").bits == 8


def test_negative_stored_values_do_not_fit_a_picture(tmp_path: Path) -> None:
    source = write(tmp_path / "a.dcm", Sample(signed=True), (RAMP.astype(np.int16) - 2000))
    with pytest.raises(UnwritableFileError, match="negative"):
        picture(source, render="stored")
    assert picture(source).max() == 255


def test_frames_become_pages(tmp_path: Path) -> None:
    source = write(tmp_path / "a.dcm", Sample("XA", frames=3))
    files.write(files.read_frames(source), tmp_path / "a.tif", render="stored")
    pages = np.stack([page.stored for page in files.read_frames(tmp_path / "a.tif")])
    assert np.array_equal(pages, pydicom.dcmread(source).pixel_array)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("slope", ["1", "0.5"])
def test_without_a_window_all_frames_are_shown_in_one_range(tmp_path: Path, slope: str, inverted: bool) -> None:
    """Each stretched for itself, an exposure that rises and falls would look constant."""
    stored = np.concatenate([np.zeros_like(RAMP), *(RAMP * factor // 4 + 40 for factor in (1, 3, 2, 4))])
    stored[1:, :5, :4] = 4095
    sample = Sample("OT", frames=5, inverted=inverted, padding=4095)
    changes = {"WindowCenter": None, "RescaleSlope": slope, "RescaleIntercept": "-100", "RescaleType": "US"}
    source = write(tmp_path / "a.dcm", sample, stored, **changes)
    files.write(files.read_frames(source), tmp_path / "a.tif")
    shown = np.stack([page.stored.astype(int) for page in files.read_frames(tmp_path / "a.tif")])
    free = stored[1:] != 4095
    low, high = stored[1:][free].min(), stored[1:][free].max()
    grey = ((stored - low) / (high - low)).clip(0, 1)
    expected = 255 * (1 - grey if inverted else grey)
    assert np.abs(shown[1:] - expected[1:])[free].max() <= 0.5
    assert (shown[1:][~free] == 0).all()
    assert (shown[0] == 255 * inverted).all(), "the blank frame does not widen the range"


def test_blank_frames_are_shown_and_a_frame_alone_in_its_own_range(tmp_path: Path) -> None:
    stored = np.concatenate([np.full_like(RAMP, 100), np.full_like(RAMP, 200)])
    source = write(tmp_path / "a.dcm", Sample("OT", frames=2), stored, WindowCenter=None)
    files.write(files.read_frames(source), tmp_path / "a.tif")
    assert [page.stored.max() for page in files.read_frames(tmp_path / "a.tif")] == [0, 252], "of 100..201"
    source = write(tmp_path / "b.dcm", Sample("OT", frames=2), np.concatenate([RAMP, RAMP // 2]), WindowCenter=None)
    for number, frame in enumerate(files.read_frames(source)):
        files.write(frame, tmp_path / f"{number}.png")
        assert files.read(tmp_path / f"{number}.png").stored.max() == 255


def _with_luts(ds: Dataset) -> None:
    ds.ModalityLUTSequence, ds.VOILUTSequence = [Dataset()], [Dataset()]
    for (item,), curve in ((ds.ModalityLUTSequence, 0.7), (ds.VOILUTSequence, 1.6)):
        entries = np.rint(np.linspace(0, 1, 4096) ** curve * 4095).astype("<u2")
        item.add_new("LUTDescriptor", "US", [4096, 0, 16 if curve < 1 else 12])
        item.add_new("LUTData", "OW", entries.tobytes())
    ds.ModalityLUTSequence[0].ModalityLUTType = "US"


def _with_rescale(ds: Dataset) -> None:
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "0.5", "-100", "US"
    ds.WindowCenter, ds.WindowWidth = "700", "1500"


def _with_a_sigmoid(ds: Dataset) -> None:
    ds.VOILUTFunction = "SIGMOID"


def _narrow(ds: Dataset) -> None:
    ds.WindowCenter, ds.WindowWidth = "1900.5", "311"


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("change", "signed"),
    [
        (_with_luts, False),
        *((one, signed) for one in (_narrow, _with_rescale, _with_a_sigmoid) for signed in (False, True)),
    ],
)
def test_dcmtk_shows_the_same(tmp_path: Path, change: Callable[[Dataset], None], inverted: bool, signed: bool) -> None:
    ds = dataset(Sample("DX", inverted=inverted, signed=signed), RAMP.astype(np.int16) if signed else RAMP)
    change(ds)
    source = save(tmp_path / "a.dcm", ds)
    theirs = dcmtk_picture(source, "+Wl" if change is _with_luts else "+Wi")
    assert abs(picture(source) - theirs).max() <= 1


def dcmtk_picture(source: Path, voi: str = "+Wi") -> np.ndarray[Any, Any]:
    """What dcm2pnm shows through the first window or, with +Wl, VOI LUT."""
    program = shutil.which("dcm2pnm")
    if program is None:
        pytest.skip("dcm2pnm is not installed (Debian package dcmtk)")
    subprocess.run([program, voi, "1", source, source.with_suffix(".pgm")], check=True, capture_output=True)
    theirs = np.asarray(Image.open(source.with_suffix(".pgm"))).astype(int)
    assert theirs.min() < theirs.max()
    return theirs


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("shape", [None, "IDENTITY", "INVERSE"])
def test_dcmtk_reads_polarities_alike(tmp_path: Path, inverted: bool, shape: str | None) -> None:
    """Where the two attributes contradict each other, the shape decides."""
    source = write(tmp_path / "a.dcm", Sample("DX", inverted=inverted), RAMP, PresentationLUTShape=shape)
    assert abs(picture(source) - dcmtk_picture(source)).max() <= 1


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_dcmtk_shows_every_depth_alike(tmp_path: Path, bits: int, signed: bool) -> None:
    syntax = SYNTAXES[bits // 2 % len(SYNTAXES)]
    sample = Sample("MG", bits=bits, allocated=8 if bits == 8 else 16, signed=signed, syntax=syntax)
    source = write(tmp_path / "a.dcm", sample)
    assert abs(picture(source) - dcmtk_picture(source)).max() <= 1
