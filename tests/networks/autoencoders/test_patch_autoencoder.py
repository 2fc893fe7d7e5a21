import pytest
import torch

from secondread.networks.autoencoders.patch_autoencoder import PatchAutoencoder


@pytest.mark.parametrize("size", [(16, 24), (8, 16, 8)])
def test_an_image_comes_back_in_its_shape_by_way_of_a_code_that_keeps_its_place(
    size: tuple[int, ...],
) -> None:
    network = PatchAutoencoder(len(size), 2, size, widths=(4, 6), code=3)
    x = torch.randn(2, 2, *size)
    assert network.encoder(x).shape == (2, 3, *(length // 4 for length in size))
    assert network(x).shape == x.shape


def test_a_size_that_does_not_halve_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 4 along 2 axes, not 16×18"):
        PatchAutoencoder(2, 1, (16, 18), widths=(4, 6), code=3)
