"""A residual block: its function, log-determinant and gradients against autograd's; its inverse; its norm."""

import pytest
import torch
from plain_residual import basis, jacobians, make_block, plain, planes

from secondread.flows.residual import function
from secondread.flows.residual.lipschitz import LipschitzLayer

RANKS = [0, 2, 3]
FORMS = [("lipswish", True), ("elu", False)]


def ones(terms, images=2):
    return torch.ones(images, terms, dtype=torch.float64)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("activation", "preactivated"), FORMS)
@pytest.mark.parametrize("channels", [3, 9])
def test_the_block_is_x_plus_the_network_of_torch(rank, activation, preactivated, channels):
    block = make_block(rank, channels, activation=activation, preactivated=preactivated)
    x, weights = planes(block), block.weights(update=False)
    expected = x + plain(block, x, weights)
    torch.testing.assert_close(block.move(x, weights), expected)
    torch.testing.assert_close(block.learn(x, x, ones(1), weights)[0], expected)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(("activation", "preactivated"), FORMS)
def test_the_series_over_a_basis_is_the_log_determinant_of_autograd_s_jacobian(
    rank, activation, preactivated
):
    block = make_block(rank, activation=activation, preactivated=preactivated)
    x, weights = planes(block), block.weights(update=False)
    vectors = basis(x)
    with torch.no_grad():  # every image with every vector, as one batch
        again = torch.cat([x] * len(vectors), dim=1)
        terms = block.run(again, torch.cat(vectors, dim=1), ones(60, images=again.shape[1]), weights)[1]
    found = terms.view(len(vectors), x.shape[1], *terms.shape[1:]).sum(dim=0)
    matrix = jacobians(block, x, weights)
    expected = torch.linalg.slogdet(matrix + torch.eye(matrix.shape[1], dtype=torch.float64))[1]
    assert float(expected.detach().abs().min()) > 1e-3
    torch.testing.assert_close(found.flatten(1).sum(dim=1) if rank else found, expected.detach())


@pytest.mark.parametrize("rank", [0, 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("activation", "preactivated"), FORMS)
def test_the_memory_saving_gradient_is_that_of_the_plain_series(rank, activation, preactivated):
    """Over a basis the Neumann series is exact: its gradient is that of tr J - tr J^2 / 2 + tr J^3 / 3."""
    block = make_block(rank, activation=activation, preactivated=preactivated)
    x = planes(block).requires_grad_()
    shares = torch.tensor([1.0, -2.0], dtype=torch.float64)
    inputs = [x, *block.parameters()]

    def gradients(value):
        return torch.autograd.grad(value, inputs, allow_unused=True)

    weights = block.weights(update=False)
    logs = [block.learn(x, v, ones(3), weights)[1] for v in basis(x)]
    saving = gradients((torch.stack(logs).sum(dim=0) * shares).sum())
    weights = block.weights(update=False)
    j = jacobians(block, x, weights)
    traces = [torch.linalg.matrix_power(j, k).diagonal(dim1=1, dim2=2).sum(dim=1) for k in (1, 2, 3)]
    kept = gradients(((traces[0] - traces[1] / 2 + traces[2] / 3) * shares).sum())
    for one, other in zip(saving, kept, strict=True):
        other = torch.zeros_like(one) if other is None else other
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-7)


def test_the_gradient_of_the_value_is_autograd_s():
    block = make_block()
    x = planes(block).requires_grad_()
    inputs = [x, *block.parameters()]
    weights = block.weights(update=False)
    y, _ = block.learn(x, torch.ones_like(x), ones(2), weights)
    found = torch.autograd.grad(y.sin().sum(), inputs)
    weights = block.weights(update=False)
    expected = torch.autograd.grad((x + plain(block, x, weights)).sin().sum(), inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_one_vector_gives_the_value_and_gradient_of_a_vjp_taken_twice():
    """The estimator as Chen et al. write it: w^T J v with w held, for random signs and coefficients."""
    block = make_block()
    x = planes(block).requires_grad_()
    v = torch.where(torch.rand(x.shape) < 0.5, -1.0, 1.0).double()
    c = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 0.0]], dtype=torch.float64)
    weights = block.weights(update=False)
    g = plain(block, x, weights)

    def vjp(u, **options):
        return torch.autograd.grad(g, x, u, **options)[0]

    u, w, value = v, v * c[:, 0].view(1, 2, 1, 1), 0.0
    for k in (1, 2, 3):
        u = vjp(u, retain_graph=True)
        value = value + (-1) ** (k + 1) / k * c[:, k - 1] * (u * v).sum(dim=(0, 2, 3))
        if k < 3:
            w = w + (-1) ** k * c[:, k].view(1, 2, 1, 1) * u
    surrogate = (vjp(w, create_graph=True) * v).sum()
    expected = torch.autograd.grad(surrogate, x)[0]
    _, log = block.learn(x, v, c, block.weights(update=False))
    torch.testing.assert_close(log.detach(), value.detach())
    torch.testing.assert_close(torch.autograd.grad(log.sum(), x)[0], expected)


@pytest.mark.parametrize("rank", RANKS)
def test_the_fixed_point_is_the_inverse(rank):
    block = make_block(rank)
    with torch.no_grad():
        x, weights = planes(block), block.weights(update=False)
    torch.testing.assert_close(block.inverse(block.move(x, weights), weights), x, atol=1e-5, rtol=1e-5)


def test_images_are_worked_on_in_chunks_to_the_same_end(monkeypatch):
    block = make_block()
    x = planes(block, images=5).requires_grad_()
    v, weights = torch.ones_like(x), block.weights(update=False)

    def found():
        y, log = block.learn(x, v, ones(3, 5), weights)
        return y, log, *torch.autograd.grad(y.sum() + log.sum(), [x, *block.parameters()], retain_graph=True)

    whole = found()
    monkeypatch.setitem(function.CHUNK_BYTES, "cpu", 5 * 12 * 8 * 2)
    for one, other in zip(found(), whole, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size", [(), (5, 6), (3, 4, 3)])
@pytest.mark.parametrize("kind", ["enter", "inside", "leave"])
def test_a_layer_s_spectral_norm_is_that_of_the_whole_linear_map(size, kind):
    torch.manual_seed(0)
    layer = LipschitzLayer(3, 4, size, kind, coefficient=0.5, tolerance=1e-6).double()
    with torch.no_grad():
        for _ in range(30):
            layer.matrix(update=True)
    grid = (1, *size)
    shape = (3, *grid) if kind == "enter" else (torch.Size(grid).numel(), 3)
    columns = [
        layer.place.apply(layer.weight.detach(), one.view(shape), grid).flatten()
        for one in torch.eye(torch.Size(shape).numel(), dtype=torch.float64)
    ]
    largest = torch.linalg.matrix_norm(torch.stack(columns), 2)
    torch.testing.assert_close(layer.spectral_norm(update=False).detach(), largest, rtol=1e-3, atol=0)
    normalised = layer.matrix(update=False)
    torch.testing.assert_close(normalised, layer.weight / (largest / 0.5).clamp_min(1), rtol=1e-3, atol=1e-6)
    (slope,) = torch.autograd.grad(layer.spectral_norm(update=False), layer.weight)
    assert float((slope * layer.weight).sum()) == pytest.approx(float(largest), rel=1e-3)


def test_scoring_leaves_the_power_iteration_where_training_left_it():
    layer = LipschitzLayer(3, 4, (5, 6), "enter")
    before = layer.direction.clone()
    layer.matrix(update=False)
    assert torch.equal(layer.direction, before)
    layer.matrix(update=True)
    assert not torch.equal(layer.direction, before)
