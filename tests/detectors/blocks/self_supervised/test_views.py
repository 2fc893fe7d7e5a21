import pytest
import torch
from in_memory import blobs
from pydantic import ValidationError

from secondread.detectors.blocks.self_supervised.views import (
    ViewSettings,
    random_view,
    turned,
)
from secondread.detectors.contract import Batch

PLAIN = ViewSettings(area=(1.0, 1.0), jitter=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_view_of_the_whole_image_is_hardly_moved_and_never_mirrored():
    """Sides differ by up to a third, so that of a view of all of it a part may be left out."""
    ramp = torch.linspace(0, 1, 32).expand(64, 1, 32, 32)
    for images in (ramp, ramp.transpose(2, 3)):
        view = random_view(Batch(images), PLAIN, (32, 32), generator()).images
        slope = view[:, 0, -1, -1] - view[:, 0, 0, 0]
        assert slope.min() > 0.7


@pytest.mark.parametrize(("size", "to"), [((24, 32), (12, 8)), ((8, 12, 16), (4, 4, 8))])
def test_a_small_view_shows_its_share_of_the_image_somewhere(size, to):
    places = torch.meshgrid(*[torch.linspace(0, 1, side) for side in size], indexing="ij")
    images = torch.stack(places).expand(200, -1, *size)
    settings = ViewSettings(area=(0.1, 0.3), jitter=0.0)
    view = random_view(Batch(images), settings, to, generator()).images
    assert view.shape == (200, len(size), *to)
    spans = [view[:, axis].flatten(1).amax(1) - view[:, axis].flatten(1).amin(1) for axis in range(len(size))]
    lost = [(own - 1) / own * side / (side - 1) for own, side in zip(to, size, strict=True)]
    shares = torch.stack([span / part for span, part in zip(spans, lost, strict=True)]).prod(dim=0)
    assert 0.08 < shares.min() < 0.14
    assert 0.24 < shares.max() < 0.33
    middle = view[:, 0].flatten(1).mean(dim=1)
    assert middle.min() < 0.3
    assert middle.max() > 0.7


def test_brightness_and_contrast_change_in_four_of_five_views():
    images = blobs(200, (16, 16))
    settings = ViewSettings(area=(0.5, 0.9), jitter=0.4)
    plain = random_view(
        Batch(images), settings.model_copy(update={"jitter": 0.0}), (8, 8), generator()
    ).images
    view = random_view(Batch(images), settings, (8, 8), generator()).images
    changed = (view != plain).flatten(1).any(dim=1)
    assert 0.7 < float(changed.float().mean()) < 0.9
    gain = view.flatten(1).std(dim=1) / plain.flatten(1).std(dim=1)
    assert 0.6 <= float(gain.min()) < float(gain.max()) <= 1.4
    shift = (view.flatten(1).mean(dim=1) - plain.flatten(1).mean(dim=1)).abs()
    assert 0.1 < float(shift.max()) <= 0.2 + 1e-6


def test_padding_is_followed_and_a_seed_draws_the_same():
    images, valid = blobs(4, (16, 16)), torch.ones(4, 1, 16, 16, dtype=torch.bool)
    valid[..., 8:] = False
    view = random_view(Batch(images, valid), ViewSettings(), (8, 8), generator())
    assert view.valid.dtype == torch.bool
    assert 0.2 < float(view.valid.float().mean()) < 0.8
    again = random_view(Batch(images, valid), ViewSettings(), (8, 8), generator())
    assert torch.equal(view.images, again.images)


def test_a_mask_is_turned_with_its_image():
    images, valid = blobs(2, (8, 12)), torch.ones(2, 1, 8, 12, dtype=torch.bool)
    valid[..., :4] = False
    upside_down = turned(Batch(images, valid), 2)
    assert torch.equal(upside_down.images, images.flip(2, 3))
    assert upside_down.valid[..., :8].all()
    assert not upside_down.valid[..., 8:].any()
    assert turned(Batch(images, valid), 1).images.shape == (2, 1, 12, 8)


def test_batches_are_joined_with_their_masks():
    one, valid = blobs(2, (8, 8)), torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    together = Batch.joined([Batch(one), Batch(one, valid)])
    assert len(together) == 4
    assert together.valid[:2].all()
    assert not together.valid[2:].any()
    assert Batch.joined([Batch(one), Batch(one)]).valid is None


def test_the_least_share_comes_first():
    with pytest.raises(ValidationError, match="the least share comes first"):
        ViewSettings(area=(0.5, 0.1))
