"""What of modules' parameters is seen to change."""

import copy

import torch
from torch import nn
from torch.nn.utils import parametrizations

from secondread.networks.native.state import State, state_of


def test_a_change_in_place_a_new_parameter_and_new_data_are_seen():
    modules = [nn.Conv2d(2, 2, 3, bias=False), nn.BatchNorm2d(2)]
    known = state_of(modules).held()
    assert state_of(modules) == known
    with torch.no_grad():
        modules[1].bias.add_(1)
    known, before = state_of(modules).held(), known
    assert known != before
    modules[0].weight = nn.Parameter(modules[0].weight.detach().clone())
    known, before = state_of(modules).held(), known
    assert known != before
    modules[0].weight.data = modules[0].weight.data.clone()
    assert state_of(modules) != known


def test_no_later_parameter_lies_where_a_known_one_lay():
    module = nn.Conv2d(2, 2, 3, bias=False)
    known = state_of([module]).held()
    for _ in range(5):
        module.weight.data = torch.zeros(2, 2, 3, 3)
        assert state_of([module]) != known


def test_statistics_that_training_moved_are_seen():
    norm = nn.BatchNorm2d(2)
    known = state_of([norm]).held()
    norm(torch.randn(2, 2, 3, 3))
    assert state_of([norm]) != known


def test_what_makes_a_weight_is_seen():
    module = parametrizations.spectral_norm(nn.Linear(2, 2)).eval()
    known = state_of([module]).held()
    assert state_of([module]) == known
    with torch.no_grad():
        module.parametrizations.weight.original.mul_(2)
    assert state_of([module]) != known


def test_a_copy_holds_nothing():
    assert copy.deepcopy(state_of([nn.Linear(2, 2)]).held()) == State()
