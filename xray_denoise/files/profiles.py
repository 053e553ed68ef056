"""Noise profiles as small JSON files; docs/noise.md describes the format."""

from pathlib import Path

from xray_denoise.errors import UnreadableFileError
from xray_denoise.files.atomic import write_bytes
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.physics.profile_json import LONGEST_JSON


def read_profile(path: Path) -> NoiseProfile:
    """Read a noise profile.

    Raises:
        UnreadableFileError: the file cannot be read, or holds no noise profile; says what is wrong with it.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UnreadableFileError(
                "{path} is no file but a pipe or a device", path=path, hint="save it as a file first"
            )
        with path.open("rb") as stream:
            text = stream.read(LONGEST_JSON + 1)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise UnreadableFileError(
            f"cannot read {{path}}: {reason}", path=path, hint="check the name and its permissions"
        ) from error
    try:
        return NoiseProfile.from_json(text)
    except ValueError as error:
        raise UnreadableFileError(
            f"cannot use {{path}} as a noise profile: {error}",
            path=path,
            hint="docs/noise.md describes such files, and how to make one",
        ) from error


def write_profile(profile: NoiseProfile, path: Path, *, replace: bool = True) -> None:
    """Write a noise profile; the file appears whole or not at all.

    Raises:
        UnwritableFileError: the folder is missing, or the disk refuses.
        ExistingFileError: there is a file of that name, and `replace` is false.
    """
    write_bytes(profile.to_json().encode(), path, replace=replace)
