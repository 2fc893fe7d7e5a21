import pytest
import torch

from secondread.detectors.blocks.hard_mining import HardMining, HardMiningSettings


def maps():
    """Distances 0, 0, 1 and 2 at four positions."""
    target = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 1)
    student = torch.tensor([[1.0, 1.0, 0.0, -1.0], [0.0, 0.0, 1.0, 0.0]]).view(1, 2, 4, 1)
    return target, student.requires_grad_()


def weights(mining):
    target, student = maps()
    mining(target, student).sum().backward()
    return student.grad[0, 0, :, 0].tolist()


def test_the_value_goes_from_start_to_end_in_a_straight_line_and_stays():
    mining, seen = HardMining(HardMiningSettings(steps=4)), []
    for _ in range(6):
        seen.append(mining.value)
        mining.step()
    assert seen == [-3.0, -2.0, -1.0, 0.0, 1.0, 1.0]
    assert int(mining.state_dict()["taken"]) == 6


def test_positions_below_mean_and_deviation_give_no_gradient():
    mining = HardMining(HardMiningSettings(start=1, end=1))  # mean 0.75, deviation 0.96
    assert weights(mining) == [0, 0, 0, 1]
    assert weights(HardMining(HardMiningSettings(start=0, end=0))) == [0, 0, 1, 1]
    assert weights(HardMining(HardMiningSettings())) == [1, 1, 1, 1]


def test_or_the_share_that_is_restored_best_gives_a_smaller_one():
    settings = HardMiningSettings(rule="share", start=0.0, end=0.75, steps=1, factor=0.1)
    mining = HardMining(settings)
    assert weights(mining) == [1, 1, 1, 1]
    mining.step()
    assert weights(mining) == pytest.approx([0.1, 0.1, 0.1, 1])
