import pytest
import torch

from secondread.networks.memory import Memory, entropy
from secondread.networks.reconstruction import Autoencoder, MemoryAutoencoder, SpatialAutoencoder


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("hidden", "channels_out"), [(2048, 1), (2048, 2), (1024, 1)])
def test_the_autoencoder_has_the_layers_of_the_published_code(hidden, channels_out):
    with torch.device("meta"):
        network = Autoencoder(2, 1, channels_out, (64, 64), hidden=hidden)
    kernels = 16 * (16 * 1 + 32 * 16 + 64 * 32 + 64 * 64)
    kernels += 16 * (64 * 64 + 64 * 32 + 32 * 16 + 16 * channels_out)
    norms = 2 * (16 + 32 + 64 + 64) + 2 * (64 + 32 + 16)
    linear = (1024 + 1) * hidden + (hidden + 1) * 16 + (16 + 1) * hidden + (hidden + 1) * 1024
    assert count(network) == kernels + norms + linear + 2 * 2 * hidden


def test_the_memory_adds_its_slots_alone():
    with torch.device("meta"):
        plain = Autoencoder(2, 1, 1, (64, 64))
        with_memory = MemoryAutoencoder(2, 1, 1, (64, 64), slots=25)
    assert count(with_memory) == count(plain) + 25 * 16


def test_the_spatial_autoencoder_has_one_by_one_convolutions_in_the_middle():
    with torch.device("meta"):
        network = SpatialAutoencoder(2, 1, 1, (64, 64), hidden=1024, latent=16)
        code = network.encode(torch.empty(2, 1, 64, 64))
    ends = count(network.encoder) + count(network.decoder)
    assert count(network) - ends == 2 * (64 * 1024 + 1024 * 16) + 2 * 2 * 1024
    assert code.shape == (2, 16, 4, 4)
    assert network.decode(code).shape == (2, 1, 64, 64)


@pytest.mark.parametrize("size", [(32, 48), (64, 64), (16, 32, 32)])
def test_an_image_comes_back_in_its_size_by_way_of_the_latent_numbers(size):
    network = Autoencoder(len(size), 3, 6, size, width=4, hidden=8, latent=5)
    images = torch.randn(2, 3, *size)
    assert network.encode(images).shape == (2, 5)
    assert network(images).shape == (2, 6, *size)


@pytest.mark.parametrize("size", [(64, 60), (64, 64, 64), (0, 64)])
def test_a_size_that_cannot_be_halved_four_times_is_refused(size):
    with pytest.raises(ValueError, match="multiples of 16 along 2 axes"):
        Autoencoder(2, 1, 1, size)


def test_a_memory_reads_the_softmax_of_inner_products():
    memory = Memory(2, 2)
    memory.slots.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    read, weights = memory(torch.tensor([[1.0, 1.0]]))
    low, high = torch.tensor([1.0, 2.0]).softmax(0)
    torch.testing.assert_close(weights, torch.stack((low, high))[None])
    torch.testing.assert_close(read, torch.stack((low, 2 * high))[None])


def test_shrinking_leaves_weak_slots_out_and_the_rest_adds_up_to_one():
    memory = Memory(3, 1, shrink=0.2)
    memory.slots.data = torch.tensor([[0.0], [1.0], [-2.0]])
    _, weights = memory(torch.tensor([[1.0]]))
    plain = torch.tensor([0.0, 1.0, -2.0]).softmax(0)
    assert plain[2] < 0.2 < plain[0]
    torch.testing.assert_close(weights[0], torch.tensor([plain[0], plain[1], 0.0]) / (plain[0] + plain[1]))


def test_the_entropy_of_addresses_is_zero_for_one_slot_and_log_n_for_all():
    weights = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    torch.testing.assert_close(entropy(weights), torch.tensor([0.0, torch.log(torch.tensor(4.0)).item()]))
