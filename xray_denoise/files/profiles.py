"""Noise profiles on disk: small JSON files, see `physics.profile`."""

from pathlib import Path

from xray_denoise.errors import UnreadableFileError
from xray_denoise.physics.profile import NoiseProfile


def read_profile(path: Path) -> NoiseProfile:
    """Read a noise profile.

    Raises:
        UnreadableFileError: the file is missing, or holds no profile.
    """
    try:
        return NoiseProfile.from_json(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFileError(
            f"cannot read the noise profile {{path}}: {reason}", path=path, hint="give a file that holds a profile"
        ) from error
