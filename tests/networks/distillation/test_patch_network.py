import pytest
import torch

from secondread.networks.distillation.patch_network import PatchNetwork, refuse_small


def make(side, rank=2):
    torch.manual_seed(0)
    return PatchNetwork(rank, 1, side, width=4, descriptor=5).eval()


@pytest.mark.parametrize(
    ("side", "parameters"),
    [
        (17, (36 * 3 + 1) * 128 + (25 * 128 + 1) * 256 + (25 * 256 + 1) * 256 + (16 * 256 + 1) * 128),
        (33, (25 * 3 + 1) * 128 + (25 * 128 + 1) * 256 + (4 * 256 + 1) * 256 + (16 * 256 + 1) * 128),
        (65, (25 * 3 + 1) * 128 + 2 * (25 * 128 + 1) * 128 + (16 * 128 + 1) * 256 + (256 + 1) * 128),
    ],
)
def test_the_networks_have_the_papers_sizes(side, parameters):
    with torch.device("meta"):
        network = PatchNetwork(2, 3, side, width=128, descriptor=128)
        assert network(torch.empty(2, 3, side, side)).shape == (2, 128, 1, 1)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("side", [17, 33, 65])
def test_an_images_dense_descriptors_are_those_of_its_patches_one_by_one(side):
    network = make(side)
    image = torch.rand(1, 1, side + 9, side + 6)
    with torch.no_grad():
        dense = network(image, dense=True)
        assert dense.shape == (1, 5, 10, 7)
        for row, column in ((0, 0), (1, 0), (4, 3), (7, 5), (9, 6)):
            patch = image[..., row : row + side, column : column + side]
            torch.testing.assert_close(network(patch)[..., 0, 0], dense[..., row, column])


@pytest.mark.parametrize(("side", "stride"), [(17, 1), (33, 4), (65, 8)])
def test_without_it_an_image_gives_every_stride_th_of_them(side, stride):
    network = make(side)
    images = network.around(torch.rand(2, 1, 37, 40))
    with torch.no_grad():
        dense, coarse = network(images, dense=True), network(images)
    assert dense.shape == (2, 5, 37, 40)
    assert network.stride == stride
    torch.testing.assert_close(coarse, dense[..., ::stride, ::stride])


def test_a_volume_has_patches_too():
    network = make(33, rank=3)
    volumes = torch.rand(1, 1, 33, 36, 34)
    with torch.no_grad():
        dense, patch = network(volumes, dense=True), network(volumes[..., :33, 2:35, 1:34])
    assert dense.shape == (1, 5, 1, 4, 2)
    torch.testing.assert_close(patch[..., 0, 0, 0], dense[..., 0, 2, 1])


def test_images_that_cannot_be_mirrored_are_refused():
    with pytest.raises(ValueError, match="patches of 65 pixels need images of at least 33 along each axis"):
        refuse_small((17, 65), (64, 32))
