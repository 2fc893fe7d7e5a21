"""Volumes read slice by slice by an encoder of pictures."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from secondread.detectors.blocks.encoder_settings import build_encoder, encoder_ranks
from secondread.networks import slices
from secondread.networks.cells import Cells, cells_of, place, resample
from secondread.networks.encoder import Encoder, EncoderSettings, SliceSettings, map_sizes
from secondread.networks.slices import SliceEncoder


class Means(Encoder):
    """Means of 2×2 and of 4×4 pixels."""

    channels = (1, 2)

    def forward(self, images):
        coarse = nn.functional.avg_pool2d(images, 4)
        return nn.functional.avg_pool2d(images, 2), torch.cat((coarse, -coarse), dim=1)


def by_slices(**settings):
    return SliceEncoder(Means(), SliceSettings(**settings))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_cell_is_a_cube_whose_value_is_the_mean_over_its_slices(axis):
    volumes = torch.rand(2, 1, 8, 12, 16)
    fine, coarse = by_slices(axes=(axis,))(volumes)
    torch.testing.assert_close(fine, nn.functional.avg_pool3d(volumes, 2))
    torch.testing.assert_close(coarse[:, :1], nn.functional.avg_pool3d(volumes, 4))
    assert cells_of(by_slices(axes=(axis,)), 1, (8, 12, 16)) == (
        Cells((0.5,) * 3, (2.0,) * 3),
        Cells((1.5,) * 3, (4.0,) * 3),
    )


def test_all_three_axes_are_joined_by_channels_on_the_grid_of_the_first():
    volumes = torch.rand(1, 1, 8, 8, 8)
    encoder = by_slices(axes=(0, 2, 1))
    fine, coarse = encoder(volumes)
    assert encoder.channels == (3, 6) == (fine.shape[1], coarse.shape[1])
    torch.testing.assert_close(fine, nn.functional.avg_pool3d(volumes, 2).expand(-1, 3, -1, -1, -1))
    torch.testing.assert_close(coarse[:, 0::2], coarse[:, :1].expand(-1, 3, -1, -1, -1))


def test_an_axis_whose_cells_lie_elsewhere_is_brought_to_those_of_the_first():
    volumes = torch.rand(1, 1, 10, 12, 16)
    encoder, (one, other) = by_slices(axes=(0, 1)), (by_slices(axes=(axis,)) for axis in (0, 1))
    first, second = (of.map_cells(1, (10, 12, 16))[1] for of in (one, other))
    assert first != second
    found = encoder(volumes)[1]
    torch.testing.assert_close(found[:, :2], one(volumes)[1])
    torch.testing.assert_close(
        found[:, 2:], resample(other(volumes)[1], second, first, one(volumes)[1].shape[2:])
    )


def test_cells_are_thinner_where_the_slices_are_no_multiple():
    volumes = torch.rand(1, 1, 10, 8, 8)
    _, coarse = by_slices()(volumes)
    assert coarse.shape[2:] == (3, 2, 2)
    windows = [(0, 4), (3, 7), (6, 10)]  # 10 / 3 slices each
    expected = torch.stack([volumes[0, 0, a:b].mean(dim=0) for a, b in windows])
    torch.testing.assert_close(coarse[0, 0], nn.functional.avg_pool2d(expected[:, None], 4)[:, 0])
    cells = cells_of(by_slices(), 1, (10, 8, 8))[1]
    assert cells.stride[0] == pytest.approx(10 / 3)
    centres = [cells.offset[0] + cells.stride[0] * cell for cell in range(3)]
    assert centres == pytest.approx([(10 / 3 - 1) / 2, 4.5, 9 - (10 / 3 - 1) / 2])


def test_thickness_and_maximum_may_be_asked_for():
    volumes = torch.rand(1, 1, 6, 4, 4)
    fine, coarse = by_slices(thickness=3, pool="max")(volumes)
    assert fine.shape[2:] == (2, 2, 2)
    assert coarse.shape[2:] == (2, 1, 1)
    torch.testing.assert_close(
        fine[0, 0, 0], nn.functional.avg_pool2d(volumes[0, :, :3].movedim(1, 0), 2)[:, 0].amax(0)
    )


def test_slices_in_pieces_give_the_same_bits(monkeypatch):
    encoder, volumes = by_slices(axes=(0, 1, 2)), torch.rand(2, 1, 11, 12, 13)
    together = encoder(volumes)
    monkeypatch.setattr(slices, "PIXELS", 1)
    for one, other in zip(together, encoder(volumes), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(encoder(volumes[1:])[1], together[1][1:])


def test_no_more_pixels_than_said_are_in_the_encoder_at_once(monkeypatch):
    seen = []

    class Counting(Means):
        def forward(self, images):
            seen.append(images.shape[0])
            return super().forward(images)

    encoder = SliceEncoder(Counting(), SliceSettings())
    encoder.map_cells(1, (9, 8, 8))
    seen.clear()
    monkeypatch.setattr(slices, "PIXELS", 4 * 64)
    encoder(torch.rand(2, 1, 9, 8, 8))
    assert seen == [4, 4, 1, 4, 4, 1]


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18"])
def test_the_real_encoders_take_volumes_and_their_sizes_are_known_beforehand(name):
    settings = EncoderSettings(name=name, weights="random", slices={"axes": [0, 1]})
    assert encoder_ranks(settings) == {2, 3}
    encoder = build_encoder(settings, 3, 1, pretrained=False)
    with torch.no_grad():
        (h,) = encoder(torch.rand(1, 1, 20, 40, 48))
    assert map_sizes(encoder, 1, (20, 40, 48)) == (tuple(h.shape[2:]),)
    assert h.shape[1] == encoder.channels[0]


def test_cells_are_found_in_inference_mode_too():
    encoder = build_encoder(EncoderSettings(name="squeezenet1_1", weights="random"), 3, 1, pretrained=False)
    with torch.inference_mode():
        (h,) = encoder(torch.rand(1, 1, 16, 40, 48))
    assert map_sizes(encoder, 1, (16, 40, 48)) == (tuple(h.shape[2:]),)


def test_a_bright_voxel_is_shown_where_it_is():
    encoder = by_slices(axes=(0, 1, 2))
    size, away = (18, 17, 19), []
    cells = cells_of(encoder, 1, size)
    for step in range(4):
        position = tuple(6 + step + axis for axis in range(3))
        volume = torch.zeros(1, 1, *size)
        volume[(0, 0, *position)] = 1.0
        shown = place(encoder(volume)[1][:, ::2].mean(1, keepdim=True), cells[1], size)[0, 0].double().numpy()
        away.append([(where * shown).sum() / shown.sum() for where in np.indices(size)] - np.array(position))
    assert np.abs(np.mean(away, axis=0)).max() < 0.5


def test_what_cannot_be_is_refused_in_words():
    with pytest.raises(ValidationError, match="names an axis twice"):
        SliceSettings(axes=(0, 0))
    with pytest.raises(ValueError, match="takes rank"):
        build_encoder(EncoderSettings(name="resnet18"), 1, 1, pretrained=False)


def test_settings_written_before_have_slices_too():
    assert EncoderSettings.model_validate({"name": "resnet18"}).slices == SliceSettings()
