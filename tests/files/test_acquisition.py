"""The pixel pitch and the linearity that a DICOM file tells."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.synthetic_dicom import Sample, write
from xray_denoise import files
from xray_denoise.files.acquisition import linearity_doubts, pixel_pitch


def dx(path: Path, **changes: object) -> Path:
    """A DX file without spacings but for the `changes`."""
    plain = Sample(modality="CR")
    return write(path / "a.dcm", plain, **{"ImagerPixelSpacing": None, **changes})


@pytest.mark.parametrize(
    ("said", "pitch", "source"),
    [
        ({"ImagerPixelSpacing": [0.15, 0.1], "DetectorElementSpacing": [0.2, 0.2]}, (0.15, 0.1), "(0018,1164)"),
        ({"DetectorElementSpacing": [0.2, 0.3], "PixelSpacing": [0.4, 0.4]}, (0.2, 0.3), "(0018,7022)"),
        ({"PixelSpacing": [0.4, 0.4]}, (0.4, 0.4), "(0028,0030)"),
        ({"ImagerPixelSpacing": [0, 0.1], "PixelSpacing": [0.4, 0.4]}, (0.4, 0.4), "(0028,0030)"),
    ],
)
def test_the_first_plausible_spacing_counts(
    tmp_path: Path, said: dict[str, list[float]], pitch: tuple[float, float], source: str
) -> None:
    found = pixel_pitch(files.read(dx(tmp_path, **said)))
    assert found is not None
    assert (found.rows, found.columns) == pitch
    assert found.source.endswith(source)


@pytest.mark.parametrize("said", [{}, {"PixelSpacing": [1e6, 1]}, {"PixelSpacing": [-1, 1]}])
def test_no_plausible_spacing_is_none(tmp_path: Path, said: dict[str, list[float]]) -> None:
    assert pixel_pitch(files.read(dx(tmp_path, **said))) is None


def test_a_picture_has_no_pitch_and_no_doubts(tmp_path: Path) -> None:
    Image.fromarray(np.ones((8, 8), dtype=np.uint8)).save(tmp_path / "a.png", dpi=(300, 300))
    radiograph = files.read(tmp_path / "a.png")
    assert pixel_pitch(radiograph) is None
    assert linearity_doubts(radiograph) == ()


def test_what_is_not_linear_is_said(tmp_path: Path) -> None:
    assert linearity_doubts(files.read(dx(tmp_path, PixelIntensityRelationship="LIN"))) == ()
    (doubt,) = linearity_doubts(files.read(dx(tmp_path, PixelIntensityRelationship="LOG")))
    assert "logarithmic" in doubt
    processed = write(tmp_path / "b.dcm", Sample(modality="DX"), PixelIntensityRelationship="LIN")
    (doubt,) = linearity_doubts(files.read(processed))
    assert "for presentation" in doubt
