import pytest
import torch

from secondread.networks.quantised.codebook import Codebook


def book(codes, **changes):
    made = Codebook(len(codes), len(codes[0]), **{"decay": 0.75, "dead_below": 0.0, **changes})
    made.codes.copy_(torch.tensor(codes))
    made.sums.copy_(made.codes)
    return made


def test_each_place_is_given_the_nearest_code():
    made = book([[0.0, 0.0], [1.0, 1.0], [4.0, 0.0]])
    z = torch.tensor([[[[0.4, 0.6], [2.6, 9.0]], [[0.5, 0.5], [0.1, 0.0]]]])
    chosen = made.nearest(z)
    assert chosen.tolist() == [[[0, 1], [2, 2]]]
    assert made.embed(chosen)[0, :, 1, 0].tolist() == [4.0, 0.0]


def test_codes_follow_the_mean_of_what_they_stand_for():
    made = book([[0.0], [10.0]])
    z = torch.tensor([1.0, 2.0, 3.0, 8.0]).view(4, 1, 1, 1)
    made.see(z, made.nearest(z), torch.Generator())
    before = made.codes.clone()
    assert torch.equal(made.codes, before)
    made.update()
    uses = torch.tensor([0.75 + 0.25 * 3, 0.75 + 0.25 * 1])
    sums = torch.tensor([[0.25 * 6], [7.5 + 0.25 * 8]])
    torch.testing.assert_close(made.uses, uses)
    torch.testing.assert_close(made.sums, sums)
    torch.testing.assert_close(made.codes, sums / uses[:, None], rtol=1e-4, atol=1e-4)
    made.update()
    torch.testing.assert_close(made.uses, uses)  # a batch counts once


def test_a_code_that_is_not_used_becomes_a_vector_of_the_batch():
    made = book([[0.0], [100.0]], dead_below=0.8)
    z = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
    made.see(z, made.nearest(z), torch.Generator().manual_seed(0))
    made.update()
    assert made.codes[1].item() == pytest.approx(round(made.codes[1].item()), abs=1e-3)
    assert 1 <= round(made.codes[1].item()) <= 3
    assert made.uses[1] == 1.6


def test_codes_start_as_vectors_of_a_map():
    made = book([[0.0, 0.0]] * 5)
    z = torch.randn(2, 2, 3, 3)
    made.begin(z, torch.Generator().manual_seed(0))
    rows = z.movedim(1, -1).reshape(-1, 2)
    assert all((rows == code).all(dim=1).any() for code in made.codes)
