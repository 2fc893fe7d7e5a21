import pytest
import torch

from secondread.estimators.kernel_density import kernel_distance, kernel_width


def test_it_is_the_log_of_the_mean_kernel_and_that_of_one_row_its_squared_distance():
    rows, bank = torch.randn(5, 3), torch.randn(7, 3)
    squares = (rows[:, None] - bank).square().sum(2)
    expected = -(-2.0 * squares).exp().mean(1).log() / 2.0
    torch.testing.assert_close(kernel_distance(rows, bank, 2.0), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(kernel_distance(rows, bank[:1], 3.0), squares[:, 0])
    alone = torch.cat([kernel_distance(row[None], bank, 2.0) for row in rows])
    assert torch.equal(alone, kernel_distance(rows, bank, 2.0))


def test_the_width_is_that_of_all_numbers_together():
    bank = torch.tensor([[0.0, 2.0], [4.0, 2.0]])
    assert kernel_width(bank, 10.0) == pytest.approx(10 / (2 * 2.0))
    assert kernel_width(torch.ones(3, 2), 10.0) == 1.0
