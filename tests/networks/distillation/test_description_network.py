import pytest
import torch

from secondread.networks.distillation.description_network import DescriptionAutoencoder, DescriptionNetwork


def make(form="small", padding=False, rank=2):
    torch.manual_seed(0)
    return DescriptionNetwork(rank, 1, form, width=2, descriptor=3, padding=padding)


@pytest.mark.parametrize("form", ["small", "medium"])
@torch.no_grad()
def test_a_descriptor_is_that_of_the_patch_of_33_pixels_where_its_cell_lies(form):
    network, images = make(form), torch.rand(2, 1, 45, 41)
    found = network(images)
    assert tuple(found.shape[2:]) == network.grid((45, 41)) == (4, 3)
    cells = network.cells(2)
    for row, column in ((0, 0), (3, 1), (2, 2)):
        top, left = (
            round(first + step * place) - 16
            for first, step, place in zip(cells.offset, cells.stride, (row, column), strict=True)
        )
        patch = images[..., top : top + 33, left : left + 33]
        torch.testing.assert_close(network(patch)[..., 0, 0], found[..., row, column])


@pytest.mark.parametrize("form", ["small", "medium"])
def test_with_padding_there_is_a_descriptor_for_every_fourth_pixel(form):
    network = make(form, padding=True)
    assert tuple(network(torch.rand(1, 1, 32, 48)).shape[2:]) == network.grid((32, 48)) == (8, 12)


def test_volumes_are_described_and_restored():
    network, size = make(padding=True, rank=3), (4, 16, 16)
    images, grid = torch.rand(2, 1, *size), network.grid(size)
    autoencoder = DescriptionAutoencoder(3, 1, size, grid, descriptor=3, widths=(2, 4))
    assert network(images).shape == autoencoder(images).shape == (2, 3, *grid)


def test_the_autoencoder_passes_one_position_alone():
    autoencoder = DescriptionAutoencoder(2, 1, (40, 64), (10, 16), descriptor=3, widths=(2, 4)).eval()
    shapes = []
    autoencoder.inward[-1].register_forward_hook(lambda _, __, found: shapes.append(tuple(found.shape)))
    assert autoencoder(torch.rand(2, 1, 40, 64)).shape == (2, 3, 10, 16)
    assert shapes == [(2, 4, 1, 1)]
