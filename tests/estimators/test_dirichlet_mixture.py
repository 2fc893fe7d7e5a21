import math

import numpy as np
import pytest
import torch
from scipy.special import digamma
from scipy.stats import multivariate_normal

from secondread.estimators.dirichlet_mixture import DirichletMixture


def groups(n, centres, deviation=0.1, seed=0):
    """Rows about each centre in turn, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.tensor(centres, dtype=torch.float32).repeat(n, 1)
    rows = own + deviation * torch.randn(own.shape, generator=generator)
    return rows[torch.randperm(len(rows), generator=generator)]


CENTRES = [[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 2.0]]


def fitted(form, components=8, steps=60, rows=None, seed=0, **more):
    mixture = DirichletMixture(components, 3, form=form, **more)
    rows = groups(100, CENTRES) if rows is None else rows
    mixture.begin(rows, torch.Generator().manual_seed(seed))
    losses = [float(mixture.step(rows)) for _ in range(steps)]
    return mixture, rows, losses


@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_a_step_is_the_equations(form):
    rows = groups(20, CENTRES, deviation=0.5)
    mixture = DirichletMixture(4, 3, form=form, regularisation=0.01)
    mixture.begin(rows, torch.Generator().manual_seed(0))
    mixture.step(rows)
    r0, s0, second0 = (getattr(mixture, name).double().numpy() for name in ("share", "first", "second"))
    mean0, weight0, a0 = mixture.mean.numpy(), mixture.log_weight.exp().numpy(), float(mixture.concentration)
    x = rows.double().numpy()
    spread = mixture.spread.double().numpy()
    scale = [np.diag(one) if form == "diagonal" else one for one in spread]
    covariance = [np.linalg.inv(one.T @ one) for one in scale]
    dense = np.stack(
        [w * multivariate_normal(m, c).pdf(x) for w, m, c in zip(weight0, mean0, covariance, strict=True)], 1
    )
    total = dense.sum(1)
    torch.testing.assert_close(mixture.density(rows).double().numpy(), np.log(total), atol=1e-4, rtol=1e-4)
    loss = float(mixture.step(rows))
    assert loss == pytest.approx(-np.log(total).mean(), abs=1e-4)
    q = dense / total[:, None]
    n = len(x)
    r = 0.8 * r0 + 0.2 * q.mean(0)
    s = 0.8 * s0 + 0.2 * q.T @ x / n
    outer = np.einsum("nk,ni,nj->kij", q, x, x) / n
    if form == "diagonal":
        outer = np.diagonal(outer, axis1=1, axis2=2)
    second = 0.8 * second0 + 0.2 * outer
    mean = s / r[:, None]
    np.testing.assert_allclose(mixture.mean.numpy(), mean, atol=1e-4)
    for k in range(4):
        own = second[k] / r[k]
        own = (
            own - mean[k] ** 2 + 0.01
            if form == "diagonal"
            else own - np.outer(mean[k], mean[k]) + 0.01 * np.eye(3)
        )
        found = mixture.spread[k].double().numpy()
        expected = 1 / found**2 if form == "diagonal" else np.linalg.inv(found.T @ found)
        np.testing.assert_allclose(expected, own, atol=2e-3, rtol=2e-3)
    tail = r.sum() - r.cumsum()
    v = r / (r + (a0 - 1) / n + tail)
    v[-1] = 1
    weight = v * np.concatenate(([1], np.cumprod(1 - v)[:-1]))
    np.testing.assert_allclose(mixture.log_weight.exp().numpy(), weight, atol=1e-4)
    gaps = digamma(n * (r + tail) + a0 + 1) - digamma(n * tail + a0)
    assert float(mixture.concentration) == pytest.approx(max(1, 3 / gaps[:-1].sum()), rel=1e-3)


@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_groups_are_found_and_the_rest_of_the_components_is_not_needed(form):
    mixture, rows, losses = fitted(form, steps=300)
    assert losses[-1] < losses[0]
    weights = mixture.log_weight.exp()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-5)
    near = torch.cdist(torch.tensor(CENTRES), mixture.mean[mixture.kept]).amin(dim=1)
    assert (near < 0.1).all()
    far = torch.tensor([[2.0, 2.0, 2.0]])
    for measure in (mixture.cosine, mixture.mahalanobis, lambda x: -mixture.density(x)):
        assert measure(far) > measure(rows).max()


def test_negligible_components_are_not_asked():
    mixture, rows, _ = fitted("diagonal", components=2, rows=groups(50, [[0, 2.0, 0], [2.0, 0, 0]]))
    lonely = mixture.mean[1:2].clone()
    assert mixture.cosine(lonely) < 1e-5
    mixture.log_weight.copy_(torch.tensor([1.0 - 1e-7, 1e-7]).log())
    assert mixture.kept.tolist() == [True, False]
    assert mixture.cosine(lonely) > 0.5
    expected = mixture.log_parts(rows)[:, 0]
    torch.testing.assert_close(mixture.density(rows), expected)


def test_a_component_without_rows_stays_where_it_was_and_all_is_finite():
    rows = groups(50, CENTRES)
    mixture, _, _ = fitted("full", components=5, rows=rows)
    alone = groups(100, CENTRES[:1])
    for _ in range(600):
        mixture.step(alone)
    for name, tensor in mixture.state_dict().items():
        assert tensor.isfinite().all(), name
    assert mixture.density(alone).isfinite().all()


def test_one_seed_draws_one_start_and_too_few_rows_are_refused():
    first, _, _ = fitted("diagonal", steps=3)
    again, _, _ = fitted("diagonal", steps=3)
    assert torch.equal(first.mean, again.mean)
    with pytest.raises(ValueError, match="8 components need as many rows to begin with, and there are 4"):
        DirichletMixture(8, 3).begin(torch.zeros(4, 3), torch.Generator())
    assert math.isclose(float(DirichletMixture(8, 3).log_weight.exp().sum()), 1, rel_tol=1e-5)
