"""Numpy arrays of any integer or float type, one image or a stack: `denoise`, `estimate_noise`, `estimate_profile`.

grey = (value - low) * 255 / (high - low)      low, high: the value range
result = value + strength * (denoised - grey) * (high - low) / 255
"""

import math
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xray_denoise import denoisers
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UsageError, XrayDenoiseError
from xray_denoise.physics.level_estimate import estimate_level
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.noise_estimate import estimate_profile as _profile_of
from xray_denoise.physics.profile import Noise, NoiseProfile
from xray_denoise.radiograph import checked_range
from xray_denoise.scale import GREY_MAX
from xray_denoise.tasks.frames import in_scenes
from xray_denoise.tasks.models import load
from xray_denoise.tasks.remarks import Strength, check_strength, remarks_on

COLOURS = (3, 4)
"""Length of a last axis that is colours rather than columns."""


@dataclass(frozen=True, slots=True, eq=False)
class DenoisedArray:
    """The result of `denoise`."""

    image: NDArray[Any]
    """The denoised image or stack: shape and type of the input."""
    noises: tuple[Noise | None, ...]
    """The noise of each image, given or estimated, over grey levels (0..255 over the value range); None where the
    method estimates none."""
    removed: tuple[float, ...]
    """Root mean square of the change of each image, in values of the input."""
    model: str
    """Name of the model that was used."""
    strengths: tuple[float, ...] = ()
    """Share of the predicted change that was made to each image, 0..1."""

    @property
    def noise(self) -> Noise | None:
        """The noise of the first image, or of the only one."""
        return self.noises[0]


def denoise(
    image: ArrayLike,
    *,
    value_range: tuple[float, float] | None = None,
    model: str | os.PathLike[str] | Denoiser = denoisers.AUTO,
    profile_or_level: Noise | None = None,
    strength: Strength = 1.0,
    temporal: bool = False,
    device: str = "auto",
) -> DenoisedArray:
    """Denoise an array: one image, or each image of a stack.

    Args:
        image: (H, W) or (N, H, W), integers or floats of any size; bright is dense, as a viewer shows it.
        value_range: values that are shown black and white. By default the range of an integer type: (0, 65535) for
            uint16, whatever the values. Give (0, 4095) for 12 bits in 16, and (0, 1) for floats from 0 to 1.
        model: a name of `models()`, "auto", a .safetensors file with its card beside it, or what `load` gave.
        profile_or_level: the noise where it is known; None has it estimated from each image, and from the first ones
            of a stack, or of another scene in it, if they show one scene with the same noise. A profile that knows its
            `black_white` is converted to the value range; other noise is over grey levels (0..255 over that range).
        strength: share of the predicted change that is made, 0..1; 0 gives the input back bit by bit, and "auto"
            takes less than 1 where structure would be removed (docs/notes.md).
        temporal: average the images of a stack, frames of one scene in the order in which they were taken, with up to
            four before and after, where nothing moves; only for models that estimate a noise profile.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps"; not for a model that is loaded.

    Returns:
        The result, with the type and shape of the input, and the noise. Integers are rounded. No value lies further
        outside the value range than the values of the input do.

    Raises:
        UsageError: a shape or type that is no image, values that are not finite, floats without a value range, or
            another wrong argument.
        CannotRunError: the device, a package or readable weights are missing.

    Examples:
        >>> import numpy as np, xray_denoise as xd
        >>> clean = np.full((64, 64), 2000.0)
        >>> rng = np.random.default_rng(0)
        >>> noisy = np.rint(clean + rng.normal(0, 100, clean.shape)).astype(np.uint16)
        >>> denoised = xd.denoise(noisy, value_range=(0, 4095), model="tv")
        >>> denoised.image.dtype, denoised.image.shape
        (dtype('uint16'), (64, 64))
        >>> bool(denoised.image.std() < noisy.std() / 5)
        True
        >>> try:
        ...     xd.denoise(clean, model="tv")
        ... except xd.UsageError as error:
        ...     print(error)
        floats have no value range of their own
    """
    values = _image(image, stacks=True)
    check_strength(strength)
    value_range = _value_range(values, value_range)
    if isinstance(model, str | os.PathLike):
        model = load(model, device=device)
    model.require(profile_or_level)
    if isinstance(profile_or_level, NoiseProfile):
        profile_or_level = _converted(profile_or_level, values, value_range)
    stack = values if values.ndim == 3 else values[None]
    given = None if profile_or_level is None else (lambda _: profile_or_level)
    slices = (_Slice(one, value_range) for one in stack)
    result, noises, removed, strengths = np.empty_like(stack), [], [], []
    for index, (one, told, others) in enumerate(in_scenes(slices, model, given, averaged=temporal)):
        found = model.denoise_frame(one.grey, told, [other.grey for other in others])
        changed, noise, used = _changed(one.values, value_range, model, found, strength, given=profile_or_level)
        result[index] = changed
        noises.append(noise)
        strengths.append(used)
        removed.append(math.sqrt(np.mean(np.subtract(changed, one.values, dtype=np.float64) ** 2)))
    return DenoisedArray(result.reshape(values.shape), tuple(noises), tuple(removed), model.name, tuple(strengths))


def estimate_noise(image: ArrayLike, *, value_range: tuple[float, float] | None = None) -> NoiseLevel:
    """Estimate photons per grey level and electronic noise from one image, without a network.

    Args:
        image: (H, W), integers or floats of any size.
        value_range: values that are shown black and white; see `denoise`.

    Returns:
        The noise over grey levels (0..255 over the value range). It is taken for white.

    Raises:
        UsageError: as for `denoise`.

    Examples:
        >>> import numpy as np, xray_denoise as xd
        >>> clean = np.tile(np.linspace(20, 230, 512), (512, 1))
        >>> noisy = xd.add_noise(clean, xd.NoiseLevel(eta=0.6, sigma=10), np.random.default_rng(0))
        >>> level = xd.estimate_noise(noisy, value_range=(0, 255))
        >>> round(level.effective_sigma(127.5) / xd.NoiseLevel(0.6, 10).effective_sigma(127.5), 1)
        1.0
    """
    values = _image(image, stacks=False)
    return estimate_level(_grey(values, _value_range(values, value_range)))


def estimate_profile(image: ArrayLike, *, value_range: tuple[float, float] | None = None) -> NoiseProfile:
    """Estimate deviation against grey level, and spectrum, of the noise of one image, without a network.

    The default model gets this estimate of every image, and a local gain where the noise differs from place to place at
    the same grey level, as in processed mammograms; a profile cannot say that. Where many images come from one
    detector, a profile measured from flat fields (`measure`) is more exact.

    Args:
        image: (H, W), integers or floats of any size; at least 48x48 for a spectrum.
        value_range: values that are shown black and white; see `denoise`.

    Returns:
        The profile over grey levels (0..255 over the value range), for `profile_or_level`; its `black_white` is the
        value range. `to_json` makes the text that `xray-denoise denoise --profile` reads.

    Raises:
        UsageError: as for `denoise`.

    Examples:
        >>> import numpy as np, xray_denoise as xd
        >>> rng = np.random.default_rng(0)
        >>> noise = rng.normal(0, 2, (257, 256))
        >>> blurred = (noise[1:] + noise[:-1]) / 2  # rows that resemble their neighbours
        >>> profile = xd.estimate_profile(128 + blurred, value_range=(0, 255))
        >>> round(float(profile.deviation_at(128.0)), 1)
        1.4
        >>> low, *_, high = profile.band_powers()
        >>> bool(low > 2 * high)
        True
    """
    values = _image(image, stacks=False)
    value_range = _value_range(values, value_range)
    return replace(_profile_of(_grey(values, value_range)).profile, black_white=value_range)


def _converted(profile: NoiseProfile, values: NDArray[Any], value_range: tuple[float, float]) -> NoiseProfile:
    """A profile that was given, over the grey levels of the image."""
    limits = None if values.dtype.kind == "f" else _value_range(values, None)
    low, high = profile.stored_range
    try:
        if not ((values >= low) & (values <= high)).any():
            raise ValueError(f"it is for values from {low:.6g} to {high:.6g}, and no pixel lies there")
        return profile.between(value_range, limits)
    except ValueError as error:
        raise UsageError(
            f"the noise profile does not fit the image: {error}", hint="measure the profile from images of this kind",
            option="profile_or_level",
        ) from error  # fmt: skip


def _changed(
    values: NDArray[Any],
    value_range: tuple[float, float],
    denoiser: Denoiser,
    found: Denoised,
    strength: Strength,
    *,
    given: Noise | None,
) -> tuple[NDArray[Any], Noise | None, float]:
    """One denoised image in its own units, its noise, and the strength that was used."""
    if not np.isfinite(found.removed).all():
        raise XrayDenoiseError(
            f"'{denoiser.name}' produced NaN or infinity for this image",
            hint="try 32-bit arithmetic; if that does not help, please report it",
            option="precision",
        )
    used = remarks_on(found, strength, given=given).strength if isinstance(strength, str) else float(strength)
    change = np.multiply(found.removed, -used, dtype=np.float64)
    untouched = change == 0
    change *= (value_range[1] - value_range[0]) / GREY_MAX
    change += values
    if values.dtype.kind != "f":
        np.rint(change, out=change)
    limits: Any = np.finfo(values.dtype) if values.dtype.kind == "f" else np.iinfo(values.dtype)
    highest = np.nextafter(float(limits.max), 0) if values.dtype.itemsize == 8 else float(limits.max)
    low, high = min(value_range[0], float(values.min())), max(value_range[1], float(values.max()))
    np.clip(change, max(low, float(limits.min)), min(high, highest), out=change)
    result = change.astype(values.dtype)
    np.copyto(result, values, where=untouched)
    return result, given or found.noise, used


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """An image of a stack."""

    values: NDArray[Any]
    value_range: tuple[float, float]

    @property
    def grey(self) -> NDArray[np.float32]:
        """(H, W), grey levels."""
        return _grey(self.values, self.value_range)

    def with_value_range(self, lo: float, hi: float) -> "_Slice":
        """The same image with other values at grey levels 0 and 255."""
        return replace(self, value_range=(lo, hi))


def _grey(values: NDArray[Any], value_range: tuple[float, float]) -> NDArray[np.float32]:
    low, high = value_range
    if values.dtype.itemsize <= 2:  # what a Radiograph does to its stored values, to the last bit
        return (values.astype(np.float32) - np.float32(low)) * np.float32(GREY_MAX / (high - low))
    return np.asarray((values.astype(np.float64) - low) * (GREY_MAX / (high - low)), dtype=np.float32)


def _image(image: ArrayLike, *, stacks: bool) -> NDArray[Any]:
    """The array, checked to be an image or a stack.

    Raises:
        UsageError: it cannot.
    """
    values = np.asarray(image)
    shapes = "(H, W) or (N, H, W)" if stacks else "(H, W)"
    if values.dtype.kind not in "iuf":
        raise UsageError(
            f"an image has integers or floats, not values of the type {values.dtype}", hint="convert it first"
        )
    if values.ndim not in ((2, 3) if stacks else (2,)):
        raise UsageError(f"an image has the shape {shapes}, not {values.shape}", hint="reshape it first")
    if not values.size:
        raise UsageError(f"an image of the shape {values.shape} has no pixels", hint="give at least one")
    if values.ndim == 3 and values.shape[2] in COLOURS and min(values.shape[:2]) > max(COLOURS):
        raise UsageError(
            f"an array of the shape {values.shape} looks like a colour image", hint=f"give grey levels, {shapes}"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UsageError("the image has values that are not finite (NaN or infinity)", hint="replace them first")
    return values


def _value_range(values: NDArray[Any], given: tuple[float, float] | None) -> tuple[float, float]:
    if given is not None:
        return checked_range(given)
    if values.dtype.kind == "f":
        raise UsageError(
            "floats have no value range of their own",
            hint="give value_range=(0, 1), (0, 255) or what else stands for black and white",
            option="value_range",
        )
    limits = np.iinfo(values.dtype)
    return float(limits.min), float(limits.max)
