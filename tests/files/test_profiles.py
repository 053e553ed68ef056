"""Noise profiles go to files and come back; what is no profile is refused with its path and what is wrong."""

import os
from pathlib import Path

import numpy as np
import pytest

from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.files.profiles import read_profile, write_profile
from xray_denoise.physics.detectors import detector_profile
from xray_denoise.physics.profile_json import LONGEST_JSON


def test_a_profile_comes_back_exactly(tmp_path: Path) -> None:
    profile = detector_profile("csi", 2.0)
    write_profile(profile, tmp_path / "csi.json")
    again = read_profile(tmp_path / "csi.json")
    for name in ("grey", "deviation", "kernel"):
        np.testing.assert_array_equal(getattr(again, name), getattr(profile, name))
    assert (tmp_path / "csi.json").stat().st_size < 2**17


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not JSON"),
        (b'{"format": "something else"}', "'format' must be"),
        (b'{"format": "xray-denoise noise profile, version 1"}', "'grey'"),
        (b"0" * (LONGEST_JSON + 5), "longer than"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=message) as caught:
        read_profile(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(("name", "message"), [("missing.json", "No such file"), ("", "directory"), ("a\0b", "name")])
def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UnreadableFileError, match=message):
        read_profile(tmp_path / name)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UnreadableFileError, match="pipe"):
        read_profile(tmp_path / "pipe.json")


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnwritableFileError, match="no folder"):
        write_profile(detector_profile("white", 1.0), tmp_path / "none" / "a.json")
