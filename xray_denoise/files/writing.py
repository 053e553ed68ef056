"""Write radiographs: as DICOM objects derived from their source, or as pictures."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
    value_range: tuple[float, float] | None = None,
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
        bits: 8 or 16 per pixel of a raster image; by default those of the source, with the stored values as they
            are (10 to 15 bits in 16), and 8 for a picture of a DICOM image.
        value_range: stored values that become 0 and the highest value where a raster image gets other `bits` than its
            source has; by default all that those can hold.
        render: what a picture of a DICOM image shows: `display` (= `auto`) as a viewer would, or
            `stored` values. Without a window or VOI LUT, `display` spreads the robust range of an image over the
            grey levels, or one range for all frames of a file, whose source is read once more for it.
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
            alone = isinstance(radiographs, Radiograph) or render == "stored"
            shown = None if alone else _range_of_run(first)
            look = _Look(bits, value_range, render, shown)
            _write_raster(stream, frames, kind=kind, derivation=derivation, look=look)


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


@dataclass(frozen=True, slots=True)
class _Look:
    """How pixels become those of a picture; see `write`."""

    bits: int | None
    value_range: tuple[float, float] | None
    render: Render
    shown_range: tuple[float, float] | None
    """What `display` spreads over the grey levels where a DICOM file of several frames has no window."""


def _write_raster(
    stream: BinaryIO,
    frames: Iterable[Radiograph],
    *,
    kind: Literal["png", "tiff", "webp"],
    derivation: Provenance | None,
    look: _Look,
) -> None:
    from xray_denoise.files import raster
    from xray_denoise.files.raster_header import RasterHeader

    def picture(radiograph: Radiograph) -> NDArray[Any]:
        header = dicom_header(radiograph)
        if header is not None and look.render != "stored":
            from xray_denoise.files.dicom.render import displayed_pixels

            return displayed_pixels(radiograph, header, look.bits or 8, look.shown_range)
        ends = raster.scaled_range(radiograph, look.bits, look.value_range) if header is None else None
        if look.bits is not None and ends is not None:
            return raster.scaled_pixels(radiograph, look.bits, ends)
        return raster.stored_pixels(radiograph, look.bits)

    def metadata(radiograph: Radiograph) -> RasterHeader:
        return radiograph.header if isinstance(radiograph.header, RasterHeader) else RasterHeader(kind)

    comment = derivation.sentence if derivation else ""
    raster.write_pixels(((picture(frame), metadata(frame)) for frame in frames), stream, kind=kind, comment=comment)


def _range_of_run(first: Radiograph) -> tuple[float, float] | None:
    """What pictures of the frames of a DICOM file show without a window; None with one, or for a single frame.

    The frames are read once more for it, one by one: they may be too many to be held.
    """
    from xray_denoise.files.damage import as_unreadable
    from xray_denoise.files.dicom import read as dicom
    from xray_denoise.files.dicom.render import has_window, range_of_frames

    header = dicom_header(first)
    if header is None or dicom.number_of_frames(header) == 1:
        return None
    with as_unreadable(first.source):
        if has_window(header):
            return None
    return range_of_frames(dicom.read_frames(first.source, (0.0, 1.0)), header)
