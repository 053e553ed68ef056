"""Formats by content, targets by suffix, and every file whole or not at all."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from tests.synthetic_dicom import SYNTAXES, Sample, dataset, save, write
from xray_denoise import files
from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.files import Derivation, atomic
from xray_denoise.files.atomic import _nameless
from xray_denoise.radiograph import Radiograph

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize(("suffix", "kind"), [("png", "png"), ("tif", "tiff"), ("webp", "webp")])
def test_the_first_bytes_tell_the_format_whatever_the_name(tmp_path: Path, suffix: str, kind: str) -> None:
    Image.fromarray(RAMP).save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    disguised = (tmp_path / f"a.{suffix}").rename(tmp_path / "image.dcm")
    assert files.sniff(disguised) == kind
    assert files.is_radiograph(disguised)
    assert np.array_equal(files.read(disguised).stored, RAMP)


def test_a_dicom_file_needs_no_suffix_and_its_result_gets_none(tmp_path: Path) -> None:
    source = write(tmp_path / "IM00001", Sample())
    assert files.sniff(source) == "dicom"
    (tmp_path / "out").mkdir()
    files.write(files.read(source), tmp_path / "out" / "IM00001", derivation=Derivation("test"))
    assert files.sniff(tmp_path / "out" / "IM00001") == "dicom"


def test_other_files_are_no_radiographs(tmp_path: Path) -> None:
    for name, content in (("a.png", b"text"), ("empty.dcm", b""), ("short", b"II")):
        path = tmp_path / name
        path.write_bytes(content)
        assert files.sniff(path) is None
        assert not files.is_radiograph(path)
        with pytest.raises(UnreadableFileError, match="neither DICOM, PNG, TIFF, WebP nor JPEG"):
            files.read(path)
    assert not files.is_radiograph(tmp_path)
    assert not files.is_radiograph(tmp_path / "missing")


def test_other_dicom_objects_are_passed_over_in_folders(tmp_path: Path) -> None:
    report = dataset(Sample())
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    assert not files.is_radiograph(save(tmp_path / "sr.dcm", report))
    assert files.is_radiograph(write(tmp_path / "dx.dcm", Sample()))


@pytest.mark.parametrize("uid", ["12.1.1", "12.2.1", "13.1.4", "13.1.5"])
def test_radiographs_of_a_class_that_is_not_read_fail_rather_than_be_passed_over(tmp_path: Path, uid: str) -> None:
    path = write(tmp_path / "a.dcm", Sample("XA"), SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{uid}")
    assert files.is_radiograph(path)
    with pytest.raises(UnreadableFileError, match="enhanced multi-frame"):
        files.read(path)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_data_set_says_what_a_file_is_where_its_head_disagrees(tmp_path: Path, syntax: str) -> None:
    """A head that names CT over a CR, and the reverse."""
    cr, ct = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.2"
    for head, body, wanted in ((ct, cr, True), (cr, ct, False)):
        path = write(tmp_path / "a.dcm", Sample("CR", syntax=syntax), SOPClassUID=body)
        path.write_bytes(path.read_bytes().replace(body.encode(), head.encode(), 1))
        assert pydicom.dcmread(path).file_meta.MediaStorageSOPClassUID == head
        assert files.is_radiograph(path) == wanted


def test_a_directory_of_media_is_passed_over_without_reading_its_records(tmp_path: Path) -> None:
    """They precede group 8, and may be far more than a radiograph has elements."""
    directory = Dataset()
    directory.FileSetID = "ARCHIVE"
    directory.DirectoryRecordSequence = [Dataset() for _ in range(20_000)]
    directory["DirectoryRecordSequence"].is_undefined_length = True
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    pydicom.dcmwrite(tmp_path / "DICOMDIR", directory, enforce_file_format=True)
    assert not files.is_radiograph(tmp_path / "DICOMDIR")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"missing\.png: No such file"):
        files.read(tmp_path / "missing.png")


def test_the_input_is_never_written_over(png: Path, tmp_path: Path) -> None:
    radiograph = files.read(png)
    original = png.read_bytes()
    (tmp_path / "link.png").symlink_to(png)
    os.link(png, tmp_path / "hard.png")
    for target in (png, tmp_path / "link.png", tmp_path / "hard.png", tmp_path / "." / "a.png"):
        with pytest.raises(UnwritableFileError, match="is the image being read"):
            files.write(radiograph, target)
    assert png.read_bytes() == original


def test_a_failure_leaves_the_old_file_and_nothing_else(png: Path, tmp_path: Path) -> None:
    def broken() -> Iterator[Radiograph]:
        yield files.read(png)
        raise RuntimeError("the denoiser failed")

    (tmp_path / "b.tif").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="denoiser failed"):
        files.write(broken(), tmp_path / "b.tif")
    assert (tmp_path / "b.tif").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.tif"]
    files.write(files.read(png), tmp_path / "b.tif")
    assert np.array_equal(files.read(tmp_path / "b.tif").stored, RAMP)


def test_places_that_cannot_be_written_are_named_with_a_remedy(png: Path, tmp_path: Path) -> None:
    radiograph = files.read(png)
    (tmp_path / "folder.png").mkdir()
    for target, reason in (
        (tmp_path / "none" / "b.png", "there is no folder"),
        (tmp_path / "folder.png", "is a folder"),
        (tmp_path / "b.bmp", "does not say which format"),
        (tmp_path / "b", "does not say which format"),
        (tmp_path / ("x" * 300 + ".png"), "cannot write"),
    ):
        with pytest.raises(UnwritableFileError, match=reason) as caught:
            files.write(radiograph, target)
        assert caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder.png"]


def test_a_full_disk_is_an_error_in_words(png: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    from xray_denoise.files.atomic import atomic_write

    with (
        pytest.raises(UnwritableFileError, match="No space left"),
        atomic_write(png.with_name("b.png"), source=None),
        full.open("wb", buffering=0) as stream,
    ):
        stream.write(b"x")
    assert not png.with_name("b.png").exists()


def test_a_file_can_be_read_when_it_is_whole_and_has_no_name_yet(png: Path, tmp_path: Path) -> None:
    """It is hashed then; a kill would leave a name behind."""
    found = []

    def look(written: Path) -> None:
        found.append((written.read_bytes(), sorted(path.name for path in tmp_path.iterdir())))

    files.write(files.read(png), tmp_path / "b.png", before_rename=look)
    ((content, names),) = found
    assert content == (tmp_path / "b.png").read_bytes()
    if nameless := _nameless(tmp_path):
        nameless.close()
        assert names == ["a.png"]


def test_a_png_does_not_become_dicom(png: Path, tmp_path: Path) -> None:
    with pytest.raises(UnwritableFileError, match="only a DICOM image becomes a DICOM image"):
        files.write(files.read(png), tmp_path / "b.dcm", derivation=Derivation("test"))
    assert not (tmp_path / "b.dcm").exists()


def test_new_files_have_the_usual_permissions(png: Path, tmp_path: Path) -> None:
    files.write(files.read(png), tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_mode == png.stat().st_mode


def test_nothing_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no radiograph to write"):
        files.write([], tmp_path / "b.png")


def test_no_format_is_loaded_before_it_is_needed() -> None:
    code = "import sys, xray_denoise.files; print({'pydicom', 'PIL', 'torch'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    living = tmp_path / f"{atomic.PARTIAL_PREFIX}1-1{atomic.PARTIAL_SUFFIX}"
    outside = tmp_path / "outside"
    outside.write_bytes(b"an original")
    for number, make in enumerate((Path.touch, Path.mkdir, lambda path: path.symlink_to(outside), os.mkfifo)):
        make(tmp_path / f"{atomic.PARTIAL_PREFIX}2-{number}{atomic.PARTIAL_SUFFIX}")
    with atomic._named(living) as stream:
        held = atomic._held(stream)
        stream.close()
        assert held is not None
        atomic.remove_abandoned([tmp_path, tmp_path])
        assert living.exists()
        os.close(held)
    atomic.remove_abandoned([tmp_path, tmp_path])
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [f"{atomic.PARTIAL_PREFIX}2-1{atomic.PARTIAL_SUFFIX}", f"{atomic.PARTIAL_PREFIX}2-2.part", "outside"]
    assert outside.read_bytes() == b"an original"
    atomic.remove_abandoned([tmp_path / "nowhere"])


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_is_taken_for_abandoned_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """On disks without nameless files another run may remove it between its making and its lock."""
    monkeypatch.setattr(atomic, "_nameless", lambda _: None)
    plain, taken = atomic._lock, []

    def late(stream: Any) -> None:
        if not taken:
            taken.append(True)
            atomic.remove_abandoned([tmp_path, tmp_path])
        plain(stream)

    monkeypatch.setattr(atomic, "_lock", late)
    with atomic.atomic_write(tmp_path / "a", source=None, replace=links) as stream:
        stream.write(b"all of it")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"all of it"
