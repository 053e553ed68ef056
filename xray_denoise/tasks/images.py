"""`read` and `write` one image file, for users who process the pixels themselves."""

from pathlib import Path

from xray_denoise import files
from xray_denoise.denoisers import Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.files import Compression, Derivation, Private, Render
from xray_denoise.radiograph import Radiograph, checked_range
from xray_denoise.tasks.jobs import AnyPath, check_choice, checked_path


def read(path: AnyPath, *, value_range: tuple[float, float] | None = None) -> Radiograph:
    """Read a file that holds one image.

    Args:
        path: DICOM, PNG, TIFF, WebP or JPEG, whatever its name.
        value_range: stored values that are grey levels 0 and 255; by default 0..255 of 8-bit pictures, and all but the
            outermost 0.01 % of the pixels of everything else.

    Returns:
        The image with all that is needed to write it back: `grey` has its grey levels, `with_removed` and
        `with_grey` make the image that is to be written.

    Raises:
        UnreadableFileError: the file is missing, damaged, no grey image, or holds several.

    Examples:
        >>> import tempfile, numpy, xray_denoise as xd
        >>> folder = tempfile.TemporaryDirectory()
        >>> xd.write(xd.Radiograph.from_grey(numpy.full((4, 5), 51.0), bits=16), f"{folder.name}/a.png")
        >>> radiograph = xd.read(f"{folder.name}/a.png", value_range=(0, 65535))
        >>> radiograph.stored.dtype, float(radiograph.grey[0, 0])
        (dtype('uint16'), 51.0)
        >>> folder.cleanup()
    """
    return files.read(checked_path(path, "the image"), value_range=value_range)


def write(
    radiograph: Radiograph,
    target: AnyPath,
    *,
    denoised_by: str | Denoiser = "",
    bits: int | None = None,
    value_range: tuple[float, float] | None = None,
    render: Render = "auto",
    compression: Compression = "none",
    private: Private = "keep",
    overwrite: bool = False,
) -> None:
    """Write an image; the file appears whole or not at all.

    Args:
        radiograph: what `read` gave, changed by `with_removed`; or a new one from `Radiograph.from_grey`, which becomes
            a phantom without a patient in a DICOM file.
        target: a file that ends in .dcm, .png, .tif or .webp, or in the ending of the source.
        denoised_by: what changed the pixels, told inside the file; a DICOM file that is made from another needs it.
        bits: 8 or 16 bits for each pixel of a PNG or TIFF; by default stored values stay as they are.
        value_range: stored values that become 0 and the highest value where a PNG or TIFF gets other `bits` than its
            source has; by default all that those can hold.
        render: what a picture of a DICOM file shows: "auto" or "display" as a viewer would show it, or "stored" values.
        compression: lossless compression of DICOM: "none", "rle", "jpegls" or "j2k".
        private: "keep" or "drop" the private elements of a DICOM file.
        overwrite: replace a file of that name; never the file that `radiograph` was read from.

    Raises:
        ExistingFileError: there is a file of that name.
        UnwritableFileError: the folder is missing, or the image does not fit the format.
        UsageError: `denoised_by` is missing, or another wrong argument.

    Examples:
        >>> import tempfile, numpy, xray_denoise as xd
        >>> folder = tempfile.TemporaryDirectory()
        >>> clean = xd.Radiograph.from_grey(numpy.full((4, 5), 51.0), bits=8)
        >>> xd.write(clean, f"{folder.name}/a.png")
        >>> try:
        ...     xd.write(clean, f"{folder.name}/a.png")
        ... except xd.ExistingFileError as error:
        ...     print(error.hint)
        skip or overwrite it, or choose another output
        >>> folder.cleanup()
    """
    path = checked_path(target, "the output", "target")
    check_choice("render", render, Render)
    check_choice("compression", compression, Compression)
    check_choice("private", private, Private)
    if not denoised_by and files.is_dicom(radiograph) and files.SUFFIXES.get(path.suffix.lower(), "dicom") == "dicom":
        raise UsageError(
            "a DICOM file that is made from another must say how", hint="give denoised_by", option="denoised_by"
        )
    derivation = None
    if denoised_by:
        name, weights = (denoised_by, "") if isinstance(denoised_by, str) else (
            denoised_by.name, denoised_by.weights_sha256
        )  # fmt: skip
        derivation = Derivation(name, weights)
    files.write(
        radiograph,
        Path(path),
        derivation=derivation,
        bits=bits,
        value_range=None if value_range is None else checked_range(value_range),
        render=render,
        compression=compression,
        private=private,
        replace=overwrite,
    )
