from itertools import combinations

import numpy as np
import pytest
import torch

from secondread.estimators.coreset import CoresetPool, greedy_coreset


def covering_radius(points, kept):
    return float(torch.cdist(points.double(), kept.double()).amin(dim=1).max())


def plain_greedy(points, count):
    """Farthest first, every distance measured."""
    distances = torch.cdist(points.double(), points.double()).numpy()
    chosen = [int(np.linalg.norm(points - points.mean(dim=0), axis=1).argmax())]
    while len(chosen) < count:
        chosen.append(int(distances[:, chosen].min(axis=1).argmax()))
    return chosen


def clusters(n, dimensions=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(12, dimensions, generator=generator)
    which = torch.randint(12, (n,), generator=generator)
    return centres[which] + 0.3 * torch.randn(n, dimensions, generator=generator)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_covering_radius_is_at_most_twice_the_best(seed, count):
    points = torch.randn(14, 2, generator=torch.Generator().manual_seed(seed))
    chosen, _ = greedy_coreset(points, count)
    best = min(covering_radius(points, points[list(some)]) for some in combinations(range(14), count))
    assert best <= covering_radius(points, points[chosen]) <= 2 * best


@pytest.mark.parametrize("dimensions", [2, 30])
def test_many_distances_at_once_change_no_choice(dimensions):
    points = clusters(500, dimensions)
    chosen, owner = greedy_coreset(points, 200)
    assert chosen.tolist() == plain_greedy(points, 200)
    distances = torch.cdist(points, points[chosen])
    own = distances.gather(1, owner[:, None])[:, 0]
    torch.testing.assert_close(own, distances.amin(dim=1), atol=1e-5, rtol=1e-4)


def test_equal_points_are_kept_once():
    points = torch.tensor([[0.0], [1.0]]).repeat(50, 1)
    chosen, owner = greedy_coreset(points, 10)
    assert sorted(points[chosen, 0].tolist()) == [0.0, 1.0]
    assert torch.equal(points[chosen[owner]], points)
    assert len(greedy_coreset(torch.full((30, 2), 7.0), 10)[0]) == 1


def test_the_coreset_of_a_pool_that_is_not_full_is_the_greedy_one():
    points, pool = clusters(100), CoresetPool(100, 10, torch.eye(8))
    for part in points.split(7):
        pool.add(part)
    kept = pool.finish(15)
    assert torch.equal(kept, points[plain_greedy(points, 15)])
    assert pool.depth == 1
    assert pool.radius == pytest.approx(covering_radius(points, kept), rel=1e-5)


@pytest.mark.parametrize("images", [10, 100])
def test_the_pool_is_never_exceeded_however_many_rows_come(images):
    pool = CoresetPool(80, 10, torch.eye(8))
    for number in range(images):
        pool.add(clusters(25, seed=number))
        assert pool.filled <= 80
        assert sum(block.length for block in pool.blocks) <= 40
        assert pool.rows.shape == (80, 8)
    assert pool.seen == 25 * images
    assert len(pool.finish(10)) == 10


@pytest.mark.parametrize("seed", range(3))
def test_a_coreset_of_coresets_covers_almost_as_well_as_that_of_all_at_once(seed):
    points = clusters(3000, seed=seed)
    pool = CoresetPool(160, 40, torch.eye(8))
    pool.add(points)
    kept = pool.finish(40)
    once = covering_radius(points, points[greedy_coreset(points, 40)[0]])
    found = covering_radius(points, kept)
    assert found <= 1.5 * once
    assert found <= pool.radius * (1 + 1e-5)
    assert pool.radius <= 2 * pool.depth * once
    assert all(bool((points == row).all(dim=1).any()) for row in kept)


def test_levels_grow_as_the_logarithm_of_how_often_the_pool_was_full():
    pool = CoresetPool(400, 10, torch.eye(8))
    pool.add(clusters(12_000))
    assert pool.depth <= 6


def test_neither_batches_nor_repetition_change_what_is_kept():
    points = clusters(1000)
    kept = []
    for size in (1000, 33, 1, 33):
        pool = CoresetPool(120, 20, torch.eye(8))
        for part in points.split(size):
            pool.add(part)
        kept.append(pool.finish(20))
    assert all(torch.equal(rows, kept[0]) for rows in kept)


def test_a_pool_too_small_for_its_coresets_is_refused():
    with pytest.raises(ValueError, match="30 rows is too small"):
        CoresetPool(30, 10, torch.eye(8))
