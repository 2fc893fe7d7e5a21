import pytest
import torch

from secondread.networks.quantised.two_level_autoencoder import TwoLevelAutoencoder, straight_through

SMALL = {"width": 4, "residual_width": 2, "blocks": 1, "codes": 6, "code_width": 3}
BOOKS = {"decay": 0.9, "dead_below": 0.0}


@pytest.mark.parametrize("size", [(16, 24), (8, 8, 16)])
def test_codes_lie_on_strides_8_and_4_and_decode_to_the_reconstruction(size):
    network = TwoLevelAutoencoder(len(size), 2, size, **SMALL, **BOOKS).eval()
    with torch.no_grad():
        rebuilt, latents, codes = network(torch.rand(2, 2, *size))
        assert codes.top.shape == (2, *(side // 8 for side in size))
        assert codes.bottom.shape == (2, *(side // 4 for side in size))
        assert latents.bottom.shape == (2, 3, *(side // 4 for side in size))
        torch.testing.assert_close(network.of_codes(codes), rebuilt)


def test_gradients_pass_the_codes_as_if_they_were_not_there():
    z = torch.tensor([0.2, 0.9], requires_grad=True)
    (3 * straight_through(z, torch.tensor([0.0, 1.0]))).sum().backward()
    assert z.grad.tolist() == [3.0, 3.0]


def test_the_whole_encoder_learns_from_the_reconstruction():
    network = TwoLevelAutoencoder(2, 1, (16, 16), **SMALL, **BOOKS)
    network(torch.rand(2, 1, 16, 16))[0].square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_sizes_that_are_no_multiples_of_8_are_refused():
    with pytest.raises(ValueError, match="multiples of 8 along 2 axes"):
        TwoLevelAutoencoder(2, 1, (16, 12), **SMALL, **BOOKS)
