"""Facts about a denoiser that only some have, and the noise that it may be told."""

from hashlib import sha256
from typing import Any

from xray_denoise.denoisers import Denoiser
from xray_denoise.physics.noise import NoiseLevel
from xray_denoise.physics.profile import NoiseProfile

Noise = NoiseLevel | NoiseProfile
"""What a denoiser may be told about the noise of an image, and what it finds."""
MID_GREY = 127.5
"""Grey level at which one number stands for the strength of noise."""


def title(denoiser: Denoiser) -> str:
    """What people call it."""
    return str(getattr(denoiser, "title", denoiser.name))


def weights_sha256(denoiser: Denoiser) -> str:
    """SHA-256 of its weights, hexadecimal; empty for a method without."""
    return str(getattr(denoiser, "version", ""))


def device(denoiser: Denoiser) -> str:
    """Where it runs; empty for a classical method, which runs on the CPU."""
    return str(getattr(denoiser, "device", ""))


def settings(denoiser: Denoiser) -> str:
    """What decides its results and their time besides the weights."""
    return str(getattr(denoiser, "settings", "no settings"))


def arithmetic(denoiser: Denoiser) -> str:
    """The precision that it computes in, and by what."""
    return str(getattr(denoiser, "arithmetic", "fp32"))


def concurrency(denoiser: Denoiser) -> int:
    """How many threads may call it with profit."""
    return int(getattr(denoiser, "at_once", 1))


def deviation_at_mid_grey(noise: Noise) -> float:
    """Standard deviation of noise at the middle of the scale, grey levels."""
    if isinstance(noise, NoiseProfile):
        return float(noise.deviation_at(MID_GREY))
    return noise.effective_sigma(MID_GREY)


def identity_of(noise: Noise | None) -> Any:
    """What a manifest says of noise that was given, at full precision."""
    if isinstance(noise, NoiseProfile):
        return {"profile_sha256": sha256(noise.to_json().encode()).hexdigest()}
    return None if noise is None else {"eta": json_number(noise.eta), "sigma": noise.sigma}


def json_number(value: float) -> float | str:
    """A number as JSON has it, "inf" where it is infinite: JSON has no word for that."""
    return "inf" if value == float("inf") else value


def in_words(noise: Noise) -> str:
    """Noise that was given, for people."""
    if isinstance(noise, NoiseProfile):
        return f"given noise profile {sha256(noise.to_json().encode()).hexdigest()[:12]}"
    return f"given eta {exact(noise.eta)} and sigma {exact(noise.sigma)}"


def exact(value: float) -> str:
    """A number with as many digits as it takes, and no zeros behind them."""
    return repr(float(value)).removesuffix(".0")
