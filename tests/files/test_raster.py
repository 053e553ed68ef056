"""PNG, TIFF and WebP: the same pixels back, and no silent guess about alpha, colour or depth."""

import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from xray_denoise import files
from xray_denoise.errors import UnreadableFileError, UnwritableFileError
from xray_denoise.files import Derivation
from xray_denoise.radiograph import Radiograph

RAMP = np.arange(256, dtype=np.uint8).reshape(8, 32)
DEEP = np.linspace(0, 65535, 256).astype(np.uint16).reshape(8, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("raster")


def save(path: Path, pixels: np.ndarray[Any, Any], mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kind=st.sampled_from([("a.png", 8), ("a.png", 16), ("a.tif", 8), ("a.tif", 16), ("a.webp", 8)]),
)
def test_an_unchanged_image_is_written_back_bit_identical(
    folder: Path, seed: int, shape: tuple[int, int], kind: tuple[str, int]
) -> None:
    name, bits = kind
    dtype = np.uint8 if bits == 8 else np.uint16
    pixels = np.random.default_rng(seed).integers(0, 2**bits, shape).astype(dtype)
    source = save(folder / name, pixels, **({"lossless": True} if name == "a.webp" else {}))
    radiograph = files.read(source)
    assert np.array_equal(radiograph.stored, pixels)
    assert (radiograph.bits, radiograph.stored.dtype) == (bits, dtype)
    target = folder / f"b{source.suffix}"
    files.write(radiograph.with_grey(radiograph.grey), target)
    assert np.array_equal(files.read(target).stored, pixels)
    with Image.open(target) as image:
        assert np.array_equal(np.asarray(image if bits == 16 else image.convert("L")), pixels)


def test_the_span_of_8_bits_is_full_and_that_of_16_robust(tmp_path: Path) -> None:
    assert files.read(save(tmp_path / "a.png", RAMP // 2)).span == (0, 255)
    assert files.read(save(tmp_path / "b.png", DEEP // 4 + 9)).span == (9, 16392)
    assert files.read(save(tmp_path / "a.png", RAMP // 2), span=(3, 7)).span == (3, 7)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_another_coat_is_grey(tmp_path: Path, mode: str) -> None:
    assert np.array_equal(files.read(save(tmp_path / "a.png", RAMP, mode)).stored, RAMP)


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    radiograph = files.read(save(tmp_path / "a.png", RAMP > 100))
    assert np.array_equal(radiograph.stored, np.where(RAMP > 100, 255, 0))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("pixels", [RAMP, DEEP], ids=["8", "16"])
def test_lossless_tiffs_are_read(tmp_path: Path, compression: str | None, pixels: np.ndarray[Any, Any]) -> None:
    source = save(tmp_path / "a.tif", pixels, compression=compression)
    assert np.array_equal(files.read(source).stored, pixels)


def test_big_endian_tiffs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.frombytes("I;16B", (32, 8), DEEP.astype(">u2").tobytes()).save(path)
    assert path.read_bytes().startswith(b"MM")
    assert np.array_equal(files.read(path).stored, DEEP)


@pytest.mark.parametrize(("pixels", "top"), [(RAMP, 255), (DEEP, 65535)], ids=["8", "16"])
def test_white_is_zero_is_turned_over(tmp_path: Path, pixels: np.ndarray[Any, Any], top: int) -> None:
    path = tmp_path / "a.tif"
    body, bits = pixels.tobytes(), 8 * pixels.itemsize
    tags = [
        (256, 32),
        (257, 8),
        (258, bits),
        (259, 1),
        (262, 0),
        (273, 8),
        (277, 1),
        (278, 8),
        (279, len(body)),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in tags)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + b"\0\0\0\0")
    assert np.array_equal(files.read(path).stored, top - pixels)


def test_the_pages_of_a_tiff_are_frames(tmp_path: Path) -> None:
    images = [Image.fromarray(RAMP), Image.fromarray(RAMP[::-1])]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    files.write((frame for frame in files.read_frames(tmp_path / "a.tif")), tmp_path / "b.tif")
    again = [frame.stored for frame in files.read_frames(tmp_path / "b.tif")]
    assert np.array_equal(np.stack(again), np.stack([RAMP, RAMP[::-1]]))
    with pytest.raises(UnwritableFileError, match="holds one image"):
        files.write(files.read_frames(tmp_path / "a.tif"), tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("resolution", [(1, 0), (0, 0), (0xFFFFFFFF, 1)])
@pytest.mark.parametrize("target", ["b.tif", "b.png"])
def test_a_resolution_that_is_no_number_is_left_out(tmp_path: Path, resolution: tuple[int, int], target: str) -> None:
    source = save(tmp_path / "a.tif", RAMP, dpi=(300, 300))
    whole = source.read_bytes()
    source.write_bytes(whole.replace(struct.pack("<LL", 300, 1), struct.pack("<LL", *resolution)))
    assert source.read_bytes() != whole
    files.write(files.read(source), tmp_path / target)
    assert np.array_equal(files.read(tmp_path / target).stored, RAMP)


def test_the_thousandth_page_takes_no_longer_than_the_first(tmp_path: Path) -> None:
    frame = Radiograph(np.zeros((2, 2), np.uint8), (0.0, 255.0))
    times = []

    def frames() -> Iterator[Radiograph]:
        for _ in range(1000):
            times.append(time.process_time())
            yield frame

    files.write(frames(), tmp_path / "a.tif")
    spent = np.diff(times)
    assert np.median(spent[-200:]) < 3 * np.median(spent[:200])
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 1000  # type: ignore[attr-defined]


def _colour(path: Path) -> None:
    save(path, np.stack([RAMP, RAMP, RAMP[::-1]], 2))


def _transparent(path: Path) -> None:
    save(path, np.stack([RAMP, RAMP], 2), None)


def _transparent_grey(path: Path) -> None:
    save(path, RAMP, transparency=5)


def _float(path: Path) -> None:
    save(path.with_suffix(".tif"), RAMP.astype(np.float32))
    path.with_suffix(".tif").rename(path)


def _animated(path: Path) -> None:
    first, second = Image.fromarray(RAMP), Image.fromarray(RAMP[::-1])
    first.save(path, save_all=True, append_images=[second])


def _deep_colour(path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    row = b"\0" + b"\1\2\1\2\1\2" * 2
    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    )


def _cut(path: Path) -> None:
    save(path, DEEP)
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_colour, "colour image"),
        (_transparent, "partly transparent"),
        (_transparent_grey, "partly transparent"),
        (_float, "kind 'F'"),
        (_animated, "animated"),
        (_deep_colour, "16-bit colour"),
        (_cut, "damaged"),
    ],
)
def test_what_is_no_grey_image_is_refused(tmp_path: Path, spoil: Any, reason: str) -> None:
    spoil(tmp_path / "a.png")
    with pytest.raises(UnreadableFileError, match=reason) as caught:
        files.read(tmp_path / "a.png")
    assert caught.value.hint


@pytest.mark.parametrize("rows", [400, 10**5])
@pytest.mark.parametrize("compression", [None, "tiff_adobe_deflate", "tiff_lzw"])
def test_a_tiff_that_lacks_strips_is_refused(tmp_path: Path, compression: str | None, rows: int) -> None:
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 65536, (300, 200), np.uint16)
    Image.fromarray(pixels).save(path, compression=compression)
    whole = path.read_bytes()
    height = struct.pack("<HHLL", 257, 4, 1, 300), struct.pack("<HHLL", 257, 4, 1, rows)
    short = struct.pack("<HHLHH", 257, 3, 1, 300, 0), struct.pack("<HHLL", 257, 4, 1, rows)
    path.write_bytes(whole.replace(*height).replace(*short))
    assert path.read_bytes() != whole
    with pytest.raises(UnreadableFileError, match=r"truncated|damaged"):
        files.read(path)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(tmp_path / "a.png", RAMP)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UnreadableFileError, match="more than 200 pixels"):
        files.read(source)


def test_resolution_and_text_survive_and_the_derivation_is_told(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Röntgen Ω")
    source = save(tmp_path / "a.png", DEEP, dpi=(127, 254), pnginfo=text)
    files.write(files.read(source), tmp_path / "b.png", derivation=Derivation("x-bdcnn"))
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["dpi"] == pytest.approx((127, 254), abs=0.02)  # the file counts pixels per metre
        assert image.info["Title"] == "Röntgen Ω"
        assert "x-bdcnn" in image.info["Software"]
    files.write(files.read(source), tmp_path / "b.tif", derivation=Derivation("x-bdcnn"))
    with Image.open(tmp_path / "b.tif") as image:
        assert image.info["dpi"] == pytest.approx((127, 254), abs=0.02)
        assert "x-bdcnn" in image.tag_v2[305]  # type: ignore[attr-defined]


def test_a_16_bit_image_fits_no_webp(tmp_path: Path) -> None:
    radiograph = files.read(save(tmp_path / "a.png", DEEP))
    with pytest.raises(UnwritableFileError, match="WebP file holds 8 bits"):
        files.write(radiograph, tmp_path / "b.webp")
    files.write(radiograph, tmp_path / "b.webp", bits=8)
    assert np.array_equal(files.read(tmp_path / "b.webp").stored, np.rint(DEEP / 257))


def test_bits_scale_the_whole_depth(tmp_path: Path) -> None:
    files.write(files.read(save(tmp_path / "a.png", RAMP)), tmp_path / "b.png", bits=16)
    assert np.array_equal(files.read(tmp_path / "b.png").stored, RAMP * np.uint16(257))
    files.write(files.read(tmp_path / "b.png"), tmp_path / "c.png", bits=8)
    assert np.array_equal(files.read(tmp_path / "c.png").stored, RAMP)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_phantom_of_12_bits_is_stored_as_it_is_or_spread_out(tmp_path: Path, inverted: bool) -> None:
    phantom = Radiograph.from_grey(RAMP.astype(float), bits=12, inverted=inverted)
    files.write(phantom, tmp_path / "a.png")
    assert np.array_equal(files.read(tmp_path / "a.png").stored, phantom.stored)
    files.write(phantom, tmp_path / "b.png", bits=16)
    assert files.read(tmp_path / "b.png").stored == pytest.approx(RAMP * 257.0, abs=9)  # half a step of 12 bits
