"""Muon: orthogonal updates of the size of Adam's, for hidden kernels only, kept in checkpoints."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from tests.training.test_loop import SMALL, STEADY, training, weights_of
from xray_denoise import nets
from xray_denoise.training.loop import Training
from xray_denoise.training.optimizers import LIKE_ADAM, Muon, optimizers, orthogonal

WIDER = {"widths": [16, 16, 16]}


@pytest.mark.parametrize("shape", [(32, 200), (200, 32), (24, 24)])
def test_an_orthogonal_update_goes_the_same_way_with_all_strengths_alike(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-4
    left, strengths, right = torch.linalg.svd(matrix, full_matrices=False)
    found = torch.diag(left.mT @ orthogonal(matrix) @ right.mT)
    well_above_zero = strengths > 0.01 * strengths[0]
    assert well_above_zero.sum() > 20
    assert found[well_above_zero].min() > 0.5
    assert found.max() < 1.3
    aside = orthogonal(matrix) - left @ torch.diag(found) @ right
    assert aside.abs().max() < 1e-4


def test_nothing_to_follow_moves_nothing() -> None:
    assert not orthogonal(torch.zeros(16, 144)).any()


def test_a_step_is_as_large_as_one_of_adam_and_looks_ahead() -> None:
    kernel = torch.nn.Parameter(torch.zeros(32, 48, 3, 3))
    muon = Muon([kernel], lr=0.01)
    gradient = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(1))
    kernel.grad = gradient.clone()
    muon.step()
    size = kernel.detach().square().mean().sqrt()
    assert size == pytest.approx(0.01 * LIKE_ADAM, rel=0.2)
    assert (kernel.detach() * gradient).sum() < 0
    torch.testing.assert_close(muon.state[kernel]["mean"], 0.05 * gradient)
    with pytest.raises(ValueError, match="again"):
        muon.step(lambda: 0.0)


def test_every_weight_has_one_optimizer_and_hidden_kernels_have_muon() -> None:
    net = nets.build("lite")
    muon, adam = optimizers(net, "muon", 1e-3)
    names = {id(value): name for name, value in net.named_parameters()}
    held = [[names[id(value)] for group in one.param_groups for value in group["params"]] for one in (muon, adam)]
    assert sorted(held[0] + held[1]) == sorted(names.values())
    assert {"denoiser.coarse.4.weight", "denoiser.to_fine.weight"} <= set(held[0])
    assert {"denoiser.correction.weight", "denoiser.down_fine.0.weight", "denoiser.coarse.4.bias"} <= set(held[1])
    assert len(optimizers(nets.build("lite", widths=[8, 8, 8], level="std"), "muon", 1e-3)) == 2, "the level estimator"
    assert len(optimizers(torch.nn.Conv2d(1, 4, 3), "muon", 1e-3)) == 1
    assert len(optimizers(net, "adam", 1e-3)) == 1


def test_one_norm_of_all_gradients_is_clipped(tmp_path: Path) -> None:
    clip = 1e-6
    config = dataclasses.replace(SMALL, optimizer="muon", clip=clip)
    one = training(tmp_path, config, nets.build("lite", **WIDER))
    one._train_step()
    muon, adam = one._optimizers
    gradients = [state["mean"] / 0.05 for state in muon.state.values()]
    gradients += [state["exp_avg"] / 0.1 for state in adam.state.values()]
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
    assert norm == pytest.approx(clip, rel=0.01)


def test_training_by_muon_learns_and_goes_on_after_a_pause(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, steps=100, lr=3e-3, optimizer="muon")

    def fresh(run: Path, **limits: float) -> Training:
        torch.manual_seed(0)
        return training(run, config, nets.build("lite", **WIDER), limits=dataclasses.replace(STEADY, **limits))

    whole = fresh(tmp_path / "whole")
    batch = whole._source.draw(0, 32, torch.Generator().manual_seed(9))
    list(whole.rows())
    noise, left = ((one - batch.clean).square().mean() for one in (batch.noisy, whole.result(batch.noisy)[0]))
    assert left < 0.8 * noise
    list(fresh(tmp_path / "paused", pause_seconds=0).rows())
    resumed = fresh(tmp_path / "paused", pause_seconds=math.inf)
    assert resumed.step == 25
    list(resumed.rows())
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(resumed)[name]), name
