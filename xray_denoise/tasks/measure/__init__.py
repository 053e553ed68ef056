"""`measure`: noise, spectra and sharpness from flat fields, repeated or dark frames, edges or radiographs.

    files -> frames, cropped -> physics (flat_fields, repeated_frames, edge_response, noise_estimate) -> measurements

Stored values are measured as they are. A measurement is a list of numbers and a list of curves, each with unit and
standard error, so that text, JSON, CSV and plots are made of one thing (`measure_output`).
"""

from collections.abc import Iterable, Iterator

from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.physics.profile import NoiseProfile
from xray_denoise.tasks.jobs import AnyPath
from xray_denoise.tasks.measure.fields import dark_frames, flat_fields
from xray_denoise.tasks.measure.frames import frames_of, sources_of
from xray_denoise.tasks.measure.images import blind, edge
from xray_denoise.tasks.measure.results import Curve as Curve
from xray_denoise.tasks.measure.results import Failure as Failure
from xray_denoise.tasks.measure.results import Kind as Kind
from xray_denoise.tasks.measure.results import Measurement as Measurement
from xray_denoise.tasks.measure.results import Number as Number
from xray_denoise.tasks.measure.results import Settings as Settings
from xray_denoise.tasks.measure.scenes import repeated_frames


def measure(inputs: Iterable[AnyPath], settings: Settings) -> Iterator[Measurement | Failure]:
    """Measure files and folders.

    Args:
        inputs: DICOM, PNG, TIFF, WebP or JPEG files, or folders of them; a file of several frames is a series of them.
        settings: what to measure.

    Yields:
        For flat fields a measurement of each dose, and one of the variance against the signal; for dark and repeated
        frames one of all; for edges and blind, one of each image. A file that fails is a `Failure`, and the others
        are measured.

    Raises:
        UsageError: there is no file, or the files are too few for this measurement.
    """
    sources = sources_of(inputs)
    if settings.kind == "flat":
        yield from flat_fields(sources, settings)
    elif settings.kind == "dark":
        yield from dark_frames(sources, settings)
    elif settings.kind == "repeated":
        yield from repeated_frames(sources, settings)
    else:
        one = edge if settings.kind == "edge" else blind
        for frame in frames_of(sources, settings):
            try:
                yield frame if isinstance(frame, Failure) else one(frame, settings)
            except XrayDenoiseError as error:
                if isinstance(frame, Failure):  # raised by the reader of this generator
                    raise
                yield Failure(frame.source, error)


def one_profile(found: Iterable[Measurement]) -> NoiseProfile:
    """The only noise profile among measurements.

    Raises:
        UsageError: there is none, or several.
    """
    profiles = [one.profile for one in found if one.profile]
    if len(profiles) == 1:
        return profiles[0]
    if profiles:
        raise UsageError(
            f"a profile describes one image or one series, and {len(profiles)} were measured",
            hint="measure one radiograph, or flat fields or repeated frames together",
        )
    raise UsageError(
        "this measurement has no noise profile",
        hint="give a radiograph, or flat fields or repeated frames of at least 32 pixels a side",
    )
