"""xray-denoise: remove the noise of low-dose X-ray radiographs.

    import xray_denoise as xd

    denoised = xd.denoise(image, value_range=(0, 4095))       # a numpy array, or a stack
    xd.denoise_file("in.dcm", "out.dcm")                      # a file, with its provenance
    for outcome in xd.denoise_files("radiographs", "results"):   # files and folders
        print(outcome.source, outcome.status)

docs/api.md describes every name, docs/architecture.md the package from the inside. The names are imported when they
are used, so that `import xray_denoise` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xray_denoise.errors import CannotRunError as CannotRunError
    from xray_denoise.errors import ExistingFileError as ExistingFileError
    from xray_denoise.errors import UnreadableFileError as UnreadableFileError
    from xray_denoise.errors import UnwritableFileError as UnwritableFileError
    from xray_denoise.errors import UsageError as UsageError
    from xray_denoise.errors import XrayDenoiseError as XrayDenoiseError
    from xray_denoise.physics.noise import NoiseLevel as NoiseLevel
    from xray_denoise.physics.noise import add_noise as add_noise
    from xray_denoise.physics.profile import NoiseProfile as NoiseProfile
    from xray_denoise.radiograph import Radiograph as Radiograph
    from xray_denoise.tasks.arrays import DenoisedArray as DenoisedArray
    from xray_denoise.tasks.arrays import denoise as denoise
    from xray_denoise.tasks.arrays import estimate_noise as estimate_noise
    from xray_denoise.tasks.arrays import estimate_profile as estimate_profile
    from xray_denoise.tasks.denoise import denoise_file as denoise_file
    from xray_denoise.tasks.denoise import denoise_files as denoise_files
    from xray_denoise.tasks.denoise_run import Batch as Batch
    from xray_denoise.tasks.images import read as read
    from xray_denoise.tasks.images import write as write
    from xray_denoise.tasks.measure import Measurement as Measurement
    from xray_denoise.tasks.measure_files import measure as measure
    from xray_denoise.tasks.models import load as load
    from xray_denoise.tasks.models import models as models
    from xray_denoise.tasks.outcome import Outcome as Outcome

__version__ = "0.1.0"

_HOMES = {
    "errors": (
        "CannotRunError",
        "ExistingFileError",
        "UnreadableFileError",
        "UnwritableFileError",
        "UsageError",
        "XrayDenoiseError",
    ),
    "physics.noise": ("NoiseLevel", "add_noise"),
    "physics.profile": ("NoiseProfile",),
    "radiograph": ("Radiograph",),
    "tasks.arrays": ("DenoisedArray", "denoise", "estimate_noise", "estimate_profile"),
    "tasks.outcome": ("Outcome",),
    "tasks.denoise": ("denoise_file", "denoise_files"),
    "tasks.denoise_run": ("Batch",),
    "tasks.images": ("read", "write"),
    "tasks.measure": ("Measurement",),
    "tasks.measure_files": ("measure",),
    "tasks.models": ("load", "models"),
}
"""The public names by the modules that define them."""
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_HOME, *(name for name in globals() if name.startswith("__"))])
