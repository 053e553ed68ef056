"""Descriptions of noise for messages, logs and manifests."""

import math
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_denoise.physics.local_gain import LocalGain
from xray_denoise.physics.profile import Noise, NoiseProfile
from xray_denoise.scale import MID_GREY

MOST_PIXELS = 2**18
"""Of an image that tell how strong its noise is."""


def deviation_at_mid_grey(noise: Noise) -> float:
    """Standard deviation of noise at the middle of the scale, grey levels."""
    return float(noise.deviation_at(MID_GREY))


def deviation_over(
    noise: Noise,
    grey: NDArray[np.floating],
    gain: LocalGain | None = None,
    padding: NDArray[np.bool_] | None = None,
) -> float:
    """Root mean square over the pixels of an image of the standard deviation of their noise, grey levels.

    Args:
        noise: of the image.
        grey: (H, W), grey levels.
        gain: how many times as strong the noise is in a place; None is as strong.
        padding: (H, W), pixels that do not count. The result is 0 where no pixel does.
    """
    step = max(1, grey.size // MOST_PIXELS)
    deviation = noise.deviation_at(grey.ravel()[::step])
    if gain is not None:
        deviation = deviation * gain.over((grey.shape[0], grey.shape[1])).ravel()[::step]
    if padding is not None:
        deviation = deviation[~padding.ravel()[::step]]
    return math.sqrt(float((deviation**2).mean())) if deviation.size else 0.0


def correlation(noise: Noise) -> float:
    """Mean of the correlations with the next pixel of the row and of the column, -1..1; 0 is white noise."""
    if not isinstance(noise, NoiseProfile):
        return 0.0
    return (noise.correlation(0, 1) + noise.correlation(1, 0)) / 2


def identity_of(noise: Noise | None) -> Any:
    """How a manifest records noise that was given, at full precision."""
    if isinstance(noise, NoiseProfile):
        return {"profile_sha256": sha256(noise.to_json().encode()).hexdigest()}
    return None if noise is None else {"eta": json_number(float(noise.eta)), "sigma": float(noise.sigma)}


def json_number(value: float) -> float | str:
    """A number for JSON; "inf" if it is infinite, which JSON cannot express."""
    return "inf" if value == float("inf") else value


def in_words(noise: Noise) -> str:
    """Noise that was given, as text."""
    if isinstance(noise, NoiseProfile):
        return f"given noise profile {sha256(noise.to_json().encode()).hexdigest()[:12]}"
    return f"given eta {exact(noise.eta)} and sigma {exact(noise.sigma)}"


def exact(value: float) -> str:
    """A number with all its digits and no trailing zeros."""
    return repr(float(value)).removesuffix(".0")
