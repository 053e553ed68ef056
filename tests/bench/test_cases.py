"""What the benchmark measures and what it keeps: images, patches, and the lines of its log."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xray_denoise.bench import cases
from xray_denoise.bench.cases import Case, CleanImage, in_patches
from xray_denoise.errors import UnreadableFileError
from xray_denoise.physics.detectors import detector_profile
from xray_denoise.radiograph import Radiograph


def test_phantoms_are_whole_grey_levels_and_repeat() -> None:
    drawing = cases.phantoms(size=256)
    first, second = next(drawing), next(drawing)
    for image in (first, second):
        assert image.grey.shape == (256, 256)
        assert image.grey.dtype == np.float32
        assert (image.grey == np.rint(image.grey)).all()
        assert 0 <= image.grey.min() < image.grey.max() <= 255
    assert first.sha256 != second.sha256
    assert next(cases.phantoms(size=256)).sha256 == first.sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine pictures of 300x280 pixels that grow brighter downwards."""
    grey = np.add.outer(np.arange(300), np.zeros(280)).clip(0, 255).astype(np.uint8)
    for number in range(9):
        Image.fromarray(grey).save(tmp_path / f"Doe_{number}.png")
    return tmp_path


def test_radiographs_are_read_one_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = cases.files.read
    monkeypatch.setattr(cases.files, "read", lambda path: read.append(path.name) or plain(path))
    found = cases.image_set(folder)
    image = next(found.open())
    assert (found.count, read) == (9, ["Doe_0.png"])
    assert image.name == "image 1", "the name of a file may name a patient"
    assert (image.grey.min(), image.grey.max(), image.grey.shape) == (0, 255, (300, 280))


def test_radiographs_are_clipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = Radiograph.from_grey(np.linspace(0, 255, 600).reshape(20, 30), bits=8)
    monkeypatch.setattr(cases.files, "read", lambda _: replace(outside, value_range=(50.0, 200.0)))
    image = next(cases.radiographs([Path("a.png")]))
    assert (image.grey.min(), image.grey.max()) == (0, 255)


def test_quick_takes_the_centres_of_the_first(folder: Path) -> None:
    whole, quick = cases.image_set(folder), cases.image_set(folder, quick=True)
    assert quick.words == f"3 radiographs of {folder.name}, their centres of 256x256 pixels"
    found = list(quick.open())
    assert [image.name for image in found] == ["image 1", "image 2", "image 3"]
    np.testing.assert_array_equal(found[0].grey, next(whole.open()).grey[22:278, 12:268])
    small = CleanImage("small", found[0].grey[:24, :24])
    assert small.centre(256).grey.shape == (24, 24)
    assert cases.image_set(None, quick=True).words == "3 built-in phantoms, their centres of 256x256 pixels"


def test_an_image_too_small_for_ssim_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((10, 40), np.uint8)).save(path)
    with pytest.raises(UnreadableFileError, match="too small") as caught:
        list(cases.image_set(tmp_path).open())
    assert caught.value.path == path


def picture(size: int = 300, dark: int = 0) -> CleanImage:
    y, x = np.mgrid[:size, :size]
    grey = np.where(x < dark, 0, 50 + (x * y) % 150)
    return CleanImage("image 1", grey.astype(np.float32))


def test_patches_repeat_and_differ() -> None:
    one, again, other = (list(in_patches(picture(), seed)) for seed in (0, 0, 1))
    assert len(one) == cases.PATCHES
    assert [(case.image.sha256, case.noise) for case in one] == [(case.image.sha256, case.noise) for case in again]
    assert len({case.image.sha256 for case in one}) == len({case.noise for case in one}) == cases.PATCHES
    assert not {case.noise for case in one} & {case.noise for case in other}
    assert {case.image.grey.shape for case in one} == {(128, 128)}
    for case, twin in zip(one, again, strict=True):
        np.testing.assert_array_equal(case.noisy(0), twin.noisy(0))
    assert list(in_patches(picture(), 0, count=4))[3].noise == one[3].noise, "a patch does not depend on the others"


def test_levels_of_patches_fill_their_ranges() -> None:
    levels = [case.noise for case in in_patches(picture(130), 0, count=400)]
    for values, (low, high) in (
        ([level.eta for level in levels], cases.PATCH_ETA),
        ([level.sigma for level in levels], cases.PATCH_SIGMA),
    ):
        assert low <= min(values) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < max(values) <= high
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=5 * (high - low) / (12 * 400) ** 0.5)


def test_patches_without_a_body_are_left_out() -> None:
    means = [case.image.grey.mean() for case in in_patches(picture(600, dark=400), 0)]
    assert min(means) >= cases.DARKEST_PATCH
    black = CleanImage("black", np.zeros((200, 200), dtype=np.float32))
    assert len(list(in_patches(black, 0, count=2))) == 2, "there is an end to trying"


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(UnreadableFileError, match="too few for Table I"):
        list(in_patches(picture(127), 0))


def test_noise_does_not_depend_on_the_last_digits_of_a_processor() -> None:
    profile = detector_profile("csi", 2.0)
    other = replace(profile, deviation=profile.deviation * (1 + 1e-15), kernel=profile.kernel * (1 + 1e-15))
    grey = picture().grey
    image, twin = (CleanImage("phantom 0", one, "phantom 0") for one in (grey, grey * np.float32(1 + 1e-7)))
    case, same = Case(image, profile), Case(twin, other)
    assert case.key(0) == same.key(0)
    np.testing.assert_allclose(case.noisy(0), same.noisy(0), atol=1e-4)
    for else_ in (Case(CleanImage("", grey, "phantom 1"), profile), Case(image, profile.scaled(1.001))):
        assert else_.key(0) != case.key(0)
        assert np.abs(else_.noisy(0) - case.noisy(0)).std() > 1
    assert Case(CleanImage("", grey), profile).key(0) != Case(CleanImage("", grey + 1e-4), profile).key(0)
