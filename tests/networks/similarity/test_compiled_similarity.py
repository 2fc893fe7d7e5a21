"""Structural similarity by compiled code against that by torch."""

import pytest
import torch

from secondread.networks.native import build
from secondread.networks.similarity.kernel import CODE
from secondread.networks.structural_similarity import structural_similarity_map

COMPILED = CODE


def pictures(*shape):
    x = torch.rand(shape)
    return x, (x + 0.1 * torch.randn(shape)).clamp(0, 1)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(2, 3, 21, 34), (1, 1, 9, 14), (3, 1, 11, 1)])
def test_both_agree_whatever_the_threads_and_the_batch(calls, shape, monkeypatch):
    x, y = pictures(*shape)
    x[:, :, 3:7] = y[:, :, 3:7] = 0.5
    found = structural_similarity_map(x, y)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(found, structural_similarity_map(x, y))
        assert torch.equal(found[-1:], structural_similarity_map(x[-1:], y[-1:]))
    finally:
        torch.set_num_threads(before)
    assert len(calls) == 3
    monkeypatch.setenv(build.SWITCH, "0")
    torch.testing.assert_close(found, structural_similarity_map(x, y), rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_is_not_a_number_is_seen_in_its_windows_alone(calls):
    x, y = pictures(1, 1, 30, 30)
    x[0, 0, 15, 4] = torch.nan
    found = structural_similarity_map(x, y)[0, 0].isnan()
    assert found[5:16, :5].all()
    assert found.sum() == 11 * 5
    assert len(calls) == 1


def test_gradients_and_volumes_are_torchs(calls):
    x, y = pictures(1, 1, 12, 13)
    structural_similarity_map(x.requires_grad_(), y).sum().backward()
    assert x.grad.isfinite().all()
    with torch.no_grad():
        assert structural_similarity_map(*pictures(1, 1, 12, 12, 12)).shape == (1, 1, 2, 2, 2)
    assert not calls
