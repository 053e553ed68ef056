"""Speed and its growth are measured as they are said to be, each row in a process of its own."""

import csv
import io
import json
import math
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from tests.slow_methods import Knowing, Sleeper, fail
from xray_denoise.bench import machine, speed, timed_run
from xray_denoise.bench.cases import MIDDLE, Case, CleanImage, ImageSet, resized
from xray_denoise.bench.plan import Plan, plan
from xray_denoise.bench.records import Log, Record
from xray_denoise.bench.rows import Row
from xray_denoise.bench.tables import TABLES
from xray_denoise.cli import app
from xray_denoise.denoisers import Runtime
from xray_denoise.errors import CannotRunError
from xray_denoise.physics.metrics import psnr
from xray_denoise.reports import tables as layout
from xray_denoise.training.throughput import convolution_rate, matrix_rate

SMALL = CleanImage("small", np.add.outer(np.arange(40.0), np.arange(48.0)).astype(np.float32) + 50)


@dataclass(frozen=True)
class WithNet(Sleeper):
    """Has a network that it does not use."""

    net: object = None

    @property
    def weights_sha256(self) -> str:
        return "a" * 64

    def window_for(self, sides: tuple[int, int]) -> tuple[int, int]:
        return sides


def planned(rows: list[Row], sides: tuple[int, ...] = (), rounds: int = 1, warmup: int = 1, **more: object) -> Plan:
    one = ImageSet("an image", 1, lambda: iter([SMALL]))
    table = replace(TABLES["growth"], sides=sides) if sides else TABLES["speed"]
    return Plan(table, rows, one, repeat=rounds, warmup=warmup, runtime=Runtime("cpu"), **more)


def row(title: str, seconds: float = 0.0, per_pixel: float = 0.0, **more: object) -> Row:
    return Row(title, str(more.pop("name", title)), partial(Sleeper, seconds, per_pixel), **more)


def values(made: Plan, done: list[Record]) -> dict[str, dict[str, float | None]]:
    """The first table by row and column."""
    table = made.report(done).tables[0]
    names = [column.lines[0] for column in table.columns]
    return {row.title: dict(zip(names, row.values, strict=True)) for row in table.rows}


def records(title: str, *seconds: float, **more: float) -> list[Record]:
    return [Record(title, "image", "noise", at, {"seconds": value, **more}) for at, value in enumerate(seconds)]


def test_rows_take_turns_and_a_slow_one_takes_its_time() -> None:
    made = planned([row("quick"), row("slow", 0.7)], rounds=2, warmup=0)
    done = list(made.measure(Log()))
    assert [(one.row, one.repeat) for one in done] == [("quick", 0), ("slow", 0), ("quick", 1), ("slow", 1)]
    assert made.cases_per_row == 2
    noisy = Case(SMALL, MIDDLE).noisy(made.seed)
    for one in done:
        assert one.values["psnr"] == pytest.approx(psnr(noisy, SMALL.grey))
        assert (one.values["peak_memory"] or 0) > 10, "an interpreter and numpy"
        assert not {"multiply_adds", "device_memory"} & one.values.keys()
        assert ((one.values["seconds"] or 0) >= 0.7) == (one.row == "slow")
    found = values(made, done)["slow"]
    assert (found["fastest"] or 0) <= (found["median"] or 0) <= (found["slowest"] or 0)
    assert found["speed"] == pytest.approx(40 * 48 / 1e6 / (found["median"] or math.nan))
    assert not {"of peak", "on GPU", "to lite"} & set(found), "nothing to show there"


def test_a_row_that_fails_is_reported_and_the_others_continue(tmp_path: Path) -> None:
    made = planned([Row("broken", "broken", fail, precision="fp32"), row("quick")], rounds=2)
    path = tmp_path / "log.jsonl"
    done = list(made.measure(Log(path)))
    assert [(one.row, bool(one.failure)) for one in done] == [("broken", True), ("quick", False), ("quick", False)]
    report = made.report(done)
    assert "broken failed (small): nothing works." in report.notes
    assert not any("not complete" in note for note in report.notes)
    assert values(made, done)["broken"]["median"] is None
    resumed = list(replace(made, rows=made.rows[1:]).measure(Log(path, resume=True)))
    assert resumed == done[1:], "measured already"


def measured(one: Row, **options: object) -> dict[str, float | None]:
    return timed_run.measure(one, Case(SMALL, MIDDLE).noisy(0), SMALL.grey, **options)


def test_the_memory_of_a_classical_method_is_without_torch() -> None:
    """Measured where it was imported: 241 MiB for a row that only copies the image, instead of 80."""
    program = (
        "import sys; import numpy as np; from xray_denoise import denoisers\n"
        "from xray_denoise.bench.timed_run import measure; from xray_denoise.bench.rows import Row\n"
        "image, row = np.zeros((64, 64), np.float32), Row('a', 'noisy', lambda: denoisers.get('noisy'))\n"
        "measure(row, image, image)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_an_oracle_knows_the_level() -> None:
    blind = measured(Row("k", "k", Knowing))
    oracle = measured(Row("k", "k", Knowing, oracle=True))
    noisy = Case(SMALL, MIDDLE).noisy(0)
    assert blind["psnr"] == pytest.approx(psnr(noisy, SMALL.grey))
    assert oracle["psnr"] == pytest.approx(psnr(noisy + 1, SMALL.grey))


def test_a_network_counts_its_multiply_adds() -> None:
    """One convolution of 3x3 over one channel: nine for each pixel."""

    made = WithNet(net=torch.nn.Conv2d(1, 1, 3, padding=1))
    found = measured(Row("n", "n", lambda: made, precision="fp32"), warmup=0)
    assert found["multiply_adds"] == 9 * SMALL.grey.size


def test_ratios_are_taken_in_each_round_and_the_fastest_row_of_lite_is_one() -> None:
    names = {"lite, a": "lite", "lite, b": "lite", "x": "x-bdcnn"}
    made = planned([row(title, name=name) for title, name in names.items()], rounds=3)
    done = [
        *records("lite, a", 1.0, 10.0, 2.0),
        *records("lite, b", 2.0, 20.0, 4.0),
        *records("x", 8.0, 80.0, 15.0),
    ]
    found = values(made, done)
    assert [found[title]["to lite"] for title in ("lite, a", "lite, b", "x")] == [1, 2, 8]
    assert "lite : X-BDCNN = 1 : 8 in time, each by its fastest row." in made.report(done).notes


def test_the_share_is_of_the_highest_rate() -> None:
    one = row("lite, fp32", name="lite", precision="fp32")
    made = planned([one], rounds=3)
    done = records("lite, fp32", 2.0, 1.0, 3.0, multiply_adds=4e9)
    done = [
        replace(record, values={**record.values, "peak_rate": rate})
        for record, rate in zip(done, (3e9, 8e9, 5e9), strict=True)
    ]
    assert values(made, done)["lite, fp32"]["of peak"] == pytest.approx(100 * (4e9 / 2.0) / 8e9)
    assert dict(made.report(done).facts)["peak"] == "multiply-adds a second: 8e9 in fp32"


def test_the_machine_has_a_rate() -> None:
    """Far below a multiply-add a second for each of 10^6 multipliers at 10 GHz, and above what Python would reach."""
    cpu = torch.device("cpu")
    for rate in (
        matrix_rate(cpu, torch.float32, size=256, repeat=3),
        convolution_rate(cpu, torch.float32, size=64, repeat=3),
    ):
        assert 1e8 < rate < 2e16


def test_an_interrupted_run_shows_what_it_has() -> None:
    made = planned([row("a"), row("b")], rounds=2)
    report = made.report(records("a", 1.0))
    assert any("not complete" in note for note in report.notes)
    assert [row.values[0] for row in report.tables[0].rows] == [1.0, None]


def test_a_quick_run_is_headed_as_one() -> None:
    made = planned([row("a")], quick=True)
    assert made.report([]).title == "Quick run on crops of few images, laid out as: Speed of denoisers on one image"
    assert replace(made, quick=False).report([]).title == "Speed of denoisers on one image"


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_power_law_is_found(power: float) -> None:
    exponent, mean = speed.power_law([(x, 3 * x**power) for x in (1.0, 4.0, 16.0)])
    assert exponent == pytest.approx(power)
    assert mean == pytest.approx(3 * 4 ** (power - 1), abs=1e-9), "at the middle of the logarithms"


def test_few_points_have_no_law() -> None:
    assert speed.power_law([]) == (None, None)
    assert speed.power_law([(2.0, 6.0)]) == (None, pytest.approx(3.0))


def test_growth_shows_every_size_and_its_law() -> None:
    """A sleep of 40 ms and more comes late by some milliseconds at most, unless the machine is very busy."""
    made = planned([row("linear", per_pixel=1e-5)], rounds=1, warmup=0, sides=(64, 256))
    done = list(made.measure(Log()))
    assert [one.image for one in done] == ["64x64 pixels", "256x256 pixels"]
    assert [one.values["psnr"] for one in done] == [None] * 2
    report = made.report(done)
    seconds, rate, memory = (table.rows[0].values for table in report.tables)
    assert seconds[:2] == tuple(one.values["seconds"] for one in done)
    assert seconds[2] == pytest.approx(1.0, abs=0.2)
    assert rate[1] == pytest.approx(256**2 / 1e6 / (seconds[1] or 0))
    assert all(value is not None and value > 10 for value in memory)
    assert report.tables[1].columns[0].lines == ("64x64", "0.0041 MP")


def test_memory_grows_with_the_image() -> None:
    """A copy is returned: image and result have 4 bytes a pixel each, 32 MiB more at 2048x2048 than at 64x64."""
    one = Row("noisy", "noisy", partial(speed.denoisers.get, "noisy"))
    made = planned([one], rounds=1, warmup=0, sides=(64, 2048))
    small, large = (record.values["peak_memory"] or 0 for record in made.measure(Log()))
    assert 32 - 2 < large - small < 3 * 32


@pytest.mark.parametrize("side", [7, 40, 45, 100])
def test_an_image_is_cut_or_mirrored_to_a_size(side: int) -> None:
    found = resized(SMALL.grey, side)
    assert found.shape == (side, side)
    assert found.flags.c_contiguous
    kept = min(side, 40)
    np.testing.assert_array_equal(found[:kept, :kept], SMALL.grey[:kept, :kept])
    if side > 40:
        np.testing.assert_array_equal(found[40], found[39])


def test_networks_stand_once_for_each_precision_and_classical_methods_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has_fast_bf16", lambda _: True)
    made = plan("speed", folder, methods="tv,lite,noisy", quick=True, runtime=Runtime("cpu"))
    assert [(one.title, one.precision) for one in made.rows] == [
        ("TV", ""), ("lite, fp32", "fp32"), ("lite, bf16", "bf16"), ("noisy", ""),
    ]  # fmt: skip
    assert next(made.images.open()).grey.shape == (120, 140)
    assert made.repeat == 3
    named = plan("speed", folder, methods="lite", runtime=Runtime("cpu", "bf16"))
    assert [one.title for one in named.rows] == ["lite, bf16"]


def test_the_defaults_are_those_of_the_page(folder: Path) -> None:
    everything = plan("speed", folder)
    names = list(dict.fromkeys(one.name for one in everything.rows))
    wanted = ["noisy", "tv", "nlm", "bm3d", "gat-bm3d", "dncnn", "x-recnn", "x-bdcnn", "lite", "auto"]
    assert [name for name in wanted if name in names or "bm3d" in name] == wanted
    assert everything.repeat == 5
    quick = plan("speed", folder, quick=True)
    assert not any("bm3d" in one.name for one in quick.rows)
    assert quick.left_out[0].startswith("BM3D, GAT + BM3D (too slow")
    growth = plan("growth", folder)
    assert [one.name for one in growth.rows] == ["x-bdcnn", "lite", "auto"]
    assert {one.precision for one in plan("growth", folder, runtime=Runtime("cpu")).rows} == {"fp32"}
    sides = [[case.side for case in growth.table.cases(SMALL, 0, quick)] for quick in (False, True)]
    assert (sides[0][0] ** 2, sides[0][-1] ** 2, sides[1][-1] ** 2) == (2**18, 2**26, 2**22)


@pytest.mark.parametrize(
    ("kind", "fast", "precisions"),
    [
        ("cuda", True, ["fp32", "bf16", "fp16"]),
        ("cpu", True, ["fp32", "bf16"]),
        ("cpu", False, ["fp32"]),
        ("mps", False, ["fp32"]),
    ],
)
def test_precisions_that_make_sense(
    kind: str, fast: bool, precisions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "choose_device", torch.device)
    monkeypatch.setattr(machine, "has_fast_bf16", lambda _: fast)
    assert machine.precisions(Runtime(kind), every=True) == precisions
    assert machine.precisions(Runtime(kind, "bf16"), every=True) == ["bf16"]
    assert len(machine.precisions(Runtime(kind), every=False)) == 1


def test_what_the_processor_says(tmp_path: Path) -> None:
    said = tmp_path / "cpuinfo"
    said.write_text("flags\t\t: fpu avx2\nmodel name\t: A: Fast One\n")
    assert machine.processor(said) == "A: Fast One"
    assert machine.processor(tmp_path / "absent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One picture of 120x140 pixels."""
    images = tmp_path / "images"
    images.mkdir()
    y, x = np.mgrid[:120, :140]
    Image.fromarray((90 + 60 * np.sin(x / 9) * np.cos(y / 12)).astype(np.uint8)).save(images / "Doe.png")
    return images


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["bench", *(str(argument) for argument in arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_says_the_same_everywhere(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_fast_bf16", lambda _: False)  # else a processor made for it has more rows
    monkeypatch.setattr(timed_run, "in_fresh_process", lambda run: run())  # other tests start processes
    monkeypatch.setattr(timed_run, "CPU_SIZES", (256, 64))
    targets = {name: tmp_path / f"speed.{name}" for name in ("csv", "md", "json", "html", "svg", "jsonl")}
    options = zip(("--csv", "--markdown", "--summary", "--report", "-o", "--log"), targets.values(), strict=True)
    status, out, err = invoke(
        "--speed", "--quick", "--images", folder, "--methods", "noisy,lite", "--repeat", 1,
        "--warmup", 0, "--threads", 1, *(part for pair in options for part in pair),
    )  # fmt: skip
    assert status == 0, err
    assert "lite, fp32" in out
    assert "Doe" not in out
    lines = [json.loads(line) for line in targets["jsonl"].read_text().splitlines()]
    assert [line["row"] for line in lines] == ["noisy", "lite, fp32"]
    for content in (json.loads(targets["json"].read_text())["values"], list(csv.DictReader(targets["csv"].open()))):
        found = {(one["method"], one["quantity"]): float(one["value"]) for one in content}
        for line in lines:
            assert found[line["row"], "Speed: median, s"] == line["values"]["seconds"]
            assert found[line["row"], "Speed: memory, MiB"] == line["values"]["peak_memory"]
            assert found[line["row"], "Speed: PSNR, dB"] == line["values"]["psnr"]
        one = lines[1]["values"]
        lite = one["multiply_adds"] / one["seconds"] / one["peak_rate"]
        assert found["lite, fp32", "Speed: of peak, %"] == pytest.approx(100 * lite)
        assert found["lite, fp32", "Speed: to lite, times"] == 1
    assert "| lite, fp32 |" in targets["md"].read_text()
    assert "PSNR by time" in targets["html"].read_text()
    assert b"lite, fp32" in targets["svg"].read_bytes()
    assert lines[1]["values"]["psnr"] > lines[0]["values"]["psnr"] + 3


def test_a_row_that_fails_gives_status_1_and_an_interrupt_130(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = records("noisy", 1.0)[0].values
    answers = iter([seen, CannotRunError("no memory"), KeyboardInterrupt()])

    def answer(_: object) -> object:
        found = next(answers)
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(timed_run, "in_fresh_process", answer)
    line = ["--speed", "--quick", "--images", folder, "--methods", "noisy,tv", "--repeat", 2]
    status, out, err = invoke(*line)
    assert (status, "interrupted: the table shows" in err, "TV failed (image 1): no memory." in out) == (1, True, True)
    answers = iter([seen, KeyboardInterrupt()])
    status, out, _ = invoke(*line)
    assert (status, "not complete" in out) == (130, True)
    answers = iter([KeyboardInterrupt()])
    assert invoke(*line)[0] == 130


def test_what_cannot_work_is_told_before_anything_is_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timed_run, "in_fresh_process", lambda _: pytest.fail("measured"))
    there = tmp_path / "there.jsonl"
    there.write_text("mine\n")
    for line, status, what in [
        (["--speed", "--growth"], 2, "different runs"),
        (["--speed", "--table", "1"], 2, "different runs"),
        (["--speed", "-o", "x.png"], 2, "SVG file"),
        (["--speed", "--methods", "vgg"], 2, "no model called"),
        (["--speed", "--methods", "estimate"], 2, "removes no noise"),
        (["--speed", "--methods", "lite", "--device", "cuda:99"], 3, "no device"),
        (["--speed", "--methods", "noisy", "--log", there], 2, "exists"),
        (["--speed", "--csv", tmp_path / "absent" / "x.csv"], 1, "no such folder"),
        (["--speed", "--csv", there], 1, "exists already"),
    ]:
        found, _, err = invoke(*line, "--images", folder, "--quick")
        assert (found, what in err) == (status, True), (line, err)
    assert there.read_text() == "mine\n"


def test_the_table_fits_a_hundred_columns() -> None:
    """The longest title and the longest numbers."""
    title = "X-ReCNN (reconstructed), fp32"
    made = planned([row(title, name="lite", precision="fp32")], rounds=3)
    long = {"peak_memory": 9999.0, "device_memory": 9999.0, "psnr": 40.12, "multiply_adds": 1.234e11, "peak_rate": 1e9}
    done = records(title, 123.4, 0.000123, 4321.0, **long)
    console = Console(width=100, file=io.StringIO(), record=True, force_terminal=False)
    console.print(layout.renderable(made.report(done)))
    text = console.export_text()
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith(("processor", "versions", "*"))]
    assert max(map(len, lines)) <= 100
    assert "123 0.000123 4321" in " ".join(text.split())
    assert "…" not in text
