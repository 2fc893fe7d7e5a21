"""What follows from parameters is worked out once, and again when one of them changes."""

import copy
import pickle

import torch
from torch import nn

from secondread.flows.kept_weights import KeptWeights


def test_it_is_made_anew_for_a_changed_parameter_another_form_and_once_forgotten():
    parameters, kept, made = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))], KeptWeights(), []

    def ask(*form):
        kept.of(parameters, lambda: made.append(form), *form)
        return len(made)

    assert [ask(), ask()] == [1, 1]
    with torch.no_grad():
        parameters[0].add_(1)
    assert [ask(), ask()] == [2, 2]
    parameters[1].data = torch.ones(2)
    assert [ask(), ask()] == [3, 3]
    assert [ask(torch.bfloat16), ask(torch.bfloat16)] == [4, 4]
    kept.forget()
    assert ask(torch.bfloat16) == 5


def test_a_copy_holds_nothing():
    kept, parameters = KeptWeights(), [nn.Parameter(torch.ones(3))]
    kept.of(parameters, lambda: "made")
    for same in (copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert same.of(parameters, lambda: "made anew") == "made anew"
    assert kept.of(parameters, lambda: "made anew") == "made"
