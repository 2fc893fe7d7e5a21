import numpy as np
import pytest
import torch
from torch import nn

from secondread.networks.cells import Cells, cells_of, place, resample
from secondread.networks.encoder import map_places, map_sizes
from secondread.networks.encoders import ENCODERS
from secondread.networks.encoders.conv import ConvEncoder

SQUEEZENET = ("features.4", "features.7", "features.12")
RESNET = ("layer1", "layer2", "layer3")


def even(encoder):
    """The encoder with equal weights, so that what a bright pixel leaves is symmetric about its place."""
    for parameter in encoder.parameters():
        with torch.no_grad():
            parameter.fill_(0.0 if parameter.dim() == 1 else 1.0 / parameter[0].numel())
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.fill_(1.0)
    return encoder


@torch.no_grad()
def seen_at(encoder, size, position):
    """The centre of mass of each map's change by one bright pixel, placed on the image."""
    grey = torch.full((1, 1, *size), 0.5)
    bright = grey.clone()
    bright[(0, 0, *position)] = 1.0
    centres = []
    for one, other, cells in zip(encoder(grey), encoder(bright), cells_of(encoder, 1, size), strict=True):
        change = (one - other).float().square().sum(dim=1, keepdim=True).sqrt()
        shown = place(change, cells, size)[0, 0].double().numpy()
        assert shown.shape == size
        centres.append(
            [float((np.indices(size)[axis] * shown).sum() / shown.sum()) for axis in range(len(size))]
        )
    return np.array(centres)


@pytest.mark.parametrize("size", [(160, 161), (147, 150)])
@pytest.mark.parametrize(("name", "layers"), [("squeezenet1_1", SQUEEZENET), ("resnet18", RESNET)])
def test_a_bright_pixel_is_shown_where_it_is(name, layers, size):
    encoder = even(ENCODERS.find(name)(layers, pretrained=False))
    positions = [(68 + 3 * step, 76 - step) for step in range(8)]
    away = np.array([seen_at(encoder, size, position) - np.array(position) for position in positions])
    assert np.abs(away.mean(axis=0)).max() < 1.0
    assert np.abs(away).max(axis=(0, 2)) == pytest.approx([1.0, 1.5, 1.5], abs=1.0)


@pytest.mark.parametrize(("name", "layers"), [("squeezenet1_1", SQUEEZENET), ("resnet18", RESNET)])
@pytest.mark.parametrize("size", [(256, 256), (101, 64), (63, 130)])
def test_cells_are_composed_of_strides_kernels_and_paddings(name, layers, size):
    with torch.device("meta"):
        encoder = ENCODERS.find(name)(layers, pretrained=False)
    found = cells_of(encoder, 1, size)
    first = (3, 7, 15) if name == "squeezenet1_1" else (0, 0, 0)  # SqueezeNet has no padding
    assert found == tuple(Cells((o, o), (s, s)) for o, s in zip(first, (4, 8, 16), strict=True))
    assert map_places(encoder, 1, size) == (map_sizes(encoder, 1, size), found)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("linear", [0, 16])
@pytest.mark.parametrize("stride", [4, 8])
def test_a_trained_encoder_shows_it_there_too(rank, linear, stride):
    torch.manual_seed(0)
    encoder = ConvEncoder(rank, 1, width=8, code=16, linear=linear, stride=stride)
    size = (49, 48, 50)[:rank]
    positions = [tuple(20 + step + axis for axis in range(rank)) for step in range(stride)]
    away = np.array([seen_at(encoder, size, position)[0] - np.array(position) for position in positions])
    assert np.abs(away.mean(axis=0)).max() < 2.0
    # linear filters look at the cell from its first pixel on, convolutions around that pixel
    assert cells_of(encoder, 1, size) == (
        Cells(((stride - 1) / 4 if linear else 0.0,) * rank, (float(stride),) * rank),
    )


def test_a_window_that_a_pool_cuts_off_keeps_its_step():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return (self.network(nn.functional.pad(x, (2, 0, 1, 3))),)

    # 1 + 2 · 1 = 3 before the mean of two, 3 + 4 / 2 = 5 after it, less the padding
    assert cells_of(Network(), 1, (40, 40)) == (Cells((4.0, 3.0), (8.0, 8.0)),)


def test_a_step_whose_cells_are_not_known_is_refused():
    class Network(nn.Module):
        def forward(self, x):
            return (nn.functional.interpolate(x, scale_factor=2),)

    with pytest.raises(ValueError, match="is not known"):
        cells_of(Network(), 1, (8, 8))


def test_between_centres_a_map_is_linear_and_beyond_them_constant():
    values = torch.tensor([[[1.0, 3.0, 2.0]]])
    shown = place(values, Cells((2.0,), (4.0,)), (12,))
    expected = np.interp(np.arange(12), [2, 6, 10], values[0, 0])
    np.testing.assert_allclose(shown[0, 0], expected, rtol=1e-6)
    assert torch.equal(place(values[..., :1], Cells((2.0,), (4.0,)), (5,)), torch.ones(1, 1, 5))


def test_a_map_of_the_same_cells_stays_as_it_is():
    values, cells = torch.rand(2, 3, 5, 4), Cells((1.0, 1.0), (2.0, 2.0))
    assert torch.equal(resample(values, cells, cells, (5, 4)), values)


def test_finer_cells_are_averaged_around_the_coarser_ones():
    fine = torch.arange(16.0)[None, None] ** 2
    found = resample(fine, Cells((0.0,), (4.0,)), Cells((0.0,), (16.0,)), (4,))
    around = [fine[0, 0, 4 * i - 2 : 4 * i + 3] @ torch.tensor([1.0, 2, 2, 2, 1]) / 8 for i in (1, 2, 3)]
    torch.testing.assert_close(found[0, 0, 1:3], torch.stack(around[:2]))


def test_coarser_cells_are_met_by_finer_ones():
    encoder = ENCODERS.find("squeezenet1_1")(SQUEEZENET[1:], pretrained=False)
    fine, coarse = cells_of(encoder, 1, (96, 96))
    grids = map_sizes(encoder, 1, (96, 96))
    where = torch.arange(grids[1][0]) * coarse.stride[0] + coarse.offset[0]
    found = resample(where.view(1, 1, -1, 1).expand(1, 1, *grids[1]), coarse, fine, grids[0])[0, 0, :, 0]
    expected = torch.arange(grids[0][0]) * fine.stride[0] + fine.offset[0]
    torch.testing.assert_close(found, expected.clamp(where[0], where[-1]))
