import pytest
import torch
from torch import nn

from secondread.networks.one_place import from_one_place, to_one_place

LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
DOWN = {2: nn.functional.conv2d, 3: nn.functional.conv3d}
UP = {2: nn.functional.conv_transpose2d, 3: nn.functional.conv_transpose3d}


def both_orders(layer, rank):
    for order in (torch.contiguous_format, LAST[rank]):
        yield layer.to(memory_format=order)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (2, 3, 4)])
def test_they_give_what_convolutions_give_with_their_gradients(grid, bias):
    rank, generator = len(grid), torch.Generator().manual_seed(0)
    down, up = to_one_place(rank, 3, 5, grid, bias=bias), from_one_place(rank, 5, 3, grid, bias=bias)
    map_, place = (torch.randn(2, *shape, generator=generator) for shape in ((3, *grid), (5, *[1] * rank)))
    for layer, x, torchs in ((down, map_, DOWN[rank]), (up, place, UP[rank])):
        for ordered in both_orders(layer, rank):
            x = x.clone().requires_grad_()
            found, expected = ordered(x), torchs(x, ordered.weight, ordered.bias)
            torch.testing.assert_close(found, expected)
            gradient = torch.randn(expected.shape, generator=generator)
            inputs = [x, *ordered.parameters()]
            torch.testing.assert_close(
                torch.autograd.grad(found, inputs, gradient), torch.autograd.grad(expected, inputs, gradient)
            )


def test_maps_of_another_size_are_torchs():
    down, up = to_one_place(2, 3, 5, (2, 2)), from_one_place(2, 5, 3, (2, 2))
    x, y = torch.randn(1, 3, 4, 4), torch.randn(1, 5, 2, 2)
    torch.testing.assert_close(down(x), nn.functional.conv2d(x, down.weight, down.bias))
    torch.testing.assert_close(up(y), nn.functional.conv_transpose2d(y, up.weight, up.bias))


def test_parameters_are_those_of_torchs_layers():
    torch.manual_seed(0)
    down, up = to_one_place(2, 3, 5, (4, 4)), from_one_place(2, 5, 3, (4, 4))
    torch.manual_seed(0)
    for ours, theirs in ((down, nn.Conv2d(3, 5, 4)), (up, nn.ConvTranspose2d(5, 3, 4))):
        state, expected = ours.state_dict(), theirs.state_dict()
        assert list(state) == list(expected)
        assert all(torch.equal(state[name], expected[name]) for name in state)


def test_weights_in_channels_last_order_are_read_where_they_lie():
    """A copy of them would cost more than the product of one image."""
    layer = to_one_place(2, 64, 8, (4, 4), bias=False).to(memory_format=torch.channels_last)
    x = torch.randn(1, 64, 4, 4).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.profiler.profile() as seen:
        layer(x)
    assert not {"aten::copy_", "aten::clone"} & {event.key for event in seen.key_averages()}
