import numpy as np
import pytest
import torch

from secondread.errors import UserError
from secondread.estimators.principal_components import principal_components


def made_rows(n=200):
    rows = np.random.default_rng(0).normal(size=(n, 6)) * [5.0, 3.0, 1.0, 0.5, 0.1, 0.01]
    return torch.from_numpy(rows - rows.mean(axis=0))


def test_the_fewest_directions_that_hold_the_share_are_kept():
    rows = made_rows()
    directions = principal_components(rows, 0.95, "any")
    kept = (rows @ directions.T).square().sum() / rows.square().sum()
    fewer = (rows @ directions[:-1].T).square().sum() / rows.square().sum()
    assert fewer < 0.95 <= kept
    torch.testing.assert_close(directions @ directions.T, torch.eye(len(directions), dtype=torch.float64))


def test_all_directions_keep_every_inner_product():
    rows = made_rows()
    projected = rows @ principal_components(rows, None, "any").T
    torch.testing.assert_close(projected @ projected.T, rows @ rows.T)


def test_directions_in_which_nothing_varies_are_left_out():
    rows = made_rows(4)
    assert len(principal_components(rows, None, "any")) == 3


@pytest.mark.parametrize("rows", [torch.zeros(5, 3), torch.ones(1, 3)])
def test_rows_that_do_not_differ_are_refused(rows):
    with pytest.raises(UserError, match=f"any needs normal images that differ, and found {len(rows)} of"):
        principal_components(rows.double(), 0.9, "any")
