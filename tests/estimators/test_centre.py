import torch

from secondread.estimators.centre import centre_of


def test_numbers_within_a_tenth_of_0_are_moved_there_by_their_sign():
    rows = torch.tensor([[3.0, 0.04, -0.1, 0.0], [1.0, 0.0, 0.06, 0.0]])
    torch.testing.assert_close(centre_of(rows), torch.tensor([2.0, 0.1, -0.1, 0.0]))
