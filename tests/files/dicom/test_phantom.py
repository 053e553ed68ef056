"""A phantom as a complete DX object."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from xray_denoise import files
from xray_denoise.files import Derivation
from xray_denoise.files.dicom.phantom import new_dx
from xray_denoise.radiograph import Radiograph

GREY = np.add.outer(np.linspace(0, 155, 21), np.linspace(0, 100, 33))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_phantom_is_valid_dicom_and_comes_back(tmp_path: Path, bits: int, inverted: bool) -> None:
    phantom = Radiograph.from_grey(GREY, bits=bits, inverted=inverted)
    files.write(phantom, tmp_path / "a.dcm")
    again = files.read(tmp_path / "a.dcm")
    assert np.array_equal(again.stored, phantom.stored)
    assert (again.bits, again.inverted, again.signed) == (bits, inverted, False)
    files.write(again.with_grey(again.grey), tmp_path / "b.dcm", derivation=Derivation("test"))
    assert errors(tmp_path / "a.dcm") == errors(tmp_path / "b.dcm") == []


def errors(path: Path) -> list[str]:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    checked = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return [line for line in (checked.stdout + checked.stderr).splitlines() if "Error" in line]


def test_a_viewer_shows_the_grey_levels_of_the_phantom(tmp_path: Path) -> None:
    for inverted in (False, True):
        files.write(Radiograph.from_grey(GREY, bits=12, inverted=inverted), tmp_path / "a.dcm")
        files.write(files.read(tmp_path / "a.dcm"), tmp_path / "a.png")
        assert np.abs(files.read(tmp_path / "a.png").stored - GREY).max() <= 0.6  # rounded to 12, then to 8 bits


def test_equal_phantoms_are_equal_objects_and_others_are_not(tmp_path: Path) -> None:
    pixels = Radiograph.from_grey(GREY, bits=12).stored
    first, second = new_dx(pixels, bits=12), new_dx(pixels, bits=12)
    first.save_as(tmp_path / "1.dcm", enforce_file_format=True)
    second.save_as(tmp_path / "2.dcm", enforce_file_format=True)
    assert (tmp_path / "1.dcm").read_bytes() == (tmp_path / "2.dcm").read_bytes()
    variants = [
        new_dx(pixels + np.uint16(1), bits=13),
        new_dx(pixels, bits=13),
        new_dx(pixels, bits=12, entropy="seed 2"),
        new_dx(pixels, bits=12, patient_id="PHANTOM2"),
        first,
    ]
    assert len({one.SOPInstanceUID for one in variants}) == len(variants)


def test_the_spacing_is_that_of_the_detector() -> None:
    dx = new_dx(np.zeros((2, 3), np.uint8), bits=8, spacing_mm=0.143)
    assert dx.ImagerPixelSpacing == [0.143, 0.143]
    assert isinstance(dx, Dataset)
    assert pydicom.uid.UID(dx.SOPInstanceUID).is_valid


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2), np.int16), np.zeros(4, np.uint16), np.full((2, 2), 4096, np.uint16)]
)
def test_pixels_that_do_not_fit_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be 2-D, unsigned and of 12 bits"):
        new_dx(pixels, bits=12)
