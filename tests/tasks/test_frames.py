"""The frames of a run are denoised with their neighbours in time, where the file or the user says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.tag import Tag

import xray_denoise as xd
from tests.synthetic_dicom import Sample, write
from xray_denoise import files
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks.frames import with_neighbours


class Seeing(Denoiser):
    """Finds noise in several frames; notes the neighbours that it is shown with each."""

    name = "seeing"

    def __init__(self, *, scene: bool = True) -> None:
        self.scene = scene
        self.shown: list[list[int]] = []

    def noise_of_scene(self, frames: Any) -> Any:  # noqa: ARG002 - the same whatever they show
        return NoiseLevel(1.5, 2) if self.scene else None

    def denoise_frame(self, frame: NDArray[np.floating], noise: Any, others: Any) -> Denoised:
        self.shown.append([round(float(other.mean())) for other in others])
        return super().denoise_frame(frame, noise, others)

    def __call__(self, noisy: NDArray[np.floating], level: Any = None) -> Denoised:
        return Denoised.of(noisy, noisy - 10, level)


class Looking(Seeing):
    """Notes a row of each frame, grey levels."""

    def __init__(self, *, scene: bool = True) -> None:
        super().__init__(scene=scene)
        self.greys: list[NDArray[np.floating]] = []

    def __call__(self, noisy: NDArray[np.floating], level: Any = None) -> Denoised:
        self.greys.append(noisy[20])
        return super().__call__(noisy, level)


def images(count: int) -> list[Radiograph]:
    return [Radiograph(np.full((2, 3), number, np.uint8), (0.0, 255.0)) for number in range(count)]


@pytest.mark.parametrize("radius", [0, 1, 2, 4])
def test_each_frame_comes_with_those_around_it(radius: int) -> None:
    for count in (1, 2, 3, 7):
        found = [
            (int(frame.stored[0, 0]), [int(other.stored[0, 0]) for other in others])
            for frame, others in with_neighbours(iter(images(count)), radius)
        ]
        expected = [
            (at, [other for other in range(max(at - radius, 0), min(at + radius, count - 1) + 1) if other != at])
            for at in range(count)
        ]
        assert found == expected


def test_frames_are_asked_for_only_as_far_as_they_are_needed() -> None:
    asked = []

    def coming() -> Any:
        for number, image in enumerate(images(9)):
            asked.append(number)
            yield image

    next(with_neighbours(coming(), 2))
    assert asked == [0, 1, 2]


def test_pages_of_another_size_are_no_neighbours(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((8, 9 - page % 2), 20 * page + 20, np.uint8)) for page in range(5)]
    pages[0].save(tmp_path / "in.tif", save_all=True, append_images=pages[1:])
    seeing = Seeing()
    xd.denoise_file(tmp_path / "in.tif", tmp_path / "out.tif", model=seeing, temporal="on")
    assert seeing.shown[:3] == [[60, 100], [80], [20, 100]]


def dicom(path: Path, frames: int, **attributes: Any) -> Path:
    return write(path, Sample(modality="XA", bits=8, allocated=8, shape=(40, 40), frames=frames), **attributes)


UNTIMED: dict[str, Any] = {"FrameIncrementPointer": None}
TIMED = {"FrameIncrementPointer": Tag(0x00181063), "FrameTime": "33"}


@pytest.mark.parametrize(
    ("attributes", "timed"),
    [
        (UNTIMED, False),
        (TIMED, True),
        ({"FrameIncrementPointer": Tag(0x00181065), "FrameTimeVector": ["0", "33", "40"]}, True),
        ({**TIMED, "PositionerMotion": "DYNAMIC"}, False),
        ({**TIMED, "TableMotion": "DYNAMIC"}, False),
        ({**TIMED, "PositionerMotion": "STATIC", "TableMotion": "STATIC"}, True),
        ({"FrameIncrementPointer": Tag(0x00200013)}, False),
        ({"FrameIncrementPointer": [Tag(0x00181063), Tag(0x00540010)], "FrameTime": "33"}, True),
    ],
)
def test_the_header_tells_whether_frames_follow_each_other(
    tmp_path: Path, attributes: dict[str, Any], timed: bool
) -> None:
    path = dicom(tmp_path / "run.dcm", 3, **attributes)
    assert files.is_timed(next(files.read_frames(path))) is timed


@pytest.mark.parametrize(("temporal", "plain", "timed"), [("auto", 0, 8), ("on", 8, 8), ("off", 0, 0)])
def test_frames_are_averaged_where_the_file_or_the_user_says_so(
    tmp_path: Path, temporal: Any, plain: int, timed: int
) -> None:
    """The frame in the middle of nine has four neighbours on both sides."""
    for attributes, expected in ((UNTIMED, plain), (TIMED, timed)):
        path, seeing = dicom(tmp_path / "run.dcm", 9, **attributes), Seeing()
        xd.denoise_file(path, tmp_path / "out.dcm", model=seeing, temporal=temporal, existing="overwrite")
        assert len(seeing.shown[4]) == expected
        assert [len(others) for others in seeing.shown] == ([4, 5, 6, 7, 8, 7, 6, 5, 4] if expected else [0] * 9)


def test_frames_that_show_different_things_are_denoised_one_by_one(tmp_path: Path) -> None:
    seeing = Seeing(scene=False)
    xd.denoise_file(dicom(tmp_path / "run.dcm", 5, **TIMED), tmp_path / "out.dcm", model=seeing, temporal="on")
    assert seeing.shown == [[]] * 5


@pytest.mark.parametrize(
    ("scene", "given", "temporal", "same"),
    [
        (True, None, "auto", True),
        (True, None, "off", True),
        (False, None, "auto", False),
        (False, NoiseLevel(1.5, 2), "auto", True),
        (False, NoiseLevel(1.5, 2), "off", False),
    ],
)
def test_all_frames_of_a_scene_have_the_scale_that_its_noise_is_given_on(
    tmp_path: Path, scene: bool, given: NoiseLevel | None, temporal: Any, same: bool
) -> None:
    """Something black and something white come into the picture, which the value range of a single frame follows."""
    stack = np.tile(np.linspace(1000, 2000, 40).astype(np.uint16), (6, 40, 1))
    stack[4:, :9, :9], stack[4:, :9, 20:29] = 0, 4000
    looking = Looking(scene=scene)
    sample = Sample(modality="XA", bits=12, shape=(40, 40), frames=6)
    write(tmp_path / "run.dcm", sample, stack, **TIMED)
    xd.denoise_file(
        tmp_path / "run.dcm",
        tmp_path / "out.dcm",
        model=looking,
        profile_or_level=given,
        temporal=temporal,
    )
    assert [np.array_equal(grey, looking.greys[0]) for grey in looking.greys] == [True] * 4 + [same] * 2


@pytest.mark.parametrize("shown", [0.0, 0.001, 0.3])
def test_a_blank_or_dim_first_frame_does_not_set_the_scale(tmp_path: Path, shown: float) -> None:
    """As runs begin that are recorded from before the exposure, or while it is being regulated."""
    stack = np.tile(np.linspace(1000, 2000, 40).astype(np.uint16), (6, 40, 1))
    stack[0] = stack[0] * shown
    looking = Looking()
    write(tmp_path / "run.dcm", Sample(modality="XA", bits=12, shape=(40, 40), frames=6), stack, **TIMED)
    xd.denoise_file(tmp_path / "run.dcm", tmp_path / "out.dcm", model=looking)
    assert looking.greys[1].min() < 5
    assert 250 < looking.greys[1].max() < 260
    assert all(np.array_equal(grey, looking.greys[1]) for grey in looking.greys[2:])


def test_a_stack_is_averaged_where_the_caller_says_so() -> None:
    stack = np.stack([np.full((8, 8), 10 * number, np.uint8) for number in range(6)])
    for temporal, expected in ((True, [[10, 20, 30, 40], [0, 20, 30, 40, 50]]), (False, [[], []])):
        seeing = Seeing()
        xd.denoise(stack, model=seeing, temporal=temporal)
        assert seeing.shown[:2] == expected


class Measuring(Seeing):
    """Finds the noise in the difference of two frames that are not black; notes the white deviation that it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float | None] = []

    def noise_of_scene(self, frames: Any) -> Any:
        shown = [frame for frame in frames if frame.any()]
        return NoiseProfile.white((shown[1] - shown[0]).std() / 2**0.5) if len(shown) > 1 else None

    def __call__(self, noisy: NDArray[np.floating], level: Any = None) -> Denoised:
        self.told.append(None if level is None else round(float(level.deviation[0]), 1))
        return super().__call__(noisy, level)


ROWS, COLUMNS = np.mgrid[:64, :64]
SCENE = 2000 + 1500 * np.sin(ROWS / 10) * np.cos(COLUMNS / 15)
OTHER = 2000 + 1500 * np.cos(ROWS / 5) * np.cos(COLUMNS / 20)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ([(SCENE, 96)] * 4 + [(OTHER, 16), (OTHER / 10, 4), (SCENE, 96)], [6, 6, 6, 6, None, None, 6]),
        ([(SCENE, 96)] * 3 + [(SCENE, 16)] * 4, [6, 6, 6, 1, 1, 1, 1]),
        ([(SCENE, 96)] * 2 + [(OTHER, 16)] * 3 + [(SCENE, 96)], [6, 6, 1, 1, 1, 6]),
        ([(SCENE, 16), *[(OTHER, 96)] * 5], [None, 6, 6, 6, 6, 6]),
        ([(SCENE / 20, 16)] * 4 + [(SCENE / 3, 48), (SCENE, 96), (SCENE, 96)], [1, 1, 1, 1, None, 6, 6]),
        ([(SCENE * 0, 0)] * 6 + [(SCENE, 96)] * 2, [None] * 4 + [6, 6, 6, 6]),
    ],
)
def test_every_scene_and_every_exposure_gets_the_noise_of_its_own(
    tmp_path: Path, run: list[tuple[NDArray[np.float64], float]], told: list[float | None]
) -> None:
    """Deviations in stored values, of 4096; told in grey levels."""
    rng = np.random.default_rng(0)
    stack = np.stack([np.rint(clean + rng.normal(0, deviation, clean.shape)).clip(0, 4095) for clean, deviation in run])
    sample = Sample(modality="XA", bits=12, shape=(64, 64), frames=len(run))
    write(tmp_path / "run.dcm", sample, stack.astype(np.uint16), **TIMED)
    array, file, averaged = Measuring(), Measuring(), Measuring()
    xd.denoise(stack.astype(np.uint16), value_range=(0, 4095), model=array)
    xd.denoise_file(tmp_path / "run.dcm", tmp_path / "out.dcm", model=file, value_range=(0, 4095))
    xd.denoise(stack.astype(np.uint16), value_range=(0, 4095), model=averaged, temporal=True)
    for found in (array, file, averaged):
        assert [one and round(one) for one in found.told] == told
    assert averaged.shown == file.shown
    assert [len(others) for others in file.shown] == [
        0 if one is None else sum(other == one for other in [*told[max(at - 4, 0) : at], *told[at + 1 : at + 5]])
        for at, one in enumerate(told)
    ]


def test_a_later_exposure_has_the_scale_that_its_noise_is_given_on(tmp_path: Path) -> None:
    """The value range of the first frames would make white of a hundred grey levels."""
    stack = np.stack([SCENE / 20] * 4 + [SCENE] * 3).astype(np.uint16)
    write(tmp_path / "run.dcm", Sample(modality="XA", bits=12, shape=(64, 64), frames=7), stack, **TIMED)
    looking = Looking()
    xd.denoise_file(tmp_path / "run.dcm", tmp_path / "out.dcm", model=looking)
    assert all(grey.min() > -5 and grey.max() < 260 for grey in looking.greys)


def test_a_method_that_finds_no_noise_in_frames_is_asked_once_for_all_that_were_read() -> None:
    class Asked(Seeing):
        asked = 0

        def noise_of_scene(self, frames: Any) -> Any:  # noqa: ARG002 - whatever they show
            self.asked += 1

    asked = Asked()
    xd.denoise(np.stack([SCENE] * 9).astype(np.uint16), value_range=(0, 4095), model=asked)
    assert asked.asked == 2, "of nine frames, at the first and the fifth"


def test_frames_that_tell_no_noise_do_not_keep_later_ones_from_telling_theirs() -> None:
    class Patient(Measuring):
        def noise_of_scene(self, frames: Any) -> Any:
            return None if np.median(frames[0]) > 250 else super().noise_of_scene(frames)

    saturated, rng = np.full_like(SCENE, 4095), np.random.default_rng(0)
    saturated[:40, :40] = SCENE[:40, :40]
    noisy = [np.rint(SCENE + rng.normal(0, 96, SCENE.shape)).clip(0, 4095) for _ in range(5)]
    patient = Patient()
    xd.denoise(np.stack([saturated] * 4 + noisy).astype(np.uint16), value_range=(0, 4095), model=patient, temporal=True)
    assert [one and round(one) for one in patient.told] == [None] * 4 + [6] * 5


def test_the_default_model_averages_and_says_so(tmp_path: Path) -> None:
    """In a still scene more of the noise goes than from one frame alone: measured 0.87 of its error."""
    rows, columns = np.mgrid[:128, :128]
    clean = 100 + 40 * np.sin(rows / 19) * np.cos(columns / 23)
    profile, rng = NoiseProfile.white(4.0), np.random.default_rng(0)
    stack = np.stack([np.rint(clean + profile.draw(clean, rng)).clip(0, 255).astype(np.uint8) for _ in range(9)])
    together, alone = (
        xd.denoise(stack, value_range=(0, 255), profile_or_level=profile, temporal=temporal).image[4].astype(float)
        for temporal in (True, False)
    )
    errors = [float(np.sqrt(((image - clean) ** 2).mean())) for image in (together, alone)]
    assert errors[0] < 0.93 * errors[1]

    run = Sample(modality="XA", bits=8, allocated=8, shape=(128, 128), frames=9)
    write(tmp_path / "run.dcm", run, stack, **TIMED)
    for temporal, words in (("auto", True), ("off", False)):
        xd.denoise_file(
            tmp_path / "run.dcm",
            tmp_path / f"{temporal}.dcm",
            profile_or_level=profile,
            temporal=temporal,  # type: ignore[arg-type]
        )
        said = pydicom.dcmread(tmp_path / f"{temporal}.dcm", stop_before_pixels=True).DerivationDescription
        assert ("frames averaged where nothing moves" in said) is words


def test_pages_of_a_picture_are_averaged_only_on_request(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((8, 9), 20 * page + 20, np.uint8)) for page in range(5)]
    pages[0].save(tmp_path / "in.tif", save_all=True, append_images=pages[1:])
    for temporal, count in (("auto", 0), ("on", 4)):
        seeing = Seeing()
        xd.denoise_file(
            tmp_path / "in.tif",
            tmp_path / "out.tif",
            model=seeing,
            temporal=temporal,
            existing="overwrite",  # type: ignore[arg-type]
        )
        assert len(seeing.shown[2]) == count


def test_a_blank_frame_stays_as_it_is() -> None:
    """It holds no noise, whatever the noise of the scene is, and nothing comes into it from its neighbours."""
    rows, columns = np.mgrid[:96, :96]
    clean = 2000 + 800 * np.sin(rows / 19) * np.cos(columns / 23)
    rng = np.random.default_rng(0)
    shown = [np.rint(clean + rng.normal(0, 60, clean.shape)).astype(np.uint16) for _ in range(5)]
    for at, value in ((0, 0), (2, 0), (2, 4095)):
        stack = np.stack([*shown[:at], np.full_like(shown[0], value), *shown[at:]])
        result = xd.denoise(stack, value_range=(0, 4095), temporal=True).image
        assert (result[at] == value).all()
        assert result[-1].astype(float).std() != stack[-1].astype(float).std()


def test_the_report_of_a_run_is_of_a_frame_that_is_not_blank(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:192, :192]
    clean = 2000 + 800 * np.sin(rows / 19) * np.cos(columns / 23)
    rng = np.random.default_rng(0)
    shown = [np.rint(clean + rng.normal(0, 60, clean.shape)).astype(np.uint16) for _ in range(5)]
    found = []
    for name, stack in (("shown", shown), ("blank", [np.zeros_like(shown[0]), *shown])):
        write(
            tmp_path / f"{name}.dcm",
            Sample(modality="XA", shape=(192, 192), frames=len(stack)),
            np.stack(stack),
            **TIMED,
        )
        found.append(xd.denoise_file(tmp_path / f"{name}.dcm", tmp_path / f"{name}-out.dcm"))
    assert found[0].noise_over_image is not None
    assert found[0].noise_over_image > 2
    assert found[1].noise_over_image == pytest.approx(found[0].noise_over_image, rel=0.05)
    assert found[1].remarks is not None
    assert found[1].remarks.removed is not None, "nothing was removed from a blank frame"
    assert found[1].frames == 6
    assert found[1].notes == found[0].notes
    pixels = pydicom.dcmread(tmp_path / "blank-out.dcm").pixel_array
    assert not pixels[0].any()
