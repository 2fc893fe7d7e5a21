"""Planes: the order of the squeeze, and neighbourhoods as the matrix form of a convolution."""

import pytest
import torch
from normflows.flows import Squeeze
from torch.nn import functional

from secondread.flows.glow.planes import from_planes, neighbourhoods, scatter, squeeze, to_planes, unsqueeze

SIZES = {2: (4, 6), 3: (4, 2, 6)}


def drawn(rank, channels=3, images=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(images, channels, *SIZES[rank], generator=generator, dtype=torch.float64)


def test_channels_come_in_the_order_of_normflows():
    x = drawn(2)
    assert torch.equal(from_planes(squeeze(to_planes(x))), Squeeze().inverse(x)[0])


def test_a_volume_of_equal_slices_squeezes_as_its_slices():
    """Over two equal slices, channel (c, k, i, j) is that of the slice at (c, i, j)."""
    x = drawn(2)
    volume = squeeze(to_planes(x[:, :, None].expand(-1, -1, 2, -1, -1)))
    flat = squeeze(to_planes(x)).view(3, 4, 2, 2, 3)
    assert torch.equal(volume.view(3, 2, 4, 2, 2, 3), flat[:, None].expand(-1, 2, -1, -1, -1, -1))


@pytest.mark.parametrize("rank", [2, 3])
def test_unsqueeze_undoes_squeeze(rank):
    x = to_planes(drawn(rank))
    assert squeeze(x).shape == (3 * 2**rank, 2, *(side // 2 for side in SIZES[rank]))
    assert torch.equal(unsqueeze(squeeze(x)), x)


def test_an_odd_side_is_refused():
    with pytest.raises(ValueError, match="even"):
        squeeze(torch.zeros(1, 1, 4, 5))


@pytest.mark.parametrize("rank", [2, 3])
def test_a_kernel_times_neighbourhoods_is_the_convolution(rank):
    x = drawn(rank)
    weight = torch.randn(5, 3, *[3] * rank, dtype=torch.float64)
    convolution = {2: functional.conv2d, 3: functional.conv3d}[rank]
    found = (weight.flatten(1) @ neighbourhoods(to_planes(x))).view(5, 2, *SIZES[rank])
    torch.testing.assert_close(from_planes(found), convolution(x, weight, padding=1))


@pytest.mark.parametrize("rank", [2, 3])
def test_scatter_is_the_transpose_of_neighbourhoods(rank):
    x = to_planes(drawn(rank))
    columns = torch.randn_like(neighbourhoods(x))
    scattered = scatter(columns, 2, SIZES[rank], torch.float64)
    torch.testing.assert_close((neighbourhoods(x) * columns).sum(), (x * scattered).sum())


@pytest.mark.parametrize("rank", [2, 3])
def test_the_border_channel_is_one_beyond_the_edge_and_the_last_row_is_one(rank):
    x = to_planes(drawn(rank))
    matrix = neighbourhoods(x, border=True, ones=True)
    taps = 3**rank
    beyond = functional.pad(torch.zeros(1, 2, *SIZES[rank]).double(), (1, 1) * rank, value=1.0)
    shifted = [
        beyond[
            (0, slice(None), *(slice(at, at + side) for at, side in zip(offset, SIZES[rank], strict=True)))
        ]
        for offset in torch.cartesian_prod(*[torch.arange(3)] * rank).tolist()
    ]
    assert torch.equal(matrix[3 * taps : 4 * taps], torch.stack(shifted).flatten(1))
    assert torch.equal(matrix[-1], torch.ones_like(matrix[-1]))
    assert torch.equal(matrix[: 3 * taps], neighbourhoods(x))
