"""Radiographs in folders."""

from pathlib import Path

from xray_denoise import files
from xray_denoise.errors import UsageError


def radiographs_in(folder: Path) -> list[Path]:
    """Every radiograph below a folder, sorted.

    Raises:
        UsageError: it is no folder, or holds none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="give a folder of radiographs")
    paths = sorted(path for path in folder.rglob("*") if files.is_radiograph(path))
    if not paths:
        raise UsageError(f"{folder} holds no radiograph", hint="give a folder of PNG, TIFF, WebP or DICOM files")
    return paths
