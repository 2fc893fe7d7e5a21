import pytest
import torch

from secondread.networks.variational.convolutional import ConvolutionalVAE


@pytest.mark.parametrize("size", [(8, 12), (8, 4, 8)])
def test_an_image_goes_to_a_mean_and_a_log_variance_and_back_to_its_size(size):
    network = ConvolutionalVAE(len(size), 2, size, widths=(4, 6), latent=3)
    mean, log_variance = network.encode(torch.randn(2, 2, *size))
    assert mean.shape == log_variance.shape == (2, 3)
    assert network.decode(mean).shape == (2, 2, *size)


def test_a_size_that_cannot_be_halved_so_often_is_refused():
    with pytest.raises(ValueError, match="multiples of 4 along 2 axes"):
        ConvolutionalVAE(2, 1, (6, 8), widths=(4, 6), latent=3)
