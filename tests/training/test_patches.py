"""Patches come from the images, in all eight turns, with the noise of the model."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from xray_denoise.physics import noise
from xray_denoise.training.patches import NoiseRange, PatchSource, add_noise, squares

CPU = torch.device("cpu")


def ramp_image(height: int, width: int) -> NDArray[np.uint8]:
    """An image in which every 4x4 patch, however turned, is found at one place only."""
    return np.random.default_rng(height * width).integers(0, 256, (height, width)).astype(np.uint8)


def test_every_patch_is_a_turned_part_of_an_image() -> None:
    images = [ramp_image(40, 31), ramp_image(23, 57)]
    source = PatchSource(images, 16, NoiseRange(), CPU)
    batch = source.draw(0, 64, torch.Generator().manual_seed(0))
    patches = (batch.clean[:, 0] * 255).round().numpy().astype(np.uint8)
    turns_seen, images_seen = set(), set()
    for patch in patches:
        found = [
            (number, turn, flip)
            for number, image in enumerate(images)
            for turn in range(4)
            for flip in (False, True)
            if _contains(image, np.rot90(patch.T if flip else patch, turn))
        ]
        assert len(found) == 1
        images_seen.add(found[0][0])
        turns_seen.add(found[0][1:])
    assert images_seen == {0, 1}
    assert len(turns_seen) == 8


def test_the_rim_of_an_image_is_learnt_from_as_well() -> None:
    """Rows seen, in thousandths of all: half as often at the rim as inside, and never above one and a half times."""
    side, height, count = 16, 64, 200_000
    generator = torch.Generator().manual_seed(5)
    sides = torch.tensor([height])
    _, places = squares(count, side, sides, sides, generator)
    rows = places.reshape(count, -1).min(dim=1).values // height
    seen = np.convolve(np.bincount(rows.numpy(), minlength=height - side + 1), np.ones(side)) / count
    inside = side / (height + 1)
    assert seen[0] == pytest.approx((side / 2 + 1) / (height + 1), rel=0.05)
    assert seen[-1] == pytest.approx(seen[0], rel=0.05)
    assert seen[side:-side] == pytest.approx(inside, rel=0.05)
    assert seen.max() < 1.6 * inside


def _contains(image: NDArray[np.uint8], patch: NDArray[np.uint8]) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(image, patch.shape)
    candidates = np.argwhere(windows[:, :, 0, 0] == patch[0, 0])
    return any((windows[row, column] == patch).all() for row, column in candidates)


def test_noise_levels_fill_their_range_and_a_seed_repeats_a_batch() -> None:
    source = PatchSource([ramp_image(32, 32)], 8, NoiseRange((0.4, 1.9), (0, 20)), CPU)
    batch = source.draw(0, 4000, torch.Generator().manual_seed(1))
    for values, low, high in ((batch.eta, 0.4, 1.9), (batch.sigma, 0.0, 20.0)):
        assert stats.kstest(values.numpy(), "uniform", (low, high - low)).pvalue > 0.001
    again = source.draw(0, 4000, torch.Generator().manual_seed(1))
    assert torch.equal(batch.noisy, again.noisy)


@pytest.mark.parametrize(("grey", "eta", "sigma"), [(0, 0.4, 15), (3, 0.6, 0), (120, 0.6, 10), (250, 0.4, 15)])
def test_noise_has_the_distribution_of_the_numpy_reference(grey: int, eta: float, sigma: float) -> None:
    """Two-sample Kolmogorov-Smirnov, clipping included: 200 000 draws of each tell eta 0.6 from 0.7."""
    ours, reference = _draws(grey, eta, sigma)
    assert stats.ks_2samp(ours, reference, method="asymp").pvalue > 0.001
    for edge in (0.0, 255.0):
        share = float((reference == edge).mean())
        spread = 5 * (2 * max(share * (1 - share), 1e-5) / ours.size) ** 0.5
        assert float((ours == edge).mean()) == pytest.approx(share, abs=spread)


def test_another_noise_level_is_told_apart() -> None:
    ours, _ = _draws(120, 0.6, 10)
    _, other = _draws(120, 0.7, 10)
    assert stats.ks_2samp(ours, other, method="asymp").pvalue < 0.001


def _draws(grey: int, eta: float, sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """200 000 noisy pixels of one grey level: the device's, rounded to a ten-thousandth, and numpy's."""
    count = 200_000
    generator = torch.Generator().manual_seed(grey)
    clean = torch.full((1, 1, 1, count), grey / 255)
    ours = add_noise(clean, torch.tensor([eta]), torch.tensor([sigma]), generator).flatten().numpy() * 255
    rng = np.random.default_rng(grey)
    reference = noise.add_noise(np.full(count, float(grey)), noise.NoiseLevel(eta, sigma), rng)
    return ours.round(3), reference.round(3)


def test_images_too_small_for_a_patch_are_refused() -> None:
    with pytest.raises(ValueError, match="smaller than the 16x16"):
        PatchSource([ramp_image(40, 40), ramp_image(10, 40)], 16, NoiseRange(), CPU)
    with pytest.raises(ValueError, match="no image"):
        PatchSource([], 16, NoiseRange(), CPU)
