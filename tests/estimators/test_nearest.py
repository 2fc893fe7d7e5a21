import pytest
import torch

from secondread.estimators import nearest as module
from secondread.estimators.nearest import nearest


@pytest.mark.parametrize("numbers", [2**24, 200])
def test_distances_are_those_of_every_pair(monkeypatch, numbers):
    monkeypatch.setattr(module, "NUMBERS", numbers)
    rows, bank = torch.randn(20, 12) + 30, torch.randn(50, 12) + 30
    distances, indices = nearest(rows, bank, 4)
    expected = torch.cdist(rows.double(), bank.double()).topk(4, largest=False)
    torch.testing.assert_close(distances.double(), expected.values, atol=1e-5, rtol=1e-5)
    assert torch.equal(indices, expected.indices)


def test_a_row_of_the_bank_is_at_no_distance_from_itself_however_far_from_zero():
    bank = torch.randn(30, 8) * 1e-3 + 1000
    distances, indices = nearest(bank, bank, 1)
    assert float(distances.max()) == 0
    assert torch.equal(bank[indices[:, 0]], bank)


def test_a_distance_does_not_depend_on_the_other_rows():
    rows, bank = torch.randn(33, 64), torch.randn(500, 64)
    together, _ = nearest(rows, bank, 3)
    for at in range(0, 33, 8):
        torch.testing.assert_close(nearest(rows[at : at + 1], bank, 3)[0], together[at : at + 1])


def test_all_of_a_small_bank_can_be_asked_for():
    distances, indices = nearest(torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]]), 2)
    assert distances.tolist() == [[1.0, 5.0]]
    assert indices.tolist() == [[1, 0]]
