"""The benchmark measures what it says, repeats exactly, and loses nothing when it is interrupted."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise.denoisers import Denoised
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError
from xray_denoise.physics.metrics import mean_squared_error
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.tasks.bench.cases import SMALLEST, Case, CleanImage, at_levels
from xray_denoise.tasks.bench.log import Log, Measurement
from xray_denoise.tasks.bench.rows import Entry
from xray_denoise.tasks.bench.run import Pace, measurements

LEVELS = (NoiseLevel(0.4, 5.0), NoiseLevel(0.8, 15.0))
CASES = at_levels(LEVELS)
Grey = NDArray[np.floating]


@dataclass
class Nothing:
    """Returns its input."""

    name: str = "noisy"

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        return Denoised(np.asarray(noisy, dtype=np.float32), level)


@dataclass
class Planted:
    """Knows the clean image, and returns it with every pixel off by `error` grey levels."""

    clean: NDArray[np.float32] = field(repr=False)
    error: float = 25.5
    name: str = "planted"

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        height, width = noisy.shape
        return Denoised(self.clean[:height, :width] + np.float32(self.error), level)


@dataclass
class Witness:
    """Remembers what it was given."""

    name: str = "witness"
    levels: list[NoiseLevel | None] = field(default_factory=list, repr=False)
    images: list[Grey] = field(default_factory=list, repr=False)

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        self.levels.append(level)
        self.images.append(noisy.copy())
        return Denoised(np.asarray(noisy, dtype=np.float32))


@dataclass
class Refusing:
    """Must not be called; looks like `Nothing` to the log."""

    name: str = "noisy"

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        raise AssertionError(f"measured again: {noisy.shape}, {level}")


def clean_image(number: int = 0, size: int = 24) -> CleanImage:
    y, x = np.mgrid[:size, :size]
    return CleanImage(f"image {number}", (40 + number + 5 * x + y).astype(np.float32))


IMAGES = [clean_image(number) for number in range(3)]
NOISY = Entry("noisy", Nothing(), fingerprint="nothing")


def run(entries: Sequence[Entry], log: Log | None = None, seed: int = 0) -> list[Measurement]:
    return list(measurements(entries, IMAGES, log or Log(), cases=CASES, seed=seed))


def without_time(found: Sequence[Measurement]) -> list[Measurement]:
    return [replace(one, seconds=0.0) for one in found]


def test_a_known_error_gives_its_psnr() -> None:
    image = clean_image()
    entry = Entry("off by 25.5", Planted(image.grey))
    found = list(measurements([entry], [image], Log(), cases=CASES))
    assert [(one.method, one.image, one.eta, one.sigma) for one in found] == [
        ("off by 25.5", "image 0", 0.4, 5.0),
        ("off by 25.5", "image 0", 0.8, 15.0),
    ]
    power = float(np.mean(image.grey.astype(np.float64) ** 2))
    for one in found:
        assert one.psnr == pytest.approx(20.0, abs=1e-5)
        assert one.snr == pytest.approx(20.0 + 10 * math.log10(power / 255**2), abs=1e-5)
        assert 0.9 < one.ssim < 1
        assert 0.9 < one.ssim_paper < 1
        assert one.seconds >= 0


def test_images_run_outside_levels_run_outside_entries() -> None:
    found = run([NOISY, Entry("again", Nothing())])
    assert [(one.image, one.eta, one.method) for one in found[:5]] == [
        ("image 0", 0.4, "noisy"),
        ("image 0", 0.4, "again"),
        ("image 0", 0.8, "noisy"),
        ("image 0", 0.8, "again"),
        ("image 1", 0.4, "noisy"),
    ]
    assert len(found) == 12


def test_only_an_oracle_is_told_the_level() -> None:
    told, blind = Witness(), Witness()
    run([Entry("told", told, oracle=True), Entry("blind", blind)])
    assert set(told.levels) == set(LEVELS)
    assert set(blind.levels) == {None}


def test_every_entry_sees_the_same_noise_clipped_and_not_rounded() -> None:
    one, two = Witness(), Witness()
    list(measurements([Entry("one", one), Entry("two", two)], IMAGES, Log(), cases=CASES, warmup=0))
    assert len(one.images) == 6
    for first, second in zip(one.images, two.images, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.min() >= 0
        assert first.max() <= 255
        assert (first % 1 != 0).mean() > 0.9
    assert len({image.tobytes() for image in one.images}) == 6


def test_noise_has_the_level_asked_for() -> None:
    """MSE of n pixels of one variance is known to 5 sqrt(2 / n); grey levels are far from clipping."""
    flat = CleanImage("flat", np.full((400, 400), 120.0, dtype=np.float32))
    level = NoiseLevel(4.0, 6.0)
    found = mean_squared_error(Case(flat, level).noisy(0), flat.grey)
    assert found == pytest.approx(120 / 4 + 36, rel=5 * math.sqrt(2 / flat.grey.size))


def test_a_second_run_is_identical() -> None:
    assert without_time(run([NOISY])) == without_time(run([NOISY]))


def test_another_seed_is_other_noise() -> None:
    for one, other in zip(run([NOISY]), run([NOISY], seed=1), strict=True):
        assert one.psnr != other.psnr


def test_a_case_does_not_depend_on_the_others() -> None:
    alone = list(measurements([NOISY], IMAGES[2:], Log(), cases=at_levels(LEVELS[1:])))
    assert without_time(alone) == without_time(run([Entry("other", Nothing()), NOISY]))[-1:]


def test_the_first_call_is_on_a_small_crop_and_not_timed() -> None:
    witness = Witness()
    image = clean_image(size=100)
    list(measurements([Entry("w", witness)], [image], Log(), cases=CASES, warmup=2, repeat=3))
    assert [seen.shape[0] for seen in witness.images] == [64, 64, 100, 100, 100, 100, 100, 100]


def test_two_entries_of_one_title_are_refused() -> None:
    with pytest.raises(ValueError, match="title"):
        run([NOISY, NOISY])


def test_a_log_holds_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    found = run([NOISY], Log(path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["psnr"] for line in lines] == [one.psnr for one in found]
    assert lines[0]["denoiser"] == "noisy, blind, nothing"
    assert lines[0]["image_sha256"] == IMAGES[0].sha256
    assert lines[0]["seed"] == 0


def test_resuming_measures_nothing_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    found = run([NOISY], Log(path))
    size = path.stat().st_size
    known = Entry("noisy", Refusing(), fingerprint="nothing")
    assert run([known], Log(path, resume=True)) == found
    assert path.stat().st_size == size


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    running = measurements([NOISY], IMAGES, Log(path), cases=CASES)
    first = [next(running) for _ in range(4)]
    assert len(path.read_text().splitlines()) == 4
    witness = Witness(name="noisy")
    found = run([Entry("noisy", witness, fingerprint="nothing")], Log(path, resume=True))
    assert found[:4] == first
    assert without_time(found) == without_time(run([NOISY]))
    assert len(witness.images) == 1 + 2
    assert len(path.read_text().splitlines()) == 6


@pytest.mark.parametrize("cut", [1, 30, 10_000])
def test_a_truncated_last_line_is_measured_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "run.jsonl"
    found = run([NOISY], Log(path))
    content = path.read_bytes()
    start = content.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(content[: max(start + 3, len(content) - cut)])
    resumed = run([NOISY], Log(path, resume=True))
    assert resumed[:-1] == found[:-1]
    assert without_time(resumed) == without_time(found)
    assert [json.loads(line)["psnr"] for line in path.read_text().splitlines()] == [m.psnr for m in found]


@pytest.mark.parametrize(
    ("entry", "seed"),
    [
        (Entry("noisy", Witness(name="noisy"), fingerprint="nothing else"), 0),
        (Entry("noisy", Witness(name="noisy"), fingerprint="nothing", oracle=True), 0),
        (Entry("noisy", Witness(name="another"), fingerprint="nothing"), 0),
        (Entry("noisy", Witness(name="noisy"), fingerprint="nothing"), 1),
    ],
    ids=["weights", "oracle", "name", "seed"],
)
def test_what_differs_is_measured(tmp_path: Path, entry: Entry, seed: int) -> None:
    path = tmp_path / "run.jsonl"
    run([NOISY], Log(path))
    run([entry], Log(path, resume=True), seed)
    assert len(path.read_text().splitlines()) == 12


def test_other_pixels_are_another_image(tmp_path: Path) -> None:
    image = clean_image()
    other = CleanImage(image.name, image.grey + np.eye(24, dtype=np.float32))
    assert image.sha256 != other.sha256
    assert image.sha256 != CleanImage(image.name, image.grey.reshape(12, 48)).sha256
    assert image.sha256 == CleanImage("another name", image.grey.astype(np.float64)).sha256


def test_parameters_tell_denoisers_apart() -> None:
    grey = clean_image().grey
    identities = {Entry("t", Planted(grey, error)).identity for error in (1.0, 1.0, 2.0)}
    assert len(identities) == 2


def test_a_new_title_keeps_the_results(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run([NOISY], Log(path))
    found = run([Entry("do nothing", Refusing(), fingerprint="nothing")], Log(path, resume=True))
    assert {one.method for one in found} == {"do nothing"}


def test_an_infinite_psnr_survives_the_log(tmp_path: Path) -> None:
    path, image = tmp_path / "run.jsonl", clean_image()
    entry = Entry("perfect", Planted(image.grey, 0.0))
    level = NoiseLevel(math.inf, 0.0)
    found = list(measurements([entry], [image], Log(path), cases=at_levels([level])))
    assert found[0].psnr == math.inf
    assert "Infinity" not in path.read_text()
    assert list(measurements([entry], [image], Log(path, resume=True), cases=at_levels([level]))) == found


def test_a_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("mine\n")
    with pytest.raises(UsageError, match="exists"):
        Log(path)
    assert path.read_text() == "mine\n"


@pytest.mark.parametrize("content", ["mine", "mine\n", "{}\n", "[1]\n", '{"method": "mine"}\n', "\n"])
def test_a_file_that_is_no_log_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(UnreadableFileError, match="line 1"):
        Log(path, resume=True)
    assert path.read_text() == content


def test_a_log_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(UnwritableFileError, match="cannot write"):
        Log(tmp_path / "absent" / "run.jsonl")


def test_resuming_without_a_file_starts_one(tmp_path: Path) -> None:
    assert len(run([NOISY], Log(tmp_path / "run.jsonl", resume=True))) == 6


def test_the_smallest_image_can_be_measured() -> None:
    smallest = CleanImage("s", np.full((SMALLEST, SMALLEST), 99.0, dtype=np.float32))
    assert len(list(measurements([NOISY], [smallest], Log(), cases=CASES))) == 2


def test_time_left_is_judged_row_by_row() -> None:
    pace = Pace(["quick", "slow"], cases=10)
    assert pace.left is None
    pace.add("quick", 0.9, wall=1.0)
    assert pace.left is None, "nobody knows how long a slow row takes"
    assert pace.share(1.0) == 0.0
    pace.add("slow", 99.0, wall=100.0)
    assert pace.left == pytest.approx(9 * 1 + 9 * 100)
    assert pace.share(101.0) == pytest.approx(0.1)
    pace.add("quick", 2.9, wall=3.0)
    assert pace.left == pytest.approx(8 * 2 + 9 * 100)


def test_what_comes_from_the_log_takes_no_time_but_tells_how_long_it_took() -> None:
    pace = Pace(["slow"], cases=4)
    pace.add("slow", 50.0, wall=0.001)
    assert pace.left == pytest.approx(150)
    assert pace.share(0.001) < 0.0001
    pace.add("slow", 60.0, wall=70.0)
    assert pace.left == pytest.approx(140), "this machine's own time counts, where there is one"
