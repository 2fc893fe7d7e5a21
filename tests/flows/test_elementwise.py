"""What couplings do to each number: slopes, inverses, the determinant that is the same everywhere."""

import math

import pytest
import torch
from normflows.utils.splines import unconstrained_rational_quadratic_spline

from secondread.flows.elementwise import Additive, Affine, Spline
from secondread.flows.flow import Flow
from secondread.flows.latent import UnitGaussian
from secondread.flows.spline import inverse_spline, spline

KINDS = {"affine": Affine(), "additive": Additive(), "spline": Spline(4, 3.0)}


def make_flow(kind, rank=2, channels=4):
    torch.manual_seed(0)
    flow = Flow(rank, channels, blocks=3, hidden=8, elementwise=KINDS[kind]).eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return flow


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("kind", ["additive", "spline"])
def test_flows_of_other_couplings_invert_and_have_the_jacobian_s_log_determinant(kind, rank):
    flow, size = make_flow(kind, rank, channels=3), {2: (3, 4), 3: (2, 3, 2)}[rank]
    x = 2 * torch.randn(2, 3, *size)
    z, log_determinant = flow(x)
    torch.testing.assert_close(flow.inverse(z), x, atol=1e-3, rtol=1e-3)
    for image, value in zip(x, log_determinant, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0].flatten(), image)
        matrix = jacobian.reshape(image.numel(), image.numel()).double()
        torch.testing.assert_close(value.double(), torch.linalg.slogdet(matrix)[1], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["additive", "spline"])
def test_their_density_integrates_to_one(kind):
    flow = make_flow(kind, channels=2)
    line = torch.linspace(-9, 9, 601)
    grid = torch.cartesian_prod(line, line).view(-1, 2, 1, 1)
    with torch.no_grad():
        mass = sum(flow.log_density(part).double().exp().sum() for part in grid.split(200_000)) * 0.03**2
    assert float(mass) == pytest.approx(1.0, abs=3e-3)


def test_additive_couplings_scale_uniformly_so_that_the_density_is_a_distance_from_the_centre():
    flow, x = make_flow("additive"), torch.randn(5, 4, 3, 4)
    z, log_determinant = flow(x)
    torch.testing.assert_close(log_determinant, log_determinant[:1].expand(5))
    constant = log_determinant[0] - 0.5 * x[0].numel() * math.log(2 * math.pi)
    distance = 0.5 * z.square().flatten(1).sum(dim=1)
    torch.testing.assert_close(-flow.log_density(x), distance - constant)
    assert isinstance(flow.latent, UnitGaussian)
    other = make_flow("affine")(x)[1]
    assert float(other.std()) > 0.1


def test_a_spline_is_the_one_of_the_paper():
    """A bin written out: widths 2 and 2, heights 1 and 3, slopes 1, d, 1 on [-2, 2]."""
    torch.manual_seed(0)
    shares = torch.tensor([0.5, 0.5, 0.25, 0.75], dtype=torch.float64)
    free = 1.0 - 2 * 1e-3
    h = torch.cat((((shares - 1e-3) / free).log(), torch.tensor([0.7], dtype=torch.float64)))
    d = 1e-3 + math.log1p(math.exp(0.7 + math.log(math.expm1(1 - 1e-3))))
    x = torch.tensor([-1.5, 0.5], dtype=torch.float64)
    y, log_slope = spline(x, h.expand(2, 5), 2.0)
    for at, found, logged in zip(x.tolist(), y.tolist(), log_slope.tolist(), strict=True):
        left, bottom, width, height, d0, d1 = (-2, -2, 2, 1, 1, d) if at < 0 else (0, -1, 2, 3, d, 1)
        s, t = height / width, (at - left) / width
        below = s + (d0 + d1 - 2 * s) * t * (1 - t)
        assert found == pytest.approx(bottom + height * (s * t**2 + d0 * t * (1 - t)) / below, abs=1e-9)
        slope = s**2 * (d1 * t**2 + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2) / below**2
        assert logged == pytest.approx(math.log(slope), abs=1e-9)


def test_a_spline_is_that_of_normflows():
    torch.manual_seed(1)
    x, h = 2 * torch.randn(50), 2 * torch.randn(50, 3 * 5 - 1)
    y, log_slope = spline(x, h, 2.5)
    widths, heights, slopes = h.split((5, 5, 4), dim=1)
    at_zero = math.log(math.expm1(1 - 1e-3))  # ours is the identity at zero
    expected, expected_log_slope = unconstrained_rational_quadratic_spline(
        x, widths, heights, slopes + at_zero, tail_bound=2.5
    )
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(log_slope, expected_log_slope, atol=1e-4, rtol=1e-4)


def test_a_spline_is_increasing_meets_the_identity_at_its_ends_and_starts_as_it():
    torch.manual_seed(2)
    x = torch.linspace(-4, 4, 4001, dtype=torch.float64)
    h = (3 * torch.randn(1, 11, dtype=torch.float64)).expand(4001, 11)
    y, log_slope = spline(x, h, 3.0)
    assert bool((y[1:] > y[:-1]).all())
    beyond = x.abs() >= 3
    assert torch.equal(y[beyond], x[beyond])
    assert not log_slope[beyond].any()
    away = (x.abs() - 3).abs() > 0.01
    measured = torch.gradient(y, spacing=(x,))[0].log()
    torch.testing.assert_close(measured[away], log_slope[away], atol=0.05, rtol=0.05)
    torch.testing.assert_close(inverse_spline(y, h, 3.0), x, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(spline(x, torch.zeros_like(h), 3.0)[0], x)


def test_extreme_coefficients_give_finite_values_gradients_and_inverses():
    torch.manual_seed(3)
    x, h = 3 * torch.randn(500), (40 * torch.randn(500, 23)).requires_grad_()
    y, log_slope = spline(x, h, 5.0)
    (y.sum() + log_slope.sum()).backward()
    inverse = inverse_spline(y.detach(), h.detach(), 5.0)
    assert all(bool(found.isfinite().all()) for found in (y, log_slope, h.grad, inverse))
