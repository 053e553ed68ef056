"""The table of harm tells what was done to an image; and the gate: what the default network may not do."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from xray_denoise import denoisers, weights
from xray_denoise.bench import harm, harm_gate, harm_scenes
from xray_denoise.bench.cases import Case, CleanImage
from xray_denoise.bench.detectors import even
from xray_denoise.bench.harm_scenes import Harm
from xray_denoise.bench.plan import plan
from xray_denoise.bench.records import Log, Record
from xray_denoise.bench.rows import Row
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.detectors import detector_profile
from xray_denoise.physics.lesions import LESIONS, SIDE
from xray_denoise.physics.observers import Scores

Grey = NDArray[np.floating]
PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "results" / "harm.jsonl"
DEVIATION = 4.0


class Filter(Denoiser):
    """A method made of a function."""

    name = "filter"

    def __init__(self, function: Callable[[Grey], Grey]) -> None:
        self.function = function

    def __call__(self, noisy: Grey, level: object = None) -> Denoised:
        assert level is None
        return Denoised.of(noisy, self.function(noisy.astype(np.float64)))


@cache
def phantom() -> CleanImage:
    return CleanImage("phantom", chest_phantom(256, rng=np.random.default_rng(0), marker=False, mottle=False))


def measured(scene: str, function: Callable[[Grey], Grey], spectrum: str = "white") -> dict[str, float]:
    case = Case(phantom(), even(DEVIATION, detector_profile(spectrum, DEVIATION).kernel), "n", scene=scene)
    found = Harm(small=True)(Row("f", "f", lambda: Filter(function)), case, case.noisy(0))
    return {name: value for name, value in found.items() if value is not None}


def test_what_does_nothing_harms_nothing() -> None:
    found = measured("lesions", lambda grey: grey, "csi")
    assert all(found[f"kept {name}"] == pytest.approx(1, abs=1e-4) for name in LESIONS), "32-bit pixels"
    assert all(found[f"d' gain {kind} {name}"] == 0 for kind in ("known", "measured") for name in LESIONS)
    assert found["bias^2"] == pytest.approx(0, abs=5 / 256)
    assert found["variance"] == pytest.approx(1, abs=0.1)
    assert measured("discs", lambda grey: grey)["threshold ratio"] == 1
    found = measured("empty", lambda grey: grey)
    assert found["blobs"] == found["blobs before"] <= 1e6 / 256**2
    assert not harm_gate.failures([Record("f", "flat fields", "n", values=measured("flat fields", lambda grey: grey))])


def test_a_blur_is_seen_in_edges_lesions_and_spectrum() -> None:
    """A Gaussian of 2 pixels: the edge as wide as both blurs together, contrast lost as the lesion is small."""

    def blur(grey: Grey) -> Grey:
        return gaussian_filter(grey, 2.0)

    found = measured("edges", blur)
    assert found["width 8"] == pytest.approx(2.563 * np.hypot(0.7, 2.0), rel=0.03)
    found = measured("lesions", blur)
    for name, make in LESIONS.items():
        lesion = make()
        expected = (lesion * blur(lesion)).sum() / (lesion**2).sum()
        assert found[f"kept {name}"] == pytest.approx(expected, abs=0.02)
    assert found["kept dots"] < harm_gate.KEPT
    assert found["power 7"] < 1e-3 < found["power 0"]
    assert found["variance"] == pytest.approx(1 / (4 * np.pi * 4), rel=0.2), "a Gaussian filter keeps 1 / (4 pi s^2)"


def test_a_shift_is_found_and_the_gate_names_its_cells() -> None:
    values = measured("flat fields", lambda grey: grey + 0.1 * (grey.mean() > 200))
    assert values["shift 245"] == pytest.approx(0.1, abs=1e-4)
    assert [one.cell for one in harm_gate.failures([Record("f", "flat fields", "csi 4", values=values)])] == [
        "csi 4: shift 245"
    ]


def test_lost_lesions_do_not_pass_the_gate() -> None:
    """A method that gives the phantom without its lesions: no contrast, and nothing to be detected."""
    clean = phantom().grey
    values = measured("lesions", lambda grey: clean.astype(np.float64))
    cells = {one.cell for one in harm_gate.failures([Record("f", "lesions", "white 4", values=values)])}
    assert {f"white 4: kept {name}" for name in LESIONS} <= cells
    assert {f"white 4: d' gain measured {name}" for name in LESIONS} <= cells


def test_specks_are_false_structure_and_changes_of_clean_images_are_seen() -> None:
    def specks(grey: Grey) -> Grey:
        made = np.full_like(grey, grey.mean())
        made[20::40, 20::40] += 20.0
        return gaussian_filter(made, 1.0)

    assert measured("empty", specks)["blobs"] > 300
    found = measured("noise-free", lambda grey: grey + 0.5)
    assert found["change"] == pytest.approx(0.5)


def test_the_observer_ranks_methods_as_it_should() -> None:
    """Noise-free > told the correlation > taken for white > noisy, for the observer that measures the lesion.

    A simple case: a cluster on an even ground in noise with the correlation of a scintillator, 120 cases without it and
    with it; the methods are Wiener filters for the spectrum of the cluster.
    """
    profile = even(DEVIATION, detector_profile("csi", DEVIATION).kernel)
    rng, lesion = np.random.default_rng(0), 1.4 * DEVIATION * LESIONS["dots"]()
    noise = [DEVIATION * np.array([profile.unit_noise((SIDE, SIDE), rng) for _ in range(120)]) for _ in range(2)]
    signal = np.abs(np.fft.fft2(lesion)) ** 2 / SIDE**2
    white = np.full((SIDE, SIDE), DEVIATION**2)
    true = white * np.abs(np.fft.fft2(profile.kernel, (SIDE, SIDE))) ** 2

    def filtered(gain: Grey, amplitude: float = 1.0) -> float:
        absent, present = (
            np.fft.ifft2(gain * np.fft.fft2(amplitude * one + more)).real
            for one, more in zip(noise, (0.0, lesion), strict=True)
        )
        return float(Scores.of_images(absent, present).detectability(np.ones((1, len(absent))))[0])

    found = [
        filtered(np.ones_like(true), 0.0),
        filtered(signal / (signal + true)),
        filtered(signal / (signal + white)),
        filtered(np.ones_like(true)),
    ]
    assert found == sorted(found, reverse=True), found


def test_the_quick_table_has_every_measure() -> None:
    made = plan("harm", None, methods="noisy", quick=True)
    assert {case.scene for case in made.cases()} == set(harm_scenes.SCENES)
    assert made.cases_per_row == 1 + 5 * 4
    with pytest.raises(UsageError, match="draws its own images"):
        plan("harm", Path(), methods="noisy")


@pytest.mark.slow
def test_the_default_network_passes_through_every_scene() -> None:
    """The quick form of the table, at one noise: what a change of the network does to it is seen here first."""
    made = plan("harm", None, methods=denoisers.DEFAULT, quick=True)
    done = []
    for record in made.measure(Log()):
        done.append(record)
        if record.noise == "white 8":
            break
    values = {name: value for one in done for name, value in one.values.items() if value is not None}
    assert all(abs(values[f"shift {grey}"]) <= harm_gate.SHIFTED for grey in harm_scenes.GREYS)
    assert values["kept disc"] > 0.75
    assert values["width 8"] < 2.3
    assert values["change"] < 0.5
    titles = [table.title for table in made.report(done).tables]
    assert titles == [group.title for group in harm.GROUPS]


def published() -> list[Record]:
    """What the published table has of the default network with the weights that are shipped."""
    found = harm_gate.read_log(PUBLISHED, denoisers.DEFAULT)
    assert found, "these weights are not in the table: see 'The gate' in docs/trust.md"
    return found


def test_the_published_table_is_of_the_weights_that_are_shipped() -> None:
    expected = plan("harm", None, methods="noisy").cases_per_row
    assert len({(one.image, one.noise) for one in published()}) == expected


def test_the_default_network_keeps_what_it_reached() -> None:
    """Cells that do not pass the gate are listed with what is reached; none may be added, and none may get worse."""
    known = json.loads(PUBLISHED.with_name("harm-exceptions.json").read_text(encoding="utf-8"))
    found = {one.cell: one.reached for one in harm_gate.failures(published())}
    assert found.keys() == known.keys(), "list exactly the cells that fail"
    for cell, reached in found.items():
        worse = abs(reached) - abs(known[cell]) if "shift" in cell else known[cell] - reached
        assert worse < 1e-3, f"{cell}: {reached}, {known[cell]} before"


def test_other_weights_are_not_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    card = weights.find(denoisers.DEFAULT)
    monkeypatch.setattr(weights, "find", lambda _: replace(card, sha256="0" * 64))
    assert harm_gate.read_log(PUBLISHED, denoisers.DEFAULT) == []


def test_the_command_prints_what_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    lost = Record("f", "lesions", "csi 4", values={"kept dots": 0.5, "kept line": 0.99}, key="f, blind, Filter; image")
    told = Record("f", "lesions", "csi 4", values={"kept dots": 0.6}, key="f, oracle, Filter; image")
    log.write_text(f"{lost.line()}\n{told.line()}\n")
    harm_gate.main([str(log), "f"])
    assert json.loads(capsys.readouterr().out) == {"csi 4: kept dots": 0.5}
