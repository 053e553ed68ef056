"""`import xray_denoise as xd`: arrays, files and errors as a Python user meets them."""

import doctest
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import xray_denoise as xd
from xray_denoise.cli import app
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.tasks.options import Options

ROOT = Path(__file__).resolve().parents[1]
WIDE = {"COLUMNS": "200", "NO_COLOR": "1"}
DOCUMENTED = ("tasks.arrays", "tasks.denoise", "tasks.images", "tasks.measure_files", "tasks.models")


class Lower(Denoiser):
    """Takes ten grey levels off, and finds the same noise everywhere."""

    name = "lower"

    def __call__(self, noisy: NDArray[np.floating], level: Any = None) -> Denoised:
        return Denoised.of(noisy, noisy - 10, level or xd.NoiseLevel(0.5, 3))


def noise(shape: tuple[int, ...], kind: str, low: float = 0, high: float = 200) -> NDArray[Any]:
    values: NDArray[Any] = np.random.default_rng(0).uniform(low, high, shape).astype(kind)
    return values


def test_importing_loads_nothing_and_every_name_is_there() -> None:
    script = (
        "import sys, xray_denoise as xd\n"
        "assert not {'numpy', 'torch', 'pydicom', 'skimage'} & set(sys.modules)\n"
        "assert {'denoise', 'denoise_files', 'NoiseProfile'} <= set(dir(xd))\n"
        "from xray_denoise import NoiseLevel, UsageError\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    for name in dir(xd):
        assert getattr(xd, name) is not None
    with pytest.raises(AttributeError, match="denoize"):
        xd.denoize  # noqa: B018


def test_type_checkers_see_what_there_is() -> None:
    """The names for type checkers and those that are found at run time are the same."""
    text = Path(xd.__file__).read_text(encoding="utf-8")
    checked = {line.rsplit(" as ", 1)[1] for line in text.splitlines() if line.startswith("    from xray_denoise.")}
    assert checked == set(xd._HOME)


@pytest.mark.parametrize("module", DOCUMENTED)
def test_examples_in_docstrings(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"xray_denoise.{module}"), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0


def test_examples_on_the_page_of_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(ROOT / "docs" / "api.md"), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 5
    assert found.failed == 0


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in xd._HOME if f"`{name}" not in text and f"xd.{name}" not in text] == []


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "uint32", "int64", "uint64", "float16", "float32", ">u2"])
@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30)])
def test_type_and_shape_are_kept_and_ten_grey_levels_go(kind: str, shape: tuple[int, ...]) -> None:
    image = noise(shape, kind, 60, 200)
    found = xd.denoise(image, value_range=(0, 255), model=Lower())
    assert found.image.dtype == image.dtype
    assert found.image.shape == shape
    change = found.image.astype(float) - image.astype(float)
    assert np.abs(change + 10).max() <= (0.13 if kind == "float16" else 1e-4), "half of the spacing of its numbers"
    assert found.noises == (xd.NoiseLevel(0.5, 3),) * (1 if len(shape) == 2 else 3)
    assert found.noise == xd.NoiseLevel(0.5, 3)
    assert found.removed == pytest.approx([10] * len(found.noises), abs=0.02)
    assert found.model == "lower"


def test_the_range_of_an_integer_type_is_its_own() -> None:
    """Ten grey levels are 10 / 255 of it."""
    found = xd.denoise(np.full((9, 9), 30000, np.uint16), model=Lower())
    assert (found.image == 30000 - round(10 * 65535 / 255)).all()
    signed = xd.denoise(np.zeros((9, 9), np.int16), model=Lower())
    assert (signed.image == round(-10 * 65535 / 255)).all()


@given(
    kind=st.sampled_from(["uint8", "int8", "uint16", "int16", "uint64", "int64"]),
    seed=st.integers(0, 100),
    strength=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=40)
def test_no_value_wraps_round(kind: str, seed: int, strength: float) -> None:
    limits = np.iinfo(kind)
    rng = np.random.default_rng(seed)
    image = rng.choice(
        np.array([limits.min, limits.min + 1, limits.max // 2, limits.max - 1, limits.max], kind), (5, 6)
    )
    found = xd.denoise(image, model=Lower(), strength=strength).image
    assert (found <= image).all()
    assert strength or (found == image).all()


def test_nothing_lies_further_outside_the_range_than_before() -> None:
    image = np.array([[0.0, 0.02, 0.5, 1.0, 1.3]])
    found = xd.denoise(image, value_range=(0, 1), model=Lower()).image
    np.testing.assert_allclose(found, [[0, 0, 0.5 - 10 / 255, 1 - 10 / 255, 1.3 - 10 / 255]], atol=1e-7)


@pytest.mark.parametrize(
    ("image", "options", "what"),
    [
        (np.zeros((4, 4)), {}, "floats have no value range"),
        (np.zeros((4, 4), complex), {}, "not values of the type complex128"),
        (np.zeros((4, 4), bool), {}, "not values of the type bool"),
        (np.array([["a"]]), {}, "not values of the type"),
        (np.zeros(4, np.uint8), {}, r"the shape \(H, W\) or \(N, H, W\), not \(4,\)"),
        (np.zeros((1, 2, 3, 4), np.uint8), {}, "not "),
        (np.zeros((0, 4), np.uint8), {}, "no pixels"),
        (np.zeros((40, 40, 3), np.uint8), {}, "colour"),
        (np.full((4, 4), np.nan), {"value_range": (0, 1)}, "not finite"),
        (np.full((4, 4), np.inf), {"value_range": (0, 1)}, "not finite"),
        (np.zeros((4, 4), np.uint8), {"value_range": (5, 5)}, "from a lower to a higher"),
        (np.zeros((4, 4), np.uint8), {"value_range": (0, np.nan)}, "from a lower to a higher"),
        (np.zeros((4, 4), np.uint8), {"strength": 1.5}, "strength"),
        (np.zeros((4, 4), np.uint8), {"strength": np.nan}, "strength"),
        (np.zeros((4, 4), np.uint8), {"model": "drunet"}, "no model called 'drunet'"),
        (np.zeros((4, 4), np.uint8), {"model": "tv", "device": "cuda"}, "runs on the CPU only"),
    ],
)
def test_what_is_no_image_is_refused(image: NDArray[Any], options: dict[str, Any], what: str) -> None:
    with pytest.raises(xd.UsageError, match=what) as caught:
        xd.denoise(image, **{"model": Lower(), **options})
    assert caught.value.hint
    assert "--" not in caught.value.hint


def test_an_array_and_a_file_give_the_same_pixels(tmp_path: Path) -> None:
    image = noise((40, 50), "uint8")
    Image.fromarray(image).save(tmp_path / "in.png")
    outcome = xd.denoise_file(str(tmp_path / "in.png"), str(tmp_path / "out.png"), model="tv")
    found = xd.denoise(image, model="tv")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), found.image)
    assert outcome.noise == found.noise
    assert outcome.removed_grey == pytest.approx(found.removed[0])
    assert outcome.removed_stored == outcome.removed_grey


def test_a_given_level_reaches_the_denoiser() -> None:
    level = xd.NoiseLevel(0.9, 4)
    assert xd.denoise(noise((20, 20), "uint8"), model=Lower(), profile_or_level=level).noise == level
    profile = xd.NoiseProfile.white(20)
    told = xd.denoise(noise((20, 20), "uint8"), model="tv", profile_or_level=profile)
    assert told.noise is profile
    assert told.removed[0] > xd.denoise(noise((20, 20), "uint8"), model="tv", profile_or_level=level).removed[0]


def test_files_know_where_they_come_from(tmp_path: Path) -> None:
    xd.write(xd.Radiograph.from_grey(noise((20, 30), "float32"), bits=12), tmp_path / "in.dcm")
    xd.denoise_file(tmp_path / "in.dcm", tmp_path / "out.dcm", model=Lower(), strength=0.5)
    derived = pydicom.dcmread(tmp_path / "out.dcm")
    assert "model lower, strength 0.5, estimated eta 0.5" in derived.DerivationDescription
    radiograph = xd.read(str(tmp_path / "in.dcm"))
    assert radiograph.bits == 12
    changed = radiograph.with_grey(radiograph.grey - 5)
    with pytest.raises(xd.UsageError, match="must say how"):
        xd.write(changed, tmp_path / "mine.dcm")
    xd.write(changed, tmp_path / "mine.dcm", denoised_by="my filter")
    assert "my filter" in pydicom.dcmread(tmp_path / "mine.dcm").DerivationDescription
    with pytest.raises(xd.ExistingFileError, match=r"mine.dcm exists already"):
        xd.write(changed, tmp_path / "mine.dcm", denoised_by="my filter")
    xd.write(changed, tmp_path / "mine.dcm", denoised_by="my filter", overwrite=True)


def test_files_and_arrays_are_changed_alike(tmp_path: Path) -> None:
    """A share of the change is one rounding to stored values, whichever way an image takes."""
    values = noise((40, 50), "uint16", 100, 60000)
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    xd.write(xd.Radiograph(values, (0.0, 65535.0), bits=16), source)
    xd.denoise_file(source, target, model="tv", strength=0.3, value_range=(0, 65535))
    changed = xd.denoise(values, model="tv", strength=0.3).image
    assert (changed != values).any()
    assert (xd.read(target).stored == changed).all()


def test_identifiers_depend_on_options_at_full_precision(tmp_path: Path) -> None:
    xd.write(xd.Radiograph.from_grey(noise((20, 30), "float32"), bits=12), tmp_path / "in.dcm")
    uids = []
    for number, strength in enumerate((0.9999996, 0.9999997, 0.9999996)):
        xd.denoise_file(tmp_path / "in.dcm", tmp_path / f"{number}.dcm", model=Lower(), strength=strength)
        uids.append(pydicom.dcmread(tmp_path / f"{number}.dcm").SOPInstanceUID)
    assert uids[0] != uids[1]
    assert uids[0] == uids[2]
    whole, same = (Options(Lower(), noise=xd.NoiseLevel(1, sigma)).identity for sigma in (10, 10.0))
    assert json.dumps(whole) == json.dumps(same), "a number is the same with and without a point"


def test_one_file_that_fails_is_an_exception_and_of_many_an_outcome(tmp_path: Path) -> None:
    Image.fromarray(noise((20, 20), "uint8")).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nrest is missing")
    with pytest.raises(xd.UnreadableFileError) as caught:
        xd.denoise_file(tmp_path / "b.png", tmp_path / "out.png", model=Lower())
    assert caught.value.hint
    batch = xd.denoise_files([tmp_path / "a.png", str(tmp_path / "b.png")], tmp_path / "out", model=Lower())
    assert [job.source.name for job in batch.jobs] == ["a.png", "b.png"]
    assert not (tmp_path / "out").exists(), "nothing is written before the first outcome is asked for"
    first, second = batch
    assert (first.number, first.status, second.number, second.status) == (1, "written", 2, "failed")
    assert isinstance(second.failure, xd.UnreadableFileError)
    with pytest.raises(xd.UsageError, match="is a folder"):
        xd.denoise_file(tmp_path, tmp_path / "out.png", model=Lower())


@pytest.mark.parametrize("name", ["", "-"])
def test_empty_names_and_streams_are_refused(tmp_path: Path, name: str) -> None:
    Image.fromarray(noise((20, 20), "uint8")).save(tmp_path / "a.png")
    for arguments in ((name, tmp_path / "out"), (tmp_path / "a.png", name)):
        with pytest.raises(xd.UsageError, match="empty name" if not name else "'-'"):
            xd.denoise_files(*arguments, model=Lower())
    with pytest.raises(xd.UsageError):
        xd.write(xd.Radiograph.from_grey(np.zeros((2, 2)), bits=8), name)


def test_noise_is_drawn_and_found_again() -> None:
    clean = np.tile(np.linspace(20, 230, 256), (256, 1))
    noisy = xd.add_noise(clean, xd.NoiseLevel(0.6, 10), np.random.default_rng(0))
    grey = xd.estimate_noise(noisy, value_range=(0, 255))
    scaled = xd.estimate_noise(noisy * 16 + 100, value_range=(100, 100 + 16 * 255))
    assert scaled.effective_sigma(127.5) == pytest.approx(grey.effective_sigma(127.5), rel=1e-4)
    assert grey.effective_sigma(127.5) == pytest.approx(xd.NoiseLevel(0.6, 10).effective_sigma(127.5), rel=0.1)


def test_the_walk_of_an_image_in_the_architecture_is_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).normal(128, 5, (48, 64)).clip(0, 255).astype(np.uint8)).save("in.png")
    exec(text.split("```python\n")[1].split("```")[0], {})  # noqa: S102 - our own document
    xd.denoise_file("in.png", "command.png", model="x-profile")
    walked, commanded, source = (np.asarray(Image.open(name)) for name in ("out.png", "command.png", "in.png"))
    np.testing.assert_array_equal(walked, commanded)
    assert (walked != source).any()


def test_the_example_in_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very lines, with an image and files of these names there."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert text[: text.index(example)].count("\nxray-denoise ") < 15
    (tmp_path / "radiographs").mkdir()
    for name in ("in.dcm", "radiographs/a.dcm"):
        xd.write(xd.Radiograph.from_grey(noise((64, 64), "float32"), bits=12), name)
    exec(example, {"image": noise((64, 64), "uint16", 0, 4095)})  # noqa: S102 - our own lines
    assert xd.read("out.dcm").stored.shape == (64, 64)
    assert xd.read("results/a.dcm").stored.shape == (64, 64)


def test_every_command_in_the_readme_is_one() -> None:
    """Each line parses: its commands and options exist."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line.split("#")[0].split() for line in text.splitlines() if line.startswith("xray-denoise ")]
    assert len(lines) > 8
    for _, command, *words in lines:
        options = set(re.findall(r"(?<!\S)--?[a-z-]+", CliRunner().invoke(app, [command, "--help"], env=WIDE).stdout))
        assert {word for word in words if word.startswith("-")} <= options, command


def test_flat_fields_give_a_profile_that_denoises(tmp_path: Path) -> None:
    """Four flat fields of three doses each with a deviation of 1 to 3 per cent of the signal, as in docs/api.md."""
    for dose in (2, 4, 8):
        for frame in range(2):
            flat = np.random.default_rng((dose, frame)).normal(20 * dose, np.sqrt(dose), (128, 128))
            xd.write(xd.Radiograph.from_grey(flat, bits=16), tmp_path / f"{dose}-{frame}.png")
    *doses, fit = xd.measure(tmp_path, "flat", value_range=(0, 65535))
    assert [one.kind for one in doses] == ["flat"] * 3
    assert fit.kind == "photon-transfer"
    assert isinstance(fit, xd.Measurement)
    assert fit.profile is not None
    assert float(fit.profile.deviation_at(80.0)) == pytest.approx(2, rel=0.05)
    image = noise((40, 50), "uint16")
    assert xd.denoise(image, model="tv", profile_or_level=fit.profile).noise is fit.profile
    narrow = xd.denoise(image, value_range=(0, 32767.5), model="tv", profile_or_level=fit.profile).noise
    assert isinstance(narrow, xd.NoiseProfile)
    assert float(narrow.deviation_at(160.0)) == pytest.approx(2 * float(fit.profile.deviation_at(80.0)))
    for other, value_range in ((noise((40, 50), "uint8"), None), (noise((40, 50), "float32") / 255, (0, 1))):
        with pytest.raises(xd.UsageError, match="does not fit the image"):
            xd.denoise(other, value_range=value_range, model="tv", profile_or_level=fit.profile)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(xd.UnreadableFileError):
        xd.measure(str(tmp_path / "broken.png"))
    with pytest.raises(xd.UsageError):
        xd.measure([])


def test_a_profile_is_estimated_from_an_array_of_any_type() -> None:
    grey = np.random.default_rng(0).normal(100, 4, (128, 128))
    for image, value_range in ((grey, (0, 255)), (np.rint(grey * 16).astype(np.uint16), (0, 16 * 255))):
        profile = xd.estimate_profile(image, value_range=value_range)
        assert float(profile.deviation_at(100.0)) == pytest.approx(4, rel=0.1)
        assert xd.NoiseProfile.from_json(profile.to_json()).to_json() == profile.to_json()
    with pytest.raises(xd.UsageError, match="no value range"):
        xd.estimate_profile(grey)
    with pytest.raises(xd.UsageError, match="shape"):
        xd.estimate_profile(np.zeros((2, 30, 30), np.uint8))
