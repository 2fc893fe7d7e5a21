import torch

from secondread.estimators.shrunk_gaussian import add_moments
from secondread.estimators.subspace import Subspace


def made(n=60):
    """Vectors in four dimensions that vary in the first two alone, but for a little."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(n, 4, generator=generator) * torch.tensor([3.0, 2.0, 0.01, 0.01])
    return rows + torch.tensor([5.0, 0.0, -1.0, 2.0])


def test_the_distance_is_what_the_kept_components_do_not_explain():
    subspace = Subspace(4)
    subspace.fit(made(), 0.99, "any")
    assert subspace.basis.shape == (2, 4)
    away = torch.tensor([[0.0, 0.0, 3.0, 4.0]])
    found = subspace(subspace.mean + away)
    torch.testing.assert_close(found, torch.tensor([5.0]), atol=1e-2, rtol=0)
    along = torch.tensor([[100.0, -100.0, 0.0, 0.0]])
    assert float(subspace(subspace.mean + along)) < 2


def test_fitted_by_moments_it_is_the_same():
    rows, by_moments, by_rows = made(), Subspace(4), Subspace(4)
    sums = None
    for batch in rows.split(13):
        sums = add_moments(sums, batch)
    by_moments.fit_moments(sums, 0.8)
    by_rows.fit(rows, 0.8, "any")
    x = made(7) + torch.arange(4.0)
    torch.testing.assert_close(by_moments(x), by_rows(x), atol=1e-4, rtol=1e-4)


def test_fewer_vectors_than_dimensions_span_what_they_can():
    rows = torch.randn(5, 40, generator=torch.Generator().manual_seed(1))
    subspace = Subspace(40)
    subspace.fit(rows, 0.999, "any")
    assert len(subspace.basis) == 4
    assert float(subspace(rows).max()) < 1e-4
