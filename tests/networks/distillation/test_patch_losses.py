import pytest
import torch

from secondread.networks.distillation.patch_losses import compactness, triplet


def test_a_triplet_counts_the_nearer_of_the_negatives_distances():
    a, b, c = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.5]])
    assert float(triplet(a, b, c, 3.0)) == pytest.approx(3 + 1 - 1.5**2)
    assert float(triplet(a, b, 9 * c, 3.0)) == 0


def test_compactness_is_the_sum_of_squared_correlations_of_different_dimensions():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
        [[1.0, 0.5, 0.0], [0.0, 1.0, -0.7], [0.0, 0.0, 1.0]]
    )
    expected = torch.corrcoef(x.T).square().triu(diagonal=1).sum()
    torch.testing.assert_close(compactness(x), expected, atol=1e-5, rtol=1e-5)


def test_dimensions_that_do_not_vary_have_no_correlation():
    assert float(compactness(torch.ones(8, 3))) == 0
