"""Tables of detector noise: drawn as they say, told whom they say, and laid out."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench.given import measure
from xray_denoise.bench import cases, detectors, metrics, table
from xray_denoise.bench.cases import Case, CleanImage
from xray_denoise.bench.detectors import CLEAN, DetectorTable, averaged
from xray_denoise.bench.pivot import Results
from xray_denoise.bench.plan import plan
from xray_denoise.bench.records import Log, Record
from xray_denoise.bench.rows import Row
from xray_denoise.bench.table import Run
from xray_denoise.bench.tables import TABLES
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.denoisers.classical import Noisy
from xray_denoise.errors import UnreadableFileError, UsageError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.reports.curves import Panel
from xray_denoise.reports.tables import Table

BLUR = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 6.0
MEASURED = NoiseProfile(np.array([0.0, 255.0]), np.array([1.0, 3.0]), BLUR)
FLAT = CleanImage("flat", np.full((256, 256), 127.5, dtype=np.float32))
PHANTOM = CleanImage("phantom", chest_phantom(256, rng=np.random.default_rng(0)).astype(np.float32))


@pytest.mark.parametrize("own_curve", [False, True])
def test_noise_has_the_deviation_and_the_spectrum_of_its_case(own_curve: bool) -> None:
    """On a flat field of mid-grey; correlated noise has fewer independent pixels, so five times 1 % is allowed."""
    noises = DetectorTable(whole=True, own_curve=own_curve, measured=(("mine", MEASURED),))
    made = {case.label: case for case in noises.cases(FLAT, 0, False)}
    assert len(made) == 1 + 5 * 6
    np.testing.assert_array_equal(made[CLEAN].noisy(0), FLAT.grey)
    for name, correlation in (("white", 0.0), ("csi", 0.43), ("mine", 2 / 3)):
        for deviation in (1.0, 16.0):
            case = made[f"{name} {deviation:g}"]
            assert isinstance(case.noise, NoiseProfile)
            noise = case.noisy(0) - FLAT.grey
            assert noise.std() == pytest.approx(deviation, rel=0.05)
            assert (noise[:, 1:] * noise[:, :-1]).mean() / noise.var() == pytest.approx(correlation, abs=0.05)
            dark, bright = case.noise.deviation_at([20.0, 230.0])
            assert bool(bright / dark > 1.5) is own_curve


def test_nothing_is_clipped_or_rounded() -> None:
    black = CleanImage("black", np.zeros((64, 64), dtype=np.float32))
    noisy = Case(black, NoiseProfile.white(4.0)).noisy(0)
    assert noisy.min() < -8
    assert not np.array_equal(noisy, np.rint(noisy))


def test_images_are_averaged_unless_whole_or_quick() -> None:
    shapes = [
        next(iter(DetectorTable(whole=whole).cases(PHANTOM, 0, quick))).image.grey.shape[0]
        for whole, quick in ((False, False), (True, False), (False, True))
    ]
    assert shapes == [128, 256, 256]
    noisy = PHANTOM.grey + np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    half = averaged(noisy) - averaged(PHANTOM.grey)
    assert half.std() == pytest.approx(0.5, rel=5 * (0.5 / half.size) ** 0.5)
    assert averaged(np.arange(15.0).reshape(3, 5)).shape == (1, 2)


class Told(Denoiser):
    """Knows the clean image, takes a share of the noise away, and remembers what it was told."""

    name = "told"

    def __init__(self) -> None:
        self.told: list[NoiseLevel | NoiseProfile | None] = []

    def __call__(self, noisy: NDArray[np.floating], level: NoiseLevel | NoiseProfile | None = None) -> Denoised:
        self.told.append(level)
        image = np.asarray(0.1 * noisy + 0.9 * PHANTOM.grey + 0.25, dtype=np.float32)
        return Denoised.of(noisy, image, NoiseLevel(math.inf, 1.2))


def quick_records(rows: list[Row]) -> list[Record]:
    metrics = DetectorTable.metrics
    return list(measure(rows, DetectorTable().cases(PHANTOM, 0, True), metrics, Log(), warmup=0))


def test_gain_shift_and_level_are_measured() -> None:
    """A tenth of the noise is left, 20 dB, less what a shift of a quarter adds to the error."""
    told = Told()
    records = {one.noise: one.values for one in quick_records([Row("told", "told", lambda: told, oracle=True)])}
    assert list(records) == [CLEAN, "white 1", "white 4", "csi 1", "csi 4"]
    for noise, deviation in (("csi 1", 1.0), ("csi 4", 4.0)):
        expected = 10 * math.log10(1 / (0.01 + (0.25 / deviation) ** 2))
        assert records[noise]["gain"] == pytest.approx(expected, abs=0.2)
        assert records[noise]["shift"] == pytest.approx(0.25, abs=0.05 * deviation)
        assert records[noise]["deviation_error"] == pytest.approx(100 * (1.2 / deviation - 1))
        assert records[noise]["band_1_error"] is None
    assert records[CLEAN]["gain"] is None
    assert records[CLEAN]["deviation_error"] is None
    assert records[CLEAN]["exact_psnr"] == pytest.approx(10 * math.log10(255**2 / 0.25**2), abs=1e-3)
    assert isinstance(told.told[-1], NoiseProfile)
    assert told.told[-1].kernel.size > 1


def test_doing_nothing_gains_nothing() -> None:
    for one in quick_records([Row("noisy", "noisy", Noisy)]):
        assert one.values["shift"] == 0
        assert one.values["gain"] == (None if one.noise == CLEAN else pytest.approx(0, abs=1e-9))
        assert one.values["exact_psnr"] == (math.inf if one.noise == CLEAN else pytest.approx(42, abs=7))


def test_an_estimated_profile_is_compared_band_by_band() -> None:
    true = MEASURED
    case = Case(PHANTOM, true)
    for found, deviation, bands in (
        (true.scaled(1.1), 10.0, np.zeros(4)),
        (NoiseProfile.white(float(true.deviation_at(127.5))), 0.0, -10 * np.log10(true.band_powers())),
    ):
        errors = metrics.profile_errors(Denoised.of(PHANTOM.grey, PHANTOM.grey, profile=found), case, PHANTOM.grey)
        assert errors.pop("deviation_error") == pytest.approx(deviation)
        np.testing.assert_allclose(list(errors.values()), bands, atol=1e-9)
    assert set(metrics.profile_errors(Denoised.of(PHANTOM.grey, PHANTOM.grey), case, PHANTOM.grey).values()) == {None}


def made(gains: Mapping[str, tuple[float, float]]) -> Run:
    """A quick run in which two images have these gains in every cell, 1 dB less at a deviation of 4."""
    records = []
    for title, both in gains.items():
        for image, gain in enumerate(both):
            for noise in ("white 1", "white 4", "csi 1", "csi 4"):
                values = {"gain": gain - noise.endswith("4"), "shift": 0.125, "deviation_error": -3.0 * (image + 1)}
                records.append(Record(title, f"image {image}", noise, values=values))
            records.append(Record(title, f"image {image}", CLEAN, values={"exact_psnr": 60.0 + image}))
    return Run(Results(records), [Row(title, "x", Noisy) for title in gains], images=2, quick=True)


def shown(gains: Mapping[str, tuple[float, float]]) -> dict[str, Table]:
    """The tables of such a run."""
    return {table.title: table for table in table.report(TABLES["detectors"], made(gains), []).tables}


def test_the_plot_has_a_panel_for_each_spectrum_and_a_curve_for_each_method(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Panel] = []
    monkeypatch.setattr(detectors, "panels", lambda some: drawn.extend(some) or b"")
    assert TABLES["detectors"].plotted
    TABLES["detectors"].plot(made({"noisy": (0.0, 0.0), "lite": (3.0, 5.0), "nlm": (1.0, 2.0)}))
    assert [panel.title for panel in drawn] == ["white", "csi"]
    for panel in drawn:
        assert [line.label for line in panel.lines] == ["lite", "nlm"]
        for line, gain in zip(panel.lines, (4.0, 1.5), strict=True):
            np.testing.assert_array_equal(line.x, [1, 4])
            np.testing.assert_allclose(line.y, [gain, gain - 1])


def test_tables_show_means_over_images() -> None:
    found = shown({"lite": (3.0, 5.0), "BM3D (true level)": (4.0, 4.5)})
    assert list(found) == [
        "PSNR gain, white",
        "PSNR gain, csi",
        "PSNR gain against BM3D (true level), dB",
        "Mean shift, grey",
        "Error of the deviation, %",
        "PSNR without noise, dB",
    ]
    gain, against, shift, deviation, clean = (
        found[title].rows[0].values for title in list(found) if title != "PSNR gain, csi"
    )
    assert gain == pytest.approx((4.0, 3.0, 3.5))
    assert against == pytest.approx((-0.25, -0.25, -0.25, -0.25))
    assert shift == pytest.approx((0.125, 0.125, 0.125))
    assert deviation == pytest.approx((4.5, 4.5))
    assert clean == pytest.approx((60.5,))
    assert [column.lines[0] for column in found["PSNR gain, white"].columns] == ["1", "4", "mean"]
    assert [row.title for row in found["PSNR gain against BM3D (true level), dB"].rows] == ["lite"]


def test_without_the_reference_nothing_is_compared() -> None:
    assert not any("against" in title for title in shown({"lite": (3.0, 5.0)}))


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(MEASURED.to_json())
    return path


def test_the_quick_table_of_one_phantom(monkeypatch: pytest.MonkeyPatch, profile: Path) -> None:
    """NLM, which takes noise for white, gains 8, 4 and 0 dB at a deviation of 4, the less the more it is correlated."""
    monkeypatch.setattr(cases, "QUICK_IMAGES", 1)
    made = plan("detectors", None, methods="noisy,nlm", quick=True, profile=profile)
    found = {table.title: table for table in made.report(list(made.measure(Log()))).tables}
    gains = {name: found[f"PSNR gain, {name}"].rows[1].values[1] or 0.0 for name in ("white", "csi", "mine")}
    assert gains["white"] > gains["csi"] + 1 > gains["mine"] + 2
    assert found["PSNR without noise, dB"].rows[0].values == (math.inf,)


def test_a_profile_is_for_these_tables(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="profiles are for tables of detector noise"):
        plan("2", None, methods="noisy", profile=profile)
    with pytest.raises(UnreadableFileError, match="cannot read"):
        plan("detectors", None, methods="noisy", profile=tmp_path / "none.json")
    profile.write_text(MEASURED.scaled(0.0).to_json())
    with pytest.raises(UsageError, match="no noise at mid-grey"):
        plan("detectors", None, methods="noisy", profile=profile)
