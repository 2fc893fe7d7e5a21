import pytest
import torch
from in_memory import blobs

from secondread.detectors.blocks.encoder_settings import EncoderSettings
from secondread.detectors.blocks.representation import (
    Representation,
    RepresentationSettings,
    standardisation,
)
from secondread.detectors.contract import Batch

RANDOM = EncoderSettings(name="resnet18", weights="random")


def make(channels=1, size=(32, 32), **settings):
    settings = RepresentationSettings(**{"encoder": RANDOM, **settings})
    return Representation(settings, channels, size, pretrained=True).eval()


@pytest.mark.parametrize(("size", "dimensions"), [((64, 20), 32 * 20), ((32, 8, 16), 16 * 8 * 16)])
def test_pixels_are_a_thumbnail_of_means(size, dimensions):
    represent = make(size=size, of="pixels")
    images = blobs(2, size)
    x = represent.of(Batch(images))
    assert x.shape == (2, dimensions) == (2, represent.dimensions)
    assert float(x[0, 0]) == pytest.approx(
        float(images[0, 0][(slice(0, 2), *[slice(0, 1)] * (len(size) - 1))].mean())
    )


def test_features_are_the_means_of_all_layers_over_positions():
    represent = make(size=(64, 64))
    images = blobs(2, (64, 64))
    with torch.no_grad():
        maps = represent.encoder(images)
    assert len(maps) == 3
    x = represent.of(Batch(images))
    assert x.shape == (2, 64 + 128 + 256) == (2, represent.dimensions)
    torch.testing.assert_close(x, torch.cat([m.mean(dim=(2, 3)) for m in maps], dim=1), atol=1e-5, rtol=1e-4)


def test_a_layer_of_the_encoder_may_stand_alone_and_deviations_be_added():
    represent = make(encoder=RANDOM.model_copy(update={"layer": "layer2"}), pool="mean_deviation")
    images = blobs(2, (32, 32))
    with torch.no_grad():
        (h,) = represent.encoder(images)
    expected = torch.cat((h.mean(dim=(2, 3)), h.flatten(2).std(dim=2, correction=0)), dim=1)
    torch.testing.assert_close(represent.of(Batch(images)), expected, atol=1e-5, rtol=1e-4)


def test_features_of_a_volume_are_the_means_over_its_slices():
    represent = make(size=(6, 32, 32), layers=("layer1",))
    volumes = blobs(2, (6, 32, 32))
    with torch.no_grad():
        maps = [represent.encoder.encoder(volumes[:, :, at])[0] for at in range(6)]
    expected = torch.stack(maps).mean(dim=(0, 3, 4))
    torch.testing.assert_close(represent.of(Batch(volumes)), expected, atol=1e-5, rtol=1e-4)


def test_padding_is_left_out_of_pooled_features():
    represent = make(layers=("layer1",))
    images = blobs(1, (32, 32))
    valid = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    valid[..., :16] = True
    with torch.no_grad():
        (h,) = represent.encoder(images)
    x = represent.of(Batch(images, valid))
    torch.testing.assert_close(x, h[..., :4].mean(dim=(2, 3)), atol=1e-5, rtol=1e-4)


def test_no_layer_is_those_of_the_encoder():
    assert make(layers=()).dimensions == make().dimensions
    alone = RANDOM.model_copy(update={"layer": "layer2"})
    assert make(encoder=alone, layers=()).dimensions == 128


def test_pixels_ask_nothing_of_the_encoder():
    assert make(of="pixels", encoder=EncoderSettings(name="conv")).encoder is None


def test_settings_that_do_not_fit_are_refused_in_words():
    with pytest.raises(ValueError, match="pretrained weights, not conv"):
        RepresentationSettings(encoder=EncoderSettings(name="conv"))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        make(channels=2)


def test_a_coordinate_that_hardly_varies_is_not_blown_up():
    rows = torch.stack((torch.tensor([1.0, 3.0]), torch.tensor([5.0, 5.0])), dim=1)
    mean, scale = standardisation(rows)
    assert mean.tolist() == [2.0, 5.0]
    assert scale.tolist() == pytest.approx([1 + 0.05 / 2**0.5, 0.05 / 2**0.5])
