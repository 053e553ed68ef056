"""Optional packages, and the extras that install them."""

from importlib.util import find_spec

from xray_denoise.errors import CannotRunError


def is_installed(package: str) -> bool:
    """Whether a package is installed; nothing is imported."""
    return find_spec(package) is not None


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'xray-denoise[{extra}]'"


def require(package: str, extra: str, purpose: str) -> None:
    """Check before work begins that a package is installed.

    Args:
        package: the name by which it is imported.
        extra: of this package, that installs it.
        purpose: what needs it, as the subject of a sentence.

    Raises:
        CannotRunError: it is not installed.
    """
    if not is_installed(package):
        raise CannotRunError(f"{purpose} needs the package '{package}'", hint=install(extra))
