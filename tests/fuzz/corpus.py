"""The sound files that fuzzing starts from: every class, depth and syntax, with LUTs, windows and overlays."""

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import tifffile
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
)

from tests.synthetic_dicom import SYNTAXES, Sample, add_overlay, dataset, embed_overlay, pixels, save, write
from xray_denoise import files


def make(folder: Path) -> list[Path]:
    """Write all of them into `folder`."""
    return [*_dicom(folder), *_compressed(folder), *_images(folder)]


def _dicom(folder: Path) -> Iterator[Path]:
    for number, modality in enumerate(("CR", "DX", "MG", "XA", "RF", "OT")):
        syntax = SYNTAXES[number % len(SYNTAXES)]
        bits = (8, 10, 12, 14, 16)[number % 5]
        sample = Sample(modality, bits=bits, signed=number % 2 == 1, inverted=number % 3 == 0, syntax=syntax)
        yield write(folder / f"{modality}.dcm", sample)
    yield write(folder / "frames.dcm", Sample("XA", frames=3))
    yield write(folder / "padded.dcm", Sample("MG", padding=0, padding_limit=5))
    yield write(folder / "sigmoid.dcm", Sample("DX"), VOILUTFunction="SIGMOID")
    for name, syntax in (("lut", ExplicitVRLittleEndian), ("lut-big", ExplicitVRBigEndian)):
        ds = dataset(Sample("CR", bits=10))
        ds.ModalityLUTSequence = [_lut(1024, 12)]
        ds.VOILUTSequence = [_lut(4096, 12)]
        yield save(folder / f"{name}.dcm", ds, syntax)
    mask = np.random.default_rng(0).random((24, 21)) < 0.5
    for name, change in (("overlay", add_overlay), ("embedded", lambda ds, m: embed_overlay(ds, m, bit=15))):
        ds = dataset(Sample("CR"))
        change(ds, mask)
        yield save(folder / f"{name}.dcm", ds)
    bare = folder / "bare.dcm"
    bare.write_bytes((folder / "CR.dcm").read_bytes()[132:])
    yield bare


def _lut(entries: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [entries, 0, bits])
    item.add_new("LUTData", "OW", np.linspace(0, 2**bits - 1, entries).astype("<u2").tobytes())
    return item


def _compressed(folder: Path) -> Iterator[Path]:
    large = pixels(Sample("CR", shape=(120, 160))) // 8
    source = write(folder / "large.dcm", Sample("CR", shape=(120, 160)), large)
    for compression in ("rle", "jpegls", "j2k"):
        path = folder / f"{compression}.dcm"
        files.write(files.read(source), path, derivation=files.Derivation("fuzz"), compression=compression)
        yield path
    frame = large[0]
    streams = {
        JPEGLosslessSV1: imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1, bitspersample=12),
        JPEGExtended12Bit: imagecodecs.jpeg8_encode(frame, bitspersample=12),
        HTJ2KLossless: imagecodecs.htj2k_encode(frame, reversible=True),
    }
    for syntax, stream in streams.items():
        yield _around(folder, Sample("CR", shape=frame.shape), syntax, stream)
    sample = Sample("XA", frames=3, shape=(40, 50))
    streams = [imagecodecs.jpeg8_encode(one, lossless=True, predictor=1, bitspersample=12) for one in pixels(sample)]
    for name, parts in (("whole", 1), ("halves", 2)):
        ds = dataset(sample)
        ds.PixelData = encapsulate([bytes(one) for one in streams], fragments_per_frame=parts, has_bot=parts == 2)
        ds["PixelData"].VR = "OB"
        yield save(folder / f"frames-{name}.dcm", ds, JPEGLosslessSV1)
    eight = Sample("CR", bits=8, allocated=8, shape=(120, 160))
    yield _around(folder, eight, JPEGBaseline8Bit, imagecodecs.jpeg8_encode(pixels(eight)[0]))


def _around(folder: Path, sample: Sample, syntax: str, stream: bytes) -> Path:
    ds = dataset(sample)
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    return save(folder / f"{pydicom.uid.UID(syntax).keyword}.dcm", ds, syntax)


def _images(folder: Path) -> Iterator[Path]:
    random = np.random.default_rng(0)
    eight, deep = random.integers(0, 256, (24, 21), np.uint8), random.integers(0, 65536, (24, 21), np.uint16)
    for name, image in {
        "grey.png": Image.fromarray(eight),
        "deep.png": Image.fromarray(deep),
        "palette.png": Image.fromarray(eight).convert("P"),
        "bits.png": Image.fromarray(eight).convert("1"),
        "alpha.png": Image.fromarray(eight).convert("LA"),
        "grey.tif": Image.fromarray(eight),
        "deep.tif": Image.fromarray(deep),
        "grey.webp": Image.fromarray(eight).convert("RGB"),
        "grey.jpg": Image.fromarray(eight),
        "equal.jpg": Image.fromarray(eight).convert("RGB"),
    }.items():
        image.save(folder / name, **({"lossless": True} if name.endswith("webp") else {}))
        yield folder / name
    Image.fromarray(eight).save(folder / "progressive.jpg", progressive=True)
    yield folder / "progressive.jpg"
    pages = [Image.fromarray(deep), Image.fromarray(deep[::-1])]
    Image.fromarray(deep).save(folder / "dpi.tif", dpi=(127, 254), compression="tiff_lzw")
    yield folder / "dpi.tif"
    about = PngImagePlugin.PngInfo()
    about.add_text("Title", "Röntgen")
    about.add_text("Comment", "compressed", zip=True)
    exif = Image.Exif()
    exif[0x010E] = "a radiograph"
    Image.fromarray(deep).save(folder / "about.png", dpi=(127, 254), pnginfo=about, exif=exif, icc_profile=b"icc" * 50)
    yield folder / "about.png"
    for name, image, options in (
        ("tiles", deep, {"tile": (16, 16), "compression": "zlib"}),
        ("strips", deep, {"rowsperstrip": 5, "byteorder": ">", "compression": "lzw", "predictor": True}),
        ("big", deep, {"bigtiff": True}),
        ("colour", np.stack([deep] * 3, 2), {"photometric": "rgb"}),
        ("turned", eight, {"extratags": [(274, "H", 1, 6, True)]}),
        ("text", eight, {"description": "a chest", "metadata": None, "resolution": (100, 200)}),
    ):
        tifffile.imwrite(folder / f"{name}.tif", image, **options)
        yield folder / f"{name}.tif"
    tifffile.imwrite(folder / "stack.tif", np.stack([deep, deep[::-1]]), truncate=True)
    yield folder / "stack.tif"
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:], compression="tiff_adobe_deflate")
    yield folder / "pages.tif"
