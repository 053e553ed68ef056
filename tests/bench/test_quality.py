"""The benchmark measures what it says, repeats exactly, and loses nothing when it is interrupted."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench.given import measure
from xray_denoise import __version__
from xray_denoise.bench.cases import SMALLEST, Case, CleanImage
from xray_denoise.bench.metrics import level_errors
from xray_denoise.bench.records import Log, Record
from xray_denoise.bench.rows import Row
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError
from xray_denoise.physics.metrics import mean_squared_error
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile

LEVELS = (NoiseLevel(0.4, 5.0), NoiseLevel(0.8, 15.0))
METRICS = ("psnr", "seconds", "total_error")
Grey = NDArray[np.floating]


@dataclass
class Nothing(Denoiser):
    """Returns its input."""

    name: str = "noisy"

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        return Denoised.of(noisy, noisy, level)


@dataclass
class Planted(Denoiser):
    """Knows the clean image, and returns it with every pixel off by `error` grey levels."""

    clean: NDArray[np.float32] = field(repr=False)
    error: float = 25.5
    name: str = "planted"

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        height, width = noisy.shape
        return Denoised.of(noisy, self.clean[:height, :width] + np.float32(self.error), level)


@dataclass
class Witness(Denoiser):
    """Remembers what it was given."""

    name: str = "witness"
    levels: list[NoiseLevel | None] = field(default_factory=list, repr=False)
    images: list[Grey] = field(default_factory=list, repr=False)
    alike: Denoiser | None = field(default=None, repr=False)
    """What it looks like to the log."""

    def __repr__(self) -> str:
        return repr(self.alike) if self.alike else f"Witness({self.name})"

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        self.levels.append(level)
        self.images.append(noisy.copy())
        return Denoised.of(noisy, noisy)


class Refusing(Nothing):
    """Must not be called; looks like `Nothing` to the log."""

    def __repr__(self) -> str:
        return repr(Nothing(self.name))

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        raise AssertionError(f"measured again: {noisy.shape}, {level}")


class Network(Nothing):
    """Has weights."""

    weights_sha256 = ""

    def __init__(self, sha256: str) -> None:
        super().__init__()
        self.weights_sha256 = sha256


def clean_image(number: int = 0, size: int = 24) -> CleanImage:
    y, x = np.mgrid[:size, :size]
    return CleanImage(f"image {number}", (40 + number + 5 * x + y).astype(np.float32))


IMAGES = [clean_image(number) for number in range(3)]


def row(title: str, denoiser: Denoiser, *, oracle: bool = False) -> Row:
    return Row(title, denoiser.name, lambda: denoiser, oracle)


NOISY = row("noisy", Nothing())


def cases(images: Sequence[CleanImage], levels: Sequence[NoiseLevel] = LEVELS) -> Iterator[Case]:
    return (case for image in images for case in (Case(image, level) for level in levels))


def run(rows: Sequence[Row], log: Log | None = None, seed: int = 0) -> list[Record]:
    return list(measure(rows, cases(IMAGES), METRICS, log or Log(), seed=seed))


def without_time(found: Sequence[Record]) -> list[Record]:
    return [replace(one, values={**one.values, "seconds": 0.0}) for one in found]


def test_a_known_error_gives_its_psnr() -> None:
    image = clean_image()
    metrics = ("psnr", "snr", "ssim", "ssim_paper")
    found = list(measure([row("off by 25.5", Planted(image.grey))], cases([image]), metrics, Log()))
    assert [(one.row, one.image, one.noise) for one in found] == [
        ("off by 25.5", "image 0", "eta 0.4, sigma 5.0"),
        ("off by 25.5", "image 0", "eta 0.8, sigma 15.0"),
    ]
    power = float(np.mean(image.grey.astype(np.float64) ** 2))
    for one in found:
        assert one.values["psnr"] == pytest.approx(20.0, abs=1e-5)
        assert one.values["snr"] == pytest.approx(20.0 + 10 * math.log10(power / 255**2), abs=1e-5)
        assert 0.9 < (one.values["ssim"] or 0) < 1
        assert 0.9 < (one.values["ssim_paper"] or 0) < 1
        assert (one.values["seconds"] or 0) >= 0


def test_a_planted_level_gives_its_errors() -> None:
    """1/eta 20 % too large and sigma 2 grey levels too small."""
    true = NoiseLevel(0.6, 10.0)
    grey = IMAGES[0].grey
    found = level_errors(Denoised.of(grey, grey, NoiseLevel(0.6 / 1.2, 8.0)), Case(IMAGES[0], true), grey)
    assert found["inverse_eta_error"] == pytest.approx(20)
    assert found["sigma_error"] == -2
    total = ((127.5 * 1.2 / 0.6 + 64) / (127.5 / 0.6 + 100)) ** 0.5
    assert found["total_error"] == pytest.approx(100 * (total - 1))
    assert set(level_errors(Denoised.of(grey, grey), Case(IMAGES[0], true), grey).values()) == {None}


def test_images_run_outside_levels_run_outside_rows() -> None:
    found = run([NOISY, row("again", Nothing())])
    assert [(one.image, one.noise[:7], one.row) for one in found[:5]] == [
        ("image 0", "eta 0.4", "noisy"),
        ("image 0", "eta 0.4", "again"),
        ("image 0", "eta 0.8", "noisy"),
        ("image 0", "eta 0.8", "again"),
        ("image 1", "eta 0.4", "noisy"),
    ]
    assert len(found) == 12


def test_only_an_oracle_is_given_the_level() -> None:
    oracle, blind = Witness(), Witness()
    run([row("oracle", oracle, oracle=True), row("blind", blind)])
    assert set(oracle.levels) == set(LEVELS)
    assert set(blind.levels) == {None}


def test_a_profile_is_a_noise_too() -> None:
    profile = NoiseProfile.white(12.0)
    case = Case(CleanImage("flat", np.full((400, 400), 120.0, dtype=np.float32)), profile, "a detector")
    oracle = Witness()
    (found,) = measure([row("w", oracle, oracle=True)], [case], METRICS, Log(), warmup=0)
    assert (found.noise, found.values["total_error"]) == ("a detector", None)
    assert oracle.levels == [profile]
    assert oracle.images[0].std() == pytest.approx(12.0, rel=5 / (2 * 400**2) ** 0.5)
    assert Case(case.image, profile.scaled(2.0)).key(0) != case.key(0)


def test_every_row_sees_the_same_noise_clipped_and_not_rounded() -> None:
    one, two = Witness(), Witness()
    list(measure([row("one", one), row("two", two)], cases(IMAGES), METRICS, Log(), warmup=0))
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


def test_a_second_run_is_identical_and_another_seed_is_other_noise() -> None:
    first = run([NOISY])
    assert without_time(first) == without_time(run([NOISY]))
    for one, other in zip(first, run([NOISY], seed=1), strict=True):
        assert one.values["psnr"] != other.values["psnr"]


def test_a_case_does_not_depend_on_the_others() -> None:
    alone = list(measure([NOISY], cases(IMAGES[2:], LEVELS[1:]), METRICS, Log()))
    assert without_time(alone) == without_time(run([row("other", Nothing()), NOISY]))[-1:]


def test_the_first_call_is_on_a_small_crop_and_not_timed() -> None:
    witness = Witness()
    list(measure([row("w", witness)], cases([clean_image(size=100)]), METRICS, Log(), warmup=2, repeat=3))
    assert [seen.shape[0] for seen in witness.images] == [64, 64, 100, 100, 100, 100, 100, 100]


def test_two_rows_of_one_title_are_refused() -> None:
    with pytest.raises(ValueError, match="title"):
        run([NOISY, NOISY])


def test_a_log_holds_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    found = run([NOISY], Log(path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["values"]["psnr"] for line in lines] == [one.values["psnr"] for one in found]
    for part in ("noisy, blind, Nothing(name='noisy')", IMAGES[0].sha256, "noise 0.4 5.0", "seed 0", __version__):
        assert part in lines[0]["key"]


def test_resuming_measures_nothing_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    found = run([NOISY], Log(path))
    size = path.stat().st_size
    assert run([row("noisy", Refusing())], Log(path, resume=True)) == found
    assert path.stat().st_size == size


def test_a_record_that_lacks_a_metric_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    list(measure([NOISY], cases(IMAGES), ("total_error",), Log(path)))
    found = run([NOISY], Log(path, resume=True))
    assert all("psnr" in one.values for one in found)
    assert len(path.read_text().splitlines()) == 12
    assert run([row("noisy", Refusing())], Log(path, resume=True)) == found, "of two lines the later one counts"


def test_an_interrupted_run_continues_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    running = measure([NOISY], cases(IMAGES), METRICS, Log(path))
    first = [next(running) for _ in range(4)]
    assert len(path.read_text().splitlines()) == 4
    witness = Witness("noisy", alike=NOISY.denoiser)
    found = run([row("noisy", witness)], Log(path, resume=True))
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
    lines = [json.loads(line)["values"]["psnr"] for line in path.read_text().splitlines()]
    assert lines == [one.values["psnr"] for one in found]


@pytest.mark.parametrize(
    ("other", "seed"),
    [
        (row("noisy", Planted(IMAGES[0].grey, name="noisy")), 0),
        (row("noisy", Nothing(), oracle=True), 0),
        (row("noisy", Nothing("another")), 0),
        (NOISY, 1),
    ],
    ids=["parameters", "oracle", "name", "seed"],
)
def test_what_differs_is_measured(tmp_path: Path, other: Row, seed: int) -> None:
    path = tmp_path / "run.jsonl"
    run([NOISY], Log(path))
    run([other], Log(path, resume=True), seed)
    assert len(path.read_text().splitlines()) == 12


def test_other_pixels_are_another_image() -> None:
    image = clean_image()
    other = CleanImage(image.name, image.grey + np.eye(24, dtype=np.float32))
    assert image.sha256 != other.sha256
    assert image.sha256 != CleanImage(image.name, image.grey.reshape(12, 48)).sha256
    assert image.sha256 == CleanImage("another name", image.grey.astype(np.float64)).sha256


def test_parameters_and_weights_tell_rows_apart() -> None:
    grey = clean_image().grey
    assert len({row("t", Planted(grey, error)).identity for error in (1.0, 1.0, 2.0)}) == 2
    assert len({row("t", Network(version)).identity for version in ("a", "a", "b")}) == 2


def test_a_new_title_keeps_the_results(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run([NOISY], Log(path))
    found = run([row("do nothing", Refusing())], Log(path, resume=True))
    assert {one.row for one in found} == {"do nothing"}


def test_infinite_values_survive_the_log(tmp_path: Path) -> None:
    path, image = tmp_path / "run.jsonl", clean_image()
    perfect, levels = row("perfect", Planted(image.grey, 0.0)), [NoiseLevel(math.inf, 0.0)]
    found = list(measure([perfect], cases([image], levels), METRICS, Log(path)))
    assert found[0].values["psnr"] == math.inf
    assert "Infinity" not in path.read_text()
    assert list(measure([perfect], cases([image], levels), METRICS, Log(path, resume=True))) == found


def test_every_kind_of_number_survives_a_line() -> None:
    record = Record("r", "i", "n", 3, {"a": -math.inf, "b": None, "c": 0.1 + 0.2}, "why", "k")
    assert Record.from_line(record.line()) == record
    assert Record.from_line(record.line()).key == "k"


def test_a_file_is_not_written_over_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("mine\n")
    with pytest.raises(UsageError, match="exists"):
        Log(path)
    assert path.read_text() == "mine\n"
    Log(path, replace=True)
    assert path.read_text() == ""


@pytest.mark.parametrize("content", ["mine", "mine\n", "{}\n", "[1]\n", '{"row": "mine"}\n', "\n"])
def test_a_file_that_is_no_log_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(UnreadableFileError, match="line 1"):
        Log(path, resume=True)
    assert path.read_text() == content


def test_a_log_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(UnwritableFileError, match="cannot write"):
        Log(tmp_path / "absent" / "run.jsonl")


def test_resuming_without_a_file_starts_one(tmp_path: Path) -> None:
    assert len(run([NOISY], Log(tmp_path / "run.jsonl", resume=True))) == 6


def test_the_smallest_image_can_be_measured() -> None:
    smallest = CleanImage("s", np.full((SMALLEST, SMALLEST), 99.0, dtype=np.float32))
    assert len(list(measure([NOISY], cases([smallest]), ("ssim", "ssim_paper"), Log()))) == 2
