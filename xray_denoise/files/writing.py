"""Write radiographs: as DICOM objects derived from their source, or as pictures."""

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

from numpy.typing import NDArray

from xray_denoise.errors import UnwritableFileError, UsageError
from xray_denoise.files.atomic import atomic_write
from xray_denoise.files.derivation import Provenance
from xray_denoise.files.formats import READ_ONLY, SUFFIXES, Kind, Written, dicom_header, ending, is_dicom
from xray_denoise.radiograph import Radiograph

Compression = Literal["none", "rle", "jpegls", "j2k"]
Private = Literal["keep", "drop"]
Render = Literal["auto", "display", "stored"]


def write(
    radiographs: Radiograph | Iterable[Radiograph],
    target: Path,
    *,
    derivation: Provenance | None = None,
    bits: int | None = None,
    render: Render = "auto",
    compression: Compression = "none",
    private: Private = "keep",
    now: datetime | None = None,
    before_rename: Callable[[Path], None] | None = None,
    replace: bool = True,
) -> None:
    """Write a radiograph, or its frames, as the suffix of `target` says; it appears whole or not at all.

    Args:
        radiographs: what `read` gave, changed; or what `read_frames` gave, one by one; or a phantom from
            `Radiograph.from_grey`, which becomes a new DX object in a DICOM file.
        target: .dcm, .dicom, .png, .tif, .tiff or .webp; or any name with the ending of the source.
        derivation: what was done; needed for DICOM made from DICOM, told in the head of a PNG or TIFF.
        bits: 8 or 16 per pixel of a raster image; by default those of the source, and 8 for a picture
            of a DICOM image.
        render: what a picture of a DICOM image shows: `display` (= `auto`) as a viewer would, or
            `stored` values.
        compression: how the pixels of a DICOM file made from another are compressed, always without loss.
        private: whether such a file keeps the private groups of its source.
        now: the time of writing, with its time zone; by default the present.
        before_rename: called with a path to read the finished file by, just before it takes its name.
        replace: whether the file may take the place of one of that name.

    Raises:
        ExistingFileError: there is a file of that name, and `replace` is false.
        UnwritableFileError: the folder is missing, `target` is the source, or the image does not fit.
        UsageError: `bits` is neither 8 nor 16, or is given for a DICOM file, which keeps its own.
        CannotRunError: no encoder for this compression is installed.
    """
    frames = iter([radiographs] if isinstance(radiographs, Radiograph) else radiographs)
    first = next(frames, None)
    if first is None:
        raise ValueError("there is no radiograph to write")
    frames = chain([first], frames)
    kind = _kind_to_write(target, first)
    if bits not in (None, 8, 16):
        raise UsageError(f"a picture has 8 or 16 bits, not {bits}", hint="choose 8 or 16", option="bits")
    if kind == "dicom" and bits is not None:
        raise UsageError(
            "a DICOM file keeps the bits of its source",
            hint="leave the bits out, or write a PNG or TIFF",
            option="bits",
        )
    source = None if first.header is None else first.source
    with atomic_write(target, source=source, before_rename=before_rename, replace=replace) as stream:
        if kind == "dicom":
            now = now or datetime.now().astimezone()
            _write_dicom(stream, frames, first, target, derivation, now, compression, private)
        else:
            _write_raster(stream, frames, first, kind=kind, derivation=derivation, bits=bits, render=render)


def require_encoder(compression: Compression) -> None:
    """Check before the work begins that results can be compressed.

    Raises:
        CannotRunError: the package that does it is not installed.
    """
    if compression != "none":
        from xray_denoise.files.dicom import codecs

        codecs.require_encoder(compression)


def _kind_to_write(target: Path, radiograph: Radiograph) -> Written:
    kind: Kind | None = SUFFIXES.get(target.suffix.lower())
    if kind is None and radiograph.header is not None and ending(target) == ending(radiograph.source):
        from xray_denoise.files.raster_header import RasterHeader

        header = radiograph.header
        kind = "dicom" if is_dicom(radiograph) else header.kind if isinstance(header, RasterHeader) else None
    if kind == "jpeg" or target.suffix.lower() in READ_ONLY:
        raise UnwritableFileError(
            "{path} would be a JPEG, which loses detail; JPEG is only read",
            path=target,
            hint="write a PNG or TIFF file",
        )
    if kind is None:
        raise UnwritableFileError(
            "the name {path} does not say which format to write",
            path=target,
            hint=f"end its name in {', '.join(SUFFIXES)}",
        )
    return kind


def _write_dicom(
    stream: BinaryIO,
    frames: Iterable[Radiograph],
    first: Radiograph,
    target: Path,
    derivation: Provenance | None,
    now: datetime,
    compression: Compression,
    private: Private,
) -> None:
    from xray_denoise.files import damage
    from xray_denoise.files.dicom import codecs, phantom
    from xray_denoise.files.dicom import read as dicom
    from xray_denoise.files.dicom.derive import derived_header
    from xray_denoise.files.dicom.write import encoded, write_compressed_object, write_object

    if first.header is None:
        made = phantom.new_dx(first.stored, bits=first.bits, inverted=first.inverted)
        made.save_as(stream, enforce_file_format=True)
        return
    header = dicom_header(first)
    if header is None:
        raise UnwritableFileError(
            "{path} cannot be made from a picture: only a DICOM image becomes a DICOM image",
            path=target,
            hint="write a PNG or TIFF file; its pixels know no patient and no study",
        )
    if derivation is None:
        raise ValueError("a DICOM image made from another needs a derivation")
    require_encoder(compression)
    syntax = codecs.SYNTAXES[compression]
    count = dicom.number_of_frames(header)
    with damage.as_unreadable(first.source):
        derived = derived_header(header, derivation, now, syntax=syntax, private=private)
        head_and_tail = encoded(derived)
    if compression == "none":
        length = first.stored.nbytes * count
        write_object(stream, head_and_tail, (frame.stored for frame in frames), length=length)
    else:
        codestreams = (codecs.encoded(frame.stored, syntax, bits=frame.bits) for frame in frames)
        write_compressed_object(stream, head_and_tail, codestreams, count=count)


def _write_raster(
    stream: BinaryIO,
    frames: Iterable[Radiograph],
    first: Radiograph,
    *,
    kind: Literal["png", "tiff", "webp"],
    derivation: Provenance | None,
    bits: int | None,
    render: Render,
) -> None:
    from xray_denoise.files import raster
    from xray_denoise.files.raster_header import RasterHeader

    def picture(radiograph: Radiograph) -> NDArray[Any]:
        header = dicom_header(radiograph)
        if header is not None and render != "stored":
            from xray_denoise.files.dicom.render import displayed_pixels

            return displayed_pixels(radiograph, header, bits or 8)
        if header is None and bits is not None and bits != radiograph.bits:
            return raster.full_range_pixels(radiograph, bits)
        return raster.stored_pixels(radiograph, bits)

    header = first.header if isinstance(first.header, RasterHeader) else RasterHeader(kind)
    comment = derivation.sentence if derivation else ""
    raster.write_pixels((picture(frame) for frame in frames), stream, kind=kind, header=header, comment=comment)
