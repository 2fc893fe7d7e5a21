import math

import pytest
import torch

from secondread.flows.cross_scale import CrossScaleBlock, CrossScaleFlow, CrossScaleSubnet

GRIDS = {2: [(4, 6), (2, 3), (1, 2)], 3: [(2, 4, 2), (1, 2, 1)]}


def flow_and_maps(rank, channels=5, moved=0.3):
    torch.manual_seed(0)
    maps = [torch.randn(2, channels, *grid) for grid in GRIDS[rank]]
    flow = CrossScaleFlow(rank, channels, scales=len(maps), hidden=6, kernels=(3, 5))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(moved * torch.randn_like(parameter))
    return flow, maps


@pytest.mark.parametrize("rank", [2, 3])
def test_inverse_undoes_forward_on_every_scale(rank):
    flow, maps = flow_and_maps(rank)
    z, _ = flow.transform(maps)
    for own, x, back in zip(z, maps, flow.inverse(z), strict=True):
        assert not torch.allclose(own, x, atol=1e-2)
        torch.testing.assert_close(back, x, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("rank", [2, 3])
def test_log_determinants_add_up_to_that_of_the_whole_jacobian(rank):
    flow, maps = flow_and_maps(rank, channels=2)
    shapes = [x.shape[1:] for x in maps]
    lengths = [math.prod(shape) for shape in shapes]

    def whole(values):
        split = [part.view(1, *shape) for part, shape in zip(values.split(lengths), shapes, strict=True)]
        return torch.cat([z.flatten() for z in flow.transform(split)[0]])

    _, logs = flow.transform([x[:1] for x in maps])
    assert [tuple(log.shape) for log in logs] == [(1, 1, *shape[1:]) for shape in shapes]
    jacobian = torch.autograd.functional.jacobian(whole, torch.cat([x[0].flatten() for x in maps]))
    expected = torch.linalg.slogdet(jacobian.double())[1]
    torch.testing.assert_close(sum(log.sum() for log in logs).double(), expected, atol=1e-3, rtol=1e-3)


def test_a_fresh_block_only_permutes_each_scale():
    torch.manual_seed(0)
    block = CrossScaleBlock(2, 5, hidden=4, kernel=3)
    maps = [torch.randn(1, 5, *grid) for grid in GRIDS[2]]
    made, logs = block(maps)
    for x, y, order, log in zip(maps, made, block.permutations, logs, strict=True):
        torch.testing.assert_close(y, x[:, order])
        assert not log.any()


def test_each_scale_sees_itself_and_the_scales_beside_it():
    torch.manual_seed(0)
    subnet = CrossScaleSubnet(2, 3, 2, 4, hidden=6, kernel=3)
    with torch.no_grad():
        subnet.gamma.fill_(1.0)
    maps = [torch.randn(1, 2, side, side) for side in (8, 4, 2)]
    before = subnet(maps)
    assert [tuple(y.shape) for y in before] == [(1, 4, side, side) for side in (8, 4, 2)]
    maps[2] = maps[2] + 1
    changed = [not torch.equal(a, b) for a, b in zip(before, subnet(maps), strict=True)]
    assert changed == [False, True, True]


def test_the_log_scale_stays_within_the_clamp():
    block = CrossScaleBlock(2, 4, hidden=4, kernel=3, clamp=3.0)
    log_scale, shift = block._read(torch.tensor([[1e6], [-1e6], [0.5], [7.0]]).view(1, 4, 1, 1))
    torch.testing.assert_close(log_scale.flatten(), torch.tensor([3.0, -3.0]), atol=0.01, rtol=0)
    assert shift.flatten().tolist() == [0.5, 7.0]
