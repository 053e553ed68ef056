"""`measure` for Python: everything that the command measures, as one function."""

import os
from collections.abc import Iterable
from pathlib import Path

from xray_denoise.physics.noise_power import Window
from xray_denoise.tasks import measure as task
from xray_denoise.tasks.jobs import AnyPath
from xray_denoise.tasks.measure import Kind, Measurement


def measure(
    sources: AnyPath | Iterable[AnyPath],
    kind: Kind = "blind",
    *,
    offset: float | AnyPath = 0.0,
    region: tuple[int, int, int, int] | None = None,
    pixel_pitch: float | None = None,
    value_range: tuple[float, float] | None = None,
    window: Window = "sine",
) -> list[Measurement]:
    """Measure noise, noise power spectrum and MTF; this is what `xray-denoise measure` does (docs/measure.md).

    Args:
        sources: a file, a folder, or several of either; a file of many frames is a series of them.
        kind: what the images are: "flat" fields, "repeated" frames of one scene, "dark" frames, an "edge", or "blind"
            for radiographs that are measured by themselves.
        offset: stored value without exposure, or for flat fields a file or folder of dark frames.
        region: top, left, height and width of the part that is measured, pixels; None is all of it.
        pixel_pitch: distance of the pixels, mm; None takes it from DICOM files.
        value_range: stored values that are grey levels 0 and 255 in the profile.
        window: of noise power spectra: "sine", or "none" as in IEC 62220-1-1.

    Returns:
        For flat fields one measurement of each dose and one of variance against signal, which has the profile; for
        dark and repeated frames one of all; otherwise one of each image. A measurement has `numbers`, `curves`,
        `notes` and, where there is one, a noise `profile`.

    Raises:
        XrayDenoiseError: a file cannot be read or measured, or an argument is wrong.

    Examples:
        >>> import tempfile, numpy as np, xray_denoise as xd
        >>> folder = tempfile.TemporaryDirectory()
        >>> noisy = np.random.default_rng(0).normal(120, 3, (256, 256))
        >>> xd.write(xd.Radiograph.from_grey(noisy, bits=16), f"{folder.name}/a.png")
        >>> (found,) = xd.measure(f"{folder.name}/a.png", value_range=(0, 65535))
        >>> round(float(found.profile.deviation_at(120.0)))
        3
        >>> folder.cleanup()
    """
    given = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    where = Path(offset) if isinstance(offset, str | os.PathLike) else float(offset)
    found = []
    for one in task.measure(given, task.Settings(kind, where, region, pixel_pitch, value_range, window)):
        if isinstance(one, task.Failure):
            raise one.error
        found.append(one)
    return found
