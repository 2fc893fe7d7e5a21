"""Poisson blending against scipy's sparse solver of the same system, written out pair by pair."""

import itertools

import numpy as np
import pytest
import torch
from scipy.sparse import lil_array
from scipy.sparse.linalg import spsolve

from secondread.anomalies.poisson import blended

GREY = 1 / 255


def by_scipy(x, d, inside, own, foreign, mixed):
    """One image of one channel: a row of the system for each position inside."""
    places = [tuple(place) for place in np.argwhere(inside)]
    rows = {place: row for row, place in enumerate(places)}
    matrix, right = lil_array((len(places), len(places))), np.zeros(len(places))
    for p, row in rows.items():
        for axis, step in itertools.product(range(x.ndim), (-1, 1)):
            q = tuple(place + step * (axis == own_axis) for own_axis, place in enumerate(p))
            a, b = own * (x[p] - x[q]), foreign * (d[p] - d[q])
            right[row] += (a if abs(a) > abs(b) else b) if mixed else a + b
            matrix[row, row] += 1
            if q in rows:
                matrix[row, rows[q]] -= 1
            else:
                right[row] += x[q]
    found = x.copy()
    found[tuple(np.array(places).T)] = spsolve(matrix.tocsr(), right)
    return found


def region(size, shape):
    grid = np.meshgrid(*(np.arange(n) for n in size), indexing="ij")
    if shape == "box":
        return np.logical_and.reduce([(g > 2) & (g < n - 1) for g, n in zip(grid, size, strict=True)])
    ball = sum(((g - (n - 1) / 2) / (0.42 * n)) ** 2 for g, n in zip(grid, size, strict=True)) < 1
    if shape == "ring":
        ball &= sum(((g - (n - 1) / 2) / (0.2 * n)) ** 2 for g, n in zip(grid, size, strict=True)) > 1
    ball[(1,) * len(size)] = True  # a part of its own, which touches no other
    return ball


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("shape", ["box", "ball", "ring"])
@pytest.mark.parametrize("size", [(23, 30), (9, 11, 10)])
def test_the_solution_is_that_of_scipys_sparse_solver(size, shape, mixed):
    drawn = torch.Generator().manual_seed(0)
    x, d = torch.rand(2, 2, *size, generator=drawn), torch.rand(2, 2, *size, generator=drawn)
    inside = torch.from_numpy(region(size, shape))
    weights = torch.tensor([0.3, 0.9])
    found = blended(
        x, d, inside.expand(2, 1, *size), 1 - weights, weights, torch.full((2,), fill_value=mixed)
    )
    assert torch.equal(found[..., ~inside], x[..., ~inside])
    for image, channel in itertools.product(range(2), range(2)):
        theirs = by_scipy(
            x[image, channel].double().numpy(),
            d[image, channel].double().numpy(),
            inside.numpy(),
            float(1 - weights[image]),
            float(weights[image]),
            mixed,
        )
        assert np.abs(found[image, channel].numpy() - theirs).max() < 1e-3 * GREY


def test_each_image_has_its_own_region_and_one_without_stays():
    drawn = torch.Generator().manual_seed(1)
    x, d = torch.rand(3, 1, 20, 20, generator=drawn), torch.rand(3, 1, 20, 20, generator=drawn)
    inside = torch.zeros(3, 1, 20, 20, dtype=torch.bool)
    inside[0, :, 3:9, 4:15] = True
    inside[2, :, 10:19, 1:5] = True
    none, all_of, never = torch.zeros(3), torch.ones(3), torch.zeros(3, dtype=torch.bool)
    found = blended(x, d, inside, none, all_of, never)
    assert torch.equal(found[1], x[1])
    for one in (0, 2):
        alone = blended(x[one, None], d[one, None], inside[one, None], none[:1], all_of[:1], never[:1])
        assert torch.equal(found[one], alone[0])
        assert torch.equal((found != x)[one], inside[one])


def test_a_source_that_differs_by_a_constant_changes_nothing():
    x = torch.rand(1, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    inside = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    inside[..., 2:14, 3:12] = True
    found = blended(x, x + 5, inside, torch.zeros(1), torch.ones(1), torch.zeros(1, dtype=torch.bool))
    assert float((found - x).abs().max()) < 1e-12


def test_a_region_on_the_border_of_the_grid_is_refused():
    x = torch.zeros(1, 1, 8, 8)
    inside = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    inside[..., :3, 2:4] = True
    with pytest.raises(ValueError, match="touches the border"):
        blended(x, x, inside, torch.zeros(1), torch.ones(1), torch.zeros(1, dtype=torch.bool))


def test_values_that_are_not_finite_do_not_end_as_a_solution():
    x = torch.zeros(1, 1, 12, 12)
    inside = torch.from_numpy(region((12, 12), "ball")).view(1, 1, 12, 12)
    with pytest.raises(ArithmeticError, match="finite"):
        blended(x, x + torch.nan, inside, torch.zeros(1), torch.ones(1), torch.zeros(1, dtype=torch.bool))
