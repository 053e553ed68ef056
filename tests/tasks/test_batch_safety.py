"""Batches that meet each other, hostile manifests, huge files, and files of many frames."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.synthetic_dicom import Sample, write
from xray_denoise import files
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.files import raster
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.radiograph import Radiograph
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.fingerprint import fingerprint
from xray_denoise.tasks.jobs import MANIFEST_NAME, plan_jobs
from xray_denoise.tasks.line_file import LONGEST_LINE
from xray_denoise.tasks.manifest import Manifest
from xray_denoise.tasks.naming import Naming
from xray_denoise.tasks.options import Options
from xray_denoise.tasks.outcome import Outcome
from xray_denoise.tasks.overlap import ROOM, AbandonedError, Feed


class Lower(Denoiser):
    """Takes ten grey levels off; calls `meanwhile` once, as if another program came in between."""

    name = "lower"

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.meanwhile = meanwhile

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return Denoised.of(noisy, noisy - 10, level, np.full(noisy.shape, 3, np.float32))


def png(path: Path, grey: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30), grey, np.uint8)).save(path)
    return path


def pixels(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def run(folder: Path, denoiser: Lower, **changes: Any) -> list[Outcome]:
    """Denoise `folder`/in into `folder`/out."""
    out = folder / "out"
    jobs, _ = plan_jobs([folder / "in"], out, noise_maps=changes.get("save_noise_map", False))
    return list(run_jobs(jobs, Options(denoiser, manifest=Manifest(out), **changes)))


def skip(folder: Path, denoiser: Lower | None = None, **changes: Any) -> list[str]:
    return [one.status for one in run(folder, denoiser or Lower(), existing="skip", **changes)]


def test_a_result_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png")
    (failed,) = run(tmp_path, Lower(lambda: png(tmp_path / "out" / "a.png", 7)))
    assert failed.status == "failed"
    assert "exists already" in failed.error
    assert failed.failure is not None
    assert failed.failure.kind == "existing-file"
    assert (pixels(tmp_path / "out" / "a.png") == 7).all()
    (written,) = run(tmp_path, Lower(), existing="overwrite")
    assert written.status == "written"


def test_the_same_without_links_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("xray_denoise.files.atomic._nameless", lambda _: None)
    monkeypatch.setattr(os, "link", no_links)
    test_a_result_that_appears_meanwhile_is_not_replaced(tmp_path)
    (tmp_path / "out" / "a.png").unlink()
    assert run(tmp_path, Lower())[0].status == "written"
    assert (pixels(tmp_path / "out" / "a.png") == 90).all()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", MANIFEST_NAME]


def test_a_link_to_nothing_takes_a_name_too(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(tmp_path / "elsewhere.png")
    assert run(tmp_path, Lower())[0].status == "failed"
    assert not (tmp_path / "elsewhere.png").exists()


@pytest.mark.parametrize("maps", [False, True])
def test_two_runs_that_skip_do_not_harm_each_other(tmp_path: Path, maps: bool) -> None:
    """The second one makes the same results while the first one denoises."""
    for number in range(3):
        png(tmp_path / "in" / f"{number}.png", 100 + number)
    second: list[str] = []
    first = Lower(lambda: second.extend(skip(tmp_path, save_noise_map=maps)))
    assert skip(tmp_path, first, save_noise_map=maps) == ["skipped"] * 3
    assert second == ["written"] * 3
    assert skip(tmp_path, save_noise_map=maps) == ["skipped"] * 3
    assert len(list((tmp_path / "out").iterdir())) == (7 if maps else 4)
    assert (pixels(tmp_path / "out" / "2.png") == 92).all()


def test_two_runs_that_refuse_lose_no_result(tmp_path: Path) -> None:
    """Each name is taken by one of them, and the other one says so."""
    for number in range(40):
        png(tmp_path / "in" / f"{number:02}.png", 100 + number)
    outcomes: dict[str, list[Outcome]] = {}
    threads = [
        threading.Thread(target=lambda name=name: outcomes.update({name: run(tmp_path, Lower())})) for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(outcomes["a"], outcomes["b"], strict=True):
        assert sorted([one.status, other.status]) == ["failed", "written"]
    assert len(list((tmp_path / "out").glob("*.png"))) == 40
    assert skip(tmp_path) == ["skipped"] * 40, "the manifest knows them all"


def test_noise_maps_decide_too(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png")
    assert skip(tmp_path) == ["written"]
    assert skip(tmp_path, save_noise_map=True) == ["written"]
    assert skip(tmp_path, save_noise_map=True) == ["skipped"]
    noise_map = tmp_path / "out" / "a.png.noise.tif"
    noise_map.write_bytes(b"")
    assert skip(tmp_path, save_noise_map=True) == ["failed"], "somebody emptied it"
    noise_map.unlink()
    assert skip(tmp_path, save_noise_map=True) == ["written"]
    assert skip(tmp_path, save_noise_map=True) == ["skipped"]
    noise_map.rename(tmp_path / "elsewhere.tif")
    noise_map.symlink_to(tmp_path / "elsewhere.tif")
    assert skip(tmp_path, save_noise_map=True, strength=0.5) == ["written"]
    assert not noise_map.is_symlink()


def test_noise_maps_where_unfinished_files_have_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on network disks: the noise map is written while its result is, and must not take its place."""
    monkeypatch.setattr("xray_denoise.files.atomic._nameless", lambda _: None)
    png(tmp_path / "in" / "a.png")
    assert skip(tmp_path, save_noise_map=True) == ["written"]
    assert (pixels(tmp_path / "out" / "a.png") == 90).all()
    assert (pixels(tmp_path / "out" / "a.png.noise.tif") == 3).all()
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert skip(tmp_path, save_noise_map=True) == ["skipped"]


def test_a_kill_between_noise_map_and_result_leaves_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    png(tmp_path / "in" / "a.png")
    plain = files.write

    def killed(*arguments: Any, **options: Any) -> None:
        record = options.pop("before_rename")

        def then_die(path: Path) -> None:
            record(path)
            raise SystemExit

        plain(*arguments, before_rename=then_die, **options)

    monkeypatch.setattr(files, "write", killed)
    with pytest.raises(SystemExit):
        skip(tmp_path, save_noise_map=True)
    monkeypatch.setattr(files, "write", plain)
    assert [path.name for path in (tmp_path / "out").glob("a.png*")] == ["a.png.noise.tif"]
    assert skip(tmp_path, save_noise_map=True) == ["written"]


def hostile_lines() -> list[bytes]:
    good = {"bytes": 1, "sha256": "0"}
    entry = {"target": "a.png", "written": good, "source": good, "shape": [1, 1], "recipe": {}, "noise_map": None}
    wrong: list[Any] = [None, True, 7, 1e400, "text", [], [[]], {}, {"bytes": []}, {"bytes": 1, "sha256": {}}, "\ud800"]
    lines = [json.dumps(entry | {key: value}).encode() for key in entry for value in wrong]
    old = {"target": [], "target_sha256": "", "source_sha256": "", "recipe": {"version": "", "model": ""}}
    return [
        *lines,
        json.dumps(old).encode(),
        b"[" * 200_000,
        b'{"target":' * 50_000,
        b"9" * 100_000,
        b"\0" * 300,
        b"\xff\xfe",
        b"{" + b" " * (3 * LONGEST_LINE) + b"}",
        b"null",
        b'"target"',
    ]


def test_what_stands_in_a_manifest_costs_at_most_its_line(tmp_path: Path) -> None:
    for number in range(2):
        png(tmp_path / "in" / f"{number}.png", 100 + number)
    skip(tmp_path)
    manifest = tmp_path / "out" / MANIFEST_NAME
    first, second = manifest.read_bytes().splitlines()
    manifest.write_bytes(b"\n".join([first, *hostile_lines(), second, b""]))
    assert skip(tmp_path) == ["skipped"] * 2
    assert skip(tmp_path, strength=0.5) == ["written"] * 2


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "link to nothing"])
def test_a_manifest_that_is_no_plain_file_is_refused_before_anything_is_written(tmp_path: Path, kind: str) -> None:
    original = png(tmp_path / "in" / "a.png")
    before = original.read_bytes()
    manifest = tmp_path / "out" / MANIFEST_NAME
    manifest.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(manifest)
    elif kind == "folder":
        manifest.mkdir()
    else:
        manifest.symlink_to(original if kind == "link" else tmp_path / "nothing")
    with pytest.raises(UsageError, match="not a plain file"):
        run(tmp_path, Lower())
    assert original.read_bytes() == before
    assert [path.name for path in manifest.parent.iterdir()] == [MANIFEST_NAME]


def test_a_manifest_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    original = png(tmp_path / "in" / "a.png")
    before = original.read_bytes()

    def swap() -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / MANIFEST_NAME).symlink_to(original)

    (failed,) = run(tmp_path, Lower(swap))
    assert failed.status == "failed"
    assert original.read_bytes() == before


def test_an_original_that_is_the_manifest_by_a_second_name_is_refused(tmp_path: Path) -> None:
    from xray_denoise.tasks.denoise import denoise_files

    original = png(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    os.link(original, tmp_path / "out" / MANIFEST_NAME)
    with pytest.raises(UsageError, match="is an input"):
        denoise_files(tmp_path / "in", tmp_path / "out", model=Lower())


@pytest.mark.parametrize("head", [b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"RIFF0000WEBP", b"\0" * 128 + b"DICM"])
def test_a_file_of_8_tib_holds_up_nobody(tmp_path: Path, head: bytes) -> None:
    png(tmp_path / "in" / "a.png")
    with (tmp_path / "in" / "huge.png").open("wb") as stream:
        stream.write(head)
        try:
            stream.truncate(2**43)
        except OSError:
            pytest.skip("no sparse files of this size on this disk")
    start = time.monotonic()
    outcomes = run(tmp_path, Lower())
    assert [one.status for one in outcomes] == ["written", "failed"]
    assert time.monotonic() - start < 60, "hashing takes hours"


def test_a_result_of_another_size_is_not_hashed(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png")
    assert skip(tmp_path) == ["written"]
    os.truncate(tmp_path / "out" / "a.png", 2**36 + 1)
    assert skip(tmp_path) == ["failed"]


def test_a_source_that_changes_while_it_is_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = png(tmp_path / "in" / "a.png")
    plain = os.fstat

    def later(descriptor: int) -> Any:
        os.utime(source, ns=(0, time.time_ns() + 10**9))
        return plain(descriptor)

    monkeypatch.setattr("xray_denoise.tasks.fingerprint.os.fstat", later)
    with pytest.raises(Exception, match="changed while it was read"):
        fingerprint(source)


class Alone(Lower):
    """Cannot be called twice at once."""

    def __init__(self) -> None:
        super().__init__()
        self._busy = threading.Lock()
        self.threads: set[str] = set()

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("Infer Request is busy")
        self.threads.add(threading.current_thread().name)
        time.sleep(0.002)
        self._busy.release()
        return super().__call__(noisy, level)


def pages(path: Path, count: int) -> Path:
    """A TIFF of `count` pages, brighter by the page."""
    every = [Image.fromarray(np.full((20, 30), 20 + page % 20 * 10, np.uint8)) for page in range(count)]
    every[0].save(path, save_all=True, append_images=every[1:])
    return path


def test_files_of_many_frames_take_the_way_of_all_others(tmp_path: Path) -> None:
    for number in range(6):
        png(tmp_path / "in" / f"{number}.png")
    for name in ("1b.tif", "3b.tif"):
        pages(tmp_path / "in" / name, 12)
    alone = Alone()
    outcomes = run(tmp_path, alone, save_noise_map=True)
    assert [one.status for one in outcomes] == ["written"] * 8
    assert [one.frames for one in outcomes] == [1, 1, 12, 1, 1, 12, 1, 1]
    assert len(alone.threads) == 1
    for name in ("1b.tif", "3b.tif"):
        with Image.open(tmp_path / "out" / name) as result:
            for page in range(12):
                result.seek(page)
                assert (np.asarray(result) == 10 + 10 * page).all()


def test_a_file_of_many_frames_that_breaks_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    data = pages(tmp_path / "whole.tif", 12).read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").write_bytes(data[: len(data) * 3 // 4])
    png(tmp_path / "in" / "b.png")
    outcomes = run(tmp_path, Lower())
    assert [one.status for one in outcomes] == ["failed", "written"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.png", MANIFEST_NAME]


def test_a_writer_that_fails_stops_the_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other frames are not denoised for nothing, and nobody waits for ever."""

    def full(pages: Iterable[object], *_: object) -> None:
        list(islice(pages, 3))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(raster, "write_tiff", full)
    pages(tmp_path / "in.tif", 200)
    jobs, _ = plan_jobs([tmp_path / "in.tif"], tmp_path / "out.tif")
    seen: list[int] = []

    class Counting(Lower):
        def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
            seen.append(1)
            return super().__call__(noisy, level)

    (failed,) = run_jobs(jobs, Options(Counting()))
    assert "No space left" in failed.error
    assert len(seen) < 20


def test_a_feed_hands_over_errors_and_holds_few() -> None:
    feed: Feed[int] = Feed()
    made: list[int] = []

    def make() -> Any:
        for number in range(10):
            made.append(number)
            yield number
        raise OSError("the end")

    filling = threading.Thread(target=feed.fill, args=(make(),), kwargs={"passed_on": (OSError,)})
    filling.start()
    time.sleep(0.05)
    assert len(made) <= ROOM + 1
    taken = []
    with pytest.raises(OSError, match="the end"):
        taken.extend(feed.taken())
    filling.join()
    assert made == list(range(10))

    bug: Feed[int] = Feed()
    with pytest.raises(ZeroDivisionError):
        bug.fill(1 // 0 for _ in range(3))
    with pytest.raises(AbandonedError):
        list(bug.taken())


def test_what_was_removed_is_told_in_both_units(tmp_path: Path) -> None:
    grey = np.full((20, 30), 100, np.float32)
    grey[0, :2] = 0, 255
    (tmp_path / "in").mkdir()
    files.write(Radiograph.from_grey(grey, bits=12), tmp_path / "in" / "a.dcm")
    (outcome,) = run(tmp_path, Lower(), value_range=(0, 4095))
    assert outcome.removed_stored == pytest.approx(10 * 4095 / 255, rel=0.01)
    assert outcome.removed_grey == pytest.approx(10, rel=0.01)
    assert outcome.shape == (20, 30)
    assert not any("next to nothing" in note for note in outcome.notes)


def test_what_was_removed_from_frames_of_unlike_ranges_is_told(tmp_path: Path) -> None:
    """Ten grey levels off each frame are ten off both, though one has a range a hundred times as wide."""
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(20000, 20000 + wide, (20, 30)).astype(np.uint16)) for wide in (400, 40000)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "a.tif", save_all=True, append_images=frames[1:])
    (outcome,) = run(tmp_path, Lower())
    assert outcome.frames == 2
    assert outcome.removed_grey == pytest.approx(10, rel=0.03)  # the narrow frame rounds 15.7 stored values to 16


@pytest.mark.parametrize("held", [0, 5000, 10**6])
def test_noise_maps_wait_in_memory_or_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr("xray_denoise.tasks.outcome.HELD_BYTES", held)
    pages(tmp_path / "in.tif", 12)
    jobs, _ = plan_jobs([tmp_path / "in.tif"], tmp_path / "out.tif")
    seen: list[int] = []

    class Numbered(Lower):
        def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | None = None) -> Denoised:
            seen.append(len(seen))
            return Denoised.of(noisy, noisy - 10, level, np.full(noisy.shape, seen[-1], np.float32))

    (outcome,) = run_jobs(jobs, Options(Numbered(), save_noise_map=True))
    assert outcome.status == "written"
    with Image.open(tmp_path / "out.tif.noise.tif") as maps:
        for page in range(12):
            maps.seek(page)
            assert (np.asarray(maps) == page).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.tif", "out.tif.noise.tif"]


def test_next_to_nothing_is_noted(tmp_path: Path) -> None:
    png(tmp_path / "in" / "a.png")
    (outcome,) = run(tmp_path, Lower(), strength=0.004)
    assert "next to nothing was removed" in outcome.notes[0]
    (line,) = (tmp_path / "out" / MANIFEST_NAME).read_text().splitlines()
    assert json.loads(line)["notes"] == list(outcome.notes)
    assert outcome.notes[0] in Image.open(outcome.target).text["Software"]  # type: ignore[attr-defined]
    (untouched,) = run(tmp_path, Lower(), strength=0.0, existing="overwrite")
    assert untouched.notes == ()


@pytest.mark.parametrize(
    ("naming", "name", "expected"),
    [
        (Naming(), "a.PNG", "a.PNG"),
        (Naming("png"), "a.dcm", "a.png"),
        (Naming("png"), "IM0001", "IM0001.png"),
        (Naming("png"), "1.2.840.113", "1.2.840.113.png"),
        (Naming("tiff", "_x"), "a.jpeg", "a_x.tiff"),
        (Naming(), "a.JPG", "a.png"),
        (Naming(None, "_x"), "1.2.840.113", "1.2.840.113_x"),
        (Naming(None, "_x"), "IM0001", "IM0001_x"),
        (Naming("dcm", "_x"), "a.b.dcm", "a.b_x.dcm"),
    ],
)
def test_names_of_results(naming: Naming, name: str, expected: str) -> None:
    assert naming.of(Path(name)) == expected


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ("dicom", "a.png", "a_x.dcm"),
        ("dicom", "a.JPG", "a_x.dcm"),
        ("dicom", "a.dicom", "a_x.dicom"),
        ("dicom", "a.ima", "a_x.ima"),
        ("dicom", "1.2.840.5", "1.2.840.5_x"),
        ("dicom", "IM0001", "IM0001_x"),
        ("png", "a.dcm", "a_x.png"),
        ("png", "a.TIFF", "a_x.png"),
        ("tiff", "a.png", "a_x.tif"),
        ("jpeg", "a.dcm", "a_x.png"),
        ("jpeg", "IM0001", "IM0001_x.png"),
    ],
)
def test_results_keep_the_format_of_the_content_whatever_its_name(
    tmp_path: Path, content: files.Kind, name: str, expected: str
) -> None:
    source = tmp_path / "in" / name
    source.parent.mkdir()
    if content == "dicom":
        write(source, Sample())
    else:
        Image.fromarray(np.full((20, 30), 100, np.uint8)).save(source, content)
    jobs, _ = plan_jobs([source.parent], tmp_path / "out", naming=Naming(None, "_x"))
    assert [job.target.name for job in jobs] == [expected]
    (outcome,) = run_jobs(jobs, Options(Lower()))
    assert outcome.status == "written", outcome.error
    assert files.kind_of(outcome.target) == {"jpeg": "png"}.get(content, content)


def test_formats_and_suffixes_are_for_folders(tmp_path: Path) -> None:
    source, other = png(tmp_path / "in" / "a.png"), png(tmp_path / "in" / "b.png")
    jobs, _ = plan_jobs([tmp_path / "in"], tmp_path / "out", naming=Naming("tiff", "_x"))
    assert [job.target.name for job in jobs] == ["a_x.tiff", "b_x.tiff"]
    with pytest.raises(UsageError, match="name of one file"):
        plan_jobs([source, other], tmp_path / "out.png")
    with pytest.raises(UsageError, match="name of one file"):
        plan_jobs([tmp_path / "in"], tmp_path / "out.dcm")
    with pytest.raises(UsageError, match="in a folder"):
        plan_jobs([source], tmp_path / "out.png", naming=Naming(None, "_x"))
    with pytest.raises(UsageError, match="no TIFF file"):
        plan_jobs([source], tmp_path / "out.png", naming=Naming("tiff"))
    plan_jobs([source], tmp_path / "out.tif", naming=Naming("tiff"))
    with pytest.raises(UsageError, match="cannot hold"):
        Naming(None, "/x")


def test_progress_is_told_tile_by_tile(tmp_path: Path) -> None:
    from xray_denoise.tasks.denoise import denoise_files, load

    for name in ("a", "b"):
        png(tmp_path / "in" / f"{name}.png")
        noise = np.random.default_rng(0).integers(60, 200, (700, 64), np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / f"{name}.png")
    batch = denoise_files(tmp_path / "in", tmp_path / "out", model=load("lite", device="cpu", tile=320))
    heard: list[float] = []
    batch.on_progress = heard.append
    assert [outcome.status for outcome in batch] == ["written", "written"]
    assert heard == sorted(heard)
    assert {1.0, 2.0} <= set(heard)
    assert len(heard) > 3
