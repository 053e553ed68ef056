"""Disk <-> Radiograph; the only code that knows a file format.

    radiograph = files.read(path)                                # one image
    for frame in files.read_frames(path): ...                    # each frame or page, one in memory at a time
    files.write(radiograph.with_grey(denoised), target, derivation=Derivation(...))
    files.write((work(frame) for frame in files.read_frames(path)), target, derivation=...)

A file is what its first bytes say, whatever its name; a new file is what its suffix says.
"""

import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from numpy.typing import NDArray

from xray_denoise.errors import UnreadableFileError, UnwritableFileError, UsageError
from xray_denoise.files.atomic import atomic_write
from xray_denoise.files.derivation import Derivation
from xray_denoise.radiograph import Radiograph

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

__all__ = [
    "Compression",
    "Derivation",
    "Kind",
    "Private",
    "Render",
    "caveats",
    "is_dicom",
    "is_radiograph",
    "kind_of",
    "read",
    "read_frames",
    "require_encoder",
    "sniff",
    "write",
]

Compression = Literal["none", "rle", "jpegls", "j2k"]
Kind = Literal["dicom", "png", "tiff", "webp", "jpeg"]
Written = Literal["dicom", "png", "tiff", "webp"]
Private = Literal["keep", "drop"]
Render = Literal["auto", "display", "stored"]

SUFFIXES: dict[str, Written] = {
    ".dcm": "dicom",
    ".dicom": "dicom",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
"""What a new file becomes."""
READ_ONLY = (".jpg", ".jpeg", ".jpe", ".jfif")
"""Names of JPEG files, which are read and never written: they would change the pixels once more."""
DICOM_MARK = slice(128, 132)
FILE_META_GROUP, IDENTIFYING_GROUP = 0x0002, 0x0008
FIRST_ELEMENTS, LONGEST_FIRST = 0x0018, 64
"""Elements that an object begins with have no higher number, and values of no more bytes."""
FIRST_VRS = (b"UL", b"OB", b"CS", b"DA", b"TM", b"UI", b"SH", b"LO")
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def sniff(path: Path) -> Kind | None:
    """The format of a file by its first bytes, None for one that is not read.

    Raises:
        UnreadableFileError: there is no such file, or it may not be read.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UnreadableFileError(
                "{path} is no file but a pipe or a device", path=path, hint="save it as a file first"
            )
        with path.open("rb") as stream:
            head = stream.read(132)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise UnreadableFileError(
            f"cannot read {{path}}: {reason}",
            path=path,
            hint="check the name and its permissions",
        ) from error
    if head[DICOM_MARK] == b"DICM" or _starts_like_a_data_set(head):
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(TIFF_MARKS):
        return "tiff"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def kind_of(path: Path) -> Kind:
    """The format of a file by its first bytes.

    Raises:
        UnreadableFileError: there is no such file, it may not be read, or its format is not read.
    """
    kind = sniff(path)
    if kind is None:
        raise UnreadableFileError(
            "{path} is neither DICOM, PNG, TIFF, WebP nor JPEG",
            path=path,
            hint="convert it without loss, for example to PNG",
        )
    return kind


def _starts_like_a_data_set(head: bytes) -> bool:
    """Whether a file without preamble begins with the elements that open a DICOM object (ACR-NEMA's heirs).

    That is group 2 in Explicit VR Little Endian, or one of the first elements of group 8 in any of three syntaxes, with
    a length that such an element can have.
    """
    if len(head) < 132:
        return False
    for order in ("<", ">"):
        group, element, vr, short = struct.unpack_from(f"{order}HH2sH", head)
        (long,) = struct.unpack_from(f"{order}L", head, 4)
        if group == FILE_META_GROUP and order == "<":
            return element <= FIRST_ELEMENTS and vr in FIRST_VRS and short <= LONGEST_FIRST
        if group == IDENTIFYING_GROUP and element <= FIRST_ELEMENTS:
            explicit = vr in FIRST_VRS and short <= LONGEST_FIRST
            return explicit or (order == "<" and long <= LONGEST_FIRST and long % 2 == 0)
    return False


def is_radiograph(path: Path) -> bool:
    """Whether a file found in a folder is worth reading: PNG, TIFF, WebP, JPEG, or a DICOM radiograph.

    DICOMDIR, reports, presentation states and other modalities are none. A file that cannot be opened
    counts as one, so that reading it tells why.
    """
    if not path.is_file():
        return False
    try:
        kind = sniff(path)
        if kind != "dicom":
            return kind is not None
        from xray_denoise.files.dicom.read import is_radiograph_class

        return is_radiograph_class(path)
    except UnreadableFileError:
        return True


def read(path: Path, *, span: tuple[float, float] | None = None) -> Radiograph:
    """Read a file that holds one image.

    Args:
        path: DICOM, PNG, TIFF, WebP or JPEG, whatever its suffix.
        span: stored values that map to grey levels 0 and 255; by default (0, 255) for 8-bit raster
            images, and the robust range of the image for all others.

    Raises:
        UnreadableFileError: the file is missing, damaged, no grey image, or holds several.
    """
    frames = read_frames(path, span=span)
    radiograph = next(frames)
    if next(frames, None) is not None:
        raise UnreadableFileError(
            "{path} holds more than one image", path=path, hint="save its frames as single images"
        )
    return radiograph


def read_frames(
    path: Path, *, span: tuple[float, float] | None = None, kind: Kind | None = None
) -> Iterator[Radiograph]:
    """Read the frames or pages of a file one by one; a file of one image yields one. See `read`.

    `kind` is what `kind_of` says of the file, where that has been asked already.
    """
    kind = kind or kind_of(path)
    if kind == "dicom":
        from xray_denoise.files.dicom import read as dicom

        return dicom.read_frames(path, span)
    from xray_denoise.files import raster

    return raster.read_frames(path, kind, span)


def write(
    radiographs: Radiograph | Iterable[Radiograph],
    target: Path,
    *,
    derivation: Derivation | None = None,
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
        target: .dcm, .dicom, .png, .tif, .tiff or .webp; or any name with the suffix of the source.
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


def is_dicom(radiograph: Radiograph) -> bool:
    """Whether a radiograph was read from a DICOM file."""
    return _dicom_header(radiograph) is not None


def caveats(radiograph: Radiograph, target: Path | None = None) -> tuple[str, ...]:
    """Sentences that a user should see before trusting the result, without a subject; usually none.

    Args:
        radiograph: what `read` gave.
        target: the file that it becomes, which may keep less than one of the same format does.
    """
    if radiograph.header is None:
        return ()
    header = _dicom_header(radiograph)
    if header is None:
        from xray_denoise.files.raster import RasterHeader

        raster = radiograph.header
        if not isinstance(raster, RasterHeader):
            return ()
        kind = SUFFIXES.get(target.suffix.lower()) if target else None
        return raster.caveats(None if kind == "dicom" else kind)
    from xray_denoise.files.dicom import read as dicom

    return dicom.caveats(header)


def require_encoder(compression: Compression) -> None:
    """Find out before the work begins that results can be compressed.

    Raises:
        CannotRunError: the package that does it is not installed.
    """
    if compression != "none":
        from xray_denoise.files.dicom import codecs

        codecs.require_encoder(compression)


def _kind_to_write(target: Path, radiograph: Radiograph) -> Written:
    kind: Kind | None = SUFFIXES.get(target.suffix.lower())
    if kind is None and radiograph.header is not None and target.suffix == radiograph.source.suffix:
        from xray_denoise.files.raster import RasterHeader

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


def _dicom_header(radiograph: Radiograph) -> "FileDataset | None":
    """The header of a radiograph that came from a DICOM file."""
    if radiograph.header is None or "pydicom" not in sys.modules:  # what read it would have imported it
        return None
    from pydicom.dataset import FileDataset

    return radiograph.header if isinstance(radiograph.header, FileDataset) else None


def _write_dicom(
    stream: BinaryIO,
    frames: Iterable[Radiograph],
    first: Radiograph,
    target: Path,
    derivation: Derivation | None,
    now: datetime,
    compression: Compression,
    private: Private,
) -> None:
    from xray_denoise.files import damage
    from xray_denoise.files.dicom import codecs, phantom
    from xray_denoise.files.dicom import read as dicom
    from xray_denoise.files.dicom import write as derive

    if first.header is None:
        made = phantom.new_dx(first.stored, bits=first.bits, inverted=first.inverted)
        made.save_as(stream, enforce_file_format=True)
        return
    header = _dicom_header(first)
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
    count = dicom.frame_count(header)
    with damage.as_unreadable(first.source):
        derived = derive.derived_header(header, derivation, now, syntax=syntax, private=private)
        head_and_tail = derive.encoded(derived)
    if compression == "none":
        length = first.stored.nbytes * count
        derive.write_object(stream, head_and_tail, (frame.stored for frame in frames), length=length)
    else:
        codestreams = (codecs.encoded(frame.stored, syntax, bits=frame.bits) for frame in frames)
        derive.write_compressed_object(stream, head_and_tail, codestreams, count=count)


def _write_raster(
    stream: BinaryIO,
    frames: Iterable[Radiograph],
    first: Radiograph,
    *,
    kind: Literal["png", "tiff", "webp"],
    derivation: Derivation | None,
    bits: int | None,
    render: Render,
) -> None:
    from xray_denoise.files import raster

    def picture(radiograph: Radiograph) -> NDArray[Any]:
        header = _dicom_header(radiograph)
        if header is not None and render != "stored":
            from xray_denoise.files.dicom.render import displayed_pixels

            return displayed_pixels(radiograph, header, bits or 8)
        if header is None and bits is not None and bits != radiograph.bits:
            return raster.full_range_pixels(radiograph, bits)
        return raster.stored_pixels(radiograph, bits)

    header = first.header if isinstance(first.header, raster.RasterHeader) else raster.RasterHeader(kind)
    comment = derivation.sentence if derivation else ""
    raster.write_pixels((picture(frame) for frame in frames), stream, kind=kind, header=header, comment=comment)
