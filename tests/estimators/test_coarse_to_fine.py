import torch
from torch.nn import functional

from secondread.estimators.coarse_to_fine import CoarseCells
from secondread.estimators.mutual_scores import least_distances


def drawn(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def test_cells_hold_neighbouring_positions() -> None:
    cells = CoarseCells.of((3, 4), 2, torch.tensor([0, 5, 11]), matches=9)
    assert cells.of_patches.view(3, 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]]
    assert cells.of_reference.tolist() == [0, 0, 3]
    assert (cells.count, cells.matches) == (4, 4)


def test_with_all_cells_it_is_the_nearest_patch_of_all() -> None:
    kept = torch.arange(0, 24, 2)
    cells = CoarseCells.of((2, 3, 4), 2, kept, matches=99)
    x, reference = drawn(24, 5), drawn(7, 12, 5)
    there = torch.rand(7, 12, generator=torch.Generator().manual_seed(1)) > 0.4
    there[:, 0] = True
    assert torch.allclose(
        cells.least_distances(x, reference, there), least_distances(x, reference, there), atol=1e-5
    )


def test_fewer_cells_are_looked_through_at_the_price_of_longer_distances() -> None:
    cells = CoarseCells.of((8, 8), 2, torch.arange(64), matches=3)
    x, reference, there = drawn(64, 6), drawn(5, 64, 6), torch.ones(5, 64, dtype=torch.bool)
    found, exact = cells.least_distances(x, reference, there), least_distances(x, reference, there)
    assert found.isfinite().all()
    assert (found >= exact - 1e-5).all()
    assert (found > exact + 1e-3).any()


def test_a_patch_is_found_where_its_surroundings_are_alike() -> None:
    """The same map, moved by two positions: each patch is found inside the one most alike cell."""
    rows = drawn(8, 6)
    x, moved = rows, rows.roll(2, dims=0)[None]
    cells = CoarseCells.of((8,), 2, torch.arange(8), matches=1)
    there = torch.ones(1, 8, dtype=torch.bool)
    assert torch.allclose(cells.least_distances(x, moved, there), torch.zeros(8, 1), atol=1e-3)
