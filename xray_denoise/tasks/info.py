"""`info`: installed versions, devices, decoders and models."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from xray_denoise import __version__, denoisers, weights
from xray_denoise.errors import CannotRunError

PACKAGES = (
    "torch",
    "numpy",
    "scikit-image",
    "pydicom",
    "pillow",
    "typer",
    "rich",
    "safetensors",
    "lightning-fabric",
    "pytorch-msssim",
    "matplotlib",
    "bm3d",
    "imagecodecs",
    "pyjpegls",
    "pylibjpeg-openjpeg",
)

Sections = dict[str, dict[str, str]]


def facts() -> Sections:
    """Versions, devices, decoders and models as text, by section."""
    return {
        "versions": {
            "xray-denoise": __version__,
            "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
            **{package: _version(package) for package in PACKAGES},
        },
        "devices": _devices(),
        "DICOM transfer syntaxes": _decoders(),
        "models": _models(),
        "classical methods": dict.fromkeys(denoisers.classical_names(), "no weights"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, str]:
    import torch

    devices = {"cpu": f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        devices[f"cuda:{index}"] = f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


def _decoders() -> dict[str, str]:
    from pydicom.uid import AllTransferSyntaxes

    from xray_denoise.files.dicom import codecs

    return {syntax.name: codecs.library(syntax) for syntax in AllTransferSyntaxes if codecs.library(syntax)}


def _models() -> dict[str, str]:
    models = {}
    for name in weights.names():
        try:
            card = weights.find(name)
        except CannotRunError as error:
            models[name] = f"unusable: {error}"
            continue
        default = ", the default of denoise" if name == denoisers.DEFAULT else ""
        trained = f"eta {card.eta[0]:g}..{card.eta[1]:g}, sigma {card.sigma[0]:g}..{card.sigma[1]:g}"
        models[name] = f"{card.net}, {trained}, SHA-256 {card.sha256[:12]}{default}"
    return models
