import torch

from secondread.networks.self_supervised.projection_head import ProjectionHead


def test_it_gives_directions_and_has_no_bias_but_batch_normalisations():
    head = ProjectionHead(6, (8, 8, 4))
    found = head(torch.randn(5, 6))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
    assert sum(p.numel() for p in head.parameters()) == 6 * 8 + 16 + 8 * 8 + 16 + 8 * 4
    assert sum(p.numel() for p in ProjectionHead(6, (4,)).parameters()) == 24
