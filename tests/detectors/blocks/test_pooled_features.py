import pytest
import torch
from in_memory import blobs

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.blocks.pooled_features import PooledFeaturesSettings, Pooling, pooled_to_cells
from secondread.detectors.blocks.representation import Representation, RepresentationSettings
from secondread.detectors.contract import Batch
from secondread.detectors.features.density_ratio import DensityRatio, DensityRatioSettings
from secondread.networks.encoders import ENCODERS

RANDOM = EncoderSettings(name="resnet18", weights="random")

FROZEN = [name for name in ENCODERS if not ENCODERS.find(name).learns]


def make(size=(64, 64), **settings):
    settings = RepresentationSettings(**{"encoder": RANDOM, **settings})
    return Representation(settings, 1, size, pretrained=True).eval()


@pytest.mark.parametrize("name", [name for name in FROZEN if ENCODERS.find(name).layers_by_stride])
def test_a_level_has_the_stride_by_which_it_is_asked_for(name):
    for stride, layer in ENCODERS.find(name).layers_by_stride.items():
        encoder = {"name": name, "weights": "random"}
        with torch.device("meta"):
            by_stride = make((256, 256), encoder=encoder, strides=(stride,))
            by_name = make((256, 256), encoder=encoder, layers=(layer,))
        assert by_stride.encoder.layers == by_name.encoder.layers == (layer,)
        # networks without padding lose a cell at the border
        assert all(256 // stride - 1 <= length <= 256 // stride for length in by_stride.grid)


def test_levels_are_put_in_the_encoders_order():
    assert make(strides=(16, 4)).encoder.layers == ("layer1", "layer3")


def test_a_stride_that_the_encoder_does_not_have_is_refused_in_words():
    encoder = {"name": "squeezenet1_1", "weights": "random"}
    with pytest.raises(ValueError, match=r"names no layer of stride 32 \(of 4, 8, 16\); set layers"):
        make(encoder=encoder, strides=(16, 32))
    with pytest.raises(ValueError, match="layers and strides both say"):
        RepresentationSettings(layers=("layer1",), strides=(4,))


def test_each_level_is_averaged_to_each_grid():
    represent, images = make(strides=(4, 8), grids=(1, 2)), blobs(2, (64, 64))
    x = represent.of(Batch(images))
    maps = represent.encoder(images)
    assert x.shape == (2, (64 + 128) * (1 + 4)) == (2, represent.dimensions)
    for level, h in zip(represent.pooling.levels(x), maps, strict=True):
        cells = h.unflatten(3, (2, -1)).unflatten(2, (2, -1)).mean(dim=(3, 5))
        expected = torch.cat((h.mean(dim=(2, 3)), cells.flatten(1)), dim=1)
        torch.testing.assert_close(level, expected, atol=1e-5, rtol=1e-4)


def test_deviations_stay_with_their_level():
    represent, images = make(strides=(4, 8), pool="mean_deviation"), blobs(2, (64, 64))
    first, second = represent.pooling.levels(represent.of(Batch(images)))
    h = represent.encoder(images)[1]
    expected = torch.cat((h.mean(dim=(2, 3)), h.flatten(2).std(dim=2, correction=0)), dim=1)
    assert first.shape == (2, 128)
    torch.testing.assert_close(second, expected, atol=1e-5, rtol=1e-4)


def test_cells_leave_padding_out_and_an_empty_one_has_the_mean_of_all():
    h = torch.arange(16.0).view(1, 1, 4, 4)
    valid = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    valid[..., 2:] = False
    valid[..., 0, 0] = False
    found = pooled_to_cells(h, valid, 2)[0, 0]
    seen = [h[0, 0, :2, :2].flatten()[1:], h[0, 0, 2:, :2].flatten()]
    whole = torch.cat(seen).mean()
    torch.testing.assert_close(found, torch.stack([seen[0].mean(), whole, seen[1].mean(), whole]).view(2, 2))


def test_a_grid_finer_than_the_map_and_deviations_by_cell_are_refused():
    with pytest.raises(ValueError, match=r"grids: 8 cells per axis, and the last map has 4×4"):
        make(strides=(16,), grids=(2, 8))
    with pytest.raises(ValueError, match=r"set grids: \[1\]"):
        RepresentationSettings(grids=(2,), pool="mean_deviation")


def test_the_density_ratio_has_the_same_levels_and_grids():
    settings = DensityRatioSettings(encoder=RANDOM, strides=(8, 16), grids=(2,))
    ratio = DensityRatio(settings, 1, (64, 64))
    assert len(ratio.mean) == (128 + 256) * 4
    assert ratio._features(Batch(blobs(2, (64, 64)))).shape == (2, (128 + 256) * 4)


def test_pooling_by_default_is_the_mean_over_the_map():
    pooling = Pooling(PooledFeaturesSettings(), (3, 2), (4, 4))
    h = torch.rand(2, 5, 4, 4)
    torch.testing.assert_close(pooling(h, None), h.mean(dim=(2, 3)))
