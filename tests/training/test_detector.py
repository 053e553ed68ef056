"""The noise of detectors on the device is that of `physics.profile`, and patches are what they say."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.spectra import band_errors, expected_periodogram
from xray_denoise.nets.profile_unet import BANDS
from xray_denoise.phantom.chest import chest_phantom
from xray_denoise.physics import profile
from xray_denoise.physics.noise_estimate import estimate_profile
from xray_denoise.physics.profile import KNOTS
from xray_denoise.scale import GREY_MAX
from xray_denoise.training import details as inserted
from xray_denoise.training import detector, detector_noise
from xray_denoise.training.details import details
from xray_denoise.training.detector import DetectorRange, DetectorSource, misjudged
from xray_denoise.training.detector_noise import Noise
from xray_denoise.training.draw import Draw
from xray_denoise.training.loss import SMALLEST_ERROR, VISIBLE, decibel_loss

CPU = torch.device("cpu")
SIDE = 128


def draw(count: int, seed: int = 0) -> Draw:
    return Draw(count, torch.Generator().manual_seed(seed))


def image(side: int = 300) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (side, side)).astype(np.uint8)


def test_noise_has_the_variance_and_the_powers_that_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty kinds of noise, drawn eighty times each on flat patches: each band within five standard errors."""
    kinds, draws = 60, 80
    deviation = torch.full((kinds,), 2.0 / GREY_MAX)
    powers, variances, told = [], [], None
    for repeat in range(draws):
        flat = torch.full((kinds, 1, SIDE, SIDE), 0.5)
        # the same kinds every time, other noise: what is drawn per patch comes before the noise itself
        curves, spectra = detector_noise.curves(draw(kinds, 1)), detector_noise.spectra(draw(kinds, 2), SIDE)
        monkeypatch.setattr(detector_noise, "curves", lambda _, curves=curves: curves)
        monkeypatch.setattr(detector_noise, "spectra", lambda _draw, _side, spectra=spectra: spectra)
        told = detector_noise.detector_noise(
            flat, deviation, _WithoutLines(kinds, torch.Generator().manual_seed(100 + repeat))
        )
        monkeypatch.undo()
        power = torch.fft.rfft2(told.noise[:, 0]).abs().square() / SIDE**2
        powers.append(detector_noise.band_means(power, SIDE))
        variances.append(told.noise.square().mean(dim=(1, 2, 3)))
    assert told is not None
    variance = torch.stack(variances).mean(dim=0)
    at_middle = told.variance[:, KNOTS // 2]
    torch.testing.assert_close(at_middle, deviation.square(), rtol=1e-5, atol=0)
    torch.testing.assert_close(variance, at_middle, rtol=0.05, atol=0)
    found = torch.stack(powers).mean(dim=0) / at_middle[:, None]
    error = torch.stack(powers).std(dim=0) / at_middle[:, None] / math.sqrt(draws)
    assert ((found - told.powers).abs() < 5 * error + 1e-3).all()
    assert told.powers.shape == (kinds, BANDS)
    assert told.powers[:, 0].max() > 2.5, "scintillators are among them"
    assert (told.powers[:, 3] - 1).abs().min() < 0.05, "and white noise"


class _WithoutLines(Draw):
    """Draws that give no patch lines."""

    def share(self, share: float) -> torch.Tensor:
        return super().share(share) & (share != 0.1)


def test_it_is_the_noise_of_a_profile() -> None:
    """The spectrum of a patch as a profile: `NoiseProfile.draw` has the same powers and deviation."""
    power = detector_noise.spectra(draw(8, 3), SIDE)
    whole = np.array([np.abs(np.fft.fft2(np.fft.irfft2(np.sqrt(one), (SIDE, SIDE)))) ** 2 for one in power.numpy()])
    for one, device in zip(whole, detector_noise.band_means(power, SIDE).numpy(), strict=True):
        kernel = profile.kernel_of(one, 63)
        described = profile.NoiseProfile(np.array([0.0]), np.array([1.5]), kernel)
        shown = profile.band_means(described.spectrum((SIDE, SIDE)))
        np.testing.assert_allclose(shown, device, rtol=0.01, atol=1e-3)  # the rest is cut off with the kernel
        noise = np.array([described.draw(np.zeros((SIDE, SIDE)), np.random.default_rng(n)) for n in range(12)])
        drawn = profile.band_means((np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0) / SIDE**2) / 1.5**2
        expected = expected_periodogram(described.kernel, (SIDE, SIDE))
        assert (abs(drawn - profile.band_means(expected)) < 5 * band_errors(expected, len(noise))).all()


def test_deviation_follows_the_grey_level() -> None:
    """Mean square of the noise at four grey levels against the variance that is told, for thirty curves."""
    kinds = 30
    ramp = torch.linspace(0, 1, 4).repeat_interleave(SIDE // 4)
    clean = ramp[None, None, :, None].expand(kinds, 1, SIDE, SIDE)
    total = torch.zeros(kinds, 4)
    told = None
    for seed in range(40):
        held = draw(kinds, 5)
        curves = detector_noise.curves(held)
        white = torch.ones(kinds, SIDE, SIDE // 2 + 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(detector_noise, "curves", lambda _, curves=curves: curves)
            patch.setattr(detector_noise, "spectra", lambda _draw, _side, white=white: white)
            told = detector_noise.detector_noise(
                clean, torch.ones(kinds), _WithoutLines(kinds, torch.Generator().manual_seed(seed))
            )
        total += told.noise.square().reshape(kinds, 4, -1).mean(dim=2) / 40
    assert told is not None
    expected = told.variance[:, [0, 11, 21, 32]]
    pixels = 40 * SIDE * SIDE / 4
    assert (total / _between(told) - 1).abs().max() < 6 * math.sqrt(2 / pixels)
    assert (expected[:, 0] / expected[:, 3]).max() > 4, "some curves fall steeply"
    assert (expected[:, 0] / expected[:, 3]).min() < 0.25, "others rise"


def test_noise_of_a_profile_is_what_the_profile_draws() -> None:
    """Mean square at four grey levels and power in four bands of 160 patches, against the profile."""
    kernel = np.array([[0.1, 0.3, 0.1], [0.3, 0.9, 0.3], [0.1, -0.3, 0.1]])
    kernel /= np.sqrt((kernel**2).sum())
    measured = profile.NoiseProfile(np.array([0.0, 100.0, 255.0]), np.array([2.0, 3.0, 9.0]), kernel)
    ramp = torch.linspace(0, 1, 4).repeat_interleave(SIDE // 4)[None, None, :, None].expand(4, 1, SIDE, SIDE)
    deviation = torch.tensor([1.0, 2.0, 4.0, 8.0]) / GREY_MAX
    squares, power = torch.zeros(4, 4), np.zeros((SIDE, SIDE))
    for seed in range(40):
        told = detector_noise.measured_noise(ramp, deviation, draw(4, seed), measured)
        squares += told.noise.square().reshape(4, 4, -1).mean(dim=2) / 40
        flat = detector_noise.measured_noise(torch.full_like(ramp, 0.5), deviation, draw(4, seed), measured)
        power += (np.abs(np.fft.fft2(flat.noise[0, 0].numpy())) ** 2) / SIDE**2 / float(deviation[0]) ** 2 / 40
    expected = measured.deviation_at([0, 85, 170, 255]) / float(measured.deviation_at(127.5))
    found = squares.sqrt().numpy() / deviation[:, None].numpy()
    np.testing.assert_allclose(found, np.broadcast_to(expected, (4, 4)), rtol=0.02)
    at_middle = told.variance[:, KNOTS // 2]
    torch.testing.assert_close(at_middle, deviation.square(), rtol=1e-5, atol=0)
    np.testing.assert_allclose(told.powers[0].numpy(), measured.band_powers(), rtol=1e-6)
    whole = measured.spectrum((SIDE, SIDE))
    assert (abs(profile.band_means(power - whole)) < 5 * band_errors(whole, 40)).all()


def _between(told: Noise) -> torch.Tensor:
    """Square of the deviation, linear between knots, at 0, 1/3, 2/3 and 1."""
    deviation = told.variance.sqrt().numpy()
    grid = np.linspace(0, 1, KNOTS)
    return torch.tensor(np.array([np.interp(np.linspace(0, 1, 4), grid, one) ** 2 for one in deviation]))


def test_patches_are_clean_plus_noise_of_the_told_size() -> None:
    kinds = dataclasses.replace(DetectorRange(), told=0.0, overtold=0.0, clean=0.2)
    source = DetectorSource([image()], 64, kinds, CPU, phantoms=1)
    batch = source.draw(0, 200, torch.Generator().manual_seed(0))
    assert batch.noisy.shape == batch.target.shape == batch.details.shape == (200, 1, 64, 64)
    assert batch.maps.shape == (200, 1 + BANDS, 64, 64)
    noise = (batch.noisy - batch.target).square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(noise, batch.deviation)
    quiet = batch.deviation == 0
    assert 0.05 < quiet.float().mean() < 0.25
    believed = batch.maps[:, 0].square().mean(dim=(1, 2)).sqrt()
    ratio = (believed / batch.deviation)[~quiet]
    assert 0.9 < ratio.median() < 1.1
    detailed, strong = (batch.details != 0).flatten(1).any(dim=1), batch.deviation > 12 / GREY_MAX
    assert 0.4 < detailed[batch.deviation < 4 / GREY_MAX].float().mean() < 0.8
    assert detailed[strong].float().mean() < 0.2, "strong noise is not to be taken for details"
    assert torch.isfinite(batch.maps).all()


def test_the_same_generator_gives_the_same_patches() -> None:
    source = DetectorSource([image()], 32, DetectorRange(), CPU, phantoms=1)
    first, second = (source.draw(0, 6, torch.Generator().manual_seed(4)) for _ in range(2))
    for field in dataclasses.fields(first):
        assert torch.equal(getattr(first, field.name), getattr(second, field.name)), field.name


def test_phantoms_are_the_same_by_however_many_threads() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = detector._phantoms(3, 64)
        torch.set_num_threads(3)
        together = detector._phantoms(3, 64)
    finally:
        torch.set_num_threads(threads)
    for seed, (one, other) in enumerate(zip(alone, together, strict=True)):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, chest_phantom(64, rng=np.random.default_rng((77, seed)), mottle=False))


def test_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="smaller than 128x128 pixels, twice the patch"):
        DetectorSource([image(100)], 64, DetectorRange(), CPU, phantoms=1)


def even_noise(count: int, deviation: float, powers: tuple[float, ...] = (1.0,) * BANDS) -> Noise:
    """Noise of one deviation, grey levels."""
    variance = torch.full((count, KNOTS), (deviation / GREY_MAX) ** 2)
    return Noise(torch.zeros(count, 1, 1, 1), variance, torch.tensor(powers).expand(count, BANDS))


def told_errors(deviation: float, count: int = 4000, **kinds: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithms of what is told over what is true: (B, KNOTS) of the deviation, (B, BANDS) of the powers."""
    true, nobody = even_noise(count, deviation), torch.zeros(count, dtype=torch.bool)
    variance, powers = misjudged(true, DetectorRange(**kinds), draw(count), faithful=nobody)
    ratio = variance / true.variance
    return ratio.log() / 2, (powers * ratio[:, KNOTS // 2, None]).log()


def test_the_truth_is_told_where_it_should_be() -> None:
    true, first = even_noise(4, 1.0), torch.tensor([True, False, False, False])
    variance, powers = misjudged(true, DetectorRange(), draw(4), faithful=first)
    torch.testing.assert_close(variance[0], true.variance[0] + 1e-12)
    torch.testing.assert_close(powers[0], true.powers[0])
    assert (powers[1:] != true.powers[1:]).all()


@pytest.mark.parametrize(
    ("deviation", "slope", "bend", "bands"), [(40.0, 0.05, 0.05, 0.05), (1.0, 0.15, 0.09, 0.15), (0.1, 0.3, 0.15, 0.3)]
)
def test_the_curve_and_the_powers_err_less_under_strong_noise(
    deviation: float, slope: float, bend: float, bands: float
) -> None:
    level, powers = told_errors(deviation, told=0.0, overtold=0.0, taken=0.0)
    first, middle, last = level[:, 0], level[:, KNOTS // 2], level[:, -1]
    assert ((last - first) / 2).std() == pytest.approx(slope, rel=0.08)
    assert ((last + first) / 2 - middle).std() == pytest.approx(bend, rel=0.08)
    assert (powers[:, 0] - powers[:, -1]).std() == pytest.approx(bands * math.sqrt(2), rel=0.08)
    assert powers.mean(dim=0).abs().max() < 0.03
    areas = torch.from_numpy(profile.band_areas() / profile.band_areas().sum())
    of_bands = bands / 2 * float(areas.square().sum().sqrt())
    assert level.mean(dim=1).std() == pytest.approx(of_bands, rel=0.1), "slope and bend leave the mean as it is"


def test_the_whole_curve_errs_at_every_strength() -> None:
    for deviation in (40.0, 0.5):
        level = told_errors(deviation, told=0.3, overtold=0.0, taken=0.0)[0]
        assert level.mean(dim=1).std() == pytest.approx(0.3, rel=0.06)


def test_a_part_of_the_noise_is_told_to_be_texture() -> None:
    level, powers = told_errors(40.0, told=0.0, taken=1.0)
    lost = -powers.mean(dim=0)
    torch.testing.assert_close(lost[:3], torch.tensor([0.8, 0.32, 0.12]), rtol=0.1, atol=0.02)
    assert abs(lost[3]) < 0.02
    assert powers[:, 0].std() == pytest.approx(0.8, rel=0.1), "most lose little, a few nearly all"
    left = (2 * level[:, KNOTS // 2]).exp()
    found = (torch.from_numpy(profile.band_areas()).float() * powers.exp()).sum(dim=1) / profile.band_areas().sum()
    torch.testing.assert_close(left, found, rtol=0.2, atol=0.0)
    assert (left / found - 1).mean().abs() < 0.01, "the powers are relative to white noise of the deviation"


def test_some_are_told_far_too_much() -> None:
    everybody = 1e6
    level, powers = told_errors(40.0, told=0.0, taken=0.0, overtold=everybody)
    assert level.mean() == pytest.approx(math.log(3) / 2, rel=0.05)
    assert (powers[:, 0] - powers[:, -1]).std() == pytest.approx(2 * 0.4, rel=0.06)
    assert (powers[:, 1] - powers[:, 2]).std() == pytest.approx(2 * 0.4 / 3, rel=0.1)

    over, usual = (told_errors(1.0, told=0.0, overtold=share)[0][:, 0] for share in (0.1, 0.0))
    assert (over != usual).float().mean() == pytest.approx(0.1, abs=0.02)


def test_noise_is_often_told_of_where_there_is_none() -> None:
    count = 4000
    true = even_noise(count, 0.0, (4.0, 2.0, 1.0, 0.5))
    told, powers = misjudged(true, DetectorRange(), draw(count), faithful=torch.zeros(count, dtype=torch.bool))
    deviation = told[:, 0].sqrt() * GREY_MAX
    assert 0.5 < (deviation > 0.05).float().mean() < 0.7
    assert 1.1 < deviation.max() < 1.21
    torch.testing.assert_close(powers, torch.ones_like(powers), msg="what is told besides the noise is white")


@pytest.mark.parametrize("deviation", [1.0, 4.0])
def test_estimates_err_as_it_is_told(deviation: float) -> None:
    """On a phantom: the errors of the powers that an estimate finds lie among those that networks are trained with."""
    _, told = told_errors(deviation)
    low, high = told.quantile(0.005, dim=0), told.quantile(0.995, dim=0)
    assert ((high - low) < 6).all(), "errors of any size would contain those of the estimate"
    for seed in range(4):
        rng = np.random.default_rng((seed, 5))
        clean = chest_phantom(512, rng=rng, mottle=False).astype(np.float64)
        found = estimate_profile(clean + deviation * rng.standard_normal(clean.shape)).profile
        variance = (found.deviation_at(clean) ** 2).mean() / deviation**2
        error = torch.from_numpy(np.log(found.band_powers() * variance))
        assert ((error > low) & (error < high)).all(), error


def test_band_areas_are_the_shares_of_the_frequencies() -> None:
    frequency = np.fft.fftfreq(profile.GRID)
    radius = np.hypot(frequency[:, None], frequency)
    expected = [((radius >= low) & (radius < high)).mean() for low, high in profile.BANDS]
    np.testing.assert_allclose(profile.band_areas(), expected)
    assert 0.98 < profile.band_areas().sum() < 1


def test_details_are_small_and_of_either_sign() -> None:
    found = details(SIDE, draw(300))
    peaks = found.abs().amax(dim=(1, 2, 3))
    assert 0.3 < peaks.median() < 2
    assert (found.amin(dim=(1, 2, 3)) < -0.2).float().mean() > 0.2
    assert (found.amax(dim=(1, 2, 3)) > 0.2).float().mean() > 0.5


def test_details_differ_from_patch_to_patch() -> None:
    found = details(SIDE, draw(40)).flatten(1)
    assert torch.unique(found, dim=0).shape[0] == 40


def test_as_many_details_of_each_kind_as_there_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn of a kind is replaced by a pixel: its row is the number of the structure, its column the kind."""
    shares = {"_disc": 0.2, "_dots": 0.45, "_line": 0.15, "_edge": 0.08, "_texture": 0.12}

    def pixels(column: int) -> Callable[..., torch.Tensor]:
        shapes = iter(torch.eye(8)[:, :, None] * torch.eye(8)[column])
        return lambda *_: next(shapes)[None]

    for column, name in enumerate(shares):
        monkeypatch.setattr(inserted, name, pixels(column))
    found = details(8, draw(40_000))[:, 0]
    used = found != 0
    counts = used.sum(dim=(1, 2)).bincount(minlength=7) / len(found)
    assert counts.tolist() == pytest.approx([0, 0.2, 0.2, 0.2, 0.2, 0.2, 0], abs=0.01), "one to five in a patch"
    assert int(used.sum(dim=2).max()) == 1, "each is of one kind"
    kinds = used.sum(dim=(0, 1)) / used.sum()
    assert kinds[:5].tolist() == pytest.approx(list(shares.values()), abs=0.01)
    peaks = found[used]
    assert float((peaks > 0).float().mean()) == pytest.approx(0.7, abs=0.01)
    assert peaks.abs().aminmax() == pytest.approx((0.3, 1.0), abs=0.01)


def test_details_have_the_shapes_that_are_described() -> None:
    """Against loops over the pixels of one patch of two."""
    side = 24
    ramp = torch.arange(side, dtype=torch.float32)
    y, x, size, turn, soft, amount, length = (
        torch.tensor(pair)[:, None, None]
        for pair in ((9.0, 15.0), (12.0, 6.0), (0.4, 0.9), (0.1, 0.8), (0.2, 0.7), (0.3, 0.6), (0.05, 0.4))
    )
    places = inserted.Places(ramp[:, None] - y, ramp - x, size, turn, soft, amount)
    disc, line, edge = inserted._disc(places), inserted._line(places, length), inserted._edge(places)
    for one in range(2):
        Y, X, S, T, W, L = (float(values[one]) for values in (y, x, size, turn, soft, length))
        for row, column in ((0, 0), (9, 12), (15, 6), (11, 20), (23, 23)):
            down, right = row - Y, column - X
            inside = 1 + 11 * S**2 - math.hypot(down, right)
            assert float(disc[one, row, column]) == pytest.approx(sigmoid(inside / (0.4 + W)), abs=1e-5)
            across = down * math.cos(math.pi * T) + right * math.sin(math.pi * T)
            along = right * math.cos(math.pi * T) - down * math.sin(math.pi * T)
            expected = math.exp(-(across**2) / (2 * (0.5 + 1.5 * S) ** 2)) * sigmoid((5 + 60 * L - abs(along)) / 2)
            assert float(line[one, row, column]) == pytest.approx(expected, abs=1e-5)
            across = down * math.cos(2 * math.pi * T) + right * math.sin(2 * math.pi * T)
            assert float(edge[one, row, column]) == pytest.approx(sigmoid(across / (0.4 + W)), abs=1e-5)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_dots_and_textures_are_as_strong_as_described() -> None:
    side, count = 64, 400
    ramp = torch.arange(side, dtype=torch.float32)
    middle, size, zero, one = (torch.full((count, 1, 1), value) for value in (31.5, 0.2, 0.0, 1.0))
    places = inserted.Places(ramp[:, None] - middle, ramp - middle, size, zero, one, zero)
    texture = inserted._texture(places, draw(count))
    assert float(texture[:, 30:34, 30:34].std()) == pytest.approx(0.5, rel=0.05)
    assert float(texture.mean()) == pytest.approx(0, abs=0.01)
    dots = inserted._dots(places, draw(count))
    peaks = dots.amax(dim=(1, 2))
    assert float(peaks.max()) <= 1.0, "a single dot of 0.4 to 1"
    assert 0.25 < float(peaks.min()) < float(peaks.median()) < 0.9
    several = inserted._dots(inserted.Places(places.down, places.right, zero, zero, one, 0.999 * one), draw(count))
    assert float(several.sum() / dots.sum()) == pytest.approx(20, rel=0.2)


def test_a_decibel_counts_alike_at_every_level_of_noise() -> None:
    """The gradient of the loss by the logarithm of the error of a patch is one, for errors a hundred times apart."""
    torch.manual_seed(0)
    target = torch.zeros(2, 1, 16, 16)
    scale = torch.zeros(2, requires_grad=True)
    error = torch.randn(2, 1, 16, 16) * torch.tensor([0.1, 10.0])[:, None, None, None] / 10
    restored = error * scale.exp()[:, None, None, None]
    loss = decibel_loss(restored, target, torch.zeros_like(target), torch.zeros(2), 0.0)
    loss.total.backward()
    assert scale.grad is not None
    torch.testing.assert_close(
        scale.grad, torch.ones(2), rtol=1e-3, atol=0
    )  # d/ds of log(exp(2 s)) is 2, over 2 patches
    perfect = decibel_loss(target, target, torch.zeros_like(target), torch.zeros(2), 0.0)
    assert float(perfect.total) == pytest.approx(math.log(SMALLEST_ERROR**2))


def test_patches_with_less_than_the_usual_error_count_less() -> None:
    """A patch with the usual error counts half, one with less error less.

    The usual error is half of the power of noise of 0.45 grey levels, and a fifth of that of four times stronger noise.
    """
    deviation = torch.tensor([0.45, 0.45, 4 * 0.45]) / GREY_MAX
    usual = deviation**2 * torch.tensor([1 / 2, 1 / 2, 1 / 5])
    target = torch.zeros(3, 1, 16, 16)
    scale = torch.zeros(3, requires_grad=True)
    error = (usual * torch.tensor([1.0, 1 / 9, 1.0])).sqrt()[:, None, None, None] + target
    restored = error * scale.exp()[:, None, None, None]
    decibel_loss(restored, target, torch.zeros_like(target), deviation, 0.0).total.backward()
    assert scale.grad is not None
    torch.testing.assert_close(scale.grad, torch.tensor([1 / 2, 1 / 10, 1 / 2]) * 2 / 3, rtol=0.02, atol=0)


def test_a_lost_detail_is_counted_by_its_share() -> None:
    detail = torch.zeros(2, 1, 16, 16)
    detail[0, 0, 4:7, 4:7] = 0.2
    target, quiet = detail.clone(), torch.zeros(2)
    for kept, lost in ((1.0, 0.0), (0.5, 0.25), (0.0, 1.0), (-3.0, 1.0)):
        found = decibel_loss(target * kept, target, detail, quiet, 2.0)
        assert float(found.asymmetric) == pytest.approx(lost / 2, abs=1e-4), "one of two patches holds a detail"
        plain = decibel_loss(target * kept, target, detail, quiet, 0.0)
        assert float(found.total - plain.total) == pytest.approx(lost, abs=1e-3)


def test_what_noise_hides_need_not_be_kept() -> None:
    """Noise of a sixth of the root of the energy of the fine structure gives d' = 6, and a weight of one half."""
    detail = torch.zeros(1, 1, 32, 32)
    detail[0, 0, 14:17, 14:17] = peak = 0.002
    energy = 9 * peak * (peak - 9 * peak / 81)
    for times, share in ((1.0, 0.5), (30.0, 1 / 901), (1e-2, 1.0)):
        noise = torch.tensor([times * math.sqrt(energy) / VISIBLE])
        found = decibel_loss(torch.zeros_like(detail), detail, detail, noise, 1.0)
        assert float(found.asymmetric) == pytest.approx(share, abs=1e-3)


def test_lost_details_hardly_count_under_strong_noise() -> None:
    detail = torch.zeros(1, 1, 32, 32)
    detail[0, 0, 8:24, 8:24] = 1e3  # visible under any noise
    for deviation, share in ((0.8, 1.0), (8.0, 0.5), (24.0, 1 / 82)):
        noise = torch.tensor([deviation / GREY_MAX])
        found = decibel_loss(torch.zeros_like(detail), detail, detail, noise, 1.0)
        assert float(found.asymmetric) == pytest.approx(share, abs=1e-3)
