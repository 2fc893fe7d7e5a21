"""Maps of several levels of a frozen encoder, on one grid and on the image's."""

import pytest
import torch
from pydantic import ValidationError

from secondread.detectors.blocks.feature_maps import FeatureMaps, FeatureMapsSettings
from secondread.networks.encoder import EncoderSettings

LITE = EncoderSettings(name="efficientnet_lite0", weights="random")


def maps_of(**settings: object) -> FeatureMaps:
    torch.manual_seed(0)
    return FeatureMaps(
        FeatureMapsSettings(encoder=LITE, **settings),  # type: ignore[arg-type]
        1,
        (64, 48),
        pretrained=False,
    )


def test_the_levels_are_those_of_the_strides() -> None:
    maps = maps_of(strides=(8, 32))
    found = maps(torch.rand(2, 1, 64, 48))
    assert [tuple(h.shape) for h in found] == [(2, 40, 8, 6), (2, 320, 2, 2)]
    assert maps.channels == (40, 320)
    assert maps.grids == ((8, 6), (2, 2))


def test_where_nothing_is_said_the_strides_are_four_eight_and_sixteen() -> None:
    assert maps_of().grids == ((16, 12), (8, 6), (4, 3))


def test_a_neighbourhood_averages_what_lies_on_the_map() -> None:
    images = torch.rand(1, 1, 64, 48)
    (plain,), (smooth,) = maps_of(strides=(8,))(images), maps_of(strides=(8,), neighbourhood=3)(images)
    torch.testing.assert_close(smooth[..., 0, 0], plain[..., :2, :2].mean((2, 3)))
    torch.testing.assert_close(smooth[..., 3, 2], plain[..., 2:5, 1:4].mean((2, 3)))


def test_all_levels_lie_side_by_side_on_the_grid_of_one() -> None:
    maps = maps_of(strides=(8, 16))
    found = maps(torch.rand(2, 1, 64, 48))
    assert maps.on_grid(found, 0).shape == (2, 40 + 112, 8, 6)
    torch.testing.assert_close(maps.on_grid(found, 1)[:, 40:], found[1].float())


def test_values_are_placed_on_the_image() -> None:
    maps = maps_of(strides=(16,))
    placed = maps.place(torch.ones(1, 1, 4, 3), 0, smoothing=2.0)
    torch.testing.assert_close(placed, torch.ones(1, 1, 64, 48))


def test_cells_in_padding_have_the_lowest_value_of_the_image() -> None:
    maps = maps_of(strides=(16,))
    values = torch.tensor([[3.0, 2.0, 99.0]] * 4)[None, None]
    valid = torch.ones(1, 1, 64, 48, dtype=torch.bool)
    valid[..., 32:] = False
    expected = maps.place(torch.tensor([[3.0, 2.0, 2.0]] * 4)[None, None], 0, smoothing=2.0)
    torch.testing.assert_close(maps.place(values, 0, smoothing=2.0, valid=valid), expected)
    everywhere = torch.ones_like(valid)
    assert torch.equal(maps.place(values, 0, valid=everywhere), maps.place(values, 0))


def test_an_even_neighbourhood_and_an_encoder_that_learns_are_refused() -> None:
    with pytest.raises(ValidationError, match="should be odd"):
        FeatureMapsSettings(neighbourhood=4)
    with pytest.raises(ValidationError, match="pretrained weights"):
        FeatureMapsSettings(encoder=EncoderSettings(name="conv"))


def test_values_of_several_levels_are_placed_and_added_up() -> None:
    maps = maps_of(strides=(8, 16))
    values = [torch.rand(2, 1, *grid) for grid in maps.grids]
    plain = maps.summed(enumerate(values))
    torch.testing.assert_close(plain, maps.place(values[0], 0) + maps.place(values[1], 1))
    blurred = maps.summed(enumerate(values), smoothing=2.0)
    assert blurred.shape == (2, 1, 64, 48)
    assert float(blurred.var()) < float(plain.var())


def test_maps_of_volumes_come_from_their_slices() -> None:
    settings = FeatureMapsSettings(encoder=LITE, strides=(8, 16), neighbourhood=3)
    maps = FeatureMaps(settings, 1, (24, 64, 48), pretrained=False)
    found = maps(torch.rand(1, 1, 24, 64, 48))
    assert [tuple(h.shape) for h in found] == [(1, 40, 3, 8, 6), (1, 112, 2, 4, 3)]
    assert maps.grids == ((3, 8, 6), (2, 4, 3))
    assert maps.on_grid(found, 0).shape == (1, 40 + 112, 3, 8, 6)
    placed = maps.place(torch.ones(1, 1, 2, 4, 3), 1, smoothing=2.0)
    torch.testing.assert_close(placed, torch.ones(1, 1, 24, 64, 48))
