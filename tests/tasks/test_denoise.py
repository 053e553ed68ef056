"""Files become files: every one of them, each whole, none over an original."""

import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

import xray_denoise as xd
from xray_denoise import denoisers, files
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.physics.local_gain import LocalGain
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.noise_estimate import ProfileEstimate
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks import denoise_log
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.jobs import MANIFEST_NAME, Job, expand_lists, plan_jobs
from xray_denoise.tasks.manifest import Manifest
from xray_denoise.tasks.options import Options
from xray_denoise.tasks.outcome import Outcome
from xray_denoise.tasks.overlap import AHEAD

LEVEL = NoiseLevel(0.6, 10)


class Darker(Denoiser):
    """Takes ten grey levels off: a change that is easy to see in a file."""

    name = "darker"

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        self.seen += 1
        noise = np.full(noisy.shape, 7, np.float32)
        return Denoised.of(noisy, noisy - 10, level or LEVEL, noise)


def png(path: Path, grey: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30), grey, np.uint8)).save(path)
    return path


def synth_dicom(path: Path) -> Path:
    grey = np.random.default_rng(0).uniform(40, 200, (20, 30)).astype(np.float32)
    files.write(Radiograph.from_grey(grey, bits=12), path)
    return path


def run(inputs: list[Path], output: Path, **changes: Any) -> list[Outcome]:
    jobs, _ = plan_jobs([str(path) for path in inputs], output)
    return list(run_jobs(jobs, Options(**{"denoiser": Darker(), **changes})))


def pixels(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def test_one_file_to_one_file(tmp_path: Path) -> None:
    (outcome,) = run([png(tmp_path / "in.png")], tmp_path / "out.tif")
    assert outcome.status == "written"
    assert outcome.noise == LEVEL
    assert (pixels(tmp_path / "out.tif") == 90).all()
    assert (pixels(tmp_path / "in.png") == 100).all()


def test_strength_blends_and_zero_gives_the_input_back(tmp_path: Path) -> None:
    source = png(tmp_path / "in.png")
    run([source], tmp_path / "half.png", strength=0.5)
    run([source], tmp_path / "none.png", strength=0.0)
    assert (pixels(tmp_path / "half.png") == 95).all()
    assert (pixels(tmp_path / "none.png") == 100).all()
    with pytest.raises(UsageError, match="strength"):
        Options(Darker(), strength=1.5)


def test_a_tree_is_kept_and_a_broken_file_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number in range(9):
        png(folder / f"{number % 3}" / f"{number}.png", 50 + number)
    (folder / "1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrest is missing")
    (folder / "notes.txt").write_text("no image")
    jobs, ignored = plan_jobs([str(folder)], tmp_path / "out")
    assert [(found.path.name, found.reason) for found in ignored] == [("notes.txt", "not a radiograph")]
    outcomes = list(run_jobs(jobs, Options(Darker())))
    assert [outcome.job for outcome in outcomes] == jobs
    assert [outcome.status for outcome in outcomes].count("written") == 9
    (failed,) = (outcome for outcome in outcomes if outcome.status == "failed")
    assert "broken.png" in failed.error
    assert failed.hint
    written = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert written == sorted(Path(f"{number % 3}") / f"{number}.png" for number in range(9))
    assert (pixels(tmp_path / "out" / "2" / "5.png") == 45).all()


def test_on_error_stop_leaves_the_rest(tmp_path: Path) -> None:
    sources = [png(tmp_path / "a.png"), tmp_path / "missing.png", *(png(tmp_path / f"{i}.png") for i in range(20))]
    outcomes = run(sources, tmp_path / "out", stop_on_error=True)
    assert [outcome.status for outcome in outcomes][:2] == ["written", "failed"]
    reported = {outcome.job.target for outcome in outcomes if outcome.status == "written"}
    assert set((tmp_path / "out").iterdir()) == reported
    assert len(outcomes) <= 2 + 2 * AHEAD


def test_existing_results(tmp_path: Path) -> None:
    source, target = png(tmp_path / "in.png"), png(tmp_path / "out.png", 7)
    (refused,) = run([source], target)
    assert refused.status == "failed"
    assert "exists already" in refused.error
    (foreign,) = run([source], target, existing="skip", manifest=Manifest(tmp_path))
    assert foreign.status == "failed"
    assert "not an unchanged result" in foreign.error
    assert (pixels(target) == 7).all()
    (written,) = run([source], target, existing="overwrite")
    assert written.status == "written"


def again(folder: Path, **changes: Any) -> list[str]:
    """A run over `folder`/in that skips what is fresh."""
    manifest = Manifest(folder / "out")
    return [one.status for one in run([folder / "in"], folder / "out", existing="skip", manifest=manifest, **changes)]


def test_only_current_results_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        png(tmp_path / "in" / f"{number}.png", 100 + number)
    assert again(tmp_path) == ["written"] * 3
    assert again(tmp_path) == ["skipped"] * 3
    png(tmp_path / "in" / "1.png", 150)
    assert again(tmp_path) == ["skipped", "written", "skipped"]
    assert (pixels(tmp_path / "out" / "1.png") == 140).all()
    assert again(tmp_path, strength=0.5) == ["written"] * 3, "made with other options"
    assert again(tmp_path, strength=0.4999999) == ["written"] * 3, "the options count at full precision"
    monkeypatch.setattr(Darker, "version", "other", raising=False)
    assert again(tmp_path) == ["written"] * 3, "made with other weights"
    (tmp_path / "out" / "2.png").unlink()
    assert again(tmp_path) == ["skipped", "skipped", "written"]
    png(tmp_path / "out" / "0.png", 3)
    assert again(tmp_path) == ["failed", "skipped", "skipped"], "somebody changed it"
    assert (pixels(tmp_path / "out" / "0.png") == 3).all()


def test_a_noise_map_that_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png.noise.tif").write_text("mine")
    assert again(tmp_path, save_noise_map=True) == ["failed"]
    assert (tmp_path / "out" / "a.png.noise.tif").read_text() == "mine"


def test_an_interrupted_run_is_taken_up_again(tmp_path: Path) -> None:
    """Half a line in the manifest, a result whose line is there but which is not, and one that was not begun."""
    for number in range(3):
        png(tmp_path / "in" / f"{number}.png", 100 + number)
    again(tmp_path)
    manifest = tmp_path / "out" / MANIFEST_NAME
    first, second, third = manifest.read_text().splitlines(keepends=True)
    manifest.write_text(first + second + third[: len(third) // 2])
    for number in (1, 2):
        (tmp_path / "out" / f"{number}.png").unlink()
    assert again(tmp_path) == ["skipped", "written", "written"]
    assert again(tmp_path) == ["skipped"] * 3


def test_the_manifest_is_no_input_and_names_no_source(tmp_path: Path) -> None:
    png(tmp_path / "in" / "DOE^JANE.png")
    again(tmp_path)
    _, ignored = plan_jobs([str(tmp_path / "out")], tmp_path / "other")
    assert ignored == []
    (line,) = (tmp_path / "out" / MANIFEST_NAME).read_text().splitlines()
    assert str(tmp_path) not in line
    assert set(json.loads(line)) == {
        "target",
        "written",
        "source",
        "shape",
        "recipe",
        "noise_map",
        "uncertainty",
        "notes",
        "found",
    }


def test_an_original_is_never_written_over(tmp_path: Path) -> None:
    source = png(tmp_path / "in.png")
    (tmp_path / "same.png").symlink_to(source)
    os.link(source, tmp_path / "hard.png")
    for target in (source, tmp_path / "same.png"):
        with pytest.raises(UsageError, match="would replace") as caught:
            plan_jobs([source], target)
        assert "never overwritten" in caught.value.hint
    for target in (source, tmp_path / "same.png", tmp_path / "hard.png"):
        (outcome,) = run_jobs([Job(source, target)], Options(Darker(), existing="overwrite"))
        assert outcome.status == "failed"
        assert "never overwritten" in outcome.hint
        assert (pixels(source) == 100).all()


def test_two_files_never_share_a_result(tmp_path: Path) -> None:
    first, second = png(tmp_path / "a" / "x.png"), png(tmp_path / "b" / "x.png")
    with pytest.raises(UsageError, match="would both become"):
        plan_jobs([str(first), str(second)], tmp_path / "out")


def test_lists_and_folders_and_errors_of_planning(tmp_path: Path) -> None:
    source = png(tmp_path / "in.png")
    listed = tmp_path / "list.txt"
    listed.write_text(f"# a comment\n{source}\r\n\n")
    inputs = list(expand_lists([f"@{listed}", "other"]))
    assert inputs == [str(source), "other"]
    assert plan_jobs(inputs[:1], tmp_path / "out")[0] == [Job(source, tmp_path / "out" / "in.png")]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UsageError, match="no radiograph"):
        plan_jobs([str(tmp_path / "nothing")], tmp_path)
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UsageError, match="is a file"):
        plan_jobs([str(source)], tmp_path / "results")


def test_reading_is_never_far_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a handful of files are held at a time, however many there are."""
    sources = [png(tmp_path / f"{number:02}.png") for number in range(30)]
    threads = threading.active_count()
    darker, read_so_far, ahead = Darker(), [0], []
    plain = files.read_frames

    def counting(path: Path, **options: Any) -> Any:
        read_so_far[0] += 1
        ahead.append(read_so_far[0] - darker.seen)
        return plain(path, **options)

    monkeypatch.setattr(files, "read_frames", counting)
    jobs, _ = plan_jobs([str(path) for path in sources], tmp_path / "out")
    assert sum(outcome.status == "written" for outcome in run_jobs(jobs, Options(darker))) == 30
    assert max(ahead) <= AHEAD + 1
    assert threading.active_count() == threads


def test_a_derived_dicom_tells_what_was_done(tmp_path: Path) -> None:
    source = files.read(synth_dicom(tmp_path / "in.dcm"))
    (outcome,) = run([tmp_path / "in.dcm"], tmp_path / "out.dcm", strength=0.5, noise=NoiseLevel(0.8, 5))
    assert outcome.status == "written"
    derived = pydicom.dcmread(tmp_path / "out.dcm")
    assert "darker" in derived.DerivationDescription
    assert "strength 0.5" in derived.DerivationDescription
    assert "given eta 0.8 and sigma 5" in derived.DerivationDescription
    assert "estimated" not in derived.DerivationDescription
    change = files.read(tmp_path / "out.dcm").stored.astype(int) - source.stored
    assert np.abs(change + 5 * (source.value_range[1] - source.value_range[0]) / 255).max() <= 1


def test_many_frames_go_through_one_by_one(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((8, 9), 20 * page + 20, np.uint8)) for page in range(9)]
    pages[0].save(tmp_path / "in.tif", save_all=True, append_images=pages[1:])
    (outcome,) = run([tmp_path / "in.tif"], tmp_path / "out.tif", save_noise_map=True)
    assert outcome.status == "written"
    with Image.open(tmp_path / "out.tif") as result:
        for page in range(9):
            result.seek(page)
            assert (np.asarray(result) == 20 * page + 10).all()
    with Image.open(Job(tmp_path, tmp_path / "out.tif").noise_map) as maps:
        assert maps.n_frames == 9
        assert (np.asarray(maps) == 7).all()


class OfScenes(Darker):
    """Finds noise in several frames; notes what it is shown and told."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[list[int]] = []
        self.told: list[Any] = []

    def noise_of_scene(self, frames: Any) -> Any:
        self.shown.append([round(float(frame.mean())) for frame in frames])
        return NoiseLevel(1.5, 2)

    def __call__(self, noisy: NDArray[np.floating], level: Any = None) -> Denoised:
        self.told.append(level)
        return super().__call__(noisy, level)


def test_the_noise_of_a_run_of_frames_is_found_once_from_the_first_ones(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((8, 9), 20 * page + 20, np.uint8)) for page in range(9)]
    pages[0].save(tmp_path / "in.tif", save_all=True, append_images=pages[1:])
    png(tmp_path / "one.png")
    for given, shown, told in ((None, [[20, 40, 60, 80]], NoiseLevel(1.5, 2)), (LEVEL, [], LEVEL)):
        denoiser = OfScenes()
        (outcome,) = run(
            [tmp_path / "in.tif"], tmp_path / "out.tif", denoiser=denoiser, noise=given, existing="overwrite"
        )
        assert outcome.noise == told
        assert denoiser.shown == shown
        assert denoiser.told == [told] * 9
        stack = np.stack([np.asarray(page) for page in pages])
        arrays = OfScenes()
        found = xd.denoise(stack, model=arrays, profile_or_level=given)
        assert (arrays.shown, arrays.told) == (denoiser.shown, denoiser.told)
        assert found.noises == (told,) * 9
    alone = OfScenes()
    run([tmp_path / "one.png"], tmp_path / "two.png", denoiser=alone)
    assert alone.told == [None]
    assert not alone.shown


def test_description_names_what_changes_pixels() -> None:
    options = Options(Darker(), noise=LEVEL, strength=0.25, value_range=(10, 4000))
    assert options.description == "strength 0.25, given eta 0.6 and sigma 10, value range 10 to 4000"
    assert Options(Darker(), strength=0.9999996).description == "strength 0.9999996"


def test_a_result_never_takes_the_place_of_another_original(tmp_path: Path) -> None:
    """The folder of the results lies inside that of the inputs and holds inputs of its own."""
    png(tmp_path / "in" / "a.png")
    png(tmp_path / "in" / "sub" / "a.png", 50)
    with pytest.raises(UsageError, match="would replace"):
        plan_jobs([str(tmp_path / "in" / "a.png"), str(tmp_path / "in" / "sub")], tmp_path / "in" / "sub")
    jobs, _ = plan_jobs([str(tmp_path / "in")], tmp_path / "in" / "sub")
    assert [job.source for job in jobs] == [tmp_path / "in" / "a.png"], "what lies in the output is no input"


def test_a_second_run_does_not_take_its_results_for_inputs(tmp_path: Path) -> None:
    png(tmp_path / "a.png")
    for _ in range(2):
        run([tmp_path], tmp_path / "out", existing="overwrite", save_noise_map=True)
    written = sorted(path.name for path in (tmp_path / "out").rglob("*"))
    assert written == ["a.png", "a.png.noise.tif"]


def test_reports_beside_radiographs_are_left_alone(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(synth_dicom(tmp_path / "image.dcm"))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dataset.save_as(tmp_path / "report.dcm")
    jobs, ignored = plan_jobs([str(tmp_path)], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["image.dcm"]
    assert [found.path.name for found in ignored] == ["report.dcm"]


def test_links_in_a_circle_and_names_that_cannot_be_cost_themselves_only(tmp_path: Path) -> None:
    source = png(tmp_path / "in" / "a.png")
    circle = tmp_path / "in" / "circle.dcm"
    circle.symlink_to(circle)
    assert [one.status for one in run([tmp_path / "in"], tmp_path / "out")] == ["written", "failed"]
    outcomes = run([source, circle, Path("nul\0.png")], tmp_path / "other")
    assert [one.status for one in outcomes] == ["written", "failed", "failed"]
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (outcome,) = run([source], tmp_path / "round")
    assert outcome.status == "failed"
    (outcome,) = run([source], tmp_path / "round" / "a.png")
    assert outcome.status == "failed"


def test_a_noise_map_never_takes_the_place_of_a_result_or_an_original(tmp_path: Path) -> None:
    image, other = png(tmp_path / "a.png"), png(tmp_path / "b" / "a.png.noise.tif")
    with pytest.raises(UsageError, match="would both become"):
        plan_jobs([str(image), str(other)], tmp_path / "out", noise_maps=True)
    assert len(plan_jobs([str(image), str(other)], tmp_path / "out")[0]) == 2
    original = png(tmp_path / "c.png.noise.tif", 50)
    with pytest.raises(UsageError, match="would replace"):
        plan_jobs([str(png(tmp_path / "in" / "c.png")), str(original)], tmp_path, noise_maps=True)
    with pytest.raises(UsageError, match="would replace"):
        plan_jobs([str(original)], tmp_path / "c.png", noise_maps=True)
    (outcome,) = run_jobs(
        [Job(original, tmp_path / "c.png")], Options(Darker(), existing="overwrite", save_noise_map=True)
    )
    assert outcome.status == "failed"
    assert (pixels(original) == 50).all()


def test_folders_that_are_one_behind_links_share_no_result(tmp_path: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "b").symlink_to(tmp_path / "out" / "a")
    for name in ("a", "b"):
        png(tmp_path / "in" / name / "x.png")
    with pytest.raises(UsageError, match="would both become"):
        plan_jobs([str(tmp_path / "in")], tmp_path / "out")


def test_what_a_killed_run_left_unfinished_is_no_input(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png")
    synth_dicom(tmp_path / "b.dcm").rename(tmp_path / "in" / ".xray-denoise-12-34.part")
    jobs, _ = plan_jobs([str(tmp_path / "in")], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["a.png"]


def test_after_ctrl_c_what_was_being_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Darker.__call__

    def interrupted(self: Darker, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        if self.seen == 5:
            raise KeyboardInterrupt
        return plain(self, noisy, level)

    monkeypatch.setattr(Darker, "__call__", interrupted)
    sources = [png(tmp_path / f"{number:02}.png") for number in range(20)]
    jobs, _ = plan_jobs([str(path) for path in sources], tmp_path / "out")
    told: list[Outcome] = []
    with pytest.raises(KeyboardInterrupt):
        deque(map(told.append, run_jobs(jobs, Options(Darker()))), maxlen=0)
    assert [one.status for one in told] == ["written"] * 5
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_too_little_memory_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [png(tmp_path / f"{number}.png", number) for number in range(5)]
    plain = Darker.__call__

    def greedy(self: Darker, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        if noisy[0, 0] == 2:
            raise MemoryError
        return plain(self, noisy, level)

    monkeypatch.setattr(Darker, "__call__", greedy)
    outcomes = run(sources, tmp_path / "out")
    assert [outcome.status for outcome in outcomes] == ["written", "written", "failed", "written", "written"]
    assert "not enough memory" in outcomes[2].error


def test_lists_with_a_byte_order_mark_and_a_name_that_cannot_be(tmp_path: Path) -> None:
    source = png(tmp_path / "in.png")
    listed = tmp_path / "list.txt"
    listed.write_text(f"\ufeff{source}\n{source}\n", encoding="utf-8")
    assert len(plan_jobs(expand_lists([f"@{listed}"]), tmp_path / "out")[0]) == 1
    (outcome,) = run([Path("nul\0.png")], tmp_path / "out.png")
    assert outcome.status == "failed"


def test_noise_maps_are_not_written_over_and_their_lack_is_told(tmp_path: Path) -> None:
    source = png(tmp_path / "in.png")
    (tmp_path / "out.png.noise.tif").write_bytes(b"mine")
    (outcome,) = run([source], tmp_path / "out.png", save_noise_map=True)
    assert outcome.status == "failed"
    assert (tmp_path / "out.png.noise.tif").read_bytes() == b"mine"
    jobs, _ = plan_jobs([str(source)], tmp_path / "other.png")
    (outcome,) = run_jobs(jobs, Options(denoisers.get("noisy"), save_noise_map=True))
    assert "makes no noise map" in outcome.notes[0]


def test_all_threads_stop_after_a_failure_and_when_interrupted(tmp_path: Path) -> None:
    sources = [tmp_path / "missing.png", *(png(tmp_path / f"{number:02}.png") for number in range(60))]
    threads = threading.active_count()
    jobs, _ = plan_jobs([str(path) for path in sources], tmp_path / "out")
    outcomes = list(run_jobs(jobs, Options(Darker(), stop_on_error=True)))
    assert outcomes[0].status == "failed"
    reported = {outcome.job.target for outcome in outcomes if outcome.status == "written"}
    assert set((tmp_path / "out").glob("*")) == reported, "what was written is told"
    assert len(outcomes) < 20
    interrupted = run_jobs(jobs[1:], Options(Darker(), existing="overwrite"))
    next(interrupted)
    interrupted.close()  # as Ctrl-C does
    assert threading.active_count() == threads
    assert len(list((tmp_path / "out").glob("*.png"))) < 40
    assert not list((tmp_path / "out").glob(".*")), "every file is whole or not there"


def test_a_dicom_file_is_opened_once_to_be_told_apart_and_once_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is checked is what is decoded: header and pixels are those of one opened file."""
    source, opened, plain = synth_dicom(tmp_path / "in.dcm"), [], Path.open

    def noting(path: Path, *args: Any, **options: Any) -> Any:
        if path == source:
            opened.append(args)
        return plain(path, *args, **options)

    monkeypatch.setattr(Path, "open", noting)
    (outcome,) = run([source], tmp_path / "out.dcm")
    assert outcome.status == "written"
    assert len(opened) == 2


class Profiled(Darker):
    """Finds noise of a deviation of 1 in the dark and 9 in the light, each pixel like its neighbours."""

    profile = NoiseProfile(np.array([99.0, 101.0]), np.array([1.0, 9.0]), np.ones((3, 3)) / 3)

    def __call__(self, noisy: NDArray[np.floating], level: Any = None) -> Denoised:
        return Denoised.of(noisy, noisy - 10, profile=level or self.profile)


class Uneven(Profiled):
    """Finds it twice as strong everywhere, by place."""

    def __call__(self, noisy: NDArray[np.floating], level: Any = None) -> Denoised:
        twice = LocalGain(np.full((2, 2), np.log(2)), (0.5, 2.0))
        return Denoised.of(noisy, noisy - 10, profile=ProfileEstimate(level or self.profile, 1.0, twice))


def test_the_noise_is_told_as_it_is_over_the_image_and_at_mid_grey(tmp_path: Path) -> None:
    values = np.full((20, 30), 60, np.uint8)
    values[:, :15] = 200
    Image.fromarray(values).save(tmp_path / "in.png")
    (outcome,) = run([tmp_path / "in.png"], tmp_path / "out.png", denoiser=Profiled())
    told = denoise_log.record(outcome, "cpu")
    assert told["noise_over_image"] == pytest.approx(((81 + 1) / 2) ** 0.5, rel=1e-3)
    assert told["noise_deviation"] == 9.0
    assert told["noise_correlation"] == pytest.approx(2 / 3, rel=1e-3)
    synth_dicom(tmp_path / "in.dcm")
    (derived,) = run([tmp_path / "in.dcm"], tmp_path / "out.dcm", denoiser=Profiled())
    text = pydicom.dcmread(tmp_path / "out.dcm").DerivationDescription
    assert f"estimated noise {derived.noise_over_image:.3g} grey levels with a correlation of 0.67" in text
    assert "eta" not in text, "which would be far too small here"
    assert told["noise_gain"] is None
    (uneven,) = run([tmp_path / "in.png"], tmp_path / "uneven.png", denoiser=Uneven())
    told = denoise_log.record(uneven, "cpu")
    assert told["noise_gain"] == [0.5, 2]
    assert told["noise_over_image"] == pytest.approx(2 * ((81 + 1) / 2) ** 0.5, rel=1e-3)
    (white,) = run([png(tmp_path / "white.png")], tmp_path / "white-out.png")
    record = denoise_log.record(white, "cpu")
    assert record["noise_correlation"] == 0
    assert record["noise_over_image"] == pytest.approx(float(LEVEL.deviation_at(90)), rel=1e-3)
