"""`measure` on files: what is found, what is refused, and that profiles, tables and plots hold it."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.physics.test_edge_response import edge, mtf
from tests.synthetic_dicom import Sample, write
from xray_denoise.errors import UsageError
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.tasks import measure_output as output
from xray_denoise.tasks.measure import Failure, Measurement, Settings, measure, one_profile

GAIN, ELECTRONICS, OFFSET = 2.0, 6.0, 50
DOSES = (200, 1500, 9000)
SIDE = 128


def save(path: Path, values: NDArray[np.floating]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(values).clip(0, 65535).astype(np.uint16)).save(path)
    return path


def exposure(dose: float, seed: int, shape: tuple[int, int] = (SIDE, SIDE)) -> NDArray[np.floating]:
    rng = np.random.default_rng((int(dose), seed))
    return OFFSET + GAIN * rng.poisson(dose / GAIN, shape) + ELECTRONICS * rng.standard_normal(shape)


@pytest.fixture(scope="module")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flats")
    for dose in DOSES:
        for seed in range(2):
            save(folder / "flat" / f"{dose}-{seed}.png", exposure(dose, seed))
    for seed in range(2):
        save(folder / "dark" / f"{seed}.png", exposure(0, seed))
    return folder


def done(inputs: list[Path], settings: Settings) -> list[Measurement]:
    found = list(measure(inputs, settings))
    assert all(isinstance(one, Measurement) for one in found), found
    return [one for one in found if isinstance(one, Measurement)]


def test_flat_fields_of_three_doses_and_dark_frames(flats: Path) -> None:
    """k and e within 4 standard errors, which are a few percent."""
    found = done([flats / "flat"], Settings("flat", offset=flats / "dark", pitch=0.1))
    assert [one.kind for one in found] == ["dark", "flat", "flat", "flat", "photon-transfer"]
    for one, dose in zip(found[1:4], DOSES, strict=True):
        assert one.number("frames") == 2
        assert one.number("signal") == pytest.approx(dose, rel=0.01)
        assert len(one.sources) == 2
        radial = one.curve("nnps_radial")
        assert (radial.x_unit, radial.unit) == ("1/mm", "mm^2")
        expected = (GAIN * dose + ELECTRONICS**2 + 1 / 12) / dose**2 * 0.01
        assert radial.value[2:].mean() == pytest.approx(expected, rel=0.1)
    parts = {one.name: one for one in found[-1].numbers}
    assert parts["offset"].value == pytest.approx(OFFSET, abs=0.3)
    for name, truth in (("quantum_gain", GAIN), ("electronic_deviation", math.sqrt(ELECTRONICS**2 + 1 / 12))):
        for noise in ("total", "temporal"):
            part = parts[f"{noise}_{name}"]
            assert part.error is not None
            assert part.error < 0.03 * truth
            assert part.value == pytest.approx(truth, abs=4 * part.error)
    for noise in ("total", "temporal"):
        fit = found[-1].curve(f"{noise}_fit")
        variance = parts[f"{noise}_electronic_variance"].value + parts[f"{noise}_quantum_gain"].value * fit.x
        variance += parts[f"{noise}_structural_square"].value * fit.x**2
        np.testing.assert_allclose(fit.value, variance)
    panel = output._panels(found)[0]
    assert [line.label for line in panel.lines] == [name.replace("_", " ") for name in output.DRAWINGS[0].names]


def test_the_profile_is_the_noise_in_grey_levels(flats: Path) -> None:
    found = done([flats / "flat"], Settings("flat", offset=flats / "dark", value_range=(50, 10250)))
    profile, step = one_profile(found), 255 / 10200
    for grey in (10.0, 127.5, 250.0):
        signal = grey / step
        deviation = math.sqrt(GAIN * signal + ELECTRONICS**2) * step
        assert profile.deviation_at(grey) == pytest.approx(deviation, rel=0.03)
    assert abs(profile.correlation(0, 1)) < 0.05
    assert NoiseProfile.from_json(profile.to_json()).kernel.shape == profile.kernel.shape


def test_one_dose_has_no_fit_but_a_profile_that_says_so(flats: Path) -> None:
    one, transfer = done([flats / "flat" / "1500-0.png"], Settings("flat", offset=50.0))
    assert "temporal_variance" not in [number.name for number in one.numbers]
    assert not [number for number in transfer.numbers if "quantum" in number.name]
    assert any("three different doses" in note for note in transfer.notes)
    assert any("measured doses only" in note for note in transfer.notes)
    assert transfer.profile is not None
    assert transfer.profile.grey.size == 1


def test_dark_frames(flats: Path) -> None:
    (found,) = done([flats / "dark"], Settings("dark"))
    assert found.number("mean") == pytest.approx(OFFSET, abs=0.3)
    assert found.number("temporal_deviation") == pytest.approx(math.sqrt(36 + 1 / 12), rel=0.03)
    assert found.curve("nps_radial").unit == "stored value^2 pixel"


def test_defects_are_listed_where_they_are(tmp_path: Path) -> None:
    image = exposure(1500, 0)
    image[70, 80] = 0
    (one, _) = done([save(tmp_path / "a.png", image)], Settings("flat", region=(60, 40, 64, 64)))
    assert one.places == {"dead": [[70, 80]]}
    assert one.number("dead_pixels") == 1


@pytest.mark.parametrize("lying", [False, True])
def test_an_edge_in_a_dicom_file(tmp_path: Path, lying: bool) -> None:
    """The pitch is that across the edge."""
    image = np.rint(edge(2.5, 0.8, (160, 120)) / 4).astype(np.uint16)
    image = image.T.copy() if lying else image
    sample = Sample(modality="CR", shape=image.shape, bits=12)
    path = write(tmp_path / "a.dcm", sample, image[None], ImagerPixelSpacing=[0.2, 0.1])
    (found,) = done([path], Settings("edge"))
    curve = found.curve("mtf_vertical" if lying else "mtf_horizontal")
    pitch = 0.2 if lying else 0.1
    assert curve.x_unit == "1/mm"
    np.testing.assert_allclose(curve.value, mtf(curve.x * pitch, 2.5, 0.8), atol=0.02)
    half = np.array([found.number("mtf_50") * pitch])
    assert mtf(half, 2.5, 0.8)[0] == pytest.approx(0.5, abs=0.02)


def test_repeated_frames_of_one_file(tmp_path: Path) -> None:
    scene = 10 * chest_phantom(192, rng=np.random.default_rng(0)) + 200
    rng = np.random.default_rng(1)
    frames = np.stack([rng.poisson(scene) for _ in range(3)]).astype(np.uint16)
    path = write(tmp_path / "a.dcm", Sample(modality="XA", shape=scene.shape, bits=12, frames=3), frames)
    (found,) = done([path], Settings("repeated"))
    assert found.number("frames") == 3
    variance = found.curve("temporal_variance")
    assert variance.error is not None
    squares = ((variance.value - variance.x - 1 / 12) / variance.error) ** 2
    assert squares.mean() == pytest.approx(1, abs=4 * math.sqrt(2 / len(squares)))
    assert found.profile is not None
    middle = found.profile.deviation_at(127.5)
    assert middle == pytest.approx(math.sqrt(2047.5) * 255 / 4095, rel=0.1)


def test_one_radiograph_by_itself(tmp_path: Path) -> None:
    clean = chest_phantom(384, rng=np.random.default_rng(0))
    noisy = clean + np.random.default_rng(1).normal(0, 8, clean.shape)
    path = save(tmp_path / "a.png", 100 * noisy + 2000)
    (found,) = done([path], Settings(value_range=(2000, 27500)))
    assert found.number("deviation_at_mid_grey") == pytest.approx(8, rel=0.1)
    assert found.number("deviation_at_mid_grey_stored") == pytest.approx(800, rel=0.1)
    assert 0 <= found.number("confidence") <= 1
    assert found.curve("deviation_stored").x[0] == 2000
    assert one_profile([found]).deviation_at(127.5) == pytest.approx(8, rel=0.1)
    assert found.number("local_gain_low") == found.number("local_gain_high") == 1
    assert found.notes == ()
    uneven = clean + (noisy - clean) * np.linspace(0.5, 1.5, 384)
    save(tmp_path / "uneven.png", 100 * uneven + 2000)
    (found,) = done([tmp_path / "uneven.png"], Settings(value_range=(2000, 27500)))
    assert found.number("local_gain_low") < 0.75
    assert found.number("local_gain_high") > 1.25
    assert any("place" in note for note in found.notes)


def test_an_estimate_that_cannot_be_relied_on_says_so(tmp_path: Path) -> None:
    two_values = np.where(chest_phantom(256, rng=np.random.default_rng(0)) > 128, 225, 25)
    (found,) = done([save(tmp_path / "a.png", two_values)], Settings())
    assert found.number("confidence") < 0.5
    assert any("hard to tell apart" in note for note in found.notes)


# -- what is refused --------------------------------------------------------------------------------------------------


def refused(inputs: list[Path], settings: Settings) -> str:
    """The message of the only file's failure."""
    found = []
    try:
        for one in measure(inputs, settings):
            found.append(one)
    except UsageError as error:
        if not found:
            return str(error)
    (failure,) = found
    assert isinstance(failure, Failure)
    assert failure.error.hint
    return str(failure.error)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    phantom = chest_phantom(256, rng=np.random.default_rng(0))
    save(folder / "chest.png", 100 * phantom + np.random.default_rng(0).normal(5000, 100, phantom.shape))
    save(folder / "white.png", np.full((64, 64), 65535.0))
    save(folder / "flat.png", exposure(1500, 0))
    save(folder / "small.png", exposure(1500, 1, (64, 64)))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    return folder


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("chest.png", Settings("flat"), "is not a flat field"),
        ("white.png", Settings("flat"), "saturated: 100.0%"),
        ("flat.png", Settings("flat", offset=2000), "no signal above the offset"),
        ("flat.png", Settings("flat", region=(100, 100, 64, 64)), "the region reaches beyond"),
        ("chest.png", Settings("dark"), "is not a dark frame"),
        ("flat.png", Settings("edge"), "cannot be measured as an edge"),
        ("chest.png", Settings("edge"), "cannot be measured as an edge"),
        ("flat.png", Settings("repeated"), "at least two frames"),
        ("flat.png", Settings("edge", offset=Path("x")), "an edge needs no offset"),
        ("broken.png", Settings("blind"), "broken.png"),
    ],
)
def test_inputs_that_cannot_be_what_they_are_said_to_be(
    wrong: Path, name: str, settings: Settings, message: str
) -> None:
    assert message in refused([wrong / name], settings)


def test_frames_that_do_not_fit_together(wrong: Path) -> None:
    first, failure, *_ = measure([wrong / "flat.png", wrong / "small.png"], Settings("flat"))
    assert isinstance(first, Failure)
    assert "64x64 pixels where others have 128x128" in str(first.error)
    assert isinstance(failure, Measurement)
    with pytest.raises(UsageError, match="same scene"):
        list(measure([wrong / "chest.png", flipped(wrong)], Settings("repeated")))
    with pytest.raises(UsageError, match="no image"):
        list(measure([], Settings()))


def flipped(folder: Path) -> Path:
    image = np.asarray(Image.open(folder / "chest.png"), dtype=float)
    return save(folder / "flipped.png", image[::-1])


@pytest.mark.parametrize(
    "wrong_settings",
    [
        {"region": (0, 0, 0, 5)},
        {"region": (-1, 0, 4, 5)},
        {"pitch": 0.0},
        {"pitch": math.nan},
        {"offset": math.inf},
        {"value_range": (5.0, 5.0)},
    ],
)
def test_impossible_settings(wrong_settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Settings("flat", **wrong_settings)


def test_only_one_profile(flats: Path) -> None:
    dark = done([flats / "dark"], Settings("dark"))
    with pytest.raises(UsageError, match="no noise profile"):
        one_profile(dark)
    two = [Measurement("blind", (), (), profile=NoiseProfile.white(1.0))] * 2
    with pytest.raises(UsageError, match="2 were measured"):
        one_profile(two)


# -- output -----------------------------------------------------------------------------------------------------------


def test_json_csv_and_text_hold_the_same(flats: Path) -> None:
    found = done([flats / "flat"], Settings("flat", offset=flats / "dark"))
    records = [json.loads(json.dumps(output.record(one, place))) for place, one in enumerate(found, 1)]
    rows = list(csv.DictReader(output.csv_text(found).splitlines()))
    assert rows[0].keys() == set(output.COLUMNS)
    for place, (one, record) in enumerate(zip(found, records, strict=True), 1):
        mine = [row for row in rows if row["number"] == str(place)]
        assert len(mine) == len(one.numbers) + sum(len(curve.x) for curve in one.curves)
        for number in one.numbers:
            (row,) = [row for row in mine if row["quantity"] == number.name]
            assert record["numbers"][number.name]["value"] == number.value == float(row["value"])
            assert row["unit"] == number.unit
        assert len(list(output.lines(one))) == len(one.numbers)
        assert set(record["curves"]) == {curve.name for curve in one.curves}


def test_plots_and_page(flats: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    found = done([flats / "flat"], Settings("flat", offset=flats / "dark", pitch=0.1))
    picture = output.svg(found[-2:])
    for text in ("Variance against signal", "NNPS, mm^2", "frequency, 1/mm", "Correlation of pixels", "two dimensions"):
        assert text in picture.decode()
    page = output.html(found[-1:]).decode()
    assert "total quantum gain" in page
    assert flats.name not in page, "names of files may tell who a patient is"
