import math

import pytest
import torch

from secondread.networks.refiner import Refiner, focal_loss


@pytest.mark.parametrize("channels", [1, 2])
def test_the_refiner_has_the_published_layers(channels):
    network = Refiner(2, channels)
    first, middle, last = 9 * channels * 128 + 128, 9 * 128 * 128 + 128, 9 * 128 * 2 + 2
    assert sum(p.numel() for p in network.parameters()) == first + middle + last + 4 * 128


@pytest.mark.parametrize("size", [(12, 10), (8, 6, 7)])
def test_a_place_sees_three_positions_each_way(size):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Refiner(len(size), 1, width=8).eval()
    maps = torch.zeros(1, 1, *size)
    changed = maps.clone()
    changed[(0, 0, *[0] * len(size))] = 1
    difference = (network(changed) - network(maps)).abs().amax(dim=1)[0]
    assert network(maps).shape == (1, 2, *size)
    assert difference[tuple([3] * len(size))] > 0
    assert difference.movedim(0, -1)[..., 4:].max() == 0


def test_the_focal_loss_is_its_formula():
    logits = torch.tensor([[1.0, -0.5]]).view(1, 2, 1, 1)
    p = math.exp(-0.5) / (math.exp(1) + math.exp(-0.5))
    for abnormal, true in ((True, p), (False, 1 - p)):
        found = focal_loss(logits, torch.full((1, 1, 1, 1), abnormal))
        assert found.item() == pytest.approx(-((1 - true) ** 2) * math.log(true), rel=1e-3)
    plain = focal_loss(logits, torch.ones(1, 1, 1, 1, dtype=torch.bool), gamma=0)
    assert plain.item() == pytest.approx(-math.log(p), rel=1e-3)


def test_the_focal_loss_is_finite_where_the_network_is_sure():
    logits = torch.tensor([[200.0, -200.0]]).view(1, 2, 1, 1).requires_grad_()
    for abnormal in (True, False):
        loss = focal_loss(logits, torch.full((1, 1, 1, 1), abnormal)).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert gradient.isfinite().all()
