"""`synth` writes what the noise model says, says what it wrote, and never writes over anything."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xray_denoise import files
from xray_denoise.errors import UnwritableFileError
from xray_denoise.physics.metrics import psnr
from xray_denoise.tasks import synth


def test_phantom_noise_and_manifest_agree(tmp_path: Path) -> None:
    recipe = synth.Recipe((0.6, 0.6), (10, 10))
    (exposure,) = synth.synthesise(synth.phantoms(128, 1, 0), recipe, tmp_path)
    assert exposure.clean is not None
    noisy, clean = files.read(exposure.noisy), files.read(exposure.clean)
    assert noisy.stored.shape == (128, 128)
    assert exposure.noisy_psnr == pytest.approx(psnr(noisy.grey, clean.grey))
    assert 20 < exposure.noisy_psnr < 26, "about 23 dB at this level"
    (line,) = (tmp_path / synth.MANIFEST).read_text().splitlines()
    entry = json.loads(line)
    assert (entry["noisy"], entry["eta"], entry["sigma"]) == (exposure.noisy.name, 0.6, 10)


def test_a_seed_repeats_the_files_and_another_does_not(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        list(
            synth.synthesise(
                synth.phantoms(64, 2, seed), synth.Recipe((0.4, 1.9), (0, 20), seed=seed), tmp_path / folder
            )
        )
    same, again, other = (sorted(path.read_bytes() for path in (tmp_path / folder).iterdir()) for folder in "abc")
    assert same == again
    assert same != other


def test_running_twice_is_harmless_and_another_image_is_not_written_over(tmp_path: Path) -> None:
    recipe = synth.Recipe((0.6, 0.6), (10, 10))
    for _ in range(2):
        list(synth.synthesise(synth.phantoms(64, 1, 0), recipe, tmp_path))
    assert len((tmp_path / synth.MANIFEST).read_text().splitlines()) == 1
    with pytest.raises(UnwritableFileError, match="holds another image"):
        list(synth.synthesise(synth.phantoms(65, 1, 0), recipe, tmp_path))


@pytest.mark.parametrize(("file_format", "bits"), [("png", 16), ("tiff", 8), ("dcm", 12), ("dcm", 16)])
def test_formats_and_depths(tmp_path: Path, file_format: synth.Format, bits: int) -> None:
    recipe = synth.Recipe((0.6, 0.6), (10, 10), bits=bits, format=file_format)
    (exposure,) = synth.synthesise(synth.phantoms(64, 1, 0), recipe, tmp_path)
    radiograph = files.read(exposure.noisy)
    assert radiograph.bits == bits
    assert radiograph.stored.max() > 2 ** (bits - 1)
    assert radiograph.stored.max() < 2**bits


def test_own_radiographs(tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32), 128, np.uint8)).save(tmp_path / "flat.png")
    recipe = synth.Recipe((0.5, 0.5), (0, 0), save_clean=False)
    (exposure,) = synth.synthesise(synth.radiographs([tmp_path / "flat.png"], 0), recipe, tmp_path / "out")
    assert exposure.clean is None
    assert exposure.noisy.name == "flat_eta0.5_sigma0_noisy.png"
    counts = files.read(exposure.noisy).stored
    assert set(np.unique(counts) % 2) == {0}, "without electronic noise every grey level is a count / 0.5"
