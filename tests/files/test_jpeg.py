"""JPEG: grey pixels as Pillow decodes them, whole or refused, and never written."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from xray_denoise import files
from xray_denoise.cli import app
from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.files import jpeg

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 75), np.uint8)
END = b"\xff\xd9"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def coded(mode: str = "L", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["denoise", "--model", "tv", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"optimize": True},
        {"restart_marker_blocks": 3},
        {"quality": 100},
        {"mode": "RGB"},
        {"mode": "RGB", "subsampling": 2},
        {"mode": "RGB", "progressive": True},
    ],
)
def test_grey_pixels_are_those_that_pillow_decodes(tmp_path: Path, options: dict[str, object]) -> None:
    data = coded(**options)  # type: ignore[arg-type]
    radiograph = files.read(save(tmp_path / "a.jpg", data))
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(radiograph.stored, np.asarray(image.convert("L")))
    assert (radiograph.bits, radiograph.value_range, radiograph.stored.dtype) == (8, (0, 255), np.uint8)
    assert (
        files.caveats(radiograph)[0] == "it is a JPEG, compressed with loss, so its noise is not that of the detector"
    )


def test_it_is_turned_upright_and_keeps_its_resolution_and_exif_in_a_png(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a chest"
    source = save(tmp_path / "a.jpg", coded(exif=exif, dpi=(127, 254), comment=b"hello", quality=100))
    radiograph = files.read(source)
    assert radiograph.stored.shape == (75, 50)
    assert files.caveats(radiograph)[1:] == ("its comment will not be kept",)
    files.write(radiograph, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert np.array_equal(np.asarray(image), radiograph.stored)
        assert image.info["dpi"] == pytest.approx((254, 127), rel=1e-3)
        assert image.getexif()[0x010E] == "a chest"
        assert 0x0112 not in image.getexif()


def test_colour_and_other_kinds_are_refused(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "colour.jpg")
    with pytest.raises(UnreadableFileError, match="colour image"):
        files.read(tmp_path / "colour.jpg")
    with pytest.raises(UnreadableFileError, match="'CMYK'"):
        files.read(save(tmp_path / "cmyk.jpg", coded("CMYK")))
    lossless = coded().replace(b"\xff\xc0", b"\xff\xc3", 1)
    with pytest.raises(UnreadableFileError, match="unusual kind"):
        files.read(save(tmp_path / "lossless.jpg", lossless))
    pair = io.BytesIO()
    image = Image.fromarray(PIXELS)
    image.save(pair, "MPO", save_all=True, append_images=[image])
    with pytest.raises(UnreadableFileError, match="more than one image"):
        files.read(save(tmp_path / "pair.jpg", pair.getvalue()))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("end", [b"", END])
def test_a_part_is_refused_even_if_it_has_an_end(tmp_path: Path, progressive: bool, share: float, end: bytes) -> None:
    data = coded(progressive=progressive)
    path = save(tmp_path / "a.jpg", data[: int(len(data) * share)] + end)
    with pytest.raises(UnreadableFileError, match="truncated"):
        files.read(path)


def test_a_missing_last_scan_is_refused(tmp_path: Path) -> None:
    """Pillow decodes the rest of a progressive file, at a lower precision, without a word."""
    data = coded(progressive=True)
    last = data.rindex(b"\xff\xda")
    path = save(tmp_path / "a.jpg", data[:last] + END)
    with Image.open(path) as image:
        assert np.asarray(image).shape == PIXELS.shape
    with pytest.raises(UnreadableFileError, match="truncated: a part of its pixels is missing"):
        files.read(path)


def test_what_lies_behind_the_end_is_no_damage(tmp_path: Path) -> None:
    plain = files.read(save(tmp_path / "a.jpg", coded())).stored
    for behind in (b"\0" * 100, b"\xff", b"trailer"):
        assert np.array_equal(files.read(save(tmp_path / "b.jpg", coded() + behind)).stored, plain)


def test_sizes_are_checked_before_room_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def claims(rows: int, columns: int) -> Path:
        data, at = bytearray(coded()), coded().index(b"\xff\xc0") + 5
        data[at : at + 4] = rows.to_bytes(2) + columns.to_bytes(2)
        return save(tmp_path / "a.jpg", bytes(data))

    monkeypatch.setattr(jpeg, "_decoded", lambda _: pytest.fail("it was decoded"))
    for rows, columns, what in ((65000, 65000, "pixels"), (9000, 9000, "too short"), (0, 75, "too short")):
        with pytest.raises(UnreadableFileError, match=what):
            files.read(claims(rows, columns))
    many = coded(progressive=True)
    last = many.rindex(b"\xff\xda")
    with pytest.raises(UnreadableFileError, match="too many scans"):
        files.read(save(tmp_path / "scans.jpg", many[:-2] + many[last:-2] * 200 + END))
    monkeypatch.setattr(jpeg, "MOST_BYTES", 100)
    with pytest.raises(UnreadableFileError, match="has more than 0 MiB"):
        files.read(save(tmp_path / "b.jpg", coded()))


@pytest.mark.parametrize("name", ["out.jpg", "out.JPEG", "out.jfif"])
def test_no_jpeg_is_written(here: Path, name: str) -> None:
    radiograph = files.read(save(here / "a.jpg", coded()))
    with pytest.raises(UnwritableFileError, match="JPEG is only read"):
        files.write(radiograph, here / name)
    result = call("a.jpg", "-o", name)
    assert result.exit_code == 2
    assert "JPEG is only read" in result.stderr
    assert "write a PNG or TIFF" in result.stderr
    assert sorted(path.name for path in here.iterdir()) == ["a.jpg"]


def test_a_folder_of_jpegs_becomes_png_and_the_loss_is_told_everywhere(here: Path) -> None:
    (here / "in").mkdir()
    save(here / "in" / "a.jpg", coded(quality=95))
    save(here / "in" / "b.JPEG", coded(quality=50))
    save(here / "in" / "c.jpg", b"no picture")
    result = call("in", "-o", "out")
    assert result.exit_code == 1, "c is damaged"
    assert sorted(path.name for path in (here / "out").glob("*.png")) == ["a.png", "b.png"]
    assert result.stderr.count("it is a JPEG, compressed with loss") == 2
    assert "c.jpg is neither" in result.stderr
    result = call("in/a.jpg", "-o", "one.tif", "--json")
    assert "compressed with loss" in json.loads(result.stdout)["notes"][0]
    for line in (here / "out" / "xray-denoise-manifest.jsonl").read_text().splitlines():
        assert "compressed with loss" in json.loads(line)["notes"][0]
    again = call("in/a.jpg", "-o", "out", "--existing", "skip")
    assert "skipped: up to date" in again.stdout
