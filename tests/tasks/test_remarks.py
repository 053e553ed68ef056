"""Every result says whether what was removed looks like noise; a lower strength follows where it does not."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import xray_denoise as xd
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.detectors import detector_profile
from xray_denoise.physics.noise_estimate import estimate_profile
from xray_denoise.physics.profile import Noise, NoiseProfile
from xray_denoise.tasks.jobs import MANIFEST_NAME
from xray_denoise.tasks.remarks import MOST_SHARE, NUMBERS, Strength, remarks_on

WHITE = NoiseProfile.white(4.0)
STRUCTURE, MORE, CORRELATED = (
    "removed structure along edges",
    "removed more than the noise found",
    "the spectrum of the noise",
)
SIDE = 320


@cache
def phantom() -> NDArray[np.float64]:
    return chest_phantom(SIDE, rng=np.random.default_rng(3)).astype(np.float64)


def noise(profile: NoiseProfile = WHITE) -> NDArray[np.float64]:
    return profile.draw(phantom(), np.random.default_rng(4)).astype(np.float64)


def smooth_noise() -> NoiseProfile:
    """The spectrum of a scintillator, with the same deviation at every grey level."""
    return NoiseProfile(np.array([127.5]), np.array([4.0]), detector_profile("csi", 4.0).kernel)


def judged(
    removed: NDArray[np.floating],
    profile: NoiseProfile = WHITE,
    *,
    strength: Strength = 1.0,
    told: NoiseProfile | None = None,
    given: Noise | None = None,
) -> Any:
    noisy = phantom() + noise(profile)
    return remarks_on(Denoised.of(noisy, noisy - removed, None, None, told), strength, given=given)


def test_noise_that_was_removed_gets_no_note() -> None:
    for told in (None, WHITE):
        found = judged(noise(), told=told)
        assert found.notes == ()
        assert found.strength == 1
        assert found.share == pytest.approx(1, abs=0.1)


def test_a_blurred_image_gets_one() -> None:
    noisy = phantom() + noise()
    (note, *_) = judged(noisy - gaussian_filter(noisy, 1)).notes
    assert note.startswith(STRUCTURE)


def test_more_than_the_noise_gets_one_unless_the_strength_is_low() -> None:
    for factor in (1.1, 1.5):
        notes = judged(factor * noise(), told=WHITE).notes
        assert [note.startswith(MORE) for note in notes] == [True] * (factor > MOST_SHARE), notes
    assert judged(1.5 * noise(), told=WHITE, strength=0.5).notes == ()


def test_noise_that_was_told_is_checked_too() -> None:
    """Told twice the noise, a method that removes what it was told removes more than an estimate of ours finds."""
    notes = judged(2 * noise(), told=WHITE.scaled(2), given=WHITE.scaled(2)).notes
    assert any(note.startswith(MORE) for note in notes)


def test_correlated_noise_is_news_to_a_method_for_white_noise_only() -> None:
    drawn = smooth_noise()
    assert any(note.startswith(CORRELATED) for note in judged(noise(drawn), drawn).notes)
    assert judged(noise(drawn), drawn, told=drawn).notes == ()
    given = judged(noise(drawn), drawn, told=WHITE, given=WHITE)
    assert any(note.startswith(CORRELATED) for note in given.notes)
    same = judged(noise(drawn), drawn, told=drawn, given=drawn)
    assert not any(note.startswith(CORRELATED) for note in same.notes)


def test_an_image_without_fine_noise_seems_processed_already() -> None:
    """The processed detector has the least power at high frequencies of all, and is not denoised yet."""
    kernel = gaussian_filter(np.pad([[1.0]], 4), 1.0)
    blurred = NoiseProfile(np.array([127.5]), np.array([4.0]), kernel / np.sqrt((kernel**2).sum()))
    processed = NoiseProfile(np.array([127.5]), np.array([4.0]), detector_profile("processed", 4.0).kernel)
    for drawn, wanted in ((blurred, True), (processed, False), (WHITE, False)):
        notes = judged(noise(drawn), drawn, told=drawn).notes
        assert any("denoised or enlarged already" in note for note in notes) == wanted, notes


def test_the_strength_is_lowered_to_the_noise_along_edges() -> None:
    noisy = phantom() + noise()
    removed = noisy - gaussian_filter(noisy, 1)
    found = judged(removed, strength="auto", told=WHITE)
    assert 0.2 < found.strength < 1
    assert found.strength == math.floor(100 / found.removed.edge_share) / 100
    assert found.notes[0].endswith(f"strength lowered to {found.strength:g}")
    assert judged(noise(), strength="auto").strength == 1
    assert judged(0 * noisy, strength="auto").strength == 1


@pytest.mark.parametrize("steepness", [0.0, 60.0, 200.0])
def test_noise_left_in_an_even_field_is_no_edge(steepness: float) -> None:
    """What a blur leaves of the noise is like what it removes: measured, a correlation of 0.4 and more."""
    even = 20 + np.linspace(0, steepness, SIDE)[None] * np.ones((SIDE, 1))
    noisy = even + WHITE.draw(even, np.random.default_rng(4))
    found = remarks_on(Denoised.of(noisy, gaussian_filter(noisy, 1.0), profile=WHITE), 1.0)
    assert found.removed is not None
    assert found.removed.edge_correlation > 0.3
    assert found.numbers["edge_correlation"] is found.numbers["edge_ratio"] is None
    assert found.notes == ()


@pytest.mark.parametrize(
    "image",
    [
        np.where(chest_phantom(256, rng=np.random.default_rng(0)) > 128, 225.0, 25.0),
        np.where((np.indices((256, 256)) // 2).sum(axis=0) % 2, 150.0, 100.0),
        chest_phantom(40, rng=np.random.default_rng(0)).astype(np.float64),
    ],
    ids=["two values", "checkerboard", "tiny"],
)
def test_where_noise_cannot_be_told_from_structure_that_is_said(image: NDArray[np.float64]) -> None:
    estimate = estimate_profile(image)
    assert estimate.confidence == 0
    assert estimate.profile.deviation.max() <= image.std(), "noise cannot be stronger than all there is"
    found = Denoised.of(image, gaussian_filter(image, 1.0), profile=estimate)
    assert any("could not be told from structure" in note for note in remarks_on(found, 1.0).notes)
    assert not any("could not be told" in note for note in remarks_on(found, 1.0, given=WHITE).notes)


def test_nothing_is_said_of_nothing() -> None:
    for found in (judged(0 * noise()), judged(noise(), strength=0.0)):
        assert found.notes == ()
        assert found.removed is None


@pytest.mark.parametrize(("share", "grey", "expected"), [(0.2, 0.8, True), (0.3, 1.2, False), (0.2, 0.04, False)])
def test_noise_that_stays_is_noted(share: float, grey: float, expected: bool) -> None:
    """Once: where the change is so small that it is noted itself, nothing is said of its share."""
    found = judged(share * noise()).with_change(grey)
    assert any("little of the noise was removed" in note for note in found.notes) == expected
    assert len(found.notes) == (expected or grey < 0.05)


def test_a_low_strength_is_not_noted_as_noise_that_stays() -> None:
    assert judged(noise(), strength=0.2).with_change(0.8).notes == ()


class Blurring(Denoiser):
    """A Gaussian filter: it removes structure."""

    name = "blurring"

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:  # noqa: ARG002
        return Denoised.of(noisy, gaussian_filter(np.asarray(noisy, np.float32), 1), xd.NoiseLevel(math.inf, 1.0))


def test_what_is_said_is_in_files_logs_and_manifests(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    xd.write(xd.Radiograph.from_grey(phantom() + noise(WHITE.scaled(0.25)), bits=12), tmp_path / "in" / "a.dcm")

    def run(strength: Strength, existing: Any = "error") -> Any:
        (found,) = xd.denoise_files(
            tmp_path / "in", tmp_path / "out", model=Blurring(), strength=strength, log=tmp_path / "log.jsonl",
            report=tmp_path / "page.html", existing=existing, value_range=(0, 4095),
        )  # fmt: skip
        return found

    outcome = run("auto")
    used = outcome.remarks.strength
    assert 0 < used < 1
    (note,) = (note for note in outcome.notes if note.startswith(STRUCTURE))
    assert f"strength lowered to {used:g}" in note
    text = pydicom.dcmread(outcome.target).DerivationDescription
    assert f"strength auto ({used:g})" in text
    assert note in text
    logged = json.loads((tmp_path / "log.jsonl").read_text())
    assert note in logged["notes"]
    assert logged["strength"] == used
    assert logged["edge_correlation"] > 0.2
    assert logged["removed_share"] == pytest.approx(outcome.remarks.share, rel=1e-4)
    assert logged["noise_deviation_stored"] == pytest.approx(4095 / 255, rel=0.01)
    line = json.loads((tmp_path / "out" / MANIFEST_NAME).read_text())
    assert line["recipe"]["strength"] == "auto"
    assert line["found"] == dict(zip(NUMBERS, (outcome.remarks.numbers[name] for name in NUMBERS), strict=True))
    assert note in line["notes"]
    assert note in (tmp_path / "page.html").read_text()

    assert run("auto", "skip").status == "skipped"
    assert run(used, "skip").status == "written", "the strength was chosen by hand"


def test_arrays_take_auto_too() -> None:
    noisy = phantom() + noise()
    found = xd.denoise(noisy, value_range=(0, 255), model=Blurring(), strength="auto")
    (used,) = found.strengths
    assert 0.2 < used < 1
    np.testing.assert_allclose(found.image, noisy - used * (noisy - gaussian_filter(noisy, 1)), atol=1e-3)
    with pytest.raises(UsageError, match="strength"):
        xd.denoise(noisy, value_range=(0, 255), model=Blurring(), strength="half")  # type: ignore[arg-type]
