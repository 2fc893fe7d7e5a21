"""Law 7: a flow inverts, its log-determinant is the Jacobian's, its density integrates to one."""

import math

import pytest
import torch
from FrEIA.modules import AllInOneBlock
from torch import nn

from secondread.flows.coupling import CouplingBlock
from secondread.flows.flow import Flow
from secondread.flows.latent import UnitGaussian

SIZES = {2: (3, 4), 3: (2, 3, 2)}


def make_flow(rank, channels=4, seed=0, **options):
    torch.manual_seed(seed)
    flow = Flow(rank, channels, blocks=3, hidden=8, **options).eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return flow


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("subnet", ["conv", "resnet"])
@pytest.mark.parametrize("channels", [4, 5])
@pytest.mark.parametrize("with_positions", [False, True])
def test_inverse_undoes_forward(rank, subnet, channels, with_positions):
    size = SIZES[rank]
    flow = make_flow(rank, channels, subnet=subnet, positions=size if with_positions else None)
    x = torch.randn(3, channels, *size)
    z, _ = flow(x)
    assert not torch.allclose(z, x, atol=1e-2)
    torch.testing.assert_close(flow.inverse(z), x, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(flow(flow.inverse(x))[0], x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("subnet", ["conv", "resnet"])
def test_log_determinant_equals_the_jacobian_of_autograd(rank, subnet):
    size = SIZES[rank]
    flow = make_flow(rank, 3, subnet=subnet, positions=size)
    x = torch.randn(2, 3, *size)
    _, log_determinant = flow(x)
    for image, value in zip(x, log_determinant, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0].flatten(), image)
        matrix = jacobian.reshape(image.numel(), image.numel()).double()
        torch.testing.assert_close(value.double(), torch.linalg.slogdet(matrix)[1], atol=1e-4, rtol=1e-4)


def test_log_determinant_per_position_sums_to_the_whole():
    flow = make_flow(2)
    x = torch.randn(2, 4, 3, 4)
    _, per_position = flow.transform(x)
    assert per_position.shape == (2, 1, 3, 4)
    torch.testing.assert_close(per_position.flatten(1).sum(1), flow(x)[1])


@pytest.mark.parametrize("rank", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_density_integrates_to_one(rank):
    flow = make_flow(rank, channels=2, seed=3)
    line = torch.linspace(-40, 40, 801)
    step = float(line[1] - line[0])
    grid = torch.cartesian_prod(line, line).view(-1, 2, *[1] * rank)
    with torch.no_grad():
        mass = sum(flow.log_density(part).double().exp().sum() for part in grid.split(200_000)) * step**2
    assert float(mass) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("channels", [4, 5])
def test_coupling_block_is_the_function_of_freia(rank, channels):
    torch.manual_seed(0)
    size = SIZES[rank]
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[rank]

    def subnet(channels_in, channels_out):
        return nn.Sequential(
            convolution(channels_in, 6, 3, padding=1), nn.ReLU(), convolution(6, channels_out, 1)
        )

    theirs = AllInOneBlock([(channels, *size)], subnet_constructor=subnet)
    own = CouplingBlock(channels, subnet)
    with torch.no_grad():
        theirs.global_scale.add_(torch.randn_like(theirs.global_scale))
        theirs.global_offset.add_(torch.randn_like(theirs.global_offset))
        own.subnet.load_state_dict(theirs.subnet.state_dict())
        own.scale_before_softplus.copy_(theirs.global_scale.flatten())
        own.offset.copy_(theirs.global_offset.flatten())
        own.permutation.copy_(theirs.w_perm.reshape(channels, channels).argmax(dim=1))
    x = torch.randn(2, channels, *size)
    (expected,), expected_log_determinant = theirs([x])
    y, log_determinant = own(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(log_determinant.flatten(1).sum(1), expected_log_determinant)


def test_a_fresh_block_starts_near_the_identity_up_to_permutation():
    flow = Flow(2, 4, blocks=1, hidden=8)
    assert float((flow.blocks[0].scale().detach() - 1).abs().max()) < 1e-5


def test_permutations_follow_the_generator():
    first = Flow(2, 16, blocks=2, hidden=4, generator=torch.Generator().manual_seed(1))
    again = Flow(2, 16, blocks=2, hidden=4, generator=torch.Generator().manual_seed(1))
    other = Flow(2, 16, blocks=2, hidden=4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(first.blocks[1].permutation, again.blocks[1].permutation)
    assert not torch.equal(first.blocks[1].permutation, other.blocks[1].permutation)


def test_a_flow_with_positions_refuses_another_grid():
    with pytest.raises(ValueError, match="positions"):
        make_flow(2, positions=(3, 4))(torch.zeros(1, 4, 4, 4))


def test_the_state_stays_float32_under_bfloat16_autocast():
    flow = make_flow(2)
    x = torch.randn(2, 4, 3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, log_determinant = flow(x)
    assert z.dtype == log_determinant.dtype == torch.float32
    torch.testing.assert_close(z, flow(x)[0], atol=0.1, rtol=0.1)


def test_unit_gaussian_has_the_density_of_the_normal_distribution():
    z = torch.tensor([[[[0.0, 1.0]], [[2.0, 0.0]]]])
    expected = -0.5 * 5 - 2 * math.log(2 * math.pi)
    assert float(UnitGaussian().log_density(z)) == pytest.approx(expected, rel=1e-6)
