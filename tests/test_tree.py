"""The tree holds the project and nothing else: no radiographs, and nothing that an example in the documents wrote."""

import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOP = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "constraints.txt",
    "docs",
    "pyproject.toml",
    "tests",
    "weights",
    "xray_denoise",
}
IMAGES = {".bmp", ".dcm", ".dicom", ".jp2", ".jpeg", ".jpg", ".npy", ".npz", ".png", ".tif", ".tiff", ".webp"}
SHOWN = {"docs/images/before-after.png", "docs/images/phantom.png", "docs/results/figure-2.webp"}
"""Pictures for readers: a phantom, and the figure that the paper asks for."""


def tracked() -> list[PurePosixPath]:
    """Files that git knows, relative to the root."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [PurePosixPath(name) for name in names.split("\0") if name]


def test_the_top_level_holds_the_project_only() -> None:
    assert {path.parts[0] for path in tracked()} == TOP


def test_no_image_is_tracked_that_no_reader_is_shown() -> None:
    assert {str(path) for path in tracked() if path.suffix.lower() in IMAGES} == SHOWN
