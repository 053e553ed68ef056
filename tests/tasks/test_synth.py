"""`synth` writes what the noise model says, says what it wrote, and never writes over anything."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.synthetic_dicom import Sample, write
from xray_denoise import files
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError
from xray_denoise.files.profiles import read_profile, write_profile
from xray_denoise.physics.detectors import DETECTORS, detector_profile
from xray_denoise.physics.metrics import psnr
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.radiograph import Radiograph
from xray_denoise.scale import MID_GREY
from xray_denoise.tasks import synth, synth_noise

LEVEL = synth_noise.LevelNoise((0.6, 0.6), (10, 10))


def written(subjects: Iterable[synth.Subject], recipe: synth.Recipe, output: Path) -> list[synth.Exposure]:
    exposures = list(synth.synthesise(subjects, recipe, output))
    assert all(isinstance(one, synth.Exposure) for one in exposures)
    return exposures  # type: ignore[return-value]


def test_phantom_noise_and_manifest_agree(tmp_path: Path) -> None:
    recipe = synth.Recipe(LEVEL)
    (exposure,) = written(synth.phantoms(128, 1, 0), recipe, tmp_path)
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
                synth.phantoms(64, 2, seed),
                synth.Recipe(synth_noise.LevelNoise((0.4, 1.9), (0, 20))),
                tmp_path / folder,
            )
        )
    same, again, other = (sorted(path.read_bytes() for path in (tmp_path / folder).iterdir()) for folder in "abc")
    assert same == again
    assert same != other


def test_running_twice_is_harmless_and_another_image_is_not_written_over(tmp_path: Path) -> None:
    recipe = synth.Recipe(LEVEL)
    for _ in range(2):
        list(synth.synthesise(synth.phantoms(64, 1, 0), recipe, tmp_path))
    assert len((tmp_path / synth.MANIFEST).read_text().splitlines()) == 1
    with pytest.raises(UnwritableFileError, match="holds another image"):
        list(synth.synthesise(synth.phantoms(65, 1, 0), recipe, tmp_path))


@pytest.mark.parametrize(("file_format", "bits"), [("png", 16), ("tiff", 8), ("dcm", 12), ("dcm", 16)])
def test_formats_and_depths(tmp_path: Path, file_format: synth.Format, bits: int) -> None:
    recipe = synth.Recipe(LEVEL, bits=bits, format=file_format)
    (exposure,) = written(synth.phantoms(64, 1, 0), recipe, tmp_path)
    radiograph = files.read(exposure.noisy)
    assert radiograph.bits == bits
    assert radiograph.stored.max() > 2 ** (bits - 1)
    assert radiograph.stored.max() < 2**bits


def test_own_radiographs(tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32), 128, np.uint8)).save(tmp_path / "flat.png")
    recipe = synth.Recipe(synth_noise.LevelNoise((0.5, 0.5), (0, 0)), save_clean=False)
    subjects, _ = synth.radiographs([tmp_path / "flat.png"], tmp_path / "out")
    (exposure,) = written(subjects, recipe, tmp_path / "out")
    assert exposure.clean is None
    assert exposure.noisy.name == "flat_eta0.5_sigma0_seed0_noisy.png"
    counts = files.read(exposure.noisy).stored
    assert set(np.unique(counts) % 2) == {0}, "without electronic noise every grey level is a count / 0.5"


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_writes_its_noise_and_the_profile_of_it(tmp_path: Path, name: str) -> None:
    recipe = synth.Recipe(synth_noise.DetectorNoise(name, 3.0))
    (exposure,) = written(synth.phantoms(128, 1, 4), recipe, tmp_path)
    stem = f"phantom-4_{name}_std3_seed4"
    assert exposure.noisy.name == f"{stem}_noisy.png"
    assert exposure.profile == tmp_path / f"{stem}_profile.json"
    told, detector = read_profile(exposure.profile), detector_profile(name, 3.0)
    assert told.deviation_at(MID_GREY) == pytest.approx((9 + 1 / 12) ** 0.5), "rounding to 8 bits is part of it"
    np.testing.assert_allclose(told.band_powers(), detector.band_powers(), atol=1 / 12 / 9 * 8)
    entry = json.loads((tmp_path / synth.MANIFEST).read_text())
    assert (entry["profile"], entry["detector"], entry["deviation"]) == (exposure.profile.name, name, 3.0)
    assert "eta" not in entry


@pytest.mark.parametrize("bits", [8, 16])
def test_the_written_noise_is_that_of_the_written_profile(tmp_path: Path, bits: int) -> None:
    """A flat field of 512x512; the deviation is known to sqrt(mean(S^2) / 2 N), here 0.3 %, times five."""
    flat = synth.Subject(Path("flat"), lambda: np.full((512, 512), 128.0, np.float32), (0,))
    recipe = synth.Recipe(synth_noise.DetectorNoise("csi", 1.0), bits=bits, format="tiff")
    (exposure,) = written(iter([flat]), recipe, tmp_path)
    assert exposure.profile
    assert exposure.clean
    noisy, clean = (files.read(path, value_range=(0, 2**bits - 1)).grey for path in (exposure.noisy, exposure.clean))
    told = read_profile(exposure.profile)
    error = 5 * ((told.spectrum((128, 128)) ** 2).mean() / 2 / noisy.size) ** 0.5
    assert (noisy - clean).std() == pytest.approx(float(told.deviation_at(128.0)), rel=error)
    assert error < 0.03


def test_a_profile_from_a_file_is_drawn_and_scaled(tmp_path: Path) -> None:
    kernel = np.array([[0.6, 0.0, 0.8]])
    write_profile(NoiseProfile(np.array([0.0, 255.0]), np.array([2.0, 2.0]), kernel), tmp_path / "mine.json")
    noise = synth_noise.profile_noise(tmp_path / "mine.json", 5.0)
    flat = synth.Subject(Path("flat"), lambda: np.full((256, 256), 128.0, np.float32), (7,))
    (exposure,) = written(iter([flat]), synth.Recipe(noise, bits=16), tmp_path / "out")
    assert exposure.noisy.name == "flat_mine_std5_seed7_noisy.png"
    noisy = files.read(exposure.noisy, value_range=(0, 65535)).grey - 128
    assert noisy.std() == pytest.approx(5.0, rel=0.03)
    assert (noisy[:, 2:] * noisy[:, :-2]).mean() == pytest.approx(25 * 0.48, rel=0.05)
    unscaled = synth_noise.profile_noise(tmp_path / "mine.json", None)
    assert unscaled.profile.deviation_at(MID_GREY) == 2


def test_a_profile_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    write_profile(NoiseProfile.white(0.0), tmp_path / "none.json")
    with pytest.raises(UsageError, match="no noise at mid-grey"):
        synth_noise.profile_noise(tmp_path / "none.json", 2.0)
    with pytest.raises(UnreadableFileError, match="missing"):
        synth_noise.profile_noise(tmp_path / "missing.json", None)


def test_detectors_write_over_nothing(tmp_path: Path) -> None:
    recipe = synth.Recipe(synth_noise.DetectorNoise("cr", 2.0))
    for _ in range(2):
        (exposure,) = written(synth.phantoms(64, 1, 0), recipe, tmp_path)
    assert len((tmp_path / synth.MANIFEST).read_text().splitlines()) == 1
    assert exposure.profile
    write_profile(NoiseProfile.white(1.0), exposure.profile)
    with pytest.raises(UnwritableFileError, match="holds something else"):
        list(synth.synthesise(synth.phantoms(64, 1, 0), recipe, tmp_path))
    exposure.profile.write_text("my notes")
    with pytest.raises(UnwritableFileError, match="holds something else"):
        list(synth.synthesise(synth.phantoms(64, 1, 0), recipe, tmp_path))


def test_one_seed_is_one_exposure_of_a_detector_whatever_the_depth(tmp_path: Path) -> None:
    """The same draw rounded to 8 and to 16 bits: half a grey level and the rounding of the clean image apart."""
    grey = np.random.default_rng(0).uniform(20, 230, (64, 64)).astype(np.float32)
    shown = []
    exact = Radiograph.from_grey(grey, bits=8).grey
    for bits in (8, 16):
        subject = synth.Subject(Path("own"), lambda: exact, (3,))
        recipe = synth.Recipe(synth_noise.DetectorNoise("csi", 2.0), bits=bits)
        (exposure,) = written(iter([subject]), recipe, tmp_path / str(bits))
        shown.append(files.read(exposure.noisy, value_range=(0, 2**bits - 1)).grey)
    assert np.abs(shown[0] - shown[1]).max() < 0.51


@pytest.mark.parametrize("sample", [Sample(), Sample(inverted=True), Sample("CR", bits=10, signed=True, padding=-512)])
def test_a_dicom_file_with_noise_is_derived_from_its_source(tmp_path: Path, sample: Sample) -> None:
    """Noise of three grey levels in 21x24 pixels: its deviation is known to 3 %, and rounding is a tenth of a level."""
    rng = np.random.default_rng(0)
    low, high = sample.limits
    stored = rng.integers(low + 100, high - 100, (1, 24, 21)).astype(sample.dtype)
    if sample.padding is not None:
        stored[:, :5, :4] = sample.padding
    source = write(tmp_path / "a.dcm", sample, stored)
    clean = files.read(source)
    subjects, _ = synth.radiographs([source], tmp_path / "out", count=2)
    recipe = synth.Recipe(synth_noise.DetectorNoise("white", 3.0), format="dcm")
    first, second = written(subjects, recipe, tmp_path / "out")
    assert first.clean is not None
    assert first.profile is not None
    noisy = files.read(first.noisy, value_range=clean.value_range)
    assert np.array_equal(files.read(first.clean).stored, clean.stored)
    valid = slice(None) if clean.padding is None else ~clean.padding
    assert (noisy.grey - clean.grey)[valid].std() == pytest.approx(3.0, rel=0.15)
    if clean.padding is not None:
        assert np.array_equal(noisy.padding, clean.padding)
    told = read_profile(first.profile)
    assert told.black_white == clean.black_white
    step = 255 / (clean.value_range[1] - clean.value_range[0])
    assert told.deviation_at(MID_GREY) == pytest.approx((9 + step**2 / 12) ** 0.5)
    assert json.loads((tmp_path / "out" / synth.MANIFEST).read_text().splitlines()[0])["bits"] == sample.bits

    original, *made = (pydicom.dcmread(path) for path in (source, first.noisy, second.noisy, first.clean))
    assert len({one.SOPInstanceUID for one in (original, *made)}) == 4
    for one, words in zip(made, ("deviation 3 grey levels at mid-grey", "seed 1", "Pixels copied"), strict=True):
        assert words in one.DerivationDescription
        assert ("Simulated noise added" in one.DerivationDescription) == (one is not made[2])
        assert one.ImageType[0] == "DERIVED"
        assert one.SeriesDescription.endswith("[simulated noise]")
        assert "DerivationCodeSequence" not in one
        assert one.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
        for keyword in ("PatientName", "BodyPartExamined", "StudyInstanceUID", "PatientOrientation", "BitsStored"):
            assert one.get(keyword) == original.get(keyword)
        assert one.get("ImagerPixelSpacing") == original.get("ImagerPixelSpacing")
    written(subjects, recipe, tmp_path / "out")  # again, without a complaint


def test_a_picture_becomes_no_dicom_file(tmp_path: Path) -> None:
    """Nothing is known of its patient, its anatomy and its size."""
    subjects, _ = synth.radiographs([png(tmp_path / "a.png", 90)], tmp_path / "out")
    (failure,) = synth.synthesise(subjects, synth.Recipe(LEVEL, format="dcm"), tmp_path / "out")
    assert isinstance(failure, synth.Failure)
    assert "only a DICOM image becomes a DICOM image" in str(failure.error)
    assert failure.error.hint == "write PNG or TIFF files"
    assert not list((tmp_path / "out").iterdir())


def png(path: Path, grey: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((32, 32), grey, np.uint8)).save(path)
    return path


def test_a_folder_keeps_its_tree_and_every_image_has_its_exposures(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png", 90)
    png(tmp_path / "in" / "deep" / "a.png", 120)
    (tmp_path / "in" / "notes.txt").write_text("no radiograph")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    output = tmp_path / "in" / "out"
    for _ in range(2):  # what was written is no input of the second run
        subjects, left_alone = synth.radiographs([tmp_path / "in"], output, count=3, seed=5)
        assert [found.path.name for found in left_alone] == ["notes.txt"]
        exposures = list(synth.synthesise(subjects, synth.Recipe(LEVEL), output))
        failures = [one for one in exposures if isinstance(one, synth.Failure)]
        assert [one.source.name for one in failures] == ["broken.png"]
    names = [f"a_eta0.6_sigma10_seed{seed}_noisy.png" for seed in (5, 6, 7)]
    expected = sorted([*names, "a_clean.png", *(f"deep/{name}" for name in names), "deep/a_clean.png"])
    assert sorted(path.relative_to(output).as_posix() for path in output.rglob("*.png")) == expected
    entries = [json.loads(line) for line in (output / synth.MANIFEST).read_text().splitlines()]
    assert {entry["noisy"] for entry in entries} == {name for name in expected if "noisy" in name}
    assert {entry["seed"] for entry in entries} == {5, 6, 7}
    assert len(entries) == 6


def test_results_beside_their_sources_are_exposed_by_no_second_run(tmp_path: Path) -> None:
    source = png(tmp_path / "sub" / "a.png", 90)
    for earlier in (0, 2):
        subjects, left_alone = synth.radiographs([tmp_path], tmp_path)
        assert [subject.source for subject in subjects] == [source]
        assert sum(found.reason == "an earlier result" for found in left_alone) == earlier
        (exposure,) = written(subjects, synth.Recipe(LEVEL), tmp_path)
    subjects, _ = synth.radiographs([exposure.noisy], tmp_path)
    assert len(subjects) == 1, "asked for by its name"


def test_exposures_differ_by_seed_and_by_image_and_by_nothing_else(tmp_path: Path) -> None:
    paths = [png(tmp_path / f"{grey}.png", grey) for grey in (100, 101)]

    def noise(inputs: list[Path], folder: str, **options: int) -> list[np.ndarray]:
        subjects, _ = synth.radiographs(inputs, tmp_path / folder, **options)
        exposures = written(
            subjects, synth.Recipe(synth_noise.LevelNoise((1e6, 1e6), (10, 10)), bits=16), tmp_path / folder
        )
        return [files.read(one.noisy, value_range=(0, 65535)).grey - 100 for one in exposures]

    alone, together = noise(paths[1:], "a"), noise(paths, "b")
    assert np.array_equal(alone[0], together[1]), "other inputs decide nothing"
    assert abs(np.corrcoef(together[0].ravel(), together[1].ravel())[0, 1]) < 0.2
    several = noise(paths[1:], "c", count=2)
    assert np.array_equal(several[0], alone[0])
    assert abs(np.corrcoef(several[0].ravel(), several[1].ravel())[0, 1]) < 0.2
    assert np.array_equal(several[1], noise(paths[1:], "c", seed=1)[0]), "a second seed writes beside the first"


def test_a_link_to_nothing_is_not_replaced(tmp_path: Path) -> None:
    image = Radiograph.from_grey(np.full((4, 5), 9.0), bits=8)
    (tmp_path / "a.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(UnwritableFileError, match="holds another image"):
        synth._write(image, tmp_path / "a.png")
    assert (tmp_path / "a.png").is_symlink()


def test_two_images_of_one_name_are_refused_before_the_first(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png", 90)
    png(tmp_path / "in" / "a.tif", 90)
    with pytest.raises(UsageError, match=r"a\.png and .*a\.tif would both become"):
        synth.radiographs([tmp_path / "in"], tmp_path / "out")
