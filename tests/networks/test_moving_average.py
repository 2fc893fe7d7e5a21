import pytest
import torch
from torch import nn

from secondread.networks.moving_average import MovingAverageCopy


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1))


def test_a_copy_begins_as_its_source_and_has_nothing_to_train():
    source = network().eval()
    copy = MovingAverageCopy(source)
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(copy(images), source(images))
    assert not list(copy.parameters())


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_an_update_moves_it_by_the_share_that_the_decay_leaves(decay):
    source = network()
    copy = MovingAverageCopy(source)
    before = copy.network[0].weight.clone()
    with torch.no_grad():
        source[0].weight += 1.0
    copy.update(source, decay)
    torch.testing.assert_close(copy.network[0].weight, before + (1 - decay))


def test_batch_statistics_follow_too():
    source = network().train()
    copy = MovingAverageCopy(source)
    source(torch.randn(8, 1, 8, 8) + 3)
    copy.update(source, 0.5)
    torch.testing.assert_close(copy.network[1].running_mean, 0.5 * source[1].running_mean)
    assert copy.network[1].num_batches_tracked == 1


def test_its_state_loads_into_another_copy():
    source = network()
    copy, other = MovingAverageCopy(source), MovingAverageCopy(network())
    with torch.no_grad():
        source[0].weight += 1.0
    copy.update(source, 0.5)
    other.load_state_dict(copy.state_dict())
    assert torch.equal(other.network[0].weight, copy.network[0].weight)
