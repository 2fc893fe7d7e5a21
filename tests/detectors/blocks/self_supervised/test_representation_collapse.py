import pytest
import torch

from secondread.detectors.blocks.self_supervised.collapse import RepresentationSpread


def test_directions_that_are_spread_evenly_have_a_spread_of_1_and_one_direction_has_none():
    signs = RepresentationSpread()
    assert signs.warnings() == ()  # not measured
    even = 7 * torch.randn(500, 16)
    assert signs.of(even)["spread of embeddings' directions"] == pytest.approx(1, abs=0.02)
    assert signs.warnings() == ()
    same = (1 + torch.rand(500, 1)) * torch.ones(16) + 0.001 * even
    assert signs.of(same)["spread of embeddings' directions"] < 0.02
    (warning,) = signs.warnings()
    assert "the representation has collapsed" in warning
    signs.of(even[:1])
    assert signs.warnings() == (warning,)  # one image says nothing
