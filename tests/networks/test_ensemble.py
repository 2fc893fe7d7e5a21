import copy

import pytest
import torch

from secondread.networks.ensemble import Ensemble, evaluating
from secondread.networks.reconstruction import Autoencoder, MemoryAutoencoder

SAME = {"rtol": 1e-4, "atol": 1e-6}
"""Float32 sums in another order."""


def pair(rank, kind=Autoencoder):
    """The same ensemble run both ways, and images for it."""
    torch.manual_seed(0)
    size = (32, 32) if rank == 2 else (16, 16, 16)
    one = Ensemble(lambda: kind(rank, 1, 2, size, width=4, hidden=32), 3, run="sequential")
    other = copy.deepcopy(one)
    other.run = "batched"
    return one, other, torch.randn(6, 1, *size)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("kind", [Autoencoder, MemoryAutoencoder])
def test_one_pass_and_one_after_another_give_the_same_values_gradients_and_statistics(rank, kind):
    one, other, images = pair(rank, kind)
    for _ in range(2):
        for ensemble in (one, other):
            outputs = ensemble(images)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            sum(output.square().mean() for output in outputs).backward()
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, **SAME, msg=name)
    for (name, p), q in zip(one.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(p, q, **SAME, msg=name)
    assert all(int(b) == 2 for name, b in other.named_buffers() if name.endswith("num_batches_tracked"))


@pytest.mark.parametrize("rank", [2, 3])
def test_both_ways_score_alike_and_leave_the_statistics_alone(rank):
    one, other, images = pair(rank)
    one(images), other(images)
    before = copy.deepcopy(other.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(other.eval()(images), one.eval()(images), **SAME)
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("kind", [Autoencoder, MemoryAutoencoder])
def test_what_each_network_gives_is_a_slice_of_what_all_give(kind):
    for ensemble in pair(2, kind)[:2]:
        images = pair(2)[2]
        ensemble.eval()
        together, each = ensemble(images), ensemble.each(images)
        assert len(each) == 3
        for number, found in enumerate(each):
            if kind is Autoencoder:
                torch.testing.assert_close(found, together[number])
            else:
                for one, stacked in zip(found, together, strict=True):
                    torch.testing.assert_close(one, stacked[number])


def test_both_ways_have_one_state_dict():
    one, other, _ = pair(2)
    assert list(one.state_dict()) == list(other.state_dict())


def test_the_networks_of_an_ensemble_differ():
    one, _, images = pair(2)
    outputs = one(images)
    assert outputs.shape == (3, 6, 2, 32, 32)
    assert all(not torch.allclose(outputs[i], outputs[j]) for i in range(3) for j in range(i))


def test_evaluating_is_over_when_it_is_over():
    one, _, images = pair(2)
    one.members[0].eval()
    before = copy.deepcopy(one.state_dict())
    with evaluating(one):
        assert not one(images).requires_grad
    assert [member.training for member in one.members] == [False, True, True]
    assert one(images).requires_grad
    assert all(torch.equal(before[name], t) for name, t in one.state_dict().items() if "members.0" in name)
