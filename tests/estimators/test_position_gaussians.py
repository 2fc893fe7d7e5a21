"""Gaussians at positions: their distances, and how they lie in memory."""

import copy

import pytest
import torch

from secondread.estimators.compiled_distances.kernel import CODE
from secondread.estimators.position_gaussians import CHOICE, PositionGaussians
from secondread.networks.as_graph import writing_a_graph
from secondread.networks.native import build


@pytest.fixture(scope="module")
def fitted() -> PositionGaussians:
    torch.manual_seed(0)
    gaussians = PositionGaussians(9, 5, 0.01)
    gaussians.collect(torch.randn(9, 20, 5))
    gaussians.collect(torch.randn(9, 7, 5))
    gaussians.finish()
    return gaussians


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    return torch.randn(3, 5, 9, generator=torch.Generator().manual_seed(1))


def positions_last(gaussians: PositionGaussians) -> bool:
    return gaussians.whitener.permute(1, 2, 0).is_contiguous() and gaussians.mean.T.is_contiguous()


def test_the_distance_is_that_of_the_inverse_covariance(fitted, features):
    precision = fitted.whitener.transpose(1, 2).double() @ fitted.whitener.double()
    centred = features.permute(2, 0, 1).double() - fitted.mean[:, None].double()
    expected = torch.einsum("pni,pij,pnj->np", centred, precision, centred).sqrt()
    torch.testing.assert_close(fitted(features).double(), expected, atol=1e-5, rtol=1e-5)


def test_a_graph_gets_products_of_bands_with_the_same_distances(fitted, features):
    with writing_a_graph():
        plain = fitted(features)
    torch.testing.assert_close(fitted(features), plain, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("dimensions", "positions"), [(1, 1), (5, 9), (17, 4100), (3, 8192)])
def test_compiled_distances_agree_with_float64_whatever_the_threads(monkeypatch, dimensions, positions):
    monkeypatch.setenv(build.SWITCH, "1")
    kernel = CHOICE.kernel()
    if kernel is None:
        pytest.skip(CODE.why_not(torch.float32))
    planes, x = torch.randn(dimensions, dimensions, positions), torch.randn(2, dimensions, positions)
    lower = planes.double() * torch.ones(dimensions, dimensions).tril()[..., None]
    whitened = torch.einsum("ijp,njp->nip", lower, x.double())
    expected = whitened.square().sum(dim=1).sqrt()
    found = kernel(planes, x)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    before = torch.get_num_threads()
    try:
        for threads in (2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(kernel(planes, x), found)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(kernel(planes, x[1:]), found[1:])
    x[0, 0, 0] = torch.nan
    assert kernel(planes, x).isnan().sum() == 1


@torch.no_grad()
def test_with_compiled_code_and_without_distances_agree(monkeypatch, fitted, features):
    found = []
    for switch in "01":
        monkeypatch.setenv(build.SWITCH, switch)
        found.append(fitted(features))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-6)


def test_an_images_distances_are_the_same_bits_alone_and_among_others(fitted, features):
    assert torch.equal(fitted(features)[1:2], fitted(features[1:2].clone()))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.preserve_format])
def test_what_is_loaded_in_any_order_lies_with_positions_last_and_scores_to_the_bit(fitted, features, order):
    state = {name: tensor.clone(memory_format=order) for name, tensor in fitted.state_dict().items()}
    loaded = PositionGaussians(9, 5, 0.01)
    loaded.load_state_dict(state)
    assert positions_last(loaded)
    assert positions_last(copy.deepcopy(loaded).to(torch.device("cpu")))
    assert torch.equal(loaded(features), fitted(features))


def test_a_state_of_another_size_is_refused_as_it_always_was(fitted):
    with pytest.raises(RuntimeError, match="size mismatch"):
        PositionGaussians(8, 5, 0.01).load_state_dict(fitted.state_dict())
