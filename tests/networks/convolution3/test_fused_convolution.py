import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondread.networks.convolution3.fused_convolution import FusedSequence, convolve
from secondread.networks.encoders import ENCODERS
from secondread.networks.pretrained import PretrainedEncoder


def randomised(name):
    torch.manual_seed(0)
    encoder = ENCODERS.find(name)(pretrained=False)
    with torch.no_grad():
        for buffer_name, buffer in encoder.network.named_buffers():
            if buffer_name.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif buffer_name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return encoder


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("vgg19", "wide_resnet50_2")))
        for name in ENCODERS
        if issubclass(ENCODERS.find(name), PretrainedEncoder)
    ],
)
def test_one_pass_gives_what_the_layers_give_one_by_one(name):
    encoder = randomised(name)
    images = torch.rand(1, 1, 48, 48)
    layered = encoder(images)[0].detach()  # with gradient on, nothing is fused
    with torch.no_grad():
        fused = encoder(images)[0]
    scale = float(layered.abs().max())
    torch.testing.assert_close(fused / scale, layered / scale, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_bfloat16_differs_by_its_rounding_only(name):
    encoder = randomised(name)
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        exact = encoder(images)[0]
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(images)[0]
    assert rough.dtype == torch.bfloat16
    assert float((rough - exact).norm() / exact.norm()) < 0.03


@torch.no_grad()
def test_a_changed_parameter_is_folded_anew():
    encoder = randomised("resnet18")
    images = torch.rand(1, 1, 64, 64)
    before = encoder(images)[0].clone()
    other = ENCODERS.find("resnet18")(pretrained=False)
    encoder.load_state_dict(other.state_dict())
    torch.testing.assert_close(encoder(images)[0], other(images)[0])
    assert not torch.allclose(encoder(images)[0], before)


@torch.no_grad()
def test_folding_leaves_no_trace_in_the_state():
    encoder = randomised("resnet18")
    names = set(encoder.state_dict())
    encoder(torch.rand(1, 1, 64, 64))
    assert set(encoder.state_dict()) == names


@torch.no_grad()
def test_a_weight_in_onednns_order_serves_other_sizes_and_batches_with_the_same_bits():
    encoder, again = randomised("efficientnet_lite0"), randomised("efficientnet_lite0")
    sizes = ((1, 1, 64, 64), (3, 1, 96, 80), (1, 1, 33, 57))
    images = [torch.rand(size) for size in sizes]
    found = [encoder(image)[0] for image in images]
    other_way = [again(image)[0] for image in images[::-1]][::-1]
    for one, other in zip(found, other_way, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("length", [(8, 8), (9, 8), (8, 11), (7, 9), (1, 2)])
@pytest.mark.parametrize(
    ("kernel", "stride", "groups"), [(3, 2, 6), (5, 2, 6), (3, 1, 1), (4, 2, 1), (5, 3, 2)]
)
def test_same_padding_is_tensorflows_in_one_pass_and_layer_by_layer(length, kernel, stride, groups):
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(6, 6, kernel, stride, groups=groups), nn.BatchNorm2d(6).eval()
    x = torch.rand(2, 6, *length)
    short = [max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in length]
    rows, columns = ((total // 2, total - total // 2) for total in short)
    expected = norm(convolution(functional.pad(x, (*columns, *rows)))).relu()
    assert expected.shape[2:] == tuple(-(-side // stride) for side in length)
    torch.testing.assert_close(convolve(x, convolution, norm, same=True), expected)
    with torch.no_grad():
        torch.testing.assert_close(convolve(x, convolution, norm, same=True), expected)


@torch.no_grad()
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_network_that_was_asked_can_be_copied(copied):
    convolution, norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4).eval()
    x = torch.rand(1, 3, 8, 8)
    expected = convolve(x, convolution, norm)
    torch.testing.assert_close(convolve(x, copied(convolution), norm), expected, rtol=0, atol=0)


def test_statistics_that_training_moved_are_folded_anew():
    convolution, norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    x = torch.rand(2, 3, 8, 8)

    def folded_and_plain():
        norm.eval()
        with torch.no_grad():
            return convolve(x, convolution, norm), norm(convolution(x)).relu()

    folded_and_plain()
    norm.train()
    convolve(x, convolution, norm)
    torch.testing.assert_close(*folded_and_plain())


def test_a_sequence_gives_what_its_layers_give_one_by_one(monkeypatch):
    monkeypatch.setenv("SECONDREAD_NATIVE", "1")
    layers = [nn.Conv2d(2, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    layers += [nn.Conv2d(16, 16, 3, padding=1), nn.GroupNorm(2, 16), nn.SiLU()]
    layers += [
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 2, 2),
        nn.Conv2d(8, 1, 1),
    ]
    plain, fused = nn.Sequential(*layers).eval(), FusedSequence(*layers).eval()
    x = torch.rand(2, 2, 16, 16)
    before = x.clone()
    expected = plain(x)
    assert torch.equal(fused(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), expected)
        fused.train()
        torch.testing.assert_close(fused(x), plain.train()(x))
    assert torch.equal(x, before)
    assert list(fused.state_dict()) == list(plain.state_dict())


@torch.no_grad()
def test_no_new_weight_comes_to_lie_where_a_folded_one_lay():
    convolution = nn.Conv2d(3, 8, 3)
    convolve(torch.randn(1, 3, 9, 9), convolution)
    place = convolution.weight.data_ptr()
    convolution.weight.data = torch.randn(8, 3, 3, 3)
    state = convolution.__dict__["_folded"].state
    assert place in [tensor.data_ptr() for tensor in state.tensors]
