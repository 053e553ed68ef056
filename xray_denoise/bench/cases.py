"""The cases of a benchmark: noise-free images and the noise added to them.

The noise of a case depends on the seed, the clean image and the noise only: every row sees the same noisy image, and a
second run is identical, on another processor too. Noisy images stay floats that are not rounded; those of a
`NoiseLevel` are clipped to [0, 255], as the paper does, those of a `NoiseProfile` are not.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_denoise import files
from xray_denoise.bench import paper
from xray_denoise.errors import UnreadableFileError
from xray_denoise.files.folders import radiographs_in
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.profile import Noise
from xray_denoise.scale import GREY_MAX

TABLE_2 = tuple(NoiseLevel(eta, sigma) for eta, sigma in paper.CELLS)
"""The nine noise levels of the paper's Table II."""
QUICK_LEVELS = (NoiseLevel(0.4, 15.0), NoiseLevel(0.6, 10.0), NoiseLevel(0.8, 5.0))
"""Those of `--quick`: the noisiest, the middle and the cleanest of the nine."""
MIDDLE = QUICK_LEVELS[1]
"""The noise level where one stands for all nine."""
IMAGES, QUICK_IMAGES, QUICK_SIZE = 10, 3, 256
"""Phantoms that stand for the paper's radiographs; `--quick`: the first images, their centres of 256x256."""
SMALLEST = 11
"""The window of SSIM: no image may be smaller, pixels a side."""
PATCH_SIZE, PATCHES, QUICK_PATCHES = 128, 32, 4
"""Table I: side of a patch in pixels, patches of each image."""
PATCH_ETA, PATCH_SIGMA = (0.4, 1.9), (0.0, 20.0)
"""Table I: ranges that the level of each patch is drawn from, photons per grey level and grey levels."""
DARKEST_PATCH, TRIES = 10.0, 100
"""A patch with a mean below this many grey levels shows no body: another place is drawn, at most so often."""


@dataclass(frozen=True, slots=True)
class CleanImage:
    """A noise-free image: (H, W), grey levels in [0, 255], and a name that is not that of its file."""

    name: str
    grey: NDArray[np.float32]
    drawn: str = ""
    """What it shows, if it was computed rather than read: it stands for the pixels, whose last digits then depend on
    the processor."""

    @property
    def sha256(self) -> str:
        """Hash of the shape and the pixels, or of what was drawn."""
        pixels = np.ascontiguousarray(self.grey, dtype="<f4")
        content = self.drawn.encode() or pixels.tobytes()
        return hashlib.sha256(repr(pixels.shape).encode() + content).hexdigest()

    def centre(self, size: int) -> "CleanImage":
        """The central `size` x `size` pixels, or fewer in a smaller image."""
        top, left = (max(0, (side - size) // 2) for side in self.grey.shape)
        return replace(self, grey=self.grey[top : top + size, left : left + size])


PROBE = CleanImage("", np.full((160, 160), 127, dtype=np.float32))
"""An even image, with as many cases as any."""


@dataclass(frozen=True, slots=True)
class Case:
    """A clean image, or a patch of one, and the noise to add."""

    image: CleanImage
    noise: Noise
    name: str = ""
    """Of the noise, where it has one; see `label`."""
    side: int = 0
    """Pixels a side that the noisy image is cut or mirrored to, to time methods on it; 0 leaves it as it is."""
    scene: str = ""
    """What else is made of the image, where it is more than a noisy one: a scene of the table of harm."""

    @property
    def image_name(self) -> str:
        """The name of the scene or the image, or the size if it is resized."""
        return f"{self.side}x{self.side} pixels" if self.side else self.scene or self.image.name

    @property
    def label(self) -> str:
        """Name of the noise: the column of a table."""
        return self.name or label(self.noise)

    def noisy(self, seed: int) -> NDArray[np.float32]:
        """Draw the noise; an equal case and seed give the same image."""
        rng = generator(f"{seed} {self.image.sha256} {_exactly(self.noise)}")
        if isinstance(self.noise, NoiseLevel):
            noisy = add_noise(self.image.grey, self.noise, rng)
        else:
            noisy = np.asarray(self.image.grey + self.noise.draw(self.image.grey, rng), dtype=np.float32)
        return resized(noisy, self.side) if self.side else noisy

    def key(self, seed: int) -> str:
        """A key that is equal for equal noisy images."""
        more = f", {self.image_name}" if self.side or self.scene else ""
        return f"image {self.image.sha256}, noise {_exactly(self.noise)}, seed {seed}{more}"


def label(noise: Noise) -> str:
    """A name for a noise: its level, or the hash of a profile."""
    if isinstance(noise, NoiseLevel):
        return f"eta {float(noise.eta)!r}, sigma {float(noise.sigma)!r}"
    return f"profile {_exactly(noise)[:12]}"


def _exactly(noise: Noise) -> str:
    if isinstance(noise, NoiseLevel):
        return f"{float(noise.eta)!r} {float(noise.sigma)!r}"
    rounded = replace(noise, deviation=noise.deviation.round(6), kernel=noise.kernel.round(9) + 0.0)  # 0 has no sign
    return hashlib.sha256(rounded.to_json().encode()).hexdigest()


def resized(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """An image cropped, or extended by mirroring, to (side, side)."""
    more = [(0, max(side - length, 0)) for length in image.shape]
    return np.ascontiguousarray(np.pad(image[:side, :side], more, mode="symmetric"))


def generator(text: str) -> np.random.Generator:
    """Random numbers that depend on the text alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()))


def in_patches(image: CleanImage, seed: int, count: int = PATCHES) -> Iterator[Case]:
    """`count` patches of an image; seed, image and number decide place and noise level of each.

    Raises:
        UnreadableFileError: the image is smaller than a patch.
    """
    if min(image.grey.shape) < PATCH_SIZE:
        size = "x".join(map(str, image.grey.shape))
        hint = f"leave out images smaller than {PATCH_SIZE}x{PATCH_SIZE} pixels"
        raise UnreadableFileError(f"{image.name} has {size} pixels, too few for Table I", hint=hint)
    for number in range(count):
        rng = generator(f"patch {number} of {image.sha256} with seed {seed}")
        level = NoiseLevel(float(rng.uniform(*PATCH_ETA)), float(rng.uniform(*PATCH_SIGMA)))
        for _ in range(TRIES):
            top, left = (int(rng.integers(side - PATCH_SIZE + 1)) for side in image.grey.shape)
            grey = image.grey[top : top + PATCH_SIZE, left : left + PATCH_SIZE]
            if grey.mean() >= DARKEST_PATCH:
                break
        drawn = f"{image.drawn}, patch at {top} {left}" if image.drawn else ""
        yield Case(CleanImage(image.name, grey, drawn), level)


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The clean images of a run: how many of what, in words, and `open`, which yields them one at a time."""

    words: str
    count: int
    open: Callable[[], Iterator[CleanImage]]


def image_set(folder: Path | None, *, quick: bool = False) -> ImageSet:
    """The radiographs below a folder, or the built-in phantoms where it is None; of few the centres where `quick`.

    Raises:
        UsageError: it is no folder, or holds no radiograph.
        UnreadableFileError: when an image cannot be read or is smaller than `SMALLEST`.
    """
    paths = [] if folder is None else radiographs_in(folder)
    count = min(len(paths) if folder else IMAGES, QUICK_IMAGES if quick else sys.maxsize)
    words = f"{count} radiograph{'s' * (count > 1)} of {folder.name}" if folder else f"{count} built-in phantoms"
    cut = f", their centres of {QUICK_SIZE}x{QUICK_SIZE} pixels" if quick else ""

    def images() -> Iterator[CleanImage]:
        for image in islice(radiographs(paths) if folder else phantoms(), count):
            yield image.centre(QUICK_SIZE) if quick else image

    return ImageSet(words + cut, count, images)


def phantoms(size: int = 1024) -> Iterator[CleanImage]:
    """The built-in images of `size` pixels a side, rounded to whole grey levels."""
    for number in range(IMAGES):
        grey = np.rint(chest_phantom(size, rng=np.random.default_rng(number)))
        name = f"phantom {number}"
        yield CleanImage(name, grey.clip(0, GREY_MAX).astype(np.float32), f"chest {name} of {size} pixels")


def radiographs(paths: Iterable[Path]) -> Iterator[CleanImage]:
    """The grey levels of files, clipped to [0, 255]; the images are called image 1, image 2, ...

    Raises:
        UnreadableFileError: a file cannot be read, or its image is smaller than `SMALLEST`.
    """
    for number, path in enumerate(paths, start=1):
        image = CleanImage(f"image {number}", files.read(path).grey.clip(0, GREY_MAX))
        if min(image.grey.shape) < SMALLEST:
            hint = f"leave it out: the window of SSIM has {SMALLEST}x{SMALLEST} pixels"
            raise UnreadableFileError("{path} is too small to measure", path=path, hint=hint)
        yield image
