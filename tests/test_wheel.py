"""The wheel holds everything: installed alone into a fresh environment, it denoises with its own weights."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; the packages it depends on are those of the tests, as nothing
    is downloaded here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    pip = [str(folder / "env" / "bin" / "python"), "-m", "pip", "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, env=os.environ | {"PIP_CONFIG_FILE": os.devnull})
    (own,) = (folder / "env" / "lib").glob("python*/site-packages")
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env"


def test_wheel_denoises_and_reports_by_itself(environment: Path, tmp_path: Path) -> None:
    noisy_name = "phantom-0_eta0.6_sigma10_noisy.png"
    for line in ("synth --size 128", f"denoise {noisy_name} -o out.png --report out.html"):
        command = [str(environment / "bin" / "xray-denoise"), *line.split()]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    noisy, clean, out = (
        np.asarray(Image.open(tmp_path / name), dtype=float) for name in (noisy_name, "phantom-0_clean.png", "out.png")
    )
    assert ((out - clean) ** 2).mean() < 0.1 * ((noisy - clean) ** 2).mean()
    assert (tmp_path / "out.html").read_bytes().startswith(b"<!doctype html>"), "its template is in the wheel too"


def test_wheel_is_what_was_run(environment: Path, tmp_path: Path) -> None:
    script = "import xray_denoise, xray_denoise.weights as w; print(xray_denoise.__file__); print(w.folder())"
    ran = subprocess.run(
        [str(environment / "bin" / "python"), "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    package, weights = ran.stdout.split()
    assert Path(package).is_relative_to(environment)
    assert Path(weights).is_relative_to(environment)
    shipped = {path.name for path in (ROOT / "weights").iterdir() if path.suffix in (".safetensors", ".md", ".json")}
    assert {path.name for path in Path(weights).iterdir()} == shipped
