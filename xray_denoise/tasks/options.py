"""The settings of a run, and the identity of its results."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from xray_denoise import __version__, files
from xray_denoise.denoisers import Denoised, Denoiser
from xray_denoise.errors import UsageError
from xray_denoise.files import Compression, Derivation, Private, Render
from xray_denoise.physics.profile import Noise, NoiseProfile, as_level
from xray_denoise.physics.uncertainty import UncertaintyTable
from xray_denoise.radiograph import Radiograph, checked_range
from xray_denoise.tasks import noise_words
from xray_denoise.tasks.jobs import Job
from xray_denoise.tasks.manifest import Manifest, Recipe
from xray_denoise.tasks.outcome import Outcome
from xray_denoise.tasks.remarks import Remarks, Strength, check_strength

Existing = Literal["error", "skip", "overwrite"]
Temporal = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that apply to every file.

    Raises:
        UsageError: a value is out of its range, the denoiser accepts no noise level, or no uncertainty is calibrated
            for this strength and this noise.
    """

    denoiser: Denoiser
    noise: Noise | None = None
    """The noise where the user knows it; None has it estimated. See `noise_in`."""
    strength: Strength = 1.0
    """Share of the predicted change that is made, 0..1; 0 gives the input back bit by bit, "auto" chooses."""
    temporal: Temporal = "auto"
    """Whether the frames of a run are averaged where nothing moves: "auto" where the file says that they were taken one
    after the other, "on" wherever they show one scene."""
    value_range: tuple[float, float] | None = None
    """Stored values that are grey 0 and 255; None takes what `files.read` chooses."""
    bits: int | None = None
    render: Render = "auto"
    compression: Compression = "none"
    private: Private = "keep"
    existing: Existing = "error"
    stop_on_error: bool = False
    save_noise_map: bool = False
    uncertainty: UncertaintyTable | None = None
    """Of the model, where the half widths of intervals are written too."""
    manifest: Manifest | None = None
    """Where it is recorded what was made from what; skipping needs one."""
    show: Callable[[Outcome, Radiograph, Radiograph], None] | None = None
    """Called for every file that was written, by the thread that writes, with the first frame that is not blank, before
    and after."""
    on_progress: Callable[[Job, float], None] | None = None
    """Called with the share of the first frame of a file that is denoised, 0..1, tile by tile."""

    def __post_init__(self) -> None:
        check_strength(self.strength)
        if self.uncertainty is not None and self.strength != 1:
            raise UsageError(
                "the uncertainty is that of the full strength", hint="leave the strength out", option="strength"
            )
        if self.uncertainty is not None and self.noise is not None:
            raise UsageError(
                "the uncertainty is that of noise which is estimated from the image",
                hint="leave out the noise, or the uncertainty",
                option="save_uncertainty",
            )
        if self.existing == "skip" and self.manifest is None:
            raise ValueError("skipping results takes a manifest")
        if self.value_range is not None:
            checked_range(self.value_range)
        self.denoiser.require(self.noise)

    def noise_in(self, frame: Radiograph) -> Noise | None:
        """The noise that the user knows, over the grey levels of a frame; None has it estimated.

        Raises:
            UsageError: the profile is for other stored values.
        """
        if not isinstance(self.noise, NoiseProfile):
            return self.noise
        try:
            return self.noise.between(frame.black_white, frame.limits)
        except ValueError as error:
            low, high = frame.value_range
            raise UsageError(
                f"the noise profile does not fit {{path}}, which has {low:g} to {high:g}: {error}",
                path=frame.source,
                hint="measure the profile from images of this kind",
            ) from error

    def averages(self, frame: Radiograph) -> bool:
        """Whether frames like this one are averaged with their neighbours."""
        return self.temporal == "on" or (self.temporal == "auto" and files.is_timed(frame))

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines pixels and attributes of a DICOM result besides its source, at full precision."""
        return {
            "model": self.denoiser.name,
            "weights_sha256": self.denoiser.weights_sha256,
            "arithmetic": self.denoiser.arithmetic,
            "strength": self.strength if isinstance(self.strength, str) else float(self.strength),
            "noise": noise_words.identity_of(self.noise),
            "value_range": None if self.value_range is None else [float(end) for end in self.value_range],
            "private": self.private,
            "temporal": self.temporal,
        }

    @property
    def recipe(self) -> Recipe:
        """Everything that determines the bytes of a result, besides its source and the time."""
        return {
            **self.identity,
            "version": __version__,
            "bits": self.bits,
            "render": self.render,
            "compression": self.compression,
            "noise_map": self.save_noise_map,
            "uncertainty": self.uncertainty and sha256(self.uncertainty.to_json().encode()).hexdigest(),
        }

    @property
    def description(self) -> str:
        """The identity as text, without the model."""
        return self._described(None)

    def _described(self, remarks: Remarks | None) -> str:
        """The same with the strength that "auto" chose for an image."""
        if not isinstance(self.strength, str):
            strength = noise_words.exact(self.strength)
        else:
            strength = f"auto ({remarks.strength:g})" if remarks else "auto"
        parts = [f"strength {strength}"]
        if self.denoiser.arithmetic != "fp32":
            parts.append(f"arithmetic {self.denoiser.arithmetic}")
        if self.noise is not None:
            parts.append(noise_words.in_words(self.noise))
        if self.value_range is not None:
            low, high = map(noise_words.exact, self.value_range)
            parts.append(f"value range {low} to {high}")
        if self.private == "drop":
            parts.append("private elements dropped")
        return ", ".join(parts)

    def derivation(self, first: Denoised, remarks: Remarks, over_image: float | None) -> Derivation:
        """The provenance written into a result.

        Args:
            first: the first frame that is not blank.
            remarks: on what was removed from it.
            over_image: root mean square of the standard deviation of the noise over its pixels, grey levels.
        """
        estimate = first.noise if self.noise is None else None
        profile = estimate if isinstance(estimate, NoiseProfile) else None
        level = None if profile else as_level(estimate)
        return Derivation(
            self.denoiser.name,
            self.denoiser.weights_sha256,
            self._described(remarks) + (", frames averaged where nothing moves" if first.frames > 1 else ""),
            eta=level.eta if level else None,
            sigma=level.sigma if level else None,
            noise=over_image if profile else None,
            correlation=noise_words.correlation(profile) if profile else 0.0,
            settings=json.dumps(self.identity, sort_keys=True),
            notes=remarks.notes,
        )
