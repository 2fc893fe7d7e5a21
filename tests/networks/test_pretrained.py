import pytest
import torch
from torch import nn

from secondread.networks.encoder import map_sizes
from secondread.networks.encoders import ENCODERS
from secondread.networks.encoders.conv import ConvEncoder

PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "wide_resnet50_2": 68_883_240,
    "squeezenet1_1": 1_235_496,
    "vgg19": 143_667_240,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_are_those_of_the_public_networks(name):
    with torch.device("meta"):
        network = ENCODERS.find(name).make_network()
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]
    assert network(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 1000)


def test_parameter_names_are_those_of_torchvision():
    with torch.device("meta"):
        names = set(ENCODERS.find("resnet50").make_network().state_dict())
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.num_batches_tracked",
        "layer3.5.conv3.weight",
        "layer4.2.bn3.bias",
        "fc.bias",
    } <= names
    assert len(names) == 320


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet18", (256, 16, 16)),
        ("resnet50", (1024, 16, 16)),
        ("wide_resnet50_2", (1024, 16, 16)),
        ("squeezenet1_1", (512, 15, 15)),
        ("vgg19", (512, 16, 16)),
    ],
)
def test_the_default_map_has_stride_16(name, shape):
    with torch.device("meta"):
        encoder = ENCODERS.find(name)(pretrained=False)
        (features,) = encoder(torch.empty(1, 1, 256, 256, device="meta"))
    assert features.shape[1:] == shape
    assert (encoder.channels[0], *map_sizes(encoder, 1, (256, 256))[0]) == shape


def test_several_layers_come_in_order_and_the_tail_is_gone():
    encoder = ENCODERS.find("resnet18")(("layer1", "layer3"), pretrained=False)
    maps = encoder(torch.rand(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 16, 16), (256, 4, 4)]
    assert not any(name.startswith(("network.layer4", "network.fc")) for name in encoder.state_dict())


def test_an_unknown_or_misplaced_layer_is_refused():
    with pytest.raises(ValueError, match="layer9"):
        ENCODERS.find("resnet18")(("layer9",), pretrained=False)
    with pytest.raises(ValueError, match="order"):
        ENCODERS.find("resnet18")(("layer3", "layer1"), pretrained=False)


def test_the_encoder_stays_in_eval_mode_and_does_not_drift():
    encoder = ENCODERS.find("resnet18")(pretrained=False)
    encoder.train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    encoder(torch.rand(2, 1, 32, 32))
    assert not any(module.training for module in encoder.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_the_ablation_lets_batch_normalisation_drift():
    encoder = ENCODERS.find("resnet18")(pretrained=False, batch_norm="train").train()
    before = encoder.network.bn1.running_mean.clone()
    encoder(torch.rand(2, 1, 32, 32))
    assert not torch.equal(before, encoder.network.bn1.running_mean)


def test_grey_is_the_same_as_three_equal_channels():
    encoder = ENCODERS.find("squeezenet1_1")(pretrained=False)
    grey = torch.rand(1, 1, 48, 48)
    torch.testing.assert_close(encoder(grey)[0], encoder(grey.expand(1, 3, 48, 48))[0])


@pytest.mark.parametrize(("rank", "size"), [(2, (32, 40)), (3, (16, 16, 24))])
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("linear", [0, 4])
def test_the_conv_encoder_takes_both_ranks(rank, size, stride, linear):
    encoder = ConvEncoder(rank, 1, width=8, widest=16, code=12, linear=linear, stride=stride)
    images = torch.rand(2, 1, *size)
    (features,) = encoder(images)
    assert features.shape == (2, 12 + linear, *(-(-length // stride) for length in size))
    torch.testing.assert_close(encoder(images[:1])[0], features[:1])


@pytest.mark.parametrize(("rank", "size"), [(2, (16, 24)), (3, (8, 12, 8))])
def test_a_linear_path_of_full_width_loses_nothing(rank, size):
    encoder = ConvEncoder(rank, 1, width=8, widest=8, code=4, linear=4**rank, stride=4)
    images = torch.rand(2, 1, *size)
    with torch.no_grad():
        linear = encoder(images)[0][:, 4:] - encoder.linear.bias.view(1, -1, *[1] * rank)
    kernel = torch.linalg.inv(encoder.linear.weight.detach().flatten(1)).T.view_as(encoder.linear.weight)
    back = (nn.functional.conv_transpose2d if rank == 2 else nn.functional.conv_transpose3d)(
        linear, kernel, stride=4
    )
    torch.testing.assert_close(back, 2 * images - 1, atol=1e-5, rtol=1e-4)
