"""PNG, TIFF and WebP: the same pixels back, and no silent guess about alpha, colour or depth."""

import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

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


def test_the_value_range_of_8_bits_is_full_and_that_of_16_robust(tmp_path: Path) -> None:
    assert files.read(save(tmp_path / "a.png", RAMP // 2)).value_range == (0, 255)
    assert files.read(save(tmp_path / "b.png", DEEP // 4 + 9)).value_range == (9, 16392)
    assert files.read(save(tmp_path / "a.png", RAMP // 2), value_range=(3, 7)).value_range == (3, 7)


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


def test_each_page_of_a_tiff_keeps_its_own_metadata(tmp_path: Path) -> None:
    """Descriptions tell left from right, and resolutions the size."""
    of_pages: list[tuple[dict[int, str], int | None]] = [({}, None), ({270: "left", 315: "A"}, 100)]
    of_pages.append(({270: "right", 33432: "B"}, 200))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for texts, dpi in of_pages:
            tags = [(code, "s", 0, text, True) for code, text in texts.items()]
            size = {"resolution": (dpi, dpi), "resolutionunit": "INCH"} if dpi else {}
            tiff.write(RAMP, metadata=None, extratags=tags, software=False, **size)
    files.write(files.read_frames(tmp_path / "a.tif"), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        tags_of_pages = [page.tags for page in file.pages]  # type: ignore[union-attr]
    assert [{code: tags.valueof(code) for code in TEXTS if code in tags} for tags in tags_of_pages] == [
        texts for texts, _ in of_pages
    ]
    assert [frame.header.dpi for frame in files.read_frames(tmp_path / "b.tif")] == [  # type: ignore[attr-defined]
        dpi and (dpi, dpi) for _, dpi in of_pages
    ]


def test_pages_may_differ_in_size_and_depth_and_a_thumbnail_stays_one(tmp_path: Path) -> None:
    pages = [(DEEP, 0), (RAMP[::2, ::2], 1), (DEEP.T, 0)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page, kind in pages:
            tiff.write(page, metadata=None, subfiletype=kind)
    files.write(files.read_frames(tmp_path / "a.tif"), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        for (page, kind), written in zip(pages, file.pages, strict=True):
            assert written.dtype == page.dtype
            assert np.array_equal(written.asarray(), page)
            assert written.tags.valueof(254, 0) == kind  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "thumbnail", [np.stack([RAMP, RAMP, RAMP[::-1]], 2), RAMP.astype(np.float32)], ids=["rgb", "f"]
)
def test_the_page_that_is_not_read_is_named(tmp_path: Path, thumbnail: np.ndarray[Any, Any]) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(RAMP, metadata=None)
        tiff.write(thumbnail, metadata=None, photometric="rgb" if thumbnail.ndim == 3 else "minisblack")
    with pytest.raises(UnreadableFileError, match=r"^page 2 of .*a\.tif "):
        list(files.read_frames(tmp_path / "a.tif"))


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
        (_float, "floating-point pixels"),
        (_animated, "animated"),
        (_deep_colour, "16-bit colour"),
        (_cut, "truncated"),
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


def test_a_value_range_is_scaled_to_the_new_depth_and_the_note_says_so(tmp_path: Path) -> None:
    """12 bits in words of 16, as radiographs often are in PNG files."""
    radiograph = files.read(save(tmp_path / "a.png", DEEP // 16))
    target = tmp_path / "b.png"
    files.write(radiograph, target, bits=8)
    assert len(np.unique(files.read(target).stored)) <= 17
    scaled, few = files.caveats(radiograph, target, bits=8)
    assert scaled == "its stored values from 0 to 65535 were scaled to 0 to 255"
    assert few.startswith("fewer than 64 grey levels of it are left")
    files.write(radiograph, target, bits=8, value_range=(0, 2047))
    shown = files.read(target).stored
    assert np.array_equal(shown, np.rint(np.minimum(DEEP // 16, 2047) * (255 / 2047)))
    radiograph = radiograph.with_value_range(0, 2047)
    assert files.caveats(radiograph, target, bits=8, value_range=(0, 2047)) == (
        "its stored values from 0 to 2047 were scaled to 0 to 255",
    )


@pytest.mark.parametrize("bits", [None, 16])
def test_stored_values_stay_as_they_are_unless_other_bits_are_asked_for(tmp_path: Path, bits: int | None) -> None:
    radiograph = files.read(save(tmp_path / "a.png", DEEP // 16), value_range=(0, 2047))
    files.write(radiograph, tmp_path / "b.png", bits=bits, value_range=(0, 2047))
    assert np.array_equal(files.read(tmp_path / "b.png").stored, DEEP // 16)
    assert files.caveats(radiograph, bits=bits, value_range=(0, 2047)) == ()


NOISE = np.random.default_rng(0).integers(0, 65536, (40, 56), np.uint16)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}, {"compression": "lzw", "rowsperstrip": 7}], ids=str)
@pytest.mark.parametrize("alpha", [False, True])
def test_a_colour_tiff_of_equal_channels_keeps_its_depth(
    tmp_path: Path, bits: int, planar: str, byteorder: Any, options: Any, alpha: bool
) -> None:
    grey = NOISE if bits == 16 else (NOISE >> 8).astype(np.uint8)
    channels = [grey, grey, grey, *([np.full_like(grey, 2**bits - 1)] if alpha else [])]

    def saved(channels: list[np.ndarray[Any, Any]]) -> Path:
        tifffile.imwrite(
            tmp_path / "a.tif",
            np.stack(channels, 2 if planar == "contig" else 0),
            photometric="rgb",
            planarconfig=planar,
            byteorder=byteorder,
            extrasamples=["unassalpha"] if alpha else None,
            **options,
        )
        return tmp_path / "a.tif"

    radiograph = files.read(saved(channels))
    assert np.array_equal(radiograph.stored, grey)
    assert radiograph.bits == bits
    with pytest.raises(UnreadableFileError, match="colour image"):
        files.read(saved([*channels[:2], grey ^ 1, *channels[3:]]))
    if alpha:
        with pytest.raises(UnreadableFileError, match="partly transparent"):
            files.read(saved([*channels[:3], grey]))


LOSSLESS = ("lzw", "zlib", "zstd")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {"tile": (16, 16)},
        {"rowsperstrip": 9},
        *(
            {"compression": one, "predictor": predictor, "rowsperstrip": 9}
            for one in ("lzw", "zlib", "zstd")
            for predictor in (False, True)
        ),
        {"compression": "packbits"},
        {"compression": "lzma", "tile": (32, 16)},
    ],
    ids=str,
)
def test_tiffs_of_every_structure_are_read(
    tmp_path: Path, bits: int, bigtiff: bool, byteorder: Any, options: Any
) -> None:
    grey = NOISE if bits == 16 else (NOISE >> 8).astype(np.uint8)
    pages = np.stack([grey, grey[::-1]])
    tifffile.imwrite(
        tmp_path / "a.tif", pages, bigtiff=bigtiff, byteorder=byteorder, photometric="minisblack", **options
    )
    read = [frame.stored for frame in files.read_frames(tmp_path / "a.tif")]
    assert np.array_equal(np.stack(read), pages)
    assert read[0].dtype == grey.dtype


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_packed_bits_are_unpacked(tmp_path: Path, bits: int) -> None:
    values = NOISE >> (16 - bits)
    rows = np.concatenate([[int(f"{value:0{bits}b}"[bit]) for value in row for bit in range(bits)] for row in values])
    body = np.packbits(rows.reshape(len(values), -1), axis=1).tobytes()
    (tmp_path / "a.tif").write_bytes(_tiff(body, [(258, bits)], values.shape))
    radiograph = files.read(tmp_path / "a.tif")
    expected = values * (255 // (2**bits - 1)) if bits < 8 else values
    assert np.array_equal(radiograph.stored, expected)
    assert radiograph.bits == max(bits, 8)
    files.write(radiograph, tmp_path / "b.tif")
    assert np.array_equal(files.read(tmp_path / "b.tif").stored, expected)
    files.write(radiograph, tmp_path / "b.tif", bits=16)
    top = 2 ** max(bits, 8) - 1
    assert np.array_equal(files.read(tmp_path / "b.tif").stored, np.rint(expected * (65535 / top)))
    noted = () if bits == 16 else (f"its stored values from 0 to {top} were scaled to 0 to 65535",)
    assert files.caveats(radiograph, bits=16) == noted


def _tiff(body: bytes, changes: list[tuple[int, int]], shape: tuple[int, int]) -> bytes:
    """An uncompressed TIFF of one strip, whose tags may be wrong."""
    tags = {256: shape[1], 257: shape[0], 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: shape[0], 279: len(body)}
    tags |= dict(changes)
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items())
    )
    body += b"\0" * (len(body) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([(339, 2)], "signed pixels"),
        ([(339, 3), (258, 32)], "floating-point"),
        ([(258, 32)], "32 bits"),
        ([(273, 0)], "truncated"),
        ([(273, 4)], "truncated"),
        ([(273, 10**6)], "truncated"),
        ([(279, 0)], "truncated"),
        ([(279, 255)], "truncated"),
        ([(278, 4)], "truncated"),
        ([(257, 9)], "truncated"),
        ([(257, 10**5)], "truncated"),
        ([(259, 99)], "compressed in a way"),
        ([(262, 8)], "colour space"),
        ([(257, 60000), (256, 60000)], "pixels"),
        ([(322, 1), (323, 1)], r"tiles|truncated|damaged"),
    ],
    ids=str,
)
def test_a_tiff_that_is_no_grey_integers_or_lacks_some_is_refused(
    tmp_path: Path, changes: list[tuple[int, int]], reason: str
) -> None:
    (tmp_path / "a.tif").write_bytes(_tiff(RAMP.tobytes(), [], RAMP.shape))
    assert np.array_equal(files.read(tmp_path / "a.tif").stored, RAMP)
    (tmp_path / "a.tif").write_bytes(_tiff(RAMP.tobytes(), changes, RAMP.shape))
    with pytest.raises(UnreadableFileError, match=reason):
        files.read(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32, np.float32, np.float64])
def test_other_numbers_than_unsigned_words_are_refused(tmp_path: Path, dtype: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RAMP.astype(dtype))
    with pytest.raises(UnreadableFileError, match="not grey levels"):
        files.read(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_missing_tiles_are_refused(tmp_path: Path, compression: str | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", NOISE, tile=(16, 16), compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offsets = file.pages[0].tags[324].value  # type: ignore[union-attr]
    whole = (tmp_path / "a.tif").read_bytes()
    for missing in (0, 5, len(offsets) - 1):
        assert whole.count(struct.pack("<L", offsets[missing])) == 1
        (tmp_path / "a.tif").write_bytes(whole.replace(struct.pack("<L", offsets[missing]), b"\0\0\0\0"))
        with pytest.raises(UnreadableFileError, match="truncated"):
            files.read(tmp_path / "a.tif")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("how", ["imagej", "truncated"])
def test_images_behind_one_directory_are_all_read(tmp_path: Path, bits: int, byteorder: Any, how: str) -> None:
    grey = NOISE if bits == 16 else (NOISE >> 8).astype(np.uint8)
    stack = np.stack([grey, grey[::-1], grey[:, ::-1]])
    path = tmp_path / "a.tif"
    if how == "imagej":
        text = f"ImageJ=1.53t\nimages={len(stack)}\nslices={len(stack)}\nloop=false\n"
        tifffile.imwrite(path, stack[0], byteorder=byteorder, description=text, metadata=None)
        body = stack[1:].astype(stack.dtype.newbyteorder(byteorder)).tobytes()
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            end = page.dataoffsets[-1] + page.databytecounts[-1]
        path.write_bytes(path.read_bytes()[:end] + body)
    else:
        tifffile.imwrite(path, stack, truncate=True, byteorder=byteorder, photometric="minisblack")
        with tifffile.TiffFile(path) as file:
            assert len(file.pages) == 1
    read = [frame.stored for frame in files.read_frames(path)]
    assert np.array_equal(np.stack(read), stack)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UnreadableFileError, match="truncated"):
        list(files.read_frames(path))


def test_a_stack_of_imagej_is_read(tmp_path: Path) -> None:
    stack = np.stack([NOISE, NOISE[::-1], NOISE[:, ::-1]])
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True)
    assert np.array_equal(np.stack([frame.stored for frame in files.read_frames(tmp_path / "a.tif")]), stack)
    files.write(files.read_frames(tmp_path / "a.tif"), tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), stack)


def test_pages_that_the_chain_has_lost_are_missed(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in (NOISE, NOISE[::-1], NOISE):
            tiff.write(page, metadata=None)
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: len(whole) * 2 // 3 - 100])
    with pytest.raises(UnreadableFileError, match="truncated"):
        list(files.read_frames(tmp_path / "a.tif"))


def test_a_tiff_file_without_a_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(60))
    with pytest.raises(UnreadableFileError, match="has no page"):
        files.read(tmp_path / "a.tif")
    with pytest.raises(UnreadableFileError, match="has no page"):
        list(files.read_frames(tmp_path / "a.tif"))


def test_an_imagej_file_that_says_it_holds_no_image_holds_one(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", NOISE, description="ImageJ=1.53k\nimages=0\n", metadata=None)
    assert [np.array_equal(one.stored, NOISE) for one in files.read_frames(tmp_path / "a.tif")] == [True]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    upright = np.asarray(ImageOps.exif_transpose(_with_exif(Image.fromarray(RAMP), exif)))
    save(tmp_path / "a.png", RAMP, exif=exif, dpi=(100, 200))
    save(tmp_path / "a.webp", RAMP, exif=exif, lossless=True)
    tifffile.imwrite(
        tmp_path / "a.tif",
        RAMP,
        extratags=[(274, "H", 1, orientation, True)],
        resolution=(100, 200),
        resolutionunit="INCH",
        metadata=None,
    )
    for name in ("a.png", "a.webp", "a.tif"):
        radiograph = files.read(tmp_path / name)
        assert np.array_equal(radiograph.stored, upright), name
        for target in ("b.png", "b.tif", "b.webp"):
            files.write(radiograph, tmp_path / target)
            again = files.read(tmp_path / target)
            assert np.array_equal(again.stored, upright), (name, target)
            with Image.open(tmp_path / target) as image:
                assert image.getexif().get(274, 1) == 1
        dpi = getattr(radiograph.header, "dpi", None)
        if dpi:
            assert dpi == pytest.approx((200, 100) if orientation >= 5 else (100, 200), abs=0.02)


def _with_exif(image: Image.Image, exif: Image.Exif) -> Image.Image:
    image.getexif().update(exif)
    return image


def _png(head: bytes, rows: bytes, *others: bytes) -> bytes:
    chunks = [_chunk(b"IHDR", head), *others, _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(
    ("depth", "colour", "row"), [(8, 0, 64), (16, 0, 128), (1, 0, 8), (4, 0, 32), (8, 2, 192), (8, 4, 128)]
)
@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_whose_pixels_end_early_is_refused(
    tmp_path: Path, depth: int, colour: int, row: int, interlaced: int
) -> None:
    head = struct.pack(">IIBBBBB", 64, 64, depth, colour, 0, 0, interlaced)
    passes = ((8, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32), (32, 64)) if interlaced else ((64, 64),)
    rows = b"".join((b"\0" + b"\xff" * (row * columns // 64)) * count for count, columns in passes)
    (tmp_path / "a.png").write_bytes(_png(head, rows))
    assert files.read(tmp_path / "a.png").stored.shape == (64, 64)
    for share in (0, 20 / 64, 63 / 64):
        (tmp_path / "a.png").write_bytes(_png(head, rows[: int(len(rows) * share)]))
        with pytest.raises(UnreadableFileError, match="truncated"):
            files.read(tmp_path / "a.png")


def test_gamma_is_kept_and_what_is_dropped_is_noted(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 32, 8, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in RAMP)
    others = [_chunk(b"gAMA", struct.pack(">L", 45455)), _chunk(b"tIME", bytes(7)), _chunk(b"npBX", b"spacing")]
    others.append(_chunk(b"sRGB", b"\1"))
    (tmp_path / "a.png").write_bytes(_png(head, rows, *others))
    radiograph = files.read(tmp_path / "a.png")
    assert files.caveats(radiograph) == ("its tIME, npBX will not be kept",)
    files.write(radiograph, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["gamma"] == pytest.approx(0.45455)
        assert image.info["srgb"] == 1
    assert files.caveats(files.read(tmp_path / "b.png")) == ()


def test_the_texts_of_a_tiff_are_kept_and_what_is_dropped_is_noted(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        NOISE,
        description="a chest",
        metadata=None,
        extratags=[(315, "s", 0, "Roentgen", True), (700, "B", 4, b"<x/>", True), (50000, "H", 1, 7, True)],
        iccprofile=b"icc" * 50,
        resolution=(100, 200),
        resolutionunit="CENTIMETER",
    )
    radiograph = files.read(tmp_path / "a.tif")
    assert files.caveats(radiograph) == ("its XMP, 50000 will not be kept",)
    files.write(radiograph, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        tags = file.pages[0].tags  # type: ignore[union-attr]
        assert (tags[270].value, tags[315].value) == ("a chest", "Roentgen")
        assert bytes(tags[34675].value) == b"icc" * 50
        assert tags[282].value[0] / tags[282].value[1] == pytest.approx(254)
    assert files.caveats(files.read(tmp_path / "b.tif")) == ()


ICC = b"icc" * 50
TEXTS = {270: "a chest", 271: "ACME", 272: "One", 306: "2020:01:01 00:00:00", 315: "Roentgen", 33432: "nobody"}
"""TIFF: description, make, model, date, artist and copyright."""


def _with_everything(path: Path) -> Path:
    """A file that has all that its format may say of an image."""
    exif = Image.Exif()
    exif[0x010E] = "a chest"
    if path.suffix == ".tif":
        tags = [(code, "s", 0, text, True) for code, text in TEXTS.items()]
        tifffile.imwrite(path, RAMP, metadata=None, iccprofile=ICC, resolution=(100, 200), extratags=tags)
        return path
    if path.suffix == ".webp":
        Image.fromarray(RAMP).convert("RGB").save(path, lossless=True, exif=exif)
        return path
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a chest")
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    for name, content in ((b"gAMA", struct.pack(">L", 45455)), (b"cHRM", bytes(range(32)))):
        text.add(name, content)
    return save(path, RAMP, pnginfo=text, exif=exif, icc_profile=ICC, dpi=(100, 200))


@pytest.mark.parametrize(
    ("source", "target", "kept", "noted"),
    [
        ("png", "png", {"text", "xmp", "exif", "gamma", "icc", "dpi"}, ""),
        ("png", "tif", {"icc", "dpi"}, "its text, EXIF, gamma will not be kept"),
        ("png", "webp", {"exif", "icc"}, "its text, gamma, resolution will not be kept"),
        ("tif", "png", {"icc", "dpi"}, "its text will not be kept"),
        ("tif", "tif", {"text", "icc", "dpi"}, ""),
        ("tif", "webp", {"icc"}, "its text, resolution will not be kept"),
        ("webp", "png", {"exif"}, ""),
        ("webp", "tif", set(), "its EXIF will not be kept"),
        ("webp", "webp", {"exif"}, ""),
    ],
)
def test_what_each_format_keeps(tmp_path: Path, source: str, target: str, kept: set[str], noted: str) -> None:
    """The table in docs/dicom.md."""
    radiograph = files.read(_with_everything(tmp_path / f"a.{source}"))
    files.write(radiograph, tmp_path / f"b.{target}")
    assert files.caveats(radiograph, tmp_path / f"b.{target}") == ((noted,) if noted else ())
    with Image.open(tmp_path / f"b.{target}") as image:
        image.load()
        info, tags = image.info, dict(getattr(image, "tag_v2", {}))
        found = {
            "text": info.get("Title") == "a chest" or TEXTS.items() <= tags.items(),
            "xmp": "XML:com.adobe.xmp" in getattr(image, "text", {}),
            "exif": target != "tif" and image.getexif().get(0x010E) == "a chest",
            "gamma": {"gamma", "chromaticity"} <= set(info),
            "icc": info.get("icc_profile") == ICC,
            "dpi": bool(info.get("dpi")) and info["dpi"] == pytest.approx((100, 200), abs=0.02),
        }
    assert {name for name, is_kept in found.items() if is_kept} == kept


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_xmp_goes_with_the_orientation_and_is_noted(tmp_path: Path, kind: str) -> None:
    """It may tell the orientation again, which would turn the image twice."""
    exif = Image.Exif()
    exif[274] = 6
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    options: dict[str, Any] = {"pnginfo": text} if kind == "png" else {"xmp": b"<x/>", "lossless": True}
    radiograph = files.read(save(tmp_path / f"a.{kind}", RAMP, exif=exif, **options))
    assert files.caveats(radiograph) == ("its XMP will not be kept",)
    files.write(radiograph, tmp_path / f"b.{kind}")
    assert b"<x/>" not in (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_a_profile_of_colours_is_not_kept_for_grey(tmp_path: Path, kind: str) -> None:
    image = Image.fromarray(RAMP).convert("RGB")
    options: dict[str, Any] = {"lossless": True} if kind == "webp" else {}
    image.save(tmp_path / f"a.{kind}", icc_profile=ICC, **options)
    radiograph = files.read(tmp_path / f"a.{kind}")
    files.write(radiograph, tmp_path / f"b.{kind}")
    with Image.open(tmp_path / f"b.{kind}") as written:
        assert "icc_profile" not in written.info
    assert files.caveats(radiograph) == ("its ICC profile will not be kept",)
