"""Tiles change nothing, and what the network is given and gives back is what the protocol says."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from xray_denoise import nets
from xray_denoise.denoisers import Denoised
from xray_denoise.denoisers.bias import without_bias
from xray_denoise.denoisers.blind import BlindDenoiser
from xray_denoise.denoisers.devices import choose_device, choose_precision
from xray_denoise.denoisers.tiles import windows
from xray_denoise.denoisers.told import ToldDenoiser
from xray_denoise.errors import CannotRunError, UsageError
from xray_denoise.nets.blind import DenoisingNet, conv3, conv3_relu
from xray_denoise.nets.profile_unet import ProfileUNet
from xray_denoise.nets.unet import UNet
from xray_denoise.physics.local_gain import LocalGain
from xray_denoise.physics.noise import NoiseLevel, add_noise
from xray_denoise.physics.noise_estimate import ProfileEstimate
from xray_denoise.physics.noise_fit import Calibration
from xray_denoise.physics.profile import NoiseProfile

CPU = torch.device("cpu")


FRESH = nets.build("x-bdcnn").eval()
CHANGE_NOTHING = ["x-bdcnn", "x-bdcnn-no-nle", "cbdnet", "skidnet", "lite"]
"""The networks that begin with a last layer of zeros."""


def far_sighted(name: str) -> DenoisingNet:
    """A network whose every weight is positive: each pixel within its radius counts for the result."""
    net = nets.build(name).eval()
    narrow = {"x-bdcnn": (3, 1), "x-bdcnn-no-nle": (1, 1), "lite": (6, 4)}
    if name in narrow:
        net.denoiser = UNet(*narrow[name], (4, 4, 4))
    if name == "x-bdcnn":
        estimator = net.level_estimator
        estimator.first, estimator.middle, estimator.last = conv3_relu(1, 4), conv3_relu(4, 4, 3), conv3(4, 2)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.fill_((1.5 if name in narrow else 1.0) / parameter[0].numel())
    return net


def image(height: int, width: int) -> NDArray[np.float32]:
    return (np.random.default_rng(0).random((height, width)) * 255).astype(np.float32)


def denoiser(net: DenoisingNet, **options: Any) -> BlindDenoiser:
    return BlindDenoiser(net, "test", "", CPU, **options)


@pytest.mark.parametrize(("name", "tile"), [("x-bdcnn", 128), ("lite", 272)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiling_changes_nothing(name: str, tile: int, batch_size: int) -> None:
    net, noisy = far_sighted(name), image(273, 301)
    whole = denoiser(net)(noisy)
    tiled = denoiser(net, tile=tile, batch_size=batch_size)(noisy)
    assert abs(whole.image - noisy).max() > 10, "the network does something"
    np.testing.assert_allclose(tiled.image, whole.image, rtol=1e-5)  # float32 sums in another order
    assert tiled.noise_map is not None
    assert whole.noise_map is not None
    np.testing.assert_allclose(tiled.noise_map, whole.noise_map, rtol=1e-5)
    assert tiled.level is not None
    assert whole.level is not None
    assert tiled.level.sigma == pytest.approx(whole.level.sigma, rel=1e-4)


@pytest.mark.parametrize(("name", "tile"), [("x-bdcnn-no-nle", 128), ("dncnn", 96), ("x-recnn", 96), ("skidnet", 128)])
def test_tiling_changes_nothing_without_levels(name: str, tile: int) -> None:
    net, noisy = far_sighted(name), image(137, 150)
    whole, tiled = denoiser(net)(noisy), denoiser(net, tile=tile)(noisy)
    assert abs(whole.image - noisy).max() > 10, "the network does something"
    np.testing.assert_allclose(tiled.image, whole.image, rtol=1e-4, atol=1e-3)
    assert tiled.level is None
    assert tiled.noise_map is None
    with pytest.raises(UsageError, match="accepts no noise level"):
        denoiser(net)(noisy, NoiseLevel(0.6, 10))


@pytest.mark.parametrize(
    ("name", "shape", "tile", "too_short"),
    [("x-bdcnn", (140, 164), 128, 48), ("lite", (304, 328), 272, 112)],
)
def test_a_halo_too_short_is_caught(name: str, shape: tuple[int, int], tile: int, too_short: int) -> None:
    """Tiles keep to a grid of 4 or 8 pixels; on it 52 and 120 are the narrowest halos that change nothing.

    In 64-bit floats, where rounding stays below 1e-12 and even the faintest pixel at the rim is seen.
    """
    net, seen = far_sighted(name).double(), torch.from_numpy(image(*shape)).double()[None, None] / 255

    def restored(halo: int) -> torch.Tensor:
        out = torch.empty_like(seen)
        for window in windows(shape, (tile, tile), halo):
            part = seen[:, :, *window.input]
            out[:, :, *window.output] = net(part)[0][:, :, *window.crop]
        return out

    with torch.inference_mode():
        whole = net(seen)[0]
        assert abs(restored(net.radius) - whole).max() < 1e-12
        assert abs(restored(too_short) - whole).max() > 1e-9


@settings(max_examples=200)
@given(st.integers(1, 900), st.integers(1, 40), st.integers(0, 100), st.integers(1, 4))
def test_windows_cover_every_pixel_once(length: int, other: int, halo: int, extra: int) -> None:
    tile = 2 * halo + extra
    covered = np.zeros((length, other), int)
    shapes = set()
    for window in windows((length, other), (tile, tile), halo):
        covered[window.output] += 1
        seen, kept = window.input[0], window.output[0]
        shapes.add(seen.stop - seen.start)
        assert seen.start == 0 or kept.start - seen.start >= halo
        assert seen.stop == length or seen.stop - kept.stop >= halo
    assert (covered == 1).all()
    assert shapes == {min(tile, length)}, "one fixed shape"


EVEN = denoiser(FRESH)


@settings(max_examples=200)
@given(st.integers(1, 5000).map(lambda quarter: 4 * quarter), st.integers(32, 300).map(lambda quarter: 4 * quarter))
def test_tiles_are_even_and_no_larger_than_asked_for(length: int, limit: int) -> None:
    one = EVEN
    one.tile = limit
    side, _ = one.window_for((length, 8))
    assert side <= limit
    assert side % 4 == 0
    count = sum(1 for _ in windows((length, 8), (side, 8), one.halo))
    assert count == sum(1 for _ in windows((length, 8), (limit, 8), one.halo))
    assert count == 1 or (side - 4) * count < length + 2 * one.halo * (count - 1), "not a stride larger than needed"


def test_windows_are_longer_where_all_is_computed_on_less() -> None:
    """Half the side costs a quarter of the memory, so `lite` keeps more of each window beside its halo."""
    full, light = denoiser(FRESH), denoiser(nets.build("lite").eval())
    assert full.window_for((1024, 900)) == (1024, 900)
    assert light.window_for((2048, 1800)) == (2048, 1800)
    assert max(full.window_for((4096, 4096))) <= 768
    assert 768 < max(light.window_for((4096, 4096))) <= 1536


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (65, 7)])
@pytest.mark.parametrize("name", CHANGE_NOTHING)
def test_any_size_and_fresh_weights_change_nothing(name: str, shape: tuple[int, int]) -> None:
    noisy = image(*shape)
    denoised = denoiser(nets.build(name).eval())(noisy)
    assert denoised.image.dtype == np.float32
    np.testing.assert_array_equal(denoised.image, noisy)


@pytest.mark.parametrize("name", ["x-bdcnn", "lite"])
def test_a_given_level_is_used_and_told(name: str) -> None:
    net, noisy = far_sighted(name), image(64, 64)
    level = NoiseLevel(0.7, 12.0)
    given_level, blind = denoiser(net)(noisy, level), denoiser(net)(noisy)
    assert given_level.level == level
    assert blind.level != level
    assert abs(given_level.image - blind.image).max() > 0.01
    expected = np.sqrt(given_level.image.clip(0) / 0.7 + 144)
    np.testing.assert_allclose(given_level.noise_map, expected, rtol=1e-4)


def test_the_level_that_is_reported_is_calibrated() -> None:
    """The map and its level are multiplied alike; the image is left alone."""
    net, noisy = far_sighted("x-bdcnn"), image(64, 64)
    plain, calibrated = denoiser(net)(noisy), denoiser(net, calibration=Calibration((1.0, 2.0), (0.8, 0.8)))(noisy)
    np.testing.assert_array_equal(calibrated.image, plain.image)
    assert plain.level is not None
    assert calibrated.level is not None
    assert calibrated.level.effective_sigma(100) == pytest.approx(0.8 * plain.level.effective_sigma(100))
    np.testing.assert_allclose(calibrated.noise_map, 0.8 * np.asarray(plain.noise_map), rtol=1e-6)


def test_values_outside_the_value_range_get_the_correction_at_its_end() -> None:
    noisy = image(64, 64)
    clipped = noisy.copy()
    clipped[10, 10], noisy[10, 10] = 255, 700
    net = far_sighted("x-bdcnn")
    beyond, within = denoiser(net)(noisy).image, denoiser(net)(clipped).image
    assert beyond[10, 10] - 700 == pytest.approx(within[10, 10] - 255, abs=1e-3)
    beyond[10, 10] = within[10, 10]
    np.testing.assert_array_equal(beyond, within)


def test_devices_and_precisions_that_are_missing_are_errors() -> None:
    assert choose_device("cpu") == CPU
    with pytest.raises(UsageError, match="no kind of device"):
        choose_device("tpu")
    with pytest.raises(CannotRunError, match="no device 'cuda:99'"):
        choose_device("cuda:99")
    with pytest.raises(CannotRunError, match="no device 'cpu:3'"):
        choose_device("cpu:3")
    assert choose_precision("auto", CPU) is torch.float32
    with pytest.raises(UsageError, match="no precision"):
        choose_precision("fp8", CPU)


def test_a_tile_smaller_than_the_halo_is_refused() -> None:
    with pytest.raises(UsageError, match="smaller than the receptive field"):
        denoiser(nets.build("x-bdcnn"), tile=64)


def test_running_out_of_memory_halves_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    net = far_sighted("x-bdcnn")
    plain, sizes = net.restore, []

    def short_of_memory(noisy: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        sizes.append(noisy.shape[-1])
        if noisy.shape[-1] > 200:
            raise torch.cuda.OutOfMemoryError
        return plain(noisy, levels)

    noisy = image(256, 256)
    whole = denoiser(net)(noisy).image
    monkeypatch.setattr(net, "restore", short_of_memory)
    frugal = denoiser(net, tile=300)
    np.testing.assert_allclose(frugal(noisy).image, whole, rtol=1e-5)
    assert sizes[0] == 256
    assert frugal.tile == 128
    monkeypatch.setattr(net, "restore", lambda noisy, levels: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError))
    with pytest.raises(CannotRunError, match="too little free memory"):
        frugal(noisy)


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", MemoryError),
        ("else", RuntimeError),
    ],
)
def test_too_little_memory_of_the_processor_is_told_from_other_errors(
    monkeypatch: pytest.MonkeyPatch, said: str, raised: type[Exception]
) -> None:
    net = nets.build("lite")
    monkeypatch.setattr(net, "forward", lambda noisy: (_ for _ in ()).throw(RuntimeError(said)))
    with pytest.raises(raised):
        denoiser(net)(image(32, 32))


@pytest.mark.slow
def test_a_large_image_stays_below_two_gibibytes() -> None:
    """X-BDCNN on the CPU, in a process of its own.

    768x1432 pixels take two windows as large as any of 4096x4096; each further pixel costs no more than 40 bytes, for
    the image in six copies of 32 bits at most, and the stored values.
    """
    script = (
        "import numpy as np, torch\n"
        "from xray_denoise import nets\n"
        "from xray_denoise.bench.fresh_process import peak_memory\n"
        "from xray_denoise.denoisers.blind import BlindDenoiser\n"
        "denoise = BlindDenoiser(nets.build('x-bdcnn').eval(), 'test', '', torch.device('cpu'))\n"
        "denoise(np.zeros((768, 1432), np.float32))\n"
        "print(round(peak_memory() * 2**20))\n"
    )
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert int(ran.stdout) + 40 * (4096**2 - 768 * 1432) < 2 * 2**30


def told_denoiser(**options: Any) -> ToldDenoiser:
    """A small network of random weights that is told the noise."""
    torch.manual_seed(0)
    net = ProfileUNet((4, 6, 8, 10), (1, 1, 1, 1)).eval()
    with torch.no_grad():
        net.correction.weight.normal_(0, 0.15)
    return ToldDenoiser(net, "told", "", CPU, **options)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiling_changes_nothing_where_the_noise_is_told(batch_size: int) -> None:
    """The noise is estimated once for the whole image, so that tiles agree on it."""
    whole, tiled = told_denoiser(), told_denoiser(tile=2 * told_denoiser().halo + 32, batch_size=batch_size)
    noisy = (100 + 20 * np.sin(np.arange(301) / 20) + 4 * np.random.default_rng(0).standard_normal((273, 301))).astype(
        np.float32
    )
    expected, found = whole(noisy), tiled(noisy)
    assert abs(expected.image - noisy).max() > 1, "the network does something"
    np.testing.assert_allclose(found.image, expected.image, atol=2e-3)
    assert found.profile is not None
    assert expected.profile is not None
    np.testing.assert_array_equal(found.profile.deviation, expected.profile.deviation)


def test_a_local_gain_multiplies_the_deviation_that_the_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the noise all over is a gain of 2 all over; one that changes is the same in tiles."""
    noisy, profile = 60 + image(273, 301) / 2, NoiseProfile.white(3.0)

    def denoised(gain: LocalGain | None, level: NoiseProfile = profile, **options: Any) -> Denoised:
        found = ProfileEstimate(level, 1.0, gain)
        monkeypatch.setattr("xray_denoise.denoisers.told.estimate_profile", lambda _: found)
        return told_denoiser(**options)(noisy)

    twice, doubled = denoised(LocalGain(np.full((2, 2), math.log(2)))), denoised(None, NoiseProfile.white(6.0))
    np.testing.assert_allclose(twice.image, doubled.image, atol=1e-3)
    gain = LocalGain(np.array([[-0.7, 0.0], [0.3, 0.7]]))
    whole, tiled = denoised(gain), denoised(gain, tile=2 * told_denoiser().halo + 32)
    assert abs(whole.image - denoised(None).image).max() > 0.5
    np.testing.assert_allclose(tiled.image, whole.image, atol=2e-3)
    assert whole.gain is gain
    np.testing.assert_allclose(whole.noise_map, 3 * gain.over((273, 301)), rtol=1e-5)


def test_a_halo_one_stride_short_is_seen_where_the_noise_is_told() -> None:
    whole = told_denoiser()
    short = told_denoiser(tile=2 * whole.halo + 64, halo=16)
    noisy = image(273, 301)
    assert abs(short(noisy).image - whole(noisy).image).max() > 0.01


def test_told_noise_replaces_the_estimate() -> None:
    denoise, noisy = told_denoiser(), image(48, 64)
    profile = NoiseProfile.white(3.0)
    given = denoise(noisy, profile)
    assert given.profile is profile
    assert given.noise_map is not None
    np.testing.assert_allclose(given.noise_map, 3.0)
    level = NoiseLevel(0.6, 10.0)
    as_level, as_profile = denoise(noisy, level), denoise(noisy, NoiseProfile.of_level(level))
    np.testing.assert_array_equal(as_level.image, as_profile.image)
    assert as_level.level == level
    assert as_profile.level is not None
    assert as_profile.level.eta == pytest.approx(0.6, rel=1e-3)
    assert as_profile.level.sigma == pytest.approx(10.0, rel=1e-3)


def test_values_outside_of_the_scale_are_seen_as_they_are() -> None:
    """A network that is told the noise is shown grey levels below 0 and above 255: what is added does not matter."""
    noisy = image(48, 64)
    found = told_denoiser()(noisy + 300, NoiseProfile.white(3.0)).image
    assert np.isfinite(found).all()
    assert abs(found - noisy - 300).max() < 60


def test_nothing_is_darkened_or_brightened_where_the_noise_is_told() -> None:
    """A network that takes a grey level off everywhere: its mean comes back, where noise is not cut off."""
    rng = np.random.default_rng(0)
    profile = NoiseProfile.white(2.0)
    noisy = (np.repeat([0.0, 100.0], 128)[None] + profile.draw(np.zeros((200, 256)), rng)).clip(0, 255)
    noisy = noisy.astype(np.float32)
    darker = (noisy - 1).astype(np.float32)
    found = without_bias(noisy, darker, profile)
    np.testing.assert_allclose(found[:, 170:], noisy[:, 170:], atol=1e-3)
    beyond = noisy - 30  # values below 0: nothing was cut off
    np.testing.assert_allclose(without_bias(beyond, beyond - 1, profile), beyond, atol=1e-3)


@pytest.mark.parametrize("told", [20.0, 14.0, 28.0])
@pytest.mark.parametrize("end", ["white", "black"])
def test_what_was_cut_off_is_given_back(end: str, told: float) -> None:
    """A field so bright, or dark, that a third of its noise is cut off, which shifts it by 4 grey levels and more.

    The network keeps that shift. Most of it is taken back, even where the deviation is told 30 % too low or 40 % too
    high.
    """
    truth = np.full((256, 256), 250.0 if end == "white" else 5.0)
    noisy = add_noise(truth, NoiseLevel(math.inf, 20.0), np.random.default_rng(0)).astype(np.float32)
    shifted = np.full_like(noisy, noisy.mean(dtype=np.float64))
    before = abs(shifted.mean() - truth.mean())
    assert before > 4
    found = without_bias(noisy, shifted, NoiseProfile.white(told))
    assert abs(found.mean() - truth.mean()) < (0.15 if told == 20 else 0.3) * before
    assert abs(found - truth).max() < 0.5 * before


def test_what_was_cut_off_is_given_back_as_the_local_gain_tells() -> None:
    """A field near black with four times the noise on the right: half of it is cut off there, and little on the left.

    Without the gain the two sides are wrong by up to 1.6 grey levels, in opposite directions.
    """
    local = LocalGain(np.log([[0.5, 0.5, 2.0, 2.0]] * 2))
    gain, truth = local.over((256, 512)), np.full((256, 512), 12.0)
    noisy = (truth + 10 * gain * np.random.default_rng(0).standard_normal(truth.shape)).clip(0, None).astype(np.float32)
    shifted = gaussian_filter(noisy, 20)
    found, untold = (without_bias(noisy, shifted, NoiseProfile.white(10.0), one) - truth for one in (gain, None))
    for side in (np.s_[:, 40:120], np.s_[:, 392:472]):
        assert abs(found[side].mean()) < 0.4
        assert abs(found[side].mean()) < 0.5 * abs(untold[side].mean())


def test_letters_and_shutters_without_noise_shift_nothing() -> None:
    """Half of the image is black all over, as under a shutter; the other is darker than three deviations."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0.0, 50.0], 128)[None].repeat(200, axis=0)
    noisy = (truth + rng.normal(0, 20.0, truth.shape) * (truth > 0)).clip(0, 255).astype(np.float32)
    found = without_bias(noisy, truth.astype(np.float32), NoiseProfile.white(20.0))
    np.testing.assert_array_equal(found[:, :126], 0)
    assert abs(found[:, 130:].mean() - 50) < 0.5


@pytest.mark.parametrize("grey", [2.0, 5.0, 10.0, 245.0, 250.0, 253.0])
@pytest.mark.parametrize("deviation", [1.0, 2.0, 4.0])
def test_weak_noise_that_is_cut_off_keeps_its_mean(grey: float, deviation: float) -> None:
    """A flat field of 8 bits; the network leaves a tenth of the noise, so that the result tells where noise was high.

    If pixels count the more the farther their result is from black and white, their mean is wrong by up to 0.2.
    """
    noise = np.random.default_rng(0).normal(0, deviation, (200, 256))
    noisy = np.rint((grey + noise).clip(0, 255)).astype(np.float32)
    restored = (0.9 * noisy.mean() + 0.1 * noisy).astype(np.float32)
    found = without_bias(noisy, restored, NoiseProfile.white(deviation))
    assert found.mean(dtype=np.float64) == pytest.approx(noisy.mean(dtype=np.float64), abs=0.001)


@pytest.mark.parametrize("truth", [252.0, 3.0])
def test_specks_that_stand_out_from_black_or_white_get_back_what_they_lost(truth: float) -> None:
    """Every 256th pixel is a speck of 12 deviations, of which the network takes half: most of it comes back to them."""
    noise = np.random.default_rng(0).normal(0, 4.0, (200, 256))
    speck = np.zeros(noise.shape, bool)
    speck[8::16, 8::16] = True
    contrast = np.where(speck, 48.0 if truth < 100 else -48.0, 0.0)
    noisy = (truth + contrast + noise).clip(0, 255).astype(np.float32)
    restored = (noisy[~speck].mean() + contrast / 2).astype(np.float32)
    found = without_bias(noisy, restored, NoiseProfile.white(4.0))
    assert (found[speck].mean() - found[~speck].mean()) / contrast[speck].mean() == pytest.approx(0.97, abs=0.04)
    assert found.mean(dtype=np.float64) == pytest.approx(noisy.mean(dtype=np.float64), abs=0.001)


def test_the_mean_of_the_whole_image_stays_where_nothing_is_cut_off() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.normal(100, 5, (70, 91)).astype(np.float32)
    changed = (noisy - rng.normal(1, 3, noisy.shape)).astype(np.float32)
    found = without_bias(noisy, changed, NoiseProfile.white(3.0))
    assert found.mean(dtype=np.float64) == pytest.approx(noisy.mean(dtype=np.float64), abs=1e-4)
