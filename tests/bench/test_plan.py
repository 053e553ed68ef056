"""Rows, tables, figures and pages of the benchmark, with fake methods on small images."""

import io
import json
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from xray_denoise import denoisers
from xray_denoise.bench import cases, figure, rows
from xray_denoise.bench.plan import Plan, plan
from xray_denoise.bench.records import Log, Record
from xray_denoise.cli import app, results
from xray_denoise.denoisers import Denoised, Denoiser, Runtime
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.reports import page as reports_page
from xray_denoise.reports import tables

Grey = NDArray[np.floating]


@dataclass
class Fake(Denoiser):
    """Draws the image a part of the way to its mean; believes in a fixed noise level, or in none."""

    name: str = "fake"
    weight: float = 0.5
    believed: NoiseLevel | None = None
    weights_sha256: str = ""
    calls: list[NoiseLevel | None] = field(default_factory=list, repr=False)

    def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
        self.calls.append(level)
        image = self.weight * noisy + (1 - self.weight) * noisy.mean()
        return Denoised.of(noisy, image, level or self.believed)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Fake]:
    """Two networks, one of them without a notion of the level, and three classical methods, one not installed."""
    made = [
        Fake("x-bdcnn", 0.1, NoiseLevel(0.5, 12.0), weights_sha256="a" * 64),
        Fake("dncnn", 0.2, None, weights_sha256="b" * 64),
        Fake("another", 0.9, NoiseLevel(1.0, 1.0), weights_sha256="c" * 64),
        Fake("auto", 0.15, NoiseLevel(0.5, 12.0), weights_sha256="d" * 64),
        Fake("noisy", 1.0),
        Fake("tv", 0.3),
    ]
    known = {one.name: one for one in made}

    def get(name: str, runtime: Runtime | None = None) -> Denoiser:
        if name not in known:
            raise UsageError(f"no model called '{name}'")
        return known[name]

    monkeypatch.setattr(denoisers, "get", get)
    monkeypatch.setattr(denoisers, "network_names", lambda: ["another", "dncnn", "x-bdcnn"])
    monkeypatch.setattr(denoisers, "classical_names", lambda: ["tv", "bm3d", "noisy"])
    monkeypatch.setattr(denoisers, "missing", lambda name: "pip install bm3d" if name == "bm3d" else "")
    return known


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of 160x140 pixels."""
    images = tmp_path / "images"
    images.mkdir()
    y, x = np.mgrid[:160, :140]
    for number in range(2):
        grey = 90 + 60 * np.sin((x + 31 * number) / 9) * np.cos(y / 12)
        Image.fromarray(grey.astype(np.uint8)).save(images / f"Doe^John_{number}.png")
    return images


def psnr(one: Record) -> tuple[str, str, str, float | None]:
    return one.row, one.image, one.noise, one.values.get("psnr", one.values.get("total_error"))


def run(made: Plan, log: Log | None = None) -> tables.Report:
    return made.report(list(made.measure(log or Log())))


def test_rows_stand_in_the_order_of_the_tables(fakes: dict[str, Fake]) -> None:
    assert rows.of_set(rows.PAPER) == ["noisy", "dncnn", "x-bdcnn", "auto"]
    assert rows.of_set(rows.ALL) == ["noisy", "tv+level", "bm3d", "bm3d+level", "dncnn", "x-bdcnn", "another"]
    assert rows.of_set(rows.NETWORKS) == ["dncnn", "x-bdcnn", "another"]


def test_the_default_is_the_papers_table_and_the_rest_is_named(fakes: dict[str, Fake], folder: Path) -> None:
    made = plan("2", folder)
    assert [row.title for row in made.rows] == ["noisy", "DnCNN", "X-BDCNN", "default of denoise"]
    assert made.left_out == ["4 other methods (all of them: --methods all)"]
    assert made.cases_per_row == 2 * 9


def test_an_unknown_table_is_refused(fakes: dict[str, Fake], folder: Path) -> None:
    with pytest.raises(UsageError, match="no table is called '3'"):
        plan("3", folder)


def test_a_row_that_is_not_installed_is_told_and_not_measured(fakes: dict[str, Fake], folder: Path) -> None:
    made = plan("2", folder, methods="all")
    titles = [row.title for row in made.rows]
    assert titles == ["noisy", "TV (true level)", "DnCNN", "X-BDCNN", "another"]
    assert made.absent == dict.fromkeys(["BM3D", "BM3D (true level)"], "pip install bm3d")
    report = replace(made, rows=made.rows[:1]).report([])
    assert "Not installed: BM3D, BM3D (true level). To measure them: pip install bm3d" in report.notes


def test_what_was_asked_for_by_name_must_be_installed(fakes: dict[str, Fake], folder: Path) -> None:
    with pytest.raises(CannotRunError, match="'bm3d\\+level' needs a package") as caught:
        plan("2", folder, methods="tv,bm3d+level")
    assert caught.value.hint == "pip install bm3d"


@pytest.mark.parametrize(
    ("named", "what"),
    [("tv,tv", "twice"), ("tv, tv", "twice"), ("vgg", "no model"), ("tv+sigma", "no model"), ("estimate", "no noise")],
)
def test_rows_that_make_no_sense(fakes: dict[str, Fake], folder: Path, named: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        plan("2", folder, methods=named)


def test_only_a_row_with_level_behind_its_name_is_told(fakes: dict[str, Fake], folder: Path) -> None:
    made = plan("2", folder, methods="tv+level,x-bdcnn", quick=True)
    assert [(row.title, row.oracle) for row in made.rows] == [("TV (true level)", True), ("X-BDCNN", False)]
    run(made)
    assert set(fakes["tv"].calls) == set(cases.QUICK_LEVELS)
    assert set(fakes["x-bdcnn"].calls) == {None}


def test_quick_says_what_it_leaves_out(fakes: dict[str, Fake], folder: Path) -> None:
    made = plan("2", folder, methods="all", quick=True)
    facts = dict(run(made).facts)
    assert facts["left out"].startswith("6 of the 9 cases of each image; BM3D (true level) (too slow")
    assert "BM3D (true level)" not in made.absent
    assert facts["images"] == "2 radiographs of images, their centres of 256x256 pixels"
    assert made.cases_per_row == 2 * 3


def test_file_names_do_not_reach_log_or_report(fakes: dict[str, Fake], folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    made = plan("2", folder, methods="noisy", quick=True)
    report = run(made, Log(path))
    assert "Doe" not in path.read_text() + tables.markdown(report) + tables.json_text(report)


@pytest.mark.parametrize("table", ["1", "2", "noise-level"])
def test_an_interrupted_table_goes_on_and_a_second_run_is_identical(
    fakes: dict[str, Fake], folder: Path, tmp_path: Path, table: str
) -> None:
    names = "x-bdcnn,another" if table == "noise-level" else "noisy,x-bdcnn"
    made = plan(table, folder, methods=names, quick=True)
    path = tmp_path / "log.jsonl"
    running = made.measure(Log(path))
    first = [next(running) for _ in range(5)]
    incomplete = made.report(first)
    assert any("not complete" in note for note in incomplete.notes)
    measured = list(made.measure(Log(path, resume=True)))
    assert measured[:5] == first
    assert len(measured) == made.cases_per_row * 2 == len(path.read_text().splitlines())
    assert not any("not complete" in note for note in made.report(measured).notes)
    again = list(made.measure(Log()))
    assert [psnr(one) for one in again] == [psnr(one) for one in measured]
    calls = len(fakes["x-bdcnn"].calls)
    assert list(made.measure(Log(path, resume=True))) == measured
    assert len(fakes["x-bdcnn"].calls) == calls, "nothing is measured again"


def test_tables_share_one_log(fakes: dict[str, Fake], folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    second = plan("2", folder, methods="noisy,x-bdcnn", quick=True)
    done = list(second.measure(Log(path)))
    levels = plan("noise-level", folder, methods="x-bdcnn", quick=True)
    calls = len(fakes["x-bdcnn"].calls)
    assert list(levels.measure(Log(path, resume=True))) == [one for one in done if one.row == "X-BDCNN"]
    assert len(fakes["x-bdcnn"].calls) == calls


def test_methods_without_a_level_are_told_and_left_out(fakes: dict[str, Fake], folder: Path) -> None:
    made = plan("noise-level", folder, quick=True)
    assert [row.title for row in made.rows] == ["X-BDCNN", "another", "classical estimator"]
    report = run(made)
    assert "DnCNN (no estimate of the noise level)" in dict(report.facts)["left out"]
    values = report.tables[0].rows[0].values
    truths = [(level.eta, level.sigma) for level in cases.QUICK_LEVELS]
    assert values[0] == pytest.approx(100 * np.mean([eta / 0.5 - 1 for eta, _ in truths]))
    assert values[3] == pytest.approx(np.mean([abs(12.0 - sigma) for _, sigma in truths]))


@pytest.mark.parametrize(("named", "what"), [("x-bdcnn+level", "nothing to estimate"), ("dncnn", "none of these")])
def test_only_blind_methods_estimate(fakes: dict[str, Fake], folder: Path, named: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        plan("noise-level", folder, methods=named)


def test_a_figure_shows_clean_noisy_and_each_method_at_four_levels(fakes: dict[str, Fake], folder: Path) -> None:
    made = figure.plan(folder, folder / "f.png", methods="noisy,tv+level,x-bdcnn", quick=True)
    with Image.open(io.BytesIO(made.draw())) as drawn:
        across, down = drawn.size
    assert across == pytest.approx(figure.DPI * 4 * figure.PANEL, abs=1), "clean, noisy and two methods"
    assert down == pytest.approx(figure.DPI * 4 * (2 * figure.PANEL * 160 / 140 + 0.5), abs=1)
    assert fakes["tv"].calls == list(figure.LEVELS)
    assert fakes["x-bdcnn"].calls == [None] * 4
    assert [row.title for row in figure.plan(folder, Path("f.svg")).rows] == [
        "TV (true level)",
        "DnCNN",
        "X-BDCNN",
    ], "a readable set, TV for want of BM3D"


def test_before_and_after_stand_beside_the_clean_image(fakes: dict[str, Fake], folder: Path) -> None:
    made = figure.plan(folder, Path("f.png"), kind="before-after", methods="noisy,x-bdcnn")
    with Image.open(io.BytesIO(made.draw())) as drawn:
        assert drawn.size == (3 * 140, 140 + 160), "noisy, x-bdcnn, clean; the detail is the whole image here"
        pixels = np.asarray(drawn)
    np.testing.assert_array_equal(pixels[140:, 280:], np.rint(made.image.grey))
    assert [row.name for row in figure.plan(folder, Path("f.png"), kind="before-after").rows] == ["auto"]
    with pytest.raises(UsageError, match="no figure is called '3'"):
        figure.plan(folder, Path("f.png"), kind="3")
    with pytest.raises(UsageError, match="needs a PNG file"):
        figure.plan(folder, Path("f.svg"), kind="before-after")


@pytest.mark.parametrize("target", [None, Path("f.jpg"), Path("f")])
def test_a_figure_needs_a_file(fakes: dict[str, Fake], folder: Path, target: Path | None) -> None:
    with pytest.raises(UsageError, match="PNG or SVG"):
        figure.plan(folder, target)


def test_the_page_shows_every_image_denoised_by_the_best_network(
    fakes: dict[str, Fake], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes["tv"].weight = 0.8  # the best of all for these images, but no network
    made = plan("2", folder, methods="noisy,tv,dncnn,another", quick=True)
    done = list(made.measure(Log()))
    means = {row.title: row.values[-1] or 0.0 for row in made.report(done).tables[0].rows}
    assert means["TV"] > means["another"] > means["DnCNN"]
    shown: list[reports_page.Comparison] = []
    encode = reports_page.encode

    def spy(comparison: reports_page.Comparison) -> reports_page.Picture:
        shown.append(comparison)
        return encode(comparison)

    monkeypatch.setattr(reports_page, "encode", spy)
    text = made.html(done).decode()
    assert [one.title for one in shown] == ["Image 1", "Image 2"]
    for one in shown:
        assert ("method", "another") in one.facts
        assert one.clean is not None
        assert one.before.shape == one.after.shape == one.clean.shape == (160, 140)
    assert "Doe" not in text
    assert "PSNR by noise level" in text


def test_a_page_of_another_table_has_no_images(fakes: dict[str, Fake], folder: Path) -> None:
    made = plan("1", folder, methods="noisy,x-bdcnn", quick=True)
    text = made.html(list(made.measure(Log()))).decode()
    assert "Difference to X-BDCNN" in text
    assert "Image 1" not in text


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["bench", *(str(argument) for argument in arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_writes_every_kind_of_file(fakes: dict[str, Fake], folder: Path, tmp_path: Path) -> None:
    targets = {name: tmp_path / name for name in ("t.csv", "t.md", "t.json", "t.html")}
    options = zip(("--csv", "--markdown", "--summary", "--report"), targets.values(), strict=True)
    status, out, err = invoke(
        "--images", folder, "--quick", "--methods", "noisy,x-bdcnn", *(part for pair in options for part in pair)
    )
    assert status == 0, err
    assert "Difference to X-BDCNN" in out
    assert "±" in out
    assert all(target.stat().st_size for target in targets.values())
    title = json.loads(targets["t.json"].read_text())["title"]
    assert title == "Quick run on crops of few images, laid out as: Table II of the X-BDCNN paper"
    assert "this takes less than a minute here" in err
    assert "left out: 6 of the 9 cases of each image" in err


@pytest.mark.parametrize("option", ["--csv", "--markdown", "--summary", "--report", "--log", "--output"])
def test_no_output_takes_the_place_of_what_is_read(
    fakes: dict[str, Fake], folder: Path, tmp_path: Path, option: str
) -> None:
    profile, linked = tmp_path / "p.svg", tmp_path / "linked.svg"
    profile.write_text(NoiseProfile.white(4).to_json())
    linked.symlink_to(next(folder.iterdir()))
    line = ["--images", folder, "--table", "detectors", "--profile", profile, "--existing", "overwrite"]
    for victim in (linked, profile):
        before = victim.read_bytes()
        status, _, err = invoke(*line, option, victim)
        assert (status, "is an input" in err) == (2, True), err
        assert victim.read_bytes() == before
    status, _, err = invoke("--images", folder, "--csv", tmp_path / "a", "--log", tmp_path / "a")
    assert (status, "two results would be one file" in err) == (2, True)
    assert not any(fake.calls for fake in fakes.values())


def test_files_are_replaced_only_when_that_is_asked_for(fakes: dict[str, Fake], folder: Path, tmp_path: Path) -> None:
    table, log = tmp_path / "t.csv", tmp_path / "log.jsonl"
    line = ["--images", folder, "--quick", "--methods", "noisy", "--csv", table, "--log", log]
    assert invoke(*line)[0] == 0
    before = (table.read_text(), log.read_text())
    status, _, err = invoke(*line)
    assert (status, f"{table} exists already" in err) == (1, True)
    status, _, err = invoke(*line[:-4], "--log", log)
    assert (status, "continue it" in err, "(--resume)" in err) == (2, True, True)
    assert (table.read_text(), log.read_text()) == before
    assert invoke(*line, "--existing", "overwrite")[0] == 0
    assert len(log.read_text().splitlines()) == 6


def test_json_lines_are_all_that_stdout_holds(fakes: dict[str, Fake], folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    status, out, err = invoke("--images", folder, "--quick", "--methods", "noisy", "--json", "--log", log)
    assert (status, out) == (0, log.read_text()), err
    assert {json.loads(line)["row"] for line in out.splitlines()} == {"noisy"}


def test_all_methods_are_asked_about_on_a_terminal_only(
    fakes: dict[str, Fake], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["xray_denoise.cli.bench"], "confirmed", no)  # the package has a function of that name
        line = ["--images", folder, "--quick", "--methods", "all"]
        status, out, _ = invoke(*line)
        assert (status, out) == (1, "")
        assert asked == ["Measuring all methods takes less than a minute. Continue?"]
        assert invoke(*line, "--yes")[0] == invoke("--images", folder, "--quick", "--methods", "noisy")[0] == 0
        assert len(asked) == 1
    assert results.confirmed("without a terminal"), "nobody could answer"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "less than a minute"), (60, "about a minute"), (1830, "about 30 minutes"), (8000, "about 2.2 hours")],
)
def test_times_are_told_with_two_digits(seconds: float, text: str) -> None:
    assert results.about(seconds) == text


def test_a_run_says_how_long_it_takes(fakes: dict[str, Fake], folder: Path, tmp_path: Path) -> None:
    """Each call sleeps for a time that is the same for every pixel; 18 cases of 160x140 pixels."""

    class Slow(Fake):
        def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
            time.sleep(2e-6 * noisy.size)
            return super().__call__(noisy, level)

    fakes["noisy"] = Slow("noisy")
    made = plan("2", folder, methods="noisy")
    cost = made.estimate(Log())["noisy"]
    assert cost >= 2e-6 * 160 * 140
    path = tmp_path / "log.jsonl"
    list(made.measure(Log(path)))
    assert made.estimate(Log(path, resume=True)) == {"noisy": 0.0}, "the log has all of it"


def test_the_command_draws_a_figure(fakes: dict[str, Fake], folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "figure.svg"
    status, _, err = invoke("--images", folder, "--figure", "2", "--methods", "tv", "-o", target)
    assert status == 0, err
    assert "drawing TV on the first of 2 radiographs" in err
    assert target.read_bytes().startswith(b"<?xml")


def test_an_interrupted_command_shows_what_it_has_and_its_status_says_so(
    fakes: dict[str, Fake], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(Fake):
        def __call__(self, noisy: Grey, level: NoiseLevel | None = None) -> Denoised:
            if len(self.calls) > 5:  # three for the estimate, one to warm up
                raise KeyboardInterrupt
            return super().__call__(noisy, level)

    fakes["noisy"] = Impatient("noisy")
    log = tmp_path / "log.jsonl"
    line = ["--images", folder, "--quick", "--methods", "noisy", "--log", log]
    status, out, err = invoke(*line)
    assert status == 130
    assert "not complete" in out
    assert "--resume continues" in err
    assert len(log.read_text().splitlines()) == 2
    fakes["noisy"] = Fake("noisy", believed=None)
    assert invoke(*line, "--resume")[0] == 0


def test_what_cannot_work_is_told_before_anything_is_measured(
    fakes: dict[str, Fake], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = invoke("--images", folder, "--table", "1", "-o", tmp_path / "x.svg")
    assert (status, "--output is for figures" in err) == (2, True)
    status, _, err = invoke("--images", folder, "-o", tmp_path / "x.png")
    assert (status, "SVG file" in err) == (2, True)
    assert invoke("--images", folder, "--figure", "2")[0] == 2
    status, _, err = invoke("--images", folder, "--figure", "2", "-o", "x.png", "--csv", "x.csv")
    assert (status, "no table to write" in err) == (2, True)
    status, _, err = invoke("--images", folder, "--csv", tmp_path / "absent" / "x.csv")
    assert (status, "there is no such folder" in err) == (1, True)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = invoke("--images", folder, "--figure", "2", "-o", "x.png")
    assert (status, "needs the package 'matplotlib'" in err) == (3, True)
    status, _, err = invoke("--images", folder, "--report", tmp_path / "r.html")
    assert (status, "pip install 'xray-denoise[report]'" in err) == (3, True)
    assert not any(fake.calls for fake in fakes.values())
