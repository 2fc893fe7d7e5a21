import pytest
import torch
from in_memory import blobs
from torch.nn import functional

from secondread.detectors.blocks.patch_tokens import PatchTokens, PatchTokensSettings
from secondread.detectors.contract import Batch


def make(size=(32, 32), **changes):
    encoder = {"name": "squeezenet1_1", "weights": "random"}
    settings = PatchTokensSettings.model_validate({"encoder": encoder, "strides": (4, 8), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PatchTokens(settings, 1, size, pretrained=True).eval()


@pytest.mark.parametrize("size", [(32, 32), (8, 32, 32)])
def test_patches_are_positions_of_all_levels_on_the_first_ones_grid_of_unit_length(size):
    tokens, images = make(size), blobs(2, size)
    x = tokens(Batch(images))
    assert x.shape == (2, tokens.positions, tokens.dimensions)
    torch.testing.assert_close(x.norm(dim=2), torch.ones(x.shape[:2]))
    h = tokens.maps.on_grid(tokens.maps(images))
    torch.testing.assert_close(x, functional.normalize(h, dim=1).flatten(2).transpose(1, 2))


def test_channels_are_standardised_by_the_normals_where_asked_for():
    tokens, batch = make(features={"standardise": "channel"}), Batch(blobs(6, (32, 32)))
    tokens.prepare(iter([{"normal": batch}]), torch.Generator())
    x = tokens.unscaled(batch)[..., : tokens.maps.channels[0]].flatten(0, 1)
    torch.testing.assert_close(x.mean(dim=0), torch.zeros(x.shape[1]), atol=1e-3, rtol=0)
    assert make().prepare is None


def test_the_image_score_is_of_patches_that_are_there_and_the_map_of_all():
    tokens = make(image_score="top", top_share=0.5, smoothing=0)
    distances = torch.arange(float(tokens.positions))[None]
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    there = tokens.there(valid)
    inside = distances[there]
    expected = inside.sort(descending=True).values[: -(-len(inside) // 2)].mean()
    torch.testing.assert_close(tokens.judged(distances, there)[0], expected)
    assert tokens.there(None) is None
    assert tokens.placed(distances).shape == (1, 1, 32, 32)
    assert float(tokens.placed(distances).max()) == tokens.positions - 1
