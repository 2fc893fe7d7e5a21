"""Flows of rows given a condition, rotations between couplings, subnets in turn, codes of positions."""

import math
from functools import partial

import pytest
import torch
from FrEIA.modules import AllInOneBlock
from torch import nn

from secondread.flows.coupling import CouplingBlock
from secondread.flows.elementwise import Affine
from secondread.flows.flow import Flow
from secondread.flows.position_code import position_code
from secondread.flows.subnets import ConvSubnet, LinearSubnet


def rows_flow(channels=5, condition=4):
    torch.manual_seed(0)
    flow = Flow(
        0, channels, blocks=3, subnet=(LinearSubnet,), mixing="rotation", condition_channels=condition
    )
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


def test_a_flow_of_rows_inverts_and_has_the_jacobian_s_log_determinant():
    flow, x, condition = rows_flow(), torch.randn(3, 5), torch.randn(3, 4)
    z, log_determinant = flow.transform(x, condition)
    assert log_determinant.shape == (3, 1)
    torch.testing.assert_close(flow.inverse(z, condition), x, atol=1e-4, rtol=1e-4)
    for row, given, value in zip(x, condition, log_determinant, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, c=given: flow.transform(v[None], c[None])[0][0], row
        )
        assert float(torch.linalg.slogdet(jacobian.double())[1]) == pytest.approx(
            float(value.detach()), abs=1e-4
        )
    assert not torch.allclose(flow.transform(x, condition + 1)[0], z)


def test_the_density_map_sums_to_the_density():
    torch.manual_seed(0)
    flow, x = Flow(2, 4, blocks=2, hidden=8), torch.randn(2, 4, 3, 4)
    by_position = flow.log_density_map(x)
    assert by_position.shape == (2, 1, 3, 4)
    torch.testing.assert_close(by_position.flatten(1).sum(1), flow.log_density(x))


def test_a_block_with_a_rotation_is_the_function_of_freia_with_a_soft_permutation():
    theirs = AllInOneBlock(
        [(6,)], [(3,)], subnet_constructor=LinearSubnet, affine_clamping=1.9, permute_soft=True
    )
    own = CouplingBlock(6, LinearSubnet, condition_channels=3, elementwise=Affine(1.9), mixing="rotation")
    with torch.no_grad():
        theirs.global_scale.add_(torch.randn_like(theirs.global_scale))
        theirs.global_offset.add_(torch.randn_like(theirs.global_offset))
        own.subnet.load_state_dict(theirs.subnet.state_dict())
        own.scale_before_softplus.copy_(theirs.global_scale.flatten())
        own.offset.copy_(theirs.global_offset.flatten())
        own.rotation.copy_(theirs.w_perm.reshape(6, 6))
    x, condition = torch.randn(4, 6), torch.randn(4, 3)
    (expected,), expected_log_determinant = theirs([x], [condition])
    y, log_determinant = own(x, condition)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(log_determinant[:, 0], expected_log_determinant)


def test_a_rotation_is_orthogonal_and_follows_the_generator():
    blocks = [
        CouplingBlock(
            7, LinearSubnet, mixing="rotation", generator=torch.Generator().manual_seed(seed)
        ).rotation
        for seed in (1, 1, 2)
    ]
    torch.testing.assert_close(blocks[0] @ blocks[0].T, torch.eye(7))
    assert float(torch.linalg.det(blocks[0])) == pytest.approx(1.0, abs=1e-5)
    assert torch.equal(blocks[0], blocks[1])
    assert not torch.equal(blocks[0], blocks[2])


def test_a_rotation_stays_in_float32_under_autocast():
    block, x = CouplingBlock(6, LinearSubnet, mixing="rotation"), torch.randn(8, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = block(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, block(x)[0], atol=2e-3, rtol=2e-3)


def test_blocks_take_subnets_in_turn():
    wide, narrow = (partial(ConvSubnet, 2, hidden=8, kernels=(side, side)) for side in (3, 1))
    flow = Flow(2, 4, blocks=3, subnet=(wide, narrow))
    kernels = [
        [layer.kernel_size for layer in block.subnet if isinstance(layer, nn.Conv2d)] for block in flow.blocks
    ]
    assert kernels == [[(3, 3)] * 2, [(1, 1)] * 2, [(3, 3)] * 2]
    x = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(flow.inverse(flow.transform(x)[0]), x, atol=1e-4, rtol=1e-4)


def test_a_flow_has_an_embedding_or_a_condition():
    with pytest.raises(ValueError, match="not both"):
        Flow(2, 4, positions=(3, 3), condition_channels=2)


def test_a_position_code_has_sines_and_cosines_of_each_axis():
    code = position_code(8, (3, 5))
    assert code.shape == (8, 3, 5)
    row, column = 2, 4
    slow = 1e4 ** (-2 / 4)
    expected = [
        f(place * wave)
        for place in (column, row)
        for wave in (1.0, slow)
        for f in (math.sin, math.cos)
    ]  # fmt: skip
    torch.testing.assert_close(code[:, row, column], torch.tensor(expected))


def test_a_position_code_is_another_at_every_place_of_a_volume():
    codes = position_code(12, (3, 4, 5)).flatten(1).T
    assert float((torch.cdist(codes, codes) + 10 * torch.eye(60)).min()) > 0.1
    with pytest.raises(ValueError, match="multiple of 6"):
        position_code(128, (3, 4, 5))
