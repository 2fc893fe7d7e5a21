import torch

from secondread.estimators.clustering import cluster_centres


def made_rows():
    generator = torch.Generator().manual_seed(0)
    middles = 10 * torch.eye(3, dtype=torch.float64)
    return middles, (middles[:, None] + 0.1 * torch.randn(3, 40, 3, generator=generator)).flatten(0, 1)


def test_each_centre_is_the_mean_of_its_cluster():
    middles, rows = made_rows()
    centres = cluster_centres(rows, 3, 5)
    order = torch.cdist(middles, centres).argmin(dim=1)
    torch.testing.assert_close(centres[order], rows.view(3, 40, 3).mean(dim=1))


def test_one_seed_gives_the_same_centres():
    rows = torch.rand(200, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(cluster_centres(rows, 12, 3), cluster_centres(rows, 12, 3))
